//! Shortens a text that was used up: both ends stay, and between them the lines that are likely to matter again.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use xxhash_rust::xxh3::xxh3_64;

use crate::edit::Hole;
use crate::tier::Shorten;

/// Lines that say what went wrong, and how it ended: they stay whatever else goes. Section 6.
static ALARM: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)error|exception|traceback|fail|fatal|panic|assert|warning:|\[?exit (?:code|status)?:? ?[1-9]|^E  |not found|undefined|cannot").ok()
});

/// Bytes of lines from the middle that stay, at most. From the prototypes of section 4.
const BUDGET: usize = 1200;

/// A longer line from the middle does not stay. From the prototypes of section 4.
const LONG_LINE: usize = 400;

/// A cut must take a quarter of its text. Section 6.
const LEAST_SHARE: f64 = 0.25;

/// Calls `found` with each name in `text` that is more than a plain word.
pub(crate) fn names(text: &str, mut found: impl FnMut(u64)) {
    for word in words(text) {
        if is_name(word) {
            found(xxh3_64(word));
        }
    }
}

/// Runs of letters, digits and `_ . / -` that begin with a letter, a digit or `_` and have six characters or more.
fn words(text: &str) -> impl Iterator<Item = &[u8]> {
    // All of these are one byte in a text, and no part of another character is one of them.
    text.as_bytes()
        .split(|byte| !IN_WORD[usize::from(*byte)])
        .filter(|word| word.len() >= 6)
        .map(|word| &word[word.iter().take_while(|byte| b"./-".contains(byte)).count()..])
        .filter(|word| word.len() >= 6)
}

static IN_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let char = byte as u8;
        table[byte] = char.is_ascii_alphanumeric() || matches!(char, b'_' | b'.' | b'/' | b'-');
        byte += 1;
    }
    table
};

/// `snake_case`, `camelCase`, `a/path.rs`, `v1.2`: not `Word`, `word` or `WORD`.
fn is_name(word: &[u8]) -> bool {
    !word.iter().all(u8::is_ascii_alphabetic)
        || !(word[1..].iter().all(u8::is_ascii_lowercase) || word.iter().all(u8::is_ascii_uppercase))
}

/// What goes from `text` by `rule`; `None` when too little would. The places in `stay` (in order) stay. `named` knows the names that count; `note` writes the note for a number of bytes.
pub(crate) fn shorten(
    text: &str,
    rule: Shorten,
    stay: &[Range<usize>],
    named: impl Fn(u64) -> bool,
    note: impl Fn(usize) -> String,
) -> Option<Vec<Hole>> {
    if text.len() < rule.least || text.len() <= rule.head + rule.tail + 200 {
        return None;
    }
    let front = match text[..floor(text, rule.head)].rfind('\n') {
        Some(at) if at > rule.head / 2 => at,
        _ => floor(text, rule.head),
    };
    let from_end = floor(text, text.len() - rule.tail);
    let back = match text[from_end..].find('\n') {
        Some(at) if at < rule.tail / 2 => from_end + at,
        _ => from_end,
    };
    let (mut kept, mut used, mut pinned, mut at): (Vec<Range<usize>>, _, _, _) = (Vec::new(), 0, 0, front);
    for line in text[front..back].split('\n') {
        let end = at + line.len();
        if !line.is_empty() {
            if stay.iter().any(|place| place.start < end && at < place.end) {
                pinned += line.len() + 1;
                kept.push(at..end);
            } else if line.len() <= LONG_LINE && used + line.len() <= BUDGET && matters(line, &named) {
                used += line.len() + 1;
                kept.push(at..end);
            }
        }
        at = end + 1;
    }
    let gone = (back - front).saturating_sub(used + pinned);
    let first_note = format!("\n{}\n", note(gone));
    if (gone as f64) < (text.len() as f64) * LEAST_SHARE + first_note.len() as f64 {
        return None;
    }
    let mut holes = Vec::with_capacity(kept.len() + 1);
    let mut from = front;
    for range in kept {
        if range.start > from {
            let note = if holes.is_empty() { first_note.clone() } else { "\n".to_owned() };
            holes.push(Hole { range: from..range.start, note: Some(note) });
        }
        from = range.end;
    }
    // The line feed in front of the tail stays with the tail.
    if back > from {
        let note = if holes.is_empty() {
            Some(first_note.trim_end_matches('\n').to_owned())
        } else {
            Some("\n[...]".to_owned())
        };
        holes.push(Hole { range: from..back, note });
    }
    Some(holes)
}

fn matters(line: &str, named: &impl Fn(u64) -> bool) -> bool {
    if ALARM.as_ref().is_some_and(|alarm| alarm.is_match(line)) {
        return true;
    }
    let mut hit = false;
    names(line, |name| hit |= named(name));
    hit
}

/// The char boundary at or before `at`.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::edit::Edit;

    const RULE: Shorten = Shorten { after: 2, least: 800, head: 300, tail: 500 };

    type Names = std::collections::HashSet<u64>;

    fn cut(text: &str, named: &Names) -> Option<String> {
        let holes = shorten(
            text,
            RULE,
            &[],
            |name| named.contains(&name),
            |bytes| format!("[... {bytes} bytes cut]"),
        )?;
        Some(Edit::nothing(text.len()).without(&holes).text(text))
    }

    #[test]
    fn ends_alarms_and_named_lines_stay() {
        let mut lines: Vec<String> =
            (0..100).map(|n| format!("test number {n} passed without any word")).collect();
        lines[40] = "FAILED tests/test_io.py::test_read".into();
        lines[60] = "value of special_name is 7".into();
        let mut named = Names::new();
        names("look at special_name again", |name| {
            named.insert(name);
        });
        let text = cut(&lines.join("\n"), &named).unwrap();
        insta::assert_snapshot!(text);
        assert!(cut(&"x".repeat(900), &Names::new()).is_none());
    }

    proptest! {
        #[test]
        fn nothing_is_invented(text in "([a-zß€ ]{0,60}\n){0,60}") {
            if let Some(cut) = cut(&text, &Names::new()) {
                prop_assert!(cut.len() < text.len());
                prop_assert!(cut.lines().all(|line| line.starts_with("[...") || text.contains(line)));
            }
        }
    }
}
