//! `meshapi doctor`: what a session needs and whether it is here. Sends nothing, and never shows the key.

use std::{
    io::{IsTerminal, Write, stdin, stdout},
    path::Path,
    process::{Command, Stdio},
};

use mesh_safety::sandbox::{self, Level};
use serde_json::{Value, json};

use crate::{
    cli::{Cli, Doctor},
    config::{Config, Environment},
    exit::{Exit, Failure},
    ui::{
        line::{Line, Style},
        live::terminal,
        text,
        theme::Theme,
    },
};

/// The version of what `--json` prints.
const VERSION: u32 = 1;

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// As it should be.
    Good,
    /// It works with less.
    Weak,
    /// A session cannot run so.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    name: &'static str,
    state: State,
    says: String,
    /// What to do about it.
    hint: Option<String>,
}

/// Looks, and says what was found. The exit code is 1 when a session could not run.
///
/// # Errors
/// The settings cannot be used at all, or nobody reads what we say.
pub fn run(wanted: Doctor, cli: &Cli, env: &Environment, theme: Theme) -> Result<Exit, Failure> {
    let checks = checks(cli, env);
    let is_well = checks.iter().all(|check| check.state != State::Bad);
    let text = if wanted.json {
        format!("{}\n", as_json(&checks, is_well))
    } else {
        let theme = if stdout().is_terminal() { theme } else { Theme::PLAIN };
        checks.iter().flat_map(lines).map(|line| format!("{}\n", theme.paint(&line))).collect()
    };
    stdout().write_all(text.as_bytes())?;
    Ok(if is_well { Exit::Ok } else { Exit::Failure })
}

fn checks(cli: &Cli, env: &Environment) -> Vec<Check> {
    let mut checks = vec![version()];
    match &env.home {
        Some(home) => match Config::load(home, env, cli.settings.overrides()) {
            Ok(config) => checks.extend(settings(&config)),
            Err(error) => checks.push(bad("settings", crate::exit::with_causes(&error))),
        },
        None => checks.push(bad("home", "there is none, so no place for settings and key")),
    }
    checks.push(folder());
    checks.push(confinement(cli));
    checks.push(git());
    checks.push(screen(env));
    checks
}

fn version() -> Check {
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    good("version", format!("meshapi {} for {system} on {machine}", env!("CARGO_PKG_VERSION")))
}

/// What the settings say, and the key.
fn settings(config: &Config) -> Vec<Check> {
    let folder = config.folder().path();
    let mut checks = vec![match is_writable(folder) {
        true => good("settings", folder.display()),
        false => weak("settings", format!("{} cannot be written", folder.display()))
            .hint("what you set holds for one session, and no history is kept"),
    }];
    checks.extend(config.warnings().iter().map(|warning| weak("settings", warning)));
    checks.push(good("gateway", config.base_url().as_str()));
    checks.push(good("model", config.model()));
    checks.push(match config.key() {
        Some(found) => good("key", format!("found: {}", found.source.name())),
        None => bad("key", "none").hint(format!(
            "set MESHAPI_API_KEY, or put the key into {}",
            config.folder().file(crate::config::key::CREDENTIALS).display()
        )),
    });
    checks
}

fn folder() -> Check {
    match std::env::current_dir() {
        Err(error) => bad("folder", format!("cannot be used: {error}")),
        Ok(folder) if !is_writable(&folder) => {
            weak("folder", format!("{} cannot be written", folder.display()))
        }
        Ok(folder) => good("folder", folder.display()),
    }
}

/// Tries the sandbox now; what was remembered is not asked.
fn confinement(cli: &Cli) -> Check {
    if cli.settings.no_sandbox {
        return weak("sandbox", "off, by --no-sandbox");
    }
    let found = sandbox::probe(Path::new("/proc/self/exe"), None);
    let lacks = found.lacks.map(|lacks| format!(": {lacks}")).unwrap_or_default();
    let says = format!("{}{lacks}", found.level.as_str());
    match found.level {
        Level::Full | Level::Seatbelt => good("sandbox", says),
        Level::NoMounts => weak("sandbox", says).hint("files outside are held back, their names are not"),
        Level::None => weak("sandbox", says).hint("each command asks, in every mode but bypass"),
    }
}

fn git() -> Check {
    let asked = Command::new("git").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    match asked {
        Ok(said) if said.status.success() => good("git", String::from_utf8_lossy(&said.stdout).trim()),
        Ok(said) => weak("git", format!("does not run ({})", said.status)),
        Err(error) => weak("git", format!("cannot be run: {error}")),
    }
}

fn screen(env: &Environment) -> Check {
    let term = env.terminal.term.as_deref().unwrap_or("not set");
    if !(stdin().is_terminal() && stdout().is_terminal()) {
        return good("terminal", format!("none here (TERM {term})"));
    }
    let size = terminal::size();
    let colour = if Theme::detect(&env.terminal, true).is_coloured() { "colours" } else { "no colours" };
    let says = format!("{} by {}, {colour} (TERM {term})", size.columns, size.rows);
    if term == "dumb" {
        weak("terminal", says).hint("sessions are lines, as with --plain")
    } else {
        good("terminal", says)
    }
}

/// Whether files can be made in a folder: by making one, since permissions are not all that may forbid it.
fn is_writable(folder: &Path) -> bool {
    tempfile::tempfile_in(folder).is_ok()
}

fn good(name: &'static str, says: impl ToString) -> Check {
    Check { name, state: State::Good, says: says.to_string(), hint: None }
}

fn weak(name: &'static str, says: impl ToString) -> Check {
    Check { state: State::Weak, ..good(name, says) }
}

fn bad(name: &'static str, says: impl ToString) -> Check {
    Check { state: State::Bad, ..good(name, says) }
}

impl Check {
    fn hint(self, hint: impl ToString) -> Check {
        Check { hint: Some(hint.to_string()), ..self }
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Good => "ok",
            State::Weak => "warning",
            State::Bad => "error",
        }
    }
}

fn lines(check: &Check) -> Vec<Line> {
    let (mark, style) = match check.state {
        State::Good => ("✓", Style::Good),
        State::Weak => ("!", Style::Warn),
        State::Bad => ("✗", Style::Bad),
    };
    let head = Line::of(style, mark).with(Style::Dim, &format!(" {:<9}", check.name));
    let mut lines = vec![head.with(Style::Plain, &text::one_line(&check.says))];
    lines.extend(
        check.hint.iter().map(|hint| Line::of(Style::Dim, &format!("            {}", text::one_line(hint)))),
    );
    lines
}

fn as_json(checks: &[Check], is_well: bool) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({ "name": check.name, "state": check.state.word(), "says": check.says, "hint": check.hint })
        })
        .collect();
    json!({ "v": VERSION, "ok": is_well, "checks": checks })
}
