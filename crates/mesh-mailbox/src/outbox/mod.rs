//! Messages on their way: written down and synced before they are sent, kept until their gateway has stored them.
//!
//! - `log`: what the lines of the file mean; pure
//! - `pause`: how long to wait between tries; pure
//!
//! Several processes may use one file at a time: each change is made under its lock. Two that send the same message do no harm,
//! since both use its key.
mod log;
mod pause;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::client::{ClientError, Mailbox, Outgoing, Receipt};
use crate::files::{private, private_folder, sync_folder};
pub use log::Entry;
use log::{HEADER, Line, Replayed, replay};
pub use pause::pause;

/// Bytes beyond which a file is written anew without what is gone.
const COMPACT_BYTES: u64 = 1 << 20;

/// Longest file that is read.
const MAX_BYTES: u64 = 1 << 30;

/// An outbox on disk.
#[derive(Clone, Debug)]
pub struct Outbox {
    folder: PathBuf,
}

/// Why an outbox cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The file cannot be read or written.
    #[error("the outbox {path} cannot be used")]
    Io {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file was written by another version.
    #[error("the outbox {path} was written by another version of this program")]
    Foreign {
        /// The file.
        path: String,
    },
    /// No entry has a key that begins like this, or several have.
    #[error("{found} messages in the outbox have a key that begins with `{key}`")]
    NoSuchKey {
        /// The beginning that was given.
        key: String,
        /// How many entries have it.
        found: usize,
    },
}

/// What came of an attempt to send.
#[derive(Debug)]
pub enum Attempt {
    /// The gateway has stored it.
    Sent(Receipt),
    /// It waits: nothing was decided, or the outcome is unknown.
    Queued(ClientError),
    /// The gateway refused it, or it must not be sent.
    Refused(ClientError),
}

/// What came of sending all that waits.
#[derive(Debug, Default)]
pub struct Drained {
    /// Keys of messages that are stored now.
    pub sent: Vec<String>,
    /// Keys of messages that were refused, and why.
    pub failed: Vec<(String, String)>,
    /// How many still wait.
    pub waiting: usize,
    /// Why the last of them does.
    pub cause: Option<ClientError>,
    /// The gateway takes nothing now.
    pub is_away: bool,
}

impl Outbox {
    /// The outbox in this folder; it need not be there.
    pub fn in_folder(folder: &Path) -> Outbox {
        Outbox { folder: folder.to_owned() }
    }

    /// Where the messages are.
    pub fn path(&self) -> PathBuf {
        self.folder.join("outbox.jsonl")
    }

