//! The mailbox inside the agent: who the user is to their peers, what came, what is worked on, and what may run unasked.
//!
//! - [`account`]: name, gateway and token of a run, where the user has set them
//! - [`desk`]: the agent's mailbox on top of the client; `send`, `take` and `jobs` are what it does
//! - `hold`: what waits and what is held, as values; pure
//! - [`journal`]: what has to outlive the process: answered messages, known peers, budgets spent
//! - [`allowance`]: how much a thread may run unasked; pure
//! - [`settle`]: a turn that a message starts, and what its end means
//! - `watch`: looks for new mail in the background, and keeps hold of what is worked on
pub mod account;
pub mod allowance;
pub mod desk;
mod hold;
mod jobs;
pub mod journal;
mod send;
pub mod settle;
mod take;
mod watch;

use mesh_mailbox::{Kind, PeerName};

/// A peer's name in its canonical form.
///
/// # Errors
/// It is none; why.
pub fn peer_name(text: &str) -> Result<String, String> {
    PeerName::parse(text).map(|name| name.to_string()).map_err(|error| error.to_string())
}

/// Whether a word says what a message is for.
pub fn is_kind(word: &str) -> bool {
    word.parse::<Kind>().is_ok()
}

pub use account::Account;
pub use allowance::Allowance;
pub use desk::Desk;
pub use jobs::Job;
