//! Looks: rows come as they are stored and are copied into the answer.

use std::sync::Arc;

use tokio_postgres::{Error, Row};

use super::batch::digest;
use super::error::Failure;
use super::link::{Link, Runner};
use super::place::{Clock, PostgresPlace};
use super::session::Purpose;
use super::step::Step;
use super::text::{Text, plain};
use crate::gateway::query::Look;
use crate::gateway::stamp::Stamp;
use crate::gateway::store::look::{self, Rows, Value};
use crate::gateway::store::row::{COLUMNS, Shown};
use crate::gateway::store::{
    Counts, GroupRow, InviteRow, Known, OneMessage, Page, PeerRow, Reader, StoreError, ThreadRow,
};

/// The moment of a look: one for the whole of it.
const CLOCK: &str = "(SELECT (extract(epoch from statement_timestamp()) * 1000000)::bigint)";

/// A connection that only reads.
pub struct PostgresReader {
    link: Link,
    // After the link: a connection ends within its runtime.
    runner: Runner,
}

impl std::fmt::Debug for PostgresReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresReader({})", self.link.place.shown())
    }
}

impl PostgresReader {
    /// A reader of a database. It connects with its first look.
    ///
    /// # Errors
    /// The system refuses what it needs.
    pub fn new(place: Arc<PostgresPlace>) -> Result<PostgresReader, StoreError> {
        Ok(PostgresReader { link: Link::new(place, Purpose::Looks), runner: Runner::new()? })
    }

    fn rows(&mut self, step: impl Fn() -> Step<'static> + Send + Sync) -> Result<Vec<Row>, StoreError> {
        let PostgresReader { link, runner } = self;
        runner.run(link.look(step))
    }

    fn told(&self, error: Error) -> StoreError {
        Failure::Database(error).into_error(self.link.place.shown())
    }

    /// How a statement says the moment, when the caller says it so.
    fn moment(&self, now: Stamp) -> String {
        match self.link.place.clock {
            Clock::Database => CLOCK.to_owned(),
            Clock::Caller => format!("{}::bigint", now.micros()),
        }
    }
}

