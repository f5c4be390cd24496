//! The fields at the top of a body, and where its messages stand.

use std::fmt;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::message::is_of_reply;
use crate::json::{self, Span};

/// Why a body cannot be worked on; it is passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// The bytes are not one JSON value.
    NotJson,
    /// The value is not an object.
    NotAnObject,
    /// There is no list of messages, or an element of it is no object.
    NoMessages,
    /// The history, or a part of it, lies with the provider (`previous_response_id`, `conversation`, `item_reference`).
    Elsewhere,
    /// A field that counts here stands twice.
    DoubledField,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unreadable::NotJson => "the body is not JSON",
            Unreadable::NotAnObject => "the body is not an object",
            Unreadable::NoMessages => "the body has no list of messages",
            Unreadable::Elsewhere => "the history lies with the provider",
            Unreadable::DoubledField => "a field stands twice in the body",
        })
    }
}

/// One message in the bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) span: Span,
    /// Of its bytes, by xxh3: tells whether a history goes on or was rewritten.
    pub(crate) hash: u64,
}

/// Where a history stands in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `messages`: chat completions and Anthropic messages.
    Messages,
    /// `input`, a list of items: the responses API.
    Items,
}

/// A body whose fields have been found.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) shape: Shape,
    /// All members: key with quotes, value.
    pub(crate) fields: Vec<(Span, Span)>,
    pub(crate) messages: Vec<Place>,
}

/// The fields that steer something here; one of them twice makes a body ambiguous.
const KNOWN: [&str; 14] = [
    "model",
    "messages",
    "input",
    "instructions",
    "previous_response_id",
    "conversation",
    "tools",
    "system",
    "mesh_optimize",
    "mesh_hints",
    "max_tokens",
    "max_completion_tokens",
    "cache_control",
    "thinking",
];

impl<'a> Body<'a> {
    /// Finds the fields and the messages.
    ///
    /// `seen` holds length and hash of each message of an earlier request of (perhaps) the same session: a message that still
    /// has both is not scanned again.
    pub(crate) fn read(bytes: &'a [u8], seen: &[(usize, u64)]) -> Result<Body<'a>, Unreadable> {
        let start = json::skip_space(bytes, 0);
        if bytes.get(start) != Some(&b'{') {
            return Err(if json::whole(bytes).is_ok() {
                Unreadable::NotAnObject
            } else {
                Unreadable::NotJson
            });
        }
        let mut walk = json::members(bytes, start);
        let (mut fields, mut messages, mut items) = (Vec::with_capacity(12), None, None);
        while let Some(key) = walk.next_key().map_err(|_| Unreadable::NotJson)? {
            let at = walk.position();
            let end = if &bytes[key.clone()] == b"\"messages\""
                && messages.is_none()
                && bytes.get(at) == Some(&b'[')
            {
                let (found, end) = places(bytes, at, seen).map_err(|_| Unreadable::NotJson)?;
                messages = Some(found);
                end
            } else if &bytes[key.clone()] == b"\"input\"" && items.is_none() && bytes.get(at) == Some(&b'[') {
                let (found, end) = places(bytes, at, &[]).map_err(|_| Unreadable::NotJson)?;
                items = Some(found);
                end
            } else {
                json::skip(bytes, at).map_err(|_| Unreadable::NotJson)?
            };
            fields.push((key, at..end));
            walk.value_ends(end);
        }
        if json::skip_space(bytes, walk.position()) != bytes.len() || std::str::from_utf8(bytes).is_err() {
            return Err(Unreadable::NotJson);
        }
        let (shape, messages) = match (messages, items) {
            (None, Some(items)) => (Shape::Items, items),
            (messages, _) => (Shape::Messages, messages.unwrap_or_default()),
        };
        let mut body = Body { bytes, shape, fields, messages };
        for known in KNOWN {
            if body.fields.iter().filter(|(key, _)| body.is_key(key, known)).count() > 1 {
                return Err(Unreadable::DoubledField);
            }
        }
        let has_list = shape == Shape::Items || body.raw("messages").is_some_and(|raw| raw[0] == b'[');
        if !has_list || body.messages.iter().any(|place| bytes[place.span.start] != b'{') {
            return Err(Unreadable::NoMessages);
        }
        if shape == Shape::Items {
            let is_elsewhere = |name: &&str| body.raw(name).is_some_and(|raw| raw != b"null");
            let refers = memchr::memmem::find(bytes, b"\"item_reference\"").is_some();
            if refers || ["previous_response_id", "conversation"].iter().any(is_elsewhere) {
                return Err(Unreadable::Elsewhere);
            }
            body.messages = as_messages(bytes, &body.messages);
        }
        Ok(body)
    }

    fn is_key(&self, key: &Span, name: &str) -> bool {
        &self.bytes[key.start + 1..key.end - 1] == name.as_bytes()
    }

    /// Returns the place of the value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<Span> {
        self.fields.iter().find(|(key, _)| self.is_key(key, name)).map(|(_, value)| value.clone())
    }