    /// All entries, the oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, OutboxError> {
        if !self.path().exists() {
            return Ok(Vec::new());
        }
        let (replayed, _) = self.under_lock(|_, _| Ok(()))?;
        Ok(replayed.entries)
    }

    /// Puts a message in; it is on the disk when this returns.
    ///
    /// # Errors
    /// It cannot be written; then it is not in.
    pub fn put(&self, gateway: &str, node: &str, message: &Outgoing) -> Result<(), OutboxError> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let message = message.clone();
        let (gateway, node) = (gateway.to_owned(), node.to_owned());
        self.add(&Line::Put(Box::new(Entry { gateway, node, at, message, failed: None })))
    }

    /// Takes a message out: it is stored, or nobody wants it any more.
    ///
    /// # Errors
    /// It cannot be written; then the message is sent again, under its key.
    pub fn remove(&self, key: &str) -> Result<(), OutboxError> {
        self.add(&Line::Gone { key: key.to_owned() })
    }

    /// Lets a refused message be tried again.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn revive(&self, key: &str) -> Result<(), OutboxError> {
        self.add(&Line::Retry { key: key.to_owned() })
    }

    /// The entry whose key begins like this.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn find(&self, key: &str) -> Result<Entry, OutboxError> {
        let mut found: Vec<Entry> =
            self.entries()?.into_iter().filter(|entry| entry.key().starts_with(key)).collect();
        match found.pop() {
            Some(only) if found.is_empty() => Ok(only),
            other => Err(OutboxError::NoSuchKey {
                key: key.to_owned(),
                found: found.len() + usize::from(other.is_some()),
            }),
        }
    }

    /// Sends a message: first into the file, then what waited before it, then the message itself, several times if need be.
    ///
    /// # Errors
    /// The file cannot be written; then nothing was sent.
    ///
    /// # Cancel safety
    /// Dropped at any point, the message waits in the file, or is stored and waits there all the same: its key keeps it single.
    pub async fn send(
        &self,
        mailbox: &Mailbox,
        message: &Outgoing,
        tries: u32,
    ) -> Result<Attempt, OutboxError> {
        self.put(mailbox.gateway_url(), mailbox.node(), message)?;
        let before = self.drain_before(mailbox, Some(message.key.as_str())).await?;
        if let (Some(cause), true) = (before.cause, before.is_away) {
            return Ok(Attempt::Queued(cause));
        }
        let attempt = try_to_send(mailbox, message, tries).await;
        match &attempt {
            Attempt::Sent(_) | Attempt::Refused(_) => self.remove(message.key.as_str())?,
            Attempt::Queued(_) => {}
        }
        Ok(attempt)
    }

    /// Sends what waits for this mailbox's gateway under its name, the oldest first, until the gateway takes no more.
    ///
    /// # Errors
    /// The file cannot be read or written.
    ///
    /// # Cancel safety
    /// That of [`Outbox::send`].
    pub async fn drain(&self, mailbox: &Mailbox) -> Result<Drained, OutboxError> {
        self.drain_before(mailbox, None).await
    }

    async fn drain_before(&self, mailbox: &Mailbox, end: Option<&str>) -> Result<Drained, OutboxError> {
        let is_ours = |entry: &Entry| {
            entry.gateway == mailbox.gateway_url() && entry.node == mailbox.node() && entry.failed.is_none()
        };
        let entries = self.entries()?.into_iter().filter(is_ours);
        let mut waiting: Vec<Entry> = entries.take_while(|entry| Some(entry.key()) != end).collect();
        waiting.reverse();
        let mut drained = Drained::default();
        while let Some(entry) = waiting.pop() {
            let key = entry.key().to_owned();
            match try_to_send(mailbox, &entry.message, 1).await {
                Attempt::Sent(_) => {
                    self.remove(&key)?;
                    drained.sent.push(key);
                }
                Attempt::Refused(error) => {
                    let reason = error.to_string();
                    self.add(&Line::Failed { key: key.clone(), reason: reason.clone() })?;
                    drained.failed.push((key, reason));
                }
                Attempt::Queued(error) => {
                    drained.waiting += 1;
                    // Something may be wrong with this message alone: the others need not wait for it.
                    let is_its_own = matches!(&error, ClientError::Refused { status: 500, .. });
                    drained.cause = Some(error);
                    if !is_its_own {
                        drained.is_away = true;
                        drained.waiting += waiting.len();
                        break;
                    }
                }
            }
        }
        Ok(drained)
    }

    fn add(&self, line: &Line) -> Result<(), OutboxError> {
        self.under_lock(|file, _| {
            let mut text = serde_json::to_vec(line)?;
            text.push(b'\n');
            file.write_all(&text)?;
            file.sync_data()
        })?;
        Ok(())
    }

    /// Works on the file while nobody else does: its end is that of the last whole line.
    fn under_lock<T>(
        &self,
        work: impl FnOnce(&mut File, &Replayed) -> io::Result<T>,
    ) -> Result<(Replayed, T), OutboxError> {
        let path = self.path();
        let shown = || path.display().to_string();
        let run = || -> io::Result<Option<(Replayed, T)>> {
            private_folder(&self.folder)?;
            let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
                .open(self.folder.join("outbox.lock"))?;
            lock.lock()?;
            let is_new = !path.exists();
            let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
                .open(&path)?;
            let mut bytes = Vec::new();
            (&file).take(MAX_BYTES).read_to_end(&mut bytes)?;
            let mut replayed = replay(&bytes);
            if replayed.is_foreign {
                return Ok(None);
            }
            if replayed.whole_bytes == 0 {
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(format!("{HEADER}\n").as_bytes())?;
                file.sync_data()?;
            } else if replayed.whole_bytes < bytes.len() {
                file.set_len(replayed.whole_bytes as u64)?;
            }
            if is_new {
                sync_folder(&self.folder)?;
            }
            for line in &replayed.unreadable {
                tracing::warn!(target: "mesh_mailbox", line, path = %path.display(), "a line of the outbox cannot be read");
            }
            if bytes.len() as u64 > COMPACT_BYTES && replayed.unreadable.is_empty() {
                file = self.compact(&replayed)?;
            }
            file.seek(SeekFrom::End(0))?;
            let done = work(&mut file, &replayed)?;
            replayed.unreadable.clear();
            Ok(Some((replayed, done)))
        };
        match run() {
            Ok(Some(done)) => Ok(done),
            Ok(None) => Err(OutboxError::Foreign { path: shown() }),
            Err(source) => Err(OutboxError::Io { path: shown(), source }),
        }
    }

    /// Writes the file anew with what is still in it.
    fn compact(&self, replayed: &Replayed) -> io::Result<File> {
        let next = self.folder.join("outbox.jsonl.next");
        let _ = std::fs::remove_file(&next);
        let mut file = private(OpenOptions::new().read(true).write(true).create_new(true)).open(&next)?;
        let mut text = format!("{HEADER}\n").into_bytes();
        for entry in &replayed.entries {
            let line = Line::Put(Box::new(entry.clone()));
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&next, self.path())?;
        sync_folder(&self.folder)?;
        Ok(file)
    }
}

