//! One SQLite file: write-ahead log, synced at each commit, one connection that writes, others that only read.
//!
//! - `schema`: the tables, and what is refused
//! - `write`: commands
//! - `delivery`: the work on single messages
//! - `sweep`: what is given up and dropped
//! - `read`: looks
//! - `known`: peers, groups and invitations
//! - `row`: a message as JSON
mod delivery;
mod known;
mod read;
mod row;
pub(in crate::gateway) mod schema;
mod sweep;
mod write;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;
use crate::files::private;
pub use read::SqliteReader;
pub use write::Sqlite;

/// How long a statement waits for another program that holds the database.
const BUSY: Duration = Duration::from_secs(2);

/// Pages of the log after which it is copied into the database: 4 MiB. The writer waits for the copy, so this is what the slowest
/// sends of a busy gateway take: 3 ms instead of 7 with four times as many pages, at the same rate.
const CHECKPOINT_PAGES: i64 = 1000;

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 64;

/// How a database is opened; the tests put their own disk beneath it.
#[derive(Clone, Debug)]
pub struct Place {
    path: PathBuf,
    vfs: Option<String>,
}

impl Place {
    /// A file.
    pub fn new(path: impl Into<PathBuf>) -> Place {
        Place { path: path.into(), vfs: None }
    }

    /// The same, reached through a file system that was registered with SQLite under this name.
    #[must_use]
    pub fn with_vfs(mut self, name: impl Into<String>) -> Place {
        self.vfs = Some(name.into());
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as it is told to people.
    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = match &self.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.path, flags, vfs.as_str()),
            None => Connection::open_with_flags(&self.path, flags),
        };
        let connection = opened.map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    }

    fn open_writer(&self) -> Result<Connection, StoreError> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        // The journal mode first: `synchronous` says what it means in that mode.
        let mode: String = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
            .map_err(failed)?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(StoreError::Failed(format!("no write-ahead log here (journal mode {mode})")));
        }
        for (pragma, value) in
            [("synchronous", 2), ("wal_autocheckpoint", CHECKPOINT_PAGES), ("cache_size", -4096)]
        {
            connection.pragma_update(None, pragma, value).map_err(failed)?;
        }
        schema::prepare(&connection, &self.shown())?;
        Ok(connection)
    }

    fn open_reader(&self) -> Result<Connection, StoreError> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", 1).map_err(failed)?;
        connection.pragma_update(None, "cache_size", -1024).map_err(failed)?;
        Ok(connection)
    }
}

/// The lock file of a database, held: no second gateway writes to it.
#[derive(Debug)]
pub struct StoreLock {
    file: File,
}

impl StoreLock {
    /// Takes the lock of a database.
    ///
    /// # Errors
    /// Somebody has it, or the file cannot be made.
    pub fn take(database: &Path) -> Result<StoreLock, StoreError> {
        let path = StoreLock::path(database);
        let open =
            || private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(&path);
        let file = open()
            .map_err(|error| StoreError::Failed(format!("{} cannot be made: {error}", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(StoreLock { file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: database.display().to_string() }),
            Err(TryLockError::Error(error)) => {
                Err(StoreError::Failed(format!("{} cannot be locked: {error}", path.display())))
            }
        }
    }

    /// Notes where the gateway that holds the lock can be reached.
    pub fn note(&mut self, address: &str) {
        // Only a help for people and commands beside the gateway.
        let _ = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| writeln!(self.file, "{address}"));
    }

    /// The lock file of a database: its name with `.lock` appended.
    pub fn path(database: &Path) -> PathBuf {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        name.into()
    }
}

/// What SQLite says, sorted by what can be done about it.
pub(crate) fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(error.to_string()),
        _ => StoreError::Failed(error.to_string()),
    }
}

/// Copies a database, as of one moment, into a new file, also while a gateway serves it.
///
/// # Errors
/// It is none of ours, the target is there already, or the disk is full.
pub fn backup(database: &Path, target: &Path) -> Result<(), StoreError> {
    if target.exists() {
        return Err(StoreError::Failed(format!("{} is there already", target.display())));
    }
    let place = Place::new(database);
    let connection = place.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::check(&connection, &place.shown())?;
    // Private from its first moment: SQLite fills the file that is there when it is empty.
    private(OpenOptions::new().write(true).create_new(true))
        .open(target)
        .map_err(|error| StoreError::Failed(format!("{} cannot be made: {error}", target.display())))?;
    let text =
        target.to_str().ok_or_else(|| StoreError::Failed("the target's name is no text".to_owned()))?;
    connection.execute("VACUUM INTO ?1", [text]).map_err(failed)?;
    let copied = File::open(target).and_then(|file| file.sync_all());
    copied.map_err(|error| StoreError::Failed(format!("{} cannot be synced: {error}", target.display())))
}

/// Opens a database of ours to read all of it.
///
/// # Errors
/// It is none of ours, or cannot be read.
#[cfg(feature = "postgres")]
pub(in crate::gateway) fn open_quietly(database: &Path) -> Result<Connection, StoreError> {
    let place = Place::new(database);
    let connection = place.open_reader()?;
    schema::check(&connection, &place.shown())?;
    Ok(connection)
}

/// Looks through a whole database; returns what is wrong with it, nothing when it is sound.
///
/// # Errors
/// It is none of ours, or cannot be read at all.
pub fn check(database: &Path) -> Result<Vec<String>, StoreError> {
    let place = Place::new(database);
    let connection = place.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::check(&connection, &place.shown())?;
    let mut faults = Vec::new();
    let mut statement = connection.prepare("PRAGMA integrity_check").map_err(failed)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    for row in rows {
        let row = row.map_err(failed)?;
        if row != "ok" {
            faults.push(row);
        }
    }
    let beyond = "SELECT count(*) FROM messages m LEFT JOIN inboxes i ON i.name = m.inbox \
                  WHERE i.name IS NULL OR m.seq > i.last_seq";
    let beyond: i64 = connection.query_row(beyond, [], |row| row.get(0)).map_err(failed)?;
    if beyond > 0 {
        faults.push(format!("{beyond} messages have a sequence that their inbox never gave out"));
    }
    Ok(faults)
}
