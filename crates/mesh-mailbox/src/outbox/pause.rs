//! How long to wait before a message is tried again: full jitter. Pure.

use std::time::Duration;

/// Longest pause before the second try. From the mailbox's design.
const FIRST: f64 = 0.5;
/// Longest pause. From the mailbox's design.
const MOST: f64 = 60.0;

/// The pause after the try with this number, from 1. `random` is a number from 0 to 1: pauses of many clients that failed at one
/// moment are spread over the whole time. What the gateway asked for is the least.
pub fn pause(attempt: u32, asked_seconds: Option<u64>, random: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(10);
    let most = (FIRST * f64::from(1u32 << doublings)).min(MOST);
    let least = asked_seconds.map_or(0.0, |seconds| seconds as f64).min(MOST);
    Duration::from_secs_f64((most * random.clamp(0.0, 1.0)).max(least))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_grow_to_a_minute() {
        let most: Vec<f64> = (1..=9).map(|attempt| pause(attempt, None, 1.0).as_secs_f64()).collect();
        assert_eq!(most, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(pause(3, None, 0.0), Duration::ZERO);
        assert_eq!(pause(1, Some(7), 0.5), Duration::from_secs(7));
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_a_minute(attempt: u32, asked: Option<u64>, random in -1.0f64..2.0) {
            prop_assert!(pause(attempt, asked, random) <= Duration::from_secs(60));
        }
    }
}
