//! What can go wrong between a request and its completion, by what the caller can do about it.
//!
//! - this file: [`ClientError`] and the questions that one may ask it
//! - `report`: [`GatewayReport`], what the gateway said, made safe to show
//! - `classify`: both error shapes to one [`ClientError`], by code and whole words
mod classify;
mod report;
mod words;

pub use classify::{classify_inband, classify_status, parse_max_tokens_overflow};
pub use report::GatewayReport;

use report::clean;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Space that an adjusted `max_tokens` leaves free. From "beyond the seed" D: 256 tokens.
const OVERFLOW_MARGIN: u64 = 256;

/// Smallest `max_tokens` worth asking with. From "beyond the seed" D: 1,024 tokens.
const OVERFLOW_MINIMUM: u64 = 1024;

/// Longest text of our own making in an error, in characters.
const DETAIL_CHARS: usize = 300;

const HINT_KEY: &str = "check the API key";
const HINT_FORBIDDEN: &str = "choose a model that this key may use";
const HINT_SPEND: &str = "add credit or raise the spend limit";
const HINT_RATE: &str = "wait, or choose another model";
const HINT_CONTEXT: &str = "shorten the conversation or choose a model with a larger context";
const HINT_MAX_TOKENS: &str = "ask for fewer tokens or shorten the conversation";
const HINT_FIELD: &str = "leave the field out or choose another model";
const HINT_NOT_FOUND: &str = "check the model name and the base URL";
const HINT_INVALID: &str = "change the request; sending it again will not help";
const HINT_UPSTREAM: &str = "try again, or choose another model";
const HINT_UNEXPECTED: &str = "check the base URL";
const HINT_NETWORK: &str = "check the connection and the base URL";
const HINT_TLS: &str = "check the base URL, the clock and any proxy on the way";
const HINT_ANSWER: &str = "try again, or choose another model";

/// Why there is no completion.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The key is missing, wrong or expired.
    #[error("the gateway refuses the key: {report}; {hint}", hint = HINT_KEY)]
    Unauthorized {
        /// What the gateway said.
        report: Box<GatewayReport>,
    },
    /// The key is good, but not for this.
    #[error("the gateway forbids the request: {report}; {hint}", hint = HINT_FORBIDDEN)]
    Forbidden {
        /// What the gateway said.
        report: Box<GatewayReport>,
    },
    /// Out of credit, or a spend limit is reached.
    #[error("no budget is left: {report}; {hint}", hint = HINT_SPEND)]
    SpendLimit {
        /// What the gateway said.
        report: Box<GatewayReport>,
    },
    /// Too many requests.
    #[error("too many requests{wait}: {report}; {hint}", wait = Wait(*retry_after), hint = HINT_RATE)]
    RateLimited {
        /// What the gateway said.
        report: Box<GatewayReport>,
        /// How long the gateway asks to wait.
        retry_after: Option<Duration>,
    },
    /// The conversation does not fit the model's context.
    #[error("the conversation is too long for the model: {report}; {hint}", hint = HINT_CONTEXT)]
    ContextOverflow {
        /// What the gateway said.
        report: Box<GatewayReport>,
    },
    /// The conversation fits, but not together with `max_tokens`.
    #[error("{overflow}: {report}; {hint}", hint = HINT_MAX_TOKENS)]
    MaxTokensOverflow {
        /// The numbers.
        overflow: MaxTokensOverflow,
        /// What the gateway said.
        report: Box<GatewayReport>,
    },
    /// The model does not take one field of the request.
    #[error("the model does not take `{field}`: {report}; {hint}", hint = HINT_FIELD)]
    UnsupportedField {
        /// Name of the field.
        field: String,
        /// What the gateway said.
        report: Box<GatewayReport>,
    },
    /// No such model or address.
    #[error("not found: {report}; {hint}", hint = HINT_NOT_FOUND)]
    NotFound {
        /// What the gateway said.
        report: Box<GatewayReport>,
    },
    /// The request is wrong, and will be tomorrow.
    #[error("the gateway refuses the request: {report}; {hint}", hint = HINT_INVALID)]
    InvalidRequest {
        /// What the gateway said.
        report: Box<GatewayReport>,
    },
    /// The gateway or a provider behind it has a bad moment.
    #[error("the gateway or its provider failed{wait}: {report}; {hint}", wait = Wait(*retry_after), hint = HINT_UPSTREAM)]
    Upstream {
        /// What the gateway said.
        report: Box<GatewayReport>,
        /// How long the gateway asks to wait.
        retry_after: Option<Duration>,
    },
    /// An answer that no gateway gives: a redirect, a status without meaning here.
    #[error("the server gave an answer that a gateway does not give: {report}; {hint}", hint = HINT_UNEXPECTED)]
    Unexpected {
        /// What the server said.
        report: Box<GatewayReport>,
    },
    /// The connection failed.
    #[error("{kind}: {detail}{id}; {hint}", id = InRequest(request_id.as_deref()), hint = kind.hint())]
    Network {
        /// In which way.
        kind: NetworkKind,
        /// To what, and after how long.
        detail: String,
        /// The request, when the gateway had begun to answer.
        request_id: Option<String>,
        /// What the layers below say.
        #[source]
        source: Option<Arc<dyn Error + Send + Sync>>,
    },
    /// An answer came that cannot be read.
    #[error("the answer cannot be read: {detail}{id}; {hint}", id = InRequest(request_id.as_deref()), hint = HINT_ANSWER)]
    Malformed {
        /// What it began with.
        detail: String,
        /// The request.
        request_id: Option<String>,
    },
    /// An answer came that says nothing.
    #[error("the model gave an empty answer{why}{id}; {hint}",
        why = Because(finish_reason.as_deref()), id = InRequest(request_id.as_deref()), hint = HINT_ANSWER)]
    Empty {
        /// Why the model stopped, when it says so.
        finish_reason: Option<String>,
        /// The request.
        request_id: Option<String>,
    },
}

