//! The two published ways of counting, and the JSON text that each of them counts.
//!
//! The writer never builds the text: it feeds pieces to a [`fmt::Write`], so a size is known without a copy of the value.

use std::fmt::{self, Write};

use serde_json::{Number, Value};

/// Which of the two published optimisers' rules of counting holds.
///
/// They agree on ASCII text and on most words; they part on non-ASCII text, on anything that is not a string, and on the
/// word lists and word boundaries of [`TaskClass`](crate::TaskClass).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// The TypeScript package's: UTF-16 code units; compact JSON, non-ASCII as it is. The default.
    #[default]
    Utf16,
    /// The Python releases': code points; JSON with blanks after `,` and `:`, non-ASCII as `\uXXXX`.
    CodePoints,
}

impl Dialect {
    /// Length of a text in the dialect's units.
    pub(crate) fn length(self, text: &str) -> usize {
        match self {
            Dialect::Utf16 => text.encode_utf16().count(),
            Dialect::CodePoints => text.chars().count(),
        }
    }

    /// Bytes of the longest prefix of at most `limit` units that cuts no character.
    pub(crate) fn prefix(self, text: &str, limit: usize) -> usize {
        if text.len() <= limit {
            return text.len();
        }
        let mut units = 0;
        text.char_indices()
            .find(|(_, c)| {
                units += match self {
                    Dialect::Utf16 => c.len_utf16(),
                    Dialect::CodePoints => 1,
                };
                units > limit
            })
            .map_or(text.len(), |(at, _)| at)
    }

    /// Writes the value's JSON text.
    ///
    /// Nesting is followed by recursion, as deep as the value goes: values read by `serde_json` stop at 128.
    pub(crate) fn write_json(self, value: &Value, out: &mut impl Write) -> fmt::Result {
        match value {
            Value::Null => out.write_str("null"),
            Value::Bool(true) => out.write_str("true"),
            Value::Bool(false) => out.write_str("false"),
            Value::Number(number) => self.write_number(number, out),
            Value::String(text) => self.write_string(text, out),
            Value::Array(items) => {
                out.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.write_str(self.comma())?;
                    }
                    self.write_json(item, out)?;
                }
                out.write_char(']')
            }
            Value::Object(fields) => {
                out.write_char('{')?;
                for (index, (key, item)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.write_str(self.comma())?;
                    }
                    self.write_string(key, out)?;
                    out.write_str(self.colon())?;
                    self.write_json(item, out)?;
                }
                out.write_char('}')
            }
        }
    }

    fn comma(self) -> &'static str {
        match self {
            Dialect::Utf16 => ",",
            Dialect::CodePoints => ", ",
        }
    }

    fn colon(self) -> &'static str {
        match self {
            Dialect::Utf16 => ":",
            Dialect::CodePoints => ": ",
        }
    }

    /// A number as the dialect's own language prints it.
    ///
    /// JavaScript knows only doubles, so integers past 2^53 are rounded; Python prints integers as they are.
    fn write_number(self, number: &Number, out: &mut impl Write) -> fmt::Result {
        match (self, number.as_f64()) {
            (Dialect::CodePoints, _) if !number.is_f64() => write!(out, "{number}"),
            (Dialect::Utf16, Some(double)) => write_double(double, &JAVASCRIPT, out),
            (Dialect::CodePoints, Some(double)) => write_double(double, &PYTHON, out),
            (_, None) => write!(out, "{number}"),
        }
    }

    fn write_string(self, text: &str, out: &mut impl Write) -> fmt::Result {
        out.write_char('"')?;
        for c in text.chars() {
            match c {
                '"' => out.write_str("\\\"")?,
                '\\' => out.write_str("\\\\")?,
                '\n' => out.write_str("\\n")?,
                '\r' => out.write_str("\\r")?,
                '\t' => out.write_str("\\t")?,
                '\u{8}' => out.write_str("\\b")?,
                '\u{c}' => out.write_str("\\f")?,
                ..='\u{1f}' => write!(out, "\\u{:04x}", u32::from(c))?,
                // Python escapes whatever is not printable ASCII, DEL included; JavaScript only the above.
                '\u{7f}'.. if self == Dialect::CodePoints => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(out, "\\u{unit:04x}")?;
                    }
                }
                _ => out.write_char(c)?,
            }
        }
        out.write_char('"')
    }
}

