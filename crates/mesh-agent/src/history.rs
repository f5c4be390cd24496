//! The conversation and its law: every tool call has exactly one result, no assistant message is empty.
//!
//! The law holds by type. A [`History`] only takes whole things: a user message, an answer with text, a note, or a
//! [`SealedBatch`], which can be had only from a [`Batch`] whose calls all have a result. Messages are encoded once, when
//! they enter, and never again: a request shares their bytes.

use mesh_client::wire::{Content, EncodedMessage, Message, Role, ToolCall};
use serde_json::Value;

/// What stands in for the result of a call that was cut off.
pub const INTERRUPTED: &str =
    "Interrupted before a result came back; it may have run in part. Run it again if it is still needed.";

/// A conversation that can always be sent.
#[derive(Clone, Debug)]
pub struct History {
    messages: Vec<EncodedMessage>,
}

impl History {
    /// A conversation that holds only its system prompt.
    pub fn new(system: &str) -> History {
        History { messages: vec![EncodedMessage::from(&Message::system(system))] }
    }

    /// The messages in order, the system prompt first.
    pub fn messages(&self) -> &[EncodedMessage] {
        &self.messages
    }

    /// Number of messages; a mark for [`History::truncate`].
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Nothing has been said yet.
    pub fn is_empty(&self) -> bool {
        self.messages.len() <= 1
    }

    /// Adds what the user said.
    pub fn push_user(&mut self, content: Content) {
        let message = Message { content: Some(content), ..Message::user("") };
        self.messages.push(EncodedMessage::from(&message));
    }

    /// Adds a note of ours to the model: a breadcrumb that stays in the conversation.
    pub fn push_note(&mut self, text: &str) {
        self.messages.push(EncodedMessage::from(&Message::system(text)));
    }

    /// Adds an answer without tool calls. A blank one is not added: some providers refuse every later request that holds
    /// an empty assistant message. Says whether it was added.
    pub fn push_answer(&mut self, text: &str) -> bool {
        let worth = !text.trim().is_empty();
        if worth {
            self.messages.push(EncodedMessage::from(&Message::assistant(text)));
        }
        worth
    }

    /// Adds a batch of calls with their results.
    pub fn push_batch(&mut self, batch: SealedBatch) {
        self.messages.extend(batch.messages.iter().map(EncodedMessage::from));
    }

    /// Goes back to an earlier length. A mark taken between two whole things keeps the law.
    pub fn truncate(&mut self, mark: usize) {
        self.messages.truncate(mark.max(1));
    }

    /// Replaces the system prompt.
    pub fn set_system(&mut self, system: &str) {
        self.messages[0] = EncodedMessage::from(&Message::system(system));
    }
}

/// The calls of one reply while their results come in.
#[derive(Clone, Debug)]
pub struct Batch {
    text: Option<String>,
    calls: Vec<ToolCall>,
    results: Vec<Option<String>>,
}

impl Batch {
    /// Opens a batch. Text that the model wrote next to its calls is kept (D-7). The calls' arguments must be valid JSON
    /// objects; ids that repeat within the batch are told apart, since a result names its call by id alone.
    pub fn open(text: &str, mut calls: Vec<ToolCall>) -> Batch {
        for i in 1..calls.len() {
            let (before, rest) = calls.split_at_mut(i);
            let id = &mut rest[0].id;
            while before.iter().any(|c| c.id == *id) {
                id.push_str(&format!("_{i}"));
            }
        }
        let text = Some(text.to_owned()).filter(|t| !t.trim().is_empty());
        let results = vec![None; calls.len()];
        Batch { text, calls, results }
    }

    /// The calls in the order in which the model made them.
    pub fn calls(&self) -> &[ToolCall] {
        &self.calls
    }

    /// The first call without a result.
    pub fn next_open(&self) -> Option<usize> {
        self.results.iter().position(Option::is_none)
    }

