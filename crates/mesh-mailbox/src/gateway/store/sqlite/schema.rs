//! The tables, and the state in which a database has to be to be served.

use rusqlite::Connection;

use super::failed;
use crate::gateway::store::StoreError;

/// Marks a database as ours, in SQLite's `application_id`: the letters `MSHG`.
const APPLICATION_ID: i64 = 0x4d53_4847;

/// Version of the tables, in SQLite's `user_version`.
pub(crate) const SCHEMA_VERSION: i64 = 2;

/// From each older version to the next, the first from 1.
const MIGRATIONS: [&str; 1] = ["ALTER TABLE peers ADD COLUMN online_until INTEGER;"];

// What changes in a message's life stands before `head`, its unchanging JSON: a look at the former need not read the latter.
const TABLES: &str = "
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    inbox TEXT NOT NULL,
    seq INTEGER NOT NULL,
    read_at TEXT,
    lease TEXT,
    leased_until INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    available_at INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    note TEXT,
    dead_at INTEGER,
    expires_at INTEGER,
    priority INTEGER NOT NULL DEFAULT 0,
    verified INTEGER NOT NULL,
    sender TEXT NOT NULL,
    kind TEXT NOT NULL,
    thread TEXT,
    created_at TEXT NOT NULL,
    head TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX messages_inbox ON messages (inbox, seq);
CREATE INDEX messages_unread ON messages (inbox, seq) WHERE read_at IS NULL AND dead_at IS NULL;
CREATE INDEX messages_leased ON messages (leased_until) WHERE leased_until IS NOT NULL AND read_at IS NULL;
CREATE INDEX messages_dead ON messages (inbox, id) WHERE dead_at IS NOT NULL;
CREATE INDEX messages_expiring ON messages (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX messages_thread ON messages (thread, id) WHERE thread IS NOT NULL;
CREATE TABLE inboxes (
    name TEXT PRIMARY KEY,
    last_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE send_keys (
    sender TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    answer TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (sender, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE peers (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    registered_at TEXT NOT NULL,
    last_seen TEXT,
    enabled INTEGER NOT NULL,
    token BLOB,
    online_until INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE invites (
    token BLOB PRIMARY KEY,
    name TEXT,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE threads (
    uuid TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    session_id TEXT,
    created_at TEXT NOT NULL,
    last_used_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE groups (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    members TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Makes an empty database ours, brings an older one to this version, and refuses one that is not ours.
pub(super) fn prepare(connection: &Connection, path: &str) -> Result<(), StoreError> {
    match state(connection)? {
        State::Empty => connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; \
                 PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            ))
            .map_err(failed),
        State::Ours(SCHEMA_VERSION) => Ok(()),
        State::Ours(found @ 1..SCHEMA_VERSION) => {
            let done = usize::try_from(found - 1).unwrap_or(usize::MAX);
            let steps = MIGRATIONS.get(done..).unwrap_or_default().concat();
            let all = format!("BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
            connection.execute_batch(&all).map_err(failed)
        }
        State::Ours(found) => Err(StoreError::TooNew { path: path.to_owned(), found, known: SCHEMA_VERSION }),
        State::Swarph => Err(StoreError::Foreign {
            path: path.to_owned(),
            hint: ", but of swarph; `meshapi gateway import` copies its mail into one",
        }),
        State::Foreign => Err(StoreError::Foreign { path: path.to_owned(), hint: "" }),
    }
}

/// Lets only a database of ours and of this version pass.
pub(super) fn check(connection: &Connection, path: &str) -> Result<(), StoreError> {
    match state(connection)? {
        State::Empty => Err(StoreError::Foreign { path: path.to_owned(), hint: ": it is empty" }),
        _ => prepare(connection, path),
    }
}

enum State {
    Empty,
    Ours(i64),
    Swarph,
    Foreign,
}

fn state(connection: &Connection) -> Result<State, StoreError> {
    let number = |pragma: &str| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(failed)
    };
    let has = |table: &str| {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
        connection.query_row(sql, [table], |row| row.get::<_, i64>(0)).map(|n| n > 0).map_err(failed)
    };
    if number("application_id")? == APPLICATION_ID {
        return Ok(State::Ours(number("user_version")?));
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    Ok(match tables {
        0 => State::Empty,
        _ if has("claude_messages")? => State::Swarph,
        _ => State::Foreign,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_database_is_brought_to_this_version() {
        let db = Connection::open_in_memory().unwrap();
        let first = TABLES.replace(",\n    online_until INTEGER", "");
        assert_ne!(first, TABLES);
        db.execute_batch(&format!(
            "{first} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; \
             INSERT INTO peers VALUES ('alice', '', '{{}}', 'then', NULL, 1, NULL);"
        ))
        .unwrap();
        for _ in 0..2 {
            prepare(&db, "mesh.db").unwrap();
        }
        assert!(matches!(state(&db), Ok(State::Ours(SCHEMA_VERSION))));
        assert_eq!(super::super::known::known(&db).unwrap().peers[0].name, "alice");
    }
}
