//! A message as it is sent: read from a body, checked, and told in the Python gateway's words when something is wrong.
//!
//! A good body is read in one pass without a tree; only one with a fault is read again, field by field.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fault::{Faults, Fields, length_fault};
use super::stamp::Stamp;
use crate::kind::Kind;

/// Most characters of a message. From the Python gateway.
pub const MAX_CONTENT_CHARS: usize = 200_000;
/// Most characters of a node's name. From the Python gateway.
pub const MAX_NAME_CHARS: usize = 64;
/// Most characters of a thread's id, a key or a task's id.
pub const MAX_ID_CHARS: usize = 128;
/// Most recipients of one message.
pub const MAX_RECIPIENTS: usize = 100;
/// Highest priority; 0 is the default.
pub const MAX_PRIORITY: i64 = 9;

/// To whom a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One peer.
    Node(String),
    /// Several peers; each gets a message of its own.
    Nodes(Vec<String>),
    /// The members of a group.
    Group(String),
    /// A channel, which this gateway has none of.
    Channel,
}

/// A message that keeps all rules which need no look at the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who says that it wrote it.
    pub from_node: String,
    /// To whom.
    pub to: Target,
    /// What for.
    pub kind: Kind,
    /// The content.
    pub content: String,
    /// The key under which it is sent once and again.
    pub key: Option<String>,
    /// Its thread.
    pub thread_id: Option<String>,
    /// The task that it is about.
    pub related_task_id: Option<String>,
    /// After this it is not handed out any more.
    pub expires_at: Option<Stamp>,
    /// The message that it answers.
    pub reply_to: Option<i64>,
    /// The sender wants to know what came of it.
    pub ack_required: bool,
    /// The higher, the earlier it is claimed.
    pub priority: i64,
}

/// Why a body is no message.
#[derive(Clone, Debug, PartialEq)]
pub enum DraftError {
    /// 422.
    Faults(Faults),
    /// 400, with this text.
    Refused(&'static str),
}

impl From<Faults> for DraftError {
    fn from(faults: Faults) -> DraftError {
        DraftError::Faults(faults)
    }
}

const BAD_KIND: &str = "kind must be one of ['answer', 'fyi', 'question', 'status', 'unblock']";
const NO_TARGET: &str = "exactly one of {to_node, channel} is required";

/// The fields of a body that has no fault; any that it cannot hold sends the body the long way.
#[derive(Deserialize)]
struct Plain<'a> {
    #[serde(borrow)]
    from_node: Cow<'a, str>,
    #[serde(borrow, default)]
    to_node: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(borrow, default)]
    idempotency_key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thread_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    related_task_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    to_nodes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    group: Option<&'a RawValue>,
    #[serde(borrow, default)]
    expires_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reply_to: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ack_required: Option<&'a RawValue>,
    #[serde(borrow, default)]
    priority: Option<&'a RawValue>,
}

impl Draft {
    /// Reads the body of a send.
    ///
    /// # Errors
    /// All faults of the fields, or the first rule between fields that is broken.
    pub fn parse(body: &[u8]) -> Result<Draft, DraftError> {
        match Draft::plain(body) {
            Some(draft) => Ok(draft),
            None => Draft::from_fields(Fields::of(body)?),
        }
    }

    /// Reads a value, as a batch holds several.
    ///
    /// # Errors
    /// Those of [`Draft::parse`].
    pub fn from_value(body: Value) -> Result<Draft, DraftError> {
        Draft::from_fields(Fields::of_value(body)?)
    }

