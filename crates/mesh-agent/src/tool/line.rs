//! The line between a running call and those who watch it: progress one way, the wish to stop the other.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Where a call says how it gets on, and hears that it should stop. Cheap to clone; clones are one line.
#[derive(Clone, Debug)]
pub struct CallLine {
    note: Arc<Mutex<Option<String>>>,
    stop: watch::Sender<bool>,
}

impl Default for CallLine {
    fn default() -> CallLine {
        CallLine { note: Arc::default(), stop: watch::Sender::new(false) }
    }
}

impl CallLine {
    /// Says in a few words what the call is doing, such as `waiting up to 30 s for port 5173`.
    pub fn say(&self, note: &str) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = Some(note.to_owned());
    }

    /// What was said last by the call that runs.
    pub fn note(&self) -> Option<String> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the call should stop. A tool that has something to show for itself returns it then; one that does
    /// not listen is dropped a moment later.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Asks the running call to stop.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Clears the line for the next call.
    pub(crate) fn clear(&self) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.stop.send_replace(false);
    }
}
