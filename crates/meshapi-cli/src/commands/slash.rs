//! Slash commands of a session that is read from lines: those that need no terminal. Seed section 7.

use mesh_agent::prompt::system_prompt;
use mesh_safety::PermissionMode;
use serde_json::{Value, json};

use crate::{
    cli::mode_name,
    config::Config,
    exit::with_causes,
    ui::line::{Line, Style},
    wiring::Wired,
};

/// What a command did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What to say about it.
    pub lines: Vec<Line>,
    /// The session ends.
    pub leave: bool,
}

/// The commands, in the order of `/help`: name, argument, what it does.
const COMMANDS: [(&str, &str, &str); 8] = [
    ("clear", "", "forget the conversation and the plan"),
    ("cost", "", "what the session has cost"),
    ("exit", "", "leave; also /quit, /q"),
    ("help", "", "this list"),
    ("mode", "[default|accept-edits|auto|bypass]", "show or set what runs without a question"),
    ("model", "[ID]", "show or set the model"),
    ("route", "[cheapest|fastest|balanced|default]", "show or set the routing wish"),
    ("system", "[TEXT]", "show or set the base prompt of this session"),
];

/// Names of the commands, and what they do.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    COMMANDS.iter().map(|(name, _, what)| (*name, *what))
}

/// Runs one command line, which begins with `/`.
pub fn run(line: &str, wired: &mut Wired, config: &mut Config) -> Outcome {
    let line = line.trim_start_matches('/');
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (name, argument) = (name.to_lowercase(), argument.trim());
    match name.as_str() {
        "exit" | "quit" | "q" => Outcome { leave: true, ..Outcome::default() },
        "help" => help(),
        "clear" => {
            wired.agent.clear();
            note("Conversation cleared.")
        }
        "cost" => {
            let cost = wired.agent.ledger().session().total();
            note(&format!("Session spend: {}", cost.map_or_else(|| "—".to_owned(), |cost| cost.to_string())))
        }
        "mode" => mode(argument, wired),
        "model" => model(argument, wired, config),
        "route" => route(argument, wired, config),
        "system" => system(argument, wired, config),
        _ => bad(&format!("Unknown command: /{name}. Type /help")),
    }
}

fn help() -> Outcome {
    let line = |(name, argument, what): (&str, &str, &str)| {
        let command = format!("/{name} {argument}");
        Line::of(Style::Code, &format!("  {command:<45}")).with(Style::Dim, what)
    };
    Outcome { lines: COMMANDS.map(line).to_vec(), leave: false }
}

fn mode(argument: &str, wired: &Wired) -> Outcome {
    if argument.is_empty() {
        return note(&format!("Current mode: {}", mode_name(wired.agent.mode().get())));
    }
    match PermissionMode::parse(argument) {
        Some(mode) => {
            wired.agent.mode().set(mode);
            note(&format!("Mode set to {}", mode_name(mode)))
        }
        None => bad(&format!("unknown mode: '{argument}' (try default, accept-edits, auto, bypass)")),
    }
}

fn model(argument: &str, wired: &mut Wired, config: &mut Config) -> Outcome {
    if argument.is_empty() {
        return note(&format!("Current model: {}", wired.agent.settings().get().model));
    }
    wired.agent.settings().update(|settings| settings.model = argument.to_owned());
    config.overrides_mut().model = None;
    stored(config, "model", &json!(argument), &format!("Model set to {argument}"))
}

fn route(argument: &str, wired: &mut Wired, config: &mut Config) -> Outcome {
    let route = match argument {
        "" => {
            let route = wired.agent.settings().get().route;
            return note(&format!("Current route: {}", route.as_deref().unwrap_or("default")));
        }
        "default" => None,
        "cheapest" | "fastest" | "balanced" => Some(argument.to_owned()),
        _ => return bad("Unknown route. Try: balanced, cheapest, fastest, default"),
    };
    wired.agent.settings().update(|settings| settings.route.clone_from(&route));
    config.overrides_mut().route = None;
    stored(config, "route", &json!(route), &format!("Routing set to {argument}"))
}

fn system(argument: &str, wired: &mut Wired, config: &Config) -> Outcome {
    if argument.is_empty() {
        return note(&config.values().system);
    }
    let prompt = system_prompt(argument, wired.agent.cwd());
    wired.agent.set_system(&prompt);
    note("System prompt updated; the conversation starts afresh.")
}

/// The setting holds for this session whether or not it could be written down.
fn stored(config: &mut Config, key: &str, value: &Value, done: &str) -> Outcome {
    match config.store([(key, value)]) {
        Ok(()) => note(done),
        Err(error) => bad(&format!("{done}, for this session only: {}", with_causes(&error))),
    }
}

fn note(text: &str) -> Outcome {
    Outcome { lines: text.lines().map(|line| Line::of(Style::Dim, line)).collect(), leave: false }
}

fn bad(text: &str) -> Outcome {
    Outcome { lines: vec![Line::of(Style::Bad, text)], leave: false }
}
