//! Pure: cuts long output to head and tail, and says exactly how much was left out between them.
//!
//! Both ends are kept because a failed command tells what it did at the start and why it failed at the end. Lengths are
//! characters (Unicode scalar values), as in the seed; the marker comes on top of the budget and is at most
//! [`MARKER_MAX`] characters long.

use std::borrow::Cow;

/// Characters of a command's output that reach the model. From the seed, section 10: 8,000.
pub const COMMAND_OUTPUT_CHARS: usize = 8_000;

/// Longest marker that stands in for what was left out, in characters, with its line breaks.
pub const MARKER_MAX: usize = 64;

/// Share of the budget that goes to the head, in percent. The end is larger: that is where the error stands.
const HEAD_PERCENT: usize = 40;

/// How far a cut may move, in characters, so that it falls on a line break.
const SNAP_CHARS: usize = 200;

/// Cuts `text` to at most `max_chars` characters and one marker; text within the budget is given back as it is.
///
/// ```text
/// first lines
/// [... 12345 characters left out ...]
/// last lines
/// ```
pub fn cut(text: &str, max_chars: usize) -> Cow<'_, str> {
    // A byte is never less than a character, so most texts are measured without being read.
    if text.len() <= max_chars || text.chars().count() <= max_chars {
        return Cow::Borrowed(text);
    }
    let (head_max, tail_max) = shares(max_chars);
    let head = snap_head(first_chars(text, head_max));
    let tail = snap_tail(last_chars(text, tail_max));
    let left_out = text[head.len()..text.len() - tail.len()].chars().count();
    Cow::Owned(join(head, left_out as u64, tail))
}

/// Collects output of any length in bounded memory: the first bytes, the last bytes, and a count of the rest.
///
/// ```
/// use mesh_agent::tool::output::HeadTail;
///
/// let mut output = HeadTail::new(8_000);
/// output.push(b"all is ");
/// output.push(b"well\n");
/// assert_eq!(output.finish(), "all is well\n");
/// ```
#[derive(Clone, Debug)]
pub struct HeadTail {
    max_chars: usize,
    head: Vec<u8>,
    head_cap: usize,
    tail: Vec<u8>,
    tail_cap: usize,
    /// Characters between head and tail that were let go.
    dropped_chars: u64,
    total_bytes: u64,
}

impl HeadTail {
    /// A collector whose result holds at most `max_chars` characters and one marker.
    ///
    /// Memory is at most about ten bytes a character, however much is pushed.
    pub fn new(max_chars: usize) -> HeadTail {
        let (head_max, tail_max) = shares(max_chars);
        HeadTail {
            max_chars,
            head: Vec::new(),
            // Four bytes are the longest character, and three more may be its cut-off neighbour.
            head_cap: head_max * 4 + 3,
            tail: Vec::new(),
            tail_cap: tail_max * 4 + 3,
            dropped_chars: 0,
            total_bytes: 0,
        }
    }

