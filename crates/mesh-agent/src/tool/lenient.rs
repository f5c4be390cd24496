//! Pure: a JSON reader for what models write: forgives raw control characters and, if asked, missing commas.
//!
//! It never completes a text that ends too early. Recursion stops at [`MAX_DEPTH`], so nesting cannot exhaust the stack.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Deepest nesting that is read; the same bound as serde_json's own.
const MAX_DEPTH: usize = 128;

/// What to do where a comma should stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commas {
    /// A missing comma is a fault.
    Required,
    /// A missing comma is put in before the next member.
    Inserted,
}

/// Why and where a text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte offset of the character that does not fit.
    pub(crate) at: usize,
    /// What was expected there.
    pub(crate) what: &'static str,
}

/// A value that keeps the digits of its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Node>),
    /// Members in the order of their first appearance; of two with one name the later value stays.
    Object(Vec<(String, Node)>),
}

/// Reads one value; also gives the byte offsets at which commas were put in.
pub(crate) fn parse(text: &str, commas: Commas) -> Result<(Node, Vec<usize>), Fault> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, commas, inserted: Vec::new() };
    let node = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.fault("the end after the first value"));
    }
    Ok((node, reader.inserted))
}

/// Whether `text` ends too early: inside a string or a bracket, after `:` or `,`, or before it began.
pub(crate) fn is_truncated(text: &str) -> bool {
    let (mut in_string, mut escaped, mut depth, mut last) = (false, false, 0i64, b',');
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        if !is_space(byte) {
            last = byte;
        }
    }
    in_string || depth > 0 || matches!(last, b':' | b',')
}

/// Byte offset of the first control character that stands in a string as it is.
pub(crate) fn first_raw_control(text: &str) -> Option<usize> {
    let (mut in_string, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'"' => in_string = !in_string,
            b'\\' => escaped = in_string,
            0..0x20 if in_string => return Some(at),
            _ => {}
        }
    }
    None
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    commas: Commas,
    inserted: Vec<usize>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        if depth > MAX_DEPTH {
            return Err(self.fault("fewer brackets in one another"));
        }
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Node::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, Fault> {
        self.at += 1;
        let mut members = Members::default();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Node::Object(members.list));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.fault("a name in double quotes"));
            }
            let name = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.fault("':'"));
            }
            let value = self.value(depth + 1)?;
            members.set(name, value);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Node::Object(members.list));
            }
            self.comma()?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<Node, Fault> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Node::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Node::Array(items));
            }
            self.comma()?;
        }
    }

    fn comma(&mut self) -> Result<(), Fault> {
        if self.take(b',') {
            return Ok(());
        }
        if self.commas == Commas::Inserted && self.is_gap() {
            self.inserted.push(self.at);
            return Ok(());
        }
        Err(self.fault("','"))
    }

    /// Whether two members meet here. Digits that run into each other are one broken number and no gap.
    fn is_gap(&self) -> bool {
        let before = self.at.checked_sub(1).map(|at| self.bytes[at]);
        match self.peek() {
            Some(b'"' | b'{' | b'[') => true,
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                before.is_some_and(|byte| is_space(byte) || matches!(byte, b'"' | b'}' | b']'))
            }
            _ => false,
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let unterminated = Fault { at: start, what: "the end of the string that begins here" };
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.bytes[self.at..];
            let plain = memchr::memchr2(b'"', b'\\', rest).ok_or(unterminated)?;
            text.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain + 1;
            if rest[plain] == b'"' {
                return Ok(text);
            }
            let escape = self.peek().ok_or(unterminated)?;
            self.at += 1;
            text.push(match escape {
                b'"' | b'\\' | b'/' => char::from(escape),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode_escape()?,
                _ => return Err(Fault { at: self.at - 2, what: "a known escape after the backslash" }),
            });
        }
    }

    /// Four hex digits, and the second half of a pair if there is one; half a pair alone becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let first = self.hex4()?;
        if (0xD800..0xDC00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let fault = Fault { at: self.at, what: "four hex digits" };
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(fault)?;
        let mut code = 0;
        for digit in digits {
            code = code * 16 + char::from(*digit).to_digit(16).ok_or(fault)?;
        }
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Node, Fault> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return Err(Fault { at: start, what: "a value" });
        }
        // A point or an exponent without digits belongs to what comes after, and is a fault there.
        let whole = self.at;
        if self.take(b'.') && self.digits() == 0 {
            self.at = whole;
        }
        let mantissa = self.at;
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits() == 0 {
                self.at = mantissa;
            }
        }
        Ok(Node::Number(self.text[start..self.at].to_owned()))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self) -> Result<Node, Fault> {
        for (word, node) in [("true", Node::Bool(true)), ("false", Node::Bool(false)), ("null", Node::Null)] {
            if self.bytes[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(node);
            }
        }
        Err(self.fault("a value"))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }
}

#[derive(Default)]
struct Members {
    list: Vec<(String, Node)>,
    places: HashMap<String, usize>,
}

impl Members {
    fn set(&mut self, name: String, value: Node) {
        match self.places.get(&name) {
            Some(place) => self.list[*place].1 = value,
            None => {
                self.places.insert(name.clone(), self.list.len());
                self.list.push((name, value));
            }
        }
    }
}

