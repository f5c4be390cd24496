//! A worker that asks another and waits; a gateway without leases; a turn that pauses.

use mesh_client::scripted::{Gate, Reply, Script, ScriptedRequest};
use mesh_mailbox::Kind;
use mesh_tests::{lab::Lab, post::Post};
use serde_json::json;

use crate::{Running, calls, peer, run, says, texts, worker};

/// Asks bob, waits for what he says, and hands it on.
fn asks_bob(request: &ScriptedRequest) -> Reply {
    let ask = json!({"to": "bob", "kind": "question", "content": "how many?"});
    let results = texts(request, "tool");
    match request.hop() {
        1 => calls("send_message", &ask),
        2 => calls("wait_for_message", &json!({"timeout_s": 60})),
        _ => says(if results[2].contains("\"content\":\"42\"") { "bob says 42" } else { "bob says nothing" }),
    }
}

#[test]
fn a_worker_asks_another_and_waits_for_the_answer_in_its_turn() {
    let post = Post::start();
    let (alice, bob, carol) = (post.register("alice"), post.register("bob"), post.register("carol"));
    let labs = [Lab::new(Script::new(asks_bob)), Lab::new(Script::in_order([says("42")]))];
    let task = post.send(&post.speaking("carol", &carol), "alice", Kind::Question, Some("task"), "ask bob");
    let other = post.send(&post.speaking("carol", &carol), "alice", Kind::Fyi, None, "not now");
    let arguments = ["--mode", "auto", "--wait", "20", "--max-messages", "1"];
    let mut running = Vec::new();
    for (lab, (name, token)) in labs.iter().zip([("alice", &alice), ("bob", &bob)]) {
        running.push(Running::start(&mut worker(lab, &post, name, token, &arguments)));
    }
    for running in running {
        let output = running.end();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let answers: Vec<_> = post.inbox("carol").into_iter().filter_map(|row| row.content).collect();
    assert_eq!(answers, ["bob says 42"]);
    assert_eq!(post.outcome("alice", task).0.as_deref(), Some("done"));
    // While it waited it took nothing that was meant for a turn of its own.
    assert_eq!(post.outcome("alice", other).0, None);
    let rows = post.inbox("alice");
    let reply = rows.iter().find(|row| row.from_node == "bob").unwrap();
    assert_eq!(reply.extra["outcome"], "done", "the answer is settled with the work that asked for it");
    assert!(reply.thread_id.as_deref().unwrap().starts_with("alice-"), "{reply:?}");
}

#[test]
fn an_answer_that_came_while_nobody_worked_waits_for_the_work_that_asked() {
    let post = Post::start();
    let (alice, bob, carol) = (post.register("alice"), post.register("bob"), post.register("carol"));
    post.send(&post.speaking("carol", &carol), "alice", Kind::Question, Some("task"), "ask bob");
    let gate = Gate::new();
    let closed = gate.clone();
    let lab = Lab::new(Script::new(move |request: &ScriptedRequest| match request.hop() {
        1 => asks_bob(request),
        _ => Reply::stream().gate(&closed).text("never").done(),
    }));
    let arguments = ["--mode", "auto", "--lease", "3"];
    let mut first = Running::start(&mut worker(&lab, &post, "alice", &alice, &arguments));
    while lab.requests().len() < 2 {
        std::thread::yield_now();
    }
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    // Bob answers while nobody is there; his answer can be taken before the work's lease has ended.
    let bobs = Lab::new(Script::in_order([says("42")]));
    run(&mut worker(&bobs, &post, "bob", &bob, &["--mode", "auto", "--wait", "20", "--max-messages", "1"]));
    let again = Lab::new(Script::new(asks_bob));
    let arguments = ["--mode", "auto", "--wait", "30", "--max-messages", "1", "--lease", "3"];
    let (output, text) = run(worker(&again, &post, "alice", &alice, &arguments).env("HOME", lab.home()));
    assert_eq!(output.status.code(), Some(0), "{text}");
    let answers: Vec<_> = post.inbox("carol").into_iter().filter_map(|row| row.content).collect();
    assert_eq!(answers, ["bob says 42"], "{text}");
    assert_eq!(post.inbox("bob").len(), 1, "bob was asked once");
    assert!(post.inbox("alice").iter().all(|row| row.extra["outcome"] == "done"));
}

#[test]
fn a_gateway_without_leases_has_its_messages_marked_read_after_the_turn() {
    let row = json!({"id": 7, "from_node": "bob", "to_node": "alice", "kind": "fyi", "content": "hello", "read_at": null,
                     "created_at": "2026-11-20T21:57:23.806728+00:00"});
    let script = Script::in_order([calls("check_inbox", &json!({})), says("seen")])
        .route("/messages/claim", |_: &_| Reply::error(404, "not_found", "Not Found"))
        .route("/messages", move |_: &_| Reply::json(json!({"messages": [row], "n": 1})))
        .route("/messages/7/read", |_: &_| Reply::json(json!({"id": 7, "read_at": "now"})));
    let lab = Lab::new(script);
    let gateway = lab.environment().into_iter().find(|(name, _)| name == "MESHAPI_BASE_URL").unwrap().1;
    let gateway = gateway.trim_end_matches("/v1");
    let both = [("MESH_NODE", "alice"), ("MESH_GATEWAY_URL", gateway)];
    let (output, text) = run(lab.command(&["-p", "read my mail"]).envs(both));
    assert_eq!(output.status.code(), Some(0), "{text}");
    let requests = lab.requests();
    let place = |path: &str| requests.iter().position(|request| request.path == path);
    let last = requests.iter().rposition(|request| request.path == "/chat/completions").unwrap();
    assert!(texts(&requests[last], "tool")[0].contains("\"content\":\"hello\""));
    assert!(texts(&requests[last], "tool")[0].contains("\"verified\":false"));
    assert!(place("/messages/7/read").unwrap() > last, "read when the turn had ended");
}

#[test]
fn a_turn_that_pauses_gives_back_what_it_held_when_its_session_ends() {
    let post = Post::start();
    let (alice, bob) = (post.register("alice"), post.register("bob"));
    let id = post.send(&post.speaking("bob", &bob), "alice", Kind::Fyi, None, "hello");
    let lab = Lab::new(Script::in_order([calls("check_inbox", &json!({}))]));
    let (output, text) = run(&mut peer(&lab, &post, "alice", &alice, &["-p", "read", "--max-hops", "1"]));
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert_eq!(post.outcome("alice", id).0, None);
    let row = &post.inbox("alice")[0];
    assert!(row.is_unread() && !row.extra.contains_key("claimed_until"), "{row:?}");
}
