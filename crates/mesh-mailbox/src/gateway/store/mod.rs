//! What an engine has to do: apply commands in batches, each batch whole and durable before it is answered, and answer looks.
//!
//! The laws that every engine keeps; `tests/store_laws` runs them against each:
//! 1. What [`Store::apply`] answered with `Ok` is there after a crash; a batch that failed left nothing.
//! 2. One message for a sender and a key; a repeat answers the first answer's bytes, other content is a conflict.
//! 3. Ids rise within a store; the sequence of an inbox rises by one, without gaps, and is never used again.
//! 4. A message is held by one lease at a time, by the rules of [`lease`](super::lease).
//! 5. A caller changes only what its [`Scope`] lets it change.
mod error;
mod look;
#[cfg(feature = "postgres")]
pub mod postgres;
mod row;
pub mod sqlite;

use std::time::Duration;

use serde_json::{Map, Value};

use super::lease::{Outcome, Stale};
use super::query::Look;
use super::stamp::Stamp;
use crate::kind::Kind;

pub use error::StoreError;

/// The digest under which a token is stored.
pub type Digest = [u8; 32];

/// On whose mail a command may work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Anybody's: the operator.
    Any,
    /// Its own.
    Peer(String),
}

impl Scope {
    /// Whether it reaches what belongs to this peer.
    pub fn reaches(&self, peer: &str) -> bool {
        match self {
            Scope::Any => true,
            Scope::Peer(own) => own == peer,
        }
    }
}

/// Who stands behind the name of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// The operator's token, which may speak as anybody: not verified.
    Operator,
    /// The sender's own token.
    Peer,
    /// The gateway itself, which tells a sender of a dead message in the receiver's name.
    Gateway,
}

/// The key of a send, and what was sent under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendKey {
    /// Who sends: keys of two senders have nothing to do with each other.
    pub sender: String,
    /// The key.
    pub key: String,
    /// A digest of all that counts as the same message.
    pub digest: Digest,
}

/// A message to be stored, once for each recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Who wrote it.
    pub from_node: String,
    /// Into whose inboxes.
    pub to_nodes: Vec<String>,
    /// Whether the answer is that of a send to several.
    pub is_fan_out: bool,
    /// What for.
    pub kind: Kind,
    /// The content as a JSON text, quotes included.
    pub content_json: String,
    /// Its thread.
    pub thread_id: Option<String>,
    /// The task that it is about.
    pub related_task_id: Option<String>,
    /// After this it is not handed out any more.
    pub expires_at: Option<Stamp>,
    /// The message that it answers.
    pub reply_to: Option<i64>,
    /// The sender wants to know what came of it.
    pub ack_required: bool,
    /// The higher, the earlier it is claimed.
    pub priority: i64,
    /// Who stands behind `from_node`.
    pub voucher: Voucher,
    /// The key under which it is sent once and again.
    pub key: Option<SendKey>,
    /// Most unread messages that an inbox may hold; none for the operator.
    pub max_depth: Option<u64>,
}

/// A message that another gateway stored, with its id and its marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its id there.
    pub id: i64,
    /// When it was stored there.
    pub created_at: String,
    /// When it was read there.
    pub read_at: Option<String>,
    /// The message.
    pub message: NewMessage,
}

/// A peer as it is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerRow {
    /// Its name.
    pub name: String,
    /// Where it says that it can be reached.
    pub url: String,
    /// What it says that it can do.
    pub capabilities: Map<String, Value>,
    /// When it was registered.
    pub registered_at: String,
    /// When it was last heard of.
    pub last_seen: Option<String>,
    /// Whether it may call.
    pub is_enabled: bool,
    /// The digest of its token.
    pub token: Option<Digest>,
    /// Until when it said that it is there. Written by [`Command::Seen`] only.
    pub online_until: Option<Stamp>,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub name: String,
    /// When.
    pub at: Stamp,
    /// Until when it says that it will be there, if it says so.
    pub online_until: Option<Stamp>,
}

impl PeerRow {
    /// Whether it is the same, whenever it was seen.
    pub fn is_still(&self, other: &PeerRow) -> bool {
        let timeless = |row: &PeerRow| PeerRow { last_seen: None, online_until: None, ..row.clone() };
        timeless(self) == timeless(other)
    }
}

/// A thread with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadRow {
    /// Its id.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// The session that asked for it.
    pub session_id: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it was last asked for.
    pub last_used_at: String,
}

/// A group of peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: String,
    /// Who belongs to it.
    pub members: Vec<String>,
}

/// An invitation for one new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteRow {
    /// The digest of its token.
    pub token: Digest,
    /// The only name that it is good for.
    pub name: Option<String>,
    /// When it ends.
    pub expires_at: Stamp,
}

/// What is not kept for ever. Settled mail goes first: it has done its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long acknowledged and read mail is kept.
    pub settled: Duration,
    /// How long unread mail is kept.
    pub unread: Duration,
    /// Most messages of one inbox; beyond it the oldest settled ones go first.
    pub max_per_inbox: u64,
    /// How long a key is remembered.
    pub keys: Duration,
}

