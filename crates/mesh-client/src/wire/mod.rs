//! OpenAI-compatible shapes as they travel: messages and requests out, chunks, usage and catalogue rows in.
//!
//! Nothing here names anything else of the crate. Unknown fields and key order survive wherever a value may come back
//! to the gateway: a prompt cache pays only for bytes that stay the same.
//!
//! - `message`: [`Message`] to build and read, [`EncodedMessage`] to keep and send
//! - `request`: [`CompletionRequest`] to [`RequestBody`], as shared segments
//! - `chunk`: one event of a stream, fast typed path and lenient path; `template` knows a chunk again that differs in one string
//! - `usage`, `model`: token counts and the model catalogue, tolerant of odd types
mod chunk;
mod message;
mod model;
mod request;
mod template;
mod usage;

pub use chunk::{Chunk, ToolCallDelta};
pub use message::{Content, EncodedMessage, Message, MessageError, Role, ToolCall};
pub use model::{Catalog, CatalogError, Model, Pricing};
pub use request::{CompletionRequest, RequestBody};
pub(crate) use template::Template;
pub use usage::Usage;
