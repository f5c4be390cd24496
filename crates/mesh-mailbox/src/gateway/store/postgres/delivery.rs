//! The work on single messages: each is read, taken through the rules of [`lease`](crate::gateway::lease), and written back.

use std::time::Duration;

use tokio_postgres::{Error, Row};

use super::batch::{Answer, Batch};
use super::error::Failure;
use super::step::Step;
use super::text::{Text, plain};
use crate::gateway::lease::{Delivery, Lease, MAX_ATTEMPTS, Outcome, Returned};
use crate::gateway::stamp::Stamp;
use crate::gateway::store::row::{is_notice, notice};
use crate::gateway::store::{Done, Refusal, Scope};
use crate::kind::Kind;

/// The columns of a [`Found`], in its order.
pub(super) const FOUND: &str = "id, inbox, sender, thread, verified, read_at, lease, leased_until, attempts, available_at, \
                                outcome, dead_at, expires_at";

/// A message with what the rules need to know.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) inbox: String,
    sender: String,
    thread: Option<String>,
    is_notice: bool,
    /// The mark as it is stored: another gateway may have written it in a way of its own.
    pub(super) read_at: Option<String>,
    /// A word about the outcome, when there is a new one.
    pub(super) note: Option<String>,
    pub(super) delivery: Delivery,
}

impl Found {
    pub(super) fn of(row: &Row) -> Result<Found, Error> {
        let text = |at: usize| {
            row.try_get::<_, Option<&str>>(at).map(|text| text.map(|text| plain(text).into_owned()))
        };
        let stamp =
            |at: usize| row.try_get::<_, Option<i64>>(at).map(|micros| micros.map(Stamp::from_micros));
        let read_at = text(5)?;
        let lease = text(6)?.zip(stamp(7)?).map(|(id, until)| Lease { id, until });
        Ok(Found {
            id: row.try_get(0)?,
            inbox: text(1)?.unwrap_or_default(),
            sender: text(2)?.unwrap_or_default(),
            thread: text(3)?,
            is_notice: is_notice(row.try_get(4)?),
            note: None,
            delivery: Delivery {
                read_at: read_at.as_deref().map(|text| Stamp::parse(text).unwrap_or_default()),
                lease,
                attempts: u32::try_from(row.try_get::<_, i64>(8)?).unwrap_or(u32::MAX),
                available_at: stamp(9)?.unwrap_or_default(),
                outcome: text(10)?.and_then(|word| Outcome::parse(&word)),
                dead_at: stamp(11)?,
                expires_at: stamp(12)?,
            },
            read_at,
        })
    }
}

