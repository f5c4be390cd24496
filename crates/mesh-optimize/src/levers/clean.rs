//! Lossless clean-up of what a command printed: escapes, redraws of a line, blanks at its end, lines that repeat.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use xxhash_rust::xxh3::xxh3_64;

use crate::edit::Hole;

/// CSI, OSC and two-byte escape sequences (ECMA-48, section 5.4; OSC ends in BEL or ST as xterm has it).
static ESCAPES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[@-Z\\\\^_])").ok()
});

/// So many equal lines in a row become one line and a count. Section 6 of the specification, tier P0.
const EQUAL_LINES: usize = 4;

/// A line as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where the line begins and ends in the text, its line feed not included.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Of what is seen of it.
    pub(crate) hash: u64,
    /// Bytes that are seen.
    pub(crate) len: usize,
}

impl Row {
    /// Nothing but blanks is seen.
    fn is_blank(&self) -> bool {
        self.len == 0
    }
}

/// The lines of a text as they stand.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    let mut start = 0;
    let mut rows = Vec::with_capacity(text.len() / 32 + 1);
    for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        rows.push(Row { start, end, hash: xxh3_64(&text.as_bytes()[start..end]), len: end - start });
        start = end + 1;
    }
    rows
}

/// What goes from a text that a terminal would show differently, and its lines as they are seen.
pub(crate) fn terminal(text: &str) -> (Vec<Hole>, Vec<Row>) {
    let (mut holes, mut rows) = (Vec::new(), Vec::with_capacity(text.len() / 32 + 1));
    let escaped = memchr::memchr(0x1b, text.as_bytes()).is_some();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        rows.push(line(text, start..end, escaped, &mut holes));
        start = end + 1;
    }
    (holes, rows)
}

/// One line: of several redraws the last stays, also when the line ends in one.
fn line(text: &str, range: Range<usize>, escaped: bool, holes: &mut Vec<Hole>) -> Row {
    let Range { start, end } = range;
    let full = &text[start..end];
    if !escaped && !full.ends_with([' ', '\t', '\r']) && memchr::memchr(b'\r', full.as_bytes()).is_none() {
        return Row { start, end, hash: xxh3_64(full.as_bytes()), len: full.len() };
    }
    let body = full.trim_end_matches('\r');
    let from = body.rfind('\r').map_or(0, |at| at + 1);
    if from > 0 {
        holes.push(Hole { range: start..start + from, note: None });
    }
    let mut seen = String::with_capacity(body.len() - from);
    let mut at = from;
    if let Some(escapes) = ESCAPES.as_ref().filter(|_| escaped) {
        for found in escapes.find_iter(&body[from..]) {
            seen.push_str(&body[at..from + found.start()]);
            at = from + found.end();
            holes.push(Hole { range: start + from + found.start()..start + at, note: None });
        }
    }
    seen.push_str(&body[at..]);
    let len = seen.trim_end_matches([' ', '\t']).len();
    // Blanks in front of a final escape are rare and stay: only what ends the bytes goes.
    let tail = body[at..].trim_end_matches([' ', '\t']).len();
    if at + tail < full.len() {
        holes.push(Hole { range: start + at + tail..end, note: None });
    }
    Row { start, end, hash: xxh3_64(&seen.as_bytes()[..len]), len }
}

/// Lines that repeat, as holes, and the rows that are left: the first of a run stays, a count stands behind it; of three blank
/// lines or more one stays.
pub(crate) fn equal_lines(rows: &[Row], holes: &mut Vec<Hole>) -> Vec<Row> {
    let mut left = Vec::with_capacity(rows.len());
    let mut at = 0;
    while at < rows.len() {
        let run =
            rows[at..].iter().take_while(|row| row.hash == rows[at].hash && row.len == rows[at].len).count();
        let (note, enough) = match rows[at].is_blank() {
            true => (None, run >= EQUAL_LINES - 1),
            false => (Some(format!("\n[previous line x{run}]")), run >= EQUAL_LINES),
        };
        let last = rows[at + run - 1];
        if enough && last.end - rows[at].end > note.as_ref().map_or(0, String::len) {
            left.push(rows[at]);
            punch(holes, Hole { range: rows[at].end..last.end, note });
        } else {
            left.extend_from_slice(&rows[at..at + run]);
        }
        at += run;
    }
    left
}

/// Adds a hole; smaller ones inside it are swallowed.
pub(crate) fn punch(holes: &mut Vec<Hole>, hole: Hole) {
    let from = holes.partition_point(|old| old.range.start < hole.range.start);
    let to = holes.partition_point(|old| old.range.start < hole.range.end);
    holes.splice(from..to.max(from), [hole]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Edit;

    fn cleaned(text: &str) -> String {
        let (mut holes, rows) = terminal(text);
        equal_lines(&rows, &mut holes);
        Edit::nothing(text.len()).without(&holes).text(text)
    }

    #[test]
    fn a_reader_sees_the_same() {
        for (text, want) in [
            ("plain\nlines\n", "plain\nlines\n"),
            ("\x1b[31mred\x1b[0m  \n\x1b]0;title\x07x", "red\nx"),
            ("10%\r50%\r100%\nnext", "100%\nnext"),
            ("10%\r100%\r\nnext", "100%\nnext"),
            ("a\r\nb\r\n", "a\nb\n"),
            ("x\n\n\n\n\ny", "x\n\ny"),
            (
                "same long line\nsame long line\nsame long line\nsame long line\nend",
                "same long line\n[previous line x4]\nend",
            ),
            ("ab\nab\nab\nab\n", "ab\nab\nab\nab\n"),
            ("\x1b", "\x1b"),
            ("", ""),
        ] {
            assert_eq!(cleaned(text), want, "{text:?}");
        }
    }

    #[test]
    fn lines_that_only_look_equal_are_one() {
        assert_eq!(
            cleaned("a warning: x \na warning: x\na warning: x\t\n\x1b[1ma warning: x\x1b[0m"),
            "a warning: x\n[previous line x4]"
        );
    }
}
