//! What an engine has to do: apply commands in batches, each batch whole and durable before it is answered, and answer looks.
//!
//! The laws that every engine keeps; `tests/store_laws` runs them against each:
//! 1. What [`Store::apply`] answered with `Ok` is there after a crash; a batch that failed left nothing.
//! 2. One message for a sender and a key; a repeat answers the first answer's bytes, other content is a conflict.
//! 3. Ids rise within a store; the sequence of an inbox rises by one, without gaps, and is never used again.
//! 4. A message is held by one lease at a time, by the rules of [`lease`](super::lease).
//! 5. A caller changes only what its [`Scope`] lets it change.
//!
//! - `model`: what is kept
//! - `command`: what is done, and what came of it
//! - `row`, `look`: what the engines share of rows and queries
//! - `sqlite`, `postgres`: the engines
mod command;
mod error;
mod look;
mod model;
#[cfg(feature = "postgres")]
pub mod postgres;
mod row;
pub mod sqlite;

use std::time::Duration;

use super::query::Look;
use super::stamp::Stamp;

pub use command::{Command, Done, Refusal, Scope};
pub use error::StoreError;
pub use model::{
    Digest, GroupRow, Imported, InviteRow, Known, NewMessage, PeerRow, Retention, Seen, SendKey, ThreadRow,
    Voucher,
};

/// The part that changes things; one thread owns it.
pub trait Store: Send + 'static {
    /// The part that answers looks.
    type Reader: Reader;

    /// Applies commands in order, all of them in one transaction that is durable when this returns.
    ///
    /// # Errors
    /// Nothing of the batch was done.
    fn apply(&mut self, now: Stamp, batch: &[Command]) -> Result<Vec<Result<Done, Refusal>>, StoreError>;

    /// Another reader.
    ///
    /// # Errors
    /// It cannot be opened.
    fn reader(&self) -> Result<Self::Reader, StoreError>;

    /// What others do to this store meanwhile; nothing when only one gateway can have it.
    ///
    /// # Errors
    /// The store cannot be reached.
    fn news(&self) -> Result<Option<Box<dyn News>>, StoreError> {
        Ok(None)
    }
}

/// What other gateways did to a store that they share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tidings {
    /// Inboxes in which something can be found that was perhaps not there before.
    pub inboxes: Vec<String>,
    /// Peers, groups or invitations were changed.
    pub is_directory_changed: bool,
}

/// Word of what other gateways do to a store. It is a hint and may come twice, but it never fails to come: who hears no
/// notification looks by itself.
pub trait News: Send + 'static {
    /// Returns as soon as there is something to tell, and at the latest after `patience`, with what a look at the counters of
    /// the inboxes in `waiting` and of the directory shows.
    ///
    /// # Errors
    /// The store cannot be reached; the next call tries again.
    fn next(&mut self, waiting: &[String], patience: Duration) -> Result<Tidings, StoreError>;
}

/// A page of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// How many rows were written.
    pub count: usize,
    /// The highest sequence among them; only of one inbox.
    pub last: Option<i64>,
    /// Rows were left out because the page was full in bytes.
    pub is_cut: bool,
}

/// One message, with what decides who may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneMessage {
    /// Who wrote it.
    pub from_node: String,
    /// Whose inbox it is in.
    pub to_node: String,
    /// The row as a JSON object.
    pub row: Vec<u8>,
}

/// Counts for people and monitors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages stored.
    pub messages: u64,
    /// Of these, unread ones.
    pub unread: u64,
    /// Of these, given up ones.
    pub dead: u64,
}

/// The part that answers looks; each thread has its own.
pub trait Reader: Send + 'static {
    /// Writes rows as JSON objects joined by commas, at most about `max_bytes` but one row at least.
    ///
    /// # Errors
    /// The store cannot be read.
    fn page(
        &mut self,
        now: Stamp,
        look: &Look,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<Page, StoreError>;

    /// One message.
    ///
    /// # Errors
    /// The store cannot be read.
    fn message(&mut self, id: i64) -> Result<Option<OneMessage>, StoreError>;

    /// The highest sequence that an inbox has given out.
    ///
    /// # Errors
    /// The store cannot be read.
    fn last_sequence(&mut self, inbox: &str) -> Result<i64, StoreError>;

    /// All named threads, the last used first; or one, by its id.
    ///
    /// # Errors
    /// The store cannot be read.
    fn threads(&mut self, uuid: Option<&str>) -> Result<Vec<ThreadRow>, StoreError>;

    /// Counts.
    ///
    /// # Errors
    /// The store cannot be read.
    fn counts(&mut self) -> Result<Counts, StoreError>;

    /// Peers, groups and invitations.
    ///
    /// # Errors
    /// The store cannot be read.
    fn known(&mut self) -> Result<Known, StoreError>;
}
