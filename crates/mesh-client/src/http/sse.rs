//! Server-sent events without I/O: bytes cut anywhere in, events out, and the way back.
//!
//! The rules are those of the WHATWG HTML standard, "Server-sent events": one BOM is dropped, CR, LF and CRLF end a line, a
//! leading colon is a comment, several `data` lines join by LF, a blank line dispatches, invalid UTF-8 becomes U+FFFD. One
//! leniency: at the end of the stream an event whose last line is complete is dispatched without its blank line.
//!
//! An event that lies whole in one chunk borrows from it; only cut events are copied.
use memchr::{memchr, memchr2};
use std::borrow::Cow;
use std::time::Duration;

/// Longest line, and longest data of one event, unless [`Decoder::with_max_line`] says otherwise: 64 MiB, a whole file in one delta.
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event, valid until the next byte is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Name of the event; empty means `message`.
    pub event: &'a str,
    /// The data lines, joined by LF.
    pub data: Cow<'a, str>,
    /// The last id that the stream gave, this event's or an earlier one's.
    pub id: Option<&'a str>,
}

/// Why a stream cannot be decoded further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SseError {
    /// A line, or the data of one event, passes the bound.
    #[error("an event of the stream is longer than {limit} bytes")]
    LineTooLong {
        /// The bound in bytes.
        limit: usize,
    },
}

/// Server-sent events from bytes cut anywhere. The same bytes give the same events however they were cut.
#[derive(Debug)]
pub struct Decoder {
    /// How many bytes of a BOM were seen; 3 when the question is settled.
    bom: usize,
    /// The last chunk ended in CR: a LF at the start of the next one belongs to it.
    after_cr: bool,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    fields: Fields,
    max_line: usize,
}

/// What the lines of the event in progress have said so far.
#[derive(Debug, Default)]
struct Fields {
    event: String,
    data: Vec<u8>,
    has_data: bool,
    id: String,
    retry: Option<Duration>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Decoder {
        Decoder::with_max_line(MAX_LINE_BYTES)
    }

    /// A decoder that refuses a line, or the data of one event, of more than `max_line` bytes.
    pub fn with_max_line(max_line: usize) -> Decoder {
        Decoder { bom: 0, after_cr: false, line: Vec::new(), fields: Fields::default(), max_line }
    }

