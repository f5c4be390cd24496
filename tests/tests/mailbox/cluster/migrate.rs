//! From a file to PostgreSQL: whoever had a message, a mark or a token has it afterwards.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use mesh_mailbox::{Kind, Look, Mailbox};
use mesh_tests::lab::binary;
use serde_json::{Value, json};

use super::fleet::Fleet;
use super::server;
use crate::program::{Program, TOKEN};

fn migrate(folder: &Path, database: &str) -> Output {
    Command::new(binary())
        .args(["gateway", "migrate", "--json", "--from"])
        .arg(folder.join("mesh.db"))
        .args(["--to", database])
        .env_clear()
        .env("HOME", folder)
        .output()
        .unwrap()
}

async fn rows(mailbox: &Mailbox) -> Value {
    mailbox.call("GET", "/messages?to=bob&order=asc&after=0", None, Duration::ZERO).await.unwrap()["messages"]
        .clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_sequences_tokens_marks_and_keys_stay_what_they_are() {
    let Some(database) = server::database() else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let token = program.mailbox("alice").register(None, None).await.unwrap().token.unwrap();
    program.mailbox("bob").register(None, None).await.unwrap();
    let post = async |mailbox: &Mailbox, content: &str| {
        let message = mailbox.compose("bob", Kind::Question, content).unwrap();
        (mailbox.post(&message).await.unwrap(), message)
    };
    let alice = Mailbox::builder("alice").gateway_url(&program.url).token(&token).build().unwrap();
    for content in ["one", "two\u{0} with a NUL", "three", "four"] {
        post(&alice, content).await;
    }
    let (fifth, message) = post(&alice, "five").await;
    let bob = program.mailbox("bob");
    bob.mark_read(1).await.unwrap();
    let claim = json!({"to": "bob", "max": 2, "lease_s": 600});
    let claimed = bob.call("POST", "/messages/claim", Some(&claim), Duration::ZERO).await.unwrap();
    let held = &claimed["messages"][0];
    let before = rows(&bob).await;

    let refused = migrate(folder.path(), &database.url);
    assert!(!refused.status.success(), "a gateway serves the file");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another gateway serves"), "{refused:?}");
    program.kill();
    let done = migrate(folder.path(), &database.url);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(told, json!({"messages": 5, "inboxes": 1, "peers": 2}));

    let fleet = Fleet::start(&database.url, 2);
    let alice = |at: usize| {
        let url = fleet.mailbox(at, "alice").gateway_url().to_owned();
        Mailbox::builder("alice").gateway_url(url).token(&token).build().unwrap()
    };
    assert_eq!(rows(&fleet.mailbox(0, "bob")).await, before);
    let again = alice(0).post(&message).await.unwrap();
    assert!(again.is_replay);
    assert_eq!(again.answer, fifth.answer, "a key is remembered, and its answer");
    let (sixth, _) = post(&alice(1), "six").await;
    assert!(sixth.id > fifth.id);
    assert_eq!(sixth.answer["seq"].as_i64(), Some(6));
    assert!(sixth.answer["created_at"].as_str() > fifth.answer["created_at"].as_str());
    let ack = json!({"lease_id": held["lease_id"], "outcome": "done"});
    let path = format!("/messages/{}/ack", held["id"]);
    fleet.mailbox(1, "bob").call("POST", &path, Some(&ack), Duration::ZERO).await.unwrap();
    let unread = fleet.mailbox(1, "bob").fetch(&Look::unread()).await.unwrap();
    assert_eq!(unread.envelopes.len(), 4, "one was marked, one is done");

    let twice = migrate(folder.path(), &database.url);
    assert!(!twice.status.success());
    assert!(String::from_utf8_lossy(&twice.stderr).contains("holds mail or names already"), "{twice:?}");
    let check = Command::new(binary())
        .args(["gateway", "check", "--db", &database.url])
        .env_clear()
        .env("HOME", folder.path())
        .env("MESH_GATEWAY_TOKEN", TOKEN)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&check.stdout).trim(), "the database is sound", "{check:?}");
}
