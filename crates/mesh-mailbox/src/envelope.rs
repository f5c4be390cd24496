//! A message as it travels, and the ids in it.
//!
//! What a gateway sends is read with patience: fields that nobody knows are kept, an integer where text belongs becomes text, and
//! one bad row is a [`Complaint`], not the loss of the inbox.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::MailboxError;
use crate::kind::Kind;

/// Most characters of a thread's id. From the gateway's limits.
const MAX_THREAD_CHARS: usize = 128;

/// Most characters of an idempotency key. From the gateway's limits.
const MAX_KEY_CHARS: usize = 128;

/// A message's number within its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub i64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Declares a text id with its limit, checked where it is made.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks the length, in characters.
            ///
            /// # Errors
            /// [`MailboxError::InvalidId`] when the text is empty or too long for the gateway.
            pub fn new(text: impl Into<String>) -> Result<$name, MailboxError> {
                let text = text.into();
                match text.chars().count() {
                    1..=$max => Ok($name(text)),
                    characters => Err(MailboxError::InvalidId { what: $what, characters, max: $max }),
                }
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                $name::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id! {
    /// The thread that a message belongs to: any text of 1 to 128 characters.
    ThreadId, "the thread id", MAX_THREAD_CHARS
}

text_id! {
    /// The key under which a message is sent, once and again: 1 to 128 characters, one key a message.
    IdempotencyKey, "the idempotency key", MAX_KEY_CHARS
}

/// A message as a gateway hands it out.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// Its number within the gateway.
    pub id: MessageId,
    /// Who sent it, as the gateway says. Not checked: a gateway may hold peers whose names are no `PeerName`.
    pub from_node: String,
    /// Whose inbox it lies in.
    pub to_node: String,
    /// What it is for: any text; see [`Envelope::kind`].
    pub kind: String,
    /// What it says; absent in the answer to a send.
    pub content: Option<String>,
    /// When the gateway stored it: UTC, as text.
    pub created_at: Option<String>,
    /// When it was marked read: UTC, as text.
    pub read_at: Option<String>,
    /// The task that it is about; gateways send text or an integer.
    pub related_task_id: Option<String>,
    /// The thread that it belongs to; gateways send text or an integer.
    pub thread_id: Option<String>,
    /// Fields that are not named above, in the order in which they came.
    pub extra: Map<String, Value>,
}

impl Envelope {
    /// Reads one message.
    ///
    /// # Errors
    /// What a message cannot do without: the `shape` of an object, `id` (an integer), `from_node`, `to_node`, `kind` (texts).
    pub fn from_json(row: &Value) -> Result<Envelope, &'static str> {
        let mut fields = row.as_object().cloned().ok_or("shape")?;
        let id = fields.shift_remove("id").and_then(|id| id.as_i64()).ok_or("id")?;
        let mut text = |field| fields.shift_remove(field).and_then(text_of);
        Ok(Envelope {
            id: MessageId(id),
            from_node: text("from_node").ok_or("from_node")?,
            to_node: text("to_node").ok_or("to_node")?,
            kind: text("kind").ok_or("kind")?,
            content: text("content"),
            created_at: text("created_at"),
            read_at: text("read_at"),
            related_task_id: text("related_task_id"),
            thread_id: text("thread_id"),
            extra: fields,
        })
    }

    /// The message as JSON, the unnamed fields after the named ones.
    pub fn to_json(&self) -> Value {
        let mut row = serde_json::json!({
            "id": self.id,
            "thread_id": self.thread_id,
            "from_node": self.from_node,
            "to_node": self.to_node,
            "kind": self.kind,
            "content": self.content,
            "related_task_id": self.related_task_id,
            "created_at": self.created_at,
            "read_at": self.read_at,
        });
        if let Some(row) = row.as_object_mut() {
            row.extend(self.extra.clone());
        }
        row
    }

    /// Returns the kind, if it is one of those that can be sent.
    pub fn kind(&self) -> Option<Kind> {
        self.kind.parse().ok()
    }

    /// Whether it still waits to be read.
    pub fn is_unread(&self) -> bool {
        self.read_at.is_none()
    }
}

