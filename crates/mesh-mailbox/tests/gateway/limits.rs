//! Too much, too large, broken off, no room: the right status, a text, and nothing lost.

use std::time::Duration;

use mesh_mailbox::gateway::store::StoreError;
use mesh_mailbox::gateway::store::sqlite::{Place, Sqlite, StoreLock, backup, check};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Lab, OPERATOR, message, soon};

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_before_it_is_parsed() {
    let lab = Lab::with(|options| options.limits.body_bytes = 2000).await;
    let alice = lab.peer("alice").await;
    let body = message("alice", "alice", &"x".repeat(3000));
    let answer = lab.post("/messages", &alice, &body).await;
    assert_eq!(
        (answer.status, answer.json()),
        (413, json!({"detail": "the body is larger than 2000 bytes"}))
    );
    // Without a length it is cut off when it has grown too long.
    let mut socket = TcpStream::connect(lab.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /messages HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {alice}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(format!("bb8\r\n{}\r\n", "x".repeat(3000)).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(socket.read_to_end(&mut answer)).await;
    assert!(
        String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let nobody = lab.post("/messages", "wrong", &body).await;
    assert_eq!(nobody.status, 401);
}

#[tokio::test]
async fn the_longest_content_passes_and_one_character_more_does_not() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    let longest = "\u{1F600}".repeat(200_000);
    lab.send(&alice, "alice", "alice", &longest).await;
    // Escaped as surrogate pairs it has three times the bytes.
    let escaped = format!(
        r#"{{"from_node":"alice","to_node":"alice","kind":"fyi","content":"{}"}}"#,
        "\\ud83d\\ude00".repeat(200_000)
    );
    assert_eq!(lab.raw("POST", "/messages", &alice, &[], escaped.as_bytes()).await.status, 200);
    assert_eq!(lab.get("/messages?to=alice&limit=1", &alice).await.contents()[0], longest);
    let answer = lab.post("/messages", &alice, &message("alice", "alice", &format!("{longest}x"))).await;
    assert_eq!((answer.status, &answer.json()["detail"][0]["type"]), (422, &json!("string_too_long")));
    assert!(answer.text.len() < 3000, "the input is not echoed whole");
}

#[tokio::test]
async fn one_peer_is_slowed_down_and_others_are_not() {
    let lab = Lab::with(|options| {
        options.limits.sends_per_second = 0.5;
        options.limits.burst = 2.0;
    })
    .await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    let body = message("alice", "bob", "x");
    for status in [200, 200, 429] {
        let answer = lab.post("/messages", &alice, &body).await;
        assert_eq!(answer.status, status);
        if status == 429 {
            assert_eq!(answer.header("retry-after"), Some("2"));
        }
    }
    lab.send(&bob, "bob", "alice", "x").await;
    for _ in 0..5 {
        lab.send(OPERATOR, "alice", "bob", "x").await;
    }
}

#[tokio::test]
async fn a_full_inbox_takes_no_more_until_something_is_read() {
    let lab = Lab::with(|options| options.limits.inbox_depth = 2).await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    let first = lab.send(&alice, "alice", "bob", "one").await;
    lab.send(&alice, "alice", "bob", "two").await;
    let body = message("alice", "bob", "three");
    let answer = lab.post("/messages", &alice, &body).await;
    assert_eq!((answer.status, answer.header("retry-after")), (507, Some("30")));
    let both = json!({"from_node": "alice", "to_nodes": ["alice", "bob"], "kind": "fyi", "content": "x"});
    assert_eq!(lab.post("/messages", &alice, &both).await.status, 507);
    assert_eq!(lab.get("/messages?to=alice", &alice).await.json()["n"], 0);
    lab.send(OPERATOR, "alice", "bob", "the operator's").await;
    for _ in 0..2 {
        assert_eq!(lab.post(&format!("/messages/{first}/read"), &bob, &json!({})).await.status, 200);
    }
    assert_eq!(lab.post("/messages", &alice, &body).await.status, 507);
    lab.post(&format!("/messages/{}/ack", first + 1), &bob, &json!({})).await;
    assert_eq!(lab.post("/messages", &alice, &body).await.status, 200);
}

#[tokio::test]
async fn what_another_program_locks_is_told_and_nothing_is_half_done() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    let other = rusqlite::Connection::open(lab.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = lab.post("/messages", &alice, &message("alice", "alice", "x")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert_eq!(answer.json()["detail"], "the database is locked by another program");
    // Reading goes on.
    assert_eq!(lab.get("/messages?to=alice", &alice).await.json()["n"], 0);
    assert_eq!(lab.get("/ready", "").await.status, 503);
    other.execute_batch("ROLLBACK").unwrap();
    lab.send(&alice, "alice", "alice", "y").await;
    assert_eq!(lab.get("/messages?to=alice", &alice).await.contents(), ["y"]);
    assert_eq!(lab.get("/ready", "").await.status, 200);
}

#[tokio::test]
async fn a_database_that_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.db");
    let lock = StoreLock::take(&path).unwrap();
    assert!(matches!(StoreLock::take(&path), Err(StoreError::InUse { .. })));
    drop(lock);
    StoreLock::take(&path).unwrap();
    drop(Sqlite::open(Place::new(&path)).unwrap());
    let alter = |sql: &str| rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    alter("PRAGMA user_version = 99");
    let error = Sqlite::open(Place::new(&path)).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error}");
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE claude_messages (id)").unwrap();
    let error = Sqlite::open(Place::new(&other)).unwrap_err().to_string();
    assert!(error.contains("meshapi gateway import"), "{error}");
    std::fs::write(
        folder.path().join("text.db"),
        "this is no database at all, but long enough to be taken for one",
    )
    .unwrap();
    assert!(matches!(Sqlite::open(Place::new(folder.path().join("text.db"))), Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn a_backup_is_made_while_mail_comes_in() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    lab.send(&alice, "alice", "alice", "one").await;
    let copy = lab.database().with_extension("copy");
    backup(&lab.database(), &copy).unwrap();
    assert!(backup(&lab.database(), &copy).is_err(), "a copy is not written over");
    lab.send(&alice, "alice", "alice", "two").await;
    assert_eq!(check(&copy).unwrap(), [""; 0]);
    assert_eq!(check(&lab.database()).unwrap(), [""; 0]);
    let count: i64 = rusqlite::Connection::open(&copy)
        .unwrap()
        .query_row("SELECT count(*) FROM messages", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn half_requests_and_noise_do_no_harm() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    let address = lab.url.strip_prefix("http://").unwrap();
    let mut open = Vec::new();
    for half in [
        "",
        "GET",
        "POST /messages HTTP/1.1\r\nhost: h\r\ncontent-length: 99\r\n\r\n{",
        "\0\u{1}\u{2}\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        for _ in 0..40 {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let _ = socket.write_all(half.as_bytes()).await;
            open.push(socket);
        }
    }
    lab.send(&alice, "alice", "alice", "through").await;
    let long = "a".repeat(100_000);
    let mut socket = TcpStream::connect(address).await.unwrap();
    let _ = socket.write_all(format!("GET /{long} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await;
    let mut answer = vec![0; 64];
    let read = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut answer)).await;
    let head = String::from_utf8_lossy(&answer).into_owned();
    assert!(matches!(read, Ok(Err(_) | Ok(0))) || head.starts_with("HTTP/1.1 4"), "{read:?} {head}");
    assert_eq!(lab.get("/messages?to=alice", &alice).await.contents(), ["through"]);
}

#[tokio::test]
async fn a_large_page_is_cut_and_goes_on() {
    let lab = Lab::with(|options| options.limits.page_bytes = 10_000).await;
    let alice = lab.peer("alice").await;
    for index in 0..8 {
        lab.send(&alice, "alice", "alice", &format!("{index}{}", "z".repeat(4000))).await;
    }
    let (mut after, mut seen) = (0, String::new());
    while seen.len() < 8 {
        let page = lab.get(&format!("/messages?to=alice&order=asc&after={after}"), &alice).await;
        assert!(page.text.len() < 15_000);
        seen.extend(page.contents().iter().map(|content| content.chars().next().unwrap()));
        after = page.json()["next"].as_i64().unwrap();
    }
    assert_eq!(seen, "01234567");
}
