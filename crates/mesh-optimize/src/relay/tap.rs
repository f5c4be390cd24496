//! Finds the usage report in an answer that passes by, packed or not, in any of the three shapes.

use std::io::{self, Read as _, Write};

use flate2::write::MultiGzDecoder;
use memchr::memmem;
use serde_json::{Map, Value};

use crate::receipt::Usage;

/// Longest answer in one piece that is looked into.
const MAX_WHOLE: usize = 16 << 20;
/// Longest event of a stream that is looked into.
const MAX_LINE: usize = 4 << 20;

/// Reads an answer along as it passes, unpacking where that is needed. What cannot be read reports nothing.
#[derive(Debug)]
pub struct Tap(Pipe);

#[derive(Debug)]
enum Pipe {
    /// What is read as it comes.
    Plain(Reading),
    /// `gzip`.
    Packed(Box<MultiGzDecoder<Reading>>),
}

impl Tap {
    /// One for an answer with these values of `content-type` and `content-encoding`.
    pub fn new(content_type: Option<&str>, content_encoding: Option<&str>) -> Tap {
        let reading = match content_type {
            Some(kind) if kind.contains("event-stream") => {
                Reading::Stream { open: Vec::new(), found: Map::new(), cost: None }
            }
            Some(kind) if kind.contains("json") => Reading::Whole(Vec::new()),
            _ => Reading::Blind,
        };
        Tap(match content_encoding {
            None | Some("identity") => Pipe::Plain(reading),
            Some("gzip") => Pipe::Packed(Box::new(MultiGzDecoder::new(reading))),
            Some(_) => Pipe::Plain(Reading::Blind),
        })
    }

    /// Reads a piece.
    pub fn feed(&mut self, piece: &[u8]) {
        match &mut self.0 {
            Pipe::Plain(reading) => reading.feed(piece),
            Pipe::Packed(decoder) => {
                if decoder.write_all(piece).is_err() {
                    self.0 = Pipe::Plain(Reading::Blind);
                }
            }
        }
    }

    /// What was reported: tokens, and what it cost in USD.
    pub fn end(self) -> (Option<Usage>, Option<f64>) {
        let reading = match self.0 {
            Pipe::Plain(reading) => reading,
            Pipe::Packed(mut decoder) => {
                // Of what broke off the beginning counts.
                let _ = decoder.try_finish();
                std::mem::replace(decoder.get_mut(), Reading::Blind)
            }
        };
        let (mut all, mut billed) = (Map::new(), None);
        match reading {
            Reading::Stream { open, found, cost } => {
                (all, billed) = (found, cost);
                reports(&open, |value| report(&value, &mut all, &mut billed));
            }
            Reading::Whole(bytes) => {
                if let Ok(value) = serde_json::from_slice(&bytes) {
                    report(&value, &mut all, &mut billed);
                }
            }
            Reading::Blind => {}
        }
        (usage(all), billed)
    }
}

/// What is read of an answer.
#[derive(Debug)]
enum Reading {
    /// Events: their reports are added up, the later field over the earlier. `open` is the line that has not ended yet.
    Stream { open: Vec<u8>, found: Map<String, Value>, cost: Option<f64> },
    /// One JSON value.
    Whole(Vec<u8>),
    /// It cannot be read.
    Blind,
}

impl Reading {
    fn feed(&mut self, piece: &[u8]) {
        match self {
            Reading::Stream { open, found, cost } => {
                let mut see = |lines: &[u8]| reports(lines, |value| report(&value, found, cost));
                match memchr::memrchr(b'\n', piece) {
                    Some(end) => {
                        let (lines, rest) = piece.split_at(end + 1);
                        let first = memchr::memchr(b'\n', lines).map_or(0, |first| first + 1);
                        let (first, lines) =
                            if open.is_empty() { (&[][..], lines) } else { lines.split_at(first) };
                        open.extend_from_slice(first);
                        see(open);
                        see(lines);
                        open.clear();
                        open.extend_from_slice(rest);
                    }
                    None => open.extend_from_slice(piece),
                }
                if open.len() > MAX_LINE {
                    *self = Reading::Blind;
                }
            }
            Reading::Whole(bytes) if bytes.len() + piece.len() <= MAX_WHOLE => bytes.extend_from_slice(piece),
            _ => *self = Reading::Blind,
        }
    }
}