/// In which way a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkKind {
    /// No connection: name unknown, refused, unreachable, or not in time.
    Connect,
    /// No trust: the certificate or the handshake.
    Tls,
    /// Silence for longer than the limit.
    Timeout,
    /// The other side broke the connection.
    Reset,
    /// The answer ended before its end.
    Truncated,
}

/// What sort of error it is; the names are stable and fit for JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// See [`ClientError::Unauthorized`].
    Unauthorized,
    /// See [`ClientError::Forbidden`].
    Forbidden,
    /// See [`ClientError::SpendLimit`].
    SpendLimit,
    /// See [`ClientError::RateLimited`].
    RateLimited,
    /// See [`ClientError::ContextOverflow`].
    ContextOverflow,
    /// See [`ClientError::MaxTokensOverflow`].
    MaxTokensOverflow,
    /// See [`ClientError::UnsupportedField`].
    UnsupportedField,
    /// See [`ClientError::NotFound`].
    NotFound,
    /// See [`ClientError::InvalidRequest`].
    InvalidRequest,
    /// See [`ClientError::Upstream`].
    Upstream,
    /// See [`ClientError::Unexpected`].
    Unexpected,
    /// See [`ClientError::Network`].
    Network,
    /// See [`ClientError::Malformed`].
    Malformed,
    /// See [`ClientError::Empty`].
    Empty,
}

/// The numbers of "input length and `max_tokens` exceed context limit: N + M > L", in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxTokensOverflow {
    /// N, the conversation.
    pub input_tokens: u64,
    /// M, what was asked for.
    pub max_tokens: u64,
    /// L, what the model has room for.
    pub context_limit: u64,
}

impl MaxTokensOverflow {
    /// The `max_tokens` that fits, min(M, L - N - 256); `None` below 1,024, where only a shorter conversation helps.
    pub fn adjusted(&self) -> Option<u64> {
        let room = self.context_limit.checked_sub(self.input_tokens)?.checked_sub(OVERFLOW_MARGIN)?;
        let fits = self.max_tokens.min(room);
        (fits >= OVERFLOW_MINIMUM).then_some(fits)
    }
}

impl ClientError {
    /// A failure of the connection. `detail` says to what, or after how long.
    pub fn network(kind: NetworkKind, detail: impl fmt::Display, request_id: Option<String>) -> ClientError {
        let detail = clean(&detail.to_string(), DETAIL_CHARS);
        ClientError::Network { kind, detail, request_id, source: None }
    }

