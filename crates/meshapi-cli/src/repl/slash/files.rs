//! `/file`: a text of the user's disk in the conversation.

use super::{Outcome, SlashContext, table::Work};

pub(super) fn file<'a>(path: &'a str, context: &'a mut SlashContext<'_>) -> Work<'a> {
    Box::pin(async move {
        if path.is_empty() {
            return Outcome::bad("usage: /file PATH");
        }
        let _ = context.home();
        match std::fs::read_to_string(context.wired.agent.cwd().join(path)) {
            Ok(text) => {
                let told = format!("File: {path}\n\n```\n{text}\n```");
                let _ = context.wired.agent.tell(told).await;
                Outcome::note(&format!("Added {path} ({} chars) to context", text.chars().count()))
            }
            Err(error) => Outcome::bad(&format!("{path}: {error}")),
        }
    })
}
