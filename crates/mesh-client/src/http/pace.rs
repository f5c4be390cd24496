//! Pure: when a connection brings its bytes faster than anyone looks, it is read by the clock.

use std::time::{Duration, Instant};

/// Two pieces closer than this came quickly: more than 250 a second.
const QUICK: Duration = Duration::from_millis(4);

/// So many quick pieces in a row are a run, not the jitter of a network. Our choice: a short answer never waits.
const RUN: u32 = 16;

/// What brings more than this at once, or in one rest, is a transfer and not a model that writes: it never waits.
const BULK: usize = 32 * 1024;

/// Decides when to leave a connection alone.
#[derive(Debug)]
pub(super) struct Pace {
    rest: Duration,
    last: Option<Instant>,
    /// Quick pieces in a row, and their bytes.
    quick: u32,
    bytes: usize,
    /// What has come of a rest so far.
    gathered: Option<usize>,
}

impl Pace {
    /// In a run, rests so long between two looks.
    pub(super) fn new(rest: Duration) -> Pace {
        Pace { rest, last: None, quick: 0, bytes: 0, gathered: None }
    }

    /// How long a rest is.
    pub(super) fn rest(&self) -> Duration {
        self.rest
    }

    /// Bytes were read, all that were there if `is_all`. Says whether to rest before the next look.
    pub(super) fn piece(&mut self, now: Instant, bytes: usize, is_all: bool) -> bool {
        let is_quick = self.last.is_some_and(|last| now.duration_since(last) < QUICK);
        self.last = Some(now);
        if let Some(gathered) = self.gathered.take() {
            return self.after_rest(gathered + bytes, is_all);
        }
        if is_quick && bytes < BULK {
            self.quick += 1;
            self.bytes += bytes;
        } else {
            self.stop();
        }
        self.rest_if(is_all && self.quick >= RUN)
    }

    /// The run goes on while a rest brings at least as many pieces as the slowest run would.
    fn after_rest(&mut self, gathered: usize, is_all: bool) -> bool {
        if !is_all && gathered < BULK {
            self.gathered = Some(gathered);
            return false;
        }
        let piece = (self.bytes / self.quick.max(1) as usize).max(1);
        let slowest = self.rest.as_millis() / QUICK.as_millis();
        let is_run = gathered < BULK && (gathered / piece) as u128 >= slowest;
        if !is_run {
            self.stop();
        }
        self.rest_if(is_run)
    }

    fn rest_if(&mut self, rests: bool) -> bool {
        if rests {
            self.gathered = Some(0);
        }
        rests
    }

    /// Something was sent: what comes now answers it, and is another stream.
    pub(super) fn stop(&mut self) {
        (self.quick, self.bytes, self.gathered) = (0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(33);

    /// A connection that was read in pieces of these bytes, this many milliseconds after the last; whether it rests.
    fn read(pieces: impl IntoIterator<Item = (u64, usize)>) -> bool {
        let mut now = Instant::now();
        let mut pace = Pace::new(REST);
        let mut rests = pace.piece(now, 200, true);
        for (gap, bytes) in pieces {
            now += Duration::from_millis(gap);
            rests = pace.piece(now, bytes, true);
        }
        rests
    }

    #[test]
    fn only_a_run_of_quick_pieces_rests() {
        assert!(!read([(1, 200); 15]));
        assert!(read([(1, 200); 16]));
        assert!(!read([(10, 200); 300]));
        assert!(!read([(1, 200); 15].into_iter().chain([(10, 200)])));
        assert!(!read([(1, 200); 15].into_iter().chain([(10, 200)]).chain([(1, 200); 15])));
    }

    #[test]
    fn a_run_goes_on_while_its_rests_bring_enough() {
        let after =
            |rests: &[usize]| read([(1, 200); 16].into_iter().chain(rests.iter().map(|bytes| (33, *bytes))));
        assert!(after(&[1600]));
        assert!(after(&[6600, 1600, 6600]));
        assert!(!after(&[1599]), "slower than a run");
        assert!(!after(&[6600, 200]));
        assert!(!after(&[6600, 200, 6600]), "a run begins anew with quick pieces");
    }

    #[test]
    fn a_transfer_never_rests() {
        assert!(!read([(0, BULK); 300]));
        assert!(!read([(1, 200); 16].into_iter().chain([(33, BULK)])));
    }

    #[test]
    fn what_a_rest_brought_is_read_to_its_end() {
        let mut now = Instant::now();
        let mut pace = Pace::new(REST);
        for _ in 0..17 {
            now += Duration::from_millis(1);
            pace.piece(now, 200, true);
        }
        now += REST;
        assert!(!pace.piece(now, 4096, false));
        assert!(!pace.piece(now, 4096, false));
        assert!(pace.piece(now, 100, true), "together they are a run");
    }

    #[test]
    fn what_was_sent_ends_the_run() {
        let mut now = Instant::now();
        let mut pace = Pace::new(REST);
        for _ in 0..17 {
            now += Duration::from_millis(1);
            pace.piece(now, 200, true);
        }
        pace.stop();
        assert!(!pace.piece(now + REST, 6600, true));
        assert!(!pace.piece(now + REST + Duration::from_millis(1), 200, true));
    }
}
