//! Claiming, acknowledging and giving back: what only this project's gateway does.

use std::time::Duration;

use mesh_mailbox::{Inbox, Mailbox};
use serde_json::{Value, json};

use super::args::MailCommand;
use super::{print, print_json, show};
use crate::exit::{Exit, Failure};

/// Runs one of them.
///
/// # Errors
/// The gateway refuses.
pub(super) async fn run(mailbox: &Mailbox, command: &MailCommand, json: bool) -> Result<Exit, Failure> {
    match command {
        MailCommand::Claim { max, lease, wait } => {
            let body = json!({"to": mailbox.node(), "max": max, "lease_s": lease, "wait": wait});
            let wait = Duration::from_secs_f64(*wait);
            let answer = mailbox.call("POST", "/messages/claim", Some(&body), wait).await?;
            let inbox = Inbox::from_json(&answer).map_err(mesh_mailbox::ClientError::from)?;
            for envelope in &inbox.envelopes {
                if json { print_json(&envelope.to_json())? } else { print(&show::message(envelope))? }
            }
            // As with `wait`: a script can tell that there is nothing to do.
            Ok(if inbox.envelopes.is_empty() { Exit::Failure } else { Exit::Ok })
        }
        MailCommand::Ack { id, lease_id, outcome, note } => {
            let mut body = json!({ "outcome": outcome });
            for (field, value) in [("lease_id", lease_id), ("note", note)] {
                if let Some(value) = value {
                    body[field] = value.as_str().into();
                }
            }
            let answer =
                mailbox.call("POST", &format!("/messages/{id}/ack"), Some(&body), Duration::ZERO).await?;
            told(&answer, json, &format!("#{id} is {outcome}"))
        }
        MailCommand::Nack { id, lease_id, delay } => {
            let body = json!({"lease_id": lease_id, "delay_s": delay});
            let answer =
                mailbox.call("POST", &format!("/messages/{id}/nack"), Some(&body), Duration::ZERO).await?;
            let is_dead = answer["dead"] == true;
            told(&answer, json, &format!("#{id} {}", if is_dead { "was given up" } else { "was given back" }))
        }
        _ => Err(Failure::new(Exit::Usage, "usage", "this is no work on a message")),
    }
}

fn told(answer: &Value, json: bool, text: &str) -> Result<Exit, Failure> {
    if json {
        print_json(answer)?
    } else {
        print(text)?
    }
    Ok(Exit::Ok)
}
