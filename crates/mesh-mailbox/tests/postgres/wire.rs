//! Texts and sizes that a database may stumble over, and encryption.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;

use base64::Engine as _;
use mesh_mailbox::gateway::lease::{Outcome, Stale};
use mesh_mailbox::gateway::migrate::migrate;
use mesh_mailbox::gateway::query::Look;
use mesh_mailbox::gateway::stamp::Stamp;
use mesh_mailbox::gateway::store::postgres::Postgres;
use mesh_mailbox::gateway::store::sqlite::{Place, Sqlite};
use mesh_mailbox::gateway::store::{
    Command, Done, GroupRow, NewMessage, PeerRow, Reader as _, Refusal, Retention, Scope, SendKey,
    Store as _, StoreError,
};
use serde_json::Value;

use crate::private_postgres::{PASSWORD, Server, shared};
use crate::{SHORT, message, place, send, sent};

#[test]
fn texts_with_nul_and_other_oddities_come_back_as_they_were() {
    let Some(server) = shared() else { return };
    let mut store = Postgres::open(place(&server.database())).unwrap();
    for odd in ["a\0b", "\u{1}0", "\u{1}", "\u{10ffff}'\"\\", "%s $1 {}", "\u{202e}abc"] {
        let key = SendKey { sender: odd.into(), key: odd.into(), digest: [3; 32] };
        let message = NewMessage {
            from_node: odd.into(),
            to_nodes: vec![odd.into()],
            thread_id: Some(odd.into()),
            related_task_id: Some(odd.into()),
            key: Some(key),
            ..message("", odd)
        };
        let append = Command::Append(Box::new(message));
        let thread = Command::Thread { name: odd.into(), uuid: odd.into(), session_id: Some(odd.into()) };
        let peer = PeerRow { name: odd.into(), url: odd.into(), ..PeerRow::default() };
        let group = GroupRow {
            name: odd.into(),
            description: odd.into(),
            created_by: odd.into(),
            created_at: odd.into(),
            members: vec![odd.into()],
        };
        let put_peer = Command::PutPeer { peer: Box::new(peer.clone()), was: None };
        let put_group = Command::PutGroup { group: group.clone(), was: None };
        let done = store.apply(Stamp::now(), &[append.clone(), thread, put_peer, put_group, append]).unwrap();
        let (Ok(Done::Appended { answer, .. }), Ok(Done::Appended { answer: again, is_replay, .. })) =
            (&done[0], &done[4])
        else {
            panic!("{done:?}")
        };
        assert!(answer == again && *is_replay);
        let Ok(Done::Thread { thread, .. }) = &done[1] else { panic!("{done:?}") };
        let mut reader = store.reader().unwrap();
        assert_eq!(reader.threads(Some(odd)).unwrap(), std::slice::from_ref(thread));
        let look = Look {
            to: Some(odd.into()),
            from: Some(odd.into()),
            thread_id: Some(odd.into()),
            limit: 9,
            ..Look::default()
        };
        let mut out = Vec::new();
        assert_eq!(reader.page(Stamp::now(), &look, 1 << 20, &mut out).unwrap().count, 1);
        let row: Value = serde_json::from_slice(&out).unwrap();
        for field in ["content", "thread_id", "from_node", "to_node", "related_task_id"] {
            assert_eq!(row[field], odd, "{field}");
        }
        let one = reader.message(row["id"].as_i64().unwrap()).unwrap().unwrap();
        assert_eq!((one.from_node.as_str(), one.to_node.as_str()), (odd, odd));
        let known = reader.known().unwrap();
        assert!(known.peers.contains(&peer) && known.groups.contains(&group));
        assert_eq!(reader.last_sequence(odd).unwrap(), 1);
    }
}

