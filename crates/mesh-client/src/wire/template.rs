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
