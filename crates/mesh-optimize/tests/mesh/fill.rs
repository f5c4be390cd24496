//! Prefixes that are too short to be cached, and the notes that make them long enough.

use std::sync::Arc;

use mesh_optimize::{Config, Dial, Helpers, Hints, Optimizer, Prepared, SessionState, Usage};
use serde_json::{Value, json};

/// Anthropic caches nothing below 4,096 tokens of it.
const LONG: &str = "anthropic/claude-opus-4.5";
/// Nor below 1,024 of this one.
const USUAL: &str = "anthropic/claude-sonnet-4.5";

/// About 3,500 tokens.
fn notes() -> Arc<str> {
    let lines: Vec<String> = (0..140)
        .map(|n| format!("- Rule \"{n}\" says what to do in case {n} and why it is worth doing so then."))
        .collect();
    lines.join("\n").into()
}

fn optimizer(dial: f64) -> Optimizer {
    Optimizer::new(Config { dial: Dial::new(dial).unwrap(), notes: Some(notes()), ..Config::default() })
}

/// A session of `calls` commands that print `lines` lines each.
fn body(model: &str, calls: usize, lines: usize) -> Vec<u8> {
    let text = "Be brief and exact, and look before you leap. ".repeat(100);
    let mut messages =
        vec![json!({"role": "system", "content": text}), json!({"role": "user", "content": "go"})];
    for call in 0..calls {
        let id = format!("call_{call}");
        messages
            .push(json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function",
            "function": {"name": "sh", "arguments": format!("{{\"command\":\"make part{call}\"}}")}}]}));
        let text: Vec<String> =
            (0..lines).map(|line| format!("object {call:03}{line:04} was built")).collect();
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": text.join("\n")}));
    }
    serde_json::to_vec(&json!({"model": model, "messages": messages})).unwrap()
}

fn at(now: f64) -> Hints {
    Hints { now: Some(now), ..Hints::default() }
}

fn system(prepared: &Prepared<'_>) -> String {
    let body: Value = serde_json::from_slice(&prepared.body()).unwrap();
    match &body["messages"][0]["content"] {
        Value::String(text) => text.clone(),
        parts => parts[0]["text"].as_str().unwrap().to_owned(),
    }
}

/// The system prompts and the breakpoints of a session's requests.
fn session(optimizer: &Optimizer, model: &str, calls: usize, lines: usize) -> Vec<(String, usize)> {
    let mut state = SessionState::default();
    (0..calls)
        .map(|calls| {
            let bytes = body(model, calls, lines);
            let prepared =
                optimizer.prepare_with(&bytes, &mut state, at(calls as f64 * 9.0), Helpers::default());
            (system(&prepared), prepared.plan.breakpoints.len())
        })
        .collect()
}

#[test]
fn a_short_prefix_is_filled_once_and_then_cached() {
    let sent = session(&optimizer(0.1), LONG, 12, 2);
    assert_eq!((sent[0].0.contains("Rule"), sent[0].1), (false, 0), "one request alone is no session");
    let filled = &sent[1].0;
    assert!(filled.contains("\n\n- Rule \"0\" says"), "{filled}");
    assert!(filled.ends_with('.'), "whole lines");
    for (system, marks) in &sent[1..] {
        assert_eq!(system, filled, "the prefix does not move");
        assert!(*marks > 0);
    }
}

#[test]
fn nothing_is_added_where_it_does_not_pay() {
    let is_bare = |sent: Vec<(String, usize)>| sent.iter().all(|(system, _)| !system.contains("Rule"));
    assert!(is_bare(session(&optimizer(0.1), USUAL, 12, 2)), "long enough as it is");
    assert!(is_bare(session(&optimizer(0.1), "openai/gpt-5", 12, 2)), "no breakpoints");
    assert!(is_bare(session(&optimizer(0.1), LONG, 12, 150)), "long enough soon");
    assert!(is_bare(session(&optimizer(0.0), LONG, 12, 2)), "off");
    let short: Arc<str> = "- Only one line.".into();
    let poor =
        Optimizer::new(Config { dial: Dial::new(0.1).unwrap(), notes: Some(short), ..Config::default() });
    assert!(is_bare(session(&poor, LONG, 12, 2)), "not enough to say");
}

#[test]
fn a_lost_state_gives_the_same_prefix() {
    let optimizer = optimizer(0.1);
    let sent = session(&optimizer, LONG, 9, 2);
    let bytes = body(LONG, 8, 2);
    let prepared = optimizer.prepare(&bytes, &mut SessionState::default()).body().into_owned();
    let again: Value = serde_json::from_slice(&prepared).unwrap();
    let system = &again["messages"][0]["content"];
    assert_eq!(system.as_str().or(system[0]["text"].as_str()), Some(sent[8].0.as_str()));

    let mut state = SessionState::default();
    for calls in 0..4 {
        optimizer.prepare(&body(LONG, calls, 2), &mut state);
    }
    let saved = serde_json::to_string(&state).unwrap();
    let mut restored: SessionState = serde_json::from_str(&saved).unwrap();
    let bytes = body(LONG, 4, 2);
    let (here, there) = (optimizer.prepare(&bytes, &mut state), optimizer.prepare(&bytes, &mut restored));
    assert_eq!(here.body(), there.body());
}

#[test]
fn what_is_added_goes_when_the_cache_is_empty_and_the_prefix_long() {
    let (optimizer, mut state) = (optimizer(0.1), SessionState::default());
    for calls in 0..6 {
        optimizer.prepare_with(&body(LONG, calls, 2), &mut state, at(calls as f64), Helpers::default());
    }
    // The messages that were sent stay; a long result comes after an hour.
    let mut long: Value = serde_json::from_slice(&body(LONG, 6, 2)).unwrap();
    let text: String = (0..900).map(|line| format!("line {line} of many\n")).collect();
    long["messages"].as_array_mut().unwrap().last_mut().unwrap()["content"] = json!(text);
    let bytes = serde_json::to_vec(&long).unwrap();
    let mut warm = state.clone();
    let prepared = optimizer.prepare_with(&bytes, &mut warm, at(20.0), Helpers::default());
    assert!(system(&prepared).contains("Rule"), "while it is warm, the prefix stays");
    let prepared = optimizer.prepare_with(&bytes, &mut state, at(4_000.0), Helpers::default());
    assert!(!system(&prepared).contains("Rule"), "nothing of it is in the cache any more");
}

#[test]
fn the_receipt_counts_what_was_added_against_us() {
    let (optimizer, mut state) = (optimizer(0.1), SessionState::default());
    optimizer.prepare(&body(LONG, 0, 2), &mut state);
    let bytes = body(LONG, 1, 2);
    let prepared = optimizer.prepare(&bytes, &mut state);
    let sent = prepared.plan.sent.total();
    assert!(prepared.plan.tokens_added > 1_000.0);
    let usage = Usage { input: sent as u64, cache_write: sent as u64, ..Usage::default() };
    let receipt = optimizer.settle(&prepared.plan, Some(&usage), None, &mut state);
    assert!(receipt.tokens_added > 1_000, "{receipt:?}");
    let native = receipt.billed_units + receipt.saved_vs_native_units;
    let own = sent - prepared.plan.tokens_added;
    assert!((native - own).abs() < own * 0.01, "without us the request costs its own tokens: {native} {own}");
    assert!(receipt.saved_vs_native_units < 0.0, "so far it cost more");
}
