//! Who may do what.

use serde_json::{Value, json};

use crate::harness::{Lab, OPERATOR, message};

/// The status of every action on bob's mail, by every caller.
#[tokio::test]
async fn nobody_reads_marks_or_sends_as_another() {
    let lab = Lab::new().await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    lab.peer("carol").await;
    let invite =
        lab.post("/invites", OPERATOR, &json!({})).await.json()["invite"].as_str().unwrap().to_owned();
    let id = lab.send(OPERATOR, "carol", "bob", "for bob").await;
    let actions: Vec<(&str, String, Value)> = vec![
        ("GET", "/messages?to=bob".into(), Value::Null),
        ("GET", "/messages/stream?to=nobody-at-all".into(), Value::Null),
        ("GET", format!("/messages/{id}"), Value::Null),
        ("POST", "/messages".into(), message("bob", "alice", "x")),
        ("POST", "/messages/claim".into(), json!({"to": "bob", "kind": "unblock"})),
        ("POST", "/messages/claim".into(), json!({"node": "bob", "kind": "unblock"})),
        ("PUT", "/presence".into(), json!({"node": "bob"})),
        ("POST", "/peers/register".into(), json!({"name": "bob"})),
        ("POST", format!("/messages/{id}/read"), Value::Null),
        ("POST", format!("/messages/{id}/ack"), json!({})),
        ("POST", "/invites".into(), json!({})),
    ];
    let mut table = String::new();
    for (method, path, body) in &actions {
        let mut statuses = Vec::new();
        for token in ["", "wrong", &invite, &alice, &bob, OPERATOR] {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            if path.contains("stream") && (token == OPERATOR) {
                // A stream has no end to wait for.
                statuses.push("-".to_owned());
                continue;
            }
            statuses.push(lab.raw(method, path, token, &[], body.as_bytes()).await.status.to_string());
        }
        let path = path.replace(&id.to_string(), "ID");
        table.push_str(&format!(
            "{method:4} {path:36} {body:42} {}\n",
            statuses.join(" "),
            body = body.to_string()
        ));
    }
    insta::assert_snapshot!(format!("callers: none, unknown, invited, alice, bob, operator\n{table}"));
}

#[tokio::test]
async fn without_an_inbox_a_peer_sees_its_own_mail_only() {
    let lab = Lab::new().await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    lab.peer("carol").await;
    lab.send(OPERATOR, "carol", "bob", "secret").await;
    lab.send(&bob, "bob", "alice", "open").await;
    assert_eq!(lab.get("/messages", &alice).await.contents(), ["open"]);
    assert_eq!(lab.get("/messages?from=bob", &bob).await.contents(), ["open"]);
    assert_eq!(lab.get("/messages?from=carol", &alice).await.contents(), [""; 0]);
    assert_eq!(lab.get("/messages", OPERATOR).await.contents(), ["open", "secret"]);
}

#[tokio::test]
async fn the_operator_speaks_as_registered_names_and_is_not_verified() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    lab.peer("bobby").await;
    lab.send(OPERATOR, "alice", "bobby", "by the operator").await;
    lab.send(&alice, "alice", "bobby", "by alice").await;
    let answer = lab.get("/messages?to=bobby&order=asc", OPERATOR).await.json();
    let verified: Vec<&Value> =
        answer["messages"].as_array().unwrap().iter().map(|row| &row["verified"]).collect();
    assert_eq!(verified, [false, true]);
    let unknown = lab.post("/messages", OPERATOR, &message("nobody", "bobby", "x")).await;
    assert_eq!(
        (unknown.status, unknown.json()["detail"].clone()),
        (404, json!("peer 'nobody' not registered"))
    );
    let near = lab.post("/messages", OPERATOR, &message("alice", "boby", "x")).await;
    assert_eq!(near.json()["detail"], "peer 'boby' not registered; did you mean bobby?");
}

#[tokio::test]
async fn tokens_are_rotated_revoked_and_stored_as_digests() {
    let mut lab = Lab::new().await;
    let first = lab.peer("alice").await;
    let again = lab.post("/peers/register", &first, &json!({"name": "alice"})).await.json();
    assert_eq!((&again["peer_token"], &again["token_status"]), (&Value::Null, &json!("existing")));
    let second = lab.post("/peers/alice/token", &first, &json!({})).await.json()["peer_token"].take();
    let second = second.as_str().unwrap();
    assert_eq!(lab.get("/peers", &first).await.status, 401);
    assert_eq!(lab.get("/peers", second).await.status, 200);
    lab.stop().await;
    let bytes = std::fs::read(lab.database()).unwrap();
    for secret in [&first, second, OPERATOR] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
    lab.start(|_| ()).await;
    assert_eq!(lab.get("/peers", second).await.status, 200);
    assert_eq!(lab.raw("DELETE", "/peers/alice/token", second, &[], b"").await.status, 200);
    assert_eq!(lab.get("/peers", second).await.status, 401);
    let minted = lab.post("/peers/register", OPERATOR, &json!({"name": "alice"})).await.json();
    assert_eq!(minted["token_status"], "minted");
    assert_eq!(lab.raw("DELETE", "/peers/alice", OPERATOR, &[], b"").await.status, 200);
    assert_eq!(lab.get("/peers", minted["peer_token"].as_str().unwrap()).await.status, 401);
    assert_eq!(lab.get("/peers", OPERATOR).await.json()["peers"], json!([]));
    assert_eq!(lab.post("/peers/alice/unrevoke", OPERATOR, &json!({})).await.status, 200);
    assert_eq!(lab.get("/peers", minted["peer_token"].as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn an_invitation_is_good_once_and_for_its_name() {
    let mut lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    assert_eq!(lab.post("/invites", &alice, &json!({})).await.status, 403);
    let invite = lab.post("/invites", OPERATOR, &json!({"name": "bob"})).await.json()["invite"].take();
    let invite = invite.as_str().unwrap();
    lab.stop().await;
    lab.start(|_| ()).await;
    assert_eq!(lab.post("/peers/register", invite, &json!({"name": "carol"})).await.status, 403);
    assert_eq!(lab.post("/peers/register", invite, &json!({"name": "alice"})).await.status, 403);
    let joined = lab.post("/peers/register", invite, &json!({"name": "bob"})).await;
    let bob = joined.json()["peer_token"].as_str().unwrap().to_owned();
    assert_eq!(lab.post("/peers/register", invite, &json!({"name": "bob"})).await.status, 401);
    lab.send(&bob, "bob", "alice", "hello").await;
    // One who is there may bring another in.
    let invite = lab.post("/invites", OPERATOR, &json!({})).await.json()["invite"].take();
    let body = json!({"name": "dave", "invite": invite});
    assert_eq!(lab.post("/peers/register", &alice, &body).await.status, 200);
    assert_eq!(lab.post("/peers/register", &alice, &json!({"name": "eve"})).await.status, 403);
}

#[tokio::test]
async fn content_with_the_operators_token_is_refused() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    let answer = lab.post("/messages", &alice, &message("alice", "alice", &format!("use {OPERATOR}!"))).await;
    assert_eq!(answer.status, 400);
    assert!(!answer.text.contains(OPERATOR));
}
