//! The text of a JSON string, with the way back from a place in the text to the place in the bytes.

use std::borrow::Cow;

use super::scan::Span;

/// A decoded string.
#[derive(Clone, Debug)]
pub(crate) struct Decoded<'a> {
    /// The text.
    pub(crate) text: Cow<'a, str>,
    /// Behind each escape: (place in the text, place in the bytes). Between two entries both run in step.
    steps: Vec<(usize, usize)>,
    start: usize,
}

impl<'a> Decoded<'a> {
    /// Takes JSON itself as a text: every byte stands for itself.
    pub(crate) fn plain(bytes: &'a [u8], span: Span) -> Option<Decoded<'a>> {
        let text = std::str::from_utf8(bytes.get(span.clone())?).ok()?;
        Some(Decoded { text: Cow::Borrowed(text), steps: Vec::new(), start: span.start })
    }

    /// Returns the place in the bytes of a place in the text (a char boundary).
    pub(crate) fn raw(&self, at: usize) -> usize {
        match self.steps.partition_point(|(text, _)| *text <= at) {
            0 => self.start + at,
            n => {
                let (text, raw) = self.steps[n - 1];
                raw + (at - text)
            }
        }
    }
}

/// Decodes the string literal at `span` (quotes included).
///
/// `None` for what is no string, for broken escapes, and for a lone surrogate, which no Rust text can hold.
pub(crate) fn decode(bytes: &[u8], span: Span) -> Option<Decoded<'_>> {
    let inner = span.start + 1..span.end.checked_sub(1)?;
    if inner.start > inner.end || bytes.get(span.start) != Some(&b'"') || bytes.get(inner.end) != Some(&b'"')
    {
        return None;
    }
    let raw = std::str::from_utf8(bytes.get(inner.clone())?).ok()?;
    let Some(first) = memchr::memchr(b'\\', raw.as_bytes()) else {
        return Some(Decoded { text: Cow::Borrowed(raw), steps: Vec::new(), start: inner.start });
    };
    let mut text = String::with_capacity(raw.len());
    let mut steps = Vec::new();
    let (mut from, mut hit) = (0, Some(first));
    while let Some(at) = hit {
        text.push_str(&raw[from..at]);
        let (char, len) = escape(&raw.as_bytes()[at..])?;
        text.push(char);
        from = at + len;
        steps.push((text.len(), inner.start + from));
        hit = memchr::memchr(b'\\', &raw.as_bytes()[from..]).map(|next| from + next);
    }
    text.push_str(&raw[from..]);
    Some(Decoded { text: Cow::Owned(text), steps, start: inner.start })
}

/// The character of the escape that begins `bytes`, and how many bytes it takes.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let short = match bytes.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = hex4(bytes.get(2..6)?)?;
            if !(0xD800..0xDC00).contains(&high) {
                return Some((char::from_u32(high)?, 6));
            }
            if bytes.get(6..8)? != b"\\u" {
                return None;
            }
            let low = hex4(bytes.get(8..12)?)?;
            if !(0xDC00..0xE000).contains(&low) {
                return None;
            }
            return Some((char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?, 12));
        }
        _ => return None,
    };
    Some((short, 2))
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, byte| Some(sum * 16 + char::from(*byte).to_digit(16)?))
}

/// Writes `text` as the inside of a JSON string, quotes not included.
pub(crate) fn quote_into(text: &str, out: &mut String) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x8 => "\\b",
            0xC => "\\f",
            0..=0x1F => "",
            _ => continue,
        };
        out.push_str(&text[from..at]);
        if short.is_empty() {
            out.push_str("\\u00");
            out.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        } else {
            out.push_str(short);
        }
        from = at + 1;
    }
    out.push_str(&text[from..]);
}

/// `text` as the inside of a JSON string.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    quote_into(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_text_is_not_decoded() {
        for bad in
            [r#""\ud800""#, r#""\ud800x""#, r#""\udc00""#, r#""\x""#, r#""\u12""#, r#""\"#, "12", "\"", "\"a"]
        {
            assert!(decode(bad.as_bytes(), 0..bad.len()).is_none(), "{bad}");
        }
        assert_eq!(decode(br#""\ud83d\ude00""#, 0..14).unwrap().text, "\u{1F600}");
    }

    proptest! {
        #[test]
        fn text_and_bytes_lead_to_each_other(text in "[\\x00-\\x7Fäß€😀\\n\"\\\\]{0,40}", before in 0usize..5) {
            let literal = format!("{}\"{}\"", " ".repeat(before), quote(&text));
            prop_assert_eq!(serde_json::from_str::<String>(literal.trim_start_matches(' ')).unwrap(), text.clone());
            let decoded = decode(literal.as_bytes(), before..literal.len()).unwrap();
            prop_assert_eq!(&*decoded.text, &text);
            for (at, _) in text.char_indices() {
                let head = &literal[before + 1..decoded.raw(at)];
                prop_assert_eq!(serde_json::from_str::<String>(&format!("\"{head}\"")).unwrap(), &text[..at]);
            }
        }
    }
}
