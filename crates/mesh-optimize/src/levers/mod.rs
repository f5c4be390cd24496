//! The levers: each takes a text and says what may go from it.

pub(crate) mod arguments;
pub(crate) mod clean;
pub(crate) mod repeat;
pub(crate) mod shorten;
