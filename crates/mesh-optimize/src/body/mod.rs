//! A request body, seen where it lies: the fields at the top, each message, and the texts inside the messages.
//!
//! Two shapes go through the same eyes: OpenAI chat completions (`tool_calls`, role `tool`) and Anthropic messages (`tool_use`
//! and `tool_result` parts). What is not understood is left alone and hides nothing else.

mod message;
mod splice;
mod top;

pub(crate) use message::{Form, Message, Part, Role, Site, Text};
pub(crate) use splice::{Own, Splice, segments};
pub use top::Unreadable;
pub(crate) use top::{Body, Place};