/// A number from 0 to 1 for [`pause`].
pub fn random() -> f64 {
    fastrand::f64()
}

/// Tries a message until it is decided or the tries are used up; the same key at each.
async fn try_to_send(mailbox: &Mailbox, message: &Outgoing, tries: u32) -> Attempt {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match mailbox.send(message).await {
            Ok(receipt) => return Attempt::Sent(receipt),
            Err(error) if !error.is_transient() => return Attempt::Refused(error),
            Err(error) if attempt >= tries => return Attempt::Queued(error),
            Err(error) => {
                let asked = match &error {
                    ClientError::Refused { retry_after, .. } => *retry_after,
                    _ => None,
                };
                tokio::time::sleep(pause(attempt, asked, fastrand::f64())).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn mailbox() -> Mailbox {
        // Nothing listens on port 1.
        Mailbox::builder("alice").gateway_url("http://127.0.0.1:1").token("").build().unwrap()
    }

    #[tokio::test]
    async fn a_message_waits_until_somebody_answers() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::in_folder(&folder.path().join("mailbox"));
        assert_eq!(outbox.entries().unwrap(), []);
        let mailbox = mailbox();
        let message = mailbox.compose("bob", Kind::Fyi, "hello").unwrap();
        assert!(matches!(outbox.send(&mailbox, &message, 1).await.unwrap(), Attempt::Queued(_)));
        let other = mailbox.compose("bob", Kind::Fyi, "again").unwrap();
        assert!(matches!(outbox.send(&mailbox, &other, 1).await.unwrap(), Attempt::Queued(_)));
        let entries = outbox.entries().unwrap();
        assert_eq!(entries.iter().map(|entry| &entry.message).collect::<Vec<_>>(), [&message, &other]);
        assert_eq!((entries[0].gateway.as_str(), entries[0].node.as_str()), ("http://127.0.0.1:1", "alice"));
        assert_eq!(outbox.drain(&mailbox).await.unwrap().waiting, 2);
        assert_eq!(outbox.find(entries[0].key()).unwrap(), entries[0]);
        assert!(outbox.find("nothing").is_err() && outbox.find("").is_err());
        outbox.remove(entries[0].key()).unwrap();
        assert_eq!(outbox.entries().unwrap(), entries[1..]);
    }

    #[test]
    fn what_a_crash_left_behind_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::in_folder(folder.path());
        let mailbox = mailbox();
        let compose = |text: &str| mailbox.compose("bob", Kind::Fyi, text).unwrap();
        outbox.put("http://h", "alice", &compose("one")).unwrap();
        let mut bytes = std::fs::read(outbox.path()).unwrap();
        bytes.extend_from_slice(br#"{"op":"put","gatew"#);
        std::fs::write(outbox.path(), bytes).unwrap();
        outbox.put("http://h", "alice", &compose("two")).unwrap();
        let texts: Vec<String> =
            outbox.entries().unwrap().into_iter().map(|entry| entry.message.content).collect();
        assert_eq!(texts, ["one", "two"]);
    }

    #[test]
    fn a_long_file_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::in_folder(folder.path());
        let mailbox = mailbox();
        let large = "x".repeat(300_000);
        let mut kept = Vec::new();
        for round in 0..6 {
            let message = mailbox.compose("bob", Kind::Fyi, format!("{round} {large}")).unwrap();
            outbox.put("http://h", "alice", &message).unwrap();
            if round < 5 {
                outbox.remove(message.key.as_str()).unwrap();
            } else {
                kept.push(message);
            }
        }
        let length = std::fs::metadata(outbox.path()).unwrap().len();
        assert!(length < COMPACT_BYTES, "{length}");
        let left: Vec<Outgoing> = outbox.entries().unwrap().into_iter().map(|entry| entry.message).collect();
        assert_eq!(left, kept);
    }

    #[test]
    fn a_file_of_another_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::in_folder(folder.path());
        std::fs::write(outbox.path(), "{\"outbox\":2}\n").unwrap();
        let message = mailbox().compose("bob", Kind::Fyi, "x").unwrap();
        assert!(matches!(outbox.put("http://h", "alice", &message), Err(OutboxError::Foreign { .. })));
        assert_eq!(std::fs::read_to_string(outbox.path()).unwrap(), "{\"outbox\":2}\n");
    }
}
