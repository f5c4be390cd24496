//! What is given up and what is dropped, a little at a time. Several gateways may sweep at once: each leaves alone what another
//! has in its hands. Each statement has an order that one of the indexes has: without it, a plan made for few rows reads all.

use super::batch::{Answer, Batch};
use super::error::Failure;
use super::step::Step;
use crate::gateway::lease::MAX_ATTEMPTS;
use crate::gateway::store::{Done, Retention};

/// Most rows of each kind that one sweep takes on.
const PORTION: i64 = 500;

/// Messages that one sweep looks at for their age.
const WINDOW: i64 = 20_000;

/// Longest time of one of a sweep's statements, in milliseconds.
const SWEEP_TIME: u32 = 4000;

impl Batch<'_> {
    pub(super) async fn sweep(&mut self, retention: Option<&Retention>) -> Result<Answer, Failure> {
        // A sweep may look at much; whatever it is at, it ends in time.
        self.then(Step::new(format!("SET LOCAL statement_timeout = {SWEEP_TIME}")));
        let swept = self.sweep_in_time(retention).await?;
        self.then(Step::new("SET LOCAL statement_timeout = 0"));
        Ok(swept)
    }

    async fn sweep_in_time(&mut self, retention: Option<&Retention>) -> Result<Answer, Failure> {
        let (exhausted, mut inboxes) = self.bury_exhausted().await?;
        let portion = usize::try_from(PORTION).unwrap_or(usize::MAX);
        let mut is_partial = exhausted >= portion;
        let mut dropped = 0;
        if let Some(retention) = retention {
            for gone in [self.drop_expired().await?, self.drop_surplus(retention).await?] {
                is_partial |= gone >= portion;
                dropped += gone;
            }
            let (gone, is_more) = self.drop_old(retention).await?;
            is_partial |= is_more;
            dropped += gone;
            is_partial |= self.drop_keys(retention).await? >= portion;
            if dropped > 0 {
                let count = i64::try_from(dropped).unwrap_or(i64::MAX);
                let sql = "UPDATE mesh_counters SET value = value + $1::bigint WHERE name = 'dropped'";
                self.then(Step::new(sql).with(count));
            }
        }
        inboxes.dedup();
        Ok(Ok(Done::Swept { dead: exhausted, dropped, inboxes, is_partial }))
    }

    async fn bury_exhausted(&mut self) -> Result<(usize, Vec<String>), Failure> {
        self.barrier().await?;
        let columns = super::delivery::FOUND;
        let sql = format!(
            "SELECT {columns} FROM mesh_messages WHERE leased_until <= $1 AND read_at IS NULL AND dead_at IS NULL \
             AND attempts >= {MAX_ATTEMPTS} ORDER BY leased_until LIMIT $2 FOR UPDATE SKIP LOCKED"
        );
        let rows = self.ask(Step::new(sql).with(self.now.micros()).with(PORTION)).await?;
        self.take_found(&rows)?;
        let ids: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        // All who will be told are locked together, in the order that every gateway keeps.
        self.lock(self.senders(&ids)).await?;
        let mut inboxes = Vec::new();
        for id in &ids {
            inboxes.extend(self.bury(*id).await?);
        }
        Ok((ids.len(), inboxes))
    }

    async fn drop_keys(&mut self, retention: &Retention) -> Result<usize, Failure> {
        let before = self.now.minus(retention.keys).micros();
        let invites = "DELETE FROM mesh_invites WHERE expires_at <= $1";
        self.then(Step::new(invites).with(self.now.micros()));
        let sql = "DELETE FROM mesh_keys k USING (SELECT sender, key FROM mesh_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2 \
                   FOR UPDATE SKIP LOCKED) old WHERE k.sender = old.sender AND k.key = old.key RETURNING 1";
        Ok(self.ask(Step::new(sql).with(before).with(PORTION)).await?.len())
    }

    /// Mail that nobody read before its sender's deadline.
    async fn drop_expired(&mut self) -> Result<usize, Failure> {
        let rule = "expires_at <= $1 AND (leased_until IS NULL OR leased_until <= $1) \
                    ORDER BY expires_at LIMIT $2";
        self.drop(rule, |step, now| step.with(now).with(PORTION)).await
    }

    /// Settled mail beyond its age, unread mail beyond its own: a window of messages at a time, from the oldest to the first
    /// that is too young for either. Returns how many were dropped, and whether the round goes on.
    async fn drop_old(&mut self, retention: &Retention) -> Result<(usize, bool), Failure> {
        let (settled, unread) = (self.now.minus(retention.settled), self.now.minus(retention.unread));
        let begin = self.tally.swept_to;
        let sql = "SELECT max(id), min(created_at) FROM (SELECT id, created_at FROM mesh_messages WHERE id > $1 \
                   ORDER BY id LIMIT $2) AS next";
        let rows = self.ask(Step::new(sql).with(begin).with(WINDOW)).await?;
        let (end, oldest): (Option<i64>, Option<String>) = match rows.first() {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (None, None),
        };
        let (Some(end), true) = (end, oldest < Some(settled.max(unread).to_string())) else {
            self.tally.swept_to = 0;
            return Ok((0, false));
        };
        let rule = "id > $1 AND id <= $2 AND created_at < CASE WHEN read_at IS NULL AND dead_at IS NULL THEN $3 ELSE $4 END \
                    LIMIT $5";
        let dropped = self
            .drop(rule, |step, _| {
                step.with(begin).with(end).with(unread.to_string()).with(settled.to_string()).with(PORTION)
            })
            .await?;
        if i64::try_from(dropped).unwrap_or(i64::MAX) < PORTION {
            self.tally.swept_to = end;
        }
        Ok((dropped, true))
    }

    /// Settled mail of inboxes that hold too much; what is unread stays.
    async fn drop_surplus(&mut self, retention: &Retention) -> Result<usize, Failure> {
        let max = i64::try_from(retention.max_per_inbox).unwrap_or(i64::MAX);
        // Only an inbox whose oldest and newest numbers lie so far apart can hold so many messages.
        let large = "SELECT i.name FROM mesh_inboxes i WHERE i.last_seq > $1 AND i.last_seq - \
                     (SELECT m.seq FROM mesh_messages m WHERE m.inbox = i.name ORDER BY m.seq LIMIT 1) >= $1";
        let large = self.ask(Step::new(large).with(max)).await?;
        let mut dropped = 0;
        for row in &large {
            let inbox: String = row.try_get(0)?;
            let count = "SELECT count(*) FROM mesh_messages WHERE inbox = $1";
            let counted = self.ask(Step::new(count).with(inbox.clone())).await?;
            let held: i64 = counted.first().map_or(Ok(0), |row| row.try_get(0))?;
            let surplus = (held - max).clamp(0, PORTION);
            if surplus > 0 {
                let rule =
                    "inbox = $1 AND (read_at IS NOT NULL OR dead_at IS NOT NULL) ORDER BY seq LIMIT $2";
                dropped += self.drop(rule, |step, _| step.with(inbox.clone()).with(surplus)).await?;
            }
        }
        Ok(dropped)
    }

    /// Drops what a rule chooses.
    async fn drop(
        &mut self,
        rule: &str,
        values: impl FnOnce(Step<'static>, i64) -> Step<'static>,
    ) -> Result<usize, Failure> {
        let sql = format!(
            "DELETE FROM mesh_messages m USING (SELECT id FROM mesh_messages WHERE {rule} FOR UPDATE SKIP LOCKED) old \
             WHERE m.id = old.id RETURNING 1"
        );
        let step = values(Step::new(sql), self.now.micros());
        Ok(self.ask(step).await?.len())
    }
}