impl Reader for PostgresReader {
    fn page(
        &mut self,
        now: Stamp,
        look: &Look,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<Page, StoreError> {
        let moment = self.moment(now);
        let mut values = Vec::new();
        let rules = look::rules(look, '$', &moment, &mut values);
        values.push(Value::Integer(look.limit));
        values.push(Value::Integer(i64::try_from(max_bytes).unwrap_or(i64::MAX)));
        let (order, limit, bytes) = (look::order(look), values.len() - 1, values.len());
        // What would not fit is not sent: the rows before a row, its neighbour left aside, fill the page. So one comes more than
        // fits, which tells that there are more.
        let sql = format!(
            "SELECT {COLUMNS}, {moment} FROM (SELECT {COLUMNS}, id, sum(octet_length(head)) OVER (ORDER BY {order} \
             ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before FROM (SELECT {COLUMNS}, id FROM mesh_messages \
             WHERE {rules} ORDER BY {order} LIMIT ${limit}) AS chosen) AS page \
             WHERE before IS NULL OR before <= ${bytes} ORDER BY {order}"
        );
        let found = self.rows(|| {
            values.iter().fold(Step::new(sql.clone()), |step, value| match value {
                Value::Integer(number) => step.with(*number),
                Value::Text(text) => step.with(Text::owned(text)),
            })
        })?;
        let mut rows = Rows::new(out, max_bytes);
        for row in &found {
            let written = rows.push(|out| {
                let now = row.try_get(10).map(Stamp::from_micros)?;
                write_row(row, 0, now, false, out)
            });
            if !written.map_err(|error| self.told(error))? {
                break;
            }
        }
        Ok(rows.finish(look))
    }

    fn message(&mut self, id: i64) -> Result<Option<OneMessage>, StoreError> {
        let moment = self.moment(Stamp::now());
        let sql = format!("SELECT {COLUMNS}, {moment}, sender, inbox FROM mesh_messages WHERE id = $1");
        let found = self.rows(|| Step::new(sql.clone()).with(id))?;
        let read = |row: &Row| {
            let mut out = Vec::new();
            write_row(row, 0, Stamp::from_micros(row.try_get(10)?), false, &mut out)?;
            Ok(OneMessage { from_node: text(row, 11)?, to_node: text(row, 12)?, row: out })
        };
        found.first().map(read).transpose().map_err(|error| self.told(error))
    }

    fn last_sequence(&mut self, inbox: &str) -> Result<i64, StoreError> {
        let sql = "SELECT last_seq FROM mesh_inboxes WHERE name = $1";
        let found = self.rows(|| Step::new(sql).with(Text::owned(inbox)))?;
        let read = found.first().map_or(Ok(0), |row| row.try_get(0));
        read.map_err(|error| self.told(error))
    }

    fn threads(&mut self, uuid: Option<&str>) -> Result<Vec<ThreadRow>, StoreError> {
        let sql = "SELECT uuid, name, session_id, created_at, last_used_at FROM mesh_threads \
                   WHERE $1::text IS NULL OR uuid = $1 ORDER BY last_used_at DESC LIMIT 1000";
        let found = self.rows(|| Step::new(sql).with(uuid.map(Text::owned)))?;
        let read: Result<_, Error> = found.iter().map(thread).collect();
        read.map_err(|error| self.told(error))
    }

    /// Messages are not counted one by one: they are as many as numbers were given out, less those that were dropped.
    fn counts(&mut self) -> Result<Counts, StoreError> {
        let sql = "SELECT (SELECT coalesce(sum(last_seq), 0)::bigint FROM mesh_inboxes) \
                   - (SELECT value FROM mesh_counters WHERE name = 'dropped'), \
                   (SELECT count(*) FROM mesh_messages WHERE read_at IS NULL AND dead_at IS NULL), \
                   (SELECT count(*) FROM mesh_messages WHERE dead_at IS NOT NULL)";
        let found = self.rows(|| Step::new(sql))?;
        let read = |row: &Row| {
            let count = |at: usize| row.try_get::<_, i64>(at).map(|count| u64::try_from(count).unwrap_or(0));
            Ok(Counts { messages: count(0)?, unread: count(1)?, dead: count(2)? })
        };
        found.first().map_or(Ok(Counts::default()), read).map_err(|error| self.told(error))
    }

    fn known(&mut self) -> Result<Known, StoreError> {
        let peers = self.rows(|| Step::new(format!("SELECT {PEER} FROM mesh_peers ORDER BY name")))?;
        let groups = self.rows(|| Step::new(format!("SELECT {GROUP} FROM mesh_groups ORDER BY name")))?;
        let invites = self.rows(|| Step::new("SELECT token, name, expires_at FROM mesh_invites"))?;
        let shown = self.link.place.shown();
        let told = |failure: Failure| failure.into_error(shown);
        Ok(Known {
            peers: peers.iter().map(peer).collect::<Result<_, _>>().map_err(told)?,
            groups: groups.iter().map(group).collect::<Result<_, _>>().map_err(|error| told(error.into()))?,
            invites: invites.iter().map(invite).collect::<Result<_, _>>().map_err(told)?,
        })
    }
}

/// [`COLUMNS`] of a table that has another name in a statement.
pub(super) fn columns(prefix: &str) -> String {
    COLUMNS.split(", ").map(|column| format!("{prefix}{column}")).collect::<Vec<_>>().join(", ")
}

/// Writes a row from columns that begin at `at`; returns its sequence.
pub(super) fn write_row(
    row: &Row,
    at: usize,
    now: Stamp,
    with_lease: bool,
    out: &mut Vec<u8>,
) -> Result<i64, Error> {
    let text = |nth: usize| row.try_get::<_, Option<&str>>(at + nth);
    let [read_at, outcome, note, lease] = [text(1)?, text(4)?, text(5)?, text(8)?];
    let [read_at, note] = [read_at.map(plain), note.map(plain)];
    let shown = Shown {
        seq: row.try_get(at)?,
        read_at: read_at.as_ref().map(|text| text.as_bytes()),
        leased_until: row.try_get(at + 2)?,
        attempts: row.try_get(at + 3)?,
        outcome: outcome.map(str::as_bytes),
        note: note.as_ref().map(|text| text.as_bytes()),
        dead_at: row.try_get(at + 6)?,
        verified: row.try_get(at + 7)?,
        lease: lease.map(str::as_bytes),
        head: row.try_get::<_, &str>(at + 9)?.as_bytes(),
    };
    shown.write(now, with_lease, out);
    Ok(shown.seq)
}

fn text(row: &Row, at: usize) -> Result<String, Error> {
    row.try_get::<_, &str>(at).map(|text| plain(text).into_owned())
}

fn optional(row: &Row, at: usize) -> Result<Option<String>, Error> {
    row.try_get::<_, Option<&str>>(at).map(|text| text.map(|text| plain(text).into_owned()))
}

/// A thread from the columns `uuid, name, session_id, created_at, last_used_at`.
pub(super) fn thread(row: &Row) -> Result<ThreadRow, Error> {
    Ok(ThreadRow {
        uuid: text(row, 0)?,
        name: text(row, 1)?,
        session_id: optional(row, 2)?,
        created_at: text(row, 3)?,
        last_used_at: text(row, 4)?,
    })
}

/// The columns of a peer.
pub(super) const PEER: &str =
    "name, url, capabilities, registered_at, last_seen, enabled, token, online_until";

/// The columns of a group.
pub(super) const GROUP: &str = "name, description, created_by, created_at, members";

pub(super) fn peer(row: &Row) -> Result<PeerRow, Failure> {
    let token: Option<&[u8]> = row.try_get(6)?;
    Ok(PeerRow {
        name: text(row, 0)?,
        url: text(row, 1)?,
        capabilities: serde_json::from_str(row.try_get(2)?).unwrap_or_default(),
        registered_at: text(row, 3)?,
        last_seen: optional(row, 4)?,
        is_enabled: row.try_get(5)?,
        token: token.map(digest).transpose()?,
        online_until: row.try_get::<_, Option<i64>>(7)?.map(Stamp::from_micros),
    })
}

pub(super) fn group(row: &Row) -> Result<GroupRow, Error> {
    Ok(GroupRow {
        name: text(row, 0)?,
        description: text(row, 1)?,
        created_by: text(row, 2)?,
        created_at: text(row, 3)?,
        members: serde_json::from_str(row.try_get(4)?).unwrap_or_default(),
    })
}

fn invite(row: &Row) -> Result<InviteRow, Failure> {
    Ok(InviteRow {
        token: digest(row.try_get(0)?)?,
        name: optional(row, 1)?,
        expires_at: Stamp::from_micros(row.try_get(2)?),
    })
}
