//! Estimates and classes as the reference implementations give them; what the rows mean stands in `fixtures/README.md`.

use mesh_optimize::{Dialect, TaskClass, estimate, estimate_conversation};
use serde_json::Value;

/// The rows of a fixture, packed strings expanded.
fn rows(text: &str) -> Vec<Value> {
    let rows: Vec<Value> =
        text.lines().map(|line| expand(serde_json::from_str(line).expect("a row is JSON"))).collect();
    assert!(!rows.is_empty());
    rows
}

/// Replaces `{"$s": [[text, count], ...]}` by the repeated texts, one after the other.
fn expand(value: Value) -> Value {
    match value {
        Value::Object(fields) => match fields.get("$s").and_then(Value::as_array) {
            Some(pieces) => pieces.iter().map(repeated).collect::<String>().into(),
            None => fields.into_iter().map(|(key, value)| (key, expand(value))).collect(),
        },
        Value::Array(items) => items.into_iter().map(expand).collect(),
        other => other,
    }
}

fn repeated(piece: &Value) -> String {
    let count = piece[1].as_u64().expect("a count is a number");
    piece[0].as_str().expect("a piece is text").repeat(count as usize)
}

fn dialect(row: &Value) -> Dialect {
    match row["dialect"].as_str() {
        Some("utf16") => Dialect::Utf16,
        Some("code_points") => Dialect::CodePoints,
        other => panic!("{other:?}"),
    }
}

#[test]
fn estimates_are_the_references() {
    for row in rows(include_str!("fixtures/estimate.jsonl")) {
        let found = match row.get("messages").and_then(Value::as_array) {
            Some(messages) => estimate_conversation(messages, dialect(&row)),
            None => estimate(&row["value"], dialect(&row)),
        };
        assert_eq!(found.tokens, row["tokens"], "{row}");
    }
}

#[test]
fn classes_are_the_references() {
    for row in rows(include_str!("fixtures/classify.jsonl")) {
        let messages = row["messages"].as_array().unwrap();
        let found = TaskClass::of_messages(messages, row["has_tools"] == true, dialect(&row));
        assert_eq!(found.as_str(), row["class"], "{row}");
    }
}
