//! One message of a conversation: a plain type to build and read, and an encoded one to keep and send.
use bytes::Bytes;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Who speaks. Other roles survive in [`EncodedMessage`] as bytes; decoding them is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person, or the program that asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// What a message says: text, or a list of parts (text, images) kept as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// `[{"type":"text","text":..},{"type":"image_url",..}]`, every field kept.
    Parts(Vec<Value>),
}

/// A tool call of an assistant message. On the wire: `{"id","type":"function","function":{"name","arguments"}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Id that the tool result repeats.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text of the arguments as the model wrote it; it may be broken.
    pub arguments: String,
}

/// One message. Fields that this type does not name are kept in `extra`, in their order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; `None` goes out as `null` next to tool calls.
    #[serde(default)]
    pub content: Option<Content>,
    /// Calls that the model wants made.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool message answers.
    #[serde(default)]
    pub tool_call_id: Option<String>,
    /// Everything else, such as `cache_control` or `name`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A text that is no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not JSON, or a known field has a shape that no message has.
    #[error("not a chat message")]
    Json(#[from] serde_json::Error),
    /// JSON, but not an object.
    #[error("a chat message is a JSON object")]
    NotAnObject,
}

impl Message {
    /// Standing instructions.
    pub fn system(text: impl Into<String>) -> Message {
        Message::with_text(Role::System, text)
    }

    /// What the person says.
    pub fn user(text: impl Into<String>) -> Message {
        Message::with_text(Role::User, text)
    }

    /// What the model says.
    pub fn assistant(text: impl Into<String>) -> Message {
        Message::with_text(Role::Assistant, text)
    }

    /// Calls that the model wants made, with what it said beside them.
    pub fn assistant_calls(text: Option<String>, tool_calls: Vec<ToolCall>) -> Message {
        Message {
            role: Role::Assistant,
            content: text.map(Content::Text),
            tool_calls,
            tool_call_id: None,
            extra: Map::new(),
        }
    }

    /// The result of one call.
    pub fn tool_result(call_id: impl Into<String>, text: impl Into<String>) -> Message {
        Message { tool_call_id: Some(call_id.into()), ..Message::with_text(Role::Tool, text) }
    }

    fn with_text(role: Role, text: impl Into<String>) -> Message {
        let content = Some(Content::Text(text.into()));
        Message { role, content, tool_calls: Vec::new(), tool_call_id: None, extra: Map::new() }
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.role)?;
        if let Some(id) = &self.tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        map.serialize_entry("content", &self.content)?;
        if !self.tool_calls.is_empty() {
            map.serialize_entry("tool_calls", &self.tool_calls)?;
        }
        for (key, value) in &self.extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for ToolCall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("type", "function")?;
        map.serialize_entry("function", &FunctionOut { name: &self.name, arguments: &self.arguments })?;
        map.end()
    }
}

#[derive(Serialize)]
struct FunctionOut<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'de> Deserialize<'de> for ToolCall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ToolCall, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            id: Value,
            #[serde(default)]
            function: Value,
        }
        let wire = Wire::deserialize(deserializer)?;
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Ok(ToolCall {
            id: text(&wire.id),
            name: text(&wire.function["name"]),
            arguments: text(&wire.function["arguments"]),
        })
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ToolCall>, D::Error> {
    Ok(Option::<Vec<ToolCall>>::deserialize(deserializer)?.unwrap_or_default())
}

/// One message as JSON text: encoded once and never again, cheap to clone. A history is a list of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedMessage {
    bytes: Bytes,
    role: Option<Role>,
    is_sendable: bool,
}

impl EncodedMessage {
    /// Takes one message as JSON text and keeps these very bytes: unknown fields, unknown roles, key order and spacing.
    ///
    /// # Errors
    /// Not JSON, or not an object.
    pub fn from_json(json: &str) -> Result<EncodedMessage, MessageError> {
        let json = json.trim();
        let value: Value = serde_json::from_str(json)?;
        let object = value.as_object().ok_or(MessageError::NotAnObject)?;
        Ok(EncodedMessage::with_bytes(Bytes::copy_from_slice(json.as_bytes()), object))
    }

    /// Encodes a value that was read as JSON before.
    ///
    /// # Errors
    /// Not an object.
    pub fn from_value(value: &Value) -> Result<EncodedMessage, MessageError> {
        let object = value.as_object().ok_or(MessageError::NotAnObject)?;
        Ok(EncodedMessage::with_bytes(value.to_string().into(), object))
    }

    fn with_bytes(bytes: Bytes, object: &Map<String, Value>) -> EncodedMessage {
        let role = object.get("role").and_then(|role| Role::deserialize(role).ok());
        let is_sendable = role != Some(Role::Assistant) || says_something(object);
        EncodedMessage { bytes, role, is_sendable }
    }

