//! What the lines of an outbox file mean. Pure: bytes in, entries out.
//!
//! The file only grows: a message is put in, and later lines say what became of it. A line that was cut off by a crash counts as
//! never written; a line that cannot be read is named, and takes no other with it.

use serde::{Deserialize, Serialize};

use crate::client::Outgoing;

/// The first line of a file. Another version is another number.
pub(super) const HEADER: &str = r#"{"outbox":1}"#;

/// A message that waits to be stored by its gateway, or was refused by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The gateway that it was written for.
    pub gateway: String,
    /// The name that it was written under.
    pub node: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The message; its key names the entry.
    pub message: Outgoing,
    /// Why the gateway refused it, if it did: it is not tried again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Entry {
    /// Its key.
    pub fn key(&self) -> &str {
        self.message.key.as_str()
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Line {
    /// A message is put in.
    Put(Box<Entry>),
    /// It is stored, or nobody wants it any more.
    Gone {
        /// Its key.
        key: String,
    },
    /// It was refused.
    Failed {
        /// Its key.
        key: String,
        /// Why.
        reason: String,
    },
    /// It shall be tried again.
    Retry {
        /// Its key.
        key: String,
    },
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Replayed {
    /// Entries in the order in which they were put in.
    pub(super) entries: Vec<Entry>,
    /// Bytes up to the end of the last whole line.
    pub(super) whole_bytes: usize,
    /// Numbers of lines that cannot be read, from 1.
    pub(super) unreadable: Vec<usize>,
    /// Whether the file was written by a version that we do not know.
    pub(super) is_foreign: bool,
}

/// Reads a file.
pub(super) fn replay(bytes: &[u8]) -> Replayed {
    let whole_bytes = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut replayed = Replayed { whole_bytes, ..Replayed::default() };
    let lines = bytes[..whole_bytes].split(|byte| *byte == b'\n');
    for (index, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        if index == 0 {
            replayed.is_foreign = line != HEADER.as_bytes();
            continue;
        }
        match serde_json::from_slice::<Line>(line) {
            Ok(line) => replayed.take(line),
            Err(_) => replayed.unreadable.push(index + 1),
        }
    }
    replayed
}

impl Replayed {
    fn take(&mut self, line: Line) {
        let place = |entries: &[Entry], key: &str| entries.iter().position(|entry| entry.key() == key);
        match line {
            Line::Put(entry) => {
                if place(&self.entries, entry.key()).is_none() {
                    self.entries.push(*entry);
                }
            }
            Line::Gone { key } => self.entries.retain(|entry| entry.key() != key),
            Line::Failed { key, reason } => {
                if let Some(at) = place(&self.entries, &key) {
                    self.entries[at].failed = Some(reason);
                }
            }
            Line::Retry { key } => {
                if let Some(at) = place(&self.entries, &key) {
                    self.entries[at].failed = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{IdempotencyKey, Kind, PeerName};

    fn entry(key: &str) -> Entry {
        let message = Outgoing {
            to: PeerName::parse("bob").unwrap(),
            kind: Kind::Fyi,
            content: "line\nfeed".into(),
            thread_id: None,
            related_task_id: None,
            key: IdempotencyKey::new(key).unwrap(),
        };
        Entry { gateway: "http://h".into(), node: "alice".into(), at: 1, message, failed: None }
    }

    fn file(lines: &[Line]) -> Vec<u8> {
        let lines = lines.iter().map(|line| serde_json::to_string(line).unwrap());
        std::iter::once(HEADER.to_owned())
            .chain(lines)
            .map(|line| line + "\n")
            .collect::<String>()
            .into_bytes()
    }

    #[test]
    fn later_lines_say_what_became_of_a_message() {
        let bytes = file(&[
            Line::Put(Box::new(entry("a"))),
            Line::Put(Box::new(entry("b"))),
            Line::Put(Box::new(entry("c"))),
            Line::Gone { key: "a".into() },
            Line::Failed { key: "b".into(), reason: "404".into() },
            Line::Failed { key: "c".into(), reason: "500".into() },
            Line::Retry { key: "c".into() },
        ]);
        let replayed = replay(&bytes);
        let left: Vec<_> =
            replayed.entries.iter().map(|entry| (entry.key(), entry.failed.as_deref())).collect();
        assert_eq!(left, [("b", Some("404")), ("c", None)]);
        assert_eq!((replayed.is_foreign, replayed.whole_bytes), (false, bytes.len()));
    }

    #[test]
    fn a_damaged_line_is_named_and_the_others_stay() {
        let mut bytes = file(&[Line::Put(Box::new(entry("a")))]);
        bytes.extend_from_slice(b"not json\n");
        bytes.extend_from_slice(&file(&[Line::Put(Box::new(entry("b")))])[HEADER.len() + 1..]);
        let replayed = replay(&bytes);
        assert_eq!((replayed.entries.len(), replayed.unreadable), (2, vec![3]));
        assert!(replay(b"{\"outbox\":2}\n").is_foreign);
    }

    proptest! {
        /// Whatever a crash left of the file, the messages whose lines were whole are there.
        #[test]
        fn a_cut_file_holds_what_was_whole(count in 1usize..6, cut in any::<prop::sample::Index>()) {
            let lines: Vec<Line> = (0..count).map(|i| Line::Put(Box::new(entry(&format!("k{i}"))))).collect();
            let bytes = file(&lines);
            let cut = cut.index(bytes.len() + 1);
            let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
            let replayed = replay(&bytes[..cut]);
            prop_assert_eq!(replayed.entries.len(), whole);
            prop_assert!(replayed.unreadable.is_empty());
        }
    }
}
