//! How a message is worked on: claimed for a while, then acknowledged, given back, or lost by time. Pure; the moment is an argument.
//!
//! A claim gives a lease with an id of its own. Whoever comes with another id, or after the lease's end, is refused: between the
//! two somebody else may have taken the message.

use std::fmt;
use std::time::Duration;

use super::stamp::Stamp;

/// Claims after which a message that was never acknowledged is dead. From the mailbox's design.
pub const MAX_ATTEMPTS: u32 = 5;

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was worked on.
    Done,
    /// It was tried and did not work.
    Failed,
    /// The receiver will not do it.
    Rejected,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Outcome; 3] = [Outcome::Done, Outcome::Failed, Outcome::Rejected];

    /// Returns the word that travels.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Rejected => "rejected",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who holds a message, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The id that the holder was given.
    pub id: String,
    /// The end of it.
    pub until: Stamp,
}

/// How far the work on a message is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// When it was marked read.
    pub read_at: Option<Stamp>,
    /// The last lease; it may have ended.
    pub lease: Option<Lease>,
    /// How often it was claimed.
    pub attempts: u32,
    /// Not to be claimed before this.
    pub available_at: Stamp,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// When it was given up.
    pub dead_at: Option<Stamp>,
    /// After this it is not handed out any more.
    pub expires_at: Option<Stamp>,
}

/// Why a step was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The lease has ended, or was another's.
    Lease,
    /// It is claimed, and the caller named no lease.
    Claimed,
    /// It was acknowledged with another outcome, or by another lease.
    Settled,
    /// It is not claimed.
    Unclaimed,
    /// It was given up.
    Dead,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stale::Lease => "this lease has ended; claim the message again",
            Stale::Claimed => "the message is claimed; give its lease_id",
            Stale::Settled => "the message was already acknowledged in another way",
            Stale::Unclaimed => "the message is not claimed",
            Stale::Dead => "the message was given up; requeue it first",
        })
    }
}

/// What giving a message back led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It can be claimed again.
    Waiting,
    /// That was its last attempt.
    Dead,
}

impl Delivery {
    /// Whether a lease runs.
    pub fn is_held(&self, now: Stamp) -> bool {
        self.lease.as_ref().is_some_and(|lease| now < lease.until)
    }

    /// Whether it can be claimed now.
    pub fn can_be_claimed(&self, now: Stamp) -> bool {
        self.read_at.is_none()
            && self.dead_at.is_none()
            && self.expires_at.is_none_or(|end| now < end)
            && self.available_at <= now
            && self.attempts < MAX_ATTEMPTS
            && !self.is_held(now)
    }

    /// Whether all attempts are used up and the last lease has ended without an answer.
    pub fn is_exhausted(&self, now: Stamp) -> bool {
        self.attempts >= MAX_ATTEMPTS
            && self.read_at.is_none()
            && self.dead_at.is_none()
            && !self.is_held(now)
    }

    /// Takes it for a while, if it [can be claimed](Delivery::can_be_claimed).
    pub fn claim(&mut self, now: Stamp, id: String, time: Duration) -> bool {
        let free = self.can_be_claimed(now);
        if free {
            self.attempts += 1;
            self.lease = Some(Lease { id, until: now.plus(time) });
        }
        free
    }

    /// Settles it. The same acknowledgement again changes nothing and succeeds: its first answer may have been lost.
    ///
    /// # Errors
    /// A lease that has ended or is another's; none where one runs; another outcome than before.
    pub fn ack(&mut self, now: Stamp, lease: Option<&str>, outcome: Outcome) -> Result<(), Stale> {
        let is_holder = self.lease.as_ref().is_some_and(|held| Some(held.id.as_str()) == lease);
        if let Some(before) = self.outcome {
            let is_repeat = before == outcome && (is_holder || lease.is_none());
            return if is_repeat { Ok(()) } else { Err(Stale::Settled) };
        }
        if self.dead_at.is_some() {
            return Err(Stale::Dead);
        }
        match lease {
            Some(_) if !(is_holder && self.is_held(now)) => return Err(Stale::Lease),
            None if self.is_held(now) => return Err(Stale::Claimed),
            Some(_) | None => {}
        }
        // Without a lease that settled it, an old one must not be taken for its author.
        self.lease = self.lease.take().filter(|_| lease.is_some()).map(|held| Lease { until: now, ..held });
        self.outcome = Some(outcome);
        self.read_at.get_or_insert(now);
        Ok(())
    }

    /// Gives it back, to be claimed again after the delay, unless that was the last attempt.
    ///
    /// # Errors
    /// A lease that has ended or is another's.
    pub fn nack(&mut self, now: Stamp, lease: &str, delay: Duration) -> Result<Returned, Stale> {
        self.held_by(now, lease)?;
        self.lease = None;
        self.available_at = now.plus(delay);
        if self.attempts >= MAX_ATTEMPTS {
            self.dead_at = Some(now);
            return Ok(Returned::Dead);
        }
        Ok(Returned::Waiting)
    }