    /// An answer that cannot be read; `detail` is what it began with.
    pub fn malformed(detail: impl fmt::Display, request_id: Option<String>) -> ClientError {
        ClientError::Malformed { detail: clean(&detail.to_string(), DETAIL_CHARS), request_id }
    }

    /// Adds what the layers below say; only network errors have that.
    #[must_use]
    pub fn with_source(mut self, cause: impl Error + Send + Sync + 'static) -> ClientError {
        if let ClientError::Network { source, .. } = &mut self {
            *source = Some(Arc::new(cause));
        }
        self
    }

    /// What sort of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ClientError::Unauthorized { .. } => ErrorKind::Unauthorized,
            ClientError::Forbidden { .. } => ErrorKind::Forbidden,
            ClientError::SpendLimit { .. } => ErrorKind::SpendLimit,
            ClientError::RateLimited { .. } => ErrorKind::RateLimited,
            ClientError::ContextOverflow { .. } => ErrorKind::ContextOverflow,
            ClientError::MaxTokensOverflow { .. } => ErrorKind::MaxTokensOverflow,
            ClientError::UnsupportedField { .. } => ErrorKind::UnsupportedField,
            ClientError::NotFound { .. } => ErrorKind::NotFound,
            ClientError::InvalidRequest { .. } => ErrorKind::InvalidRequest,
            ClientError::Upstream { .. } => ErrorKind::Upstream,
            ClientError::Unexpected { .. } => ErrorKind::Unexpected,
            ClientError::Network { .. } => ErrorKind::Network,
            ClientError::Malformed { .. } => ErrorKind::Malformed,
            ClientError::Empty { .. } => ErrorKind::Empty,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            ClientError::RateLimited { .. }
            | ClientError::Upstream { .. }
            | ClientError::Malformed { .. } => true,
            ClientError::Network { kind, .. } => *kind != NetworkKind::Tls,
            // Cut by length or by a filter, the next answer will be as empty.
            ClientError::Empty { finish_reason, .. } => {
                !matches!(finish_reason.as_deref(), Some("length" | "content_filter"))
            }
            ClientError::Unauthorized { .. }
            | ClientError::Forbidden { .. }
            | ClientError::SpendLimit { .. }
            | ClientError::ContextOverflow { .. }
            | ClientError::MaxTokensOverflow { .. }
            | ClientError::UnsupportedField { .. }
            | ClientError::NotFound { .. }
            | ClientError::InvalidRequest { .. }
            | ClientError::Unexpected { .. } => false,
        }
    }

    /// Whether the gateway refuses this very request, so that a differently written one may pass: a status from 400 to 499 but
    /// 401, 402, 408 and 429, or the same said inside a stream.
    pub fn is_rejection(&self) -> bool {
        let Some(report) = self.report() else { return false };
        let code = || report.code.as_deref().and_then(|code| code.parse().ok());
        match report.status.or_else(code) {
            Some(status) => (400..500).contains(&status) && !matches!(status, 401 | 402 | 408 | 429),
            None => matches!(
                self.kind(),
                ErrorKind::Forbidden
                    | ErrorKind::ContextOverflow
                    | ErrorKind::MaxTokensOverflow
                    | ErrorKind::UnsupportedField
                    | ErrorKind::NotFound
                    | ErrorKind::InvalidRequest
            ),
        }
    }

    /// Whether a shorter conversation would help.
    pub fn is_context_overflow(&self) -> bool {
        matches!(self, ClientError::ContextOverflow { .. } | ClientError::MaxTokensOverflow { .. })
    }

    /// How long the gateway asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::RateLimited { retry_after, .. } | ClientError::Upstream { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// What the gateway said, when it was the gateway that refused.
    pub fn report(&self) -> Option<&GatewayReport> {
        match self {
            ClientError::Unauthorized { report }
            | ClientError::Forbidden { report }
            | ClientError::SpendLimit { report }
            | ClientError::RateLimited { report, .. }
            | ClientError::ContextOverflow { report }
            | ClientError::MaxTokensOverflow { report, .. }
            | ClientError::UnsupportedField { report, .. }
            | ClientError::NotFound { report }
            | ClientError::InvalidRequest { report }
            | ClientError::Upstream { report, .. }
            | ClientError::Unexpected { report } => Some(report),
            ClientError::Network { .. } | ClientError::Malformed { .. } | ClientError::Empty { .. } => None,
        }
    }

    /// The HTTP status; `None` for an error inside a stream, of the network or of an answer.
    pub fn status(&self) -> Option<u16> {
        self.report()?.status
    }

    /// The `x-request-id` of the request that failed.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            ClientError::Network { request_id, .. }
            | ClientError::Malformed { request_id, .. }
            | ClientError::Empty { request_id, .. } => request_id.as_deref(),
            other => other.report()?.request_id.as_deref(),
        }
    }

    /// What to do next. [`Display`](fmt::Display) ends with the same words.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ClientError::Unauthorized { .. } => HINT_KEY,
            ClientError::Forbidden { .. } => HINT_FORBIDDEN,
            ClientError::SpendLimit { .. } => HINT_SPEND,
            ClientError::RateLimited { .. } => HINT_RATE,
            ClientError::ContextOverflow { .. } => HINT_CONTEXT,
            ClientError::MaxTokensOverflow { .. } => HINT_MAX_TOKENS,
            ClientError::UnsupportedField { .. } => HINT_FIELD,
            ClientError::NotFound { .. } => HINT_NOT_FOUND,
            ClientError::InvalidRequest { .. } => HINT_INVALID,
            ClientError::Upstream { .. } => HINT_UPSTREAM,
            ClientError::Unexpected { .. } => HINT_UNEXPECTED,
            ClientError::Network { kind, .. } => kind.hint(),
            ClientError::Malformed { .. } | ClientError::Empty { .. } => HINT_ANSWER,
        })
    }
}

