//! Laws for several who have one store open at once, as gateways that share a database do.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::time::Duration;

use mesh_mailbox::gateway::query::Look;
use mesh_mailbox::gateway::store::{Command, Done, PeerRow, Refusal};
use serde_json::Value;

use crate::{Engine, append, at, engines, keyed, message};

fn shared_engines() -> impl Iterator<Item = Box<dyn Engine>> {
    engines().into_iter().filter(|engine| engine.is_shared())
}

/// Has several work at once, each on a store of its own; returns what each came to.
fn together<T: Send>(
    engine: &dyn Engine,
    count: usize,
    work: impl Fn(usize, &mut crate::Opened) -> T + Sync,
) -> Vec<T> {
    let stores: Vec<crate::Opened> = (0..count).map(|_| engine.open()).collect();
    let start = Barrier::new(count);
    std::thread::scope(|scope| {
        let (work, start) = (&work, &start);
        let run = |(number, mut store): (usize, crate::Opened)| {
            scope.spawn(move || {
                start.wait();
                work(number, &mut store)
            })
        };
        let threads: Vec<_> = stores.into_iter().enumerate().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn sent(done: &Result<Done, Refusal>) -> (&str, bool) {
    match done {
        Ok(Done::Appended { answer, is_replay, .. }) => (answer, *is_replay),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_key_used_by_several_at_once_is_one_message() {
    for engine in shared_engines() {
        for round in 0..20 {
            let key = format!("k{round}");
            let answers = together(&*engine, 4, |_, store| store.one(at(round), keyed("one", &key, 1)));
            let bodies: BTreeSet<&str> = answers.iter().map(|done| sent(done).0).collect();
            let new = answers.iter().filter(|done| !sent(done).1).count();
            assert_eq!((bodies.len(), new), (1, 1), "{answers:?}");
        }
        assert_eq!(engine.open().sequences("bob"), (1..=20).collect::<Vec<_>>());
    }
}

#[test]
fn one_key_for_two_messages_is_a_conflict_for_one() {
    for engine in shared_engines() {
        for round in 0..20 {
            let key = format!("k{round}");
            let answers = together(&*engine, 2, |number, store| {
                // Into different inboxes: no lock brings the two into an order.
                let digest = u8::try_from(number).unwrap();
                let Command::Append(mut message) = keyed("x", &key, digest) else { panic!() };
                message.to_nodes = vec![format!("peer{number}")];
                store.one(at(round), Command::Append(message))
            });
            let refused = answers.iter().filter(|done| **done == Err(Refusal::KeyConflict)).count();
            assert_eq!(refused, 1, "{answers:?}");
        }
    }
}

#[test]
fn sequences_have_no_gaps_whoever_gives_them_out() {
    for engine in shared_engines() {
        let inboxes = ["a", "b", "c", "d"];
        together(&*engine, 3, |number, store| {
            for batch in 0..15 {
                // Each names the inboxes in another order.
                let to = |nth: usize| inboxes[(nth * (number + 1) + batch) % inboxes.len()];
                let batch: Vec<Command> = (0..8).map(|nth| append(message("alice", to(nth), "x"))).collect();
                assert!(store.apply(at(0), &batch).unwrap().iter().all(Result::is_ok));
            }
        });
        let mut store = engine.open();
        let mut count = 0;
        for inbox in inboxes {
            let sequences = store.sequences(inbox);
            assert_eq!(sequences, (1..=sequences.len() as i64).collect::<Vec<_>>(), "{inbox}");
            count += sequences.len();
        }
        assert_eq!(count, 3 * 15 * 8);
        let mut ids = BTreeSet::new();
        for inbox in inboxes {
            let look = Look { to: Some(inbox.into()), limit: 1000, after: Some(0), ..Look::default() };
            let rows = store.rows(at(1), &look);
            let in_order: Vec<(i64, String)> = rows
                .iter()
                .rev()
                .map(|row| (row["id"].as_i64().unwrap(), row["created_at"].to_string()))
                .collect();
            // Within an inbox, ids and moments rise with the sequence.
            assert!(in_order.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
            ids.extend(in_order.into_iter().map(|(id, _)| id));
        }
        assert_eq!(ids.len(), count);
    }
}

#[test]
fn a_message_is_handed_out_once() {
    for engine in shared_engines() {
        let mut store = engine.open();
        let batch: Vec<Command> = (0..120).map(|_| append(message("alice", "bob", "x"))).collect();
        store.apply(at(0), &batch).unwrap();
        let taken = together(&*engine, 4, |_, store| {
            let mut taken = Vec::new();
            // What another has in its hands is passed over: only when nothing is left for long is it all gone.
            let mut empty = 0;
            while empty < 20 {
                let claim = Command::Claim {
                    inbox: "bob".into(),
                    max: 3,
                    lease: Duration::from_secs(60),
                    kind: None,
                    thread_id: None,
                };
                let Ok(Done::Claimed { count, rows }) = store.one(at(1), claim) else { panic!() };
                empty = if count == 0 { empty + 1 } else { 0 };
                let rows = format!("[{}]", String::from_utf8(rows).unwrap());
                let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
                taken.extend(rows.iter().map(|row| row["id"].as_i64().unwrap()));
            }
            taken
        });
        let all: Vec<i64> = taken.concat();
        let once: BTreeSet<i64> = all.iter().copied().collect();
        assert_eq!((all.len(), once.len()), (120, 120));
    }
}

#[test]
fn of_several_who_make_one_name_one_succeeds() {
    for engine in shared_engines() {
        for round in 0..10 {
            let answers = together(&*engine, 3, |number, store| {
                let token = Some([u8::try_from(number).unwrap(); 32]);
                let peer = PeerRow { name: format!("peer{round}"), token, ..PeerRow::default() };
                store.one(at(0), Command::PutPeer { peer: Box::new(peer), was: None })
            });
            let made = answers.iter().filter(|answer| answer.is_ok()).count();
            let refused = answers.iter().filter(|answer| **answer == Err(Refusal::Changed)).count();
            assert_eq!((made, refused), (1, 2), "{answers:?}");
        }
    }
}

#[test]
fn what_one_knows_is_known_to_the_other() {
    for engine in shared_engines() {
        let (mut one, mut other) = (engine.open(), engine.open());
        let peer = PeerRow { name: "alice".into(), token: Some([7; 32]), ..PeerRow::default() };
        one.one(at(0), Command::PutPeer { peer: Box::new(peer.clone()), was: None }).unwrap();
        assert_eq!(other.reader().known().unwrap().peers, [peer]);
        other.one(at(1), append(message("alice", "bob", "x"))).unwrap();
        one.one(at(2), append(message("alice", "bob", "y"))).unwrap();
        assert_eq!(one.sequences("bob"), [1, 2]);
    }
}
