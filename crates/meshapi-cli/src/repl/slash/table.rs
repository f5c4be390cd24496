//! Pure: every slash command, and which one a name means.

use std::pin::Pin;

use super::{LiveControls, Outcome, SlashContext, files, models, session, settings};

/// A slash command.
pub struct Command {
    /// Its name, without the slash.
    pub name: &'static str,
    /// Other names; completion and help show the first one only.
    pub aliases: &'static [&'static str],
    /// What may stand behind it; empty if nothing.
    pub argument: &'static str,
    /// What it does.
    pub help: &'static str,
    pub(super) run: Run,
    /// The gateway's models should be known before it runs.
    pub(super) wants_models: bool,
}

/// What runs for a command.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// The session ends.
    Leave,
    /// Runs at once, even while a turn runs.
    Live(fn(&str, &mut LiveControls<'_>) -> Outcome),
    /// Runs between turns.
    Now(fn(&str, &mut SlashContext<'_>) -> Outcome),
    /// Runs between turns and waits for something.
    Later(for<'a, 'b> fn(&'a str, &'a mut SlashContext<'b>) -> Work<'a>),
}

/// A command at work.
pub(super) type Work<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// What a name means.
pub(super) enum Found {
    /// This command.
    One(&'static Command),
    /// The beginning of all these.
    Several(Vec<&'static Command>),
    /// Nothing.
    Nothing,
}

const fn row(name: &'static str, argument: &'static str, help: &'static str, run: Run) -> Command {
    Command { name, aliases: &[], argument, help, run, wants_models: false }
}

/// All commands, in the order of `/help`.
static COMMANDS: [Command; 9] = [
    row("clear", "", "forget the conversation and the plan", Run::Now(session::clear)),
    row("cost", "", "what the session has cost, and the balance", Run::Later(session::cost)),
    row("file", "PATH", "put a text file into the conversation", Run::Later(files::file)),
    row("help", "", "this list", Run::Now(session::help)),
    row(
        "mode",
        "[default|accept-edits|auto|bypass]",
        "show or set what runs without a question",
        Run::Live(settings::mode),
    ),
    Command { wants_models: true, ..row("model", "[ID]", "show or set the model", Run::Live(models::model)) },
    row(
        "route",
        "[cheapest|fastest|balanced|default]",
        "show or set the routing wish",
        Run::Live(settings::route),
    ),
    row("system", "[TEXT]", "show or set the base prompt of this session", Run::Now(session::system)),
    Command { aliases: &["quit", "q"], ..row("exit", "", "leave; also /quit, /q", Run::Leave) },
];

/// All commands, in the order of `/help`.
pub fn commands() -> &'static [Command] {
    &COMMANDS
}

/// The command of a name or of the beginning of one, whatever its case. A whole name wins.
pub(super) fn find(name: &str) -> Found {
    let name = name.to_lowercase();
    if let Some(command) = COMMANDS.iter().find(|command| command.names().any(|known| known == name)) {
        return Found::One(command);
    }
    let begins = |command: &&Command| command.names().any(|known| known.starts_with(&name));
    let found: Vec<_> = COMMANDS.iter().filter(begins).collect();
    match found.as_slice() {
        _ if name.is_empty() => Found::Nothing,
        [] => Found::Nothing,
        [one] => Found::One(one),
        _ => Found::Several(found),
    }
}

impl Command {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}