impl NetworkKind {
    fn hint(self) -> &'static str {
        match self {
            NetworkKind::Tls => HINT_TLS,
            NetworkKind::Connect | NetworkKind::Timeout | NetworkKind::Reset | NetworkKind::Truncated => {
                HINT_NETWORK
            }
        }
    }
}

impl fmt::Display for NetworkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NetworkKind::Connect => "no connection to the gateway",
            NetworkKind::Tls => "no trusted connection to the gateway",
            NetworkKind::Timeout => "the gateway was silent for too long",
            NetworkKind::Reset => "the connection to the gateway broke",
            NetworkKind::Truncated => "the answer was cut off",
        })
    }
}

impl ErrorKind {
    /// A stable name in snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Unauthorized => "unauthorized",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::SpendLimit => "spend_limit",
            ErrorKind::RateLimited => "rate_limited",
            ErrorKind::ContextOverflow => "context_overflow",
            ErrorKind::MaxTokensOverflow => "max_tokens_overflow",
            ErrorKind::UnsupportedField => "unsupported_field",
            ErrorKind::NotFound => "not_found",
            ErrorKind::InvalidRequest => "invalid_request",
            ErrorKind::Upstream => "upstream",
            ErrorKind::Unexpected => "unexpected",
            ErrorKind::Network => "network",
            ErrorKind::Malformed => "malformed",
            ErrorKind::Empty => "empty",
        }
    }
}

impl fmt::Display for MaxTokensOverflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MaxTokensOverflow { input_tokens, max_tokens, context_limit } = self;
        write!(
            f,
            "{input_tokens} tokens of conversation and {max_tokens} of answer exceed the {context_limit} of the model"
        )
    }
}

/// ` (wait 7 s)`, or nothing.
struct Wait(Option<Duration>);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |wait| write!(f, " (wait {} s)", wait.as_secs_f64().ceil()))
    }
}

/// ` (request req_1)`, or nothing.
struct InRequest<'a>(Option<&'a str>);

impl fmt::Display for InRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |id| write!(f, " (request {id})"))
    }
}

/// ` (length)`, or nothing.
struct Because<'a>(Option<&'a str>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |reason| write!(f, " (it stopped for: {reason})"))
    }
}