    /// Number of calls that have a result.
    pub fn answered(&self) -> usize {
        self.results.iter().flatten().count()
    }

    /// Gives a call its result. The first result stays.
    pub fn answer(&mut self, index: usize, text: String) {
        if let Some(slot @ None) = self.results.get_mut(index) {
            *slot = Some(text);
        }
    }

    /// Closes the batch; calls without a result get `stub`.
    pub fn seal(self, stub: &str) -> SealedBatch {
        let results = self.calls.iter().zip(&self.results);
        let results: Vec<Message> = results
            .map(|(call, text)| Message::tool_result(&call.id, text.as_deref().unwrap_or(stub)))
            .collect();
        let mut messages = vec![Message::assistant_calls(self.text, self.calls)];
        messages.extend(results);
        SealedBatch { messages }
    }
}

/// A reply with tool calls, and a result for each.
#[derive(Clone, Debug)]
pub struct SealedBatch {
    messages: Vec<Message>,
}

/// What [`seal_messages`] found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Stubs that were added.
    pub added: usize,
    /// Tool results since the last user message, stubs included.
    pub completed: usize,
}

/// Mends the end of a list of messages that came from outside: calls of the trailing batch that have no result get a stub.
pub fn seal_messages(messages: &mut Vec<Message>, stub: &str) -> Sealed {
    let is_call = |m: &Message| m.role == Role::Assistant && !m.tool_calls.is_empty();
    let tail = messages.iter().rposition(|m| m.role != Role::Tool).filter(|&i| is_call(&messages[i]));
    let mut added = 0;
    if let Some(at) = tail {
        let answered: Vec<&str> =
            messages[at + 1..].iter().filter_map(|m| m.tool_call_id.as_deref()).collect();
        let open: Vec<Message> = messages[at]
            .tool_calls
            .iter()
            .filter(|call| !call.id.is_empty() && !answered.contains(&call.id.as_str()))
            .map(|call| Message::tool_result(&call.id, stub))
            .collect();
        added = open.len();
        messages.extend(open);
    }
    let turn = messages.iter().rposition(|m| m.role == Role::User).map_or(0, |i| i + 1);
    let completed = messages[turn..].iter().filter(|m| m.role == Role::Tool).count();
    Sealed { added, completed }
}

/// Is this text a JSON object? The gate for arguments that enter a history.
pub fn is_json_object(text: &str) -> bool {
    matches!(serde_json::from_str::<Value>(text), Ok(Value::Object(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into() }
    }

    fn roles(history: &History) -> Vec<Role> {
        history.messages().iter().map(|m| m.decode().unwrap().role).collect()
    }

    #[test]
    fn a_sealed_batch_answers_every_call_in_order() {
        let mut batch = Batch::open("let me look", vec![call("a"), call("b"), call("b")]);
        batch.answer(1, "second".into());
        assert_eq!(batch.next_open(), Some(0));
        let mut history = History::new("s");
        history.push_batch(batch.seal(INTERRUPTED));
        assert_eq!(roles(&history), [Role::System, Role::Assistant, Role::Tool, Role::Tool, Role::Tool]);
        let results: Vec<Message> = history.messages()[2..].iter().map(|m| m.decode().unwrap()).collect();
        let ids: Vec<_> = results.iter().map(|m| m.tool_call_id.clone().unwrap()).collect();
        assert_eq!(ids, ["a", "b", "b_2"]);
        assert_eq!(results[0].content, Some(Content::Text(INTERRUPTED.into())));
        assert_eq!(results[1].content, Some(Content::Text("second".into())));
    }

    #[test]
    fn blank_answers_are_not_kept() {
        let mut history = History::new("s");
        assert!(!history.push_answer(" \n"));
        assert!(history.push_answer("x"));
        assert_eq!(history.len(), 2);
    }

    #[test]
    fn truncate_never_loses_the_system_prompt() {
        let mut history = History::new("s");
        history.truncate(0);
        assert_eq!(history.len(), 1);
    }
}
