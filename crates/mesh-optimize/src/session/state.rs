//! What is saved of a session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::memory::Memory;
use crate::edit::Edit;
use crate::ledger::Native;
use crate::levers::repeat::Run;
use crate::receipt::{Sum, Tally};

/// The version of the saved form; another one is not read.
const VERSION: u32 = 1;

/// What an optimiser remembers of one session, from request to request.
///
/// It holds no text of the conversation: hashes, places and the notes that stand instead of what was cut. Save it with the session
/// (it is `Serialize` and `Deserialize`, some ten bytes a message); without it the decisions are made again from the messages alone.
///
/// ```
/// use mesh_optimize::SessionState;
///
/// let state = SessionState::default();
/// let saved = serde_json::to_string(&state)?;
/// let again: SessionState = serde_json::from_str(&saved)?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SessionState {
    pub(crate) saved: Saved,
    pub(crate) memory: Memory,
}

/// The saved part of a session's state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Saved {
    version: u32,
    /// Length and hash of each message of the last request, its transient tail left out.
    pub(crate) seen: Vec<(usize, u64)>,
    /// What stands instead of a text, by the number of the text.
    pub(crate) frozen: BTreeMap<usize, Frozen>,
    /// Messages whose end is a place in the provider's cache, and when it was last used.
    pub(crate) alive: BTreeMap<usize, Use>,
    /// Texts of messages before this one were judged not worth a rewrite.
    pub(crate) floor: usize,
    /// Messages of the last request that was decided on.
    pub(crate) decided: usize,
    /// The cache that the client would have without us.
    pub(crate) native: Native,
    /// What the requests cost, and what that is less than without us, as reckoned; in plain input tokens.
    pub(crate) paid: f64,
    pub(crate) gained: f64,
    /// What the settled requests cost and saved.
    pub(crate) tally: Tally,
    /// When the last request was made, in seconds of the caller's clock.
    pub(crate) last: Option<f64>,
    /// Hash of what stands in front of the messages: model, tools, system, thinking.
    pub(crate) head: u64,
    /// The model that answers instead of the one asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) routed: Option<String>,
    /// Whether the client replaces its last message in every request.
    #[serde(default)]
    pub(crate) watch: Watch,
    /// So many lines of the caller's notes stand behind the system prompt.
    #[serde(default)]
    pub(crate) notes: usize,
    /// The provider's tokens for one estimated token of a whole request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) heavier: Option<f64>,
}

/// What is known of the last message of the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// So many requests in a row replaced it.
    pub(crate) replaced: u32,
    /// Length and hash of the last one.
    pub(crate) last: Option<(usize, u64)>,
}

/// When a place of the cache was last used: by the clock, and by the number of messages of that request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Use(pub(crate) f64, pub(crate) usize);

/// What stands instead of a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Frozen {
    pub(crate) edit: Edit,
    /// Something was lost; nothing refers to this text as a place where lines stand whole.
    pub(crate) lossy: bool,
    /// It went because the window was nearly full.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) fold: bool,
    /// The runs of lines that were named at birth, for each string of the text: another process must not find others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) runs: Vec<Vec<Run>>,
}

impl Serialize for SessionState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Saved { version: VERSION, ..self.saved.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SessionState {
    /// A state of another version reads as an empty one: decisions are then made again from the messages.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<SessionState, D::Error> {
        let saved = Saved::deserialize(deserializer)?;
        let saved = if saved.version == VERSION { saved } else { Saved::default() };
        Ok(SessionState { saved, memory: Memory::default() })
    }
}

impl SessionState {
    /// Returns how many messages of the session are known.
    pub fn messages(&self) -> usize {
        self.saved.seen.len()
    }

    /// Returns the sums over the session's settled requests.
    pub fn sum(&self) -> Sum {
        self.saved.tally.sum
    }

    /// Lets go of what can be learned again from the messages; the next request of the session takes longer for it, and is the same.
    pub fn rest(&mut self) {
        self.memory = Memory::default();
    }

    /// Returns how many bytes the memory of this state takes at least, for a caller that bounds many of them.
    pub fn weight(&self) -> usize {
        self.memory.weight() + self.saved.seen.len() * 16
    }
}
