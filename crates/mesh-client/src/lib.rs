//! Carries bytes over HTTPS and server-sent events, and speaks the OpenAI-compatible protocol to a Mesh API gateway.
//!
//! - [`http`]: one pooled client, a small server, the SSE decoder; usable alone (feature `http`)
//! - [`MeshClient`]: whole completions with retries ([`MeshClient::complete`]), streams, catalogue, balance, search
//! - [`wire`]: messages, requests, chunks, usage and models as they travel; unknown fields survive
//! - [`error`], [`retry`], [`cost`]: what failed and what to do, whether to try again, what it cost
//! - [`peek`], [`LearnedCatalog`]: for who passes requests on: whether a gateway takes one, what its models cost
//! - `accumulate`, `completion`: the pure middle; bytes cut anywhere give the same completion
//! - `scripted`: a gateway on loopback that follows a script, for tests and demos (feature `scripted-gateway`)
#[cfg(feature = "chat")]
mod client;
#[cfg(feature = "chat")]
mod complete;
#[cfg(feature = "chat")]
mod endpoint;
pub mod http;
#[cfg(feature = "scripted-gateway")]
pub mod scripted;
#[cfg(feature = "chat")]
mod services;
#[cfg(feature = "chat")]
mod stream;

#[cfg(feature = "chat")]
pub use client::{MeshClient, MeshClientBuilder, WHOLE_TIMEOUT};
#[cfg(feature = "chat")]
pub use complete::{Answer, Delivery, EventSink, StreamEvent};

#[cfg(feature = "chat")]
pub use endpoint::{ApiKey, ApiKeyError, BaseUrl, BaseUrlError, DEFAULT_BASE_URL};
#[cfg(feature = "chat")]
pub use services::{
    Balance, SearchDepth, SearchResult, SearchResults, UsageEvent, WEB_SEARCH_PRICE, WEB_SEARCH_TIMEOUT,
    WebSearch,
};
#[cfg(feature = "chat")]
pub use stream::CompletionStream;

#[cfg(feature = "chat")]
mod accumulate;
#[cfg(feature = "chat")]
mod completion;
#[cfg(feature = "chat")]
pub mod cost;
#[cfg(feature = "chat")]
pub mod error;
#[cfg(feature = "chat")]
mod learned;
#[cfg(feature = "chat")]
pub mod peek;
#[cfg(feature = "chat")]
pub mod retry;
#[cfg(feature = "chat")]
pub mod wire;

#[cfg(feature = "chat")]
pub use accumulate::{CallProgress, ToolCallAccumulator};
#[cfg(feature = "chat")]
pub use completion::{Assembler, Completion, Delta, EndOfStream, Flow, ResponseHeaders};
#[cfg(feature = "chat")]
pub use cost::{BilledCost, Cost, Usd, fmt_usd};
#[cfg(feature = "chat")]
pub use error::{ClientError, ErrorKind, GatewayReport, MaxTokensOverflow, NetworkKind};
#[cfg(feature = "chat")]
pub use learned::LearnedCatalog;
#[cfg(feature = "chat")]
pub use retry::{RetryPolicy, RetryState, RetryStep};
#[cfg(feature = "chat")]
pub use wire::{
    Catalog, CompletionRequest, Content, EncodedMessage, Message, Model, RequestBody, Role, ToolCall, Usage,
};

/// Its example compiles.
#[cfg(all(doctest, feature = "chat"))]
#[doc = include_str!("../README.md")]
struct Readme;
