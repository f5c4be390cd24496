//! Mail in a turn of the user's own.

use mesh_client::scripted::{Script, ScriptedRequest};
use mesh_mailbox::Kind;
use mesh_tests::{lab::Lab, post::Post};
use serde_json::json;

use crate::{calls, peer, run, says, texts, tools};

const MAIL_TOOLS: [&str; 5] =
    ["send_message", "check_inbox", "wait_for_message", "ack_message", "list_peers"];

#[test]
fn without_a_name_and_a_gateway_nothing_is_offered() {
    let plain = Lab::new(Script::in_order([says("x")]));
    plain.run(&["-p", "go"]);
    let before = plain.requests();
    for half in [("MESH_NODE", "alice"), ("MESH_GATEWAY_URL", "http://127.0.0.1:1")] {
        let lab = Lab::new(Script::in_order([says("x")]));
        run(lab.command(&["-p", "go"]).env(half.0, half.1));
        assert_eq!(lab.requests()[0].json["tools"].to_string(), before[0].json["tools"].to_string());
    }
    assert!(!tools(&before[0]).iter().any(|name| MAIL_TOOLS.contains(&name.as_str())));
    let lab = Lab::new(Script::in_order([says("x")]));
    // A gateway that is away is no reason not to work.
    let both = [("MESH_NODE", "alice"), ("MESH_GATEWAY_URL", "http://127.0.0.1:1")];
    let (output, text) = run(lab.command(&["-p", "go"]).envs(both));
    assert_eq!(output.status.code(), Some(0), "{text}");
    let all = tools(&lab.requests()[0]);
    assert_eq!(all[all.len() - 5..], MAIL_TOOLS);
    assert_eq!(all[..all.len() - 5], tools(&before[0]));
}

#[test]
fn a_message_to_a_working_agent_is_seen_and_read_in_the_turn() {
    let post = Post::start();
    let (alice, bob) = (post.register("alice"), post.register("bob"));
    let script = Script::new(|request: &ScriptedRequest| {
        let is_told = texts(request, "system").iter().any(|text| text.contains("1 unread message, from bob"));
        let is_read = texts(request, "tool").iter().any(|text| text.contains("stop the release"));
        match (is_told, is_read) {
            (_, true) => says("I saw it"),
            (true, false) => calls("check_inbox", &json!({})),
            (false, false) => calls("list_dir", &json!({})),
        }
    });
    let lab = Lab::new(script);
    let mut command = peer(&lab, &post, "alice", &alice, &["-p", "work", "--max-hops", "100000"]);
    let running = crate::Running::start(&mut command);
    while lab.requests().is_empty() {
        std::thread::yield_now();
    }
    let id = post.send(&post.speaking("bob", &bob), "alice", Kind::Fyi, None, "stop the release");
    let output = running.end();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "I saw it\n");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.matches("✉ 1 unread message, from bob").count(), 1, "{told}");
    assert_eq!(post.outcome("alice", id), (Some("done".into()), None));
}

#[test]
fn what_is_sent_from_a_turn_waits_for_its_gateway() {
    let mut post = Post::start();
    let (alice, _) = (post.register("alice"), post.register("bob"));
    let letter = json!({"to": "bob", "kind": "status", "content": "done here"});
    let lab = Lab::new(Script::in_order([calls("send_message", &letter), says("ok")]));
    post.kill();
    let (output, text) = run(&mut peer(&lab, &post, "alice", &alice, &["-p", "tell bob", "--mode", "auto"]));
    assert_eq!(output.status.code(), Some(0), "{text}");
    let result = &texts(&lab.requests()[1], "tool")[0];
    assert!(result.contains("Kept for bob"), "{result}");
    post.begin();
    // Any later run of the same home sends it, once.
    for _ in 0..2 {
        let next =
            Lab::new(Script::in_order([calls("wait_for_message", &json!({"timeout_s": 1})), says("ok")]));
        run(peer(&next, &post, "alice", &alice, &["-p", "wait"]).env("HOME", lab.home()));
    }
    let rows = post.wait_for("bob", "the message", |rows| !rows.is_empty());
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].content.as_deref(), Some("done here"));
}
