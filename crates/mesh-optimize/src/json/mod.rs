//! JSON without a tree: where values stand in the bytes, and the text of a string with a way back to its bytes.
//!
//! A request body may hold 40 MB of history of which four kilobytes change. Nothing here copies it.

mod scan;
mod text;

pub(crate) use scan::{Malformed, Span, elements, members, skip, skip_space, whole};
pub(crate) use text::{Decoded, decode, quote, quote_into};
