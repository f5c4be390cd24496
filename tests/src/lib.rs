//! The house from outside: journeys through the binary (in `tests/`), and the adapter by which the product answers the
//! shared conformance vectors.
//!
//! - [`conformance`]: one file a set of vectors, and the JSON lines protocol
//! - [`pty`]: a terminal for the binary, with a screen that can be read
//! - [`svg`]: that screen as a picture
//! - [`lab`]: the binary from outside, beside a scripted gateway
//! - [`post`]: a mail gateway as a process, and peers
pub mod conformance;
pub mod lab;
pub mod post;
pub mod pty;
pub mod svg;
