//! What has to outlive the process: messages that were answered, peers that were written to, what threads have used.
//!
//! A file that only grows, private, a line of JSON each, synced before what it says is acted upon. A line that was cut off by a crash
//! counts as never written. Several processes may use it: each line is whole, and what others wrote is read before it matters.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mesh_agent::mail::Outcome;
use serde::{Deserialize, Serialize};

use super::allowance::{Allowance, Used};
use crate::config::Folder;

/// Name of the file in the mail's folder.
pub const FILE: &str = "agent.jsonl";
/// The first line. A file without one is of this version too.
const HEADER: &str = r#"{"agent":1}"#;
/// Bytes beyond which the file is written anew when it is opened. Our choice: some 10,000 messages.
const COMPACT_BYTES: u64 = 1 << 20;
/// Answered messages that are kept then. Older ones are long acknowledged: a gateway gives a message out five times.
const KEPT: usize = 2_000;
/// Longest file that is read.
const MAX_BYTES: u64 = 64 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Line {
    /// A message was dealt with; that it be acknowledged is the next step.
    Answered { node: String, id: i64, at: String, outcome: String },
    /// The user's agent wrote to a peer.
    Wrote { to: String },
    /// A turn ran for a message of a thread.
    Turn { node: String, peer: String, thread: String, tokens: u64 },
    /// The user allowed a peer's messages to start turns, or took that back.
    Auto { peer: String, allowance: Option<Allowance> },
}

/// What the lines say.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    answered: Vec<(String, i64, String, String)>,
    wrote: BTreeSet<String>,
    used: HashMap<(String, String, String), Used>,
    auto: HashMap<String, Option<Allowance>>,
}

/// The journal of a home.
#[derive(Debug)]
pub struct Journal {
    folder: Folder,
    state: Mutex<(Said, u64)>,
}

impl Said {
    fn take(&mut self, line: Line) {
        match line {
            Line::Answered { node, id, at, outcome } => self.answered.push((node, id, at, outcome)),
            Line::Wrote { to } => drop(self.wrote.insert(to)),
            Line::Turn { node, peer, thread, tokens } => {
                let used = self.used.entry((node, peer, thread)).or_default();
                used.turns += 1;
                used.tokens = used.tokens.saturating_add(tokens);
            }
            Line::Auto { peer, allowance } => drop(self.auto.insert(peer, allowance)),
        }
    }

    /// Takes whole lines; says how many bytes they are.
    fn read(&mut self, bytes: &[u8]) -> u64 {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if line == HEADER.as_bytes() {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(line) => self.take(line),
                // One that was cut off, or is of a later version.
                Err(error) => tracing::warn!(%error, "a line of the mail's journal cannot be read"),
            }
        }
        whole as u64
    }
}