    /// Takes the next bytes of the output; a character may be cut anywhere between two calls.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total_bytes += bytes.len() as u64;
        let room = self.head_cap - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        // Only the end of a very long piece can matter: what is before it is counted and never copied.
        let skip = rest.len().saturating_sub(self.tail_cap);
        if skip > 0 {
            self.dropped_chars += count_chars(&self.tail) + count_chars(&rest[..skip]);
            self.tail.clear();
        }
        self.tail.extend_from_slice(&rest[skip..]);
        // Shrinks only when the spare half is full, so that each byte is moved at most once.
        if self.tail.len() > self.tail_cap * 2 {
            let gone = self.tail.len() - self.tail_cap;
            self.dropped_chars += count_chars(&self.tail[..gone]);
            self.tail.drain(..gone);
        }
    }

    /// How many bytes were pushed in all.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.total_bytes == 0
    }

    /// Gives the text collected so far; bytes that are no UTF-8 become U+FFFD.
    ///
    /// The count in the marker is exact for UTF-8. Of bytes that are not UTF-8 each that starts a sequence counts one.
    pub fn finish(&self) -> String {
        if (self.head.len() + self.tail.len()) as u64 == self.total_bytes {
            let whole = [self.head.as_slice(), self.tail.as_slice()].concat();
            let text = String::from_utf8_lossy(&whole);
            return cut(&text, self.max_chars).into_owned();
        }
        let (head_max, tail_max) = shares(self.max_chars);
        let (head_bytes, split) = split_cut_off_end(&self.head);
        let continues = self.tail.iter().take(3).take_while(|byte| is_continuation(**byte)).count();
        let head_text = String::from_utf8_lossy(head_bytes);
        let tail_text = String::from_utf8_lossy(&self.tail[continues..]);
        let head = snap_head(first_chars(&head_text, head_max));
        let tail = snap_tail(last_chars(&tail_text, tail_max));
        let left_out = head_text[head.len()..].chars().count()
            + usize::from(split)
            + tail_text[..tail_text.len() - tail.len()].chars().count();
        join(head, self.dropped_chars + left_out as u64, tail)
    }
}

/// How many characters of a budget go to head and tail.
fn shares(max_chars: usize) -> (usize, usize) {
    let head = max_chars / 100 * HEAD_PERCENT + max_chars % 100 * HEAD_PERCENT / 100;
    (head, max_chars - head)
}

fn join(head: &str, left_out: u64, tail: &str) -> String {
    let gap = if head.is_empty() || head.ends_with('\n') { "" } else { "\n" };
    format!("{head}{gap}[... {left_out} characters left out ...]\n{tail}")
}

fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(at, _)| &text[..at])
}

fn last_chars(text: &str, count: usize) -> &str {
    match count.checked_sub(1) {
        None => "",
        Some(before) => text.char_indices().rev().nth(before).map_or(text, |(at, _)| &text[at..]),
    }
}

/// Ends the head after a line, if one ends near.
fn snap_head(head: &str) -> &str {
    match last_chars(head, SNAP_CHARS.min(head.len() / 4)).find('\n') {
        Some(_) => head.rfind('\n').map_or(head, |at| &head[..=at]),
        None => head,
    }
}

/// Begins the tail with a line, if one begins near.
fn snap_tail(tail: &str) -> &str {
    let near = first_chars(tail, SNAP_CHARS.min(tail.len() / 4));
    near.find('\n').map_or(tail, |at| &tail[at + 1..])
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// Characters that begin in `bytes`.
fn count_chars(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| !is_continuation(**byte)).count() as u64
}

