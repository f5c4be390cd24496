//! What a store keeps: messages, peers, threads, groups, invitations, and for how long.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::gateway::stamp::Stamp;
use crate::kind::Kind;

/// The digest under which a token is stored.
pub type Digest = [u8; 32];

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
    /// Until when it said that it is there. Written by [`Command::Seen`](super::Command::Seen) only.
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
