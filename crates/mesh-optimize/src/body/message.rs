//! One message: its role, the texts inside it that may be worked on, and the place where a breakpoint may go.

use xxhash_rust::xxh3::xxh3_64;

use crate::json::{self, Span};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `system` or `developer`.
    System,
    /// `user` with at least one part that is not a tool result.
    User,
    /// `assistant`.
    Assistant,
    /// `tool`, or a user message of nothing but tool results.
    Results,
    /// Anything else.
    Unknown,
}

/// What a text inside a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Words of the system, a user or the assistant.
    Words,
    /// The arguments of a call, with the hash of its id.
    Call(u64),
    /// What a tool gave back, with the hash of the call's id.
    Result(u64),
}

/// How a text stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A JSON string.
    Literal,
    /// JSON itself: the `input` of a `tool_use` part.
    Json,
}

/// A text inside a message. Places count from the first byte of the message.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) part: Part,
    pub(crate) form: Form,
    pub(crate) span: Span,
    /// The name of the called tool.
    pub(crate) name: Option<String>,
}

/// Where the breakpoint of a message goes. Places count from the first byte of the message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Site {
    /// The content is a string: it becomes a list of one part.
    Content(Span),
    /// In front of the closing brace of a content part.
    Part(usize),
    /// In front of the closing brace of the message: it has calls and no content.
    Message(usize),
}

/// What was found in a message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) role: Role,
    pub(crate) texts: Vec<Text>,
    /// Content blocks as a provider counts them.
    pub(crate) blocks: usize,
    /// How many breakpoints of the client's are in it.
    pub(crate) marks: usize,
    pub(crate) site: Option<Site>,
}

impl Message {
    /// Looks through the message in `bytes`: an object, or the items of one reply of the responses API with commas between.
    pub(crate) fn read(bytes: &[u8]) -> Message {
        let mut found = Message { role: Role::Unknown, texts: Vec::new(), blocks: 0, marks: 0, site: None };
        let mut at = 0;
        while let Some(end) = found.object(bytes, at) {
            at = json::skip_space(bytes, end);
            if bytes.get(at) != Some(&b',') {
                break;
            }
            at = json::skip_space(bytes, at + 1);
        }
        found.blocks = found.blocks.max(1);
        found
    }

    /// Looks through the object at `at`; returns where it ends.
    fn object(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let (mut content, mut calls, mut call_id) = (None, None, None);
        let (mut item, mut is_item) = (Item::default(), true);
        let mut walk = json::members(bytes, at);
        for (key, value) in walk.by_ref().flatten() {
            match &bytes[key] {
                b"\"role\"" => (self.role, is_item) = (role(&bytes[value]), false),
                b"\"content\"" => content = Some(value),
                b"\"tool_calls\"" => calls = Some(value),
                b"\"tool_call_id\"" => call_id = Some(xxh3_64(&bytes[value])),
                b"\"cache_control\"" => self.marks += usize::from(&bytes[value] != b"null"),
                b"\"type\"" => item.kind = Some(value),
                b"\"call_id\"" => item.call_id = xxh3_64(&bytes[value]),
                b"\"name\"" => item.name = Some(value),
                b"\"arguments\"" | b"\"input\"" => item.call = Some(value),
                b"\"output\"" => item.output = Some(value),
                _ => {}
            }
        }
        match item.kind.as_ref().map(|kind| &bytes[kind.clone()]) {
            Some(kind) if is_item => self.item(bytes, &item, is_output(kind)),
            _ => {
                let part =
                    if self.role == Role::Results { Part::Result(call_id.unwrap_or(0)) } else { Part::Words };
                if let Some(content) = content {
                    self.content(bytes, content, part);
                }
                if let Some(calls) = calls {
                    self.calls(bytes, calls);
                }
            }
        }
        (walk.position() > at).then(|| walk.position())
    }

    /// An item of the responses API that is no message: a call, what it gave back, a thought.
    fn item(&mut self, bytes: &[u8], item: &Item, is_output: bool) {
        self.blocks += 1;
        if is_output {
            self.role = Role::Results;
            self.result(bytes, item.output.clone(), item.call_id);
            return;
        }
        self.role = Role::Assistant;
        if let Some(span) = item.call.clone().filter(|span| bytes[span.start] == b'"' && span.len() > 2) {
            let name = item.name.clone().and_then(|name| json::decode(bytes, name));
            let name = name.map(|name| name.text.into_owned());
            self.texts.push(Text { part: Part::Call(item.call_id), form: Form::Literal, span, name });
        }
    }

