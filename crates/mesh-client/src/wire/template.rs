//! A short cut through the chunks of a stream, which differ in one string only.
//!
//! A chunk is head, string, tail. Where head and tail are byte for byte those of a chunk that was parsed before, and what lies
//! between them is one JSON string, the grammar leaves no other reading: the chunk says the same, with another string in that place.
//! So [`Template::read`] gives what [`Chunk::parse`] would give, or nothing.
use super::chunk::{Chunk, Text, ToolCallDelta};
use std::borrow::Cow;
use std::ops::Range;

/// The last chunk whose only news was one string.
#[derive(Debug, Default)]
pub(crate) struct Template {
    /// Up to the opening quote of the string, that one included; empty while there is no template.
    head: Vec<u8>,
    /// From the closing quote on.
    tail: Vec<u8>,
    /// Where in the head the model stands.
    model: Option<Range<usize>>,
    slot: Slot,
}

/// Where the string belongs.
#[derive(Clone, Copy, Debug, Default)]
enum Slot {
    #[default]
    Content,
    Reasoning,
    /// The arguments of a call that only an index names.
    Arguments(Option<i64>),
}

impl Template {
    /// Reads a chunk that is like the last one; `None` when it is not, or cannot be read that way.
    pub(crate) fn read<'a>(&self, json: &'a str) -> Option<Chunk<'a>> {
        let rest = json.as_bytes().strip_prefix(self.head.as_slice())?;
        rest.strip_suffix(self.tail.as_slice())?;
        // With the quotes. No template, no first quote: then the range is empty or begins elsewhere, and this is no string.
        let literal =
            json.get(self.head.len().checked_sub(1)?..(json.len() - self.tail.len()).checked_add(1)?)?;
        let Text(text) = serde_json::from_str(literal).ok()?;
        // An empty `reasoning_content` would let `reasoning` speak.
        if text.is_empty() {
            return None;
        }
        let model = match &self.model {
            Some(range) => Some(Cow::Borrowed(json.get(range.clone())?)),
            None => None,
        };
        let chunk = Chunk { model, ..Chunk::default() };
        Some(match self.slot {
            Slot::Content => Chunk { content: text, ..chunk },
            Slot::Reasoning => Chunk { reasoning: text, ..chunk },
            Slot::Arguments(index) => {
                let call = ToolCallDelta { index, arguments: text, ..ToolCallDelta::default() };
                Chunk { tool_calls: vec![call], ..chunk }
            }
        })
    }

    /// Takes a chunk that was parsed from this text as the template, if it is fit for one; else keeps the one that it has.
    pub(crate) fn learn(&mut self, json: &str, chunk: &Chunk<'_>) {
        let Some((slot, text)) = news(chunk) else { return };
        let Some(text) = place(json, text) else { return };
        let model = match &chunk.model {
            Some(model) => match place(json, model).filter(|model| model.end < text.start) {
                Some(model) => Some(model),
                None => return,
            },
            None => None,
        };
        let (head, tail) = (&json.as_bytes()[..text.start], &json.as_bytes()[text.end..]);
        if !head.ends_with(b"\"") || !tail.starts_with(b"\"") {
            return;
        }
        self.head.clear();
        self.head.extend_from_slice(head);
        self.tail.clear();
        self.tail.extend_from_slice(tail);
        (self.model, self.slot) = (model, slot);
    }
}

/// The one string that a chunk adds, when it adds nothing else.
fn news<'c>(chunk: &'c Chunk<'_>) -> Option<(Slot, &'c str)> {
    let Chunk {
        content,
        reasoning,
        refusal,
        tool_calls,
        is_message,
        finish_reason,
        model: _,
        usage,
        cost,
        error,
    } = chunk;
    let has_more = *is_message
        || !refusal.is_empty()
        || finish_reason.is_some()
        || usage.is_some()
        || cost.is_some()
        || error.is_some();
    if has_more {
        return None;
    }
    match (content.is_empty(), reasoning.is_empty(), tool_calls.as_slice()) {
        (false, true, []) => Some((Slot::Content, content)),
        (true, false, []) => Some((Slot::Reasoning, reasoning)),
        (true, true, [call]) if call.id.is_empty() && call.name.is_empty() && !call.arguments.is_empty() => {
            Some((Slot::Arguments(call.index), &call.arguments))
        }
        _ => None,
    }
}

