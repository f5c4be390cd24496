//! Long strings inside the arguments of a call: shortened, or named where they stand elsewhere; the arguments stay valid JSON.

use std::ops::Range;

use super::clean::{Row, rows};
use super::repeat::Run;
use super::shorten::floor;
use crate::edit::Hole;
use crate::json::{self, Decoded, Span};

/// A string is shortened from this many bytes on. Section 6: strings over 700 characters.
const LONG: usize = 700;

/// Bytes kept at both ends of a shortened string. Section 6: to 200 + 200.
const ENDS: usize = 200;

/// A string value inside arguments: its text, with the way back to a place in the arguments.
pub(crate) struct Value<'a> {
    decoded: Decoded<'a>,
}

impl Value<'_> {
    /// Its lines.
    pub(crate) fn rows(&self) -> Vec<Row> {
        rows(&self.decoded.text)
    }

    fn place(&self, range: Range<usize>) -> Range<usize> {
        self.decoded.raw(range.start)..self.decoded.raw(range.end)
    }
}

/// The string values in `arguments` (an object, lists and objects inside it too) of `least` bytes or more, in order.
pub(crate) fn values(arguments: &str, least: usize) -> Vec<Value<'_>> {
    let bytes = arguments.as_bytes();
    let mut found = Vec::new();
    let Ok(span) = json::whole(bytes) else { return found };
    if bytes[span.start] != b'{' {
        return found;
    }
    let mut open: Vec<Span> = vec![span];
    while let Some(span) = open.pop() {
        match bytes[span.start] {
            b'{' => open.extend(json::members(bytes, span.start).flatten().map(|(_, value)| value)),
            b'[' => open.extend(json::elements(bytes, span.start).unwrap_or_default()),
            b'"' if span.len() >= least + 2 => {
                if let Some(decoded) = json::decode(bytes, span) {
                    found.push(Value { decoded });
                }
            }
            _ => {}
        }
    }
    found.sort_by_key(|value| value.decoded.raw(0));
    found
}

/// The hole for a run of a value's rows.
pub(crate) fn run_hole(value: &Value<'_>, rows: &[Row], run: &Run, note: &str) -> Hole {
    Hole { range: value.place(rows[run.from].start..rows[run.to - 1].end), note: Some(json::quote(note)) }
}

/// What goes when all long strings are shortened. `note` writes the note for a number of bytes.
pub(crate) fn shorten(arguments: &str, note: impl Fn(usize) -> String) -> Vec<Hole> {
    let mut holes = Vec::new();
    for value in values(arguments, LONG) {
        let text = &value.decoded.text;
        if text.len() <= LONG {
            continue;
        }
        let (from, to) = (floor(text, ENDS), floor(text, text.len() - ENDS));
        let note = format!("\n{}\n", note(to - from));
        holes.push(Hole { range: value.place(from..to), note: Some(json::quote(&note)) });
    }
    holes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::edit::Edit;

    #[test]
    fn arguments_stay_json() {
        let arguments =
            json!({"path": "a", "edits": [{"old": "\"ä\n".repeat(400)}, {"new": "short"}], "n": 3})
                .to_string();
        let cut = Edit::nothing(arguments.len())
            .without(&shorten(&arguments, |n| format!("[{n} \"cut\"]")))
            .text(&arguments);
        let parsed: serde_json::Value = serde_json::from_str(&cut).unwrap();
        assert_eq!(parsed["path"], "a");
        let old = parsed["edits"][0]["old"].as_str().unwrap();
        assert!(old.len() < 450 && old.contains("[1200 \"cut\"]"), "{old}");
        assert!(shorten("[1]", |_| String::new()).is_empty());
        assert!(shorten("{\"a\":", |_| String::new()).is_empty());
    }
}
