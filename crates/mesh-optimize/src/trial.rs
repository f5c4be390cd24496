//! Hold-out: some sessions go untouched, so that what the dial does to bills and to outcomes can be compared.
//!
//! Whole sessions, never requests: a session that is optimised now and then has no stable prefix.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Whether a session belongs to the `share` (0 to 1) that is held out. The same session always gets the same answer.
///
/// ```
/// use mesh_optimize::is_held_out;
///
/// assert!(!is_held_out("a session", 0.0));
/// assert!(is_held_out("a session", 1.0));
/// ```
pub fn is_held_out(session: &str, share: f64) -> bool {
    (xxh3_64(session.as_bytes()) as f64) < share * u64::MAX as f64
}

/// How a session went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it cost, in one unit for all.
    pub bill: f64,
    /// Requests.
    pub turns: u32,
    /// Cut texts that were read again.
    pub recalls: u32,
    /// Whether the task was done, where somebody knows.
    pub done: Option<bool>,
}

/// Sessions with the dial and sessions without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    optimised: Arm,
    held_out: Arm,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Arm {
    bill: Moments,
    turns: Moments,
    recalls: Moments,
    done: Moments,
}

/// Count, mean and sum of squared deviations, kept up number by number (Welford).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

/// A difference, and the interval that holds the true one in 95 of 100 trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Optimised sessions less those held out, in the mean.
    pub value: f64,
    /// Ends of the interval.
    pub low: f64,
    /// See [`Difference::low`].
    pub high: f64,
}

/// What a trial shows; `None` where an arm has fewer than two sessions that tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// Sessions with the dial, and held out.
    pub sessions: (u64, u64),
    /// Bill of a session.
    pub bill: Option<Difference>,
    /// Requests of a session.
    pub turns: Option<Difference>,
    /// Cut texts that were read again.
    pub recalls: Option<Difference>,
    /// Share of tasks that were done.
    pub done: Option<Difference>,
}

impl Trial {
    /// Adds a session.
    pub fn record(&mut self, held_out: bool, outcome: Outcome) {
        let arm = if held_out { &mut self.held_out } else { &mut self.optimised };
        arm.bill.add(outcome.bill);
        arm.turns.add(f64::from(outcome.turns));
        arm.recalls.add(f64::from(outcome.recalls));
        if let Some(done) = outcome.done {
            arm.done.add(f64::from(u8::from(done)));
        }
    }

    /// Compares the arms.
    pub fn report(&self) -> TrialReport {
        let (ours, theirs) = (&self.optimised, &self.held_out);
        TrialReport {
            sessions: (ours.bill.count, theirs.bill.count),
            bill: ours.bill.less(&theirs.bill),
            turns: ours.turns.less(&theirs.turns),
            recalls: ours.recalls.less(&theirs.recalls),
            done: ours.done.less(&theirs.done),
        }
    }
}

impl Moments {
    fn add(&mut self, number: f64) {
        self.count += 1;
        let from = number - self.mean;
        self.mean += from / self.count as f64;
        self.squares += from * (number - self.mean);
    }

    /// The difference of two means by Welch, with the normal's 1.96 for 95 %.
    fn less(&self, other: &Moments) -> Option<Difference> {
        let spread = |moments: &Moments| {
            let count = moments.count as f64;
            (moments.count > 1).then(|| moments.squares / (count - 1.0) / count)
        };
        let half = 1.96 * (spread(self)? + spread(other)?).sqrt();
        let value = self.mean - other.mean;
        Some(Difference { value, low: value - half, high: value + half })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_share_is_held_out() {
        let held = (0..10_000).filter(|n| is_held_out(&format!("session {n}"), 0.1)).count();
        assert!((900..1100).contains(&held), "{held}");
    }

    #[test]
    fn arms_are_compared_with_an_interval() {
        let mut trial = Trial::default();
        assert_eq!(trial.report().bill, None);
        for n in 0..50 {
            let swing = f64::from(n % 5);
            trial
                .record(false, Outcome { bill: 6.0 + swing, turns: 10, recalls: 1, done: Some(n % 10 != 0) });
            trial.record(true, Outcome { bill: 8.0 + swing, turns: 10, recalls: 0, done: None });
        }
        let report = trial.report();
        let bill = report.bill.unwrap();
        assert!((bill.value + 2.0).abs() < 1e-9);
        // Variance 2 * 50 / 49 in both arms of 50.
        assert!((bill.high - bill.value - 1.96 * (2.0 * 2.0 / 49.0f64).sqrt()).abs() < 1e-9);
        assert_eq!(report.turns.map(|turns| (turns.value, turns.high)), Some((0.0, 0.0)));
        assert_eq!((report.sessions, report.done), ((50, 50), None));
    }
}
