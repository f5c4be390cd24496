//! Pure: every slash command, and which one a name means.

use std::pin::Pin;

use super::{LiveControls, Outcome, SlashContext, files, mail, models, permits, session, settings};

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
    /// Words that the argument may begin with, for completion; it may be others too.
    pub choices: &'static [&'static str],
    /// What else its argument is, for completion.
    pub takes: Argument,
    pub(super) run: Run,
}

/// What a command's argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing that we could list.
    Words,
    /// A file.
    Path,
    /// A model of the gateway.
    Model,
    /// Several of them.
    Models,
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
    Command { name, aliases: &[], argument, help, choices: &[], takes: Argument::Words, run }
}

/// All commands, in the order of `/help`.
static COMMANDS: [Command; 23] = [
    row("model", "[ID]", "show or set the model", Run::Live(models::model)).taking(Argument::Model),
    row(
        "models",
        "[WORD]",
        "list the gateway's models: free, thinking, tools, image or a name",
        Run::Later(models::models),
    )
    .choosing(&["free", "thinking", "tools", "image"]),
    row("route", "[WISH]", "how to route: cheapest, fastest, balanced, default", Run::Live(settings::route))
        .choosing(&["cheapest", "fastest", "balanced", "default"]),
    row(
        "mode",
        "[MODE]",
        "what runs unasked: default, accept-edits, auto, bypass",
        Run::Live(settings::mode),
    )
    .choosing(&["default", "accept-edits", "auto", "bypass"]),
    row(
        "permissions",
        "[add RULE|remove N]",
        "what you always allow, ask or deny",
        Run::Live(permits::permissions),
    )
    .choosing(&["add", "remove"]),
    row("why", "", "how the last call was decided", Run::Live(permits::why)),
    row(
        "reasoning",
        "[LEVEL]",
        "how hard the model thinks: high, medium, low, none, off",
        Run::Live(settings::reasoning),
    )
    .choosing(&["high", "medium", "low", "none", "off"]),
    row("fallback", "[ID, ID…|off]", "models to ask when the first one fails", Run::Live(settings::fallback))
        .taking(Argument::Models)
        .choosing(&["off"]),
    row("optimize", "[0..0.95|off]", "the savings dial (beta)", Run::Live(settings::optimize))
        .choosing(&["off"]),
    row("savings", "[audit]", "what the dial saved, or every text that it cut", Run::Live(settings::savings))
        .choosing(&["audit"]),
    row("hops", "[N|off]", "requests before a turn pauses", Run::Now(settings::hops)).choosing(&["off"]),
    row("file", "PATH", "put a text file into the conversation", Run::Later(files::file))
        .taking(Argument::Path),
    row("image", "[PATH|URL]", "attach an image to the next prompt", Run::Later(session::image))
        .taking(Argument::Path),
    row("system", "[TEXT]", "show or set the base prompt of this session", Run::Now(session::system)),
    row("clear", "", "forget the conversation and the plan", Run::Now(session::clear)),
    row("clear-attach", "", "drop the images that wait", Run::Now(session::clear_attach)),
    row("status", "", "model, mode, key, sandbox and folder of this session", Run::Now(session::status)),
    row("cost", "", "what the session has cost, and the balance", Run::Later(session::cost)),
    row("servers", "[kill N|log N]", "list, end or look at background servers", Run::Later(session::servers))
        .choosing(&["kill", "log"]),
    row(
        "mail",
        "[ID|send|watch|auto]",
        "unread messages of your peers, or one of them; nothing is marked read",
        Run::Later(mail::run),
    )
    .choosing(&["send", "watch", "auto"]),
    row("login", "", "give an API key", Run::Now(session::login)),
    row("help", "", "this list", Run::Now(session::help)),
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

/// The one command of a name or of the beginning of one.
pub fn named(name: &str) -> Option<&'static Command> {
    match find(name) {
        Found::One(command) => Some(command),
        Found::Several(_) | Found::Nothing => None,
    }
}

/// How well a typed word fits a name: 0 begins it, 1 is in it, 2 its letters are in it in order.
pub(crate) fn rank(name: &str, word: &str) -> Option<u8> {
    let mut letters = name.chars();
    match () {
        () if name.starts_with(word) => Some(0),
        () if name.contains(word) => Some(1),
        () if word.chars().all(|letter| letters.any(|c| c == letter)) => Some(2),
        () => None,
    }
}

impl Command {
    const fn choosing(self, choices: &'static [&'static str]) -> Command {
        Command { choices, ..self }
    }

    const fn taking(self, takes: Argument) -> Command {
        Command { takes, ..self }
    }

    /// The gateway's models should be known before it runs.
    pub(super) fn wants_models(&self) -> bool {
        matches!(self.takes, Argument::Model | Argument::Models)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, want: &[&str]) {
        let found = match find(name) {
            Found::One(command) => vec![command.name],
            Found::Several(commands) => commands.iter().map(|command| command.name).chain(["?"]).collect(),
            Found::Nothing => vec![],
        };
        assert_eq!(found, want, "{name}");
    }

    #[test]
    fn a_name_may_be_cut_short() {
        check("exit", &["exit"]);
        check("Q", &["exit"]);
        check("qu", &["exit"]);
        check("CLEAR", &["clear"]);
        check("clear-", &["clear-attach"]);
        check("mode", &["mode"]);
        check("model", &["model"]);
        check("models", &["models"]);
        check("he", &["help"]);
        check("cl", &["clear", "clear-attach", "?"]);
        check("mo", &["model", "models", "mode", "?"]);
        for nothing in ["", "zzz", "helpme", "/", " ", "K\u{212a}"] {
            check(nothing, &[]);
        }
    }

    #[test]
    fn ranks() {
        assert_eq!(rank("model", "mo"), Some(0));
        assert_eq!(rank("model", "del"), Some(1));
        assert_eq!(rank("model", "ml"), Some(2));
        assert_eq!(rank("model", "lm"), None);
    }

    #[test]
    fn names_are_there_once() {
        let mut names: Vec<&str> = commands().iter().flat_map(Command::names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| name.to_lowercase() == *name));
    }
}