    /// Returns the bytes of the value of a field.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a [u8]> {
        self.field(name).map(|span| &self.bytes[span])
    }

    /// Returns the value of a field that is small by nature.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        self.raw(name).and_then(|raw| serde_json::from_slice(raw).ok())
    }

    /// Returns a text field.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        json::decode(self.bytes, self.field(name)?).map(|decoded| decoded.text.into_owned())
    }

    /// Returns the spans that take members out of the object, their commas included.
    pub(crate) fn removals(&self, names: &[&str]) -> Vec<Span> {
        let goes = |at: usize| names.iter().any(|name| self.is_key(&self.fields[at].0, name));
        let mut spans = Vec::new();
        let mut at = 0;
        while at < self.fields.len() {
            let run = (at..self.fields.len()).take_while(|at| goes(*at)).count();
            if run == 0 {
                at += 1;
                continue;
            }
            spans.push(match (at.checked_sub(1), self.fields.get(at + run)) {
                (_, Some((next, _))) => self.fields[at].0.start..next.start,
                (Some(before), None) => self.fields[before].1.end..self.fields[at + run - 1].1.end,
                (None, None) => self.fields[at].0.start..self.fields[at + run - 1].1.end,
            });
            at += run;
        }
        spans
    }
}

/// The elements of the list at `at`, and where it ends.
fn places(bytes: &[u8], at: usize, seen: &[(usize, u64)]) -> Result<(Vec<Place>, usize), json::Malformed> {
    let mut found: Vec<Place> = Vec::with_capacity(seen.len() + 8);
    let mut at = json::skip_space(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Ok((found, at + 1));
    }
    let mut known = seen.iter();
    loop {
        let place = match known.next().and_then(|(len, hash)| same(bytes, at, *len, *hash)) {
            Some(place) => place,
            None => {
                known = [].iter();
                let end = json::skip(bytes, at)?;
                Place { span: at..end, hash: xxh3_64(&bytes[at..end]) }
            }
        };
        let end = place.span.end;
        found.push(place);
        at = json::skip_space(bytes, end);
        match bytes.get(at) {
            Some(b',') => at = json::skip_space(bytes, at + 1),
            Some(b']') => return Ok((found, at + 1)),
            _ => return Err(json::Malformed),
        }
    }
}

/// Items as messages: what a model says in one reply (thoughts, words, calls) are several items, and one message.
fn as_messages(bytes: &[u8], items: &[Place]) -> Vec<Place> {
    let mut messages: Vec<Place> = Vec::with_capacity(items.len());
    let mut in_reply = false;
    for item in items {
        let goes_on = std::mem::replace(&mut in_reply, is_of_reply(&bytes[item.span.clone()])) && in_reply;
        match messages.last_mut().filter(|_| goes_on) {
            Some(message) => message.span.end = item.span.end,
            None => messages.push(item.clone()),
        }
    }
    for message in &mut messages {
        message.hash = xxh3_64(&bytes[message.span.clone()]);
    }
    messages
}

