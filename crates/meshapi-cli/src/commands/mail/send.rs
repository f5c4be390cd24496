//! `meshapi mail send`.

use std::io::Read as _;

use mesh_mailbox::{Attempt, Mailbox, Outbox, Outgoing, ThreadId};
use serde_json::json;

use super::args::Send;
use super::{print, print_json};
use crate::exit::{Exit, Failure, with_causes};

/// Longest content that is read. A gateway takes 200 000 characters, which are at most four bytes each.
const MAX_BYTES: u64 = 1 << 20;

/// How often a message is tried before it is left waiting.
const TRIES: u32 = 3;

/// Sends one message.
///
/// # Errors
/// It is refused, or cannot be kept.
pub(super) async fn send(
    mailbox: &Mailbox,
    outbox: &Outbox,
    wanted: &Send,
    json: bool,
) -> Result<Exit, Failure> {
    let message = compose(mailbox, wanted)?;
    let attempt = if wanted.no_queue {
        Attempt::Sent(mailbox.send(&message).await?)
    } else {
        outbox.send(mailbox, &message, TRIES).await?
    };
    match attempt {
        Attempt::Sent(receipt) => {
            if json {
                let answer = receipt.answer;
                print_json(
                    &json!({"status": "sent", "id": receipt.id, "key": message.key, "answer": answer}),
                )?;
            } else {
                let id = receipt.id.map_or_else(|| "?".to_owned(), |id| id.to_string());
                print(&format!("sent #{id} to {}", message.to))?;
            }
            Ok(Exit::Ok)
        }
        Attempt::Queued(cause) => {
            let cause = with_causes(&cause);
            if json {
                print_json(&json!({"status": "queued", "key": message.key, "error": cause}))?;
            } else {
                print(&format!("queued {} for {}: {cause}", message.key, message.to))?;
            }
            Ok(Exit::Queued)
        }
        Attempt::Refused(error) => Err(error.into()),
    }
}

fn compose(mailbox: &Mailbox, wanted: &Send) -> Result<Outgoing, Failure> {
    let content = content(wanted)?;
    let mut message = if wanted.skip_secret_check {
        mailbox.compose_unchecked(&wanted.to, wanted.kind, content)?
    } else {
        mailbox.compose(&wanted.to, wanted.kind, content)?
    };
    message.thread_id = wanted
        .thread_id
        .as_deref()
        .map(ThreadId::new)
        .transpose()
        .map_err(|error| Failure::new(Exit::Usage, "usage", error))?;
    message.related_task_id = wanted.related_task_id.clone();
    Ok(message)
}

fn content(wanted: &Send) -> Result<String, Failure> {
    let bad = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failure, "io", format!("{what} cannot be read: {error}"))
    };
    let mut text = String::new();
    match (&wanted.file, wanted.content.as_deref()) {
        (Some(path), _) => {
            let shown = path.display().to_string();
            let file = std::fs::File::open(path).map_err(|error| bad(&shown, &error))?;
            file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| bad(&shown, &error))?;
        }
        (None, Some("-") | None) => {
            let read = std::io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text);
            read.map_err(|error| bad("standard input", &error))?;
        }
        (None, Some(content)) => text.push_str(content),
    }
    // A file ends with a line feed that nobody meant to send.
    let text = if wanted.content.as_deref().is_none_or(|content| content == "-") {
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    } else {
        text
    };
    if text.is_empty() {
        return Err(Failure::new(Exit::Failure, "invalid", "the message is empty"));
    }
    Ok(text)
}
