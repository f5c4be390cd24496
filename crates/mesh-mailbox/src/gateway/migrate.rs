//! From a file of SQLite to a database of PostgreSQL: ids, sequences, tokens, marks, leases and keys stay what they are.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _};

use super::stamp::Stamp;
use super::store::StoreError;
use super::store::postgres::{Cells, Column, Load, PostgresPlace};
use super::store::sqlite::{failed, open_quietly};

/// Rows that travel at a time.
const PORTION: usize = 500;

/// A table, by the names that its columns have on both sides.
struct Table {
    from: &'static str,
    to: &'static str,
    columns: &'static [Column],
}

const fn text(name: &'static str) -> Column {
    Column { name, cells: Cells::Text }
}

const fn number(name: &'static str) -> Column {
    Column { name, cells: Cells::Number }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, cells: Cells::Bytes }
}

const MESSAGES: Table = Table {
    from: "messages",
    to: "mesh_messages",
    columns: &[
        number("id"),
        text("inbox"),
        number("seq"),
        text("read_at"),
        text("lease"),
        number("leased_until"),
        number("attempts"),
        number("available_at"),
        text("outcome"),
        text("note"),
        number("dead_at"),
        number("expires_at"),
        number("priority"),
        number("verified"),
        text("sender"),
        text("kind"),
        text("thread"),
        text("created_at"),
        text("head"),
    ],
};

const INBOXES: Table =
    Table { from: "inboxes", to: "mesh_inboxes", columns: &[text("name"), number("last_seq")] };

const PEERS: Table = Table {
    from: "peers",
    to: "mesh_peers",
    columns: &[
        text("name"),
        text("url"),
        text("capabilities"),
        text("registered_at"),
        text("last_seen"),
        Column { name: "enabled", cells: Cells::Boolean },
        bytes("token"),
        number("online_until"),
    ],
};

const OTHERS: [Table; 4] = [
    Table {
        from: "send_keys",
        to: "mesh_keys",
        columns: &[text("sender"), text("key"), bytes("digest"), text("answer"), number("created_at")],
    },
    Table {
        from: "invites",
        to: "mesh_invites",
        columns: &[bytes("token"), text("name"), number("expires_at")],
    },
    Table {
        from: "threads",
        to: "mesh_threads",
        columns: &[text("uuid"), text("name"), text("session_id"), text("created_at"), text("last_used_at")],
    },
    Table {
        from: "groups",
        to: "mesh_groups",
        columns: &[
            text("name"),
            text("description"),
            text("created_by"),
            text("created_at"),
            text("members"),
        ],
    },
];

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Messages.
    pub messages: u64,
    /// Inboxes, empty ones too.
    pub inboxes: u64,
    /// Names.
    pub peers: u64,
}

/// Copies everything, in one transaction. No gateway may be serving the file; it stays as it is.
///
/// # Errors
/// The file is none of ours, the database holds mail already or cannot be written. Nothing was copied then.
pub fn migrate(from: &Path, to: &PostgresPlace) -> Result<Migrated, StoreError> {
    let file = open_quietly(from)?;
    let mut load = Load::begin(to)?;
    let messages = copy(&file, &mut load, &MESSAGES)?;
    let inboxes = copy(&file, &mut load, &INBOXES)?;
    let peers = copy(&file, &mut load, &PEERS)?;
    for table in &OTHERS {
        copy(&file, &mut load, table)?;
    }
    let counter = "SELECT value FROM counters WHERE name = 'next_id'";
    let counted: Option<i64> = file.query_row(counter, [], |row| row.get(0)).optional().map_err(failed)?;
    let highest = "SELECT coalesce(max(id), 0) + 1 FROM messages";
    let beyond: i64 = file.query_row(highest, [], |row| row.get(0)).map_err(failed)?;
    let newest = "SELECT created_at FROM messages ORDER BY id DESC LIMIT 1";
    let newest: Option<String> = file.query_row(newest, [], |row| row.get(0)).optional().map_err(failed)?;
    let newest = newest.and_then(|text| Stamp::parse(&text)).unwrap_or_default();
    load.commit(counted.unwrap_or(1).max(beyond), newest)?;
    Ok(Migrated { messages, inboxes, peers })
}

/// Copies a table; returns how many rows it has.
fn copy(file: &Connection, load: &mut Load, table: &Table) -> Result<u64, StoreError> {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    let sql = format!("SELECT {} FROM {}", names.join(", "), table.from);
    let mut statement = file.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let (mut portion, mut count) = (Vec::with_capacity(PORTION), 0);
    loop {
        let row = rows.next().map_err(failed)?;
        if let Some(row) = row {
            let cells = (0..table.columns.len()).map(|at| row.get::<_, Value>(at));
            portion.push(cells.collect::<Result<Vec<Value>, _>>().map_err(failed)?);
            count += 1;
            if portion.len() < PORTION {
                continue;
            }
        }
        let is_last = portion.len() < PORTION;
        load.rows(table.to, table.columns, &portion)?;
        portion.clear();
        if is_last {
            return Ok(count);
        }
    }
}
