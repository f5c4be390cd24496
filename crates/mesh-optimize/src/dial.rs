//! The dial: one number from 0.00 (hands off) to 0.95.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// How hard the optimiser may work: 0.00 (hands off) to 0.95.
///
/// Written by a person it is parsed strictly ([`FromStr`]); found in somebody's request body it is read leniently
/// ([`Dial::from_json`]), because a request must never fail for its dial.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, serde::Serialize)]
pub struct Dial(f64);

impl Dial {
    /// The opt-out: the request stays byte for byte what it was.
    pub const OFF: Dial = Dial(0.0);
    /// The hardest setting. From the seed's `/optimize`: 0.95.
    pub const MAX: Dial = Dial(0.95);

    /// Takes a number.
    ///
    /// # Errors
    /// Outside `0.0..=0.95`, and for NaN.
    pub fn new(value: f64) -> Result<Dial, DialError> {
        if (0.0..=Dial::MAX.0).contains(&value) {
            // Adding positive zero turns -0.0 into 0.0, so that OFF prints one way only.
            Ok(Dial(value + 0.0))
        } else {
            Err(DialError::OutOfRange)
        }
    }

    /// Reads the `mesh_optimize` field of a request body.
    ///
    /// A number above the range counts as the maximum; a negative one, and whatever is not a number (`"0.3"`, `true`,
    /// `null`), as off.
    ///
    /// ```
    /// use mesh_optimize::Dial;
    /// use serde_json::json;
    ///
    /// assert_eq!(Dial::from_json(&json!(5)), Dial::MAX);
    /// assert_eq!(Dial::from_json(&json!("0.3")), Dial::OFF);
    /// ```
    pub fn from_json(value: &Value) -> Dial {
        match value.as_f64() {
            Some(number) if number.is_finite() => Dial(number.clamp(0.0, Dial::MAX.0) + 0.0),
            _ => Dial::OFF,
        }
    }

    /// Returns the number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Whether the dial is at 0.
    pub fn is_off(self) -> bool {
        self.0 == 0.0
    }
}

/// Prints the shortest number that parses to the same dial: `0`, `0.3`, `0.95`.
impl fmt::Display for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Dial {
    type Err = DialError;

    /// Takes `off` in any case, or a decimal number such as `0.3`, `.2` or `1e-3`; blanks around it do not count.
    fn from_str(text: &str) -> Result<Dial, DialError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("off") {
            return Ok(Dial::OFF);
        }
        Dial::new(text.parse().map_err(|_| DialError::NotANumber)?)
    }
}

/// Why a text or a number is no dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Neither `off` nor a number.
    #[error("not a number: the dial is `off` or a number from 0 to 0.95")]
    NotANumber,
    /// A number (or NaN, or an infinity) outside the range.
    #[error("the dial's range is 0 to 0.95")]
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<f64, DialError>) {
        assert_eq!(text.parse::<Dial>().map(Dial::value), want, "{text:?}");
    }

    #[test]
    fn a_person_writes_off_or_a_number_in_range() {
        check("off", Ok(0.0));
        check("OFF", Ok(0.0));
        check("0", Ok(0.0));
        check("-0", Ok(0.0));
        check("0.3", Ok(0.3));
        check(" 0.3\n", Ok(0.3));
        check(".2", Ok(0.2));
        check("1e-3", Ok(0.001));
        check("0.95", Ok(0.95));
        check("0.96", Err(DialError::OutOfRange));
        check("1", Err(DialError::OutOfRange));
        check("-0.1", Err(DialError::OutOfRange));
        check("nan", Err(DialError::OutOfRange));
        check("inf", Err(DialError::OutOfRange));
        check("abc", Err(DialError::NotANumber));
        check("", Err(DialError::NotANumber));
        check("0,3", Err(DialError::NotANumber));
    }

    #[test]
    fn a_body_is_read_leniently() {
        for (value, want) in [
            (json!(0.3), 0.3),
            (json!(0), 0.0),
            (json!(1), 0.95),
            (json!(5), 0.95),
            (json!(-0.1), 0.0),
            (json!(-0.0), 0.0),
            (json!("0.3"), 0.0),
            (json!("abc"), 0.0),
            (json!(true), 0.0),
            (json!(null), 0.0),
            (json!([0.3]), 0.0),
        ] {
            assert_eq!(Dial::from_json(&value).value(), want, "{value}");
        }
    }

    #[test]
    fn off_prints_one_way() {
        assert_eq!(Dial::new(-0.0).unwrap().to_string(), "0");
        assert_eq!(Dial::MAX.to_string(), "0.95");
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer_and_what_prints_parses_back(text in ".{0,12}", number in 0.0..=0.95f64) {
            let _ = text.parse::<Dial>();
            let dial = Dial::new(number).unwrap();
            prop_assert_eq!(dial.to_string().parse::<Dial>().unwrap(), dial);
        }
    }
}
