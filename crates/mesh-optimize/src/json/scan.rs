//! Finds values in JSON bytes: skips over them, walks the members of an object and the elements of an array.

use std::ops::Range;

use memchr::memchr2;

/// Bytes of a body, from the first byte of a value to the one behind its last.
pub(crate) type Span = Range<usize>;

/// The bytes are not JSON, or not of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Returns the place of the first byte at or behind `at` that is not white space.
pub(crate) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Returns the place behind the value that begins at `at`. Nesting of any depth costs one bit a level, no stack.
pub(crate) fn skip(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    match bytes.get(at).ok_or(Malformed)? {
        b'"' => skip_string(bytes, at),
        b'{' | b'[' => skip_container(bytes, at),
        _ => skip_scalar(bytes, at),
    }
}

/// Checks that `bytes` is one JSON value with nothing but white space around it, and returns its span.
pub(crate) fn whole(bytes: &[u8]) -> Result<Span, Malformed> {
    let start = skip_space(bytes, 0);
    let end = skip(bytes, start)?;
    if skip_space(bytes, end) == bytes.len() { Ok(start..end) } else { Err(Malformed) }
}

fn skip_string(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut from = at + 1;
    loop {
        let hit = from + memchr2(b'"', b'\\', bytes.get(from..).ok_or(Malformed)?).ok_or(Malformed)?;
        if bytes[hit] == b'"' {
            return Ok(hit + 1);
        }
        // Escapes come in swarms (`\n\t\t\"`): look at the next bytes before the vector search is worth its start.
        from = hit + 2;
        while let Some(&byte) = bytes.get(from) {
            match byte {
                b'"' => return Ok(from + 1),
                b'\\' => from += 2,
                _ => break,
            }
        }
    }
}

fn skip_scalar(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let end = at
        + bytes[at..]
            .iter()
            .position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'+' | b'.' | b'E'))
            .unwrap_or(bytes.len() - at);
    match &bytes[at..end] {
        b"true" | b"false" | b"null" => Ok(end),
        number if is_number(number) => Ok(end),
        _ => Err(Malformed),
    }
}

/// The number grammar of RFC 8259, section 6.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent =
            exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

/// What may stand next inside a container.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// A value; behind `[` also the end.
    Value { or_end: bool },
    /// A key; behind `{` also the end.
    Key { or_end: bool },
    /// A comma or the end.
    Comma,
}

fn skip_container(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut objects: Vec<bool> = Vec::with_capacity(16);
    let mut at = at;
    let mut next = Next::Value { or_end: false };
    loop {
        at = skip_space(bytes, at);
        let byte = *bytes.get(at).ok_or(Malformed)?;
        match (next, byte) {
            (Next::Value { .. }, b'{') => {
                objects.push(true);
                next = Next::Key { or_end: true };
                at += 1;
                continue;
            }
            (Next::Value { .. }, b'[') => {
                objects.push(false);
                next = Next::Value { or_end: true };
                at += 1;
                continue;
            }
            (Next::Value { or_end: true }, b']') | (Next::Comma, b']') if objects.last() == Some(&false) => {
                objects.pop();
                at += 1;
            }
            (Next::Key { or_end: true }, b'}') | (Next::Comma, b'}') if objects.last() == Some(&true) => {
                objects.pop();
                at += 1;
            }
            (Next::Value { .. }, b'"') => at = skip_string(bytes, at)?,
            (Next::Value { .. }, _) => at = skip_scalar(bytes, at)?,
            (Next::Key { .. }, b'"') => {
                at = skip_space(bytes, skip_string(bytes, at)?);
                if bytes.get(at) != Some(&b':') {
                    return Err(Malformed);
                }
                at += 1;
                next = Next::Value { or_end: false };
                continue;
            }
            (Next::Comma, b',') => {
                at += 1;
                next = if objects.last() == Some(&true) {
                    Next::Key { or_end: false }
                } else {
                    Next::Value { or_end: false }
                };
                continue;
            }
            _ => return Err(Malformed),
        }
        if objects.is_empty() {
            return Ok(at);
        }
        next = Next::Comma;
    }
}

/// The members of an object, in order: the key with its quotes, and the value.
pub(crate) struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
    first: bool,
    done: bool,
}

/// Walks the object that begins at `at`; the first item is an error if none does.
pub(crate) fn members(bytes: &[u8], at: usize) -> Members<'_> {
    Members { bytes, at, first: true, done: false }
}

