//! The responses API: the same history in items is worked on as in messages.

use mesh_optimize::{Config, Dial, Optimizer, SessionState, Unreadable, Untouched};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::laws::{conversation, requests};

/// The items that a chat message is.
fn items(message: &Value) -> Vec<Value> {
    let text = |kind: &str| json!([{"type": kind, "text": message["content"]}]);
    match message["role"].as_str().unwrap() {
        "assistant" => {
            let thought = json!({"type": "reasoning", "summary": [], "encrypted_content": "b64"});
            let said = message["content"]
                .is_string()
                .then(|| json!({"type": "message", "role": "assistant", "content": text("output_text")}));
            let calls = message["tool_calls"].as_array().unwrap().iter().map(|call| {
                json!({"type": "function_call", "call_id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]})
            });
            [thought].into_iter().chain(said).chain(calls).collect()
        }
        "tool" => vec![
            json!({"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]}),
        ],
        role => vec![json!({"type": "message", "role": role, "content": text("input_text")})],
    }
}

fn send(body: &Value, dial: f64, state: &mut SessionState) -> (Value, Vec<(String, String, usize)>) {
    let optimizer = Optimizer::new(Config { dial: Dial::new(dial).unwrap(), ..Config::default() });
    let bytes = body.to_string();
    let prepared = optimizer.prepare(bytes.as_bytes(), state);
    let cuts = prepared.plan.cuts.iter().map(|cut| (cut.id.clone(), cut.sha256.clone(), cut.after));
    let cuts = cuts.collect();
    (serde_json::from_slice(&prepared.body()).unwrap(), cuts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn items_are_cut_where_messages_are(messages in conversation(), dial in prop_oneof![Just(0.1), Just(0.5), Just(0.9)]) {
        let (mut chat, mut responses) = (SessionState::default(), SessionState::default());
        for request in requests(&messages) {
            let model = "openai/gpt-4.1";
            let (as_chat, cut) = send(&json!({"model": model, "messages": request}), dial, &mut chat);
            let input: Vec<Value> = request.iter().flat_map(items).collect();
            let body = json!({"model": model, "store": false, "input": input});
            let (as_items, cut_items) = send(&body, dial, &mut responses);
            prop_assert_eq!(&cut, &cut_items);
            let want: Vec<Value> = as_chat["messages"].as_array().unwrap().iter().flat_map(items).collect();
            prop_assert_eq!(&as_items["input"], &Value::from(want));
            prop_assert_eq!(&as_items["store"], &json!(false));
        }
    }
}

#[test]
fn no_breakpoint_and_no_effort_goes_into_a_body_of_items() {
    for model in ["anthropic/claude-opus-4.8", "openai/gpt-5"] {
        let long = "a rule of the house\n".repeat(2000);
        let body =
            json!({"model": model, "instructions": long, "input": [{"role": "user", "content": "hello"}]});
        assert_eq!(send(&body, 0.9, &mut SessionState::default()).0, body);
    }
}

#[test]
fn a_history_that_lies_elsewhere_is_left_alone() {
    let optimizer = Optimizer::new(Config { dial: Dial::new(0.5).unwrap(), ..Config::default() });
    let body = br#"{"model":"m","previous_response_id":"r","input":[{"role":"user","content":"on"}]}"#;
    let prepared = optimizer.prepare(body, &mut SessionState::default());
    assert_eq!(&*prepared.body(), body);
    assert_eq!(prepared.plan.untouched, Some(Untouched::Unreadable(Unreadable::Elsewhere)));
}
