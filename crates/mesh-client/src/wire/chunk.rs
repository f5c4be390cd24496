//! One chunk of a stream: a typed path that borrows for the common shape, a lenient path for everything else.
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// What one chunk says about the first choice. Fields that are absent, null or of an odd type are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk<'a> {
    /// Text of the answer.
    pub content: Cow<'a, str>,
    /// Reasoning (`reasoning_content`, else `reasoning`).
    pub reasoning: Cow<'a, str>,
    /// Refusal text.
    pub refusal: Cow<'a, str>,
    /// Fragments of tool calls; the legacy `function_call` is one of them.
    pub tool_calls: Vec<ToolCallDelta<'a>>,
    /// Whether the choice carried a whole `message` in place of a `delta`.
    pub is_message: bool,
    /// Why the model stopped.
    pub finish_reason: Option<Cow<'a, str>>,
    /// Model that answers.
    pub model: Option<Cow<'a, str>>,
    /// Token counts as they came.
    pub usage: Option<Value>,
    /// Cost as it came: text or number.
    pub cost: Option<Value>,
    /// An error in the stream, when it says anything (`{}`, `""` and `false` do not).
    pub error: Option<Value>,
}

/// A fragment of a tool call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCallDelta<'a> {
    /// Position among the calls, when the gateway gives one.
    pub index: Option<i64>,
    /// Id of the call; empty when absent.
    pub id: Cow<'a, str>,
    /// Name of the tool; empty when absent.
    pub name: Cow<'a, str>,
    /// Next piece of the JSON text of the arguments.
    pub arguments: Cow<'a, str>,
}

impl<'a> Chunk<'a> {
    /// Reads a chunk from its JSON text; `None` when the text is not a JSON object.
    pub fn parse(json: &'a str) -> Option<Chunk<'a>> {
        if let Ok(typed) = serde_json::from_str::<Object<Typed<'a>>>(json) {
            return Some(typed.0.into_chunk());
        }
        let value: Value = match serde_json::from_str(json) {
            Ok(value) => value,
            Err(_) => serde_json::from_str(&mend_surrogates(json)?).ok()?,
        };
        Chunk::from_value(&value)
    }

    /// Reads a chunk from a JSON value, leniently; `None` when it is not an object.
    pub fn from_value(value: &Value) -> Option<Chunk<'static>> {
        let object = value.as_object()?;
        let given = |key: &str| object.get(key).filter(|value| !value.is_null()).cloned();
        let mut chunk = Chunk {
            model: string(object.get("model")),
            usage: given("usage"),
            cost: given("cost"),
            error: object.get("error").filter(|error| is_truthy(error)).cloned(),
            ..Chunk::default()
        };
        if let Some(choice) = object.get("choices").and_then(|choices| choices.get(0)) {
            chunk.finish_reason = string(choice.get("finish_reason"));
            chunk.is_message = !choice["delta"].is_object() && choice["message"].is_object();
            chunk.read_delta(if chunk.is_message { &choice["message"] } else { &choice["delta"] });
        }
        Some(chunk)
    }

    fn read_delta(&mut self, delta: &Value) {
        self.content = text_of(&delta["content"]).into();
        let reasoning = text_of(&delta["reasoning_content"]);
        self.reasoning = if reasoning.is_empty() { text_of(&delta["reasoning"]) } else { reasoning }.into();
        self.refusal = text_of(&delta["refusal"]).into();
        let calls = delta["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.tool_calls = calls.iter().filter_map(ToolCallDelta::from_value).collect();
        if delta["function_call"].is_object() {
            self.tool_calls.push(ToolCallDelta::from_function(&delta["function_call"]));
        }
    }
}

impl ToolCallDelta<'static> {
    /// Reads one entry of `tool_calls`, leniently; `None` when it is not an object.
    pub fn from_value(value: &Value) -> Option<ToolCallDelta<'static>> {
        value.as_object()?;
        let mut delta = ToolCallDelta::from_function(&value["function"]);
        delta.index = index_of(&value["index"]);
        delta.id = string(value.get("id")).unwrap_or_default();
        Some(delta)
    }

    fn from_function(function: &Value) -> ToolCallDelta<'static> {
        let arguments = match &function["arguments"] {
            Value::Null => Cow::default(),
            Value::String(text) => text.clone().into(),
            // Some providers send the arguments as a value: its JSON text is what the others would have sent.
            value => value.to_string().into(),
        };
        ToolCallDelta {
            name: string(function.get("name")).unwrap_or_default(),
            arguments,
            ..Default::default()
        }
    }
}

fn index_of(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A string that says something.
fn string(value: Option<&Value>) -> Option<Cow<'static, str>> {
    value?.as_str().filter(|text| !text.is_empty()).map(|text| text.to_owned().into())
}

