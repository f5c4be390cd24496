//! Our client against our gateway.

use std::time::Duration;

use mesh_mailbox::{Attempt, ClientError, Kind, Look, Mailbox, MailboxError, Outbox};
use serde_json::json;

use crate::harness::{Lab, OPERATOR, soon};

fn mailbox(lab: &Lab, node: &str, token: &str) -> Mailbox {
    Mailbox::builder(node).gateway_url(&lab.url).token(token).build().unwrap()
}

#[tokio::test]
async fn two_peers_write_to_each_other() {
    let lab = Lab::new().await;
    let registered = mailbox(&lab, "alice", OPERATOR).register(None, None).await.unwrap();
    let alice = mailbox(&lab, "alice", &registered.token.unwrap());
    let bob = mailbox(&lab, "bob", OPERATOR)
        .register(Some("http://b"), json!({"can": true}).as_object())
        .await
        .unwrap();
    let bob = mailbox(&lab, "bob", &bob.token.unwrap());
    let mut message = alice.compose("bob", Kind::Question, "ready?\n\u{1F600}").unwrap();
    message.related_task_id = Some("task-abc".into());
    let receipt = alice.send(&message).await.unwrap();
    assert!(!receipt.is_replay);
    let again = alice.send(&message).await.unwrap();
    assert_eq!((again.is_replay, again.answer), (true, receipt.answer));
    let inbox = bob.fetch(&Look::unread()).await.unwrap().envelopes;
    assert_eq!(inbox.len(), 1);
    assert_eq!(inbox[0].content.as_deref(), Some("ready?\n\u{1F600}"));
    assert_eq!(inbox[0].related_task_id.as_deref(), Some("task-abc"));
    for _ in 0..2 {
        bob.mark_read(inbox[0].id.0).await.unwrap();
    }
    assert_eq!(bob.fetch(&Look::unread()).await.unwrap().envelopes, []);
    // What one wrote to oneself is not in the own inbox, but in a look at it by name.
    bob.post(&bob.compose("bob", Kind::Fyi, "note").unwrap()).await.unwrap();
    assert_eq!(bob.fetch(&Look::default()).await.unwrap().envelopes.len(), 1);
    let of = Look { of: Some("bob".into()), ..Look::default() };
    assert_eq!(bob.fetch(&of).await.unwrap().envelopes.len(), 2);
    assert_eq!(bob.list_peers().await.unwrap().len(), 2);
}

#[tokio::test]
async fn refusals_are_typed() {
    let lab = Lab::new().await;
    let alice = mailbox(&lab, "alice", &lab.peer("alice").await);
    lab.peer("bobby").await;
    let message = alice.compose("boby", Kind::Fyi, "x").unwrap();
    match alice.send(&message).await {
        Err(ClientError::Invalid(MailboxError::NotRegistered { near, .. })) => assert_eq!(near, ["bobby"]),
        other => panic!("{other:?}"),
    }
    match alice.post(&message).await {
        Err(ClientError::Refused { status: 404, body, .. }) => assert!(body.contains("bobby")),
        other => panic!("{other:?}"),
    }
    let of = Look { of: Some("bobby".into()), ..Look::default() };
    let error = alice.fetch(&of).await.unwrap_err();
    assert_eq!(error.to_string(), "mesh-gateway GET /messages returned 403: check MESH_GATEWAY_TOKEN");
    let error = mailbox(&lab, "alice", "wrong").fetch(&Look::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Auth { status: 401, .. }) && !error.is_transient());
    assert!(matches!(alice.mark_read(999).await, Err(ClientError::Refused { status: 404, .. })));
}

#[tokio::test]
async fn an_outbox_empties_when_the_gateway_is_back() {
    let mut lab = Lab::new().await;
    let token = lab.peer("alice").await;
    let bob = lab.peer("bob").await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::in_folder(folder.path());
    let url = lab.url.clone();
    lab.stop().await;
    let away = Mailbox::builder("alice")
        .gateway_url(&url)
        .token(&token)
        .timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    for text in ["one", "two"] {
        let message = away.compose("bob", Kind::Fyi, text).unwrap();
        let attempt = outbox.send(&away, &message, 1).await.unwrap();
        assert!(matches!(attempt, Attempt::Queued(_)), "{attempt:?}");
    }
    // The same gateway at another port: what was written for the old address stays there.
    lab.start(|_| ()).await;
    let here = mailbox(&lab, "alice", &token);
    assert!(outbox.drain(&here).await.unwrap().sent.is_empty());
    let entries = outbox.entries().unwrap();
    for entry in &entries {
        outbox.remove(entry.key()).unwrap();
        outbox.put(&lab.url, "alice", &entry.message).unwrap();
    }
    let unknown = here.compose("nobody", Kind::Fyi, "lost").unwrap();
    outbox.put(&lab.url, "alice", &unknown).unwrap();
    let last = here.compose("bob", Kind::Fyi, "three").unwrap();
    assert!(matches!(outbox.send(&here, &last, 1).await.unwrap(), Attempt::Sent(_)));
    let bob = mailbox(&lab, "bob", &bob);
    let look = Look { oldest_first: true, ..Look::unread() };
    let texts: Vec<String> =
        bob.fetch(&look).await.unwrap().envelopes.into_iter().filter_map(|row| row.content).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    let left = outbox.entries().unwrap();
    assert_eq!((left.len(), left[0].key()), (1, unknown.key.as_str()));
    assert!(left[0].failed.as_deref().is_some_and(|reason| reason.contains("nobody")));
}

/// A server that says one thing.
async fn saying(answer: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    });
    url
}

#[tokio::test]
async fn odd_answers_are_errors_of_their_own() {
    let post = |url: String| async move {
        let alice = Mailbox::builder("alice").gateway_url(url).token("t-0123456789abcdef").build().unwrap();
        let message = alice.compose("bob", Kind::Fyi, "x").unwrap();
        soon(alice.post(&message)).await.unwrap_err()
    };
    let empty = post(saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await).await;
    assert!(matches!(empty, ClientError::Empty { .. }) && empty.is_transient());
    let page =
        post(saying("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>").await).await;
    assert_eq!(page.to_string(), "mesh-gateway POST /messages returned non-JSON: <html>");
    let away = post(saying("HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await).await;
    assert!(matches!(away, ClientError::Refused { status: 307, .. }) && !away.is_transient());
    let broken =
        post(saying("HTTP/1.1 500 X\r\ncontent-length: 4\r\nconnection: close\r\n\r\nboom").await).await;
    assert!(broken.to_string().ends_with("returned 500: boom") && broken.is_transient());
    let cut = post(saying("").await).await;
    assert!(matches!(cut, ClientError::Transport { .. }) && cut.is_transient());
    for error in [empty, page, away, broken, cut] {
        assert!(!format!("{error:?}").contains("0123456789abcdef"), "{error:?}");
    }
}
