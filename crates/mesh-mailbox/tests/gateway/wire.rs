//! The exchanges that were captured from the Python gateway, played to ours; `fixtures/README.md` says where they come from.
//!
//! Where ours answers otherwise on purpose, the table below says so; everything else has to be the same, save further fields.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::harness::{Lab, OPERATOR};

/// What ours answers otherwise: the exchange, the status, and what has to stand in the body.
fn on_purpose(name: &str) -> Option<(u16, Value)> {
    let same = |status| Some((status, json!({})));
    match name {
        "health, no auth" => Some((
            200,
            json!({"status": "ok", "service": "mesh-gateway", "n_peers_enabled": 0, "n_tasks_pending": 0}),
        )),
        "register without url" => {
            Some((200, json!({"status": "registered", "name": "wire-bo", "token_status": "minted"})))
        }
        // That name was registered by the exchange before.
        "register without capabilities" => {
            Some((200, json!({"status": "registered", "token_status": "existing"})))
        }
        "list peers" | "one peer" => same(200),
        "send as another peer (only recorded by default)" => {
            Some((403, json!({"detail": "this token may not send as wire-bo"})))
        }
        "unknown recipient is stored" => Some((404, json!({"detail": "peer 'wire-ghost' not registered"}))),
        "unknown thread" => Some((200, json!({"thread_id": "no-such-thread"}))),
        "task id as free text" => same(200),
        "invalid JSON" => same(422),
        "lone surrogate" => same(422),
        "another peer reads the inbox (allowed today)" => same(403),
        "mark read again" => same(200),
        "mark read unknown" => Some((404, json!({"detail": "message not found"}))),
        // The first message of this run has that id.
        "one message (no such route)" => same(200),
        _ => None,
    }
}

/// Ids, moments and tokens are each run's own: an id is told by the order in which it was first seen.
#[derive(Default)]
struct Known(HashMap<String, String>);

impl Known {
    fn same(&mut self, want: &Value, got: Option<&Value>, place: &str) -> Result<(), String> {
        let differs = || Err(format!("{place}: wanted {want}, got {got:?}"));
        match (want, got) {
            (Value::Object(fields), Some(Value::Object(given))) => fields
                .iter()
                .try_for_each(|(key, want)| self.same(want, given.get(key), &format!("{place}.{key}"))),
            (Value::Array(rows), Some(Value::Array(given))) if rows.len() == given.len() => {
                rows.iter().zip(given).try_for_each(|(want, got)| self.same(want, Some(got), place))
            }
            (Value::String(text), Some(Value::String(given))) if is_of_one_run(text) => {
                let is_moment = |text: &str| text.len() == 32 && text.ends_with("+00:00");
                if is_moment(text) == is_moment(given) { Ok(()) } else { differs() }
            }
            (want, Some(got))
                if place.ends_with("thread_uuid")
                    || place.ends_with("thread_id")
                    || place.ends_with(".id") =>
            {
                let mapped = self.0.entry(want.to_string()).or_insert_with(|| got.to_string());
                let got = got.to_string();
                if *got == **mapped { Ok(()) } else { differs() }
            }
            (want, Some(got)) if want == got => Ok(()),
            _ => differs(),
        }
    }

    /// A path or body with the captured ids in it, as this run has them.
    fn translated(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (old, new)| {
            let (old, new) = (old.trim_matches('"'), new.trim_matches('"'));
            if old.len() > 10 {
                text.replace(old, new)
            } else {
                text.replace(&format!("/{old}/"), &format!("/{new}/"))
            }
        })
    }
}

fn is_of_one_run(text: &str) -> bool {
    text.starts_with("2026-11-20T") || text.starts_with("<43 url-safe")
}

#[tokio::test]
async fn captured_exchanges_are_answered_alike() {
    let lab = Lab::new().await;
    let mut tokens: HashMap<String, String> = HashMap::new();
    let mut known = Known::default();
    let mut wrong = Vec::new();
    let rows = include_str!("../fixtures/wire.jsonl").lines();
    for row in rows.map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let name = row["name"].as_str().unwrap();
        let request = &row["request"];
        let token = match request["auth"].as_str().unwrap() {
            "none" => String::new(),
            "wrong" => "wrong-token".to_owned(),
            "shared" => OPERATOR.to_owned(),
            peer => tokens[peer.strip_prefix("peer:").unwrap()].clone(),
        };
        let body = match (&request["body"], request["raw"].as_str()) {
            (_, Some(raw)) => raw.to_owned(),
            (Value::Null, None) => String::new(),
            (body, None) => known.translated(&body.to_string()),
        };
        let body = body.replace("xxxxxxxxxxxxxxxxxxxx<200000 characters>", &"x".repeat(200_000));
        let path = known.translated(request["path"].as_str().unwrap());
        let answer = lab.raw(request["method"].as_str().unwrap(), &path, &token, &[], body.as_bytes()).await;
        let got = answer.json();
        if let (Some(name), Some(token)) = (got["name"].as_str(), got["peer_token"].as_str()) {
            assert_eq!(token.len(), 43);
            tokens.insert(name.to_owned(), token.to_owned());
        }
        let captured = &row["swarph_0_45_2"];
        let (status, want) = on_purpose(name).unwrap_or_else(|| {
            (u16::try_from(captured["status"].as_u64().unwrap()).unwrap(), captured["body"].clone())
        });
        let is_json = answer.header("content-type") == Some("application/json");
        if answer.status != status || !is_json {
            wrong.push(format!("{name}: wanted {status}, got {} {got}", answer.status));
        } else if let Err(difference) = known.same(&want, Some(&got), "$") {
            wrong.push(format!("{name}: {difference}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_peer_is_shown_with_the_fields_of_the_python_gateway() {
    let lab = Lab::new().await;
    for capabilities in [json!({"a": 1, "b": 2}), json!({"b": 3})] {
        let body = json!({"name": "alice", "url": "http://127.0.0.1:1", "capabilities": capabilities});
        assert_eq!(lab.post("/peers/register", OPERATOR, &body).await.status, 200);
    }
    let mut row = lab.get("/peers", OPERATOR).await.json()["peers"][0].take();
    for moment in ["registered_at", "last_seen"] {
        assert!(row[moment].take().as_str().unwrap().ends_with("+00:00"));
    }
    let want = json!({"name": "alice", "url": "http://127.0.0.1:1", "capabilities": {"a": 1, "b": 3}, "registered_at": null,
                      "last_health": null, "last_seen": null, "enabled": 1, "ratified": false, "ratified_at": null,
                      "ratified_by": null, "ratification_reason": null, "owner": null, "online": false});
    assert_eq!(row, want);
}

#[tokio::test]
async fn what_only_swarph_has_is_named() {
    let lab = Lab::new().await;
    for (method, path) in
        [("GET", "/channels"), ("POST", "/tasks/claim"), ("GET", "/features"), ("GET", "/peers/al/grants")]
    {
        let answer = lab.raw(method, path, OPERATOR, &[], b"").await;
        assert_eq!(answer.status, 501, "{path}");
        assert_eq!(answer.json()["detail"], format!("{method} {path} is not part of this gateway"));
    }
}

#[tokio::test]
async fn health_shows_no_path() {
    let lab = Lab::new().await;
    let text = lab.get("/health", "").await.text;
    assert!(!text.contains("db_path") && !text.contains(&lab.database().display().to_string()), "{text}");
    assert_eq!(lab.get("/ready", "").await.status, 200);
    assert!(lab.get("/metrics", "").await.text.contains("\nmailbox_messages 0\n"));
}
