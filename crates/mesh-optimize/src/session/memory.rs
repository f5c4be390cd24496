//! What is known of the messages of a session; made anew from them where a process begins.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::ops::Range;
use std::sync::Arc;

use crate::body::{Message, Part, Role};
use crate::kind::{Call, ResultKind};
use crate::levers::repeat::{Hashed, Shelf};

type ByHash<T> = HashMap<u64, T, BuildHasherDefault<Hashed>>;

/// Bytes of a token, where a text cannot be looked at: 2.77 characters, counted on recorded Claude sessions (section 7).
pub(crate) const BYTES_PER_TOKEN: f64 = 2.77;

/// So many names are remembered: what a hash table of 2^19 places holds, 4.7 MB. A text of so many different names is longer than
/// any model's window (two million tokens are about 6 MB, and a name takes ten bytes at least with what stands around it).
pub(crate) const NAMES: usize = (1 << 19) / 8 * 7;

/// No one text is the home of a name.
pub(crate) const MANY: u32 = u32::MAX;

/// Everything that was learned, in the order of the messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) messages: Vec<Known>,
    pub(crate) texts: Vec<Fact>,
    /// Running sums over the messages: tokens as the client sent them, tokens as they stand there now, content blocks.
    pub(crate) whole: Vec<f64>,
    pub(crate) sent: Vec<f64>,
    pub(crate) blocks: Vec<usize>,
    pub(crate) shelf: Shelf,
    /// Lines that other texts refer to, by text: number of the first, from 1, and how many. They stay.
    pub(crate) pinned: HashMap<usize, Vec<(usize, usize)>>,
    /// Names that the assistant used, with the message that used them first.
    pub(crate) named: ByHash<usize>,
    /// The one result or call that a name stands in, by the low half of the name's hash; [`MANY`] where several results hold it.
    pub(crate) homes: HashMap<u32, u32, BuildHasherDefault<Hashed>>,
    /// Calls by the hash of their id.
    pub(crate) calls: ByHash<Call>,
    /// The last message that read or changed a file, by the hash of its path.
    pub(crate) touched: ByHash<usize>,
}

/// A message that was learned.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) message: Message,
    /// Replies of the assistant in front of it.
    pub(crate) replies: usize,
    /// Its first text.
    pub(crate) texts: usize,
}

/// A text that was learned.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) message: usize,
    /// Which of the message's texts.
    pub(crate) index: usize,
    pub(crate) part: Part,
    /// For a result and for arguments: what the call is about.
    pub(crate) kind: ResultKind,
    pub(crate) path: Option<u64>,
    /// Bytes of what stands there now.
    pub(crate) now: usize,
    /// Tokens (estimated) of the text as the client sent it, and of what stands there now.
    pub(crate) whole: f64,
    pub(crate) sent: f64,
    /// What stands there instead, as JSON.
    pub(crate) rendered: Option<Arc<[u8]>>,
    /// The last reply that used a name which only this text holds; its own message before that.
    pub(crate) used: usize,
    /// Something was lost.
    pub(crate) lossy: bool,
    /// Tokens (estimated) that the next rule would take; computed once.
    pub(crate) offer: Option<f64>,
}

impl Memory {
    /// Makes the running sums anew from message `from` on.
    pub(crate) fn sum_up(&mut self, from: usize) {
        let count = self.messages.len();
        self.whole.truncate(from);
        self.sent.truncate(from);
        self.blocks.truncate(from);
        for message in from..count {
            let texts = &self.texts[self.texts_in(message, message + 1)];
            let (whole, sent) =
                texts.iter().fold((0.0, 0.0), |(whole, sent), fact| (whole + fact.whole, sent + fact.sent));
            self.whole.push(self.whole.last().unwrap_or(&0.0) + whole);
            self.sent.push(self.sent.last().unwrap_or(&0.0) + sent);
            self.blocks.push(self.blocks.last().unwrap_or(&0) + self.messages[message].message.blocks);
        }
    }

    /// Returns the tokens of the first `count` messages as they stand there now.
    pub(crate) fn sent_to(&self, count: usize) -> f64 {
        count.checked_sub(1).and_then(|last| self.sent.get(last)).copied().unwrap_or(0.0)
    }

    /// Returns the numbers of the texts in messages `from` to `until`.
    pub(crate) fn texts_in(&self, from: usize, until: usize) -> Range<usize> {
        let start = |message: usize| self.messages.get(message).map_or(self.texts.len(), |known| known.texts);
        start(from)..start(until.max(from))
    }

    /// Returns how many replies stand in the first `count` messages.
    pub(crate) fn replies_before(&self, count: usize) -> usize {
        self.messages.get(count).map_or_else(|| self.replies(), |known| known.replies)
    }

    /// Returns the tokens (estimated) that the edits in force keep out of the request.
    pub(crate) fn tokens_cut(&self) -> f64 {
        self.whole.last().unwrap_or(&0.0) - self.sent.last().unwrap_or(&0.0)
    }

    /// Returns how many replies of the assistant there are.
    pub(crate) fn replies(&self) -> usize {
        self.messages
            .last()
            .map_or(0, |known| known.replies + usize::from(known.message.role == Role::Assistant))
    }

    /// The name of a text under which it can be read again: `r` and the number of its message, from 0; where a message holds
    /// several texts of its kind, a dot and which of them, from 1.
    pub(crate) fn name(&self, fact: &Fact) -> String {
        let known = &self.messages[fact.message];
        let kind = std::mem::discriminant(&fact.part);
        let same = |text: &&crate::body::Text| std::mem::discriminant(&text.part) == kind;
        if known.message.texts.iter().filter(same).count() < 2 {
            return format!("r{}", fact.message);
        }
        let which = known.message.texts[..=fact.index].iter().filter(same).count();
        format!("r{}.{which}", fact.message)
    }

    pub(crate) fn weight(&self) -> usize {
        let rendered: usize =
            self.texts.iter().filter_map(|fact| fact.rendered.as_ref()).map(|rendered| rendered.len()).sum();
        rendered
            + self.texts.len() * 160
            + self.messages.len() * 160
            + self.named.len() * 24
            + self.homes.capacity() * 10
            + self.shelf.weight()
    }
}
