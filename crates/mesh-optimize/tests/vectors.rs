//! Estimates and classes as the reference implementations give them; what the rows mean stands in `fixtures/README.md`.

mod rows;

use mesh_optimize::{TaskClass, estimate, estimate_conversation};
use rows::{dialect, rows};
use serde_json::Value;

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
