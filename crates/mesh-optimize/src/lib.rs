//! What an LLM request may cost less for: the dial, the size of a conversation in tokens, and the class of its task.
//!
//! Everything here is a function from values to values. This crate never opens a file or a socket and never reads a clock, an
//! environment variable or a source of randomness; the same request always gives the same answer.
//!
//! ```
//! use mesh_optimize::{Dial, Dialect, TaskClass, estimate_conversation};
//! use serde_json::json;
//!
//! let request = json!({
//!     "model": "example/model",
//!     "mesh_optimize": 0.3,
//!     "messages": [{"role": "user", "content": "what does this file do?"}],
//! });
//! let messages = request["messages"].as_array().unwrap();
//!
//! let dial = Dial::from_json(&request["mesh_optimize"]);
//! assert_eq!(dial, "0.3".parse()?);
//!
//! let size = estimate_conversation(messages, Dialect::Utf16);
//! assert_eq!(size.to_string(), "about 10 tokens (utf16/4)");
//!
//! assert_eq!(TaskClass::of_request(&request, Dialect::Utf16), TaskClass::Routine);
//! # Ok::<(), mesh_optimize::DialError>(())
//! ```
//!
//! - `dial`: how hard the optimiser may work; 0 is the opt-out
//! - `estimate`: tokens of a text, a message, a conversation, with the name of the method
//! - `classify`: routine, standard, complex or agentic
//! - `dialect`: the two published ways of counting, and the JSON text that each of them counts
//! - [`mod@reference`]: the published optimisers, lever by lever
mod body;
mod classify;
mod dial;
mod dialect;
mod edit;
mod estimate;
mod filter;
mod json;
mod kind;
mod ledger;
mod levers;
mod optimizer;
mod plan;
mod provider;
mod receipt;
pub mod reference;
mod session;
mod tier;

pub use body::Unreadable;
pub use classify::TaskClass;
pub use dial::{Dial, DialError};
pub use dialect::Dialect;
pub use estimate::{Estimate, estimate, estimate_conversation, estimate_message};
pub use filter::{Filter, Session, session_id};
pub use ledger::Split;
pub use optimizer::{Config, Hints, Optimizer, Prepared};
pub use plan::{Cut, Lever, Miss, Plan, Untouched, fingerprint};
pub use provider::{BREAKPOINTS, Cache, LOOKBACK, Provider, ProviderChoice, ProviderError};
pub use receipt::{Basis, Prices, Receipt, Sum, Usage};
pub use session::SessionState;
pub use tier::levers;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
