//! Texts that were cut from what the model sees, read again from the history, which keeps all of them. Pure.
//!
//! A text has the name that stands in the note where it was cut: `r` and the number of its message among those of a request, from
//! 0; where a message makes several calls, a dot and which of them, from 1.

use std::fmt::Write as _;

use mesh_client::wire::{Content, EncodedMessage, Message};
use serde_json::Value;

use crate::{
    builtin::READ_CHARS,
    history::History,
    tool::{Args, ToolOutput, ToolSpec, args},
};

/// Reads a cut text again. Never gated: it touches nothing outside the session.
pub const RECALL: ToolSpec = ToolSpec {
    name: "recall",
    description: "Read a text that a note says was cut; `first` and `last` = lines.",
    parameters: r#"{"type":"object","properties":{"id":{"type":"string"},"first":{"type":"integer"},"last":{"type":"integer"}},"required":["id"]}"#,
    required: &["id"],
};

/// Is this the tool's name?
pub fn is_recall(tool: &str) -> bool {
    tool == RECALL.name
}

/// One line for a person.
pub fn summary(arguments: &Args) -> String {
    format!("recall: {}", arguments.get("id").and_then(Value::as_str).unwrap_or("(missing id)"))
}

/// Answers a call.
pub fn answer(history: &History, arguments: &Args) -> ToolOutput {
    read(history, arguments).map_or_else(ToolOutput::error, ToolOutput::ok)
}

fn read(history: &History, arguments: &Args) -> Result<String, String> {
    let id = arguments
        .get("id")
        .and_then(Value::as_str)
        .ok_or("recall needs the `id` of a cut text, such as r12")?;
    let line = |name| -> Result<Option<usize>, String> {
        let number = args::integer(arguments, name)?;
        number.map(|n| usize::try_from(n).map_err(|_| format!("`{name}` must be 1 or more"))).transpose()
    };
    let (first, last) = (line("first")?.unwrap_or(1).max(1), line("last")?);
    if last.is_some_and(|last| last < first) {
        return Err(format!("`last` must be {first} or more"));
    }
    let text = original(history, id)
        .ok_or_else(|| format!("there is no cut text `{id}`; notes name it where it was cut"))?;
    part(&text, first, last)
}

/// The text of a name, as it was before anything was cut.
pub fn original(history: &History, id: &str) -> Option<String> {
    let mut numbers = id.trim().strip_prefix('r')?.splitn(2, '.').map(str::parse::<usize>);
    let (number, which) = (numbers.next()?.ok()?, numbers.next().transpose().ok()?);
    // As a request counts: what is not sent has no number.
    let message = history.messages().iter().filter(|message| message.is_sendable()).nth(number)?;
    text(message, which.unwrap_or(1).checked_sub(1)?)
}

fn text(message: &EncodedMessage, which: usize) -> Option<String> {
    let Message { content, tool_calls, .. } = message.decode().ok()?;
    if !tool_calls.is_empty() {
        return tool_calls.get(which).map(|call| readable(&call.arguments));
    }
    match content? {
        Content::Text(text) => Some(text).filter(|_| which == 0),
        Content::Parts(parts) => {
            let mut texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
            texts.nth(which).map(str::to_owned)
        }
    }
}

/// Arguments as they are read best: a text of several lines stands below its name as it is, not as one long JSON string.
fn readable(arguments: &str) -> String {
    let Ok(members) = serde_json::from_str::<Args>(arguments) else { return arguments.to_owned() };
    let mut text = String::with_capacity(arguments.len());
    for (name, value) in &members {
        readable_value(name, value, &mut text);
    }
    text
}

fn readable_value(name: &str, value: &Value, text: &mut String) {
    // Writing to a string cannot fail.
    let _ = match value {
        Value::String(long) if long.contains('\n') => {
            let end = if long.ends_with('\n') { "" } else { "\n" };
            write!(text, "{name}:\n{long}{end}")
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (number, item) in (1..).zip(items) {
                match item {
                    Value::Object(members) => members.iter().for_each(|(inner, value)| {
                        readable_value(&format!("{name} {number} {inner}"), value, text)
                    }),
                    item => readable_value(&format!("{name} {number}"), item, text),
                }
            }
            Ok(())
        }
        short => writeln!(text, "{name}: {short}"),
    };
}

