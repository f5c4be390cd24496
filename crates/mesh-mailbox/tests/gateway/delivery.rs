//! Storing once, finding again, claiming and acknowledging.

use serde_json::{Value, json};

use crate::harness::{Lab, OPERATOR, message};

#[tokio::test]
async fn a_repeat_answers_the_same_bytes() {
    let mut lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    lab.peer("bob").await;
    let mut body = message("alice", "bob", "once");
    body["idempotency_key"] = "k1".into();
    let first = lab.post("/messages", &alice, &body).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None));
    // Read, acknowledged, restarted: the answer stays what it was.
    let id = first.json()["id"].clone();
    assert_eq!(lab.post(&format!("/messages/{id}/read"), OPERATOR, &json!({})).await.status, 200);
    lab.stop().await;
    lab.start(|_| ()).await;
    for _ in 0..2 {
        let again = lab.post("/messages", &alice, &body).await;
        assert_eq!((again.status, &again.text), (200, &first.text));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    // By the header as well, and by the operator in alice's name.
    let plain = message("alice", "bob", "once").to_string();
    let header = [("idempotency-key", "k1")];
    assert_eq!(lab.raw("POST", "/messages", OPERATOR, &header, plain.as_bytes()).await.text, first.text);
    for (field, value) in [
        ("content", json!("other")),
        ("kind", json!("answer")),
        ("thread_id", json!("t")),
        ("related_task_id", json!("7")),
        ("to_node", json!("alice")),
    ] {
        let mut other = body.clone();
        other[field] = value;
        let answer = lab.post("/messages", &alice, &other).await;
        assert_eq!(
            (answer.status, answer.json()),
            (409, json!({"detail": "idempotency_key conflicts with an existing message"})),
            "{field}"
        );
    }
    // Another sender's key is another key.
    let mut other = message("bob", "bob", "mine");
    other["idempotency_key"] = "k1".into();
    assert_eq!(lab.post("/messages", OPERATOR, &other).await.status, 200);
    let both = [("idempotency-key", "k2")];
    assert_eq!(lab.raw("POST", "/messages", &alice, &both, body.to_string().as_bytes()).await.status, 400);
    assert_eq!(lab.get("/messages?to=bob&from=alice", OPERATOR).await.json()["n"], 1);
}

#[tokio::test]
async fn many_at_once_under_one_key_are_one_message() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    let mut body = message("alice", "alice", "once");
    body["idempotency_key"] = "k".into();
    let sends = (0..12).map(|_| lab.post("/messages", &alice, &body));
    let answers = futures(sends).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text == answers[0].text));
    let fresh = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
    assert_eq!((fresh, lab.get("/messages?to=alice", &alice).await.contents().len()), (1, 1));
}

/// Runs futures at one time.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(move |cx| {
        let mut is_ready = true;
        for (one, done) in &mut all {
            if done.is_none() {
                match one.as_mut().poll(cx) {
                    std::task::Poll::Ready(output) => *done = Some(output),
                    std::task::Poll::Pending => is_ready = false,
                }
            }
        }
        if !is_ready {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(all.iter_mut().filter_map(|(_, done)| done.take()).collect())
    })
    .await
}

#[tokio::test]
async fn a_cursor_finds_each_message_once() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    lab.peer("bob").await;
    for index in 0..7 {
        // What goes to others leaves no gap.
        lab.send(&alice, "alice", "bob", "elsewhere").await;
        lab.send(&alice, "alice", "alice", &format!("m{index}")).await;
    }
    for order in ["asc", "desc"] {
        let (mut after, mut pages) = (0, Vec::new());
        loop {
            let page =
                lab.get(&format!("/messages?to=alice&limit=3&after={after}&order={order}"), &alice).await;
            after = page.json()["next"].as_i64().unwrap();
            if page.contents().is_empty() {
                break;
            }
            pages.push(page.contents());
        }
        let want: Value = match order {
            "asc" => json!([["m0", "m1", "m2"], ["m3", "m4", "m5"], ["m6"]]),
            _ => json!([["m2", "m1", "m0"], ["m5", "m4", "m3"], ["m6"]]),
        };
        assert_eq!((json!(pages), after), (want, 7));
    }
    let newest = lab.get("/messages?to=alice&limit=2", &alice).await;
    assert_eq!(
        (newest.contents(), newest.json()["next"].clone()),
        (vec!["m6".into(), "m5".into()], json!(7))
    );
    assert_eq!(lab.get("/messages?to=alice&limit=2&order=asc", &alice).await.contents(), ["m0", "m1"]);
    for bad in ["after=-1", "after=x", "order=up"] {
        assert_eq!(lab.get(&format!("/messages?to=alice&{bad}"), &alice).await.status, 422, "{bad}");
    }
}

