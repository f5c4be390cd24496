//! Sending: what is written down first, under which key and in which thread, and what goes into no message.

use mesh_agent::mail::{Letter, MailError, Posted};
use mesh_mailbox::{
    Attempt, ClientError, IdempotencyKey, Kind, Outgoing, ThreadId, guard,
    outbox::{pause, random},
};

use super::{
    Desk, Job,
    desk::{TRIES, refusal},
    hold::{answer_key, parent_of, thread_of},
};
use crate::exit::with_causes;

/// Most characters of a message. From the gateway's limits.
const CONTENT_CHARS: usize = 200_000;

impl Desk {
    /// Writes the answer to a message down, to be sent under its one key.
    ///
    /// # Errors
    /// It must not be sent, or cannot be kept.
    pub fn write_answer(&self, job: &Job, kind: Kind, text: &str) -> Result<(), MailError> {
        let text: String = text.chars().take(CONTENT_CHARS).collect();
        let mut message = self.composed(&job.mail.from, kind, &text)?;
        message.thread_id = ThreadId::new(thread_of(&job.mail)).ok();
        message.key = IdempotencyKey::new(answer_key(&job.mail))
            .map_err(|error| MailError::Wrong(error.to_string()))?;
        let put = self.outbox.put(self.gateway(), self.node(), &message);
        put.map_err(|error| MailError::Wrong(with_causes(&error)))
    }

    /// Sends the answer that was written for a message, whichever gateway it was written for: the store behind them may be one.
    pub(super) async fn send_answer(&self, job: &Job) {
        let key = answer_key(&job.mail);
        let Ok(entry) = self.outbox.find(&key) else { return };
        for attempt in 1..=TRIES {
            match self.mailbox.send(&entry.message).await {
                Ok(_) => break,
                // Another version of it is stored: it was answered.
                Err(ClientError::Refused { status: 409, .. }) => break,
                Err(error) if error.is_transient() && attempt < TRIES => {
                    tokio::time::sleep(pause(attempt, None, random())).await;
                }
                // It waits in the outbox, and goes out when the gateway answers.
                Err(error) if error.is_transient() => return,
                Err(error) => {
                    tracing::warn!(%error, "the answer to a message was refused");
                    break;
                }
            }
        }
        if let Err(error) = self.outbox.remove(entry.key()) {
            tracing::warn!(%error, "the outbox cannot be written; what is in it is sent again under its key");
        }
        let _ = self.journal.write_to(entry.message.to.as_str());
    }

    pub(super) fn composed(&self, to: &str, kind: Kind, content: &str) -> Result<Outgoing, MailError> {
        let literals: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        if let Some(leak) = guard::live(content, &literals) {
            let error = ClientError::SecretInContent { label: leak.label };
            return Err(MailError::Wrong(error.to_string()));
        }
        self.mailbox.compose(to, kind, content).map_err(|error| MailError::Wrong(error.to_string()))
    }

    pub(super) async fn send(&self, letter: &Letter) -> Result<Posted, MailError> {
        let kind: Kind = letter
            .kind
            .parse()
            .map_err(|error: mesh_mailbox::MailboxError| MailError::Wrong(error.to_string()))?;
        let mut message = self.composed(&letter.to, kind, &letter.content)?;
        let to = message.to.as_str().to_owned();
        let key = {
            let mut hold = self.shared.hold();
            let thread = letter.thread.clone().or_else(|| hold.thread_for(self.node(), &to));
            if let Some(thread) = &thread {
                message.thread_id =
                    Some(ThreadId::new(thread.clone()).map_err(|error| MailError::Wrong(error.to_string()))?);
            }
            let key = hold.key_for(&to);
            if let Some(work) = &mut hold.work {
                work.is_answered |= to == work.from && kind == Kind::Answer;
                work.threads
                    .extend(thread.filter(|thread| parent_of(thread, self.node(), &to) == Some(work.id)));
            }
            key
        };
        if let Some(key) = &key {
            message.key = IdempotencyKey::new(key).map_err(|error| MailError::Wrong(error.to_string()))?;
        }
        let attempt = self.outbox.send(&self.mailbox, &message, TRIES).await;
        let posted = match attempt.map_err(|error| MailError::Wrong(with_causes(&error)))? {
            Attempt::Sent(receipt) if receipt.is_replay && key.is_some() => Posted::Before,
            Attempt::Sent(receipt) => Posted::Stored { id: receipt.id },
            Attempt::Queued(cause) => Posted::Queued { cause: with_causes(&cause) },
            Attempt::Refused(ClientError::Refused { status: 409, .. }) if key.is_some() => Posted::Before,
            Attempt::Refused(error) => return Err(refusal(&error)),
        };
        if let Err(error) = self.journal.write_to(&to) {
            tracing::warn!(%error, "the mail's journal cannot be written");
        }
        Ok(posted)
    }
}
