//! What keeps a store from its work, by what can be done about it.

/// Why nothing of a batch was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room on the disk.
    #[error("the disk of the gateway is full")]
    DiskFull,
    /// Somebody else holds the database.
    #[error("the database is locked by another program")]
    Locked,
    /// Another gateway serves this database.
    #[error("another gateway serves {path}; it holds {path}.lock")]
    InUse {
        /// The database.
        path: String,
    },
    /// The database was written by a newer version.
    #[error(
        "{path} has schema version {found}, and this gateway knows {known}; use the newer meshapi that wrote it"
    )]
    TooNew {
        /// The database.
        path: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file is no database of this gateway.
    #[error("{path} is not a database of this gateway{hint}")]
    Foreign {
        /// The file.
        path: String,
        /// What to do.
        hint: &'static str,
    },
    /// The database does not answer.
    #[error("{place} cannot be reached: {cause}")]
    Unreachable {
        /// The database, without the password.
        place: String,
        /// What the way to it said.
        cause: String,
    },
    /// The database does not let us in, or not do what we have to.
    #[error("{place} refuses: {cause}; {hint}")]
    Refused {
        /// The database, without the password.
        place: String,
        /// What it said.
        cause: String,
        /// What to do.
        hint: &'static str,
    },
    /// Nothing can be written to the database.
    #[error(
        "{place} is read-only: a standby, or a role that may only read; name the primary, or all hosts: the one that can be \
         written to is found among them"
    )]
    ReadOnly {
        /// The database, without the password.
        place: String,
    },
    /// The connection was lost while the batch was being committed.
    #[error(
        "{place} was lost while it stored a batch: {cause}; nobody knows whether it is stored; a repeat with the same key is safe"
    )]
    Unknown {
        /// The database, without the password.
        place: String,
        /// What the way to it said.
        cause: String,
    },
    /// The file is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// Anything else.
    #[error("the store failed: {0}")]
    Failed(String),
}
