//! Pure: when a stream runs faster than anyone reads, look at it less often.

use std::time::{Duration, Instant};

/// Two pieces closer than this came quickly: more than 250 a second.
const QUICK: Duration = Duration::from_millis(4);

/// So many quick pieces in a row are a run, not the jitter of a network. Our choice: a short reply never waits.
const RUN: u32 = 16;

/// Decides how long to leave a connection alone before the next look at it.
#[derive(Debug)]
pub(crate) struct Pace {
    pause: Duration,
    last: Option<Instant>,
    quick: u32,
}

impl Pace {
    /// In a run, looks at the connection twice per `pause`: once to see that it still runs, once for all that came.
    pub(crate) fn new(pause: Duration) -> Pace {
        Pace { pause, last: None, quick: 0 }
    }

    /// A piece has come. Returns how long to wait before the next look, if the stream runs.
    pub(crate) fn piece(&mut self, now: Instant) -> Option<Duration> {
        let is_quick = self.last.is_some_and(|last| now.duration_since(last) < QUICK);
        self.last = Some(now);
        self.quick = if is_quick { self.quick + 1 } else { 0 };
        (self.quick >= RUN).then_some(self.pause)
    }

    /// What came during a wait was taken: it says nothing of the speed.
    pub(crate) fn gathered(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(30);

    /// Whether the last of pieces this many milliseconds apart makes the stream wait.
    fn waits(gaps: impl IntoIterator<Item = u64>) -> bool {
        let mut now = Instant::now();
        let mut pace = Pace::new(PAUSE);
        let mut wait = pace.piece(now);
        for gap in gaps {
            now += Duration::from_millis(gap);
            wait = pace.piece(now);
        }
        wait == Some(PAUSE)
    }

    #[test]
    fn only_a_run_of_quick_pieces_waits() {
        assert!(!waits([1; 15]));
        assert!(waits([1; 16]));
        assert!(!waits([10; 300]));
        assert!(!waits([[1; 16].as_slice(), &[10]].concat()));
        assert!(!waits([[1; 16].as_slice(), &[10], &[1; 15]].concat()));
    }

    #[test]
    fn a_run_goes_on_after_a_wait() {
        let mut now = Instant::now();
        let mut pace = Pace::new(PAUSE);
        for _ in 0..20 {
            now += Duration::from_millis(1);
            pace.piece(now);
        }
        now += PAUSE;
        pace.gathered(now);
        assert_eq!(pace.piece(now + Duration::from_millis(1)), Some(PAUSE));
        assert_eq!(pace.piece(now + Duration::from_millis(9)), None);
    }
}
