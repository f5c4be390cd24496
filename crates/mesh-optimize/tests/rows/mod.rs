//! Rows of a fixture: JSON lines with packed texts. What they mean stands in `fixtures/README.md`.

use mesh_optimize::Dialect;
use serde_json::Value;

/// Reads the rows, packed texts expanded.
pub(crate) fn rows(text: &str) -> Vec<Value> {
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

/// Returns the dialect that a row names.
pub(crate) fn dialect(row: &Value) -> Dialect {
    match row["dialect"].as_str() {
        Some("utf16") => Dialect::Utf16,
        Some("code_points") => Dialect::CodePoints,
        other => panic!("{other:?}"),
    }
}
