//! A session: what was sent before, what was cut from it, and what the provider still has in its cache.
//!
//! - `state`: what is saved between processes
//! - `memory`: what is known of the messages; made anew from them
//! - `learn`: one message after the other enters the memory, and is cleaned up losslessly
//! - `decide`: a history is followed request by request
//! - `offer`: which texts may be cut, and what they become
//! - `worth`: whether a cut pays, and what was paid and saved so far
//! - `fold`: what goes when the model's window is nearly full; `tail`: clients that replace their last message each time
//! - `fill`: notes that make a short prefix long enough to be cached
//! - `marks`: where the breakpoints stand

mod decide;
mod fill;
mod fold;
mod learn;
mod marks;
mod memory;
mod offer;
mod state;
mod tail;
mod worth;

pub(crate) use decide::{Decision, Terms, is_reply};
pub use state::SessionState;