impl Write for Reading {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.feed(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A packed request as its client wrote it; empty where it is not that, or too long.
pub fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(packed).take(MAX_WHOLE as u64);
    match reader.read_to_end(&mut plain) {
        Ok(_) => plain,
        Err(_) => Vec::new(),
    }
}

/// Finds the events in whole lines that may hold a report. Most are text and hold none: they are not taken apart.
fn reports(lines: &[u8], mut found: impl FnMut(Value)) {
    let mut from = 0;
    let next = |from: usize| {
        let at = |name: &[u8]| memmem::find(&lines[from..], name).map(|at| from + at);
        [at(b"\"usage\""), at(b"\"cost\"")].into_iter().flatten().min()
    };
    while let Some(at) = next(from) {
        let start = memchr::memrchr(b'\n', &lines[..at]).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', &lines[at..]).map_or(lines.len(), |end| at + end);
        if let Some(data) = lines[start..end].strip_prefix(b"data:") {
            serde_json::from_slice(data).into_iter().for_each(&mut found);
        }
        from = end;
    }
}

/// Adds what an event or an answer reports. The responses API puts it into `response`, the messages API at first into `message`.
fn report(value: &Value, found: &mut Map<String, Value>, cost: &mut Option<f64>) {
    for place in [Some(value), value.get("message"), value.get("response")].into_iter().flatten() {
        if let Some(Value::Object(usage)) = place.get("usage") {
            let told = usage.iter().filter(|(_, value)| !value.is_null());
            found.extend(told.map(|(name, value)| (name.clone(), value.clone())));
        }
        *cost = place.get("cost").and_then(dollars).or(*cost);
    }
}

/// An amount as a number or as a decimal text.
fn dollars(value: &Value) -> Option<f64> {
    let amount = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    Some(amount).filter(|amount| amount.is_finite() && *amount >= 0.0)
}

/// The report in one form. The responses API counts cached tokens as input, unlike the messages API with the same names.
fn usage(mut found: Map<String, Value>) -> Option<Usage> {
    if let Some(details) = found.remove("input_tokens_details") {
        let renamed = [("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")];
        for (to, from) in renamed {
            if let Some(value) = found.remove(from) {
                found.insert(to.to_owned(), value);
            }
        }
        found.insert("prompt_tokens_details".to_owned(), details);
    }
    Usage::from_json(&Value::Object(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, pieces: &[&str]) -> (Option<Usage>, Option<f64>) {
        let mut tap = Tap::new(Some(kind), None);
        pieces.iter().for_each(|piece| tap.feed(piece.as_bytes()));
        tap.end()
    }

    #[test]
    fn reports_are_found_in_each_shape() {
        let chat = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":4}},\"cost\":\"0.01\"}\n\ndata: [DONE]\n\n";
        let want = Usage { input: 9, cache_read: 4, cache_write: 0, output: 2 };
        for cut in 0..chat.len() {
            let (start, rest) = chat.split_at(cut);
            assert_eq!(read("text/event-stream", &[start, rest]), (Some(want), Some(0.01)), "cut at {cut}");
        }
        let bytes: Vec<String> = chat.chars().map(String::from).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(read("text/event-stream", &bytes), (Some(want), Some(0.01)));
        let messages = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}\n\n";
        let want = Usage { input: 9, cache_read: 4, cache_write: 2, output: 7 };
        assert_eq!(read("text/event-stream; charset=utf-8", &[messages]), (Some(want), None));
        let responses =
            r#"{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":2}}"#;
        let want = Usage { input: 9, cache_read: 4, cache_write: 0, output: 2 };
        assert_eq!(read("application/json", &[responses]), (Some(want), None));
    }

    #[test]
    fn a_packed_report_is_read() {
        let event = "data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n";
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(event.as_bytes()).unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(unpacked(&packed), event.as_bytes());
        assert_eq!(unpacked(b"no gzip"), b"");
        let want = Usage { input: 9, cache_read: 0, cache_write: 0, output: 2 };
        for cut in [0, 1, 12, packed.len()] {
            let mut tap = Tap::new(Some("text/event-stream"), Some("gzip"));
            tap.feed(&packed[..cut]);
            tap.feed(&packed[cut..]);
            assert_eq!(tap.end(), (Some(want), None), "cut at {cut}");
        }
    }

    #[test]
    fn what_cannot_be_read_reports_nothing() {
        for (kind, text) in [
            ("text/plain", "{\"usage\":{\"prompt_tokens\":1}}"),
            ("application/json", "{\"usage\":"),
            ("text/event-stream", "data: {\"usage\": 3}\n\n"),
            ("application/json", "{\"cost\": -1}"),
        ] {
            assert_eq!(read(kind, &[text]), (None, None), "{text}");
        }
    }
}
