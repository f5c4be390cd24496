//! The laws of `gateway::store`, against every engine. A further engine is one more line in [`engines`].
//!
//! PostgreSQL is a server of the tests' own; see `private_postgres`.
#![cfg(feature = "gateway")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as loudly as tests")]

mod leases;
#[cfg(all(feature = "postgres", unix))]
#[path = "../private_postgres/mod.rs"]
mod private_postgres;
mod shared;

use std::time::Duration;

use mesh_mailbox::Kind;
use mesh_mailbox::gateway::query::{Look, Order};
use mesh_mailbox::gateway::stamp::Stamp;
use mesh_mailbox::gateway::store::sqlite::{Place, Sqlite};
use mesh_mailbox::gateway::store::{
    Command, Done, GroupRow, NewMessage, PeerRow, Reader, Refusal, Retention, Scope, Seen, SendKey, Store,
    StoreError, Voucher,
};
use serde_json::Value;
use tempfile::TempDir;

/// A store that can be closed and opened again, and be made to fail.
pub(crate) trait Engine {
    fn open(&self) -> Opened;
    /// While this is held, no batch can be written.
    fn broken(&self) -> Box<dyn std::any::Any>;
    /// Whether several may have it open at once.
    fn is_shared(&self) -> bool {
        false
    }
}

/// An open store, whatever its engine.
pub(crate) struct Opened(Box<dyn Both + Send>);

trait Both {
    fn apply(&mut self, now: Stamp, batch: &[Command]) -> Result<Vec<Result<Done, Refusal>>, StoreError>;
    fn reader(&mut self) -> &mut dyn Reader;
}

struct Pair<S: Store>(S, S::Reader);

impl<S: Store> Both for Pair<S> {
    fn apply(&mut self, now: Stamp, batch: &[Command]) -> Result<Vec<Result<Done, Refusal>>, StoreError> {
        self.0.apply(now, batch)
    }

    fn reader(&mut self) -> &mut dyn Reader {
        &mut self.1
    }
}

fn opened<S: Store>(store: S) -> Opened {
    let reader = store.reader().unwrap();
    Opened(Box::new(Pair(store, reader)))
}

struct SqliteEngine(TempDir);

impl Engine for SqliteEngine {
    fn open(&self) -> Opened {
        opened(Sqlite::open(Place::new(self.0.path().join("mesh.db"))).unwrap())
    }