#[test]
fn a_page_holds_no_more_than_it_may() {
    let Some(server) = shared() else { return };
    let mut store = Postgres::open(place(&server.database())).unwrap();
    let text = "x".repeat(200_000);
    let batch: Vec<Command> = (0..20).map(|_| Command::Append(Box::new(message("bob", &text)))).collect();
    store.apply(Stamp::now(), &batch).unwrap();
    let mut reader = store.reader().unwrap();
    let mut after = 0;
    let mut pages = Vec::new();
    loop {
        let look = Look { to: Some("bob".into()), after: Some(after), limit: 100, ..Look::default() };
        let mut out = b"before".to_vec();
        let page = reader.page(Stamp::now(), &look, 1 << 20, &mut out).unwrap();
        assert!(out.starts_with(b"before") && out.len() <= 6 + (1 << 20));
        let Some(last) = page.last else { break };
        after = last;
        pages.push((page.count, page.is_cut));
        if !page.is_cut {
            break;
        }
    }
    assert_eq!(pages, [(5, true), (5, true), (5, true), (5, false)]);
    // One row at least, however large.
    let look = Look { limit: 100, ..Look::default() };
    let mut out = Vec::new();
    let page = reader.page(Stamp::now(), &look, 10, &mut out).unwrap();
    assert_eq!((page.count, page.is_cut, page.last), (1, true, None));
}

