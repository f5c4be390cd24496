//! A session: what was sent before, what was cut from it, and what the provider still has in its cache.
//!
//! - `state`: what is saved between processes
//! - `memory`: what is known of the messages; made anew from them
//! - `learn`: one message after the other enters the memory, and is cleaned up losslessly
//! - `decide`: at each request: what else goes, by the break-even rule, and where the breakpoints stand

mod decide;
mod learn;
mod memory;
mod state;

pub(crate) use decide::{Decision, Terms};
pub(crate) use learn::decoded;
pub use state::SessionState;