    /// Sets the end of the lease anew; returns it.
    ///
    /// # Errors
    /// A lease that has ended or is another's.
    pub fn extend(&mut self, now: Stamp, lease: &str, time: Duration) -> Result<Stamp, Stale> {
        self.held_by(now, lease)?;
        let until = now.plus(time);
        self.lease = Some(Lease { id: lease.to_owned(), until });
        Ok(until)
    }

    /// Gives a dead message its attempts back; returns whether it was dead.
    pub fn requeue(&mut self) -> bool {
        let was_dead = self.dead_at.take().is_some();
        if was_dead {
            (self.attempts, self.lease, self.available_at) = (0, None, Stamp::default());
        }
        was_dead
    }

    fn held_by(&self, now: Stamp, lease: &str) -> Result<(), Stale> {
        if self.dead_at.is_some() {
            return Err(Stale::Dead);
        }
        match &self.lease {
            None if self.attempts == 0 => Err(Stale::Unclaimed),
            Some(held) if held.id == lease && now < held.until && self.outcome.is_none() => Ok(()),
            Some(_) | None => Err(Stale::Lease),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(second: u64) -> Stamp {
        Stamp::from_micros(1_000_000_000_000_000).plus(Duration::from_secs(second))
    }

    fn claimed() -> Delivery {
        let mut delivery = Delivery::default();
        assert!(delivery.claim(at(0), "a".into(), MINUTE));
        delivery
    }

    #[test]
    fn one_holds_it_until_the_lease_ends() {
        let mut delivery = claimed();
        assert!(!delivery.claim(at(59), "b".into(), MINUTE));
        assert!(delivery.claim(at(60), "b".into(), MINUTE));
        assert_eq!(delivery.ack(at(61), Some("a"), Outcome::Done), Err(Stale::Lease));
        assert_eq!(delivery.nack(at(61), "a", MINUTE), Err(Stale::Lease));
        assert_eq!(delivery.extend(at(61), "a", MINUTE), Err(Stale::Lease));
        assert_eq!(delivery.ack(at(61), Some("b"), Outcome::Failed), Ok(()));
        assert_eq!(delivery.read_at, Some(at(61)));
    }

    #[test]
    fn an_acknowledgement_may_be_repeated_but_not_changed() {
        let mut delivery = claimed();
        assert_eq!(delivery.ack(at(1), None, Outcome::Done), Err(Stale::Claimed));
        assert_eq!(delivery.ack(at(1), Some("a"), Outcome::Done), Ok(()));
        assert_eq!(delivery.ack(at(99), Some("a"), Outcome::Done), Ok(()));
        assert_eq!(delivery.read_at, Some(at(1)));
        assert_eq!(delivery.ack(at(2), Some("b"), Outcome::Done), Err(Stale::Settled));
        assert_eq!(delivery.ack(at(2), Some("a"), Outcome::Rejected), Err(Stale::Settled));
        assert_eq!(delivery.nack(at(2), "a", MINUTE), Err(Stale::Lease));
        assert!(!delivery.can_be_claimed(at(1000)));
    }

    #[test]
    fn after_the_last_attempt_it_is_dead_until_it_is_requeued() {
        let mut delivery = Delivery::default();
        let mut now = 0;
        for attempt in 1..=MAX_ATTEMPTS {
            assert!(delivery.claim(at(now), format!("l{attempt}"), MINUTE));
            now += 1;
            let want = if attempt == MAX_ATTEMPTS { Returned::Dead } else { Returned::Waiting };
            assert_eq!(delivery.nack(at(now), &format!("l{attempt}"), MINUTE), Ok(want));
            assert!(!delivery.can_be_claimed(at(now + 59)));
            now += 60;
        }
        assert!(!delivery.can_be_claimed(at(now)) && !delivery.is_exhausted(at(now)));
        assert_eq!(delivery.ack(at(now), None, Outcome::Done), Err(Stale::Dead));
        assert!(delivery.requeue() && delivery.can_be_claimed(at(now)));
        assert!(!delivery.requeue());
    }

    #[test]
    fn what_expired_or_was_read_is_not_claimed() {
        let expired = Delivery { expires_at: Some(at(5)), ..Delivery::default() };
        assert!(expired.can_be_claimed(at(4)) && !expired.can_be_claimed(at(5)));
        let read = Delivery { read_at: Some(at(1)), ..Delivery::default() };
        assert!(!read.can_be_claimed(at(2)));
        assert_eq!(Delivery::default().nack(at(1), "x", MINUTE), Err(Stale::Unclaimed));
        let mut held = claimed();
        assert_eq!(held.extend(at(30), "a", MINUTE), Ok(at(90)));
        assert!(held.is_held(at(89)) && !held.is_held(at(90)));
    }
}