impl Members<'_> {
    /// Where the walk stands: behind the last value, or behind the closing brace.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Reads up to the next value and leaves the walk in front of it: for a caller that knows how to skip it faster.
    pub(crate) fn next_key(&mut self) -> Result<Option<Span>, Malformed> {
        if self.done {
            return Ok(None);
        }
        let open = if self.first { b'{' } else { b',' };
        let mut at = skip_space(self.bytes, self.at);
        match self.bytes.get(at) {
            Some(b'}') if !self.first => {
                self.done = true;
                self.at = at + 1;
                return Ok(None);
            }
            Some(byte) if *byte == open => at = skip_space(self.bytes, at + 1),
            _ => return Err(Malformed),
        }
        if self.first && self.bytes.get(at) == Some(&b'}') {
            self.done = true;
            self.at = at + 1;
            return Ok(None);
        }
        self.first = false;
        if self.bytes.get(at) != Some(&b'"') {
            return Err(Malformed);
        }
        let end = skip_string(self.bytes, at)?;
        let colon = skip_space(self.bytes, end);
        if self.bytes.get(colon) != Some(&b':') {
            return Err(Malformed);
        }
        self.at = skip_space(self.bytes, colon + 1);
        Ok(Some(at..end))
    }

    /// Says where the value ended that [`Members::next_key`] stopped at.
    pub(crate) fn value_ends(&mut self, at: usize) {
        self.at = at;
    }
}

impl Iterator for Members<'_> {
    type Item = Result<(Span, Span), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.next_key().and_then(|key| {
            let Some(key) = key else { return Ok(None) };
            let start = self.at;
            self.at = skip(self.bytes, start)?;
            Ok(Some((key, start..self.at)))
        });
        if step.is_err() {
            self.done = true;
        }
        step.transpose()
    }
}

/// The elements of the array that begins at `at`.
pub(crate) fn elements(bytes: &[u8], at: usize) -> Result<Vec<Span>, Malformed> {
    if bytes.get(at) != Some(&b'[') {
        return Err(Malformed);
    }
    let mut found = Vec::new();
    let mut at = skip_space(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Ok(found);
    }
    loop {
        let end = skip(bytes, at)?;
        found.push(at..end);
        at = skip_space(bytes, end);
        match bytes.get(at) {
            Some(b',') => at = skip_space(bytes, at + 1),
            Some(b']') => return Ok(found),
            _ => return Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn values_are_told_from_what_is_none() {
        for good in [
            "0",
            "-0.5e+3",
            "true",
            " null ",
            "\"a\\\"b\"",
            "[]",
            "{}",
            "[1, {\"a\": [ ] }]",
            "{\"a\":1,\"b\":\"\\\\\"}",
        ] {
            assert!(whole(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "01",
            "1.",
            "tru",
            "\"a",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "{\"a\":1,}",
            "[1 2]",
            "[}",
            "{]",
            "{\"a\":1]",
            "1 2",
            "nul",
        ] {
            assert!(whole(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(whole(deep.as_bytes()), Ok(0..400_000));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((".{0,5}", inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_a_parser_writes_is_skipped_whole(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(whole(text.as_bytes()), Ok(0..text.len()));
            if let Value::Object(map) = &value {
                let found: Vec<(String, Value)> = members(text.as_bytes(), 0)
                    .map(|member| {
                        let (key, value) = member.unwrap();
                        (serde_json::from_str(&text[key]).unwrap(), serde_json::from_str(&text[value]).unwrap())
                    })
                    .collect();
                let want: Vec<(String, Value)> = map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                prop_assert_eq!(found.len(), want.len());
                prop_assert!(found.iter().zip(&want).all(|(a, b)| a.0 == b.0));
            }
            if let Value::Array(list) = &value {
                prop_assert_eq!(elements(text.as_bytes(), 0).unwrap().len(), list.len());
            }
        }

        #[test]
        fn damaged_bytes_never_panic(value in json(), cut in 0usize..200, flip in 0usize..200, byte: u8) {
            let mut text = serde_json::to_vec(&value).unwrap();
            text.truncate(cut);
            if let Some(place) = text.get_mut(flip) { *place = byte; }
            let ours = whole(&text).is_ok();
            // Lenient in one thing only: raw control characters and broken escapes inside strings.
            if serde_json::from_slice::<Value>(&text).is_ok() { prop_assert!(ours); }
        }
    }
}
