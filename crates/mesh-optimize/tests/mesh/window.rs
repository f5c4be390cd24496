//! Sessions that near the end of the model's window, sessions that are held out, and what a caller is asked to do.

use mesh_optimize::{
    Config, Cut, Dial, Helpers, Hints, Lever, Optimizer, Prepared, Retain, SessionState, Summarize, Summary,
    Untouched, fingerprint,
};
use serde_json::{Value, json};

const WINDOW: u64 = 20_000;

fn optimizer(dial: f64) -> Optimizer {
    Optimizer::new(Config { dial: Dial::new(dial).unwrap(), ..Config::default() })
}

/// A session of `calls` commands; each prints `lines` lines that stand nowhere else.
fn body(calls: usize, lines: usize, talk: usize) -> Vec<u8> {
    let mut messages =
        vec![json!({"role": "system", "content": "help"}), json!({"role": "user", "content": "go"})];
    for call in 0..calls {
        let id = format!("call_{call}");
        let words = format!("step {call} {}", "and so on ".repeat(talk));
        messages.push(
            json!({"role": "assistant", "content": words, "tool_calls": [{"id": id, "type": "function",
            "function": {"name": "run_bash", "arguments": format!("{{\"command\":\"make part{call}\"}}")}}]}),
        );
        let text: Vec<String> =
            (0..lines).map(|line| format!("object {call:03}{line:04} was built")).collect();
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": text.join("\n")}));
    }
    serde_json::to_vec(&json!({"model": "claude-opus-4.8", "messages": messages})).unwrap()
}

fn hints(window: Option<u64>) -> Hints {
    Hints { window, ..Hints::default() }
}

#[derive(Default)]
struct Kept(Vec<(Cut, String)>);

impl Retain for Kept {
    fn retain(&mut self, cut: &Cut, original: &str) {
        self.0.push((cut.clone(), original.to_owned()));
    }
}

struct Writer {
    asked: Vec<String>,
}

impl Summarize for Writer {
    fn summarize(&mut self, talk: &str) -> Option<Summary> {
        self.asked.push(talk.to_owned());
        Some(Summary { text: "parts were built".to_owned(), units: 300.0 })
    }
}

fn messages(prepared: &Prepared<'_>) -> Vec<Value> {
    let body: Value = serde_json::from_slice(&prepared.body()).unwrap();
    body["messages"].as_array().unwrap().clone()
}

#[test]
fn a_full_window_is_folded_once() {
    let mut state = SessionState::default();
    let (mut before, mut folds) = (0, Vec::new());
    for calls in 1..80 {
        let bytes = body(calls, 40, 0);
        let prepared =
            optimizer(0.5).prepare_with(&bytes, &mut state, hints(Some(WINDOW)), Helpers::default());
        let size = prepared.body().len();
        let folded = prepared.plan.cuts.iter().filter(|cut| cut.lever == Lever::Fold).count();
        if folded > 0 {
            assert!(size < before, "{size} of {before}");
            folds.push(calls);
        }
        before = size;
    }
    // Commands that age are shortened anyway; what is left of them fills the window slowly.
    assert!(folds.len() < 8, "{folds:?}");
}

#[test]
fn without_a_known_window_nothing_is_folded() {
    let bytes = body(60, 40, 0);
    let prepared = optimizer(0.5).prepare(&bytes, &mut SessionState::default());
    assert!(prepared.plan.cuts.iter().all(|cut| cut.lever != Lever::Fold));
}

#[test]
fn callers_keep_what_is_cut() {
    let bytes = body(30, 60, 0);
    let (mut kept, mut state) = (Kept::default(), SessionState::default());
    let helpers = Helpers { retain: Some(&mut kept), ..Helpers::default() };
    let prepared = optimizer(0.5).prepare_with(&bytes, &mut state, hints(None), helpers);
    assert!(prepared.plan.cuts.len() > 5);
    let cuts: Vec<Cut> = kept.0.iter().map(|(cut, _)| cut.clone()).collect();
    assert_eq!(cuts, prepared.plan.cuts);
    let sent: Value = serde_json::from_slice(&bytes).unwrap();
    for (cut, original) in &kept.0 {
        assert_eq!(cut.sha256, fingerprint(original.as_bytes()));
        assert_eq!(sent["messages"][cut.message]["content"], json!(original));
    }
}

#[test]
fn talk_is_summed_up_when_shortening_was_not_enough() {
    let mut writer = Writer { asked: Vec::new() };
    let mut state = SessionState::default();
    let bytes = body(60, 2, 100);
    let helpers = Helpers { summarize: Some(&mut writer), ..Helpers::default() };
    let prepared = optimizer(0.5).prepare_with(&bytes, &mut state, hints(Some(WINDOW)), helpers);
    assert_eq!(prepared.plan.summary_units, 300.0);
    assert!(prepared.body().len() < bytes.len() / 2);
    let after = messages(&prepared);
    let first = after.iter().find(|message| message["role"] == "assistant").unwrap();
    assert!(first["content"].as_str().unwrap().ends_with("parts were built"), "{first}");
    assert!(after[1]["content"] == "go" && after[0]["content"] == "help");
    let receipt = optimizer(0.5).settle(&prepared.plan, None, None, &mut state);
    let free = mesh_optimize::Plan { summary_units: 0.0, ..prepared.plan.clone() };
    let without = optimizer(0.5).settle(&free, None, None, &mut SessionState::default());
    assert!((without.saved_vs_native_units - receipt.saved_vs_native_units - 300.0).abs() < 1e-6);

    // It stays, for the next process too, and is not asked for again.
    let saved = serde_json::to_string(&state).unwrap();
    let mut state = serde_json::from_str(&saved).unwrap();
    let helpers = Helpers { summarize: Some(&mut writer), ..Helpers::default() };
    let next = optimizer(0.5).prepare_with(&bytes, &mut state, hints(Some(WINDOW)), helpers);
    assert_eq!(messages(&next)[..90], after[..90]);
    assert_eq!(writer.asked.len(), 1);
}

#[test]
fn held_out_sessions_go_as_they_are_and_get_receipts() {
    let mut state = SessionState::default();
    for calls in [5, 10, 20] {
        let bytes = body(calls, 60, 0);
        let hints = Hints { held_out: true, ..Hints::default() };
        let prepared = optimizer(0.5).prepare_with(&bytes, &mut state, hints, Helpers::default());
        assert_eq!(prepared.plan.untouched, Some(Untouched::HeldOut));
        assert_eq!(*prepared.body(), *bytes);
        let receipt = optimizer(0.5).settle(&prepared.plan, None, None, &mut state);
        assert_eq!((receipt.saved_vs_native_units, receipt.tokens_cut), (0.0, 0));
        assert!(receipt.billed_units > 0.0);
    }
}
