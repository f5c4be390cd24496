//! Credentials under one layer of spelling: base64, hexadecimal, percent signs, JSON escapes. Pure and linear.

use std::sync::LazyLock;

use regex::Regex;

use super::{Severity, Span, compile, plain};

/// Shortest run of base64 that could hold a credential: 18 bytes.
const MIN_BASE64: usize = 24;

/// Longest run that is decoded. Longer ones are pictures and archives.
const MAX_RUN: usize = 64 * 1024;

/// How a run of characters is spelled.
type Layer = (LazyLock<Regex>, fn(&str) -> Option<String>);

static LAYERS: [Layer; 4] = [
    (LazyLock::new(|| compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")), base64),
    (LazyLock::new(|| compile(r"(?:[0-9a-fA-F]{2}){20,}")), hexadecimal),
    (LazyLock::new(|| compile(r"[A-Za-z0-9._~+/=:-]*(?:%[0-9a-fA-F]{2}[A-Za-z0-9._~+/=:-]*){2,}")), percent),
    (LazyLock::new(|| compile(r"[A-Za-z0-9._~+/=:-]*(?:\\u[0-9a-fA-F]{4}[A-Za-z0-9._~+/=:-]*){2,}")), json),
];

/// Whole runs that hold a credential of high severity once they are decoded.
pub(super) fn find(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for (shape, decode) in &LAYERS {
        for run in shape.find_iter(text).filter(|run| run.len() <= MAX_RUN) {
            let Some(decoded) = decode(run.as_str()).filter(|decoded| decoded != run.as_str()) else {
                continue;
            };
            let worst = plain(&decoded).into_iter().max_by_key(|span| span.severity);
            if let Some(found) = worst.filter(|found| found.severity >= Severity::High) {
                spans.push(Span { start: run.start(), end: run.end(), ..found });
            }
        }
    }
    spans
}

/// Bytes that are text; others hold no credential that a person would read.
fn text(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(|c| c.is_control() && !c.is_whitespace())).then_some(text)
}

fn base64(run: &str) -> Option<String> {
    let letters = run.trim_end_matches('=');
    if letters.len() < MIN_BASE64 {
        return None;
    }
    let mut out = Vec::with_capacity(letters.len() * 3 / 4);
    let (mut held, mut bits) = (0u32, 0u32);
    for byte in letters.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits & 0xff) as u8);
            held &= (1 << bits) - 1;
        }
    }
    text(out)
}

fn hexadecimal(run: &str) -> Option<String> {
    let pairs = run.as_bytes().chunks_exact(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    text(bytes?)
}

fn percent(run: &str) -> Option<String> {
    escaped(run, '%', 2, |digits, out| {
        out.push(u8::from_str_radix(digits, 16).ok()?);
        Some(())
    })
}

fn json(run: &str) -> Option<String> {
    escaped(&run.replace("\\u", "\u{1}"), '\u{1}', 4, |digits, out| {
        let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
        out.extend(c.to_string().bytes());
        Some(())
    })
}

/// Replaces a sign and the digits behind it.
fn escaped(
    run: &str,
    sign: char,
    digits: usize,
    push: fn(&str, &mut Vec<u8>) -> Option<()>,
) -> Option<String> {
    let mut parts = run.split(sign);
    let mut out = parts.next()?.as_bytes().to_vec();
    for part in parts {
        push(part.get(..digits)?, &mut out)?;
        out.extend(part.get(digits..)?.bytes());
    }
    text(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_is_taken_off() {
        assert_eq!(base64("aGVsbG8gd29ybGQsIGhlbGxvIHdvcmxk").as_deref(), Some("hello world, hello world"));
        assert_eq!(base64("_-_-_-_-_-_-_-_-_-_-_-_-"), None);
        assert_eq!(hexadecimal("68656c6c6f").as_deref(), Some("hello"));
        assert_eq!(percent("a%20b%2Fc").as_deref(), Some("a b/c"));
        assert_eq!(json("a\\u0020b").as_deref(), Some("a b"));
    }

    #[test]
    fn a_key_is_found_under_one_layer() {
        let key = format!("rsk_{}", "0123456789abcdefghijABCD");
        let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        let percent: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let json: String = key.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        for spelled in [hex, percent, json] {
            let text = format!("x {spelled} y");
            let found = super::super::find(&text);
            assert_eq!(
                found.iter().map(|span| (span.rule, &text[span.start..span.end])).collect::<Vec<_>>(),
                [("meshapi-key", spelled.as_str())]
            );
        }
    }
}
