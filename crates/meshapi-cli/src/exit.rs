//! Errors become a line, a hint and an exit code here and nowhere else.

use std::{borrow::Cow, error::Error, fmt, io, process::ExitCode};

use mesh_agent::{AgentError, BUDGET, TurnEnd, TurnReport};
use mesh_client::ClientError;

use crate::{
    config::{BaseUrlOrigin, ConfigError},
    ui::{
        line::{Line, Style},
        text,
        theme::Theme,
    },
};

/// How the process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All went well.
    #[default]
    Ok,
    /// A turn ended but a call was refused for want of approval.
    Refused,
    /// The hop or budget limit was reached; the work so far is kept.
    Limit,
    /// The guards would ask.
    Asks,
    /// The guards would block.
    Blocks,
    /// A message waits in the outbox.
    Queued,
    /// A model or gateway error, or no key.
    Failure,
    /// Wrong usage or settings.
    Usage,
    /// Interrupted by the user or the system.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Limit => 4,
            Exit::Asks => 10,
            Exit::Blocks => 20,
            // EX_TEMPFAIL of sysexits.h: it was not done yet, and will be tried again.
            Exit::Queued => 75,
            // 128 + SIGINT, as shells have it.
            Exit::Interrupted => 130,
        }
    }

    /// How a process that ran this turn alone ends.
    pub fn of_turn(report: &TurnReport) -> Exit {
        match &report.end {
            TurnEnd::Failed { failure, .. } if failure.kind == BUDGET => Exit::Limit,
            TurnEnd::Failed { .. } => Exit::Failure,
            TurnEnd::Interrupted { .. } => Exit::Interrupted,
            TurnEnd::HopLimit { .. } => Exit::Limit,
            // Silence is no answer: whoever scripts us must not take it for one.
            TurnEnd::Finished { text, .. } if text.trim().is_empty() => Exit::Failure,
            TurnEnd::Finished { .. } if !report.refused.is_empty() => Exit::Refused,
            TurnEnd::Finished { .. } => Exit::Ok,
        }
    }

    /// The exit of a run of several turns: the one that matters most to its caller.
    #[must_use]
    pub fn and(self, other: Exit) -> Exit {
        self.max(other)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// What a person is told when something ended the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One word for programs, such as `config` or `unauthorized`.
    pub kind: Cow<'static, str>,
    /// What happened, on what; one line.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// How the process ends.
    pub exit: Exit,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, kind: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Failure {
        Failure { kind: kind.into(), message: message.to_string(), hint: None, exit }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }

    /// There is no key. Seed 1.6: a line that names the variable and the file, exit code 1.
    pub fn no_key(credentials: &std::path::Path) -> Failure {
        Failure::new(Exit::Failure, "no_key", "no API key found")
            .hint(format_args!("set MESHAPI_API_KEY, or put the key into {}", credentials.display()))
    }

    /// The lines for standard error.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = vec![Line::prose(Style::Bad, &format!("meshapi: {}", self.message))];
        if let Some(hint) = &self.hint {
            lines.push(Line::prose(Style::Dim, &format!("  {hint}")));
        }
        lines
    }

    /// Writes the lines. That they cannot be written is no further failure.
    pub fn show(&self, out: &mut impl io::Write, theme: Theme) -> Exit {
        for line in self.lines() {
            let _ = writeln!(out, "{}", theme.paint(&line));
        }
        self.exit
    }
}

/// Writes a warning that does not end the program.
pub fn warn(out: &mut impl io::Write, theme: Theme, warning: impl fmt::Display) {
    let line = Line::of(Style::Warn, &format!("meshapi: {warning}"));
    let _ = writeln!(out, "{}", theme.paint(&line));
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let hint = match &error {
            ConfigError::BaseUrl { origin: BaseUrlOrigin::Environment, .. } => {
                Some("it comes from MESHAPI_BASE_URL")
            }
            ConfigError::BaseUrl { origin: BaseUrlOrigin::File, .. } => {
                Some("it comes from ~/.meshapi/config.json")
            }
            ConfigError::BaseUrlType | ConfigError::NoHome | ConfigError::Store { .. } => None,
        };
        Failure { hint: hint.map(str::to_owned), ..Failure::new(Exit::Usage, "config", with_causes(&error)) }
    }
}

impl From<&ClientError> for Failure {
    fn from(error: &ClientError) -> Failure {
        let failure = Failure::new(Exit::Failure, error.kind().as_str(), with_causes(error));
        Failure { hint: error.hint().map(str::to_owned), ..failure }
    }
}

impl From<&mesh_agent::Failure> for Failure {
    fn from(failure: &mesh_agent::Failure) -> Failure {
        Failure::new(Exit::Failure, failure.kind.clone(), &failure.message)
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Failure {
        Failure::new(Exit::Failure, "agent", with_causes(&error))
    }
}

/// Why something could not be read from standard input or written to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(Exit::Failure, "io", with_causes(&error))
    }
}

/// The message with the messages of its causes, each once.
pub fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    text::sanitize(&message).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_as_documented() {
        let all = [
            Exit::Ok,
            Exit::Failure,
            Exit::Usage,
            Exit::Refused,
            Exit::Limit,
            Exit::Queued,
            Exit::Interrupted,
        ];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 75, 130]);
        assert_eq!(Exit::Refused.and(Exit::Ok), Exit::Refused);
        assert_eq!(Exit::Limit.and(Exit::Failure), Exit::Failure);
        assert_eq!(Exit::Failure.and(Exit::Interrupted), Exit::Interrupted);
    }

    #[test]
    fn messages_and_hints() {
        let refused = |text: &str, origin| {
            let source = text.parse::<mesh_client::BaseUrl>().unwrap_err();
            Failure::from(ConfigError::BaseUrl { source, origin })
        };
        let failures = [
            Failure::no_key("/home/u/.meshapi/credentials".as_ref()),
            refused("http://a.b", BaseUrlOrigin::Environment),
            refused("", BaseUrlOrigin::File),
            Failure::from(ConfigError::BaseUrlType),
            Failure::from(ConfigError::NoHome),
            Failure::from(ConfigError::Store {
                path: "/x".into(),
                source: io::ErrorKind::StorageFull.into(),
            }),
            Failure::new(Exit::Failure, "test", "control \u{1b}[31mred"),
        ];
        let mut shown = Vec::new();
        for failure in failures {
            let exit = failure.show(&mut shown, Theme::PLAIN);
            shown.extend(format!("  -> {}\n", exit.code()).as_bytes());
        }
        let shown = String::from_utf8(shown).unwrap().replace("USERPROFILE", "HOME");
        insta::assert_snapshot!(shown);
    }
}