impl Batch<'_> {
    /// The message, if the caller may work on it.
    async fn find(&mut self, id: i64, by: &Scope) -> Result<Result<Found, Refusal>, Failure> {
        Ok(match self.message(id).await? {
            None => Err(Refusal::NotFound),
            Some(found) if !by.reaches(&found.inbox) => Err(Refusal::NotYours),
            Some(found) => Ok(found),
        })
    }

    /// Keeps a delivery; returns the mark of its reading.
    fn save(&mut self, mut found: Found, after: Delivery, note: Option<&str>) -> String {
        if found.read_at.is_none() {
            found.read_at = after.read_at.map(|at| at.to_string());
        }
        found.delivery = after;
        found.note = note.map(str::to_owned).or(found.note);
        let read_at = found.read_at.clone().unwrap_or_default();
        self.changed.insert(found.id);
        self.found.insert(found.id, found);
        read_at
    }

    pub(super) async fn read(&mut self, id: i64, by: &Scope) -> Result<Answer, Failure> {
        let found = match self.find(id, by).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(read_at) = found.read_at {
            return Ok(Ok(Done::Read { read_at }));
        }
        let after = Delivery { read_at: Some(self.now), ..found.delivery.clone() };
        let read_at = self.save(found, after, None);
        Ok(Ok(Done::Read { read_at }))
    }

    /// Sent together with what follows; the rows come with the answers of all. Nobody waits for what another gateway has locked:
    /// it is being worked on there.
    pub(super) fn claim(
        &mut self,
        inbox: &str,
        max: usize,
        lease: Duration,
        kind: Option<Kind>,
        thread_id: Option<&str>,
    ) -> Answer {
        let free = format!(
            "FROM mesh_messages WHERE inbox = $1 AND read_at IS NULL AND dead_at IS NULL AND available_at <= $2 \
             AND (leased_until IS NULL OR leased_until <= $2) AND (expires_at IS NULL OR expires_at > $2) \
             AND attempts < {MAX_ATTEMPTS} AND ($6::text IS NULL OR kind = $6) AND ($7::text IS NULL OR thread = $7)"
        );
        // What has a priority is rare and has an order of its own; the rest goes by sequence.
        let sql = format!(
            "WITH urgent AS (SELECT id {free} AND priority > 0 ORDER BY priority DESC, seq LIMIT $3 FOR UPDATE SKIP LOCKED), \
             usual AS (SELECT id {free} AND priority = 0 ORDER BY seq LIMIT $3 - (SELECT count(*) FROM urgent) \
             FOR UPDATE SKIP LOCKED), taken AS (SELECT id FROM urgent UNION ALL SELECT id FROM usual) \
             UPDATE mesh_messages m SET leased_until = $4::bigint, attempts = m.attempts + 1, \
             lease = m.id::text || '-' || (m.attempts + 1)::text || '-' || $5::text \
             FROM taken WHERE m.id = taken.id RETURNING {}, m.priority",
            super::read::columns("m.")
        );
        let step = Step::new(sql)
            .with(Text::owned(inbox))
            .with(self.now.micros())
            .with(i64::try_from(max).unwrap_or(i64::MAX))
            .with(self.now.plus(lease).micros())
            .with(format!("{:016x}", fastrand::u64(..)))
            .with(kind.map(|kind| kind.as_str()))
            .with(thread_id.map(Text::owned));
        self.then_claim(inbox, step);
        Ok(Done::Claimed { count: 0, rows: Vec::new() })
    }

    pub(super) async fn ack(
        &mut self,
        id: i64,
        by: &Scope,
        lease: Option<&str>,
        outcome: Outcome,
        note: Option<&str>,
    ) -> Result<Answer, Failure> {
        let found = match self.find(id, by).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut after = found.delivery.clone();
        if let Err(stale) = after.ack(self.now, lease, outcome) {
            return Ok(Err(Refusal::Stale(stale)));
        }
        let read_at = match (&found.read_at, found.delivery.outcome) {
            (Some(read_at), Some(_)) => read_at.clone(),
            _ => self.save(found, after, note),
        };
        Ok(Ok(Done::Acked { outcome, read_at }))
    }

    pub(super) async fn nack(
        &mut self,
        id: i64,
        by: &Scope,
        lease: &str,
        delay: Duration,
    ) -> Result<Answer, Failure> {
        let found = match self.find(id, by).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut after = found.delivery.clone();
        let returned = match after.nack(self.now, lease, delay) {
            Ok(returned) => returned,
            Err(stale) => return Ok(Err(Refusal::Stale(stale))),
        };
        let attempts = after.attempts;
        self.save(found.clone(), after, None);
        self.wake(&found.inbox);
        let mut inboxes = vec![found.inbox.clone()];
        let is_dead = returned == Returned::Dead;
        if is_dead {
            inboxes.extend(self.notify_sender(&found, attempts).await?);
        }
        Ok(Ok(Done::Returned { is_dead, attempts, inboxes }))
    }

    pub(super) async fn extend(
        &mut self,
        id: i64,
        by: &Scope,
        lease: &str,
        time: Duration,
    ) -> Result<Answer, Failure> {
        let found = match self.find(id, by).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut after = found.delivery.clone();
        match after.extend(self.now, lease, time) {
            Ok(until) => {
                self.save(found, after, None);
                Ok(Ok(Done::Extended { until }))
            }
            Err(stale) => Ok(Err(Refusal::Stale(stale))),
        }
    }

    pub(super) async fn requeue(&mut self, id: i64, by: &Scope) -> Result<Answer, Failure> {
        let found = match self.find(id, by).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut after = found.delivery.clone();
        if !after.requeue() {
            return Ok(Err(Refusal::NotDead));
        }
        let inbox = found.inbox.clone();
        // One that waits again, and took no number for it.
        self.tally.unread.insert(inbox.clone(), (u64::MAX, i64::MAX));
        self.save(found, after, None);
        self.wake(&inbox);
        Ok(Ok(Done::Requeued { inbox }))
    }

    /// Gives up a message whose last lease ended without an answer; returns the inbox of the notice.
    pub(super) async fn bury(&mut self, id: i64) -> Result<Option<String>, Failure> {
        let Some(found) = self.message(id).await? else { return Ok(None) };
        if !found.delivery.is_exhausted(self.now) {
            return Ok(None);
        }
        let after = Delivery { dead_at: Some(self.now), lease: None, ..found.delivery.clone() };
        let attempts = after.attempts;
        self.save(found.clone(), after, None);
        self.notify_sender(&found, attempts).await
    }

    /// Who will be told when these are given up.
    pub(super) fn senders(&self, ids: &[i64]) -> Vec<String> {
        let told = |found: &&Found| !found.is_notice && found.sender != found.inbox;
        ids.iter()
            .filter_map(|id| self.found.get(id))
            .filter(told)
            .map(|found| found.sender.clone())
            .collect()
    }

    /// Tells the sender of a dead message, in the receiver's name; of a dead notice nobody is told.
    async fn notify_sender(&mut self, found: &Found, attempts: u32) -> Result<Option<String>, Failure> {
        if found.is_notice || found.sender == found.inbox {
            return Ok(None);
        }
        let notice = notice(found.id, &found.inbox, &found.sender, found.thread.as_deref(), attempts);
        self.lock(vec![found.sender.clone()]).await?;
        self.store(&notice, &found.sender).await?;
        Ok(Some(found.sender.clone()))
    }

    /// Notes that an inbox has something that was not to be found there before.
    fn wake(&mut self, inbox: &str) {
        self.woken.insert(inbox.to_owned());
    }
}

/// The rows of a claim, by priority and sequence.
pub(super) fn claimed(rows: &[Row], now: Stamp) -> Result<Done, Failure> {
    let mut ordered = Vec::with_capacity(rows.len());
    for row in rows {
        let (seq, priority): (i64, i64) = (row.try_get(0)?, row.try_get(10)?);
        ordered.push((std::cmp::Reverse(priority), seq, row));
    }
    ordered.sort_unstable_by_key(|(priority, seq, _)| (*priority, *seq));
    let mut out = Vec::new();
    for (nth, (_, _, row)) in ordered.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        super::read::write_row(row, 0, now, true, &mut out)?;
    }
    Ok(Done::Claimed { count: rows.len(), rows: out })
}