/// A string, or the texts of a list of parts.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part.as_str().or_else(|| part.get("text")?.as_str())).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Replaces escapes of half surrogate pairs by U+FFFD, since no string can hold them; `None` when there are none.
fn mend_surrogates(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let mut mended: Option<String> = None;
    let mut done = 0;
    let mut at = 0;
    // A backslash may be the last byte of all.
    while let Some(offset) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let start = at + offset;
        at = start + 2;
        let Some(unit) = escaped_unit(bytes, start) else { continue };
        at = start + 6;
        if (0xD800..0xDC00).contains(&unit)
            && escaped_unit(bytes, at).is_some_and(|low| (0xDC00..0xE000).contains(&low))
        {
            at += 6;
        } else if (0xD800..0xE000).contains(&unit) {
            let out = mended.get_or_insert_with(|| String::with_capacity(json.len()));
            out.push_str(&json[done..start]);
            out.push_str("\\ufffd");
            done = at;
        }
    }
    let mut out = mended?;
    out.push_str(&json[done..]);
    Some(out)
}

/// The code unit of a `\uXXXX` escape that begins at `start`.
fn escaped_unit(bytes: &[u8], start: usize) -> Option<u32> {
    let escape = bytes.get(start..start + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The common shape. Anything that does not fit, a doubled key too, is an error and goes the lenient way.
///
/// What is rare is boxed: these structs are moved several times a chunk, and a box that is not there is one word.
#[derive(serde::Deserialize)]
struct Typed<'a> {
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: Option<First<Object<TypedChoice<'a>>>>,
    #[serde(default)]
    usage: Option<Box<Value>>,
    #[serde(default)]
    cost: Option<Box<Value>>,
    #[serde(default)]
    error: Option<Box<Value>>,
}

#[derive(serde::Deserialize)]
struct TypedChoice<'a> {
    #[serde(borrow, default)]
    delta: Option<Object<TypedDelta<'a>>>,
    #[serde(borrow, default)]
    message: Option<Box<Object<TypedDelta<'a>>>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Default, serde::Deserialize)]
struct TypedDelta<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<Object<TypedCall<'a>>>>,
    #[serde(borrow, default)]
    function_call: Option<Box<Object<TypedFunction<'a>>>>,
}

#[derive(serde::Deserialize)]
struct TypedCall<'a> {
    #[serde(default)]
    index: Option<i64>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<Object<TypedFunction<'a>>>,
}

#[derive(Default, serde::Deserialize)]
struct TypedFunction<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
}

impl<'a> Typed<'a> {
    fn into_chunk(self) -> Chunk<'a> {
        let mut chunk = Chunk {
            model: self.model.map(|model| model.0).filter(|model| !model.is_empty()),
            usage: self.usage.map(|usage| *usage),
            cost: self.cost.map(|cost| *cost),
            error: self.error.map(|error| *error).filter(is_truthy),
            ..Chunk::default()
        };
        let Some(choice) = self.choices.and_then(|choices| choices.0) else { return chunk };
        let choice = choice.0;
        chunk.finish_reason = choice.finish_reason.map(|reason| reason.0).filter(|reason| !reason.is_empty());
        chunk.is_message = choice.delta.is_none() && choice.message.is_some();
        let delta = choice.delta.or_else(|| choice.message.map(|message| *message));
        let delta = delta.map(|delta| delta.0).unwrap_or_default();
        chunk.content = text(delta.content);
        chunk.reasoning = text(delta.reasoning_content);
        if chunk.reasoning.is_empty() {
            chunk.reasoning = text(delta.reasoning);
        }
        chunk.refusal = text(delta.refusal);
        if let Some(calls) = delta.tool_calls {
            chunk.tool_calls = calls.into_iter().map(|call| call.0.into_delta()).collect();
        }
        if let Some(function) = delta.function_call {
            chunk
                .tool_calls
                .push(TypedCall { index: None, id: None, function: Some(*function) }.into_delta());
        }
        chunk
    }
}

impl<'a> TypedCall<'a> {
    fn into_delta(self) -> ToolCallDelta<'a> {
        let function = self.function.map(|function| function.0).unwrap_or_default();
        ToolCallDelta {
            index: self.index,
            id: text(self.id),
            name: text(function.name),
            arguments: text(function.arguments),
        }
    }
}

fn text(text: Option<Text<'_>>) -> Cow<'_, str> {
    text.map(|text| text.0).unwrap_or_default()
}

/// A JSON object and nothing else: serde would read a list as a struct too, field by field.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Reader(std::marker::PhantomData))
    }
}

