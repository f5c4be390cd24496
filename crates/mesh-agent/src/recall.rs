//! Texts that were cut from what the model sees, read again from the history, which keeps all of them. Pure.
//!
//! A text has the name that stands in the note where it was cut: `r` and the number of its message among those of a request, from
//! 0; where a message makes several calls, a dot and which of them, from 1. The model reads it like a file, by `read_file`: a tool
//! of its own would cost its description with every request (measured: 117 tokens, 3 to 5 % of a task of 21 short requests).

use std::fmt::Write as _;

use mesh_client::wire::{Content, EncodedMessage, Message};
use serde_json::Value;

use crate::{history::History, tool::Args};

/// The tool that reads cut texts too.
pub const TOOL: &str = "read_file";

/// The name of a cut text that a call asks for, if it asks for one.
pub fn asked<'a>(tool: &str, arguments: &'a Args) -> Option<&'a str> {
    let path = arguments.get("path").and_then(Value::as_str).filter(|_| tool == TOOL)?.trim();
    place(path).map(|_| path)
}

/// The text of a name, as it was before anything was cut.
pub fn original(history: &History, name: &str) -> Option<String> {
    let (number, which) = place(name)?;
    // As a request counts: what is not sent has no number.
    let message = history.messages().iter().filter(|message| message.is_sendable()).nth(number)?;
    text(message, which.checked_sub(1)?)
}

/// Message and text of a name: `r12` is the first text of message 12, `r12.2` its second.
fn place(name: &str) -> Option<(usize, usize)> {
    let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => digits.parse::<usize>().ok(),
        false => None,
    };
    let name = name.strip_prefix('r')?;
    let (message, which) = name.split_once('.').unwrap_or((name, "1"));
    Some((number(message)?, number(which)?))
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
        let mut history = History::new("s");
        history.push_user(Content::Text("go".into()));
        history.push_batch(batch.seal("-"));
        history
    }

    #[track_caller]
    fn check(name: &str, want: Option<&str>) {
        assert_eq!(original(&history(), name).as_deref(), want, "{name}");
    }

    #[test]
    fn texts_come_back_as_they_were() {
        check("r1", Some("go"));
        check("r3", Some("one\ntwo\nthree\nfour"));
        check("r3.1", Some("one\ntwo\nthree\nfour"));
    }

    #[test]
    fn arguments_are_shown_as_text() {
        check("r2", Some("path: \"a.rs\"\ncontent:\nfn a() {\n}\n"));
        let edits = "path: \"b.rs\"\nedits 1 old:\nx\ny\nedits 1 new: \"z\"\nedits 1 all: true\n";
        check("r2.2", Some(edits));
    }

    #[test]
    fn other_names_are_none() {
        for name in
            ["", "12", "r", "rx", "r99", "r3.2", "r3.0", "r2.3", "r-1", "r+1", "r3.x", "r3.", "r.1", "R3"]
        {
            check(name, None);
        }
    }

    #[test]
    fn a_call_asks_by_path() {
        let asked = |tool, path| asked(tool, json!({"path": path}).as_object().unwrap()).map(str::to_owned);
        assert_eq!(asked("read_file", " r12.2 ").as_deref(), Some("r12.2"));
        assert_eq!(asked("read_file", "r12.rs"), None);
        assert_eq!(asked("write_file", "r12"), None);
        assert_eq!(super::asked("read_file", &Args::new()), None);
    }
}