    /// Reads the message back.
    ///
    /// # Errors
    /// The role is none of [`Role`], or a known field has a shape that no message has.
    pub fn decode(&self) -> Result<Message, MessageError> {
        Ok(serde_json::from_slice(&self.bytes)?)
    }

    /// The JSON text.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Who speaks; `None` for a role that this crate does not know.
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// Whether the gateway may see it: an assistant message with neither text nor calls makes providers refuse every later
    /// request, so it stays at home.
    pub fn is_sendable(&self) -> bool {
        self.is_sendable
    }
}

impl From<&Message> for EncodedMessage {
    fn from(message: &Message) -> EncodedMessage {
        let bytes = serde_json::to_vec(message).unwrap_or_default();
        let is_sendable = message.role != Role::Assistant
            || !message.tool_calls.is_empty()
            || message.content.as_ref().is_some_and(Content::says_something);
        EncodedMessage { bytes: bytes.into(), role: Some(message.role), is_sendable }
    }
}

impl From<Message> for EncodedMessage {
    fn from(message: Message) -> EncodedMessage {
        EncodedMessage::from(&message)
    }
}

impl Content {
    fn says_something(&self) -> bool {
        match self {
            Content::Text(text) => !text.trim().is_empty(),
            Content::Parts(parts) => !parts.is_empty(),
        }
    }
}

fn says_something(object: &Map<String, Value>) -> bool {
    let filled = |value: Option<&Value>| match value {
        None | Some(Value::Null | Value::Bool(_) | Value::Number(_)) => false,
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
    };
    filled(object.get("content")) || filled(object.get("tool_calls")) || filled(object.get("function_call"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_keeps_the_bytes_that_it_came_with() {
        let json = r#"{"content": "hi",  "x":{"b":1,"a":2.50}, "role":"user"}"#;
        let message = EncodedMessage::from_json(&format!(" {json}\n")).unwrap();
        assert_eq!(message.as_bytes(), json);
        assert_eq!(message.role(), Some(Role::User));
    }

    #[test]
    fn fields_without_a_name_here_survive_a_change() {
        let json = json!({"role": "assistant", "content": null, "tool_calls": null, "name": "n", "cache_control": {"type": "ephemeral"}});
        let message = EncodedMessage::from_value(&json).unwrap().decode().unwrap();
        assert!(message.tool_calls.is_empty());
        let again: Value = serde_json::from_slice(EncodedMessage::from(message).as_bytes()).unwrap();
        let want = json!({"role": "assistant", "content": null, "name": "n", "cache_control": {"type": "ephemeral"}});
        assert_eq!(again, want);
    }

    #[test]
    fn calls_go_out_as_they_came_in() {
        let json = json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{broken"}}]});
        let message = EncodedMessage::from_value(&json).unwrap().decode().unwrap();
        assert_eq!(message.tool_calls[0].arguments, "{broken");
        assert_eq!(serde_json::to_value(&message).unwrap(), json);
    }

    #[test]
    fn an_unknown_role_survives_but_is_not_decoded() {
        let message = EncodedMessage::from_json(r#"{"role":"developer","content":""}"#).unwrap();
        assert_eq!(message.role(), None);
        assert!(message.is_sendable());
        assert!(message.decode().is_err());
    }

    #[test]
    fn only_an_object_is_a_message() {
        for json in ["", "[]", "\"hi\"", "7", "{", "{}{}"] {
            assert!(EncodedMessage::from_json(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_assistant_that_says_nothing_stays_at_home() {
        let is_sendable = |message: Value| {
            let read = EncodedMessage::from_value(&message).unwrap();
            if let Ok(decoded) = read.decode() {
                assert_eq!(EncodedMessage::from(&decoded).is_sendable(), read.is_sendable(), "{message}");
            }
            read.is_sendable()
        };
        for silent in [
            json!({"role": "assistant"}),
            json!({"role": "assistant", "content": null}),
            json!({"role": "assistant", "content": " \n", "tool_calls": []}),
            json!({"role": "assistant", "content": []}),
        ] {
            assert!(!is_sendable(silent.clone()), "{silent}");
        }
        for heard in [
            json!({"role": "assistant", "content": "a"}),
            json!({"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}),
            json!({"role": "assistant", "content": [{"type": "text", "text": ""}]}),
            json!({"role": "user", "content": ""}),
            json!({"role": "tool", "tool_call_id": "a", "content": ""}),
        ] {
            assert!(is_sendable(heard.clone()), "{heard}");
        }
    }
}