impl Node {
    /// The value as serde_json knows it: a whole number beyond 64 bits becomes the nearest float.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Node::Null => Value::Null,
            Node::Bool(flag) => Value::Bool(*flag),
            Node::Number(digits) => number_value(digits),
            Node::Text(text) => Value::String(text.clone()),
            Node::Array(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Node::Object(members) => Value::Object(object_value(members)),
        }
    }

    /// Writes the value as JSON text with `", "` and `": "`, the way the Python releases kept it.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Node::Null => out.push_str("null"),
            Node::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Node::Number(digits) => out.push_str(&number_text(digits)),
            Node::Text(text) => out.push_str(&quoted(text)),
            Node::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    item.write(out);
                }
                out.push(']');
            }
            Node::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    out.push_str(&quoted(name));
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// The members as serde_json's map, in their order.
pub(crate) fn object_value(members: &[(String, Node)]) -> Map<String, Value> {
    members.iter().map(|(name, value)| (name.clone(), value.to_value())).collect()
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn is_float(digits: &str) -> bool {
    digits.contains(['.', 'e', 'E'])
}

fn number_value(digits: &str) -> Value {
    // Minus nothing is a float to serde_json as well.
    if !is_float(digits) && digits != "-0" {
        if let Ok(whole) = digits.parse::<i64>() {
            return Value::from(whole);
        }
        if let Ok(whole) = digits.parse::<u64>() {
            return Value::from(whole);
        }
    }
    let float = digits.parse::<f64>().unwrap_or(0.0);
    Value::from(float.clamp(f64::MIN, f64::MAX))
}

/// Whole numbers keep their digits; floats are written the shortest way that reads back as the same.
fn number_text(digits: &str) -> String {
    let float = match digits.parse::<f64>() {
        Ok(float) if is_float(digits) && float.is_finite() => float,
        _ => return digits.to_owned(),
    };
    let text = format!("{float:?}");
    match text.split_once('e') {
        None => text,
        Some((mantissa, exponent)) => match exponent.strip_prefix('-') {
            Some(small) => format!("{mantissa}e-{small:0>2}"),
            None => format!("{mantissa}e+{exponent:0>2}"),
        },
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let mut out = String::new();
        match parse(text, Commas::Required) {
            Ok((node, _)) => node.write(&mut out),
            Err(fault) => out = format!("{}: {}", fault.at, fault.what),
        }
        assert_eq!(out, want, "{text}");
    }

    #[test]
    fn values_are_read_and_written() {
        check(" {\"a\":[1,true,null,\"x\"],\"b\":{}} ", r#"{"a": [1, true, null, "x"], "b": {}}"#);
        check("{\"a\":\"line\nbreak\ttab\"}", r#"{"a": "line\nbreak\ttab"}"#);
        check(r#""\u00e9\ud83d\ude00\/""#, "\"é😀/\"");
        check(r#""\ud83d x""#, "\"\u{fffd} x\"");
        check(r#"{"a":1,"b":2,"a":3}"#, r#"{"a": 3, "b": 2}"#);
    }

    #[test]
    fn numbers_keep_their_value() {
        check("123456789012345678901234567890", "123456789012345678901234567890");
        check("[1.5e3, 1e16, 1E-5, 0.10, 1e999]", "[1500.0, 1e+16, 1e-05, 0.1, 1e999]");
        assert_eq!(parse("1e999", Commas::Required).unwrap().0.to_value(), Value::from(f64::MAX));
    }

    #[test]
    fn faults_name_place_and_expectation() {
        check("{\"a\" 1}", "5: ':'");
        check("{\"a\":1,}", "7: a name in double quotes");
        check("{'a':1}", "1: a name in double quotes");
        check("{\"a\":1}{", "7: the end after the first value");
        check("{\"a\":\"x", "5: the end of the string that begins here");
        check("{\"a\":\"\\x\"}", "6: a known escape after the backslash");
        check("[01]", "2: ','");
        check("", "0: a value");
    }

    #[test]
    fn digits_that_touch_are_no_gap() {
        assert!(parse("[1 2]", Commas::Inserted).is_ok());
        assert!(parse("[1-2]", Commas::Inserted).is_err());
        assert!(parse("[01]", Commas::Inserted).is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let bomb = "[".repeat(1_000_000);
        assert!(parse(&bomb, Commas::Inserted).is_err());
        assert!(is_truncated(&bomb));
        let closed = format!("{}{}", bomb, "]".repeat(1_000_000));
        assert!(parse(&closed, Commas::Inserted).is_err());
        assert!(!is_truncated(&closed));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[\\[\\]{}\",:0-9a-u\\\\ \n.é-]{0,60}") {
            let _ = parse(&text, Commas::Required);
            let _ = parse(&text, Commas::Inserted);
            let _ = is_truncated(&text);
        }

        #[test]
        fn what_serde_reads_is_read_the_same(text in "[\\[\\]{}\",:0-9truefalsn\\\\ .-]{0,40}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let (node, inserted) = parse(&text, Commas::Inserted).unwrap();
                prop_assert_eq!(node.to_value(), value);
                prop_assert!(inserted.is_empty());
            }
        }
    }
}