    fn broken(&self) -> Box<dyn std::any::Any> {
        let other = rusqlite::Connection::open(self.0.path().join("mesh.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(other)
    }
}

#[cfg(all(feature = "postgres", unix))]
pub(crate) mod postgres {
    use std::sync::Arc;

    use mesh_mailbox::gateway::store::postgres::{Postgres, PostgresPlace};

    use crate::private_postgres::{Server, shared};
    use crate::{Engine, Opened, opened};

    /// A database of its own on the server of this program.
    pub(crate) struct PostgresEngine {
        pub(crate) server: Arc<Server>,
        pub(crate) address: String,
    }

    impl PostgresEngine {
        pub(crate) fn new() -> Option<PostgresEngine> {
            let server = shared()?;
            Some(PostgresEngine { address: server.database(), server })
        }

        pub(crate) fn place(&self) -> PostgresPlace {
            PostgresPlace::parse(&self.address).unwrap()
        }
    }

    impl Engine for PostgresEngine {
        fn open(&self) -> Opened {
            opened(Postgres::open(self.place().with_callers_clock()).unwrap())
        }

        fn broken(&self) -> Box<dyn std::any::Any> {
            Box::new(self.server.holding(&self.address, "BEGIN; LOCK TABLE mesh_inboxes"))
        }

        fn is_shared(&self) -> bool {
            true
        }
    }
}

/// Every engine, each with an empty store. The only place where they differ.
pub(crate) fn engines() -> Vec<Box<dyn Engine>> {
    let sqlite: Box<dyn Engine> = Box::new(SqliteEngine(tempfile::tempdir().unwrap()));
    std::iter::once(sqlite).chain(postgres()).collect()
}

#[cfg(all(feature = "postgres", unix))]
fn postgres() -> Option<Box<dyn Engine>> {
    Some(Box::new(postgres::PostgresEngine::new()?))
}

#[cfg(not(all(feature = "postgres", unix)))]
fn postgres() -> Option<Box<dyn Engine>> {
    None
}

impl Opened {
    pub(crate) fn apply(
        &mut self,
        now: Stamp,
        batch: &[Command],
    ) -> Result<Vec<Result<Done, Refusal>>, StoreError> {
        self.0.apply(now, batch)
    }

    pub(crate) fn one(&mut self, now: Stamp, command: Command) -> Result<Done, Refusal> {
        self.apply(now, &[command]).unwrap().remove(0)
    }

    pub(crate) fn reader(&mut self) -> &mut dyn Reader {
        self.0.reader()
    }

    /// The rows of a look.
    pub(crate) fn rows(&mut self, now: Stamp, look: &Look) -> Vec<Value> {
        let mut out = b"[".to_vec();
        self.reader().page(now, look, usize::MAX, &mut out).unwrap();
        out.push(b']');
        serde_json::from_slice(&out).unwrap()
    }

    pub(crate) fn sequences(&mut self, inbox: &str) -> Vec<i64> {
        let look =
            Look { to: Some(inbox.into()), limit: 100_000, order: Order::Ascending, ..Look::default() };
        self.rows(at(0), &look).iter().map(|row| row["seq"].as_i64().unwrap()).collect()
    }
}

/// A moment, so many seconds after the beginning of the tests' time.
pub(crate) fn at(second: u64) -> Stamp {
    Stamp::from_micros(1_800_000_000_000_000).plus(Duration::from_secs(second))
}

pub(crate) fn message(from: &str, to: &str, text: &str) -> NewMessage {
    NewMessage {
        from_node: from.into(),
        to_nodes: vec![to.into()],
        is_fan_out: false,
        kind: Kind::Fyi,
        content_json: Value::from(text).to_string(),
        thread_id: None,
        related_task_id: None,
        expires_at: None,
        reply_to: None,
        ack_required: false,
        priority: 0,
        voucher: Voucher::Peer,
        key: None,
        max_depth: None,
    }
}

pub(crate) fn append(message: NewMessage) -> Command {
    Command::Append(Box::new(message))
}

pub(crate) fn keyed(text: &str, key: &str, digest: u8) -> Command {
    let key = SendKey { sender: "alice".into(), key: key.into(), digest: [digest; 32] };
    append(NewMessage { key: Some(key), ..message("alice", "bob", text) })
}

#[test]
fn who_changes_a_row_has_to_know_what_it_was() {
    for engine in engines() {
        let mut store = engine.open();
        let peer = |token: u8| {
            Box::new(PeerRow { name: "alice".into(), token: Some([token; 32]), ..PeerRow::default() })
        };
        let put = |peer: Box<PeerRow>, was: Option<Box<PeerRow>>| Command::PutPeer { peer, was };
        let group = |member: &str| GroupRow {
            name: "team".into(),
            description: String::new(),
            created_by: "alice".into(),
            created_at: at(0).to_string(),
            members: vec![member.into()],
        };
        let of = |group: GroupRow, was: Option<GroupRow>| Command::PutGroup { group, was };
        let seen = Command::Seen(vec![Seen { name: "alice".into(), at: at(5), online_until: Some(at(9)) }]);
        for (command, want) in [
            (put(peer(1), Some(peer(9))), Err(Refusal::Changed)),
            (put(peer(1), None), Ok(Done::Stored)),
            (put(peer(2), None), Err(Refusal::Changed)),
            (seen, Ok(Done::Stored)),
            (put(peer(2), Some(peer(1))), Ok(Done::Stored)),
            (put(peer(3), Some(peer(1))), Err(Refusal::Changed)),
            (of(group("bob"), Some(group("bob"))), Err(Refusal::Changed)),
            (of(group("bob"), None), Ok(Done::Stored)),
            (of(group("carol"), None), Err(Refusal::Changed)),
            (of(group("carol"), Some(group("bob"))), Ok(Done::Stored)),
            (of(group("dave"), Some(group("bob"))), Err(Refusal::Changed)),
        ] {
            assert_eq!(store.one(at(6), command.clone()), want, "{command:?}");
        }
        let known = store.reader().known().unwrap();
        assert_eq!((known.peers[0].token, known.peers[0].online_until), (Some([2; 32]), Some(at(9))));
        assert_eq!(known.groups, [group("carol")]);
    }
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    for engine in engines() {
        let mut store = engine.open();
        let peer =
            PeerRow { name: "alice".into(), is_enabled: true, token: Some([7; 32]), ..PeerRow::default() };
        let thread = Command::Thread { name: "a<->b:t".into(), uuid: "u".into(), session_id: None };
        let batch = [
            append(message("alice", "bob", "one")),
            Command::PutPeer { peer: Box::new(peer.clone()), was: None },
            thread.clone(),
        ];
        assert!(store.apply(at(0), &batch).unwrap().iter().all(Result::is_ok));
        store.one(at(1), Command::Read { id: 1, by: Scope::Any }).unwrap();
        drop(store);
        let mut store = engine.open();
        let row = store.rows(at(2), &Look { limit: 9, ..Look::default() }).remove(0);
        assert_eq!(
            (row["content"].as_str(), row["read_at"].as_str()),
            (Some("one"), Some(at(1).to_string().as_str()))
        );
        assert_eq!(store.reader().known().unwrap().peers, [peer]);
        assert!(matches!(store.one(at(3), thread), Ok(Done::Thread { is_new: false, .. })));
    }
}

#[test]
fn a_batch_that_failed_left_nothing() {
    for engine in engines() {
        let mut store = engine.open();
        store.one(at(0), append(message("alice", "bob", "one"))).unwrap();
        let batch = [append(message("alice", "bob", "two")), Command::Read { id: 1, by: Scope::Any }];
        let broken = engine.broken();
        assert!(store.apply(at(1), &batch).is_err());
        drop(broken);
        assert_eq!((store.sequences("bob"), store.reader().counts().unwrap().unread), (vec![1], 1));
        store.apply(at(2), &batch).unwrap();
        assert_eq!((store.sequences("bob"), store.reader().counts().unwrap().unread), (vec![1, 2], 1));
    }
}

#[test]
fn one_message_for_a_key() {
    for engine in engines() {
        let mut store = engine.open();
        let Ok(Done::Appended { answer: first, .. }) = store.one(at(0), keyed("one", "k", 1)) else {
            panic!()
        };
        let batch =
            [keyed("one", "k", 1), keyed("two", "k", 2), keyed("three", "l", 3), keyed("three", "l", 3)];
        let answers = store.apply(at(1), &batch).unwrap();
        let is_replay =
            |answer: &Result<Done, Refusal>| matches!(answer, Ok(Done::Appended { is_replay: true, .. }));
        assert!(is_replay(&answers[0]) && !is_replay(&answers[2]) && is_replay(&answers[3]));
        assert_eq!(answers[1], Err(Refusal::KeyConflict));
        drop(store);
        let mut store = engine.open();
        let Ok(Done::Appended { answer, is_replay, .. }) = store.one(at(2), keyed("one", "k", 1)) else {
            panic!()
        };
        assert_eq!((answer, is_replay, store.sequences("bob")), (first, true, vec![1, 2]));
        // After the window a key may be used anew.
        let window = Retention { keys: Duration::from_secs(10), ..Retention::default() };
        store.one(at(100), Command::Sweep(Some(window))).unwrap();
        assert!(matches!(
            store.one(at(101), keyed("one", "k", 1)),
            Ok(Done::Appended { is_replay: false, .. })
        ));
    }
}

#[test]
fn sequences_rise_without_gaps_and_are_never_used_again() {
    for engine in engines() {
        let mut store = engine.open();
        let to = |inbox: &str| append(message("alice", inbox, "x"));
        store.apply(at(0), &[to("bob"), to("carol"), to("bob"), to("bob")]).unwrap();
        // A full inbox takes no number.
        let full = append(NewMessage { max_depth: Some(3), ..message("alice", "bob", "x") });
        assert_eq!(store.one(at(1), full), Err(Refusal::Full { inbox: "bob".into() }));
        for id in [1, 3, 4] {
            store
                .one(
                    at(2),
                    Command::Ack {
                        id,
                        by: Scope::Any,
                        lease: None,
                        outcome: mesh_mailbox::gateway::lease::Outcome::Done,
                        note: None,
                    },
                )
                .unwrap();
        }
        let retention = Retention { settled: Duration::from_secs(60), ..Retention::default() };
        let swept = store.one(at(100), Command::Sweep(Some(retention))).unwrap();
        assert!(matches!(swept, Done::Swept { dropped: 3, .. }), "{swept:?}");
        assert_eq!((store.sequences("bob"), store.sequences("carol")), (vec![], vec![1]));
        drop(store);
        let mut store = engine.open();
        let Ok(Done::Appended { answer, .. }) = store.one(at(101), to("bob")) else { panic!() };
        let answer: Value = serde_json::from_str(&answer).unwrap();
        // An id that was taken in vain is not used again.
        assert!(answer["id"].as_i64() > Some(4), "{answer}");
        assert_eq!(answer["seq"], 4);
    }
}

#[test]
fn moments_rise_also_when_the_clock_goes_back() {
    for engine in engines() {
        let mut store = engine.open();
        for second in [10, 5, 5, 20, 1] {
            store.one(at(second), append(message("alice", "bob", "x"))).unwrap();
        }
        drop(store);
        let mut store = engine.open();
        store.one(at(0), append(message("alice", "bob", "x"))).unwrap();
        let look = Look { limit: 9, order: Order::Ascending, ..Look::default() };
        let moments: Vec<String> =
            store.rows(at(30), &look).iter().map(|row| row["created_at"].to_string()).collect();
        assert!(moments.windows(2).all(|pair| pair[0] < pair[1]), "{moments:?}");
    }
}

#[test]
fn a_caller_works_on_its_own_mail_only() {
    for engine in engines() {
        let mut store = engine.open();
        store.one(at(0), append(message("alice", "bob", "x"))).unwrap();
        let claim = Command::Claim {
            inbox: "bob".into(),
            max: 1,
            lease: Duration::from_secs(9),
            kind: None,
            thread_id: None,
        };
        store.one(at(0), claim).unwrap();
        let by = || Scope::Peer("alice".into());
        let outcome = mesh_mailbox::gateway::lease::Outcome::Done;
        for command in [
            Command::Read { id: 1, by: by() },
            Command::Ack { id: 1, by: by(), lease: None, outcome, note: None },
            Command::Nack { id: 1, by: by(), lease: "x".into(), delay: Duration::ZERO },
            Command::Extend { id: 1, by: by(), lease: "x".into(), time: Duration::ZERO },
            Command::Requeue { id: 1, by: by() },
        ] {
            assert_eq!(store.one(at(1), command), Err(Refusal::NotYours));
        }
        assert_eq!(store.one(at(1), Command::Read { id: 2, by: Scope::Any }), Err(Refusal::NotFound));
    }
}

#[test]
fn settled_mail_goes_first_and_unread_mail_stays() {
    for engine in engines() {
        let mut store = engine.open();
        for index in 0..10 {
            store.one(at(index), append(message("alice", "bob", "x"))).unwrap();
        }
        for id in 3..=8 {
            store.one(at(20), Command::Read { id, by: Scope::Any }).unwrap();
        }
        let few = Retention { max_per_inbox: 6, ..Retention::default() };
        store.one(at(30), Command::Sweep(Some(few))).unwrap();
        assert_eq!(store.sequences("bob"), [1, 2, 7, 8, 9, 10]);
        let old = Retention { unread: Duration::from_secs(25), settled: Duration::from_secs(3600), ..few };
        store.one(at(33), Command::Sweep(Some(old))).unwrap();
        assert_eq!(store.sequences("bob"), [7, 8, 9, 10]);
        assert_eq!(store.reader().counts().unwrap().unread, 2);
    }
}
