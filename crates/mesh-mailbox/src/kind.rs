//! What a message is for.

use std::fmt;
use std::str::FromStr;

use crate::error::{MailboxError, printable};

/// What a message is for. These five can be sent; what arrives may carry any text.
///
/// ```
/// use mesh_mailbox::Kind;
///
/// assert_eq!("unblock".parse::<Kind>()?, Kind::Unblock);
/// let refused = "ping".parse::<Kind>().unwrap_err();
/// assert!(refused.to_string().contains("fyi, question, answer, status, unblock"));
/// # Ok::<(), mesh_mailbox::MailboxError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something to know; no reply is awaited.
    Fyi,
    /// A reply is awaited.
    Question,
    /// The reply to a question.
    Answer,
    /// How the sender's work stands.
    Status,
    /// What kept the receiver waiting is done.
    Unblock,
}

impl Kind {
    /// All kinds, in the order in which they are named to people.
    pub const ALL: [Kind; 5] = [Kind::Fyi, Kind::Question, Kind::Answer, Kind::Status, Kind::Unblock];

    /// Returns the kind as it travels.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Fyi => "fyi",
            Kind::Question => "question",
            Kind::Answer => "answer",
            Kind::Status => "status",
            Kind::Unblock => "unblock",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = MailboxError;

    /// Takes the exact lower-case word: no trimming, no other case.
    fn from_str(text: &str) -> Result<Kind, MailboxError> {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| MailboxError::InvalidKind { kind: printable(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn only_the_exact_word_is_a_kind() {
        for text in ["", "FYI", " fyi", "fyi\n", "review_request", "answers"] {
            assert_eq!(text.parse::<Kind>(), Err(MailboxError::InvalidKind { kind: printable(text) }));
        }
    }
}
