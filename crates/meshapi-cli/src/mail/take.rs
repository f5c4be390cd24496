//! Taking messages by lease, and letting them go: acknowledged, or given back.

use std::{collections::BTreeSet, time::Duration};

use mesh_agent::mail::Outcome;
use mesh_mailbox::{
    ClientError, Envelope, Inbox, Look,
    outbox::{pause, random},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Desk,
    desk::{TRIES, mail},
    hold::Held,
};

/// How long one request waits for mail: a gateway's longest is 60 s.
const POLL: Duration = Duration::from_secs(20);
/// Most characters of a note that goes with an acknowledgement. From the gateway's limits.
const NOTE_CHARS: usize = 2_000;

impl Desk {
    /// Claims messages; what was dealt with before is acknowledged again and left out.
    pub(super) async fn claim(
        &self,
        max: usize,
        wait: Duration,
        thread: Option<&str>,
    ) -> Result<Vec<Held>, ClientError> {
        loop {
            let envelopes = self.claim_rows(max, wait.min(POLL), thread).await?;
            let is_empty = envelopes.is_empty();
            let mut taken = Vec::new();
            for envelope in envelopes {
                let lease = envelope.extra.get("lease_id").and_then(Value::as_str).map(str::to_owned);
                let held = Held { mail: mail(envelope, true), lease, decided: None };
                let at = held.mail.at.as_deref().unwrap_or_default();
                match self.journal.answered(self.node(), held.mail.id, at) {
                    Some(outcome) => {
                        self.shared.hold().gone(held.mail.id);
                        self.acknowledge(&held, outcome, None).await;
                    }
                    None => taken.push(held),
                }
            }
            if is_empty || !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn claim_rows(
        &self,
        max: usize,
        wait: Duration,
        thread: Option<&str>,
    ) -> Result<Vec<Envelope>, ClientError> {
        let mut body = json!({
            "to": self.node(), "max": max, "lease_s": self.lease.as_secs_f64(), "wait": wait.as_secs_f64(),
        });
        if let Some(thread) = thread {
            body["thread_id"] = thread.into();
        }
        match self.mailbox.call("POST", "/messages/claim", Some(&body), wait).await {
            Ok(answer) => Ok(Inbox::from_json(&answer)?.envelopes),
            // The Python gateway knows no leases: what is unread is taken, and marked read at the end.
            Err(ClientError::Refused { status: 404 | 405 | 501, .. }) if thread.is_none() => {
                let limit = u32::try_from(max).ok();
                let look = Look { limit, oldest_first: true, wait, ..Look::unread() };
                let rows = self.mailbox.fetch(&look).await?.envelopes;
                let held: Vec<i64> = self.shared.hold().held.iter().map(|held| held.mail.id).collect();
                Ok(rows.into_iter().filter(|row| !held.contains(&row.id.0)).collect())
            }
            Err(error) => Err(error),
        }
    }

    /// The same until something came, the time is over, or it cannot be had.
    pub(super) async fn claim_within(&self, max: usize, wait: Duration) -> Result<Vec<Held>, ClientError> {
        let deadline = Instant::now() + wait;
        let mut failures = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Work on one message takes only the answers to what it asked itself.
            let work = self.shared.hold().work.clone();
            let claimed = match &work {
                None => self.claim(max, left, None).await,
                Some(work) if work.threads.is_empty() => Ok(Vec::new()),
                Some(work) => self.claim_of(&work.threads, max, left).await,
            };
            match claimed {
                Ok(held) if !held.is_empty() => {
                    let mut hold = self.shared.hold();
                    held.iter().for_each(|held| hold.hold(held.clone()));
                    drop(hold);
                    self.shared.ring();
                    return Ok(held);
                }
                Ok(_) if left.is_zero() || work.is_some_and(|work| work.threads.is_empty()) => {
                    return Ok(Vec::new());
                }
                Ok(_) => failures = 0,
                Err(error) if error.is_transient() && !left.is_zero() => {
                    failures += 1;
                    tracing::warn!(%error, "the gateway cannot be asked for mail");
                    tokio::time::sleep(pause(failures, None, random()).min(left)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Claims in any of these threads.
    async fn claim_of(
        &self,
        threads: &BTreeSet<String>,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Held>, ClientError> {
        /// A request waits in one thread: with several it goes round.
        const ROUND: Duration = Duration::from_secs(1);
        let wait = if threads.len() > 1 { wait.min(ROUND) } else { wait };
        for thread in threads {
            let held = self.claim(max, wait, Some(thread)).await?;
            if !held.is_empty() {
                return Ok(held);
            }
        }
        Ok(Vec::new())
    }

    /// Notes what is held as dealt with, before any of it is acknowledged.
    pub(super) fn note_all(&self, held: &[Held]) -> std::io::Result<()> {
        for Held { mail, decided, .. } in held {
            let outcome = decided.as_ref().map_or(Outcome::Done, |(outcome, _)| *outcome);
            self.journal.answer(self.node(), mail.id, mail.at.as_deref().unwrap_or_default(), outcome)?;
        }
        Ok(())
    }

    pub(super) async fn acknowledge_all(&self, held: &[Held]) {
        for held in held {
            let (outcome, note) = held.decided.clone().unwrap_or_default();
            self.acknowledge(held, outcome, note.as_deref()).await;
        }
    }

    /// Acknowledges a message. Where that is lost, the message comes again, and the journal knows it.
    pub(super) async fn acknowledge(&self, held: &Held, outcome: Outcome, note: Option<&str>) {
        let path = format!("/messages/{}/ack", held.mail.id);
        for attempt in 1..=TRIES {
            let done = match &held.lease {
                None => self.mailbox.mark_read(held.mail.id).await,
                Some(lease) => {
                    let mut body = json!({ "lease_id": lease, "outcome": outcome.as_str() });
                    if let Some(note) = note {
                        body["note"] = note.chars().take(NOTE_CHARS).collect::<String>().into();
                    }
                    self.mailbox.call("POST", &path, Some(&body), Duration::ZERO).await.map(drop)
                }
            };
            match done {
                Err(error) if error.is_transient() && attempt < TRIES => {
                    tokio::time::sleep(pause(attempt, None, random())).await;
                }
                Err(error) => {
                    tracing::warn!(%error, id = held.mail.id, "a message cannot be acknowledged; it will come again and be known");
                    return;
                }
                Ok(()) => return,
            }
        }
    }

    pub(super) async fn give_back(&self, held: &Held, delay: Duration) {
        let Some(lease) = &held.lease else { return };
        let body = json!({ "lease_id": lease, "delay_s": delay.as_secs_f64() });
        let path = format!("/messages/{}/nack", held.mail.id);
        if let Err(error) = self.mailbox.call("POST", &path, Some(&body), Duration::ZERO).await {
            tracing::warn!(%error, id = held.mail.id, "a message cannot be given back; it is free when its lease ends");
        }
    }
}
