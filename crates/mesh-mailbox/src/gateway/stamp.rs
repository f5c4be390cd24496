//! A moment as the wire writes it: UTC, microseconds, `+00:00`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970. Arithmetic never leaves the range that can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(i64);

/// 9998-12-31T23:59:59.999999Z: its year has four digits in every zone, so that texts sort as moments.
const LAST: i64 = 253_370_764_799_999_999;

impl Stamp {
    /// A moment by its microseconds since 1970; what lies outside the years 1970 to 9998 becomes the nearest in it.
    pub fn from_micros(micros: i64) -> Stamp {
        Stamp(micros.clamp(0, LAST))
    }

    /// The system's clock.
    pub fn now() -> Stamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Stamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(LAST))
    }

    /// Returns the microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The moment so much later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Stamp {
        Stamp::from_micros(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(LAST)))
    }

    /// The moment so much earlier.
    #[must_use]
    pub fn minus(self, by: Duration) -> Stamp {
        Stamp::from_micros(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(LAST)))
    }

    /// How long it is until then; nothing when it has passed.
    pub fn until(self, then: Stamp) -> Duration {
        Duration::from_micros(u64::try_from(then.0 - self.0).unwrap_or(0))
    }

    /// Reads a moment as RFC 3339 writes it, or as seconds since 1970.
    pub fn parse(text: &str) -> Option<Stamp> {
        let stamp: jiff::Timestamp = text.trim().parse().ok()?;
        Some(Stamp::from_micros(stamp.as_microsecond()))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+00:00")
    }
}

/// Year, month and day of a day counted from 1970. From Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_is_written_as_the_wire_has_it() {
        for text in [
            "2026-11-20T21:43:18.286978+00:00",
            "1970-01-01T00:00:00.000000+00:00",
            "2000-02-29T23:59:59.999999+00:00",
            "9998-12-31T23:59:59.999999+00:00",
        ] {
            assert_eq!(Stamp::parse(text).map(|stamp| stamp.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Stamp::parse("2026-11-20T21:43:18Z"), Stamp::parse("2026-11-20T22:43:18+01:00"));
        assert_eq!(Stamp::parse("soon"), None);
    }

    proptest! {
        #[test]
        fn texts_are_ordered_as_moments(a in 0..=LAST, b in 0..=LAST) {
            let (one, other) = (Stamp::from_micros(a), Stamp::from_micros(b));
            prop_assert_eq!(Stamp::parse(&one.to_string()), Some(one));
            prop_assert_eq!(one.to_string().cmp(&other.to_string()), one.cmp(&other));
        }
    }
}
