//! Commands about the conversation and what it costs.

use mesh_agent::prompt::system_prompt;

use super::{
    Outcome, SlashContext,
    table::{Work, commands},
};
use crate::ui::line::{Line, Style};

pub(super) fn help(_: &str, _: &mut SlashContext<'_>) -> Outcome {
    let line = |command: &super::Command| {
        let usage = format!("/{} {}", command.name, command.argument);
        Line::of(Style::Code, &format!("  {usage:<45}")).with(Style::Dim, command.help)
    };
    Outcome::of(commands().iter().map(line).collect())
}

pub(super) fn clear(_: &str, context: &mut SlashContext<'_>) -> Outcome {
    context.wired.agent.clear();
    Outcome::note("Conversation cleared.")
}

pub(super) fn cost<'a>(_: &'a str, context: &'a mut SlashContext<'_>) -> Work<'a> {
    Box::pin(async {
        let cost = context.wired.agent.ledger().session().total();
        let cost = cost.map_or_else(|| "—".to_owned(), |cost| cost.to_string());
        Outcome::note(&format!("Session spend: {cost}"))
    })
}

pub(super) fn system(argument: &str, context: &mut SlashContext<'_>) -> Outcome {
    if argument.is_empty() {
        return Outcome::note(&context.config.values().system);
    }
    let prompt = system_prompt(argument, context.wired.agent.cwd());
    context.wired.agent.set_system(&prompt);
    Outcome::note("System prompt updated; the conversation starts afresh.")
}
