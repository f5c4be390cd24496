//! A request body, seen where it lies: the fields at the top, each message, and the texts inside the messages.
//!
//! Three shapes go through the same eyes: OpenAI chat completions (`tool_calls`, role `tool`), Anthropic messages (`tool_use`
//! and `tool_result` parts) and OpenAI responses (`input` items, where the history is in them). What is not understood is left alone and hides nothing else.

mod message;
mod splice;
mod top;

pub(crate) use message::{Form, Message, Part, Role, Site, Text, is_of_reply};
pub(crate) use splice::{Own, Splice, segments};
pub use top::Unreadable;
pub(crate) use top::{Body, Place, Shape};