/// Parts a character that goes on in bytes not at hand from the end; says whether there was one.
pub(crate) fn split_cut_off_end(bytes: &[u8]) -> (&[u8], bool) {
    let Some(back) = bytes.iter().rev().take(4).position(|byte| !is_continuation(*byte)) else {
        return (bytes, false);
    };
    let start = bytes.len() - 1 - back;
    let needs = match bytes[start] {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    };
    if back + 1 < needs { (&bytes[..start], true) } else { (bytes, false) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes a cut text apart: head, the number in the marker, tail.
    fn parts(text: &str) -> Option<(&str, usize, &str)> {
        let (head, rest) = text.split_once("[... ")?;
        let (count, tail) = rest.split_once(" characters left out ...]\n")?;
        Some((head, count.parse().ok()?, tail))
    }

    #[track_caller]
    fn check(text: &str, max: usize, want: &str) {
        assert_eq!(cut(text, max), want);
        let mut collector = HeadTail::new(max);
        collector.push(text.as_bytes());
        assert_eq!(collector.finish(), want);
    }

    #[test]
    fn what_fits_is_untouched() {
        check("", 0, "");
        check("", 10, "");
        check("0123456789", 10, "0123456789");
        check("äöüäöüäöüä", 10, "äöüäöüäöüä");
    }

    #[test]
    fn head_and_tail_stay_and_the_count_is_exact() {
        check("0123456789x", 10, "0123\n[... 1 characters left out ...]\n56789x");
        check("abc", 0, "[... 3 characters left out ...]\n");
        check("äöüäöüäöüäß", 10, "äöüä\n[... 1 characters left out ...]\nüäöüäß");
    }

    #[test]
    fn cuts_fall_between_lines_when_one_is_near() {
        let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let cut = cut(&text, 200);
        let (head, left_out, tail) = parts(&cut).unwrap();
        assert!(head.ends_with('\n') && tail.starts_with("line "), "{cut}");
        assert_eq!(head.len() + left_out + tail.len(), text.len());
        assert!(tail.ends_with("line 99\n"));
    }

    #[test]
    fn the_end_of_a_failed_build_is_kept() {
        let text =
            format!("{}error[E0308]: mismatched types\n", "   Compiling something v1.0\n".repeat(10_000));
        assert!(cut(&text, COMMAND_OUTPUT_CHARS).ends_with("\nerror[E0308]: mismatched types\n"));
    }

    #[test]
    fn a_flood_stays_within_its_memory() {
        let mut output = HeadTail::new(COMMAND_OUTPUT_CHARS);
        let piece = "y\n".repeat(32_768);
        for _ in 0..1_000 {
            output.push(piece.as_bytes());
        }
        assert!(output.head.capacity() + output.tail.capacity() < 40 * COMMAND_OUTPUT_CHARS);
        let text = output.finish();
        let (head, left_out, tail) = parts(&text).unwrap();
        assert_eq!(head.len() + left_out + tail.len(), 65_536_000);
        assert!(text.len() <= COMMAND_OUTPUT_CHARS + MARKER_MAX);
    }

    #[test]
    fn the_middle_of_a_character_may_be_all_that_is_let_go() {
        // A budget of 0 keeps three bytes at each end: of the eight here two go, and no character begins in them.
        let mut output = HeadTail::new(0);
        output.push("aa😀bb".as_bytes());
        assert_eq!(output.finish(), "[... 5 characters left out ...]\n");
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        let mut output = HeadTail::new(10);
        output.push(b"a\xffb\xfe");
        assert_eq!(output.finish(), "a\u{fffd}b\u{fffd}");
    }

    proptest! {
        #[test]
        fn cutting_never_exceeds_and_never_miscounts(text in "[a-zäß€😀\n]{0,400}", max in 0usize..120) {
            let cut = cut(&text, max);
            let total = text.chars().count();
            if total <= max {
                prop_assert_eq!(&cut, &text);
            } else {
                prop_assert!(cut.chars().count() <= max + MARKER_MAX);
                let (head, left_out, tail) = parts(&cut).unwrap();
                // The line break before the marker is the text's own or was put there.
                let own = [Some(head), head.strip_suffix('\n')].into_iter().flatten().any(|head| {
                    text.starts_with(head) && head.chars().count() + left_out + tail.chars().count() == total
                });
                prop_assert!(own && text.ends_with(tail), "{}", cut);
            }
        }

        #[test]
        fn any_cut_of_the_bytes_collects_the_same(text in "[a-zäß€😀\n]{0,600}", max in 0usize..60, cuts in prop::collection::vec(1usize..40, 1..20)) {
            let mut output = HeadTail::new(max);
            let mut rest = text.as_bytes();
            for size in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*size).min(rest.len()));
                output.push(now);
                rest = later;
            }
            prop_assert_eq!(output.finish(), cut(&text, max).into_owned());
        }

        #[test]
        fn any_bytes_are_collected_without_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..12), max in 0usize..40) {
            let mut output = HeadTail::new(max);
            for piece in &pieces { output.push(piece); }
            prop_assert!(output.finish().chars().count() <= max + MARKER_MAX);
        }
    }
}