    fn content(&mut self, bytes: &[u8], content: Span, part: Part) {
        match bytes[content.start] {
            b'"' if content.len() > 2 => {
                self.blocks += 1;
                self.site = Some(Site::Content(content.clone()));
                self.texts.push(Text { part, form: Form::Literal, span: content, name: None });
            }
            b'[' => {
                let parts = json::elements(bytes, content.start).unwrap_or_default();
                let mut results = 0;
                for span in &parts {
                    results += usize::from(self.part(bytes, span.clone(), part));
                }
                if self.role == Role::User && results > 0 && results == parts.len() {
                    self.role = Role::Results;
                }
            }
            _ => {}
        }
    }

    /// Looks through a content part; says whether it is a tool result.
    fn part(&mut self, bytes: &[u8], span: Span, part: Part) -> bool {
        self.blocks += 1;
        let (mut kind, mut text, mut input, mut inner, mut id, mut call_id, mut name) =
            (None, None, None, None, 0, 0, None);
        for (key, value) in json::members(bytes, span.start).flatten() {
            match &bytes[key] {
                b"\"type\"" => kind = Some(&bytes[value]),
                b"\"text\"" => text = Some(value),
                b"\"input\"" => input = Some(value),
                b"\"content\"" => inner = Some(value),
                b"\"id\"" => id = xxh3_64(&bytes[value]),
                b"\"tool_use_id\"" => call_id = xxh3_64(&bytes[value]),
                b"\"name\"" => name = json::decode(bytes, value).map(|name| name.text.into_owned()),
                b"\"cache_control\"" => self.marks += usize::from(&bytes[value] != b"null"),
                _ => {}
            }
        }
        let literal = |span: &Span| bytes[span.start] == b'"' && span.len() > 2;
        let mut markable = bytes[span.start] == b'{';
        match kind {
            Some(b"\"text\"" | b"\"input_text\"" | b"\"output_text\"") => match text.filter(literal) {
                Some(text) => self.texts.push(Text { part, form: Form::Literal, span: text, name: None }),
                None => markable = false,
            },
            Some(b"\"tool_use\"") => {
                if let Some(input) = input.filter(|span| bytes[span.start] == b'{') {
                    self.texts.push(Text { part: Part::Call(id), form: Form::Json, span: input, name });
                }
            }
            Some(b"\"tool_result\"") => self.result(bytes, inner, call_id),
            Some(b"\"thinking\"" | b"\"redacted_thinking\"") => markable = false,
            _ => {}
        }
        if markable {
            self.site = Some(Site::Part(span.end - 1));
        }
        kind == Some(b"\"tool_result\"")
    }

    fn result(&mut self, bytes: &[u8], inner: Option<Span>, call_id: u64) {
        let Some(inner) = inner else { return };
        let mut push = |span: Span| {
            if bytes[span.start] == b'"' && span.len() > 2 {
                self.texts.push(Text { part: Part::Result(call_id), form: Form::Literal, span, name: None });
            }
        };
        match bytes[inner.start] {
            b'[' => {
                for part in json::elements(bytes, inner.start).unwrap_or_default() {
                    for (key, value) in json::members(bytes, part.start).flatten() {
                        match &bytes[key] {
                            b"\"text\"" => push(value),
                            b"\"cache_control\"" => self.marks += usize::from(&bytes[value] != b"null"),
                            _ => {}
                        }
                    }
                }
            }
            _ => push(inner),
        }
    }

    fn calls(&mut self, bytes: &[u8], calls: Span) {
        let Ok(calls) = json::elements(bytes, calls.start) else { return };
        for call in &calls {
            self.blocks += 1;
            let (mut id, mut name, mut arguments) = (0, None, None);
            for (key, value) in json::members(bytes, call.start).flatten() {
                match &bytes[key] {
                    b"\"id\"" => id = xxh3_64(&bytes[value]),
                    b"\"function\"" => {
                        for (key, value) in json::members(bytes, value.start).flatten() {
                            match &bytes[key] {
                                b"\"name\"" => {
                                    name = json::decode(bytes, value).map(|name| name.text.into_owned())
                                }
                                b"\"arguments\"" => arguments = Some(value),
                                _ => {}
                            }
                        }
                    }
                    _ => {}
                }
            }
            if let Some(span) = arguments.filter(|span| bytes[span.start] == b'"' && span.len() > 2) {
                self.texts.push(Text { part: Part::Call(id), form: Form::Literal, span, name });
            }
        }
        if self.site.is_none() && !calls.is_empty() {
            self.site = Some(Site::Message(bytes.len() - 1));
        }
    }
}

/// The fields of an item of the responses API.
#[derive(Default)]
struct Item {
    kind: Option<Span>,
    call_id: u64,
    name: Option<Span>,
    call: Option<Span>,
    output: Option<Span>,
}