impl Default for Retention {
    fn default() -> Retention {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        // A key has to outlive any client's retries: the mailbox's design asks for 7 days at least.
        Retention { settled: days(30), unread: days(365), max_per_inbox: 200_000, keys: days(14) }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Store a message.
    Append(Box<NewMessage>),
    /// Store what another gateway had.
    Import(Box<Imported>),
    /// Mark as read.
    Read {
        /// Which message.
        id: i64,
        /// Who asks.
        by: Scope,
    },
    /// Take messages of an inbox for a while.
    Claim {
        /// Whose inbox.
        inbox: String,
        /// At most so many.
        max: usize,
        /// For how long.
        lease: Duration,
        /// Only this kind.
        kind: Option<Kind>,
        /// Only this thread.
        thread_id: Option<String>,
    },
    /// Say what came of a message.
    Ack {
        /// Which message.
        id: i64,
        /// Who asks.
        by: Scope,
        /// The lease under which it was worked on.
        lease: Option<String>,
        /// What came of it.
        outcome: Outcome,
        /// A word about it.
        note: Option<String>,
    },
    /// Give a message back.
    Nack {
        /// Which message.
        id: i64,
        /// Who asks.
        by: Scope,
        /// The lease.
        lease: String,
        /// Not to be claimed again before so long.
        delay: Duration,
    },
    /// Hold a message longer.
    Extend {
        /// Which message.
        id: i64,
        /// Who asks.
        by: Scope,
        /// The lease.
        lease: String,
        /// From now for so long.
        time: Duration,
    },
    /// Give a dead message its attempts back.
    Requeue {
        /// Which message.
        id: i64,
        /// Who asks.
        by: Scope,
    },
    /// Store a peer, new or changed, if it is still what it was: who changes a row read it before, and another may have since.
    PutPeer {
        /// The peer.
        peer: Box<PeerRow>,
        /// What it was; when it was last seen does not count.
        was: Option<Box<PeerRow>>,
    },
    /// The same by an invitation, which is used up.
    Join {
        /// The peer.
        peer: Box<PeerRow>,
        /// The digest of the invitation's token.
        invite: Digest,
    },
    /// Store an invitation.
    Invite(InviteRow),
    /// Note when peers were last heard of.
    Seen(Vec<Seen>),
    /// Mint a thread, or note that it was asked for.
    Thread {
        /// Its name.
        name: String,
        /// The id that a new one gets.
        uuid: String,
        /// The session that asks.
        session_id: Option<String>,
    },
    /// Store a thread of another gateway, unless its id or its name is there.
    PutThread(ThreadRow),
    /// Store a group, new or changed, if it is still what it was.
    PutGroup {
        /// The group.
        group: GroupRow,
        /// What it was.
        was: Option<GroupRow>,
    },
    /// Remove a group.
    DropGroup(String),
    /// Give up what is exhausted, and, if it says so, drop what is too old.
    Sweep(Option<Retention>),
}

/// What a command did.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Stored, or stored before.
    Appended {
        /// The answer's body.
        answer: String,
        /// Whether this is a repeat.
        is_replay: bool,
        /// The inboxes that have new mail.
        inboxes: Vec<String>,
    },
    /// Read at this moment.
    Read {
        /// When it was first marked.
        read_at: String,
    },
    /// Claimed: rows as JSON objects, joined by commas.
    Claimed {
        /// How many.
        count: usize,
        /// The rows.
        rows: Vec<u8>,
    },
    /// Acknowledged.
    Acked {
        /// What came of it.
        outcome: Outcome,
        /// When it counts as read.
        read_at: String,
    },
    /// Given back.
    Returned {
        /// Whether it is dead now.
        is_dead: bool,
        /// How often it was claimed.
        attempts: u32,
        /// The inboxes that have new mail: those of the message itself, and of its sender when it is dead.
        inboxes: Vec<String>,
    },
    /// Held until then.
    Extended {
        /// The end of the lease.
        until: Stamp,
    },
    /// Can be claimed again.
    Requeued {
        /// Whose inbox it is in.
        inbox: String,
    },
    /// A thread.
    Thread {
        /// The thread.
        thread: ThreadRow,
        /// Whether it is new.
        is_new: bool,
    },
    /// Tidied up.
    Swept {
        /// Messages given up.
        dead: usize,
        /// Messages dropped.
        dropped: usize,
        /// The inboxes that have new mail.
        inboxes: Vec<String>,
        /// Whether there is more to do.
        is_partial: bool,
    },
    /// Done, and nothing to say.
    Stored,
}

impl Done {
    /// The inboxes in which something can be found that was not there before.
    pub fn new_mail(&self) -> &[String] {
        match self {
            Done::Appended { inboxes, .. } | Done::Returned { inboxes, .. } | Done::Swept { inboxes, .. } => {
                inboxes
            }
            Done::Requeued { inbox } => std::slice::from_ref(inbox),
            Done::Read { .. }
            | Done::Claimed { .. }
            | Done::Acked { .. }
            | Done::Extended { .. }
            | Done::Thread { .. }
            | Done::Stored => &[],
        }
    }
}

/// Why a command was not done. Nothing was changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// There is no such message.
    NotFound,
    /// It is another's.
    NotYours,
    /// The lease does not fit.
    Stale(Stale),
    /// The key was used for another message.
    KeyConflict,
    /// An inbox is full.
    Full {
        /// Whose.
        inbox: String,
    },
    /// The invitation is unknown, used or too old, or for another name.
    BadInvite,
    /// The message is not dead.
    NotDead,
    /// Somebody else changed it since it was read.
    Changed,
}

/// What a store knows beside the mail; it is small and kept in memory by the gateway.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// All peers.
    pub peers: Vec<PeerRow>,
    /// All groups.
    pub groups: Vec<GroupRow>,
    /// All invitations.
    pub invites: Vec<InviteRow>,
}

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
