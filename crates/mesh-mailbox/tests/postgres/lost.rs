//! Servers that die, hang or are cut off: never a word that something is stored when it may not be, and back to work by itself.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mesh_mailbox::gateway::stamp::Stamp;
use mesh_mailbox::gateway::store::postgres::Postgres;
use mesh_mailbox::gateway::store::{Store as _, StoreError};

use crate::private_postgres::{PASSWORD, Server};
use crate::{SHORT, keyed, place, send, sent, sequences};

/// Longest time until something that has to happen has happened.
const SOON: Duration = Duration::from_secs(30);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_that_comes_back_is_used_again() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let mut store = Postgres::open(place(&database).with_limit(SHORT)).unwrap();
    sent(&mut store, keyed("one")).unwrap();
    // Between two batches nobody notices.
    for end in [Server::stop, Server::kill] {
        end(&server);
        server.run();
        sent(&mut store, send("carol")).unwrap();
    }
    // While it is away each batch is told so.
    server.kill();
    for _ in 0..2 {
        assert!(matches!(sent(&mut store, keyed("two")), Err(StoreError::Unreachable { .. })));
    }
    server.run();
    assert!(!sent(&mut store, keyed("two")).unwrap().1);
    assert!(sent(&mut store, keyed("one")).unwrap().1);
    assert_eq!(sequences(&store, "bob"), [1, 2]);
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_batch_left_nothing_of_it() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let mut store = Postgres::open(place(&database)).unwrap();
    sent(&mut store, keyed("one")).unwrap();
    let lock = server.holding(&database, "BEGIN; LOCK TABLE mesh_inboxes");
    std::thread::scope(|scope| {
        let batch = scope.spawn(|| sent(&mut store, keyed("two")));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        until("waits for the lock", || server.sql(&database, waits) != "0");
        server.kill();
        assert!(matches!(batch.join().unwrap(), Err(StoreError::Unreachable { .. })));
    });
    drop(lock);
    server.run();
    assert_eq!(sequences(&store, "bob"), [1]);
    assert!(!sent(&mut store, keyed("two")).unwrap().1);
    assert_eq!(sequences(&store, "bob"), [1, 2]);
}

#[test]
fn a_commit_without_its_standby_is_not_acknowledged() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    // A weaker setting of the database does not count for us: the commit waits all the same.
    let name = database.rsplit('/').next().unwrap();
    server.sql(&database, &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let mut store = Postgres::open(place(&database).with_limit(SHORT)).unwrap();
    sent(&mut store, keyed("one")).unwrap();
    let standby = |name: &str| {
        server.sql(&database, &format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"));
        server.sql(&database, "SELECT pg_reload_conf()");
        until("is set", || server.sql(&database, "SHOW synchronous_standby_names") == name);
    };
    standby("nowhere");
    let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    // It waits for a standby that is not there: nobody knows whether what it wrote will last.
    assert!(matches!(sent(&mut store, keyed("two")), Err(StoreError::Unknown { .. })));
    // Somebody loses patience: then the server says that it is committed, but on this machine only, and warns.
    for cut in ["pg_cancel_backend", "pg_terminate_backend"] {
        let mut store = Postgres::open(place(&database)).unwrap();
        std::thread::scope(|scope| {
            let batch = scope.spawn(|| sent(&mut store, keyed(cut)));
            until("waits for its standby", || {
                for pid in server.sql(&database, waiting).lines() {
                    server.sql(&database, &format!("SELECT {cut}({pid})"));
                }
                batch.is_finished()
            });
            let told = batch.join().unwrap();
            assert!(matches!(told, Err(StoreError::Unknown { .. })), "{cut}: {told:?}");
        });
    }
    standby("");
    // Whatever became of them, the same keys are one message each.
    for key in ["one", "two", "pg_cancel_backend", "pg_terminate_backend"] {
        sent(&mut store, keyed(key)).unwrap();
        assert!(sent(&mut store, keyed(key)).unwrap().1);
    }
    assert_eq!(sequences(&store, "bob"), [1, 2, 3, 4]);
}

/// A way to a server that can be cut: connections stay open, and nothing comes through.
struct Wire {
    port: u16,
    is_cut: Arc<AtomicBool>,
}

impl Wire {
    fn new(to: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                for (from, to) in [(&socket, &server), (&server, &socket)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let cut = Arc::clone(&cut);
                    std::thread::spawn(move || carry(from, to, &cut));
                }
            }
        });
        Wire { port, is_cut }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    let mut bytes = [0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        // What was sent into a cut wire is lost, and with it the connection: it will never be whole again.
        if is_cut.load(Ordering::SeqCst) {
            while is_cut.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            break;
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[test]
fn a_wire_that_is_cut_gives_an_error_and_never_hangs() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let wire = Wire::new(server.port());
    let name = database.rsplit('/').next().unwrap();
    let address = format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{name}", wire.port);
    let mut store = Postgres::open(place(&address).with_limit(SHORT)).unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let key = |part: &str| keyed(&format!("{round}{part}"));
        acknowledged.push(sent(&mut store, key("before")).unwrap().0);
        wire.is_cut.store(true, Ordering::SeqCst);
        for _ in 0..2 {
            let told = sent(&mut store, key("during"));
            assert!(matches!(told, Err(StoreError::Unreachable { .. })), "{told:?}");
        }
        wire.is_cut.store(false, Ordering::SeqCst);
        let during = sent(&mut store, key("during")).unwrap();
        assert_eq!(sent(&mut store, key("during")).unwrap(), (during.0.clone(), true));
        acknowledged.push(during.0);
    }
    assert_eq!(sequences(&store, "bob"), (1..=8).collect::<Vec<_>>());
    assert_eq!(acknowledged.len(), 8);
}