    fn plain(body: &[u8]) -> Option<Draft> {
        let plain: Plain<'_> = serde_json::from_slice(body).ok()?;
        let extras = [
            plain.channel,
            plain.to_nodes,
            plain.group,
            plain.expires_at,
            plain.reply_to,
            plain.ack_required,
            plain.priority,
        ];
        let to = plain.to_node?;
        let fits = |text: &Option<Cow<'_, str>>, limit| {
            text.as_ref().is_none_or(|text| length_fault(text, limit).is_none())
        };
        let all_fit = extras.iter().all(Option::is_none)
            && length_fault(&plain.from_node, MAX_NAME_CHARS).is_none()
            && length_fault(&to, MAX_NAME_CHARS).is_none()
            && length_fault(&plain.content, MAX_CONTENT_CHARS).is_none()
            && fits(&plain.idempotency_key, MAX_ID_CHARS)
            && fits(&plain.thread_id, MAX_ID_CHARS)
            && fits(&plain.related_task_id, MAX_ID_CHARS);
        let kind = plain.kind.parse().ok().filter(|_| all_fit)?;
        Some(Draft {
            from_node: plain.from_node.into_owned(),
            to: Target::Node(to.into_owned()),
            kind,
            content: plain.content.into_owned(),
            key: plain.idempotency_key.map(Cow::into_owned),
            thread_id: plain.thread_id.map(Cow::into_owned),
            related_task_id: plain.related_task_id.map(Cow::into_owned),
            expires_at: None,
            reply_to: None,
            ack_required: false,
            priority: 0,
        })
    }

    fn from_fields(mut fields: Fields) -> Result<Draft, DraftError> {
        let from_node = fields.text("from_node", MAX_NAME_CHARS);
        let to_node = fields.optional_text("to_node", MAX_NAME_CHARS);
        let channel = fields.optional_text("channel", MAX_ID_CHARS);
        let to_nodes = fields.optional_texts("to_nodes", MAX_NAME_CHARS, MAX_RECIPIENTS);
        let group = fields.optional_text("group", MAX_ID_CHARS);
        // Any text is a kind for the fields' sake; which ones there are is a rule of its own, with an answer of its own.
        let kind = fields.text("kind", usize::MAX / 8);
        let content = fields.text("content", MAX_CONTENT_CHARS);
        let key = fields.optional_text("idempotency_key", MAX_ID_CHARS);
        let thread_id = fields.optional_text("thread_id", MAX_ID_CHARS);
        let related_task_id = fields.text_or_number("related_task_id", MAX_ID_CHARS);
        let expires_at = fields.optional_text("expires_at", MAX_ID_CHARS).and_then(|text| {
            let stamp = Stamp::parse(&text);
            if stamp.is_none() {
                fields.refuse("expires_at", "Input should be a moment such as 2026-11-20T21:43:18Z");
            }
            stamp
        });
        let reply_to = fields.optional_integer("reply_to", 1, i64::MAX);
        let ack_required = fields.flag("ack_required");
        let priority = fields.optional_integer("priority", 0, MAX_PRIORITY).unwrap_or(0);
        let has = |field: &str| fields.get(field).is_some();
        let targets = [has("to_node"), has("channel"), has("to_nodes"), has("group")]
            .iter()
            .filter(|has| **has)
            .count();
        fields.end()?;
        let kind: Kind = kind.parse().map_err(|_| DraftError::Refused(BAD_KIND))?;
        let to = match (to_node, to_nodes, group, channel) {
            _ if targets != 1 => return Err(DraftError::Refused(NO_TARGET)),
            (Some(node), ..) => Target::Node(node),
            (_, Some(mut nodes), ..) => {
                if nodes.is_empty() {
                    return Err(DraftError::Refused("to_nodes names nobody"));
                }
                let mut seen = std::collections::HashSet::new();
                nodes.retain(|node| seen.insert(node.clone()));
                Target::Nodes(nodes)
            }
            (_, _, Some(group), _) => Target::Group(group),
            (None, None, None, _) => Target::Channel,
        };
        Ok(Draft {
            from_node,
            to,
            kind,
            content,
            key,
            thread_id,
            related_task_id,
            expires_at,
            reply_to,
            ack_required,
            priority,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn message() -> Value {
        json!({"from_node": "wire-al", "to_node": "wire-bo", "kind": "fyi", "content": "hello"})
    }

    fn with(changes: Value) -> Vec<u8> {
        let mut body = message();
        for (field, value) in changes.as_object().unwrap() {
            body[field] = value.clone();
        }
        body.to_string().into_bytes()
    }

    #[test]
    fn rules_between_fields_answer_as_the_python_gateway_does() {
        let refused = |changes| match Draft::parse(&with(changes)) {
            Err(DraftError::Refused(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(json!({"kind": "review_request"})), BAD_KIND);
        assert_eq!(refused(json!({"to_node": null})), NO_TARGET);
        assert_eq!(refused(json!({"channel": "general"})), NO_TARGET);
        assert_eq!(refused(json!({"to_node": null, "to_nodes": []})), "to_nodes names nobody");
    }

    #[test]
    fn a_task_is_a_text_whatever_was_sent() {
        let task =
            |value| Draft::parse(&with(json!({ "related_task_id": value }))).map(|d| d.related_task_id);
        assert_eq!(task(json!(7)), Ok(Some("7".into())));
        assert_eq!(task(json!("task-abc")), Ok(Some("task-abc".into())));
        assert!(task(json!(7.5)).is_err() && task(json!(true)).is_err() && task(json!("")).is_err());
    }

    #[test]
    fn a_later_duplicate_of_a_field_counts() {
        let body = br#"{"from_node":"aa","to_node":"bb","kind":"fyi","content":"x","content":"y"}"#;
        assert_eq!(Draft::parse(body).unwrap().content, "y");
    }

    #[test]
    fn odd_bodies_are_told_apart() {
        for (body, kind) in [
            ("{bad json", "json_invalid"),
            ("", "missing"),
            ("[]", "model_attributes_type"),
            (r#"{"from_node":"aa","to_node":"bb","kind":"fyi","content":"\ud800"}"#, "json_invalid"),
        ] {
            let Err(DraftError::Faults(faults)) = Draft::parse(body.as_bytes()) else { panic!("{body}") };
            assert_eq!(faults.into_body()["detail"][0]["type"], kind, "{body}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Draft::parse(deep.as_bytes()).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,70}".prop_map(Value::from),
            Just(json!([])),
            Just(json!(["aa", "bb"])),
            Just(json!({"a": 1})),
            Just(json!("fyi")),
            Just(json!("2026-01-01T00:00:00Z")),
        ]
    }

    proptest! {
        /// The quick way and the thorough way read the same message.
        #[test]
        fn both_ways_agree(
            fields in proptest::collection::btree_map(
                prop_oneof![
                    Just("from_node"), Just("to_node"), Just("kind"), Just("content"), Just("idempotency_key"), Just("thread_id"),
                    Just("related_task_id"), Just("channel"), Just("to_nodes"), Just("group"), Just("expires_at"), Just("priority"),
                    Just("ack_required"), Just("reply_to"), Just("other"),
                ],
                any_json(),
                0..5,
            )
        ) {
            let mut body = message();
            for (field, value) in fields {
                body[field] = value;
            }
            let bytes = body.to_string().into_bytes();
            let thorough = Draft::from_value(body);
            if let Some(plain) = Draft::plain(&bytes) {
                prop_assert_eq!(Ok(plain), thorough.clone());
            }
            prop_assert_eq!(Draft::parse(&bytes), thorough);
        }

        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Draft::parse(&bytes);
        }

        #[test]
        fn a_cut_body_is_no_message(cut in 0usize..70) {
            let whole = message().to_string();
            let cut = cut.min(whole.len() - 1);
            prop_assert!(Draft::parse(&whole.as_bytes()[..cut]).is_err());
        }
    }
}
