//! Slash commands: what a person says to the program and not to the model. Seed section 7.
//!
//! - [`table`]: every command with its argument and its help; which one a name means
//! - `settings`, `session`, `files`, `models`, `permits`, `mail`: what they do, by what they touch
//!
//! [`run`] serves a session between its turns, [`run_live`] one whose turn is running.
mod files;
mod mail;
mod models;
mod permits;
mod session;
mod settings;
pub mod table;
#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, pin::pin, task::Poll};

use mesh_agent::{LastDecision, SharedMode, SharedSettings};

use crate::{
    config::Config,
    permissions::Permissions,
    savings::Books,
    ui::line::{Line, Style},
    wiring::Wired,
};

pub use crate::repl::attach::Attachments;
pub use models::ModelList;
pub(crate) use table::rank;
pub use table::{Argument, Command, commands, named};

use table::{Found, Run};

/// What commands of a session work on.
pub struct SlashContext<'a> {
    /// The agent, its servers and the gateway.
    pub wired: &'a mut Wired,
    /// The settings.
    pub config: &'a mut Config,
    /// Images that wait for the next prompt.
    pub attachments: &'a mut Attachments,
    /// The gateway's models, as far as they are known.
    pub models: &'a ModelList,
    /// Columns of the terminal.
    pub columns: usize,
}

/// What commands may change while a turn runs. The next request and the next call see it.
pub struct LiveControls<'a> {
    /// How requests are made.
    pub settings: SharedSettings,
    /// The permission mode.
    pub mode: SharedMode,
    /// The settings.
    pub config: &'a mut Config,
    /// The gateway's models, as far as they are known.
    pub models: ModelList,
    /// What the dial did.
    pub savings: Books,
    /// What the user always allows, asks or denies.
    pub permissions: Permissions,
    /// How the last call was decided.
    pub last: LastDecision,
    /// Tools that were allowed for the session.
    pub always: Vec<String>,
}

/// What a command did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What to say about it.
    pub lines: Vec<Line>,
    /// The session ends.
    pub leave: bool,
    /// The user wants to give a key: the caller asks for it.
    pub login: bool,
}

impl SlashContext<'_> {
    /// The part of it that may change while a turn runs.
    pub fn live(&mut self) -> LiveControls<'_> {
        LiveControls {
            settings: self.wired.agent.settings().clone(),
            mode: self.wired.agent.mode().clone(),
            config: self.config,
            models: self.models.clone(),
            savings: self.wired.savings.clone(),
            permissions: self.wired.permissions.clone(),
            last: self.wired.agent.last_decision().clone(),
            always: self.wired.agent.always_allowed(),
        }
    }
}

impl Outcome {
    /// Says something in passing.
    fn note(text: &str) -> Outcome {
        Outcome::of(text.lines().map(|line| Line::prose(Style::Dim, line)).collect())
    }

    /// Says what went wrong.
    fn bad(text: &str) -> Outcome {
        Outcome::of(vec![Line::prose(Style::Bad, text)])
    }

    /// Says what wants attention.
    fn warn(text: &str) -> Outcome {
        Outcome::of(vec![Line::prose(Style::Warn, text)])
    }

    fn of(lines: Vec<Line>) -> Outcome {
        Outcome { lines, ..Outcome::default() }
    }
}

/// The command line that this input is, if it is one: it begins with `/`, or is a lone `exit`, `quit` or `help`.
///
/// Other names of commands are words that a prompt may well consist of (`clear`, `model`), so alone they go to the model.
pub fn command_line(input: &str) -> Option<&str> {
    let word = input.trim();
    let is_lone = ["exit", "quit", "help"].iter().any(|name| word.eq_ignore_ascii_case(name));
    if is_lone { Some(word) } else { input.starts_with('/').then_some(input) }
}

/// Runs one command line as [`command_line`] gives it. A fault in a command is a red line and no more.
///
/// # Cancel safety
/// The command was run or it was not; what it would have said is lost.
pub async fn run(line: &str, context: &mut SlashContext<'_>) -> Outcome {
    let (name, argument) = parts(line);
    let command = match table::find(name) {
        Found::One(command) => command,
        other => return not_found(name, &other),
    };
    let work = async {
        match command.run {
            Run::Leave => Outcome { leave: true, ..Outcome::default() },
            Run::Live(run) => {
                if command.wants_models() && !argument.is_empty() {
                    context.models.glance(&context.wired.client).await;
                }
                run(argument, &mut context.live())
            }
            Run::Now(run) => run(argument, context),
            Run::Later(run) => run(argument, context).await,
        }
    };
    isolated(work).await.unwrap_or_else(|| Outcome::bad(&broken(command)))
}

/// Runs a command line while a turn runs, if the command may: the lines to show. `None`: it has to wait for the turn's end.
pub fn run_live(line: &str, controls: &mut LiveControls<'_>) -> Option<Vec<Line>> {
    let (name, argument) = parts(line);
    let command = match table::find(name) {
        Found::One(command) => command,
        other => return Some(not_found(name, &other).lines),
    };
    let Run::Live(run) = command.run else { return None };
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| run(argument, controls)));
    Some(ran.unwrap_or_else(|_| Outcome::bad(&broken(command))).lines)
}

/// Name and argument of a command line.
fn parts(line: &str) -> (&str, &str) {
    let line = line.trim_start().trim_start_matches('/');
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (name, argument.trim())
}

fn not_found(name: &str, found: &Found) -> Outcome {
    match found {
        Found::Several(commands) => {
            let names: Vec<String> = commands.iter().map(|command| format!("/{}", command.name)).collect();
            Outcome::warn(&format!("/{name} could be {}", names.join(", ")))
        }
        // A path that was typed or dropped as a prompt.
        _ if name.contains('/') => {
            Outcome::bad(&format!("Unknown command: /{name}. Type /help, or put a word before the path"))
        }
        _ => Outcome::bad(&format!("Unknown command: /{name}. Type /help")),
    }
}

fn broken(command: &Command) -> String {
    format!("/{} failed inside; the session goes on", command.name)
}

/// Waits for work whose panic must not end the session; `None` if it panicked.
async fn isolated<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
