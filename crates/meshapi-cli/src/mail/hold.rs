//! Pure: what waits and what is held. Who was told of what, and which keys and threads the messages of a piece of work go out under.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_agent::mail::{Mail, News, Outcome};

/// Unread messages that are remembered; of more only these are told.
const MOST: usize = 1_000;

/// An unread message: enough to tell of it, and not a word of what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) from: String,
    pub(super) is_verified: bool,
    pub(super) thread: Option<String>,
    pub(super) at: Option<String>,
}

/// A message that is worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) mail: Mail,
    /// `None` where the gateway knows no leases.
    pub(super) lease: Option<String>,
    /// What comes of it, and a word about it.
    pub(super) decided: Option<(Outcome, Option<String>)>,
}

/// The one message that a turn works on. Others are left where they are: no peer's words get into another's conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) id: i64,
    pub(super) from: String,
    /// Threads that this work has opened: answers in them belong to it.
    pub(super) threads: BTreeSet<String>,
    /// Its sender was given an answer by the model itself.
    pub(super) is_answered: bool,
}

/// The state of a mailbox in a session.
#[derive(Debug, Default)]
pub(super) struct Hold {
    waiting: BTreeMap<i64, Waiting>,
    pub(super) held: Vec<Held>,
    told: BTreeSet<i64>,
    /// Messages of which was said that they start no turn any more.
    pub(super) spent: BTreeSet<i64>,
    /// Messages whose turn was stopped: they wait for the user.
    pub(super) left_alone: BTreeSet<i64>,
    pub(super) work: Option<Work>,
    /// Messages of this turn to each peer.
    sent: HashMap<String, u32>,
}

impl Hold {
    /// A message waits. Says whether that is new.
    pub(super) fn arrived(&mut self, id: i64, waiting: Waiting) -> bool {
        let is_known = self.held.iter().any(|held| held.mail.id == id) || self.waiting.contains_key(&id);
        if is_known || self.waiting.len() >= MOST {
            return false;
        }
        self.waiting.insert(id, waiting);
        true
    }

    /// A message waits no more: somebody read it.
    pub(super) fn gone(&mut self, id: i64) {
        self.waiting.remove(&id);
    }

    /// Only these wait.
    pub(super) fn only(&mut self, ids: &BTreeSet<i64>) {
        self.waiting.retain(|id, _| ids.contains(id));
    }

    /// What waits, the oldest first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (i64, &Waiting)> {
        self.waiting.iter().map(|(id, waiting)| (*id, waiting))
    }

    /// A message is held from now on.
    pub(super) fn hold(&mut self, held: Held) {
        self.waiting.remove(&held.mail.id);
        self.told.insert(held.mail.id);
        self.held.retain(|before| before.mail.id != held.mail.id);
        self.held.push(held);
    }

    /// Everything that is held is let go; what is given back waits again.
    pub(super) fn release(&mut self, given_back: bool) -> Vec<Held> {
        self.sent.clear();
        let held = std::mem::take(&mut self.held);
        if given_back {
            for Held { mail, .. } in &held {
                let (from, thread, at) = (mail.from.clone(), mail.thread.clone(), mail.at.clone());
                self.waiting.insert(mail.id, Waiting { from, is_verified: mail.is_verified, thread, at });
            }
        }
        held
    }

    /// Counts and names of what waits; a run that works on one message is not told of others.
    pub(super) fn news(&self) -> Option<News> {
        if self.waiting.is_empty() || self.work.is_some() {
            return None;
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for waiting in self.waiting.values() {
            *counts.entry(&waiting.from).or_default() += 1;
        }
        let mut senders: Vec<(String, usize)> =
            counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        senders.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Some(News { unread: self.waiting.len(), senders })
    }

    /// The same if something of it was not told yet; now it is.
    pub(super) fn untold(&mut self) -> Option<News> {
        let news = self.news()?;
        let before = self.told.len();
        self.told.extend(self.waiting.keys());
        (self.told.len() > before).then_some(news)
    }

    /// The thread of a message to this peer that names none: that of what they wrote, or a new one that belongs to the work at hand.
    pub(super) fn thread_for(&self, node: &str, to: &str) -> Option<String> {
        let of = self.held.iter().rev().find(|held| held.mail.from == to && held.lease.is_some());
        match (of, &self.work) {
            (Some(held), _) => Some(thread_of(&held.mail)),
            (None, Some(work)) => Some(format!("{node}-{}-{to}", work.id)),
            (None, None) => None,
        }
    }

    /// Notes a message to a peer and gives its key, which is the same when the work is begun again after a crash. `None` where the
    /// message belongs to no work.
    pub(super) fn key_for(&mut self, to: &str) -> Option<String> {
        let about = match &self.work {
            Some(work) => self.held.iter().find(|held| held.mail.id == work.id),
            None => self.held.iter().rev().find(|held| held.mail.from == to),
        };
        let mail = &about?.mail;
        let stem = format!("w{}-{}", mail.id, stamp(mail));
        let count = self.sent.entry(to.to_owned()).or_default();
        *count += 1;
        // Gateways take 128 characters; a name has at most 64.
        Some(format!("{stem}-{to}-{count}"))
    }
}