/// Where in the text a string stands; `None` for one that does not borrow from it.
fn place(json: &str, text: &str) -> Option<Range<usize>> {
    let start = text.as_ptr().addr().checked_sub(json.as_ptr().addr())?;
    let end = start.checked_add(text.len())?;
    (end <= json.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads each text through one template, the way a stream is read, and says which were read without a parse.
    fn read_all(texts: &[String]) -> Vec<bool> {
        let mut template = Template::default();
        let mut by_template = Vec::new();
        for json in texts {
            let parsed = Chunk::parse(json);
            let short = template.read(json);
            by_template.push(short.is_some());
            if let Some(short) = short {
                assert_eq!(Some(short), parsed, "{json}");
            } else if let Some(chunk) = &parsed {
                template.learn(json, chunk);
            }
        }
        by_template
    }

    #[track_caller]
    fn check(texts: &[&str], want: &[bool]) {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(read_all(&texts), want, "{texts:?}");
    }

    fn with(delta: &str) -> String {
        format!(
            r#"{{"id":"c","model":"a/b","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#
        )
    }

    #[test]
    fn the_second_of_a_kind_is_read_without_a_parse() {
        for (first, second) in [
            (r#"{"content":"Hel"}"#, r#"{"content":"lo"}"#),
            (r#"{"content":"Hel"}"#, r#"{"content":"\n\"\u00e9\ud83d\ude00\""}"#),
            (r#"{"content":"","reasoning_content":"a"}"#, r#"{"content":"","reasoning_content":"b"}"#),
            (r#"{"reasoning":"a"}"#, r#"{"reasoning":"b"}"#),
            (
                r#"{"tool_calls":[{"index":1,"function":{"arguments":"abc"}}]}"#,
                r#"{"tool_calls":[{"index":1,"function":{"arguments":"\"d"}}]}"#,
            ),
        ] {
            check(&[&with(first), &with(second)], &[false, true]);
        }
    }

    #[test]
    fn any_other_difference_is_parsed() {
        let text = |text: &str| with(&format!(r#"{{"content":"{text}"}}"#));
        let first = text("a");
        for other in [
            first.replace("a/b", "a/c"),
            first.replace("null", "\"stop\""),
            first.replace("\"finish_reason\"", "\"usage\":{},\"finish_reason\""),
            text(""),
            text("\\ud83d"),
            text("\\x"),
            text("a\nb"),
            text(r#"a","content":"b"#),
            text(r#"a"},"message":{"content":"b"#),
            first[..first.len() - 1].to_owned(),
            first.replace("\"a\"", "\""),
            String::new(),
        ] {
            check(&[&first, &other], &[false, false]);
        }
    }

    #[test]
    fn what_says_more_than_one_string_is_no_template() {
        for first in [
            with(r#"{"content":"a","reasoning":"b"}"#),
            with(r#"{"content":"a","refusal":"b"}"#),
            with(r#"{"tool_calls":[{"index":0,"id":"x","function":{"arguments":"a"}}]}"#),
            with(r#"{"tool_calls":[{"function":{"arguments":"a"}},{"function":{"arguments":"a"}}]}"#),
            with(r#"{"content":"a"}"#).replace("\"id\"", "\"cost\":1,\"id\""),
            with(r#"{"content":"a"}"#).replace("delta", "message"),
            r#"{"choices":[{"delta":{"content":"a"}}],"model":"a/b"}"#.to_owned(),
            with(r#"{"content":"\n"}"#),
        ] {
            check(&[&first, &first], &[false, false]);
        }
    }

    proptest! {
        /// The law of the file, on texts that are often alike but for a piece.
        #[test]
        fn a_template_gives_what_a_parse_gives(
            deltas in proptest::collection::vec(
                (0..6_usize, "(a|\\\\n|\\\\\"|\\\\ud83d|\\\\ude00|\\\\u0041|\"|,|:|\\{|\\}|content|\\\\|é|\u{1}| )*", 0..4_usize),
                1..12,
            )
        ) {
            let keys = ["content", "reasoning", "reasoning_content", "refusal", "content\":\"x\",\"reasoning", "role"];
            let texts: Vec<String> = deltas
                .iter()
                .map(|(key, text, form)| {
                    let delta = format!(r#"{{"{}":"{text}"}}"#, keys[*key]);
                    match form {
                        0 => with(&delta).replace("a/b", "a/c"),
                        1 => format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{key},"function":{{"arguments":"{text}"}}}}]}}}}]}}"#),
                        _ => with(&delta),
                    }
                })
                .collect();
            read_all(&texts);
        }
    }
}