/// A string that borrows from the JSON text unless it holds escapes. (`Option<Cow<str>>` would always copy.)
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// The first element of a list; the others are skipped unread.
struct First<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<First<T>, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = First<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T>, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(Reader(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[track_caller]
    fn check(json: &str, content: &str) {
        assert_eq!(
            Chunk::parse(json).map(|chunk| chunk.content.into_owned()).as_deref(),
            Some(content),
            "{json}"
        );
    }

    #[test]
    fn content_is_text_or_a_list_of_parts() {
        check(r#"{"choices":[{"delta":{"content":"a"}}]}"#, "a");
        check(
            r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},"b",{"text":null},7]}}]}"#,
            "ab",
        );
        check(r#"{"choices":[{"message":{"content":"a"}}]}"#, "a");
        check(r#"{"choices":[{"delta":{"content":7}}]}"#, "");
        check(r#"{"choices":[{"delta":{"content":"a","content":"b"}}]}"#, "b");
        check(r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#, "a");
    }

    #[test]
    fn half_surrogate_pairs_are_replaced() {
        check(r#"{"choices":[{"delta":{"content":"a\ud83d\ude00b"}}]}"#, "a😀b");
        check(r#"{"choices":[{"delta":{"content":"a\ud83db"}}]}"#, "a\u{fffd}b");
        check(r#"{"choices":[{"delta":{"content":"\ude00\ud83d\ud83d\ude00"}}]}"#, "\u{fffd}\u{fffd}😀");
        check(r#"{"choices":[{"delta":{"content":"\\ud83d \ud83d"}}]}"#, "\\ud83d \u{fffd}");
    }

    #[test]
    fn only_an_object_is_a_chunk() {
        for json in [
            "\\",
            "\"\\",
            "[]",
            "[[]]",
            "7",
            "\"a\"",
            "null",
            "",
            "{",
            "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\u{c}",
        ] {
            assert_eq!(Chunk::parse(json), None, "{json}");
        }
        assert_eq!(Chunk::parse("{}"), Some(Chunk::default()));
    }

    #[test]
    fn the_common_chunk_is_not_copied() {
        let json = r#"{"id":"c","model":"a/b","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}"#;
        let chunk = Chunk::parse(json).unwrap();
        assert!(matches!(chunk.content, Cow::Borrowed("Hello")));
        assert!(matches!(chunk.model, Some(Cow::Borrowed("a/b"))));
    }

    #[test]
    fn arguments_may_be_a_value() {
        let call = |arguments: Value| {
            let call = json!({"index": "1", "id": "a", "function": {"name": "f", "arguments": arguments}});
            ToolCallDelta::from_value(&call).map(|call| (call.index, call.arguments.into_owned()))
        };
        assert_eq!(call(json!("{")), Some((Some(1), "{".to_owned())));
        assert_eq!(call(json!({"x": 1})), Some((Some(1), r#"{"x":1}"#.to_owned())));
        assert_eq!(call(Value::Null), Some((Some(1), String::new())));
        assert_eq!(ToolCallDelta::from_value(&Value::Null), None);
    }

    #[test]
    fn an_error_that_says_nothing_is_none() {
        let error =
            |error: Value| Chunk::parse(&json!({"error": error}).to_string()).and_then(|chunk| chunk.error);
        for nothing in [json!(null), json!(false), json!(""), json!({}), json!([]), json!(0)] {
            assert_eq!(error(nothing.clone()), None, "{nothing}");
        }
        assert_eq!(error(json!("bad")), Some(json!("bad")));
        assert_eq!(error(json!({"code": 5})), Some(json!({"code": 5})));
    }

    fn odd() -> impl Strategy<Value = Value> {
        let text = prop_oneof![Just(json!("")), Just(json!("a\"\\\n")), Just(json!("é😀")), Just(json!("7"))];
        let other = prop_oneof![Just(json!(null)), Just(json!(true)), Just(json!(7)), Just(json!(-1.5))];
        let nested = prop_oneof![
            Just(json!([])),
            Just(json!({})),
            Just(json!(["a", {"text": "b"}])),
            Just(json!({"a": 1}))
        ];
        prop_oneof![4 => text, 1 => other, 1 => nested]
    }

    fn object(keys: &'static [&'static str], value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
        let entry = (proptest::sample::select(keys), value);
        let entries = proptest::collection::vec(entry, 0..4);
        let object = entries
            .prop_map(|entries| entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        prop_oneof![8 => object, 1 => odd()].boxed()
    }

    fn chunks() -> impl Strategy<Value = Value> {
        let list = |of: BoxedStrategy<Value>| {
            let list = proptest::collection::vec(of, 0..3).prop_map(Value::Array);
            prop_oneof![8 => list, 1 => odd()].boxed()
        };
        let function = object(&["name", "arguments", "x"], odd().boxed());
        let call = object(&["index", "id", "function"], prop_oneof![odd(), function.clone()].boxed());
        let calls = list(call);
        let text = object(&["content", "reasoning", "reasoning_content", "refusal", "role"], odd().boxed());
        let called =
            object(&["content", "tool_calls", "function_call"], prop_oneof![odd(), calls, function].boxed());
        let delta = prop_oneof![text, called].boxed();
        let choice = object(
            &["delta", "message", "finish_reason", "index"],
            prop_oneof![2 => delta, 1 => odd()].boxed(),
        );
        let choices = list(choice);
        object(
            &["choices", "model", "usage", "cost", "error", "id"],
            prop_oneof![2 => choices, 1 => odd()].boxed(),
        )
    }

    proptest! {
        #[test]
        fn both_ways_to_read_a_chunk_agree(value in chunks()) {
            let json = value.to_string();
            prop_assert_eq!(Chunk::parse(&json), Chunk::from_value(&value));
        }
    }
}
