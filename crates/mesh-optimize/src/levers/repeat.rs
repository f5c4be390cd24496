//! Lines that an earlier text of the request already shows whole: they are named instead of sent again.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::clean::Row;

/// A run of lines is named only from this many lines on: shorter runs match by chance and make a text hard to read.
///
/// Derived: a note costs about 25 tokens and section 6 asks a cut for 50 tokens at least; 75 tokens are about [`RUN_BYTES`]
/// bytes, and at the 50 bytes of a usual line of code that is four lines.
const RUN_LINES: usize = 4;

/// A run of lines is named only from this many bytes on: 75 tokens at 2.77 characters a token (section 7).
const RUN_BYTES: usize = 208;

/// Shorter lines (`}`, `else:`) are in every file; a run may hold them but not begin with them. Half a typical line of code.
const ANCHOR_BYTES: usize = 16;

/// So many places of one line are remembered, the newest: a line that stands in more places says little about any of them.
const PLACES: usize = 6;

/// The rows of one text that are shown, in order.
#[derive(Clone, Debug, Default)]
struct Shown {
    rows: Vec<(u64, u32)>,
}

/// What the texts of a session show, line by line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    shown: HashMap<usize, Shown>,
    places: HashMap<u64, Vec<(u32, u32)>, BuildHasherDefault<Hashed>>,
}

/// A run of rows that stands elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Rows of the new text.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The text that shows them, and the first line there, from 1.
    pub(crate) text: usize,
    pub(crate) line: usize,
}

impl Shelf {
    /// Finds the runs of `rows` that another text shows; `gone` tells which texts do not count any more.
    pub(crate) fn runs(&self, rows: &[Row], gone: impl Fn(usize) -> bool) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut at = 0;
        while at < rows.len() {
            let best = self.best(&rows[at..], &gone);
            match best {
                Some((count, text, line)) => {
                    runs.push(Run { from: at, to: at + count, text, line });
                    at += count;
                }
                None => at += 1,
            }
        }
        runs
    }

    fn best(&self, rows: &[Row], gone: &impl Fn(usize) -> bool) -> Option<(usize, usize, usize)> {
        if rows[0].len < ANCHOR_BYTES || rows.len() < RUN_LINES {
            return None;
        }
        let mut best: Option<(usize, usize, usize)> = None;
        for &(text, place) in self.places.get(&rows[0].hash)?.iter().rev() {
            if gone(text as usize) {
                continue;
            }
            let Some(shown) = self.shown.get(&(text as usize)) else { continue };
            let there = shown.rows.get(place as usize..).unwrap_or_default();
            let count = there.iter().zip(rows).take_while(|((hash, _), row)| *hash == row.hash).count();
            let bytes: usize = rows[..count].iter().map(|row| row.len + 1).sum();
            if count >= RUN_LINES && bytes >= RUN_BYTES && best.is_none_or(|(most, ..)| count > most) {
                best = Some((count, text as usize, there.first().map_or(0, |(_, line)| *line as usize)));
            }
        }
        best
    }

    /// Returns about how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        let rows: usize = self.shown.values().map(|shown| shown.rows.len()).sum();
        rows * 24 + self.places.len() * 48
    }

    /// Puts up the rows that a text shows, each with its line number from 1.
    pub(crate) fn put(&mut self, text: usize, rows: impl IntoIterator<Item = (Row, usize)>) {
        let Ok(name) = u32::try_from(text) else { return };
        let shown = self.shown.entry(text).or_default();
        for (row, line) in rows {
            let place = shown.rows.len() as u32;
            shown.rows.push((row.hash, line as u32));
            if row.len >= ANCHOR_BYTES {
                let places = self.places.entry(row.hash).or_default();
                if places.len() == PLACES {
                    places.remove(0);
                }
                places.push((name, place));
            }
        }
        // A run never goes on from one text, or one argument, into the next.
        shown.rows.push((0, 0));
    }
}

/// Keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::levers::clean::rows;

    fn numbered(text: &str) -> Vec<(Row, usize)> {
        rows(text).into_iter().zip(1..).collect()
    }

    #[test]
    fn runs_are_found_where_they_stand_longest() {
        let lines: Vec<String> = (0..20)
            .map(|n| format!("line number {n}, which is long enough to count, {}", "x".repeat(30)))
            .collect();
        let mut shelf = Shelf::default();
        shelf.put(3, numbered(&lines[..8].join("\n")));
        shelf.put(5, numbered(&format!("other\n{}", lines[2..20].join("\n"))));
        let again = rows(&format!("head\n{}\ntail", lines[2..15].join("\n")));
        assert_eq!(shelf.runs(&again, |_| false), [Run { from: 1, to: 14, text: 5, line: 2 }]);
        assert_eq!(shelf.runs(&again, |text| text == 5), [Run { from: 1, to: 7, text: 3, line: 3 }]);
        assert_eq!(shelf.runs(&again, |_| true), []);
        assert_eq!(shelf.runs(&rows(&lines[2..5].join("\n")), |_| false), []);
    }
}