/// Whether an item of this kind is what a call gave back (`function_call_output` and its like).
fn is_output(kind: &[u8]) -> bool {
    kind.ends_with(b"_output\"")
}

/// Whether an item of the responses API is a part of a reply of the model.
pub(crate) fn is_of_reply(item: &[u8]) -> bool {
    let mut is_message = true;
    for (key, value) in json::members(item, 0).flatten() {
        match (&item[key], &item[value]) {
            (b"\"role\"", speaker) => return speaker == b"\"assistant\"",
            (b"\"type\"", kind) => is_message = kind == b"\"message\"" || is_output(kind),
            _ => {}
        }
    }
    !is_message
}

fn role(raw: &[u8]) -> Role {
    match raw {
        b"\"system\"" | b"\"developer\"" => Role::System,
        b"\"user\"" => Role::User,
        b"\"assistant\"" => Role::Assistant,
        b"\"tool\"" | b"\"function\"" => Role::Results,
        _ => Role::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Message {
        Message::read(text.as_bytes())
    }

    #[test]
    fn both_shapes_give_the_same_parts() {
        let chat = read(
            r#"{"role":"assistant","content":"hm","tool_calls":[{"id":"a","type":"function","function":{"name":"ls","arguments":"{}"}}]}"#,
        );
        let anthropic = read(
            r#"{"role":"assistant","content":[{"type":"text","text":"hm"},{"type":"tool_use","id":"a","name":"ls","input":{"x":1}}]}"#,
        );
        for message in [&chat, &anthropic] {
            assert_eq!((message.role, message.blocks, message.texts.len()), (Role::Assistant, 2, 2));
            assert_eq!(message.texts[1].part, Part::Call(xxh3_64(b"\"a\"")));
            assert_eq!(message.texts[1].name.as_deref(), Some("ls"));
        }
        let tool = read(r#"{"role":"tool","tool_call_id":"a","content":"out"}"#);
        let result = read(
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"out"}]}]}"#,
        );
        for message in [&tool, &result] {
            assert_eq!(
                (message.role, message.texts[0].part),
                (Role::Results, Part::Result(xxh3_64(b"\"a\"")))
            );
        }
    }

    #[test]
    fn items_give_the_same_parts() {
        let reply = read(
            r#"{"type":"reasoning","summary":[]}, {"type":"message","role":"assistant","content":[{"type":"output_text","text":"hm"}]},{"type":"function_call","id":"f","call_id":"a","name":"ls","arguments":"{}"}
               ,{"type":"custom_tool_call","call_id":"b","name":"patch","input":"x"}"#,
        );
        assert_eq!((reply.role, reply.blocks, reply.texts.len()), (Role::Assistant, 4, 3));
        assert_eq!(reply.texts[1].part, Part::Call(xxh3_64(b"\"a\"")));
        assert_eq!(reply.texts[2].part, Part::Call(xxh3_64(b"\"b\"")));
        assert_eq!(reply.texts[2].name.as_deref(), Some("patch"));
        for output in [r#""out""#, r#"[{"type":"input_text","text":"out"}]"#] {
            let result =
                read(&format!(r#"{{"type":"function_call_output","call_id":"a","output":{output}}}"#));
            assert_eq!((result.role, result.texts.len()), (Role::Results, 1));
            assert_eq!(result.texts[0].part, Part::Result(xxh3_64(b"\"a\"")));
        }
    }

    #[test]
    fn marks_go_where_a_provider_takes_them() {
        assert!(matches!(read(r#"{"role":"user","content":"x"}"#).site, Some(Site::Content(_))));
        assert!(matches!(
            read(r#"{"role":"user","content":[{"type":"text","text":"x"}]}"#).site,
            Some(Site::Part(_))
        ));
        assert_eq!(read(r#"{"role":"user","content":""}"#).site, None);
        assert_eq!(read(r#"{"role":"assistant","content":[{"type":"thinking","thinking":"x"}]}"#).site, None);
        assert!(matches!(
            read(r#"{"role":"assistant","content":null,"tool_calls":[{"id":"a"}]}"#).site,
            Some(Site::Message(_))
        ));
        assert!(read(r#"{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}"#).marks == 1);
        assert_eq!(read(r#"{"role":"user","content":"x","cache_control":null}"#).marks, 0);
    }

    #[test]
    fn wrong_types_are_passed_over() {
        for odd in [
            "{}",
            r#"{"role":7,"content":5}"#,
            r#"{"role":"tool","content":{"a":[]},"tool_calls":3}"#,
            r#"{"content":[1,[2],{"type":3}]}"#,
        ] {
            assert!(read(odd).texts.is_empty(), "{odd}");
        }
    }
}
