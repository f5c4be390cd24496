//! Who waits for mail. A waiter signs in, then looks, then waits: what comes between the look and the wait wakes it all the same.
//!
//! A wake-up is a hint. It takes no message, and a waiter that is gone takes none with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The inboxes that somebody waits for.
#[derive(Debug, Default)]
pub struct Hub {
    inboxes: Mutex<HashMap<String, watch::Sender<u64>>>,
}

/// One who waits for an inbox.
#[derive(Debug)]
pub struct Waiter {
    hub: Arc<Hub>,
    inbox: String,
    changes: watch::Receiver<u64>,
}

impl Hub {
    /// Signs a waiter in.
    pub fn wait_for(self: &Arc<Hub>, inbox: &str) -> Waiter {
        let mut inboxes = self.inboxes();
        let changes = match inboxes.get(inbox) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, changes) = watch::channel(0);
                inboxes.insert(inbox.to_owned(), sender);
                changes
            }
        };
        Waiter { hub: Arc::clone(self), inbox: inbox.to_owned(), changes }
    }

    /// Wakes all who wait for an inbox.
    pub fn wake(&self, inbox: &str) {
        if let Some(sender) = self.inboxes().get(inbox) {
            sender.send_modify(|changes| *changes += 1);
        }
    }

    /// The inboxes that somebody waits for.
    pub fn awaited(&self) -> Vec<String> {
        self.inboxes().keys().cloned().collect()
    }

    /// How many inboxes somebody waits for.
    pub fn waiting(&self) -> usize {
        self.inboxes().len()
    }

    fn inboxes(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Notes that all wake-ups so far are known; to be called before a look.
    pub fn look(&mut self) {
        self.changes.mark_unchanged();
    }

    /// Waits until something came after the last [`Waiter::look`].
    ///
    /// # Cancel safety
    /// Nothing is lost: a wake-up that nobody awaited is found by the next call.
    pub async fn woken(&mut self) {
        // The hub outlives its waiters: the channel is never closed.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut inboxes = self.hub.inboxes();
        // This waiter is still counted.
        if inboxes.get(&self.inbox).is_some_and(|sender| sender.receiver_count() <= 1) {
            inboxes.remove(&self.inbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wake_up_between_look_and_wait_is_not_missed() {
        let hub = Arc::new(Hub::default());
        let mut waiter = hub.wait_for("bob");
        waiter.look();
        hub.wake("bob");
        hub.wake("carol");
        waiter.woken().await;
        waiter.look();
        let woken = tokio::time::timeout(std::time::Duration::from_millis(1), waiter.woken()).await;
        assert!(woken.is_err());
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let hub = Arc::new(Hub::default());
        let (one, other) = (hub.wait_for("bob"), hub.wait_for("bob"));
        drop(one);
        assert_eq!(hub.waiting(), 1);
        drop(other);
        assert_eq!(hub.waiting(), 0);
    }
}
