//! What is known of the messages of a session; made anew from them where a process begins.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use crate::body::{Message, Part, Role};
use crate::kind::{Call, ResultKind};
use crate::levers::repeat::{Hashed, Shelf};

type ByHash<T> = HashMap<u64, T, BuildHasherDefault<Hashed>>;

/// Everything that was learned, in the order of the messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) messages: Vec<Known>,
    pub(crate) texts: Vec<Fact>,
    pub(crate) shelf: Shelf,
    /// Texts that others refer to: they are not cut.
    pub(crate) pinned: HashSet<usize>,
    /// Names that the assistant used, with the message that used them first.
    pub(crate) named: ByHash<usize>,
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
    /// Bytes of the text as the client sent it, and of what stands there now.
    pub(crate) len: usize,
    pub(crate) now: usize,
    /// What stands there instead, as JSON.
    pub(crate) rendered: Option<Arc<[u8]>>,
    /// Something was lost.
    pub(crate) lossy: bool,
    /// Bytes that the next rule would take; computed once.
    pub(crate) offer: Option<usize>,
}

impl Memory {
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
            + self.shelf.weight()
    }
}
