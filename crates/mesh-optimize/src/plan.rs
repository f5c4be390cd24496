//! What was done to one request, and why.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::body::Unreadable;
use crate::dial::Dial;
use crate::ledger::Split;
use crate::provider::Provider;
use crate::request::{Advice, Setting};

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untouched {
    /// The dial is at 0.
    Off,
    /// The session is one of those that go untouched, for comparison.
    HeldOut,
    /// The body is not a request that can be read.
    Unreadable(Unreadable),
}

/// A lever: something that makes a request cheaper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lever {
    /// Breakpoints where the provider's cache should begin and end.
    Breakpoints,
    /// Escapes, redraws, blanks and repeats out of what a tool printed, before it is first sent. Nothing is lost.
    CleanUp,
    /// Shortened results that were used up.
    Prune,
    /// Shortened arguments of calls that were carried out.
    Arguments,
    /// Shortened results and arguments, because the model's window was nearly full.
    Fold,
    /// What the assistant said, summed up by a model of the caller's.
    Summary,
}

/// A text that was changed in this request for the first time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// The name under which it can be read again: `r12`.
    pub id: String,
    /// The message, from 0.
    pub message: usize,
    /// What changed it.
    pub lever: Lever,
    /// SHA-256 of the text as the client sent it, in hex.
    pub sha256: String,
    /// Bytes of the text before and after.
    pub before: usize,
    /// See [`Cut::before`].
    pub after: usize,
    /// Something was lost from what the model sees.
    pub lossy: bool,
}

/// What was done to one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The model that was asked for.
    pub model: String,
    /// The dial in force.
    pub dial: f64,
    /// The provider's cache rules that were reckoned with.
    pub provider: Option<Provider>,
    /// Nothing was done, for this reason.
    pub untouched: Option<Untouched>,
    /// Messages that end in a breakpoint of ours.
    pub breakpoints: Vec<usize>,
    /// Texts changed for the first time.
    pub cuts: Vec<Cut>,
    /// Tokens (estimated) that are not sent because of this and earlier cuts.
    pub tokens_cut: f64,
    /// Tokens (estimated) of the caller's notes that stand behind the system prompt, so that the prefix is cached.
    #[serde(default)]
    pub tokens_added: f64,
    /// Tokens (estimated) of the request without them, where notes are offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighed: Option<f64>,
    /// Tokens (estimated) that the provider's cache has to write again because of the cuts of this request.
    pub tokens_rewritten: f64,
    /// How the tokens of the request divide, as expected.
    pub sent: Split,
    /// How they would divide if the client's own body were sent, and had always been.
    pub native: Split,
    /// Why the provider's cache cannot have this prefix, where that is known before the request.
    pub miss: Option<Miss>,
    /// Fields that were set or taken out.
    #[serde(default)]
    pub settings: Vec<Setting>,
    /// What only the caller can do.
    #[serde(default)]
    pub advice: Advice,
    /// What a summary cost that was made for this request, in plain input tokens of its model.
    #[serde(default)]
    pub summary_units: f64,
}

impl Plan {
    /// The plan of a request that is passed on as it is.
    pub fn untouched(dial: Dial, why: Untouched) -> Plan {
        Plan {
            model: String::new(),
            dial: dial.value(),
            provider: None,
            untouched: Some(why),
            breakpoints: Vec::new(),
            cuts: Vec::new(),
            tokens_cut: 0.0,
            tokens_added: 0.0,
            weighed: None,
            tokens_rewritten: 0.0,
            sent: Split::default(),
            native: Split::default(),
            miss: None,
            settings: Vec::new(),
            advice: Advice::default(),
            summary_units: 0.0,
        }
    }
}

/// Why a request finds nothing of its prefix in the provider's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Miss {
    /// The first request of the session.
    First,
    /// Longer idle than entries live.
    Idle,
    /// Another model, other tools, another system text or thinking level.
    Head,
    /// The client changed messages that it had sent before.
    History,
    /// Nothing of the above: the provider had dropped it.
    Unexplained,
}

/// SHA-256 in hex, as [`Cut::sha256`] has it.
pub fn fingerprint(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
