//! How agents on different machines write to each other: who they are, what they say, and what arrives.
//!
//! Without features the crate is pure: it reads and writes JSON values and never touches a socket, a file or a clock. What a
//! gateway sent is hostile input to it: a bad row is named and left out, and never takes the good rows with it. Feature `client`
//! (default) adds [`Mailbox`] and [`Outbox`], feature `gateway` the gateway.
//!
//! ```
//! use mesh_mailbox::{Inbox, Kind, PeerName, Registry};
//! use serde_json::json;
//!
//! // A name is checked once; from then on the type is the proof. `drop` is an old name of `droplet`.
//! let name = PeerName::parse("drop")?;
//! assert_eq!(name.as_str(), "droplet");
//! assert!(PeerName::parse("droplet\n").is_err());
//!
//! // The gateway's list of peers says who can be written to.
//! let registry = Registry::from_json(&json!({"peers": [{"name": "droplet"}, {"name": "alice"}]}))?;
//! registry.admit(&name)?;
//!
//! // Mail as it arrives.
//! let inbox = Inbox::from_json(&json!({"messages": [
//!     {"id": 7, "from_node": "alice", "to_node": "droplet", "kind": "question", "content": "ready?", "related_task_id": 12,
//!      "created_at": "2026-11-20T21:57:23.806728+00:00"},
//!     {"id": "not a number"},
//! ]}))?;
//! assert_eq!(inbox.envelopes[0].kind(), Some(Kind::Question));
//! assert_eq!(inbox.envelopes[0].related_task_id.as_deref(), Some("12"));
//! assert_eq!(inbox.complaints.len(), 1);
//! # Ok::<(), mesh_mailbox::MailboxError>(())
//! ```
//!
//! - `name`: [`PeerName`]: the canonical form, old names, and names that only look alike
//! - `registry`: who is known to a gateway, and who was perhaps meant
//! - `kind`: what a message is for
//! - `envelope`: a message as it travels, and the ids in it
//! - `client`: [`Mailbox`], one peer's way to a gateway
//! - [`outbox`]: messages on their way, kept until they are stored
//! - [`guard`]: keeps credentials out of messages
//! - `gateway`: the durable mailbox behind HTTP
#[cfg(feature = "client")]
mod client;
mod envelope;
mod error;
#[cfg(feature = "client")]
mod files;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "client")]
pub mod guard;
mod kind;
mod name;
#[cfg(feature = "client")]
pub mod outbox;
mod registry;

#[cfg(feature = "client")]
pub use client::{
    ClientError, GATEWAY_URL_VARIABLE, Look, Mailbox, MailboxBuilder, Outgoing, Receipt, Registered, TIMEOUT,
    TOKEN_VARIABLE, TokenFile,
};
pub use envelope::{Complaint, Envelope, IdempotencyKey, Inbox, MessageId, ThreadId};
pub use error::MailboxError;
pub use kind::Kind;
pub use name::PeerName;
#[cfg(feature = "client")]
pub use outbox::{Attempt, Outbox, OutboxError};
pub use registry::Registry;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
