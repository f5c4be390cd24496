//! The work on single messages: each is read, taken through the rules of [`lease`](crate::gateway::lease), and written back.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, params, params_from_iter, types::Value};

use super::row;
use super::write::{Answer, Batch};
use crate::gateway::lease::{Delivery, Outcome, Returned};
use crate::gateway::store::row::{COLUMNS, DELIVERY, is_notice, notice};
use crate::gateway::store::{Done, Refusal, Scope};
use crate::kind::Kind;

/// A message with what the rules need to know.
struct Found {
    id: i64,
    inbox: String,
    sender: String,
    thread: Option<String>,
    read_at: Option<String>,
    is_notice: bool,
    delivery: Delivery,
}

impl Found {
    /// Whether it counts as waiting.
    fn is_open(&self) -> bool {
        self.delivery.read_at.is_none() && self.delivery.dead_at.is_none()
    }
}

impl Batch<'_> {
    /// The message, if the caller may work on it.
    fn find(&self, id: i64, by: &Scope) -> rusqlite::Result<Result<Found, Refusal>> {
        let sql = const_sql();
        let found = self
            .db
            .prepare_cached(&sql)?
            .query_row([id], |row| {
                Ok(Found {
                    id,
                    inbox: row.get(0)?,
                    sender: row.get(1)?,
                    thread: row.get(2)?,
                    is_notice: is_notice(row.get(3)?),
                    read_at: row.get(4)?,
                    delivery: row::delivery(row, 4)?,
                })
            })
            .optional()?;
        Ok(match found {
            None => Err(Refusal::NotFound),
            Some(found) if !by.reaches(&found.inbox) => Err(Refusal::NotYours),
            Some(found) => Ok(found),
        })
    }

    /// Writes a delivery back, and keeps the count of what waits.
    fn save(&mut self, found: &Found, after: &Delivery, note: Option<&str>) -> rusqlite::Result<String> {
        let read_at = match (&found.read_at, after.read_at) {
            (Some(before), _) => Some(before.clone()),
            (None, at) => at.map(|at| at.to_string()),
        };
        self.db
            .prepare_cached(
                "UPDATE messages SET read_at = ?2, lease = ?3, leased_until = ?4, attempts = ?5, available_at = ?6, \
                 outcome = ?7, dead_at = ?8, note = coalesce(?9, note) WHERE id = ?1",
            )?
            .execute(params![
                found.id,
                read_at,
                after.lease.as_ref().map(|lease| &lease.id),
                after.lease.as_ref().map(|lease| lease.until.micros()),
                after.attempts,
                after.available_at.micros(),
                after.outcome.map(Outcome::as_str),
                after.dead_at.map(|at| at.micros()),
                note,
            ])?;
        let is_open = after.read_at.is_none() && after.dead_at.is_none();
        match (found.is_open(), is_open) {
            (true, false) => self.tally.settle(&found.inbox),
            (false, true) => self.tally.reopen(&found.inbox),
            (true, true) | (false, false) => {}
        }
        Ok(read_at.unwrap_or_default())
    }

    pub(super) fn read(&mut self, id: i64, by: &Scope) -> Answer {
        let found = match self.find(id, by)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(read_at) = found.read_at {
            return Ok(Ok(Done::Read { read_at }));
        }
        let after = Delivery { read_at: Some(self.now), ..found.delivery.clone() };
        let read_at = self.save(&found, &after, None)?;
        Ok(Ok(Done::Read { read_at }))
    }

    pub(super) fn claim(
        &mut self,
        inbox: &str,
        max: usize,
        lease: Duration,
        kind: Option<Kind>,
        thread_id: Option<&str>,
    ) -> Answer {
        let (mut count, mut rows) = (0, Vec::new());
        // What has a priority is rare and has an order of its own; the rest goes by sequence.
        for (part, order) in [("priority > 0", "priority DESC, seq"), ("priority = 0", "seq")] {
            for id in self.claimable(inbox, max - count, (part, order), kind, thread_id)? {
                let Ok(found) = self.find(id, &Scope::Any)? else { continue };
                let mut after = found.delivery.clone();
                let name = format!("{id}-{}-{:016x}", after.attempts + 1, fastrand::u64(..));
                if after.claim(self.now, name, lease) {
                    self.save(&found, &after, None)?;
                    if count > 0 {
                        rows.push(b',');
                    }
                    let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ?1");
                    self.db
                        .prepare_cached(&sql)?
                        .query_row([id], |row| row::write_row(row, self.now, true, &mut rows))?;
                    count += 1;
                }
            }
        }
        Ok(Ok(Done::Claimed { count, rows }))
    }

    fn claimable(
        &self,
        inbox: &str,
        max: usize,
        (part, order): (&str, &str),
        kind: Option<Kind>,
        thread_id: Option<&str>,
    ) -> rusqlite::Result<Vec<i64>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut sql = format!(
            "SELECT id FROM messages WHERE inbox = ?1 AND read_at IS NULL AND dead_at IS NULL AND available_at <= ?2 \
             AND (leased_until IS NULL OR leased_until <= ?2) AND (expires_at IS NULL OR expires_at > ?2) \
             AND attempts < {} AND {part}",
            crate::gateway::lease::MAX_ATTEMPTS
        );
        let mut values = vec![
            Value::from(inbox.to_owned()),
            Value::from(self.now.micros()),
            Value::from(i64::try_from(max).unwrap_or(i64::MAX)),
        ];
        if let Some(kind) = kind {
            values.push(kind.as_str().to_owned().into());
            sql.push_str(&format!(" AND kind = ?{}", values.len()));
        }
        if let Some(thread_id) = thread_id {
            values.push(thread_id.to_owned().into());
            sql.push_str(&format!(" AND thread = ?{}", values.len()));
        }
        sql.push_str(&format!(" ORDER BY {order} LIMIT ?3"));
        let mut statement = self.db.prepare_cached(&sql)?;
        let ids = statement.query_map(params_from_iter(values), |row| row.get(0))?;
        ids.collect()
    }

    pub(super) fn ack(
        &mut self,
        id: i64,
        by: &Scope,
        lease: Option<&str>,
        outcome: Outcome,
        note: Option<&str>,
    ) -> Answer {
        let found = match self.find(id, by)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut after = found.delivery.clone();
        if let Err(stale) = after.ack(self.now, lease, outcome) {
            return Ok(Err(Refusal::Stale(stale)));
        }
        let read_at = match (&found.read_at, found.delivery.outcome) {
            (Some(read_at), Some(_)) => read_at.clone(),
            _ => self.save(&found, &after, note)?,
        };
        Ok(Ok(Done::Acked { outcome, read_at }))
    }

    pub(super) fn nack(&mut self, id: i64, by: &Scope, lease: &str, delay: Duration) -> Answer {
        let found = match self.find(id, by)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut after = found.delivery.clone();
        let returned = match after.nack(self.now, lease, delay) {
            Ok(returned) => returned,
            Err(stale) => return Ok(Err(Refusal::Stale(stale))),
        };
        self.save(&found, &after, None)?;
        let mut inboxes = vec![found.inbox.clone()];
        if returned == Returned::Dead {
            inboxes.extend(self.notify_sender(&found, after.attempts)?);
        }
        let is_dead = returned == Returned::Dead;
        Ok(Ok(Done::Returned { is_dead, attempts: after.attempts, inboxes }))
    }

    pub(super) fn extend(&mut self, id: i64, by: &Scope, lease: &str, time: Duration) -> Answer {
        let found = match self.find(id, by)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut after = found.delivery.clone();
        match after.extend(self.now, lease, time) {
            Ok(until) => {
                self.save(&found, &after, None)?;
                Ok(Ok(Done::Extended { until }))
            }
            Err(stale) => Ok(Err(Refusal::Stale(stale))),
        }
    }

    pub(super) fn requeue(&mut self, id: i64, by: &Scope) -> Answer {
        let found = match self.find(id, by)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut after = found.delivery.clone();
        if !after.requeue() {
            return Ok(Err(Refusal::NotDead));
        }
        self.save(&found, &after, None)?;
        Ok(Ok(Done::Requeued { inbox: found.inbox }))
    }

    /// Gives up a message whose last lease ended without an answer; returns the inbox of the notice.
    pub(super) fn bury(&mut self, id: i64) -> rusqlite::Result<Option<String>> {
        let Ok(found) = self.find(id, &Scope::Any)? else { return Ok(None) };
        if !found.delivery.is_exhausted(self.now) {
            return Ok(None);
        }
        let after = Delivery { dead_at: Some(self.now), lease: None, ..found.delivery.clone() };
        self.save(&found, &after, None)?;
        self.notify_sender(&found, after.attempts)
    }

    /// Tells the sender of a dead message, in the receiver's name; of a dead notice nobody is told.
    fn notify_sender(&mut self, found: &Found, attempts: u32) -> rusqlite::Result<Option<String>> {
        if found.is_notice || found.sender == found.inbox {
            return Ok(None);
        }
        let notice = notice(found.id, &found.inbox, &found.sender, found.thread.as_deref(), attempts);
        self.store(&notice, &found.sender)?;
        Ok(Some(found.sender.clone()))
    }
}

fn const_sql() -> String {
    format!("SELECT inbox, sender, thread, verified, {DELIVERY} FROM messages WHERE id = ?1")
}
