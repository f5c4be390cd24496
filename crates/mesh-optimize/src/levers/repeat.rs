//! Lines that an earlier text of the request already shows whole: they are named instead of sent again.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

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

/// So many lines are put up: what a hash table of 2^19 places holds, 4.7 MB. More is longer than any model's window (two million
/// tokens are about 6 MB, and a line takes sixteen bytes at least to count).
const LINES: usize = (1 << 19) / 8 * 7;

/// What the texts of a session show, line by line: one long list of lines, some 25 bytes each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    /// Hash of each line.
    lines: Vec<u64>,
    /// For each line the place before it where the same line stands, plus one; 0 for none.
    before: Vec<u32>,
    /// The last place of a line, plus one, by the low half of its hash.
    last: HashMap<u32, u32, BuildHasherDefault<Hashed>>,
    /// Where a stretch of lines begins that stand in a row: place, text, number of the line in its text.
    stretches: Vec<(u32, usize, usize)>,
}

/// A run of rows that stands elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[usize; 4]", into = "[usize; 4]")]
pub(crate) struct Run {
    /// Rows of the new text.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The text that shows them, and the first line there, from 1.
    pub(crate) text: usize,
    pub(crate) line: usize,
}

impl From<[usize; 4]> for Run {
    fn from([from, to, text, line]: [usize; 4]) -> Run {
        Run { from, to, text, line }
    }
}

impl From<Run> for [usize; 4] {
    fn from(run: Run) -> [usize; 4] {
        [run.from, run.to, run.text, run.line]
    }
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
        let mut next = self.last.get(&low(rows[0].hash)).copied().unwrap_or(0);
        for _ in 0..PLACES {
            let Some(place) = next.checked_sub(1) else { break };
            next = self.before[place as usize];
            let (text, line, until) = self.stretch(place);
            if gone(text) {
                continue;
            }
            let there = &self.lines[place as usize..until];
            let count = there.iter().zip(rows).take_while(|(hash, row)| **hash == row.hash).count();
            let bytes: usize = rows[..count].iter().map(|row| row.len + 1).sum();
            if count >= RUN_LINES && bytes >= RUN_BYTES && best.is_none_or(|(most, ..)| count > most) {
                best = Some((count, text, line));
            }
        }
        best
    }

    /// The text and line of a place, and the end of its stretch.
    fn stretch(&self, place: u32) -> (usize, usize, usize) {
        let at = self.stretches.partition_point(|(from, ..)| *from <= place) - 1;
        let (from, text, line) = self.stretches[at];
        let until = self.stretches.get(at + 1).map_or(self.lines.len(), |(from, ..)| *from as usize);
        (text, line + (place - from) as usize, until)
    }

    /// Returns about how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        self.lines.len() * 12 + self.last.capacity() * 9 + self.stretches.len() * 24
    }

    /// Puts up a stretch of lines that a text shows, the first with its number from 1; nothing more where the shelf is full.
    pub(crate) fn put(&mut self, text: usize, line: usize, rows: &[Row]) {
        if rows.is_empty() || self.lines.len() + rows.len() > LINES {
            return;
        }
        let from = self.lines.len() as u32;
        self.stretches.push((from, text, line));
        for (row, place) in rows.iter().zip(from..) {
            self.lines.push(row.hash);
            let before =
                if row.len >= ANCHOR_BYTES { self.last.insert(low(row.hash), place + 1) } else { None };
            self.before.push(before.unwrap_or(0));
        }
    }
}

/// The low half of a hash.
pub(crate) fn low(hash: u64) -> u32 {
    hash as u32
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

    fn write_u32(&mut self, hash: u32) {
        // The map takes its buckets from the low bits and its tags from the high ones.
        self.0 = u64::from(hash) | u64::from(hash) << 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::levers::clean::rows;

    #[test]
    fn runs_are_found_where_they_stand_longest() {
        let lines: Vec<String> = (0..20)
            .map(|n| format!("line number {n}, which is long enough to count, {}", "x".repeat(30)))
            .collect();
        let mut shelf = Shelf::default();
        shelf.put(3, 1, &rows(&lines[..8].join("\n")));
        shelf.put(5, 1, &rows(&format!("other\n{}", lines[2..20].join("\n"))));
        let again = rows(&format!("head\n{}\ntail", lines[2..15].join("\n")));
        assert_eq!(shelf.runs(&again, |_| false), [Run { from: 1, to: 14, text: 5, line: 2 }]);
        assert_eq!(shelf.runs(&again, |text| text == 5), [Run { from: 1, to: 7, text: 3, line: 3 }]);
        assert_eq!(shelf.runs(&again, |_| true), []);
        assert_eq!(shelf.runs(&rows(&lines[2..5].join("\n")), |_| false), []);
    }
}
