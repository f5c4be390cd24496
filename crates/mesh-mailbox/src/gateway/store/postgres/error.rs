//! What PostgreSQL and the way to it say, sorted by what can be done about it.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::gateway::store::StoreError;

/// Why a batch was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// What the database or the connection says.
    Database(Error),
    /// What we say.
    Store(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

impl Failure {
    /// Whether the same batch can succeed when it is tried again: another gateway was in its way.
    pub(super) fn is_conflict(&self) -> bool {
        let Failure::Database(error) = self else { return false };
        error.code().is_some_and(|code| {
            [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
                // Two stored something under one key, or made one inbox, at the same time: the second finds what the first did.
                SqlState::UNIQUE_VIOLATION,
            ]
            .contains(code)
        })
    }

    /// Whether the connection is of no use any more.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Failure::Database(error) => is_lost(error),
            Failure::Store(_) => false,
        }
    }

    /// What the caller is told.
    pub(super) fn into_error(self, place: &str) -> StoreError {
        match self {
            Failure::Database(error) => explain(&error, place),
            Failure::Store(error) => error,
        }
    }
}

/// Whether the connection is of no use any more.
pub(super) fn is_lost(error: &Error) -> bool {
    match error.code() {
        Some(code) => [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::DATABASE_DROPPED,
            // What was the primary is a standby now.
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code),
        None => error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>()),
    }
}

/// An error with its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// What happened, to what, and what to do.
pub(super) fn explain(error: &Error, place: &str) -> StoreError {
    let place = place.to_owned();
    let Some(database) = error.as_db_error() else {
        let cause = chain(error);
        return if cause.contains("TLS") {
            refused(place, cause, "choose another sslmode, or name its root by sslrootcert")
        } else if cause.contains("password missing") {
            refused(place, cause, "the server asks for a password: put it into the address")
        } else if is_lost(error) {
            StoreError::Unreachable { place, cause }
        } else {
            StoreError::Failed(format!("{place}: {cause}"))
        };
    };
    let cause = database.message().to_owned();
    match database.code() {
        code if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION]
            .contains(code) =>
        {
            refused(place, cause, "check user and password in the address, and the server's pg_hba.conf")
        }
        code if *code == SqlState::INVALID_CATALOG_NAME => {
            refused(place, cause, "make it with createdb, or correct the address")
        }
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => refused(
            place,
            cause,
            "let the role own the tables mesh_*, and the first time create them in its schema",
        ),
        code if [SqlState::TOO_MANY_CONNECTIONS, SqlState::CONFIGURATION_LIMIT_EXCEEDED].contains(code) => {
            refused(place, cause, "raise max_connections or the role's limit: a gateway takes 5")
        }
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::ReadOnly { place },
        code if *code == SqlState::DISK_FULL => StoreError::DiskFull,
        code if *code == SqlState::LOCK_NOT_AVAILABLE => StoreError::Locked,
        code if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) => {
            StoreError::Damaged(cause)
        }
        _ if is_lost(error) => StoreError::Unreachable { place, cause },
        code => StoreError::Failed(format!("{place}: {cause} ({})", code.code())),
    }
}

fn refused(place: String, cause: String, hint: &'static str) -> StoreError {
    StoreError::Refused { place, cause, hint }
}
