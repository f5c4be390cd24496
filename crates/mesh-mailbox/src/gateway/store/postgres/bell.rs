//! Telling other gateways of new mail, after its commit and outside of its transaction.
//!
//! A ring is a hint: what cannot be told is left out, and is seen by the others' next look.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::link::{Link, Runner};
use super::place::PostgresPlace;
use super::session::Purpose;
use super::step::Step;
use crate::gateway::store::StoreError;

/// Where gateways listen.
pub(super) const CHANNEL: &str = "mesh_news";

/// Shortest time between two rings. From the mailbox's design.
const PAUSE: Duration = Duration::from_millis(5);

/// Most bytes of a notification: PostgreSQL takes less than 8000.
const MAX_BYTES: usize = 7900;

/// What a notification says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ring {
    /// Which gateway rings.
    pub(super) from: String,
    /// Inboxes with new mail; `None` when they cannot be named.
    pub(super) inboxes: Option<Vec<String>>,
    /// Peers, groups or invitations were changed.
    pub(super) is_directory_changed: bool,
}

impl Ring {
    /// Who rings, then what for, then the inboxes, a line each.
    fn encode(&self) -> String {
        let directory = if self.is_directory_changed { "d" } else { "" };
        let names = self.inboxes.iter().flatten();
        let is_told = self.inboxes.is_some()
            && names.clone().all(|name| !name.contains(['\n', '\0']))
            && names.clone().map(|name| name.len() + 1).sum::<usize>() < MAX_BYTES - 100;
        if !is_told {
            return format!("{} *{directory}", self.from);
        }
        names.fold(format!("{} -{directory}", self.from), |text, name| text + "\n" + name)
    }

    /// Reads a notification; what it cannot read says that something happened.
    pub(super) fn decode(text: &str) -> Ring {
        let mut lines = text.split('\n');
        let (from, flags) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or(("", "*d"));
        Ring {
            from: from.to_owned(),
            inboxes: (!flags.contains('*')).then(|| lines.map(str::to_owned).collect()),
            is_directory_changed: flags.contains('d'),
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    inboxes: BTreeSet<String>,
    is_directory_changed: bool,
    is_closed: bool,
}

/// What waits to be told, and the thread that tells it.
#[derive(Debug)]
pub(super) struct Bell {
    name: String,
    waiting: Arc<(Mutex<Waiting>, Condvar)>,
}

impl Bell {
    /// Starts the thread. It connects when there is something to tell.
    ///
    /// # Errors
    /// The system refuses what it needs.
    pub(super) fn new(place: Arc<PostgresPlace>) -> Result<Bell, StoreError> {
        let name = format!("{:016x}", fastrand::u64(..));
        let waiting = Arc::new((Mutex::new(Waiting::default()), Condvar::new()));
        let bell = Bell { name: name.clone(), waiting: Arc::clone(&waiting) };
        let runner = Runner::new()?;
        thread::Builder::new()
            .name("mailbox-bell".to_owned())
            .spawn(move || tell(&waiting, &name, &runner, Link::new(place, Purpose::Hints)))
            .map_err(|error| StoreError::Failed(format!("no thread: {error}")))?;
        Ok(bell)
    }

    /// What this gateway calls itself.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Has others told. Returns at once.
    pub(super) fn ring<'n>(&self, inboxes: impl Iterator<Item = &'n String>, is_directory_changed: bool) {
        let mut waiting = held(&self.waiting.0);
        for inbox in inboxes {
            if !waiting.inboxes.contains(inbox) {
                waiting.inboxes.insert(inbox.clone());
            }
        }
        waiting.is_directory_changed |= is_directory_changed;
        if !waiting.inboxes.is_empty() || waiting.is_directory_changed {
            self.waiting.1.notify_one();
        }
    }
}

/// The thread ends by itself, after what it is about.
impl Drop for Bell {
    fn drop(&mut self) {
        held(&self.waiting.0).is_closed = true;
        self.waiting.1.notify_one();
    }
}

fn held(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(waiting: &(Mutex<Waiting>, Condvar), name: &str, runner: &Runner, mut link: Link) {
    let mut is_mute = false;
    loop {
        let is_idle =
            |now: &mut Waiting| now.inboxes.is_empty() && !now.is_directory_changed && !now.is_closed;
        let mut now = waiting.1.wait_while(held(&waiting.0), is_idle).unwrap_or_else(PoisonError::into_inner);
        if now.inboxes.is_empty() && !now.is_directory_changed {
            return;
        }
        let Waiting { inboxes, is_directory_changed, is_closed } = std::mem::take(&mut *now);
        now.is_closed = is_closed;
        drop(now);
        let ring = Ring {
            from: name.to_owned(),
            inboxes: Some(inboxes.into_iter().collect()),
            is_directory_changed,
        };
        let payload = ring.encode();
        let step = || Step::new("SELECT pg_notify($1, $2)").with(CHANNEL).with(payload.clone());
        match runner.run(link.look(step)) {
            Ok(_) => is_mute = false,
            Err(error) if !std::mem::replace(&mut is_mute, true) => {
                tracing::warn!(target: "mesh_mailbox::gateway", %error, "other gateways are not notified; they look by themselves");
            }
            Err(_) => {}
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_heard_as_it_was_meant() {
        let ring = |inboxes: Option<&[&str]>, is_directory_changed| Ring {
            from: "a1".into(),
            inboxes: inboxes.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            is_directory_changed,
        };
        for meant in [
            ring(Some(&["bob", "carol d"]), false),
            ring(Some(&[]), true),
            ring(Some(&["bob"]), true),
            ring(None, false),
        ] {
            assert_eq!(Ring::decode(&meant.encode()), meant);
        }
        let many: Vec<String> = (0..2000).map(|number| format!("peer{number}")).collect();
        let loud = Ring { from: "a1".into(), inboxes: Some(many), is_directory_changed: false };
        assert_eq!(Ring::decode(&loud.encode()), ring(None, false));
        assert_eq!(Ring::decode(&ring(Some(&["b\nc"]), true).encode()), ring(None, true));
        assert_eq!(Ring::decode(""), Ring { inboxes: None, is_directory_changed: true, ..Ring::default() });
    }
}
