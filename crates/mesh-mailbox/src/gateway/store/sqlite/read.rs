//! Looks: rows are copied from the database's page into the answer, and nowhere else on the way.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::known::known;
use super::row::{self, COLUMNS};
use super::{Place, failed};
use crate::gateway::query::{Look, Order};
use crate::gateway::stamp::Stamp;
use crate::gateway::store::{Counts, Known, OneMessage, Page, Reader, StoreError, ThreadRow};

/// A connection that only reads.
#[derive(Debug)]
pub struct SqliteReader {
    connection: Connection,
}

impl SqliteReader {
    /// Opens a database that is there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(place: &Place) -> Result<SqliteReader, StoreError> {
        Ok(SqliteReader { connection: place.open_reader()? })
    }

    fn rows(
        &mut self,
        now: Stamp,
        look: &Look,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> rusqlite::Result<Page> {
        let (sql, values) = statement(now, look);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let begin = out.len();
        let mut ends = Vec::new();
        let mut page = Page::default();
        while let Some(row) = rows.next()? {
            let at = out.len();
            if page.count > 0 {
                out.push(b',');
            }
            let seq = row::write_row(row, now, false, out)?;
            if page.count > 0 && out.len() - begin > max_bytes {
                out.truncate(at);
                page.is_cut = true;
                break;
            }
            page.count += 1;
            page.last = page.last.max(Some(seq));
            ends.push(out.len());
        }
        if look.after.is_some() && look.order == Order::Descending {
            reverse(out, begin, &ends);
        }
        if look.to.is_none() {
            page.last = None;
        }
        Ok(page)
    }
}

impl Reader for SqliteReader {
    fn page(
        &mut self,
        now: Stamp,
        look: &Look,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<Page, StoreError> {
        self.rows(now, look, max_bytes, out).map_err(failed)
    }

    fn message(&mut self, id: i64) -> Result<Option<OneMessage>, StoreError> {
        let sql = format!("SELECT {COLUMNS}, sender, inbox FROM messages WHERE id = ?1");
        let read = || {
            self.connection
                .prepare_cached(&sql)?
                .query_row([id], |row| {
                    let mut out = Vec::new();
                    row::write_row(row, Stamp::now(), false, &mut out)?;
                    Ok(OneMessage { from_node: row.get(10)?, to_node: row.get(11)?, row: out })
                })
                .optional()
        };
        read().map_err(failed)
    }

    fn last_sequence(&mut self, inbox: &str) -> Result<i64, StoreError> {
        let read = || {
            self.connection
                .prepare_cached("SELECT last_seq FROM inboxes WHERE name = ?1")?
                .query_row([inbox], |row| row.get(0))
                .optional()
        };
        Ok(read().map_err(failed)?.unwrap_or(0))
    }

    fn threads(&mut self, uuid: Option<&str>) -> Result<Vec<ThreadRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<ThreadRow>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT uuid, name, session_id, created_at, last_used_at FROM threads WHERE ?1 IS NULL OR uuid = ?1 \
                 ORDER BY last_used_at DESC LIMIT 1000",
            )?;
            statement.query_map([uuid], thread)?.collect()
        };
        read().map_err(failed)
    }

    fn counts(&mut self) -> Result<Counts, StoreError> {
        let count = |rule: &str| {
            let sql = format!("SELECT count(*) FROM messages{rule}");
            self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
        };
        let read = || -> rusqlite::Result<Counts> {
            Ok(Counts {
                messages: count("")?,
                unread: count(" WHERE read_at IS NULL AND dead_at IS NULL")?,
                dead: count(" WHERE dead_at IS NOT NULL")?,
            })
        };
        read().map_err(failed)
    }

    fn known(&mut self) -> Result<Known, StoreError> {
        known(&self.connection).map_err(failed)
    }
}

/// A thread from the columns `uuid, name, session_id, created_at, last_used_at`.
pub(super) fn thread(row: &Row<'_>) -> rusqlite::Result<ThreadRow> {
    Ok(ThreadRow {
        uuid: row.get(0)?,
        name: row.get(1)?,
        session_id: row.get(2)?,
        created_at: row.get(3)?,
        last_used_at: row.get(4)?,
    })
}

/// The statement of a look. A cursor chooses the rows that follow it without a gap; the order only says how they are shown.
fn statement(now: Stamp, look: &Look) -> (String, Vec<Value>) {
    let mut sql = format!("SELECT {COLUMNS} FROM messages WHERE ");
    let mut values: Vec<Value> = Vec::new();
    sql.push_str(if look.dead { "dead_at IS NOT NULL" } else { "dead_at IS NULL" });
    if look.unread_only {
        sql.push_str(" AND read_at IS NULL");
    }
    let mut rule = |text: &str, value: Value| {
        values.push(value);
        sql.push_str(" AND ");
        sql.push_str(&text.replace('?', &format!("?{}", values.len())));
    };
    rule("(expires_at IS NULL OR expires_at > ?)", now.micros().into());
    let texts = [
        ("inbox = ?", &look.to),
        ("sender = ?", &look.from),
        ("kind = ?", &look.kind),
        ("thread = ?", &look.thread_id),
        ("created_at > ?", &look.since),
    ];
    for (text, value) in texts {
        if let Some(value) = value {
            rule(text, value.clone().into());
        }
    }
    if let Some(after) = look.after {
        rule("seq > ?", after.into());
    }
    let column = if look.to.is_some() { "seq" } else { "id" };
    let is_ascending = look.order == Order::Ascending || look.after.is_some();
    let direction = if is_ascending { "ASC" } else { "DESC" };
    values.push(look.limit.into());
    sql.push_str(&format!(" ORDER BY {column} {direction} LIMIT ?{}", values.len()));
    (sql, values)
}

/// Turns the order of rows that were written with commas between them.
fn reverse(out: &mut Vec<u8>, begin: usize, ends: &[usize]) {
    let rows = out.split_off(begin);
    let mut starts = std::iter::once(begin).chain(ends.iter().map(|end| end + 1));
    let spans: Vec<(usize, usize)> = ends.iter().filter_map(|end| Some((starts.next()?, *end))).collect();
    for (index, (start, end)) in spans.into_iter().rev().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&rows[start - begin..end - begin]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_turned_around() {
        let mut out = b"x1,22,3".to_vec();
        reverse(&mut out, 1, &[2, 5, 7]);
        assert_eq!(out, b"x3,22,1");
        reverse(&mut out, 7, &[]);
        assert_eq!(out, b"x3,22,1");
    }
}
