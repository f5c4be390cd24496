//! Two agents at two gateways finish a joint task while one agent, one gateway and the database are killed in turn: it is done
//! once, and nothing is answered twice.

use mesh_client::scripted::{Reply, Script, ScriptedRequest};
use mesh_mailbox::{Envelope, Kind};
use mesh_tests::{lab::Lab, post::Post};
use serde_json::json;

use crate::private_postgres::Server;
use crate::{Running, calls, says, texts, worker};

/// Alice writes the file when bob has looked at the plan; her last words are the answer to the operator.
fn alice(request: &ScriptedRequest) -> Reply {
    let results = texts(request, "tool");
    let is_approved = results.iter().any(|text| text.contains("the plan is good"));
    let is_written = results.iter().any(|text| text.contains("notes.txt") && text.contains("rote"));
    match results.len() {
        1 => calls("send_message", &json!({"to": "bob", "kind": "question", "content": "is the plan good?"})),
        _ if is_written => says("done: bob approved, and notes.txt is written"),
        _ if is_approved => calls("write_file", &json!({"path": "notes.txt", "content": "by the plan\n"})),
        _ => calls("wait_for_message", &json!({"timeout_s": 20})),
    }
}

/// Bob looks at the folder first.
fn bob(request: &ScriptedRequest) -> Reply {
    match texts(request, "tool").len() {
        1 => calls("list_dir", &json!({})),
        _ => says("the plan is good"),
    }
}

fn of_kind<'r>(rows: &'r [Envelope], kind: &str) -> Vec<&'r Envelope> {
    rows.iter().filter(|row| row.kind == kind).collect()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed().as_secs() < 90, "not in time: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_joint_task_is_done_once_whatever_is_killed() {
    let Some(server) = Server::start(&[]) else { return };
    let database = server.database();
    let (mut first, second) = (Post::sharing(&database), Post::sharing(&database));
    let tokens = ["alice", "bob", "carol"].map(|name| first.register(name));
    let (alice_lab, bob_lab) = (Lab::new(Script::new(alice)), Lab::new(Script::new(bob)));
    let arguments = ["--mode", "auto", "--lease", "3", "--wait", "60"];
    let alice = |post: &Post| Running::start(&mut worker(&alice_lab, post, "alice", &tokens[0], &arguments));

    let carol = first.speaking("carol", &tokens[2]);
    let task = first.send(&carol, "alice", Kind::Question, Some("task"), "write notes.txt; ask bob first");
    let mut one = alice(&first);
    second.wait_for("bob", "alice's question", |rows| rows.len() == 1);
    // An agent is killed between its question and the answer.
    one.0.kill().unwrap();
    drop(one);
    let one = alice(&first);
    // The database is killed while bob works.
    let other = Running::start(&mut worker(&bob_lab, &second, "bob", &tokens[1], &arguments));
    until("bob's first request", || !bob_lab.requests().is_empty());
    server.kill();
    server.run();
    // A gateway is killed while alice waits at it.
    until("alice asks again", || {
        let requests = alice_lab.requests();
        requests.iter().filter(|request| texts(request, "tool").len() == 1).count() == 2
    });
    first.kill();
    first.begin();

    let rows = second.wait_for("carol", "the answer", |rows| !of_kind(rows, "answer").is_empty());
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0].content.as_deref(), Some("done: bob approved, and notes.txt is written"));
    assert_eq!(rows[0].thread_id.as_deref(), Some("task"));
    let written = std::fs::read_to_string(alice_lab.work().join("notes.txt")).unwrap();
    assert_eq!(written, "by the plan\n");
    let asked = second.inbox("bob");
    assert_eq!(of_kind(&asked, "question").len(), 1, "asked once: {asked:?}");
    let answered = second.inbox("alice");
    assert_eq!(of_kind(&answered, "answer").len(), 1, "answered once: {answered:?}");
    until("all is acknowledged", || {
        let is_done = |name: &str| {
            second.inbox(name).iter().all(|row| row.extra.get("outcome") == Some(&json!("done")))
        };
        is_done("alice") && is_done("bob")
    });
    assert_eq!(second.outcome("alice", task).0.as_deref(), Some("done"));
    drop((one, other));
}
