//! Working on messages: claim, acknowledge, give back, hold longer, mark as read.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::messages::{message_id, wait_of};
use super::table::Work;
use super::{Call, Shared};
use crate::gateway::directory::Caller;
use crate::gateway::draft::{MAX_ID_CHARS, MAX_NAME_CHARS};
use crate::gateway::fault::{Faults, Fields};
use crate::gateway::lease::Outcome;
use crate::gateway::reply::{Problem, Reply};
use crate::gateway::store::{Command, Done, Store};
use crate::kind::Kind;

/// Most messages of one claim.
const MAX_CLAIM: i64 = 100;
/// Lease of a claim that names none.
const LEASE: Duration = Duration::from_secs(60);
/// Shortest and longest lease, in seconds.
const LEASES: (f64, f64) = (1.0, 3600.0);
/// Longest delay of what is given back, in seconds.
const MAX_DELAY: f64 = 86_400.0;
/// Most characters of a note.
const MAX_NOTE: usize = 2000;
/// How often one who waits looks again: leases end without a wake-up.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl<S: Store> Shared<S> {
    pub(super) async fn claim(&self, call: &Call, body: &[u8]) -> Result<Reply, Problem> {
        let mut fields = Fields::of_optional(body)?;
        let inbox = fields
            .optional_text("to", MAX_NAME_CHARS)
            .or_else(|| fields.optional_text("node", MAX_NAME_CHARS));
        let max = fields.optional_integer("max", 1, MAX_CLAIM).unwrap_or(1);
        let lease = fields.optional_seconds("lease_s", LEASES.0, LEASES.1).unwrap_or(LEASE);
        let wait = wait_of(&mut fields);
        let thread_id = fields.optional_text("thread_id", MAX_ID_CHARS);
        let kind = fields.optional_text("kind", MAX_NAME_CHARS).and_then(|word| {
            let kind: Option<Kind> = word.parse().ok();
            if kind.is_none() {
                fields.refuse("kind", "Input should be one of answer, fyi, question, status, unblock");
            }
            kind
        });
        fields.end()?;
        let inbox = match (inbox, &call.caller) {
            (Some(inbox), _) => inbox,
            (None, Caller::Peer(own)) => own.clone(),
            (None, _) => {
                return Err(Faults::one("missing", &["body", "to"], "Field required", &json!({})).into());
            }
        };
        self.directory().may_act_as(&call.caller, &inbox, "claim mail of")?;
        self.note_seen(&inbox);
        let deadline = Instant::now() + wait;
        let mut waiter = self.hub.wait_for(&inbox);
        let mut stopping = self.stopping.clone();
        let max = usize::try_from(max).unwrap_or(1);
        loop {
            waiter.look();
            let is_stopping = *stopping.borrow();
            let claim =
                Command::Claim { inbox: inbox.clone(), max, lease, kind, thread_id: thread_id.clone() };
            let Done::Claimed { count, rows } = self.done(claim).await? else { return Err(Problem::busy()) };
            if count > 0 || is_stopping || Instant::now() >= deadline {
                let mut out = br#"{"messages":["#.to_vec();
                out.extend_from_slice(&rows);
                out.extend_from_slice(format!(r#"],"n":{count}}}"#).as_bytes());
                return Ok(Reply::raw(out));
            }
            tokio::select! {
                () = waiter.woken() => {}
                () = tokio::time::sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)) => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        }
    }

    pub(super) async fn work(
        &self,
        call: &Call,
        id: &str,
        work: Work,
        body: &[u8],
    ) -> Result<Reply, Problem> {
        let id = message_id(id)?;
        let by = call.caller.scope()?;
        let command = match work {
            Work::Read => Command::Read { id, by },
            Work::Requeue => Command::Requeue { id, by },
            Work::Ack => {
                let mut fields = Fields::of_optional(body)?;
                let lease = fields.optional_text("lease_id", MAX_ID_CHARS);
                let note = fields.optional_text("note", MAX_NOTE);
                let outcome = match fields.optional_text("outcome", MAX_NAME_CHARS) {
                    None => Outcome::Done,
                    Some(word) => Outcome::parse(&word).unwrap_or_else(|| {
                        fields.refuse("outcome", "Input should be 'done', 'failed' or 'rejected'");
                        Outcome::Done
                    }),
                };
                fields.end()?;
                Command::Ack { id, by, lease, outcome, note }
            }
            Work::Nack => {
                let mut fields = Fields::of(body)?;
                let lease = fields.text("lease_id", MAX_ID_CHARS);
                let delay = fields.optional_seconds("delay_s", 0.0, MAX_DELAY).unwrap_or_default();
                fields.end()?;
                Command::Nack { id, by, lease, delay }
            }
            Work::Extend => {
                let mut fields = Fields::of(body)?;
                let lease = fields.text("lease_id", MAX_ID_CHARS);
                let time = fields.optional_seconds("lease_s", LEASES.0, LEASES.1).unwrap_or(LEASE);
                fields.end()?;
                Command::Extend { id, by, lease, time }
            }
        };
        let answer = match self.done(command).await? {
            Done::Read { read_at } => json!({"id": id, "read_at": read_at}),
            Done::Acked { outcome, read_at } => {
                json!({"id": id, "outcome": outcome.as_str(), "read_at": read_at})
            }
            Done::Returned { is_dead, attempts, .. } => {
                json!({"id": id, "dead": is_dead, "attempt": attempts})
            }
            Done::Extended { until } => json!({"id": id, "claimed_until": until.to_string()}),
            Done::Requeued { .. } => json!({"id": id, "status": "requeued"}),
            _ => return Err(Problem::busy()),
        };
        Ok(Reply::json(&answer))
    }
}
