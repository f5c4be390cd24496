//! Cuts what an LLM agent's user is billed, and says honestly by how much.
//!
//! [`Optimizer::prepare`] takes a request body and gives back one that costs less, with a [`Plan`] that says what was done;
//! [`Optimizer::settle`] takes what the provider reported and writes the [`Receipt`]. A [`SessionState`] goes from request to request.
//!
//! Everything here is a function from values to values. This crate never opens a file or a socket and never reads a clock, an
//! environment variable or a source of randomness; the same requests always give the same bytes.
//!
//! ```
//! use mesh_optimize::{Config, Optimizer, SessionState};
//!
//! let optimizer = Optimizer::new(Config { dial: "0.3".parse()?, ..Config::default() });
//! let mut session = SessionState::default();
//! let body = br#"{"model": "claude-x", "messages": [{"role": "user", "content": "hello"}]}"#;
//!
//! let prepared = optimizer.prepare(body, &mut session);
//! assert_eq!(*prepared.body(), *body, "too short for any cache: nothing is done");
//! let receipt = optimizer.settle(&prepared.plan, None, None, &mut session);
//! assert_eq!(receipt.billed_usd, None, "no price, no figure");
//! # Ok::<(), mesh_optimize::DialError>(())
//! ```
//!
//! - `optimizer`, `filter`: the front doors, for one session and for many
//! - `json`, `body`, `edit`: a body seen where it lies, and what stands instead of a piece of it
//! - `levers`: what may go from a text; `tier`: which lever a dial switches on
//! - `request`: the fields around the messages, and advice; `helpers`: what a caller may do; `trial`: sessions held out
//! - `session`: a history followed request by request: what is cut, when it pays, where the breakpoints stand
//! - `provider`: cache rules as data; `ledger`: what the client would have paid; `plan`, `receipt`: what was done, what it saved
//! - `dial`, `estimate`, `classify`, `dialect`: small parts that both profiles share
//! - `relay` (feature `relay`): usage reports of answers that pass by, sums and caps, for proxies
//! - [`mod@reference`]: the levers of the published packages, exactly
mod body;
mod classify;
mod dial;
mod dialect;
mod edit;
mod estimate;
mod filter;
mod helpers;
mod json;
mod kind;
mod ledger;
mod levers;
mod optimizer;
mod plan;
mod provider;
mod receipt;
pub mod reference;
#[cfg(feature = "relay")]
pub mod relay;
mod request;
mod session;
mod tier;
mod trial;
mod weight;

pub use body::Unreadable;
pub use classify::TaskClass;
pub use dial::{Dial, DialError};
pub use dialect::Dialect;
pub use estimate::{Estimate, estimate, estimate_conversation, estimate_message};
pub use filter::{Filter, Session};
pub use helpers::{Helpers, Retain, Summarize, Summary};
pub use ledger::Split;
pub use optimizer::{Config, Hints, Optimizer, Prepared, Recall};
pub use plan::{Cut, Lever, Miss, Plan, Untouched, fingerprint};
pub use provider::{BREAKPOINTS, Cache, LOOKBACK, Provider, ProviderChoice, ProviderError};
pub use receipt::{Basis, Prices, Receipt, Sum, Usage};
pub use request::{Advice, Cheaper, Setting, Subagents, session_id};
pub use session::SessionState;
pub use tier::levers;
pub use trial::{Difference, Outcome, Trial, TrialReport, is_held_out};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
