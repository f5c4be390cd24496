//! Looks: rows are copied from the database's page into the answer, and nowhere else on the way.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::known::known;
use super::row;
use super::{Place, failed};
use crate::gateway::query::Look;
use crate::gateway::stamp::Stamp;
use crate::gateway::store::look::{self, Rows, Value};
use crate::gateway::store::row::COLUMNS;
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
        let mut values = vec![Value::Integer(now.micros())];
        let rules = look::rules(look, '?', "?1", &mut values);
        values.push(Value::Integer(look.limit));
        let (order, limit) = (look::order(look), values.len());
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE {rules} ORDER BY {order} LIMIT ?{limit}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = statement.query(params_from_iter(values.iter().map(value)))?;
        let mut rows = Rows::new(out, max_bytes);
        while let Some(row) = found.next()? {
            if !rows.push(|out| row::write_row(row, now, false, out))? {
                break;
            }
        }
        Ok(rows.finish(look))
    }
}

fn value<'l>(value: &Value<'l>) -> ToSqlOutput<'l> {
    match *value {
        Value::Integer(number) => number.into(),
        Value::Text(text) => text.into(),
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
