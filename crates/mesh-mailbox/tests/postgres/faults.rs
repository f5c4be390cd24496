//! A database that does not let us in, or not do what we have to: each is told in words that help.

use mesh_mailbox::gateway::store::postgres::Postgres;
use mesh_mailbox::gateway::store::{Store as _, StoreError};

use crate::private_postgres::{PASSWORD, shared};
use crate::{SHORT, place, send, sent, sequences};

/// The error of an address, in which no password stands.
fn error(address: &str) -> StoreError {
    let error = Postgres::open(place(address).with_limit(SHORT)).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD) && !text.contains("wr0ng"), "{text}");
    error
}

#[track_caller]
fn check_refused(error: &StoreError, cause: &str, hint: &str) {
    let StoreError::Refused { place, cause: said, hint: given } = error else { panic!("{error:?}") };
    assert!(place.starts_with("postgres://"), "{place}");
    assert!(said.contains(cause) && given.contains(hint), "{error}");
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let Some(server) = shared() else { return };
    let database = server.database();
    let by = |password| server.by_loopback(&database, "postgres", password);
    check_refused(&error(&by("wr0ng")), "password authentication failed", "check user and password");
    let bare = format!("postgres://postgres@127.0.0.1:{}/mesh", server.port());
    check_refused(&error(&bare), "password missing", "put it into the address");
    let unknown = format!("{}_not", by(PASSWORD));
    check_refused(&error(&unknown), "does not exist", "createdb");
    assert!(Postgres::open(place(&by(PASSWORD))).is_ok());
    assert!(Postgres::open(place(&bare.replace("/mesh", "/postgres")).with_password(PASSWORD)).is_ok());
    let stranger = server.by_loopback(&database, "nobody_here", "wr0ng");
    check_refused(&error(&stranger), "password authentication failed", "check user and password");
}

#[test]
fn a_role_needs_rights() {
    let Some(server) = shared() else { return };
    let database = server.database();
    server.sql("postgres", "DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN");
    server.sql(&database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let weak = database.replace("postgres://postgres@", "postgres://weak@");
    check_refused(&error(&weak), "permission denied", "own the tables");
    // The tables are there, and are another's.
    drop(Postgres::open(place(&database)).unwrap());
    check_refused(&error(&weak), "permission denied", "own the tables");
    // A batch that meets a missing right leaves nothing.
    server.sql(&database, "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO weak");
    let mut store = Postgres::open(place(&weak)).unwrap();
    check_refused(&sent(&mut store, send("bob")).unwrap_err(), "permission denied", "own the tables");
    server.sql(&database, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weak");
    sent(&mut store, send("bob")).unwrap();
    assert_eq!(sequences(&store, "bob"), [1]);
}

#[test]
fn connections_that_are_used_up_are_told() {
    let Some(server) = shared() else { return };
    let database = server.database();
    server.sql("postgres", "DROP ROLE IF EXISTS few; CREATE ROLE few LOGIN CONNECTION LIMIT 1");
    server.sql(&database, "GRANT ALL ON SCHEMA public TO few");
    let few = database.replace("postgres://postgres@", "postgres://few@");
    let mut store = Postgres::open(place(&few).with_notify(false)).unwrap();
    check_refused(&error(&few), "too many connections", "max_connections");
    // Who is in works on; a reader is one more.
    sent(&mut store, send("bob")).unwrap();
    let looked = mesh_mailbox::gateway::store::Reader::counts(&mut store.reader().unwrap());
    check_refused(&looked.unwrap_err(), "too many connections", "max_connections");
}

#[test]
fn another_version_and_anothers_tables_are_refused() {
    let Some(server) = shared() else { return };
    let database = server.database();
    let mut store = Postgres::open(place(&database)).unwrap();
    server.sql(&database, "UPDATE mesh_schema SET version = 99");
    let newer = error(&database);
    assert!(matches!(&newer, StoreError::TooNew { found: 99, known: 1, .. }), "{newer}");
    // A gateway that comes back to a database which a newer one has changed meanwhile leaves it alone.
    server.sql(&database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()");
    assert!(matches!(sent(&mut store, send("bob")), Err(StoreError::TooNew { .. })));
    server.sql(&database, "UPDATE mesh_schema SET version = 1");
    sent(&mut store, send("bob")).unwrap();

    let other = server.database();
    server.sql(&other, "CREATE TABLE mesh_peers (name text)");
    assert!(matches!(error(&other), StoreError::Foreign { .. }));
    let third = server.database();
    server.sql(&third, "CREATE TABLE mesh_schema (what text)");
    assert!(matches!(error(&third), StoreError::Foreign { .. }));
    // Ours can stand beside another's in a schema of its own.
    server.sql(&other, "CREATE SCHEMA mail");
    let beside = format!("{other}?options=-c%20search_path%3Dmail");
    let mut store = Postgres::open(place(&beside)).unwrap();
    sent(&mut store, send("bob")).unwrap();
}

#[test]
fn gateways_that_start_at_once_make_the_tables_once() {
    let Some(server) = shared() else { return };
    for _ in 0..5 {
        let database = server.database();
        std::thread::scope(|scope| {
            let open = || Postgres::open(place(&database)).map(drop);
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            for thread in threads {
                thread.join().unwrap().unwrap();
            }
        });
        assert_eq!(server.sql(&database, "SELECT count(*), max(version) FROM mesh_schema"), "1|1");
    }
}

#[test]
fn a_standby_is_not_written_to() {
    let Some(server) = shared() else { return };
    let database = server.database();
    let mut store = Postgres::open(place(&database)).unwrap();
    let name = database.rsplit('/').next().unwrap();
    // As a standby looks from outside.
    server.sql(&database, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    assert!(matches!(error(&database), StoreError::ReadOnly { .. }));
    server.sql(
        "postgres",
        &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    );
    assert!(matches!(sent(&mut store, send("bob")), Err(StoreError::ReadOnly { .. })));
    let back =
        format!("SET transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only");
    server.sql("postgres", &back);
    sent(&mut store, send("bob")).unwrap();
}

#[test]
fn of_several_hosts_the_one_that_can_be_written_to_is_taken() {
    let Some(server) = shared() else { return };
    let database = server.database();
    let name = database.rsplit('/').next().unwrap();
    // One that refuses connections, and one that takes them and says nothing.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hosts = format!("127.0.0.1:{closed},127.0.0.1:{}", silent.local_addr().unwrap().port());
    let address = format!("postgres://postgres:{PASSWORD}@{hosts},127.0.0.1:{}/{name}", server.port());
    let mut store = Postgres::open(place(&address)).unwrap();
    sent(&mut store, send("bob")).unwrap();
    let none = format!("postgres://postgres:{PASSWORD}@{hosts}/{name}");
    let error = error(&none);
    let StoreError::Unreachable { place, cause } = &error else { panic!("{error:?}") };
    assert!(place.contains(&hosts) && cause.contains("refused") && cause.contains("no answer"), "{error}");
}