impl Journal {
    /// Opens the journal of this folder; it need not be there.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn open(folder: &Path) -> io::Result<Journal> {
        let journal = Journal { folder: Folder::at(folder), state: Mutex::default() };
        if journal.folder.file(FILE).exists() {
            if is_foreign(&journal.folder.file(FILE))? {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it was written by another version"));
            }
            journal.refresh()?;
            if journal.lock().1 > COMPACT_BYTES {
                journal.compact()?;
            }
        }
        Ok(journal)
    }

    fn lock(&self) -> MutexGuard<'_, (Said, u64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what was written since.
    fn refresh(&self) -> io::Result<()> {
        let mut state = self.lock();
        let mut file = match std::fs::File::open(self.folder.file(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let length = file.metadata()?.len();
        if length < state.1 {
            // Another process wrote it anew.
            *state = (Said::default(), 0);
        }
        if length == state.1 {
            return Ok(());
        }
        file.seek(SeekFrom::Start(state.1))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        let read = state.0.read(&bytes);
        state.1 += read;
        Ok(())
    }

    fn add(&self, line: &Line) -> io::Result<()> {
        let mut file = self.folder.append(FILE)?;
        file.lock()?;
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let head = match (file.metadata()?.len(), ends_within_a_line(&self.folder.file(FILE))?) {
            (0, _) => format!("{HEADER}\n"),
            (_, true) => "\n".to_owned(),
            (_, false) => String::new(),
        };
        text.splice(0..0, head.into_bytes());
        file.write_all(&text)?;
        file.sync_data()?;
        drop(file);
        self.refresh()
    }

    /// Writes the file anew with what still matters.
    fn compact(&self) -> io::Result<()> {
        let said = self.lock().0.clone();
        let mut lines: Vec<Line> = Vec::new();
        let skip = said.answered.len().saturating_sub(KEPT);
        lines.extend(said.answered.into_iter().skip(skip).map(|(node, id, at, outcome)| Line::Answered {
            node,
            id,
            at,
            outcome,
        }));
        lines.extend(said.wrote.into_iter().map(|to| Line::Wrote { to }));
        for ((node, peer, thread), used) in said.used {
            let turn = |tokens| Line::Turn {
                node: node.clone(),
                peer: peer.clone(),
                thread: thread.clone(),
                tokens,
            };
            lines.push(turn(used.tokens));
            lines.extend((1..used.turns).map(|_| turn(0)));
        }
        lines.extend(said.auto.into_iter().map(|(peer, allowance)| Line::Auto { peer, allowance }));
        let mut text = format!("{HEADER}\n").into_bytes();
        for line in lines {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        self.folder.write(FILE, &text, crate::config::Durability::Synced)?;
        *self.lock() = (Said::default(), 0);
        self.refresh()
    }

    /// What came of a message that was dealt with before. A message is known by its number and the moment at which it was stored: a
    /// gateway that begins afresh counts from 1 again.
    pub fn answered(&self, node: &str, id: i64, at: &str) -> Option<Outcome> {
        let _ = self.refresh();
        let state = self.lock();
        let found = state
            .0
            .answered
            .iter()
            .rev()
            .find(|(of, known, when, _)| of == node && *known == id && when == at);
        found.map(|(.., outcome)| Outcome::parse(outcome).unwrap_or_default())
    }

    /// Whether a message of this number was dealt with, whenever it was stored.
    pub fn knows(&self, node: &str, id: i64) -> bool {
        let _ = self.refresh();
        self.lock().0.answered.iter().any(|(of, known, ..)| of == node && *known == id)
    }

    /// Notes that a message is dealt with.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn answer(&self, node: &str, id: i64, at: &str, outcome: Outcome) -> io::Result<()> {
        let outcome = outcome.as_str().to_owned();
        self.add(&Line::Answered { node: node.to_owned(), id, at: at.to_owned(), outcome })
    }

    /// Has this user's agent, or the user, written to this peer?
    pub fn wrote(&self, to: &str) -> bool {
        let _ = self.refresh();
        self.lock().0.wrote.contains(to)
    }

    /// Notes that a peer was written to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_to(&self, to: &str) -> io::Result<()> {
        if self.wrote(to) {
            return Ok(());
        }
        self.add(&Line::Wrote { to: to.to_owned() })
    }

    /// What a thread has used.
    pub fn used(&self, node: &str, peer: &str, thread: &str) -> Used {
        let _ = self.refresh();
        let key = (node.to_owned(), peer.to_owned(), thread.to_owned());
        self.lock().0.used.get(&key).copied().unwrap_or_default()
    }

    /// Notes a turn of a thread.
    ///
    /// # Errors
    /// It cannot be written; then no turn may run.
    pub fn spend(&self, node: &str, peer: &str, thread: &str, tokens: u64) -> io::Result<()> {
        let [node, peer, thread] = [node, peer, thread].map(str::to_owned);
        self.add(&Line::Turn { node, peer, thread, tokens })
    }

    /// What the user allowed this peer at the prompt; `Some(None)` where they took it back.
    pub fn auto(&self, peer: &str) -> Option<Option<Allowance>> {
        let _ = self.refresh();
        self.lock().0.auto.get(peer).copied()
    }

    /// All that the user allowed or took back at the prompt.
    pub fn autos(&self) -> Vec<(String, Option<Allowance>)> {
        let _ = self.refresh();
        let mut all: Vec<_> =
            self.lock().0.auto.iter().map(|(peer, allowed)| (peer.clone(), *allowed)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Notes what the user allows a peer.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn allow(&self, peer: &str, allowance: Option<Allowance>) -> io::Result<()> {
        self.add(&Line::Auto { peer: peer.to_owned(), allowance })
    }
}

/// Whether the first line names a version that we do not know.
fn is_foreign(path: &Path) -> io::Result<bool> {
    let mut begin = Vec::new();
    std::fs::File::open(path)?.take(64).read_to_end(&mut begin)?;
    let first = begin.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(first.starts_with(br#"{"agent":"#) && first != HEADER.as_bytes())
}

fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let mut file = std::fs::File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != [b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_there_after_a_crash_and_in_another_process() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("mailbox");
        let journal = Journal::open(&folder).unwrap();
        let other = Journal::open(&folder).unwrap();
        assert_eq!(journal.answered("alice", 7, "t"), None);
        journal.answer("alice", 7, "t", Outcome::Failed).unwrap();
        journal.write_to("bob").unwrap();
        journal.spend("alice", "bob", "x", 40).unwrap();
        journal.allow("bob", Some(Allowance { turns: 3, tokens: 10 })).unwrap();
        // Cut off in the middle of a line.
        let path = folder.join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(br#"{"op":"wrote","#);
        std::fs::write(&path, bytes).unwrap();
        other.spend("alice", "bob", "x", 2).unwrap();
        for journal in [&journal, &other, &Journal::open(&folder).unwrap()] {
            assert_eq!(journal.answered("alice", 7, "t"), Some(Outcome::Failed));
            assert_eq!(journal.answered("alice", 7, "another moment"), None);
            assert_eq!(journal.answered("carol", 7, "t"), None);
            assert!(journal.knows("alice", 7) && !journal.knows("alice", 8));
            assert!(journal.wrote("bob") && !journal.wrote("carol"));
            assert_eq!(journal.used("alice", "bob", "x"), Used { turns: 2, tokens: 42 });
            assert_eq!(journal.auto("bob"), Some(Some(Allowance { turns: 3, tokens: 10 })));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_journal_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, "{\"agent\":2}\n").unwrap();
        assert!(Journal::open(folder.path()).is_err());
        std::fs::remove_file(&path).unwrap();
        Journal::open(folder.path()).unwrap().write_to("bob").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"agent\":1}\n{\"op\":\"wrote\",\"to\":\"bob\"}\n");
    }

    #[test]
    fn a_long_journal_keeps_what_matters() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::new();
        for id in 0..20_000 {
            text.push_str(&format!("{{\"op\":\"answered\",\"node\":\"alice\",\"id\":{id},\"at\":\"2026-11-21\",\"outcome\":\"done\"}}\n"));
        }
        text.push_str(
            "{\"op\":\"turn\",\"node\":\"a\",\"peer\":\"b\",\"thread\":\"t\",\"tokens\":5}\n"
                .repeat(3)
                .as_str(),
        );
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        assert!(std::fs::metadata(folder.path().join(FILE)).unwrap().len() < COMPACT_BYTES / 2);
        assert!(journal.knows("alice", 19_999) && !journal.knows("alice", 3));
        assert_eq!(journal.used("a", "b", "t"), Used { turns: 3, tokens: 15 });
    }
}
