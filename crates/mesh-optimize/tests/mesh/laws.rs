//! Laws: whatever the body is.

use mesh_optimize::{Config, Dial, Optimizer, ProviderChoice, SessionState};
use proptest::prelude::*;
use serde_json::{Value, json};

fn optimizer(dial: f64, provider: &str) -> Optimizer {
    let provider: ProviderChoice = provider.parse().unwrap();
    Optimizer::new(Config { dial: Dial::new(dial).unwrap(), provider, ..Config::default() })
}

fn prepare(optimizer: &Optimizer, body: &[u8], state: &mut SessionState) -> Vec<u8> {
    optimizer.prepare(body, state).body().into_owned()
}

/// What a tool gave back: lines that repeat within a session, terminal noise, long and short.
fn result() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        (0u8..30).prop_map(|n| format!(
            "    line {n} of a file that several tools show, long enough to count {n}"
        )),
        Just("\u{1b}[32mok\u{1b}[0m  \r".to_owned()),
        Just("10%\r50%\r100%".to_owned()),
        Just("warning: the same again and again".to_owned()),
        Just(String::new()),
        "[a-z äö\"\\\\]{0,60}",
    ];
    proptest::collection::vec(line, 0..60).prop_map(|lines| lines.join("\n"))
}

/// A conversation: replies with one to twenty parallel calls, each answered.
pub(crate) fn conversation() -> impl Strategy<Value = Vec<Value>> {
    let turn = (proptest::collection::vec((result(), 0u8..4), 1..6), any::<bool>(), 0u8..9);
    let big = proptest::collection::vec((result(), 0u8..4), 20..21).prop_map(|calls| (calls, false, 0));
    proptest::collection::vec(prop_oneof![9 => turn, 1 => big], 1..10).prop_map(|turns| {
        let mut messages = vec![json!({"role": "system", "content": "s".repeat(6000)}), json!({"role": "user", "content": "do it"})];
        for (number, (calls, says, said)) in turns.into_iter().enumerate() {
            let name = |kind: u8| ["read_file", "bash", "edit", "grep"][kind as usize];
            let calls: Vec<_> = calls.into_iter().enumerate().collect();
            let list: Vec<Value> = calls
                .iter()
                .map(|(at, (text, kind))| {
                    let arguments = json!({"path": format!("f{kind}.rs"), "command": "make", "new": text}).to_string();
                    json!({"id": format!("c{number}-{at}"), "type": "function", "function": {"name": name(*kind), "arguments": arguments}})
                })
                .collect();
            messages.push(json!({"role": "assistant", "content": if says { json!(format!("looking at line {said} of a_file_{said}.rs")) } else { Value::Null }, "tool_calls": list}));
            for (at, (text, _)) in calls {
                messages.push(json!({"role": "tool", "tool_call_id": format!("c{number}-{at}"), "content": text}));
            }
        }
        messages
    })
}

fn body(messages: &[Value], extra: Value) -> Vec<u8> {
    let mut body = json!({"model": "anthropic/claude-opus-5", "temperature": 0.25, "messages": messages, "unknown": {"kept": [1, 2.50]}});
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    body.to_string().into_bytes()
}

/// The requests of a conversation: everything in front of each reply, and all of it.
pub(crate) fn requests(messages: &[Value]) -> Vec<&[Value]> {
    let replies = (2..messages.len()).filter(|at| messages[*at]["role"] == "assistant");
    replies.chain([messages.len()]).map(|at| &messages[..at]).collect()
}

fn text(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(|part| part["text"].as_str().unwrap()).collect(),
        _ => String::new(),
    }
}

