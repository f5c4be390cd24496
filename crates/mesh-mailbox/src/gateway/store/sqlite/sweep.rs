//! What is given up and what is dropped, a little at a time: mail goes out between two sweeps.

use rusqlite::{OptionalExtension as _, params};

use super::write::{Answer, Batch};
use crate::gateway::store::{Done, Retention};

/// Most rows of each kind that one sweep takes on.
const PORTION: i64 = 500;

/// Messages that one sweep looks at for their age.
const WINDOW: i64 = 20_000;

impl Batch<'_> {
    pub(super) fn sweep(&mut self, retention: Option<&Retention>) -> Answer {
        let (mut dead, mut inboxes) = (0, Vec::new());
        let exhausted = self.ids(
            "SELECT id FROM messages WHERE leased_until <= ?1 AND read_at IS NULL AND dead_at IS NULL AND attempts >= ?3 LIMIT ?2",
            Some(i64::from(crate::gateway::lease::MAX_ATTEMPTS)),
        )?;
        for id in &exhausted {
            inboxes.extend(self.bury(*id)?);
            dead += 1;
        }
        let portion = usize::try_from(PORTION).unwrap_or(usize::MAX);
        let mut is_partial = exhausted.len() >= portion;
        let mut dropped = 0;
        if let Some(retention) = retention {
            for gone in [self.drop_expired()?, self.drop_surplus(retention)?] {
                is_partial |= gone >= portion;
                dropped += gone;
            }
            let (gone, is_more) = self.drop_old(retention)?;
            is_partial |= is_more;
            dropped += gone;
            is_partial |= self.drop_keys(retention)? >= portion;
        }
        Ok(Ok(Done::Swept { dead, dropped, inboxes, is_partial }))
    }

    fn drop_keys(&mut self, retention: &Retention) -> rusqlite::Result<usize> {
        let before = self.now.minus(retention.keys).micros();
        self.db.prepare_cached("DELETE FROM invites WHERE expires_at <= ?1")?.execute([self.now.micros()])?;
        self.db
            .prepare_cached(
                "DELETE FROM send_keys WHERE (sender, key) IN \
                 (SELECT sender, key FROM send_keys WHERE created_at < ?1 LIMIT ?2)",
            )?
            .execute(params![before, PORTION])
    }

    fn ids(&self, sql: &str, extra: Option<i64>) -> rusqlite::Result<Vec<i64>> {
        let mut statement = self.db.prepare_cached(sql)?;
        let now = self.now.micros();
        let bound = [Some(now), Some(PORTION), extra];
        statement
            .query_map(rusqlite::params_from_iter(bound.into_iter().flatten()), |row| row.get(0))?
            .collect()
    }

    /// Mail that nobody read before its sender's deadline.
    fn drop_expired(&mut self) -> rusqlite::Result<usize> {
        let ids = self.ids(
            "SELECT id FROM messages WHERE expires_at <= ?1 AND (leased_until IS NULL OR leased_until <= ?1) LIMIT ?2",
            None,
        )?;
        self.drop_all(&ids)
    }

    /// Settled mail beyond its age, unread mail beyond its own: a window of messages at a time, from the oldest to the first
    /// that is too young for either. Returns how many were dropped, and whether the round goes on.
    fn drop_old(&mut self, retention: &Retention) -> rusqlite::Result<(usize, bool)> {
        let (settled, unread) = (self.now.minus(retention.settled), self.now.minus(retention.unread));
        let begin = self.tally.swept_to;
        let sql = "SELECT max(id), min(created_at) FROM (SELECT id, created_at FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2)";
        let (end, oldest): (Option<i64>, Option<String>) = self
            .db
            .prepare_cached(sql)?
            .query_row(params![begin, WINDOW], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(end), true) = (end, oldest < Some(settled.max(unread).to_string())) else {
            self.tally.swept_to = 0;
            return Ok((0, false));
        };
        let ids: Vec<i64> = self
            .db
            .prepare_cached(
                "SELECT id FROM messages WHERE id > ?1 AND id <= ?2 AND created_at < \
                 CASE WHEN read_at IS NULL AND dead_at IS NULL THEN ?3 ELSE ?4 END LIMIT ?5",
            )?
            .query_map(params![begin, end, unread.to_string(), settled.to_string(), PORTION], |row| {
                row.get(0)
            })?
            .collect::<rusqlite::Result<_>>()?;
        let dropped = self.drop_all(&ids)?;
        if i64::try_from(dropped).unwrap_or(i64::MAX) < PORTION {
            self.tally.swept_to = end;
        }
        Ok((dropped, true))
    }

    /// Settled mail of inboxes that hold too much; what is unread stays.
    fn drop_surplus(&mut self, retention: &Retention) -> rusqlite::Result<usize> {
        let max = i64::try_from(retention.max_per_inbox).unwrap_or(i64::MAX);
        // Only an inbox that ever gave out so many numbers can hold so many messages.
        let large: Vec<String> = self
            .db
            .prepare_cached("SELECT name FROM inboxes WHERE last_seq > ?1")?
            .query_map([max], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut dropped = 0;
        for inbox in large {
            let held: i64 = self
                .db
                .prepare_cached("SELECT count(*) FROM messages WHERE inbox = ?1")?
                .query_row([&inbox], |row| row.get(0))?;
            let surplus = (held - max).clamp(0, PORTION);
            if surplus == 0 {
                continue;
            }
            let ids: Vec<i64> = self
                .db
                .prepare_cached(
                    "SELECT id FROM messages WHERE inbox = ?1 AND (read_at IS NOT NULL OR dead_at IS NOT NULL) ORDER BY seq LIMIT ?2",
                )?
                .query_map(params![inbox, surplus], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            dropped += self.drop_all(&ids)?;
        }
        Ok(dropped)
    }

    fn drop_all(&mut self, ids: &[i64]) -> rusqlite::Result<usize> {
        let mut drop = self.db.prepare_cached(
            "DELETE FROM messages WHERE id = ?1 RETURNING inbox, read_at IS NULL AND dead_at IS NULL",
        )?;
        for id in ids {
            let gone: Option<(String, bool)> =
                drop.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            if let Some((inbox, true)) = gone {
                self.tally.settle(&inbox);
            }
        }
        Ok(ids.len())
    }
}
