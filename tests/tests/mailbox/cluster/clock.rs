//! A gateway whose clock is an hour ahead: leases go by the database's clock.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mesh_mailbox::{Kind, Mailbox};
use serde_json::{Value, json};

use super::fleet::Fleet;
use super::server;
use crate::program::say;

/// A library that moves the clock of a program that is started with it; none where there is no compiler.
fn ahead(folder: &Path) -> Option<PathBuf> {
    let source = folder.join("ahead.c");
    std::fs::write(&source, include_str!("ahead.c")).unwrap();
    let library = folder.join("ahead.so");
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    made.is_ok_and(|status| status.success()).then_some(library)
}

async fn claim(mailbox: &Mailbox, lease_s: u64, wait: u64) -> Vec<Value> {
    let body = json!({"to": "worker", "max": 10, "lease_s": lease_s, "wait": wait});
    let wait = Duration::from_secs(wait);
    let claimed = mailbox.call("POST", "/messages/claim", Some(&body), wait).await.unwrap();
    claimed["messages"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_go_by_the_clock_of_the_database() {
    let Some(database) = server::database() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = ahead(folder.path()) else {
        say("SKIPPED: no C compiler, so no clock that goes ahead");
        return;
    };
    let mut fleet = Fleet::start(&database.url, 1);
    fleet.add(|command| {
        command.env("LD_PRELOAD", &library);
    });
    let (right, ahead) = (0, 1);
    for node in ["writer", "worker"] {
        fleet.mailbox(right, node).register(None, None).await.unwrap();
    }
    let send = async |at: usize, content: &str| {
        let writer = fleet.mailbox(at, "writer");
        let message = writer.compose("worker", Kind::Fyi, content).unwrap();
        writer.post(&message).await.unwrap().answer["created_at"].as_str().unwrap().to_owned()
    };
    let first = send(ahead, "first").await;
    let second = send(right, "second").await;
    assert!(first < second && first[..11] == second[..11], "one clock: {first} {second}");

    let held = claim(&fleet.mailbox(right, "worker"), 60, 0).await;
    assert_eq!(held.len(), 2);
    assert!(claim(&fleet.mailbox(ahead, "worker"), 60, 0).await.is_empty(), "a lease of the other is held");
    let id = held[0]["id"].as_i64().unwrap();
    let lease = held[0]["lease_id"].as_str().unwrap();
    let back = json!({"lease_id": lease});
    let worker = fleet.mailbox(ahead, "worker");
    worker.call("POST", &format!("/messages/{id}/nack"), Some(&back), Duration::ZERO).await.unwrap();
    // What the one that is ahead leases for a second is free after a second, not after an hour.
    let again = claim(&fleet.mailbox(ahead, "worker"), 1, 5).await;
    assert_eq!(again.len(), 1);
    let third = claim(&fleet.mailbox(right, "worker"), 60, 20).await;
    assert_eq!(third.len(), 1);
    assert_eq!(third[0]["id"].as_i64(), Some(id));
}
