//! A raised hand: it ends a turn in order, or only the call that runs.

use tokio::sync::watch;

/// Raised by a signal handler or a key; seen by every wait of a turn. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Interrupt {
    raised: watch::Sender<bool>,
    /// Counts the wishes to stop the running call.
    stops: watch::Sender<u64>,
}

impl Default for Interrupt {
    fn default() -> Interrupt {
        Interrupt { raised: watch::Sender::new(false), stops: watch::Sender::new(0) }
    }
}

impl Interrupt {
    /// Raises the hand.
    pub fn raise(&self) {
        self.raised.send_replace(true);
    }

    /// Lowers it again, before the next turn.
    pub fn clear(&self) {
        self.raised.send_replace(false);
    }

    /// Stops the tool call that runs, and withdraws a question that is open; the turn goes on. Without either, nothing.
    pub fn stop_call(&self) {
        self.stops.send_modify(|stops| *stops += 1);
    }

    /// Waits until [`Interrupt::stop_call`] is called after this was.
    ///
    /// # Cancel safety
    /// Nothing is lost; a call from before is not seen.
    pub fn call_stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stops = self.stops.subscribe();
        async move {
            let _ = stops.changed().await;
        }
    }

    /// Is it up?
    pub fn is_raised(&self) -> bool {
        *self.raised.borrow()
    }

    /// Waits for `future`, or drops it and gives `None` as soon as the hand is up.
    ///
    /// # Cancel safety
    /// As that of `future`.
    pub async fn unless<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut seen = self.raised.subscribe();
        tokio::select! {
            biased;
            _ = seen.wait_for(|up| *up) => None,
            value = future => Some(value),
        }
    }
}