/// The thread of a message: its own, or one that begins with it.
pub(super) fn thread_of(mail: &Mail) -> String {
    mail.thread.clone().unwrap_or_else(|| format!("re-{}", mail.id))
}

/// The key of the answer to a message: one whatever it says.
pub(super) fn answer_key(mail: &Mail) -> String {
    format!("a{}-{}", mail.id, stamp(mail))
}

/// The message in whose work a thread of ours was opened.
pub(super) fn parent_of(thread: &str, node: &str, from: &str) -> Option<i64> {
    thread.strip_prefix(node)?.strip_prefix('-')?.strip_suffix(from)?.strip_suffix('-')?.parse().ok()
}

/// The digits of the moment at which a message was stored: with its number they name it, also where a gateway began afresh.
fn stamp(mail: &Mail) -> String {
    mail.at.as_deref().unwrap_or_default().chars().filter(char::is_ascii_digit).take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(from: &str) -> Waiting {
        Waiting { from: from.into(), is_verified: true, thread: None, at: None }
    }

    fn held(id: i64, from: &str, thread: Option<&str>) -> Held {
        let at = Some("2026-11-20T21:43:18.286978+00:00".to_owned());
        let mail = Mail { id, from: from.into(), thread: thread.map(str::to_owned), at, ..Mail::default() };
        Held { mail, lease: Some("l".into()), decided: None }
    }

    #[test]
    fn each_message_is_told_once_and_again_when_it_comes_back() {
        let mut hold = Hold::default();
        assert_eq!(hold.untold(), None);
        assert!(hold.arrived(1, waiting("bob")) && !hold.arrived(1, waiting("bob")));
        assert_eq!(hold.untold().unwrap().line(), "1 unread message, from bob");
        assert_eq!(hold.untold(), None);
        hold.arrived(2, waiting("alice"));
        hold.arrived(3, waiting("alice"));
        assert_eq!(hold.untold().unwrap().line(), "3 unread messages, from alice (2), bob");
        hold.hold(held(1, "bob", None));
        assert_eq!(hold.news().unwrap().unread, 2);
        hold.only(&BTreeSet::from([2]));
        assert_eq!(hold.release(true).len(), 1);
        assert_eq!(hold.news().unwrap().line(), "2 unread messages, from alice, bob");
        assert_eq!(hold.untold(), None, "it was told before");
    }

    #[test]
    fn work_that_is_begun_again_goes_by_the_same_keys_and_threads() {
        let run = || {
            let mut hold = Hold::default();
            hold.hold(held(7, "bob", None));
            let threads = BTreeSet::new();
            hold.work = Some(Work { id: 7, from: "bob".into(), threads, is_answered: false });
            let threads = (hold.thread_for("alice", "bob"), hold.thread_for("alice", "carol-2"));
            (hold.key_for("carol-2"), hold.key_for("carol-2"), hold.key_for("bob"), threads)
        };
        let (first, second, other, threads) = run();
        assert_eq!(run(), (first.clone(), second.clone(), other.clone(), threads.clone()));
        assert_eq!(first.as_deref(), Some("w7-20261120214318286978-carol-2-1"));
        assert!(first != second && first != other);
        assert_eq!(threads, (Some("re-7".into()), Some("alice-7-carol-2".into())));
        assert_eq!(parent_of("alice-7-carol-2", "alice", "carol-2"), Some(7));
        for none in ["alice-7-bob", "re-7", "alice--carol-2", "alice-x-carol-2", "alice-carol-2"] {
            assert_eq!(parent_of(none, "alice", "carol-2"), None, "{none}");
        }
        assert_eq!(answer_key(&held(7, "bob", None).mail), "a7-20261120214318286978");
    }

    #[test]
    fn what_belongs_to_no_work_has_no_key_of_ours() {
        let mut hold = Hold::default();
        assert_eq!((hold.key_for("bob"), hold.thread_for("alice", "bob")), (None, None));
        hold.hold(held(7, "bob", Some("t-1")));
        assert_eq!(hold.thread_for("alice", "bob").as_deref(), Some("t-1"));
        assert_eq!((hold.key_for("carol"), hold.thread_for("alice", "carol")), (None, None));
    }
}