#[test]
fn a_gateway_that_is_cut_off_does_not_hold_the_others_up_for_long() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let mut store = Postgres::open(place(&database).with_limit(SHORT)).unwrap();
    sent(&mut store, keyed("one")).unwrap();
    // As a gateway leaves it that was cut off between its locks and its commit; its time is ours.
    let lost = format!(
        "SET idle_in_transaction_session_timeout = {}; BEGIN; SELECT name FROM mesh_inboxes FOR UPDATE",
        SHORT.as_millis()
    );
    let lost = server.holding(&database, &lost);
    until("is let through", || match sent(&mut store, keyed("two")) {
        Ok(_) => true,
        Err(StoreError::Locked | StoreError::Unreachable { .. }) => false,
        Err(other) => panic!("{other:?}"),
    });
    drop(lost);
    assert_eq!(sequences(&store, "bob"), [1, 2]);
}

#[test]
fn two_that_wait_for_each_other_both_get_on() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let mut store = Postgres::open(place(&database)).unwrap();
    store.apply(Stamp::now(), &[send("a"), send("b")]).unwrap();
    // No gateway takes locks in this order; somebody at a console may, and is not the one who gives way.
    let begin = "SET deadlock_timeout = '1h'; BEGIN; SELECT FROM mesh_inboxes WHERE name = 'b' FOR UPDATE";
    let mut other = server.holding(&database, begin);
    std::thread::scope(|scope| {
        let batch = scope.spawn(|| store.apply(Stamp::now(), &[send("b"), send("a")]));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        until("waits for b", || server.sql(&database, waits) != "0");
        other.then("UPDATE mesh_inboxes SET version = version + 1000 WHERE name = 'a'; COMMIT");
        assert!(batch.join().unwrap().unwrap().iter().all(Result::is_ok));
    });
    drop(other);
    assert_eq!((sequences(&store, "a"), sequences(&store, "b")), (vec![1, 2], vec![1, 2]));
    let version = server.sql(&database, "SELECT version FROM mesh_inboxes WHERE name = 'a'");
    assert_eq!(version, "1002", "both did what they came for");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    until("is counted", || server.sql(&database, deadlocks) == "1");
}
