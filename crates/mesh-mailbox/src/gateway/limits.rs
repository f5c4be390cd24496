//! How much one peer may ask for: pure, the moment is an argument.

use std::collections::HashMap;
use std::time::Duration;

use super::stamp::Stamp;

/// What a gateway allows. The defaults are those of the mailbox's design.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Sends a second of one peer.
    pub sends_per_second: f64,
    /// Sends that a peer may make at once after a rest.
    pub burst: f64,
    /// Most unread messages of one inbox.
    pub inbox_depth: u64,
    /// Most bytes of a body.
    pub body_bytes: usize,
    /// Most bytes of a batch.
    pub batch_bytes: usize,
    /// Most connections at a time.
    pub connections: usize,
    /// Most bytes of bodies that are read or answered at a time.
    pub memory_bytes: usize,
    /// About how many bytes of rows one answer holds; what is left is found with `next`.
    pub page_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sends_per_second: 50.0,
            burst: 100.0,
            inbox_depth: 100_000,
            body_bytes: 4 << 20,
            batch_bytes: 16 << 20,
            connections: 10_000,
            memory_bytes: 64 << 20,
            page_bytes: 4 << 20,
        }
    }
}

/// How fast each peer sends.
#[derive(Debug, Default)]
pub struct Rates {
    buckets: HashMap<String, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Stamp,
}

/// Buckets beyond which those that are full again are forgotten.
const MAX_BUCKETS: usize = 10_000;

impl Rates {
    /// Lets sends of a peer pass.
    ///
    /// # Errors
    /// They are too many; after so long they are not.
    pub fn admit(&mut self, peer: &str, sends: usize, now: Stamp, limits: &Limits) -> Result<(), Duration> {
        if self.buckets.len() > MAX_BUCKETS {
            let full = |bucket: &Bucket| refilled(bucket, now, limits) >= limits.burst;
            self.buckets.retain(|_, bucket| !full(bucket));
        }
        let fresh = Bucket { left: limits.burst, at: now };
        let bucket = match self.buckets.get_mut(peer) {
            Some(bucket) => bucket,
            None => self.buckets.entry(peer.to_owned()).or_insert(fresh),
        };
        *bucket = Bucket { left: refilled(bucket, now, limits), at: now };
        // A batch larger than the burst passes when the bucket is full, and is paid for afterwards.
        let price = sends as f64;
        let wanted = price.min(limits.burst);
        if bucket.left >= wanted {
            bucket.left -= price;
            return Ok(());
        }
        Err(Duration::from_secs_f64(((wanted - bucket.left) / limits.sends_per_second).clamp(0.0, 3600.0)))
    }
}

fn refilled(bucket: &Bucket, now: Stamp, limits: &Limits) -> f64 {
    (bucket.left + bucket.at.until(now).as_secs_f64() * limits.sends_per_second).min(limits.burst)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (limits, mut rates) = (Limits::default(), Rates::default());
        let now = Stamp::from_micros(1 << 40);
        for _ in 0..100 {
            assert_eq!(rates.admit("a", 1, now, &limits), Ok(()));
        }
        assert_eq!(rates.admit("a", 1, now, &limits), Err(Duration::from_millis(20)));
        assert_eq!(rates.admit("b", 1, now, &limits), Ok(()));
        assert_eq!(rates.admit("a", 1, now.plus(Duration::from_millis(20)), &limits), Ok(()));
    }

    proptest! {
        #[test]
        fn nobody_sends_more_than_burst_and_rate(pauses in proptest::collection::vec(0u64..100_000, 1..400)) {
            let (limits, mut rates) = (Limits::default(), Rates::default());
            let begin = Stamp::from_micros(1 << 40);
            let mut now = begin;
            let mut sent = 0.0;
            for pause in pauses {
                now = now.plus(Duration::from_micros(pause));
                if rates.admit("a", 1, now, &limits).is_ok() {
                    sent += 1.0;
                }
                prop_assert!(sent <= limits.burst + begin.until(now).as_secs_f64() * limits.sends_per_second + 1e-6);
            }
        }
    }
}