/// Lines as a reader sees them.
fn seen(text: &str) -> Vec<String> {
    let plain = text.replace("\u{1b}[32m", "").replace("\u{1b}[0m", "");
    let lines = plain
        .split('\n')
        .map(|line| line.trim_end_matches('\r').rsplit('\r').next().unwrap().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_fresh_loses_nothing_and_calls_stay_paired(messages in conversation(), dial in prop_oneof![Just(0.1), Just(0.3), Just(0.5), Just(0.95)], provider in prop_oneof![Just("anthropic"), Just("prefix:0.1"), Just("prefix:0.5"), Just("none")]) {
        let optimizer = optimizer(dial, provider);
        let mut state = SessionState::default();
        for request in requests(&messages) {
            let out: Value = serde_json::from_slice(&prepare(&optimizer, &body(request, json!({})), &mut state)).unwrap();
            let sent = out["messages"].as_array().unwrap();
            prop_assert_eq!(sent.len(), request.len());
            prop_assert_eq!(&out["unknown"], &json!({"kept": [1, 2.50]}));
            let whole: Vec<String> = sent.iter().map(text).chain(sent.iter().flat_map(|message| message["tool_calls"].as_array().into_iter().flatten().map(|call| {
                let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
                arguments["new"].as_str().unwrap().to_owned()
            }))).collect();
            let all: std::collections::HashSet<String> = whole.iter().flat_map(|text| seen(text)).collect();
            let mut replied = false;
            for at in (0..request.len()).rev() {
                let (before, after) = (&request[at], &sent[at]);
                prop_assert_eq!(&before["role"], &after["role"]);
                prop_assert_eq!(&before["tool_call_id"], &after["tool_call_id"]);
                let ids = |message: &Value| message["tool_calls"].as_array().map(|calls| calls.iter().map(|call| call["id"].clone()).collect::<Vec<_>>());
                prop_assert_eq!(ids(before), ids(after));
                if before["role"] == "system" || before["role"] == "user" || before["role"] == "assistant" {
                    prop_assert_eq!(text(before), text(after));
                }
                replied |= before["role"] == "assistant";
                if before["role"] == "tool" && (!replied || at + 4 >= request.len() || dial < 0.2) {
                    let gone: Vec<_> = seen(&text(before)).into_iter().filter(|line| !all.contains(line)).collect();
                    prop_assert!(gone.is_empty(), "{gone:?} are nowhere");
                }
            }
        }
    }

    #[test]
    fn a_prefix_that_was_sent_stays_unless_a_cut_says_so(messages in conversation()) {
        let optimizer = optimizer(0.1, "anthropic");
        let mut state = SessionState::default();
        let mut last: Vec<String> = Vec::new();
        for request in requests(&messages) {
            let prepared = optimizer.prepare(&body(request, json!({})), &mut state).body().into_owned();
            let out: Value = serde_json::from_slice(&prepared).unwrap();
            let sent: Vec<String> = out["messages"].as_array().unwrap().iter().map(|message| format!("{}{}", text(message), message["tool_calls"])).collect();
            prop_assert_eq!(&sent[..last.len()], &last[..]);
            last = sent;
        }
    }

    #[test]
    fn its_own_output_is_left_alone(messages in conversation(), dial in prop_oneof![Just(0.1), Just(0.5)], provider in prop_oneof![Just("anthropic"), Just("prefix:0.1")]) {
        let optimizer = optimizer(dial, provider);
        let mut state = SessionState::default();
        let mut out = Vec::new();
        for request in requests(&messages) {
            out = prepare(&optimizer, &body(request, json!({})), &mut state);
        }
        let again = prepare(&optimizer, &out, &mut SessionState::default());
        prop_assert!(again.len() <= out.len());
        if provider == "anthropic" {
            prop_assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(out).unwrap(), "its own breakpoints count as the client's");
        }
    }

    #[test]
    fn dial_0_gives_the_very_bytes(messages in conversation(), dial in prop_oneof![Just(json!(0)), Just(json!(-1)), Just(json!("abc")), Just(json!([]))]) {
        let bytes = body(&messages, json!({"mesh_optimize": dial, "mesh_hints": {"session_id": "x"}}));
        prop_assert_eq!(prepare(&optimizer(0.5, "auto"), &bytes, &mut SessionState::default()), bytes);
    }

    #[test]
    fn no_damage_makes_it_panic(messages in conversation(), at: prop::sample::Index, byte: u8, dial in 0.0..0.95) {
        let mut bytes = body(&messages, json!({"mesh_optimize": dial}));
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let was_json = serde_json::from_slice::<Value>(&bytes).is_ok();
        let out = prepare(&optimizer(0.3, "auto"), &bytes, &mut SessionState::default());
        if was_json {
            prop_assert!(serde_json::from_slice::<Value>(&out).is_ok(), "JSON stays JSON");
        }
    }
}

#[test]
fn odd_bodies_go_through_unchanged_or_stay_json() {
    let deep = format!(
        "{{\"messages\":[{{\"role\":\"user\",\"content\":{}1{}}}]}}",
        "[".repeat(3000),
        "]".repeat(3000)
    );
    let marked = json!({"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]});
    let four = json!({"model": "claude-x", "messages": [marked, marked, marked, marked]}).to_string();
    for (body, same) in [
        (r#"{"messages":null,"mesh_optimize":0.3}"#, true),
        (r#"{"messages":{"a":1},"mesh_optimize":0.3}"#, true),
        (r#"{"messages":[1,2],"mesh_optimize":0.3}"#, true),
        (r#"[{"messages":[]}]"#, true),
        ("", true),
        ("nonsense", true),
        (r#"{"messages":[{"role":7,"content":12}],"mesh_optimize":0.3}"#, false),
        (r#"{"messages":[{"role":"tool","content":{"a":1},"tool_calls":7}],"mesh_optimize":0.3}"#, false),
        (r#"{"messages":[{"role":"wizard","content":"\ud800 half"}],"mesh_optimize":0.3}"#, false),
        (&deep, true),
        (&four, true),
    ] {
        let out = prepare(&optimizer(0.3, "anthropic"), body.as_bytes(), &mut SessionState::default());
        assert!(!same || out == body.as_bytes(), "{}", String::from_utf8_lossy(&out));
        assert!(
            body.is_empty()
                || body == "nonsense"
                || serde_json::from_slice::<serde::de::IgnoredAny>(&out).is_ok()
                || body == deep
        );
    }
}