#[tokio::test]
async fn since_is_strictly_after_and_moments_differ() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    for text in ["one", "two", "three"] {
        lab.send(&alice, "alice", "alice", text).await;
    }
    let rows = lab.get("/messages?to=alice&order=asc", &alice).await.json();
    let since = rows["messages"][0]["created_at"].as_str().unwrap();
    // A `+` that was not encoded is taken for what it was meant to be.
    for since in [since.to_owned(), since.replace('+', "%2B")] {
        let found = lab.get(&format!("/messages?to=alice&order=asc&since={since}"), &alice).await;
        assert_eq!(found.contents(), ["two", "three"]);
    }
}

#[tokio::test]
async fn a_claim_is_held_by_one_and_fenced() {
    let lab = Lab::new().await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    let id = lab.send(&alice, "alice", "bob", "work").await;
    let claim = json!({"max": 5, "lease_s": 60});
    let claimed = lab.post("/messages/claim", &bob, &claim).await.json();
    let row = &claimed["messages"][0];
    let lease = row["lease_id"].as_str().unwrap();
    assert_eq!((&row["id"], &row["attempt"], &row["read_at"]), (&json!(id), &json!(1), &Value::Null));
    assert_eq!(lab.post("/messages/claim", &bob, &claim).await.json()["n"], 0);
    // A peer of the old kind sees it as unread all the same, and not the lease.
    let seen = lab.get("/messages?to=bob&unread_only=true", &bob).await.json()["messages"][0].take();
    assert_eq!((&seen["claimed_until"], seen.get("lease_id")), (&row["claimed_until"], None));
    let work = |action: &str, body: Value| {
        let (path, bob, lab) = (format!("/messages/{id}/{action}"), bob.clone(), &lab);
        async move { lab.post(&path, &bob, &body).await }
    };
    for (action, body) in [
        ("ack", json!({})),
        ("ack", json!({"lease_id": "other"})),
        ("nack", json!({"lease_id": "other"})),
        ("extend", json!({"lease_id": "other"})),
    ] {
        let answer = work(action, body).await;
        assert_eq!((answer.status, answer.json()["detail"].is_string()), (409, true), "{action}");
    }
    assert_eq!(work("nack", json!({})).await.status, 422);
    assert_eq!(work("ack", json!({"outcome": "maybe"})).await.status, 422);
    assert_eq!(work("extend", json!({"lease_id": lease, "lease_s": 120})).await.status, 200);
    assert_eq!(
        work("nack", json!({"lease_id": lease, "delay_s": 0})).await.json(),
        json!({"id": id, "dead": false, "attempt": 1})
    );
    let second = lab.post("/messages/claim", &bob, &claim).await.json()["messages"][0].take();
    assert_eq!(work("ack", json!({"lease_id": lease})).await.status, 409);
    let ack = json!({"lease_id": second["lease_id"], "outcome": "rejected", "note": "not mine"});
    let acked = work("ack", ack.clone()).await;
    assert_eq!(acked.json()["outcome"], "rejected");
    assert_eq!(work("ack", ack).await.text, acked.text);
    // The sender sees what came of it.
    let row = lab.get(&format!("/messages/{id}"), &alice).await.json();
    assert_eq!(
        (&row["outcome"], &row["note"], &row["read_at"]),
        (&json!("rejected"), &json!("not mine"), &acked.json()["read_at"])
    );
    assert_eq!(lab.get("/messages?to=bob&unread_only=true", &bob).await.json()["n"], 0);
}

#[tokio::test]
async fn what_is_given_back_five_times_is_dead_and_its_sender_is_told() {
    let lab = Lab::new().await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    let mut body = message("alice", "bob", "hard");
    body["thread_id"] = "t".into();
    let id = lab.post("/messages", &alice, &body).await.json()["id"].as_i64().unwrap();
    for attempt in 1..=5 {
        let row = lab.post("/messages/claim", &bob, &json!({})).await.json()["messages"][0].take();
        assert_eq!(row["attempt"], attempt);
        let nack = json!({"lease_id": row["lease_id"]});
        let answer = lab.post(&format!("/messages/{id}/nack"), &bob, &nack).await.json();
        assert_eq!(answer["dead"], attempt == 5);
    }
    assert_eq!(lab.get("/messages?to=bob", &bob).await.json()["n"], 0);
    assert_eq!(lab.get("/messages?to=bob&dead=true", &bob).await.contents(), ["hard"]);
    let notice = lab.get("/messages?to=alice", &alice).await.json()["messages"][0].take();
    assert_eq!(
        notice["content"],
        format!("message {id} to bob was given up after 5 attempts; nobody acknowledged it")
    );
    let kind =
        [&notice["kind"], &notice["thread_id"], &notice["reply_to"], &notice["notice"], &notice["verified"]];
    assert_eq!(kind, [&json!("status"), &json!("t"), &json!(id), &json!(true), &json!(false)]);
    assert_eq!(lab.post(&format!("/messages/{id}/requeue"), &alice, &json!({})).await.status, 403);
    assert_eq!(lab.post(&format!("/messages/{id}/requeue"), &bob, &json!({})).await.status, 200);
    assert_eq!(lab.post(&format!("/messages/{id}/requeue"), &bob, &json!({})).await.status, 409);
    assert_eq!(lab.post("/messages/claim", &bob, &json!({})).await.contents(), ["hard"]);
}