#[test]
fn an_inbox_of_many_is_full_when_it_is() {
    let Some(server) = shared() else { return };
    let mut store = Postgres::open(place(&server.database())).unwrap();
    let send = || Command::Append(Box::new(NewMessage { max_depth: Some(5), ..message("bob", "x") }));
    let all = |store: &mut Postgres, count: usize| {
        let batch: Vec<Command> = (0..count).map(|_| send()).collect();
        store.apply(Stamp::now(), &batch).unwrap().iter().filter(|done| done.is_ok()).count()
    };
    assert_eq!(all(&mut store, 7), 5);
    let read = |id| Command::Read { id, by: Scope::Any };
    store.apply(Stamp::now(), &[read(1), read(2)]).unwrap();
    assert_eq!(all(&mut store, 7), 2);
    // Another gateway counts for itself.
    let mut other = Postgres::open(store.place().clone()).unwrap();
    store.apply(Stamp::now(), &[read(3)]).unwrap();
    assert_eq!((all(&mut other, 7), all(&mut store, 7)), (1, 0));
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A server that encrypts.
fn encrypting() -> Option<Server> {
    let server = Server::start(&[])?;
    let key = base64::engine::general_purpose::STANDARD.encode(std::fs::read(fixture("key.der")).unwrap());
    let lines: Vec<&str> = (0..key.len()).step_by(64).map(|at| &key[at..key.len().min(at + 64)]).collect();
    let word = "PRIVATE KEY";
    let key = format!("-----BEGIN {word}-----\n{}\n-----END {word}-----\n", lines.join("\n"));
    let owner = std::fs::metadata(server.data()).unwrap();
    let certificate = std::fs::read_to_string(fixture("cert.pem")).unwrap();
    for (name, text) in [("server.key", key), ("server.crt", certificate)] {
        let path = server.data().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    server.sql("postgres", "ALTER SYSTEM SET ssl = on");
    server.stop();
    server.run();
    Some(server)
}

#[test]
fn the_mode_says_whether_it_is_encrypted_and_whom_we_trust() {
    let Some(server) = encrypting() else { return };
    let database = server.database();
    let name = database.rsplit('/').next().unwrap();
    let root = fixture("cert.pem").display().to_string();
    let open = |host: &str, query: &str| {
        let address = format!("postgres://postgres:{PASSWORD}@{host}:{}/{name}{query}", server.port());
        Postgres::open(place(&address).with_limit(SHORT).with_notify(false))
    };
    let is_encrypted = "SELECT bool_or(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                        WHERE datname = current_database() AND application_name LIKE 'meshapi%'";
    for (query, want) in [
        ("?sslmode=disable".to_owned(), "f"),
        (String::new(), "t"),
        ("?sslmode=prefer".to_owned(), "t"),
        ("?sslmode=require".to_owned(), "t"),
        (format!("?sslmode=verify-full&sslrootcert={root}"), "t"),
    ] {
        let mut store = open("localhost", &query).unwrap();
        sent(&mut store, send("bob")).unwrap();
        assert_eq!(server.sql(&database, is_encrypted), want, "{query}");
    }
    // Nobody whom we know signed it.
    let unknown = open("localhost", "?sslmode=verify-full").unwrap_err();
    assert!(
        matches!(&unknown, StoreError::Refused { hint, .. } if hint.contains("sslrootcert")),
        "{unknown}"
    );
    // A good certificate, of another host.
    let other = open("other.test", &format!("?sslmode=verify-full&sslrootcert={root}&hostaddr=127.0.0.1"));
    let other = other.unwrap_err();
    assert!(matches!(&other, StoreError::Refused { cause, .. } if cause.contains("other.test")), "{other}");
    // A server that does not encrypt is left when it has to.
    server.sql("postgres", "ALTER SYSTEM SET ssl = off");
    server.stop();
    server.run();
    let plain = open("localhost", "?sslmode=require").unwrap_err();
    assert!(matches!(&plain, StoreError::Refused { cause, .. } if cause.contains("TLS")), "{plain}");
    assert!(open("localhost", "?sslmode=prefer").is_ok());
}

#[tokio::test]
async fn a_task_may_open_use_and_drop_it() {
    let Some(server) = shared() else { return };
    let mut store = Postgres::open(place(&server.database())).unwrap();
    sent(&mut store, send("bob")).unwrap();
    let mut news = store.news().unwrap().unwrap();
    news.next(&[], std::time::Duration::ZERO).unwrap();
    assert_eq!(store.reader().unwrap().counts().unwrap().messages, 1);
}

#[test]
fn commands_of_a_batch_see_what_came_before_them() {
    let Some(server) = shared() else { return };
    let mut store = Postgres::open(place(&server.database())).unwrap();
    let claim = || Command::Claim {
        inbox: "bob".into(),
        max: 9,
        lease: std::time::Duration::from_secs(60),
        kind: None,
        thread_id: None,
    };
    let read = |id| Command::Read { id, by: Scope::Any };
    let rows = |done: &Result<Done, Refusal>| match done {
        Ok(Done::Claimed { count, rows }) => {
            let rows: Vec<Value> =
                serde_json::from_str(&format!("[{}]", String::from_utf8_lossy(rows))).unwrap();
            assert_eq!(rows.len(), *count);
            rows.iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    // Ids are given out from 1: a batch can name what it is about to make.
    let batch = [send("bob"), claim(), read(1), send("bob"), read(2), claim(), send("bob"), claim(), read(9)];
    let done = store.apply(Stamp::now(), &batch).unwrap();
    assert_eq!((rows(&done[1]), rows(&done[5]), rows(&done[7])), (vec![1], vec![], vec![3]));
    assert!(matches!((&done[2], &done[4]), (Ok(Done::Read { .. }), Ok(Done::Read { .. }))));
    assert_eq!(done[8], Err(Refusal::NotFound));
    // A lease that was taken in the batch is known to the commands after it.
    let ack = |lease: Option<String>| Command::Ack {
        id: 3,
        by: Scope::Any,
        lease,
        outcome: Outcome::Done,
        note: Some("a\0b".into()),
    };
    let done = store.apply(Stamp::now(), &[ack(None), claim(), ack(Some("other".into()))]).unwrap();
    assert_eq!(done[0], Err(Refusal::Stale(Stale::Claimed)));
    assert_eq!((rows(&done[1]), &done[2]), (vec![], &Err(Refusal::Stale(Stale::Lease))));
}

#[test]
fn what_comes_from_a_file_is_counted_as_it_was() {
    let Some(server) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.db");
    let mut file = Sqlite::open(Place::new(&path)).unwrap();
    let many: Vec<Command> = ["bob", "carol", "bob", "bob"].into_iter().map(send).collect();
    file.apply(Stamp::now(), &many).unwrap();
    file.apply(Stamp::now(), &[Command::Read { id: 1, by: Scope::Any }]).unwrap();
    let few = Retention { max_per_inbox: 1, ..Retention::default() };
    file.apply(Stamp::now(), &[Command::Sweep(Some(few))]).unwrap();
    let before = file.reader().unwrap().counts().unwrap();
    assert_eq!((before.messages, before.unread), (3, 3));
    drop(file);
    let place = place(&server.database());
    migrate(&path, &place).unwrap();
    let mut store = Postgres::open(place).unwrap();
    assert_eq!(store.reader().unwrap().counts().unwrap(), before);
    // And so it is after more has come and gone.
    store.apply(Stamp::now(), &[send("bob"), Command::Read { id: 3, by: Scope::Any }]).unwrap();
    store.apply(Stamp::now(), &[Command::Sweep(Some(few))]).unwrap();
    let after = store.reader().unwrap().counts().unwrap();
    assert_eq!((after.messages, after.unread), (3, 3));
}
