//! mesh-client
#[cfg(feature = "chat")]
mod endpoint;
pub mod http;

#[cfg(feature = "chat")]
pub use endpoint::{ApiKey, ApiKeyError, BaseUrl, BaseUrlError, DEFAULT_BASE_URL};

#[cfg(feature = "chat")]
mod accumulate;
#[cfg(feature = "chat")]
mod completion;
#[cfg(feature = "chat")]
pub mod cost;
#[cfg(feature = "chat")]
pub mod error;
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
pub use retry::{RetryPolicy, RetryState, RetryStep};
#[cfg(feature = "chat")]
pub use wire::{
    Catalog, CompletionRequest, Content, EncodedMessage, Message, Model, RequestBody, Role, ToolCall, Usage,
};