/// Text as it is, a number as its digits; nothing else is text.
fn text_of(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The messages of one answer, and what could not be read of it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Inbox {
    /// The messages, in the gateway's order.
    pub envelopes: Vec<Envelope>,
    /// Rows that are no messages.
    pub complaints: Vec<Complaint>,
}

/// A row of an answer that is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complaint {
    /// Which row, counted from 0.
    pub row: usize,
    /// The field that is missing or of another type.
    pub wanted: &'static str,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of the answer has no valid {}", self.row, self.wanted)
    }
}

impl Inbox {
    /// Reads the answer to `GET /messages`: `{"messages": [...]}` or a bare list.
    ///
    /// # Errors
    /// [`MailboxError::Malformed`] when there is no list at all.
    pub fn from_json(answer: &Value) -> Result<Inbox, MailboxError> {
        let rows = match answer {
            Value::Array(rows) => Some(rows),
            Value::Object(fields) => fields.get("messages").and_then(Value::as_array),
            _ => None,
        };
        let rows = rows.ok_or(MailboxError::Malformed { wanted: "a list of messages" })?;
        let mut inbox = Inbox::default();
        for (row, value) in rows.iter().enumerate() {
            match Envelope::from_json(value) {
                Ok(envelope) => inbox.envelopes.push(envelope),
                Err(wanted) => inbox.complaints.push(Complaint { row, wanted }),
            }
        }
        Ok(inbox)
    }

    /// Leaves out what a peer wrote to itself, as its own inbox is shown without it.
    pub fn without_own(mut self, own: &str) -> Inbox {
        self.envelopes.retain(|envelope| envelope.from_node != own);
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({"id": 58, "thread_id": "t", "from_node": "wire-al", "to_node": "wire-bo", "channel": null, "kind": "fyi",
               "content": "hello", "related_task_id": 7, "created_at": "2026-11-20T21:57:24.282105+00:00", "read_at": null})
    }

    #[test]
    fn an_integer_task_is_text_and_unknown_fields_stay() {
        let envelope = Envelope::from_json(&row()).unwrap();
        assert_eq!(envelope.related_task_id.as_deref(), Some("7"));
        assert_eq!((envelope.kind(), envelope.is_unread()), (Some(Kind::Fyi), true));
        assert_eq!(envelope.extra.keys().collect::<Vec<_>>(), ["channel"]);
    }

    #[test]
    fn one_bad_row_does_not_lose_the_others() {
        let answer = json!({"messages": [row(), 7, {"id": 1.5}, {"id": 2, "from_node": "a"}, row()], "n": 5});
        let inbox = Inbox::from_json(&answer).unwrap();
        assert_eq!(inbox.envelopes.len(), 2);
        let complaints: Vec<String> = inbox.complaints.iter().map(Complaint::to_string).collect();
        assert_eq!(
            complaints,
            [
                "message 1 of the answer has no valid shape",
                "message 2 of the answer has no valid id",
                "message 3 of the answer has no valid to_node",
            ]
        );
    }

    #[test]
    fn a_bare_list_is_an_inbox_too() {
        assert_eq!(Inbox::from_json(&json!([row()])).unwrap().without_own("wire-bo").envelopes.len(), 1);
        assert_eq!(Inbox::from_json(&json!([row()])).unwrap().without_own("wire-al").envelopes.len(), 0);
        for answer in [json!(null), json!({}), json!({"messages": {}}), json!("x")] {
            assert!(Inbox::from_json(&answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn ids_have_their_limits() {
        assert!(ThreadId::new("").is_err());
        assert!(ThreadId::new("é".repeat(128)).is_ok());
        assert_eq!(
            IdempotencyKey::new("k".repeat(129)).unwrap_err().to_string(),
            "the idempotency key has 129 characters; from 1 to 128 are allowed"
        );
        assert!(serde_json::from_str::<ThreadId>(r#""""#).is_err());
    }

    proptest! {
        #[test]
        fn any_row_is_read_or_named(id in any::<Option<i64>>(), from in any::<Option<String>>(), kind in "\\PC{0,9}") {
            let answer = json!([{"id": id, "from_node": from, "to_node": "me", "kind": kind}, row()]);
            let inbox = Inbox::from_json(&answer).unwrap();
            prop_assert_eq!(inbox.envelopes.len() + inbox.complaints.len(), 2);
            prop_assert_eq!(inbox.envelopes.len() == 2, id.is_some() && from.is_some());
        }
    }
}
