//! A raised hand that ends a turn in order.

use tokio::sync::watch;

/// Raised by a signal handler or a key; seen by every wait of a turn. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Interrupt {
    raised: watch::Sender<bool>,
}

impl Default for Interrupt {
    fn default() -> Interrupt {
        Interrupt { raised: watch::Sender::new(false) }
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
