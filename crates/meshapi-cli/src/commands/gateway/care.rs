//! Looking after a database: copies, checks, lists, and mail from another gateway. Only the import into a file needs its gateway
//! stopped.

use std::path::Path;

use mesh_mailbox::Envelope;
use mesh_mailbox::gateway::import;
use mesh_mailbox::gateway::query::Look;
use mesh_mailbox::gateway::stamp::Stamp;
use mesh_mailbox::gateway::store::postgres::{self, Postgres};
use mesh_mailbox::gateway::store::sqlite::{self, Place, Sqlite, SqliteReader, StoreLock};
use mesh_mailbox::gateway::store::{Reader, Store, StoreError};
use serde_json::{Value, json};

use super::database::Database;
use super::serve::store_failure;
use crate::commands::mail::{print, print_json, show};
use crate::exit::{Exit, Failure};

/// Most dead messages that are listed.
const MAX_LISTED: i64 = 1000;
/// Most bytes of them.
const MAX_BYTES: usize = 64 << 20;

pub(super) fn backup(database: &Path, to: &Path, json: bool) -> Result<Exit, Failure> {
    there(database)?;
    sqlite::backup(database, to).map_err(store_failure)?;
    if json {
        print_json(&json!({"status": "copied", "to": to}))?;
    } else {
        print(&format!("copied to {}", to.display()))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn check(database: &Database, json: bool) -> Result<Exit, Failure> {
    let faults = match database {
        Database::File(path) => {
            there(path)?;
            sqlite::check(path)
        }
        Database::Shared { place, .. } => postgres::check(place),
    };
    let faults = faults.map_err(store_failure)?;
    if json {
        print_json(&json!({"sound": faults.is_empty(), "faults": faults}))?;
    } else if faults.is_empty() {
        print("the database is sound")?;
    } else {
        for fault in &faults {
            print(fault)?;
        }
    }
    Ok(if faults.is_empty() { Exit::Ok } else { Exit::Failure })
}

pub(super) fn dead_letters(database: &Database, json: bool) -> Result<Exit, Failure> {
    match database {
        Database::File(path) => {
            there(path)?;
            list_dead(SqliteReader::open(&Place::new(path)).map_err(store_failure)?, json)
        }
        Database::Shared { place, .. } => {
            let store = Postgres::open(place.clone()).map_err(store_failure)?;
            list_dead(store.reader().map_err(store_failure)?, json)
        }
    }
}

fn list_dead(mut reader: impl Reader, json: bool) -> Result<Exit, Failure> {
    let look = Look { dead: true, limit: MAX_LISTED, ..Look::default() };
    let mut rows = b"[".to_vec();
    reader.page(Stamp::now(), &look, MAX_BYTES, &mut rows).map_err(store_failure)?;
    rows.push(b']');
    let rows: Vec<Value> = serde_json::from_slice(&rows)
        .map_err(|error| store_failure(StoreError::Damaged(error.to_string())))?;
    for row in &rows {
        match Envelope::from_json(row) {
            Ok(envelope) if !json => print(&show::message(&envelope))?,
            _ => print_json(row)?,
        }
    }
    if rows.is_empty() && !json {
        print("no message was given up")?;
    }
    Ok(Exit::Ok)
}

pub(super) fn import(database: &Database, from: &Path, json: bool) -> Result<Exit, Failure> {
    let done = match database {
        Database::File(path) => {
            let _lock = StoreLock::take(path).map_err(store_failure)?;
            let mut store = Sqlite::open(Place::new(path)).map_err(store_failure)?;
            import::import(from, &mut store)
        }
        Database::Shared { place, .. } => {
            let mut store = Postgres::open(place.clone()).map_err(store_failure)?;
            import::import(from, &mut store)
        }
    };
    let done = done.map_err(store_failure)?;
    if json {
        print_json(&json!({
            "messages": done.messages,
            "peers": done.peers,
            "threads": done.threads,
            "left_out_channel_posts": done.left_out_posts,
            "left_out_unknown_kinds": done.left_out_kinds,
        }))?;
    } else {
        print(&format!("{} messages, {} peers and {} threads", done.messages, done.peers, done.threads))?;
        if done.left_out_posts + done.left_out_kinds > 0 {
            print(&format!(
                "left out: {} posts in channels, {} messages of unknown kinds",
                done.left_out_posts, done.left_out_kinds
            ))?;
        }
    }
    Ok(Exit::Ok)
}

/// Lets only a database pass that is there: opening one would make it.
fn there(database: &Path) -> Result<(), Failure> {
    if database.is_file() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failure, "store", format!("{} is not there", database.display())))
}