/// Where a language changes from plain to exponent notation, and how it dresses numbers.
struct Notation {
    /// Decimal exponents of the first digit that are still printed plainly, both ends included.
    plain: std::ops::RangeInclusive<i32>,
    /// What follows a whole number.
    whole_suffix: &'static str,
    /// Fewest digits of an exponent.
    exponent_digits: usize,
    /// Whether negative zero keeps its sign.
    signed_zero: bool,
}

/// ECMA-262, Number::toString: plain from 1e-6 up to but not including 1e21.
const JAVASCRIPT: Notation =
    Notation { plain: -6..=20, whole_suffix: "", exponent_digits: 1, signed_zero: false };

/// Python's `repr` of a float: plain from 1e-4 up to but not including 1e16, always marked as a float.
const PYTHON: Notation =
    Notation { plain: -4..=15, whole_suffix: ".0", exponent_digits: 2, signed_zero: true };

/// Both languages print the shortest digits that read back as the same double, as Rust does; only the dress differs.
fn write_double(double: f64, notation: &Notation, out: &mut impl Write) -> fmt::Result {
    if double == 0.0 {
        let sign = if notation.signed_zero && double.is_sign_negative() { "-" } else { "" };
        return write!(out, "{sign}0{}", notation.whole_suffix);
    }
    let scientific = format!("{double:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0);
    if notation.plain.contains(&exponent) {
        let suffix = if double.fract() == 0.0 { notation.whole_suffix } else { "" };
        return write!(out, "{double}{suffix}");
    }
    let mantissa = scientific.split('e').next().unwrap_or(&scientific);
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "{mantissa}e{sign}{:0width$}", exponent.unsigned_abs(), width = notation.exponent_digits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(dialect: Dialect, value: &Value) -> String {
        let mut out = String::new();
        dialect.write_json(value, &mut out).unwrap();
        out
    }

    #[track_caller]
    fn check(value: Value, utf16: &str, code_points: &str) {
        assert_eq!(text(Dialect::Utf16, &value), utf16);
        assert_eq!(text(Dialect::CodePoints, &value), code_points);
    }

    #[test]
    fn numbers_print_as_in_their_language() {
        check(json!(7), "7", "7");
        check(json!(1.0), "1", "1.0");
        check(json!(-0.0), "0", "-0.0");
        check(json!(0.30000000000000004), "0.30000000000000004", "0.30000000000000004");
        check(json!(1e-7), "1e-7", "1e-07");
        check(json!(1.5e-6), "0.0000015", "1.5e-06");
        check(json!(0.0001), "0.0001", "0.0001");
        check(json!(1e15), "1000000000000000", "1000000000000000.0");
        check(json!(1e16), "10000000000000000", "1e+16");
        check(json!(1e21), "1e+21", "1e+21");
        check(json!(-1.5e300), "-1.5e+300", "-1.5e+300");
        check(json!(9007199254740993u64), "9007199254740992", "9007199254740993");
    }

    #[test]
    fn strings_are_escaped_as_in_their_language() {
        check(json!("a\"\\\n\u{8}\u{1}"), r#""a\"\\\n\b\u0001""#, r#""a\"\\\n\b\u0001""#);
        check(json!("é😀\u{7f}"), "\"é😀\u{7f}\"", r#""\u00e9\ud83d\ude00\u007f""#);
        check(json!("\u{2028}"), "\"\u{2028}\"", r#""\u2028""#);
    }

    #[test]
    fn a_prefix_cuts_no_character() {
        for (text, limit, utf16, code_points) in [
            ("abc", 3, 3, 3),
            ("abcd", 3, 3, 3),
            ("a😀b", 2, 1, 5),
            ("a😀b", 3, 5, 6),
            ("éé", 1, 2, 2),
            ("é", 0, 0, 0),
        ] {
            assert_eq!(Dialect::Utf16.prefix(text, limit), utf16, "{text} {limit}");
            assert_eq!(Dialect::CodePoints.prefix(text, limit), code_points, "{text} {limit}");
        }
    }

    #[test]
    fn separators_differ() {
        check(json!({"b": [1, 2], "a": {}}), r#"{"b":[1,2],"a":{}}"#, r#"{"b": [1, 2], "a": {}}"#);
    }
}
