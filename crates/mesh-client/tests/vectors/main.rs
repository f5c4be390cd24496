//! Records of what the reference implementations do, and where we want something else: `fixtures/vectors`.
#![expect(clippy::unwrap_used, reason = "what a test sets up either stands or the test is wrong")]
mod answer;
mod judge;

use judge::{Record, judge};
use serde_json::Value;

/// Checks every record of a file and tells of all that differ, not of the first.
#[track_caller]
fn check(records: &str, at_least: usize) {
    let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.len() >= at_least, "{} records", records.len());
    let complaints: Vec<String> = records
        .iter()
        .filter_map(|record| {
            let record = Record::new(record);
            let output = answer::answer(&record.input).expect("an operation of this crate");
            judge(&record, &output).map(|complaint| format!("{}: {complaint}", record.id))
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn streams() {
    check(include_str!("../fixtures/vectors/stream.jsonl"), 140);
}

#[test]
fn tool_calls_are_accumulated() {
    check(include_str!("../fixtures/vectors/accumulate.jsonl"), 50);
}

#[test]
fn errors_inside_a_stream_are_told_apart() {
    check(include_str!("../fixtures/vectors/inband.jsonl"), 29);
}

#[test]
fn statuses_pass_or_stay() {
    check(include_str!("../fixtures/vectors/status.jsonl"), 44);
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    check(include_str!("../fixtures/vectors/retry_after.jsonl"), 33);
}

#[test]
fn overflows_give_their_numbers() {
    check(include_str!("../fixtures/vectors/overflow.jsonl"), 12);
}

#[test]
fn waits_grow_and_scatter() {
    check(include_str!("../fixtures/vectors/backoff.jsonl"), 36);
}

#[test]
fn costs_are_estimated() {
    check(include_str!("../fixtures/vectors/cost.jsonl"), 14);
}

#[test]
fn requests_have_their_fields() {
    check(include_str!("../fixtures/vectors/payload.jsonl"), 24);
}

#[test]
fn amounts_are_written() {
    check(include_str!("../fixtures/vectors/fmt_usd.jsonl"), 100);
}