    /// Takes the next bytes as they came, and hands on each event that they complete.
    ///
    /// # Errors
    /// A line or an event passes the bound; the stream cannot be decoded further.
    pub fn feed(&mut self, chunk: &[u8], mut on_event: impl FnMut(Event<'_>)) -> Result<(), SseError> {
        let mut rest = self.skip_bom(chunk);
        if self.after_cr && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.after_cr = false;
        }
        // The one data line of an event that has so far stayed in this chunk.
        let mut borrowed: Option<&[u8]> = None;
        while let Some(end) = memchr2(b'\n', b'\r', rest) {
            let (head, tail) = (&rest[..end], &rest[end + 1..]);
            let is_cr = rest[end] == b'\r';
            rest = if is_cr { tail.strip_prefix(b"\n").unwrap_or(tail) } else { tail };
            self.after_cr = is_cr && tail.is_empty();
            self.check(self.line.len() + head.len())?;
            if self.line.is_empty() {
                self.take_line(head, &mut borrowed, &mut on_event)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                let mut copied = None;
                if let Some(data) = borrowed.take() {
                    self.keep(data)?;
                }
                self.take_line(&line, &mut copied, &mut on_event)?;
                if let Some(data) = copied {
                    self.keep(data)?;
                }
                line.clear();
                self.line = line;
            }
        }
        if let Some(data) = borrowed {
            self.keep(data)?;
        }
        self.check(self.line.len() + rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// Ends the stream. An event whose last line is complete is dispatched; with half a line behind it, it was cut and is dropped.
    ///
    /// # Errors
    /// None today; the signature is that of [`Decoder::feed`].
    pub fn finish(&mut self, mut on_event: impl FnMut(Event<'_>)) -> Result<(), SseError> {
        let was_cut = self.is_mid_line();
        self.line.clear();
        if was_cut {
            self.fields.reset();
        } else {
            self.fields.dispatch(None, &mut on_event);
        }
        Ok(())
    }

    /// Whether the bytes so far end inside a line: at the end of a stream, a sign that it was cut.
    pub fn is_mid_line(&self) -> bool {
        !self.line.is_empty()
    }

    /// How long the server asks to wait before connecting again (`retry`).
    pub fn reconnect_after(&self) -> Option<Duration> {
        self.fields.retry
    }

    fn skip_bom<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let mut rest = chunk;
        while self.bom < BOM.len() {
            let Some((first, tail)) = rest.split_first() else { break };
            if *first != BOM[self.bom] {
                self.line.extend_from_slice(&BOM[..self.bom]);
                self.bom = BOM.len();
                break;
            }
            self.bom += 1;
            rest = tail;
        }
        rest
    }

    fn take_line<'a>(
        &mut self,
        line: &'a [u8],
        borrowed: &mut Option<&'a [u8]>,
        on_event: &mut impl FnMut(Event<'_>),
    ) -> Result<(), SseError> {
        if line.is_empty() {
            self.fields.dispatch(borrowed.take(), on_event);
            return Ok(());
        }
        let (name, value) = match memchr(b':', line) {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        if name == b"data" {
            if let Some(first) = borrowed.take() {
                self.keep(first)?;
            }
            if self.fields.has_data {
                self.keep(value)?;
            } else {
                *borrowed = Some(value);
            }
        } else {
            self.fields.set(name, value);
        }
        Ok(())
    }

    /// Copies a data line because its event goes on beyond this chunk, or has several.
    fn keep(&mut self, data: &[u8]) -> Result<(), SseError> {
        self.check(self.fields.data.len() + data.len())?;
        self.fields.append(data);
        Ok(())
    }

    fn check(&self, bytes: usize) -> Result<(), SseError> {
        if bytes > self.max_line { Err(SseError::LineTooLong { limit: self.max_line }) } else { Ok(()) }
    }
}

impl Fields {
    fn append(&mut self, data: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(data);
        self.has_data = true;
    }

    fn set(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.id = String::from_utf8_lossy(value).into_owned(),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let millis = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                self.retry = millis.map(Duration::from_millis);
            }
            // A comment has an empty name; other fields are ignored.
            _ => {}
        }
    }

    fn dispatch(&mut self, borrowed: Option<&[u8]>, on_event: &mut impl FnMut(Event<'_>)) {
        if let Some(data) = borrowed.or_else(|| self.has_data.then_some(self.data.as_slice())) {
            let id = (!self.id.is_empty()).then_some(self.id.as_str());
            // The strict check is several times as fast as the lossy one, which only broken text needs.
            let data =
                std::str::from_utf8(data).map_or_else(|_| String::from_utf8_lossy(data), Cow::Borrowed);
            on_event(Event { event: &self.event, data, id });
        }
        self.reset();
    }

    fn reset(&mut self) {
        self.event.clear();
        self.data.clear();
        self.has_data = false;
    }
}

/// Writes events the way [`Decoder`] reads them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoder;

impl Encoder {
    /// Appends one event to `out`. Line breaks in the data become several `data` lines; in name and id they are dropped.
    pub fn event(event: &Event<'_>, out: &mut Vec<u8>) {
        for (name, value) in [("event", Some(event.event).filter(|name| !name.is_empty())), ("id", event.id)]
        {
            if let Some(value) = value {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend(value.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
                out.push(b'\n');
            }
        }
        Encoder::data(&event.data, out);
    }

    /// Appends an event without name and id to `out`.
    pub fn data(data: &str, out: &mut Vec<u8>) {
        let mut rest = data.as_bytes();
        loop {
            let end = memchr2(b'\n', b'\r', rest);
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            out.push(b'\n');
            let Some(end) = end else { break };
            let skip = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
            rest = &rest[end + skip..];
        }
        out.push(b'\n');
    }

    /// Appends a comment to `out`, which keeps a quiet connection open.
    pub fn comment(text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b": ");
        out.extend(text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        out.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, data and id of each event.
    fn events(pieces: &[&[u8]]) -> Vec<(String, String, Option<String>)> {
        let mut decoder = Decoder::new();
        let mut events = Vec::new();
        let mut take = |event: Event<'_>| {
            events.push((event.event.to_owned(), event.data.into_owned(), event.id.map(str::to_owned)));
        };
        for piece in pieces {
            decoder.feed(piece, &mut take).unwrap();
        }
        decoder.finish(&mut take).unwrap();
        events
    }

    #[track_caller]
    fn check(stream: &str, want: &[&str]) {
        let data: Vec<String> = events(&[stream.as_bytes()]).into_iter().map(|event| event.1).collect();
        assert_eq!(data, want, "{stream:?}");
    }

    #[test]
    fn lines_end_in_any_of_three_ways() {
        check("data: a\n\ndata: b\r\rdata: c\r\n\r\n", &["a", "b", "c"]);
        check("data: a\r\ndata: b\rdata: c\n\r\n", &["a\nb\nc"]);
        check("data: a\u{2028}b\u{85}c\u{b}d\n\n", &["a\u{2028}b\u{85}c\u{b}d"]);
    }

    #[test]
    fn one_space_after_the_colon_belongs_to_it() {
        check("data:a\n\ndata: b\n\ndata:  c\n\ndata:\td\n\n", &["a", "b", " c", "\td"]);
    }

    #[test]
    fn a_blank_line_dispatches_what_has_data() {
        check("event: x\n\ndata\n\ndata:\n\n: note\n\n", &["", ""]);
        check("data: a\n: note\ndata\ndata: b\n\n\n\n", &["a\n\nb"]);
        check(" data: a\n\nDATA: b\n\ndatax: c\n\n", &[]);
    }

    #[test]
    fn one_bom_is_dropped() {
        check("\u{feff}data: a\n\n", &["a"]);
        check("\u{feff}\u{feff}data: a\n\ndata: b\n\n", &["b"]);
        assert_eq!(events(&[b"\xef", b"\xbb", b"\xbfdata: a\n\n"])[0].1, "a");
        assert_eq!(events(&[b"\xef", b"\xbb", b"data: a\n\n"]), []);
    }

    #[test]
    fn a_cut_last_line_is_dropped_and_a_whole_one_counts() {
        check("data: a\n\ndata: b\n", &["a", "b"]);
        check("data: a\n\ndata: b", &["a"]);
        check("data: a\n\ndata: b\ndata: c", &["a"]);
    }

    #[test]
    fn names_are_for_one_event_and_ids_for_all_that_follow() {
        let text = |text: &str| text.to_owned();
        let id = || Some(text("7"));
        let stream = b"event: x\nid: 7\ndata: a\n\ndata: b\n\nid: 8\0\ndata: c\n\n";
        let want = [(text("x"), text("a"), id()), (text(""), text("b"), id()), (text(""), text("c"), id())];
        assert_eq!(events(&[stream]), want);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(events(&[b"data: a\xff\xc3b\n\n"])[0].1, "a\u{fffd}\u{fffd}b");
        assert_eq!(events(&["data: é\n\n".as_bytes().split_at(7).0, b"\xa9\n\n"])[0].1, "é");
    }

    #[test]
    fn retry_is_kept_when_it_is_a_number() {
        let mut decoder = Decoder::new();
        decoder.feed(b"retry: 1500\n\nretry: x\n\nretry: \n\n", |_| {}).unwrap();
        assert_eq!(decoder.reconnect_after(), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn an_event_in_one_piece_is_not_copied() {
        let stream = b"data: whole\n\nevent: x\ndata: too\n\n";
        let mut decoder = Decoder::new();
        let mut count = 0;
        decoder
            .feed(stream, |event| {
                count += 1;
                assert!(matches!(event.data, Cow::Borrowed(_)));
                let place = event.data.as_ptr().addr() - stream.as_ptr().addr();
                assert!(place < stream.len(), "in the network's own bytes");
            })
            .unwrap();
        assert_eq!(count, 2);
    }

    #[test]
    fn the_bound_holds_for_lines_and_for_events() {
        let limit = Err(SseError::LineTooLong { limit: 8 });
        let feed = |pieces: &[&[u8]]| {
            let mut decoder = Decoder::with_max_line(8);
            pieces.iter().try_for_each(|piece| decoder.feed(piece, |_| {}))
        };
        assert_eq!(feed(&[b"data: ab\n\n"]), Ok(()));
        assert_eq!(feed(&[b"data: abc\n\n"]), limit);
        assert_eq!(feed(&[b"data:", b" ab", b"c"]), limit);
        assert_eq!(feed(&[b"data:abc\ndata:def\ndata:ghi\n\n"]), limit);
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut stream = Vec::new();
        Encoder::comment("hello\nthere", &mut stream);
        Encoder::event(&Event { event: "x\ny", data: "a\r\nb\rc\n".into(), id: Some("7") }, &mut stream);
        Encoder::data("", &mut stream);
        let id = || Some("7".to_owned());
        let want = [("xy".to_owned(), "a\nb\nc\n".to_owned(), id()), (String::new(), String::new(), id())];
        assert_eq!(events(&[&stream]), want);
    }
}