fn same(bytes: &[u8], at: usize, len: usize, hash: u64) -> Option<Place> {
    let span = at..at.checked_add(len)?;
    let found = bytes.get(span.clone())?;
    (matches!(bytes.get(span.end), Some(b',' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
        && xxh3_64(found) == hash)
        .then_some(Place { span, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_are_none_say_why() {
        for (bytes, want) in [
            (&b"{"[..], Unreadable::NotJson),
            (b"[1]", Unreadable::NotAnObject),
            (b"{}", Unreadable::NoMessages),
            (br#"{"messages":null}"#, Unreadable::NoMessages),
            (br#"{"messages":[null]}"#, Unreadable::NoMessages),
            (br#"{"messages":[{}],"messages":[{}]}"#, Unreadable::DoubledField),
            (br#"{"input":[{}],"input":[{}]}"#, Unreadable::DoubledField),
            (br#"{"input":"go"}"#, Unreadable::NoMessages),
            (br#"{"input":["go"]}"#, Unreadable::NoMessages),
            (br#"{"input":[{}],"previous_response_id":"r1"}"#, Unreadable::Elsewhere),
            (br#"{"input":[{}],"conversation":{"id":"c"}}"#, Unreadable::Elsewhere),
            (br#"{"input":[{"type":"item_reference","id":"i"}]}"#, Unreadable::Elsewhere),
            (b"{\"messages\":[{\"content\":\"\xff\"}]}", Unreadable::NotJson),
            (br#"{"messages":[]} x"#, Unreadable::NotJson),
        ] {
            assert_eq!(Body::read(bytes, &[]).err(), Some(want), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn items_of_one_reply_are_one_message() {
        let body = br#"{"input":[{"role":"user","content":"go"}, {"type":"reasoning"}, {"type":"message","role":"assistant","content":[]},
            {"type":"function_call","call_id":"a"},{"type":"function_call","call_id":"b"},{"type":"function_call_output","call_id":"a"},
            {"type":"function_call_output","call_id":"b"} , {"type":"custom_tool_call"}],"previous_response_id":null}"#;
        let read = Body::read(body, &[]).unwrap();
        assert_eq!(read.shape, Shape::Items);
        let starts = |place: &Place| {
            String::from_utf8_lossy(&body[place.span.clone()]).chars().take(24).collect::<String>()
        };
        let seen: Vec<String> = read.messages.iter().map(starts).collect();
        assert_eq!(
            seen,
            [
                r#"{"role":"user","content""#,
                r#"{"type":"reasoning"}, {""#,
                r#"{"type":"function_call_o"#,
                r#"{"type":"function_call_o"#,
                r#"{"type":"custom_tool_cal"#
            ]
        );
        assert!(body[..read.messages[1].span.end].ends_with(br#""call_id":"b"}"#));
    }

    #[test]
    fn members_are_taken_out_with_their_comma() {
        for (body, want) in [
            (r#"{"mesh_hints":1, "messages":[]}"#, r#"{"messages":[]}"#),
            (r#"{"messages":[], "mesh_hints":1}"#, r#"{"messages":[]}"#),
            (r#"{"messages":[], "mesh_hints":1 , "a":2}"#, r#"{"messages":[], "a":2}"#),
            (r#"{"messages":[], "mesh_hints":1, "mesh_optimize":2 }"#, r#"{"messages":[] }"#),
            (r#"{"mesh_hints":1, "messages":[], "mesh_optimize":2}"#, r#"{"messages":[]}"#),
        ] {
            let read = Body::read(body.as_bytes(), &[]).unwrap();
            let mut left = body.to_owned();
            for gone in read.removals(&["mesh_hints", "mesh_optimize"]).into_iter().rev() {
                left.replace_range(gone, "");
            }
            assert_eq!(left, want);
        }
    }

    #[test]
    fn what_was_seen_is_found_again() {
        let body = br#"{"messages": [{"a": 1}, {"b": "x"} ,{"c":[]}]}"#;
        let cold = Body::read(body, &[]).unwrap();
        let seen: Vec<_> = cold.messages.iter().map(|place| (place.span.len(), place.hash)).collect();
        assert_eq!(cold.messages.len(), 3);
        for known in [&seen[..], &seen[..2], &seen[1..], &[(9999, 1)]] {
            assert_eq!(Body::read(body, known).unwrap().messages, cold.messages);
        }
    }
}
