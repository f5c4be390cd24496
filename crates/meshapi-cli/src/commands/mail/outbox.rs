//! `meshapi mail outbox`: what waits here, and what was refused after it had waited.

use mesh_mailbox::outbox::Entry;
use mesh_mailbox::{Mailbox, Outbox, OutboxError};
use serde_json::{Value, json};

use super::args::OutboxCommand;
use super::{print, print_json};
use crate::exit::{Exit, Failure, with_causes};
use crate::ui::text;

impl From<OutboxError> for Failure {
    fn from(error: OutboxError) -> Failure {
        Failure::new(Exit::Failure, "outbox", with_causes(&error))
    }
}

/// Shows, drops or shows one in full. None of these needs a gateway.
///
/// # Errors
/// The outbox cannot be used, or there is no such message.
pub(super) fn look(outbox: &Outbox, command: &OutboxCommand, json: bool) -> Result<Exit, Failure> {
    match command {
        OutboxCommand::List => {
            let entries = outbox.entries()?;
            for entry in &entries {
                if json { print_json(&row(entry))? } else { print(&line(entry))? }
            }
            if entries.is_empty() && !json {
                print("the outbox is empty")?;
            }
        }
        OutboxCommand::Show { key } => {
            let entry = outbox.find(key)?;
            if json {
                print_json(&row(&entry))?;
            } else {
                print(&line(&entry))?;
                for part in text::sanitize_prose(&entry.message.content).lines() {
                    print(&format!("    {part}"))?;
                }
            }
        }
        OutboxCommand::Drop { key } => {
            let entry = outbox.find(key)?;
            outbox.remove(entry.key())?;
            let done = json!({"key": entry.key(), "status": "dropped"});
            if json { print_json(&done)? } else { print(&format!("dropped {}", entry.key()))? }
        }
        OutboxCommand::Retry { .. } => {}
    }
    Ok(Exit::Ok)
}

/// Sends what waits; with a key also what was refused.
///
/// # Errors
/// The outbox cannot be used, or there is no such message.
pub(super) async fn retry(
    outbox: &Outbox,
    mailbox: &Mailbox,
    key: Option<&str>,
    json: bool,
) -> Result<Exit, Failure> {
    if let Some(key) = key {
        let entry = outbox.find(key)?;
        if entry.gateway != mailbox.gateway_url() || entry.node != mailbox.node() {
            let message = format!("this message was written by {} for {}", entry.node, entry.gateway);
            return Err(
                Failure::new(Exit::Usage, "usage", message).hint("give --node and --gateway-url to match")
            );
        }
        outbox.revive(entry.key())?;
    }
    let drained = outbox.drain(mailbox).await?;
    let cause = drained.cause.as_ref().map(|error| with_causes(error));
    if json {
        let failed: Vec<Value> =
            drained.failed.iter().map(|(key, reason)| json!({"key": key, "error": reason})).collect();
        print_json(
            &json!({"sent": drained.sent, "failed": failed, "waiting": drained.waiting, "error": cause}),
        )?;
    } else {
        print(&format!(
            "{} sent, {} refused, {} waiting{}",
            drained.sent.len(),
            drained.failed.len(),
            drained.waiting,
            cause.map(|cause| format!(": {cause}")).unwrap_or_default()
        ))?;
    }
    Ok(match (drained.waiting, drained.failed.is_empty()) {
        (0, true) => Exit::Ok,
        (0, false) => Exit::Failure,
        _ => Exit::Queued,
    })
}

fn row(entry: &Entry) -> Value {
    json!({
        "key": entry.key(),
        "status": if entry.failed.is_some() { "failed" } else { "waiting" },
        "error": entry.failed,
        "gateway": entry.gateway,
        "from_node": entry.node,
        "to_node": entry.message.to,
        "kind": entry.message.kind,
        "content": entry.message.content,
        "queued_at": entry.at,
    })
}

fn line(entry: &Entry) -> String {
    let state = match &entry.failed {
        Some(reason) => format!("refused: {reason}"),
        None => "waiting".to_owned(),
    };
    let (key, message) = (entry.key(), &entry.message);
    let line =
        format!("{key}  {} to {}  {}  {}  {state}", entry.node, message.to, message.kind, entry.gateway);
    text::one_line(&line).into_owned()
}
