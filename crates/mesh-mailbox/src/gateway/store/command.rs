//! What a store is asked to do, on whose behalf, and what came of it.

use std::time::Duration;

use super::{Digest, GroupRow, Imported, InviteRow, NewMessage, PeerRow, Retention, Seen, ThreadRow};
use crate::gateway::lease::{Outcome, Stale};
use crate::gateway::stamp::Stamp;
use crate::kind::Kind;

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
