//! HttpError: how carrying bytes can fail, sorted by what the caller can do about it.
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A boxed cause, as the network crates hand them out.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The part of an exchange that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Name resolution, TCP, proxy tunnel and TLS handshake together.
    Connect,
    /// From the last byte of the request to the head of the answer.
    FirstByte,
    /// Between two pieces of the answer.
    Idle,
    /// The whole exchange.
    Total,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "connecting",
            Phase::FirstByte => "waiting for the first byte",
            Phase::Idle => "waiting for the next byte",
            Phase::Total => "waiting for the whole answer",
        })
    }
}

/// Why a request got no answer, or not the whole of it.
///
/// The message names the host but never a header, a body or the user part of an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The request cannot be sent as it is.
    #[error("invalid request: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// No connection came about: name, route, proxy or TLS.
    #[error("cannot connect to {host}; check the address, the network and the proxy settings")]
    Connect {
        /// Host of the request.
        host: String,
        /// What the resolver, the socket, the proxy or TLS said.
        #[source]
        source: ConnectFailure,
    },
    /// A deadline passed.
    #[error("{host} took longer than {} s ({phase})", after.as_secs_f64())]
    Timeout {
        /// Host of the request.
        host: String,
        /// What was waited for.
        phase: Phase,
        /// The deadline that passed.
        after: Duration,
    },
    /// The peer closed the connection before the head of an answer.
    #[error("{host} closed the connection without an answer")]
    Closed {
        /// Host of the request.
        host: String,
        /// What the connection said.
        #[source]
        source: BoxError,
    },
    /// The connection was reset.
    #[error("the connection to {host} was reset")]
    Reset {
        /// Host of the request.
        host: String,
        /// What the connection said.
        #[source]
        source: BoxError,
    },
    /// The answer ended before its announced end.
    #[error("the answer of {host} was cut off")]
    Truncated {
        /// Host of the request.
        host: String,
        /// What the connection said.
        #[source]
        source: BoxError,
    },
    /// The bytes that came back are not HTTP.
    #[error("{host} does not answer in HTTP; check the address")]
    Protocol {
        /// Host of the request.
        host: String,
        /// What the parser said.
        #[source]
        source: BoxError,
    },
    /// A body is longer than the caller allows.
    #[error("the body is longer than the {limit} bytes allowed")]
    TooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// A body is not the JSON that was wanted, or a value cannot be written as JSON.
    #[error("the body is not the JSON expected")]
    Json(#[from] serde_json::Error),
}

impl HttpError {
    /// Says whether a deadline passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, HttpError::Timeout { .. })
    }

    /// Says whether the request never left: no connection was there to carry it.
    pub fn is_connect(&self) -> bool {
        matches!(self, HttpError::Connect { .. } | HttpError::Timeout { phase: Phase::Connect, .. })
    }

    /// Says whether the same request may succeed at a later time.
    pub fn is_transient(&self) -> bool {
        match self {
            HttpError::Connect { source, .. } => source.is_transient(),
            HttpError::Timeout { .. }
            | HttpError::Closed { .. }
            | HttpError::Reset { .. }
            | HttpError::Truncated { .. }
            | HttpError::Protocol { .. } => true,
            HttpError::Invalid { .. } | HttpError::TooLarge { .. } | HttpError::Json(_) => false,
        }
    }
}

/// Why no connection came about.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// Resolver, TCP or TLS failed; the text is theirs.
    #[error("{0}")]
    Io(String),
    /// The deadline for connecting passed.
    #[error("no connection within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The server's certificate or its TLS is not acceptable.
    #[error("TLS: {0}; behind a company proxy set SSL_CERT_FILE to its certificate file")]
    Tls(String),
    /// The proxy refused, or its address cannot be used.
    #[error("proxy: {0}; see HTTPS_PROXY, HTTP_PROXY and NO_PROXY")]
    Proxy(String),
    /// The file with additional certificates cannot be used.
    #[error("cannot use the certificate file {path}: {reason}; correct SSL_CERT_FILE or unset it")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl ConnectFailure {
    /// Says whether trying again may help; a refused certificate or a bad setting stays refused.
    pub fn is_transient(&self) -> bool {
        matches!(self, ConnectFailure::Io(_) | ConnectFailure::Timeout(_) | ConnectFailure::Proxy(_))
    }
}

/// Turns what the pooled client says into our error.
pub(super) fn from_exchange(host: &str, error: hyper_util::client::legacy::Error) -> HttpError {
    let host = host.to_owned();
    if let Some(failure) = find::<ConnectFailure>(&error) {
        return match failure {
            ConnectFailure::Timeout(after) => {
                HttpError::Timeout { host, phase: Phase::Connect, after: *after }
            }
            other => HttpError::Connect { host, source: other.clone() },
        };
    }
    if error.is_connect() {
        let source = ConnectFailure::Io(innermost(&error).to_string());
        return HttpError::Connect { host, source };
    }
    let reset = is_reset(&error);
    let Some(cause) = find::<hyper::Error>(&error) else {
        return HttpError::Invalid { reason: innermost(&error).to_string() };
    };
    if reset {
        HttpError::Reset { host, source: error.into() }
    } else if cause.is_parse() {
        HttpError::Protocol { host, source: error.into() }
    } else if cause.is_user() {
        HttpError::Invalid { reason: innermost(&error).to_string() }
    } else {
        HttpError::Closed { host, source: error.into() }
    }
}

/// Turns what a body under way says into our error.
pub(super) fn from_body(host: &Arc<str>, error: hyper::Error) -> HttpError {
    let host = host.to_string();
    if is_reset(&error) {
        HttpError::Reset { host, source: error.into() }
    } else {
        HttpError::Truncated { host, source: error.into() }
    }
}

/// The last cause of a chain: the one that says what really happened.
pub(super) fn innermost<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    chain(error).last().unwrap_or(error)
}

/// The first error of a kind in a chain.
pub(super) fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    chain(error).find_map(|error| error.downcast_ref::<E>())
}

/// An error and its causes. What an [`io::Error`] wraps is no source of it, yet a cause all the same.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
        match error.downcast_ref::<io::Error>() {
            Some(outer) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    }
    std::iter::successors(Some(error), |error| cause(*error))
}

fn is_reset(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|io| matches!(io.kind(), ConnectionReset | ConnectionAborted | BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_to_do() {
        let refused =
            HttpError::Connect { host: "h".into(), source: ConnectFailure::Tls("UnknownIssuer".into()) };
        assert_eq!(
            refused.to_string(),
            "cannot connect to h; check the address, the network and the proxy settings"
        );
        assert!(!refused.is_transient());
        let late =
            HttpError::Timeout { host: "h".into(), phase: Phase::Idle, after: Duration::from_secs(120) };
        assert_eq!(late.to_string(), "h took longer than 120 s (waiting for the next byte)");
        assert!(late.is_transient() && !late.is_connect());
    }
}
