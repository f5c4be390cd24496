//! What can be wrong with what a caller or a gateway says.

use crate::name::PeerName;

/// Why a name, a kind, an id or an answer was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailboxError {
    /// Not a peer's name. The text is given in escaped form, so that it can be printed.
    #[error(
        "`{name}` is not a peer name: {reason}; names have 2 to 64 of a-z, 0-9 and dash, begin with a letter \
         and end with a letter or digit"
    )]
    InvalidName {
        /// The refused text, control characters escaped, cut to 80 characters.
        name: String,
        /// The first rule that it breaks.
        reason: String,
    },
    /// A well-formed name that the gateway does not know.
    #[error("`{name}` is not registered{}", suggestion(.near))]
    NotRegistered {
        /// The canonical name.
        name: PeerName,
        /// Registered names that were perhaps meant, best first.
        near: Vec<String>,
    },
    /// Not a kind that can be sent.
    #[error("`{kind}` is not a message kind; use one of fyi, question, answer, status, unblock")]
    InvalidKind {
        /// The refused text, control characters escaped, cut to 80 characters.
        kind: String,
    },
    /// An id that is empty or too long for the gateway.
    #[error("{what} has {characters} characters; from 1 to {max} are allowed")]
    InvalidId {
        /// Which id.
        what: &'static str,
        /// Its length in characters.
        characters: usize,
        /// The most that are allowed.
        max: usize,
    },
    /// An answer of the gateway that has another shape than its endpoint's.
    #[error("the gateway's answer is not {wanted}")]
    Malformed {
        /// What the endpoint answers.
        wanted: &'static str,
    },
}

fn suggestion(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

/// A foreign text as it may stand in an error: no control characters, and not endless.
pub(crate) fn printable(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let mut shown: String = text.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