/// These lines of a text, as far as they fit into one result, and what is not shown.
fn part(text: &str, first: usize, last: Option<usize>) -> Result<String, String> {
    let total = text.split_inclusive('\n').count();
    if first > total.max(1) {
        return Err(format!("line {first} is behind the end: the text has {total} lines"));
    }
    let until = last.unwrap_or(total).min(total);
    let lines = text.split_inclusive('\n').skip(first - 1).take(until + 1 - first.min(until + 1));
    let (mut shown, mut chars, mut end) = (String::new(), 0, first - 1);
    for line in lines {
        let length = line.chars().count();
        if chars + length > READ_CHARS {
            if shown.is_empty() {
                shown.extend(line.chars().take(READ_CHARS));
                end += 1;
                break;
            }
            break;
        }
        shown.push_str(line);
        (chars, end) = (chars + length, end + 1);
    }
    if first == 1 && end == total && shown.len() == text.len() {
        return Ok(shown);
    }
    let gap = if shown.is_empty() || shown.ends_with('\n') { "" } else { "\n" };
    let rest = if end < until { format!("; read on with first {}", end + 1) } else { String::new() };
    let cut = if gap == "\n" && end < total { "; the last line is cut" } else { "" };
    Ok(format!("{shown}{gap}[lines {first}-{end} of {total}{cut}{rest}]"))
}

#[cfg(test)]
mod tests {
    use mesh_client::wire::ToolCall;
    use serde_json::json;

    use super::*;
    use crate::history::Batch;

    fn history() -> History {
        let call = |id: &str, arguments: Value| ToolCall {
            id: id.into(),
            name: "write_file".into(),
            arguments: arguments.to_string(),
        };
        let edits = json!([{"old": "x\ny", "new": "z", "all": true}]);
        let calls = vec![
            call("a", json!({"path": "a.rs", "content": "fn a() {\n}\n"})),
            call("b", json!({"path": "b.rs", "edits": edits})),
        ];
        let mut batch = Batch::open("two files", calls);
        batch.answer(0, "one\ntwo\nthree\nfour".into());
        batch.answer(1, "x".repeat(READ_CHARS + 5));
        let mut history = History::new("s");
        history.push_user(Content::Text("go".into()));
        history.push_batch(batch.seal("-"));
        history
    }

    #[track_caller]
    fn check(arguments: Value, want: &str) {
        let output = answer(&history(), arguments.as_object().unwrap());
        assert_eq!(output.text, want, "{arguments}");
        assert_eq!(output.is_error, want.starts_with("Error: "), "{arguments}");
    }

    #[test]
    fn texts_come_back_as_they_were() {
        check(json!({"id": "r3"}), "one\ntwo\nthree\nfour");
        check(json!({"id": " r3.1"}), "one\ntwo\nthree\nfour");
        check(json!({"id": "r3", "first": 2, "last": 3}), "two\nthree\n[lines 2-3 of 4]");
        check(json!({"id": "r3", "first": 4, "last": 90}), "four\n[lines 4-4 of 4]");
        check(json!({"id": "r3", "first": 0}), "one\ntwo\nthree\nfour");
        check(json!({"id": "r1"}), "go");
    }

    #[test]
    fn arguments_are_shown_as_text() {
        check(json!({"id": "r2"}), "path: \"a.rs\"\ncontent:\nfn a() {\n}\n");
        check(
            json!({"id": "r2.2"}),
            "path: \"b.rs\"\nedits 1 old:\nx\ny\nedits 1 new: \"z\"\nedits 1 all: true\n",
        );
    }

    #[test]
    fn a_result_is_bounded() {
        let output = answer(&history(), json!({"id": "r4"}).as_object().unwrap());
        assert_eq!(output.text.chars().filter(|c| *c == 'x').count(), READ_CHARS);
        assert!(output.text.ends_with("x\n[lines 1-1 of 1]"), "{}", &output.text[READ_CHARS..]);
    }

    #[test]
    fn wrong_names_and_lines_are_told() {
        for id in ["", "12", "r", "rx", "r99", "r3.2", "r3.0", "r2.3", "r-1", "r3.x"] {
            check(
                json!({"id": id}),
                &format!("Error: there is no cut text `{id}`; notes name it where it was cut"),
            );
        }
        check(json!({}), "Error: recall needs the `id` of a cut text, such as r12");
        check(json!({"id": "r3", "first": 5}), "Error: line 5 is behind the end: the text has 4 lines");
        check(json!({"id": "r3", "first": 3, "last": 2}), "Error: `last` must be 3 or more");
        check(json!({"id": "r3", "first": -3}), "Error: `first` must be 1 or more");
    }
}
