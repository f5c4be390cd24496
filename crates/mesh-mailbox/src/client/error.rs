//! How talking to a gateway can fail, sorted by what the caller can do about it.

use mesh_client::http::HttpError;

use crate::error::MailboxError;

/// Why a call to a gateway came to nothing. No text of it holds a token, or what was found in a refused content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// What was asked for is wrong in itself; nothing was sent.
    #[error(transparent)]
    Invalid(#[from] MailboxError),
    /// No gateway is named.
    #[error(
        "no gateway is set: give --gateway-url or set MESH_GATEWAY_URL, such as http://127.0.0.1:8788 \
         (the old default, http://lab-ovh:8788, is no longer used)"
    )]
    NoGateway,
    /// The gateway's address cannot be used.
    #[error("`{url}` is no address of a gateway: {reason}")]
    BadUrl {
        /// The address, without a password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The content holds what looks like a credential; nothing was sent.
    #[error(
        "the message holds what looks like a credential ({label}); nothing was sent. Send secrets by another way, \
         and rotate this one if it was real"
    )]
    SecretInContent {
        /// What it looks like.
        label: &'static str,
    },
    /// The gateway does not take the token.
    #[error("mesh-gateway {method} {path} returned {status}: check MESH_GATEWAY_TOKEN")]
    Auth {
        /// Method of the call.
        method: String,
        /// Its path.
        path: String,
        /// 401 or 403.
        status: u16,
    },
    /// The gateway refused the call.
    #[error("mesh-gateway {method} {path} returned {status}: {body}")]
    Refused {
        /// Method of the call.
        method: String,
        /// Its path.
        path: String,
        /// Its status.
        status: u16,
        /// The beginning of its body.
        body: String,
        /// When to try again, in seconds, if it said so.
        retry_after: Option<u64>,
    },
    /// The gateway could not be reached, or the answer was lost.
    #[error("mesh-gateway {method} {path} request failed")]
    Transport {
        /// Method of the call.
        method: String,
        /// Its path.
        path: String,
        /// What happened.
        #[source]
        source: HttpError,
    },
    /// The answer is no JSON.
    #[error("mesh-gateway {method} {path} returned non-JSON: {body}")]
    NotJson {
        /// Method of the call.
        method: String,
        /// Its path.
        path: String,
        /// The beginning of its body.
        body: String,
    },
    /// The answer to a send was empty: nothing says that the message was stored.
    #[error("mesh-gateway {method} {path} returned an empty answer; nothing says that it was done")]
    Empty {
        /// Method of the call.
        method: String,
        /// Its path.
        path: String,
    },
    /// Whether the recipient is known could not be found out.
    #[error("the gateway's list of peers cannot be had, so `{name}` cannot be checked")]
    RegistryUnreachable {
        /// The recipient.
        name: String,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
    /// A stream of events broke a rule.
    #[error("the gateway's stream of events cannot be read: {reason}")]
    Stream {
        /// What was wrong.
        reason: String,
    },
}

impl ClientError {
    /// Whether the same call may succeed later: nothing was decided, or the outcome is unknown.
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Transport { source, .. } => source.is_transient(),
            ClientError::Refused { status, .. } => {
                matches!(status, 408 | 429) || *status >= 500 && *status != 501
            }
            ClientError::Empty { .. } | ClientError::NotJson { .. } => true,
            ClientError::RegistryUnreachable { source, .. } => source.is_transient(),
            ClientError::Invalid(_)
            | ClientError::NoGateway
            | ClientError::BadUrl { .. }
            | ClientError::SecretInContent { .. }
            | ClientError::Auth { .. }
            | ClientError::Stream { .. } => false,
        }
    }

    /// One word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            ClientError::Invalid(MailboxError::NotRegistered { .. }) => "not_registered",
            ClientError::Invalid(_) => "invalid",
            ClientError::NoGateway | ClientError::BadUrl { .. } => "no_gateway",
            ClientError::SecretInContent { .. } => "secret",
            ClientError::Auth { .. } => "unauthorized",
            ClientError::Refused { .. } => "refused",
            ClientError::Transport { .. } => "unreachable",
            ClientError::NotJson { .. } | ClientError::Empty { .. } | ClientError::Stream { .. } => {
                "bad_answer"
            }
            ClientError::RegistryUnreachable { .. } => "registry_unreachable",
        }
    }
}
