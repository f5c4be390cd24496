//! Waiting for mail: long polls, streams, presence, and what a stop does to them.

use std::time::{Duration, Instant};

use mesh_client::http::{Body, BodyReader, HttpClient, Request};
use serde_json::{Value, json};

use crate::harness::{Lab, OPERATOR, soon};

/// A stream of events, with what was read of it and not yet taken.
struct Stream {
    body: BodyReader,
    text: String,
}

impl Stream {
    async fn open(lab: &Lab, query: &str, token: &str, last_event_id: Option<&str>) -> Stream {
        let mut request = Request::get(format!("{}/messages/stream?{query}", lab.url))
            .header("authorization", format!("Bearer {token}"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let client = HttpClient::builder().build();
        let answer = client.send(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
        Stream { body: answer.into_body(), text: String::new() }
    }

    /// The next event: its id and its message's content. `None` when the stream has ended.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                    let row: Value = serde_json::from_str(data).unwrap();
                    return Some((id.to_owned(), row["content"].as_str().unwrap().to_owned()));
                }
            }
            match soon(self.body.read()).await.ok().flatten() {
                Some(bytes) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                None => return None,
            }
        }
    }
}

fn event(id: &str, content: &str) -> Option<(String, String)> {
    Some((id.to_owned(), content.to_owned()))
}

#[tokio::test]
async fn a_wait_ends_with_the_message_it_waited_for() {
    let lab = Lab::new().await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    let waiting = lab.get("/messages?to=bob&unread_only=true&after=0&order=asc&wait=20", &bob);
    let (found, _) = soon(async { tokio::join!(waiting, lab.send(&alice, "alice", "bob", "here")) }).await;
    assert_eq!(found.contents(), ["here"]);
    let begin = Instant::now();
    let empty = lab.get("/messages?to=bob&after=1&wait=0.05", &bob).await;
    assert_eq!((empty.json()["n"].clone(), empty.json()["next"].clone()), (json!(0), json!(1)));
    assert!(begin.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_claim_waits_too_and_one_of_two_gets_the_message() {
    let lab = Lab::new().await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    let body = json!({"wait": 3});
    let claims = async {
        tokio::join!(lab.post("/messages/claim", &bob, &body), lab.post("/messages/claim", &bob, &body))
    };
    let ((one, other), _) =
        soon(async { tokio::join!(claims, lab.send(&alice, "alice", "bob", "work")) }).await;
    let mut counts = [one.json()["n"].as_i64().unwrap(), other.json()["n"].as_i64().unwrap()];
    counts.sort_unstable();
    assert_eq!(counts, [0, 1]);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_cut() {
    let lab = Lab::new().await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    lab.send(&alice, "alice", "bob", "one").await;
    let mut stream = Stream::open(&lab, "to=bob&after=0", &bob, None).await;
    assert_eq!(stream.next().await, event("1", "one"));
    lab.send(&alice, "alice", "bob", "two").await;
    assert_eq!(stream.next().await, event("2", "two"));
    drop(stream);
    lab.send(&alice, "alice", "bob", "three").await;
    // The header goes before the query: a browser repeats the address as it was.
    let mut stream = Stream::open(&lab, "to=bob&after=0", &bob, Some("2")).await;
    assert_eq!(stream.next().await, event("3", "three"));
    let mut fresh = Stream::open(&lab, "", &bob, None).await;
    lab.send(&alice, "alice", "bob", "four").await;
    assert_eq!((fresh.next().await, stream.next().await), (event("4", "four"), event("4", "four")));
    let bad = lab.raw("GET", "/messages/stream?to=bob", &bob, &[("last-event-id", "x")], b"").await;
    assert_eq!(bad.status, 422);
}

#[tokio::test]
async fn a_long_backlog_is_streamed_without_gap() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    let large = "y".repeat(5000);
    for _ in 0..3 {
        let items: Vec<Value> = (0..60).map(|_| crate::harness::message("alice", "alice", &large)).collect();
        assert_eq!(lab.post("/messages:batch", OPERATOR, &json!({ "messages": items })).await.status, 200);
    }
    let mut stream = Stream::open(&lab, "after=0", &alice, None).await;
    for seq in 1..=180 {
        assert_eq!(stream.next().await.map(|(id, _)| id), Some(seq.to_string()));
    }
}

#[tokio::test]
async fn a_stop_tells_waiters_and_loses_nothing() {
    let mut lab = Lab::new().await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    lab.send(&alice, "alice", "bob", "kept").await;
    let mut stream = Stream::open(&lab, "to=bob", &bob, None).await;
    let (url, token) = (lab.url.clone(), bob.clone());
    let waiting = tokio::spawn(async move {
        let request = Request::get(format!("{url}/messages?to=bob&after=1&wait=30"))
            .header("authorization", format!("Bearer {token}"));
        let answer = HttpClient::builder().build().send(request.body(Body::empty()).unwrap()).await.unwrap();
        (answer.status().as_u16(), answer.into_body().collect(9999).await.unwrap())
    });
    // Until the gateway has heard of it, there is nobody to be told.
    while !lab.get("/metrics", "").await.text.contains("mailbox_requests_total{class=\"2xx\"} 6") {
        tokio::task::yield_now().await;
    }
    soon(lab.stop()).await;
    assert_eq!(stream.next().await, None);
    assert!(stream.text.is_empty() || stream.text.contains("stops"));
    let (status, body) = soon(waiting).await.unwrap();
    assert_eq!((status, &body[..]), (200, br#"{"messages":[],"n":0,"next":1}"#.as_slice()));
    lab.start(|_| ()).await;
    assert_eq!(lab.get("/messages?to=bob", &bob).await.contents(), ["kept"]);
}

#[tokio::test]
async fn presence_is_a_lease() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    let online = |row: Value| row["peers"][0]["online"].clone();
    assert_eq!(online(lab.get("/peers", &alice).await.json()), false);
    assert_eq!(lab.raw("PUT", "/presence", &alice, &[], br#"{"lease_s": 60}"#).await.status, 200);
    assert_eq!(online(lab.get("/peers", &alice).await.json()), true);
    assert_eq!(
        lab.raw("PUT", "/presence", OPERATOR, &[], br#"{"node": "alice", "lease_s": 0}"#).await.status,
        200
    );
    assert_eq!(online(lab.get("/peers", &alice).await.json()), false);
}