#[tokio::test]
async fn priority_goes_first_and_what_expired_is_gone() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    for (text, field, value) in [
        ("plain", "priority", json!(0)),
        ("urgent", "priority", json!(9)),
        ("late", "expires_at", json!("2020-01-01T00:00:00Z")),
        ("soon", "priority", json!(3)),
    ] {
        let mut body = message("alice", "alice", text);
        body[field] = value;
        assert_eq!(lab.post("/messages", &alice, &body).await.status, 200);
    }
    assert_eq!(lab.get("/messages?to=alice", &alice).await.contents(), ["soon", "urgent", "plain"]);
    assert_eq!(
        lab.post("/messages/claim", &alice, &json!({"max": 9})).await.contents(),
        ["urgent", "soon", "plain"]
    );
}

#[tokio::test]
async fn a_batch_answers_each_item_at_its_place() {
    let lab = Lab::new().await;
    let alice = lab.peer("alice").await;
    let mut keyed = message("alice", "alice", "two");
    keyed["idempotency_key"] = "k".into();
    let items = json!([
        message("alice", "alice", "one"),
        keyed,
        keyed,
        message("bob", "alice", "forged"),
        7,
        message("alice", "nobody", "x")
    ]);
    let answer = lab.post("/messages:batch", &alice, &json!({ "messages": items })).await;
    let results = answer.json()["results"].take();
    let statuses: Vec<&Value> = results.as_array().unwrap().iter().map(|result| &result["status"]).collect();
    assert_eq!(statuses, [200, 200, 200, 403, 422, 404]);
    assert_eq!((&results[1]["body"], &results[2]["replayed"]), (&results[2]["body"], &json!(true)));
    assert_eq!(lab.get("/messages?to=alice&order=asc", &alice).await.contents(), ["one", "two"]);
    for bad in [json!({}), json!({"messages": []}), json!([]), json!({"messages": vec![7; 101]})] {
        assert_eq!(lab.post("/messages:batch", &alice, &bad).await.status, 422, "{bad}");
    }
}

#[tokio::test]
async fn a_group_gets_one_message_each() {
    let lab = Lab::new().await;
    let (alice, bob) = (lab.peer("alice").await, lab.peer("bob").await);
    let carol = lab.peer("carol").await;
    let group = json!({"name": "team", "members": ["alice", "bob", "carol"]});
    assert_eq!(lab.post("/groups", &alice, &group).await.status, 200);
    assert_eq!(lab.post("/groups", &bob, &group).await.status, 403);
    let body = json!({"from_node": "alice", "group": "team", "kind": "fyi", "content": "all", "idempotency_key": "g"});
    let first = lab.post("/messages", &alice, &body).await;
    let receivers: Vec<Value> =
        first.json()["messages"].as_array().unwrap().iter().map(|row| row["to_node"].clone()).collect();
    assert_eq!(
        (receivers, lab.post("/messages", &alice, &body).await.text),
        (vec![json!("bob"), json!("carol")], first.text)
    );
    assert_eq!(lab.get("/messages?to=bob", &bob).await.contents(), ["all"]);
    assert_eq!(lab.raw("DELETE", "/groups/team/members/carol", &carol, &[], b"").await.status, 200);
    assert_eq!(lab.get("/groups/team/members", &carol).await.json()["members"], json!(["alice", "bob"]));
    let outside = json!({"from_node": "carol", "group": "team", "kind": "fyi", "content": "x"});
    assert_eq!(lab.post("/messages", &carol, &outside).await.status, 403);
    let several = json!({"from_node": "carol", "to_nodes": ["bob", "nobody"], "kind": "fyi", "content": "x"});
    assert_eq!(lab.post("/messages", &carol, &several).await.status, 404);
    assert_eq!(lab.get("/messages?to=bob", &bob).await.json()["n"], 1);
}
