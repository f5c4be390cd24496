//! Pure: where in a file a text stands that is nearly the one looked for. Bounded in size, so it needs no clock.

use std::collections::HashMap;

/// Lines of a file that are looked at.
const MAX_LINES: usize = 50_000;

/// Lines of the wanted text that are looked for.
const MAX_WANTED: usize = 40;

/// Characters of a line that are compared.
const MAX_CHARS: usize = 200;

/// Lines that are shown.
const SHOWN_LINES: usize = 12;

/// Lines whose likeness is measured exactly, after a rough look at all.
const MEASURED_LINES: usize = 8;

/// Likeness from which on a line is worth showing, 0 to 1.
const ALIKE: f32 = 0.5;

/// Votes from which on a place is taken for the one meant; a lone bracket is not enough.
const ENOUGH_VOTES: usize = 4;

/// A place that is nearly what was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Near {
    /// First line of the place, from 1.
    pub(crate) first: usize,
    /// Its lines, at most a dozen.
    pub(crate) lines: Vec<String>,
    /// It differs from what was looked for in white space only.
    pub(crate) only_space: bool,
}

impl Near {
    /// The lines with their numbers, one below the other.
    pub(crate) fn numbered(&self) -> String {
        let last = self.first + self.lines.len().saturating_sub(1);
        let width = last.to_string().len();
        let numbered = self.lines.iter().enumerate().map(|(index, line)| {
            let number = self.first + index;
            format!("{number:>width$}| {line}")
        });
        numbered.collect::<Vec<_>>().join("\n")
    }
}

/// Finds the place most like `wanted`; `None` if nothing is like it.
pub(crate) fn nearest(content: &[u8], wanted: &str) -> Option<Near> {
    let lines: Vec<String> = content
        .split(|byte| *byte == b'\n')
        .take(MAX_LINES)
        .map(|line| String::from_utf8_lossy(&line[..line.len().min(MAX_CHARS * 4)]).into_owned())
        .collect();
    let wanted: Vec<&str> = wanted.trim_matches('\n').lines().take(MAX_WANTED).collect();
    let start = by_equal_lines(&lines, &wanted).or_else(|| by_alike_line(&lines, &wanted))?;
    let end = (start + wanted.len()).min(lines.len());
    let place = &lines[start..end];
    let squeeze = |lines: &mut dyn Iterator<Item = &str>| {
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>().concat()
    };
    let only_space = squeeze(&mut place.iter().map(String::as_str)) == squeeze(&mut wanted.iter().copied());
    let lines = place.iter().take(SHOWN_LINES).map(|line| shown(line)).collect();
    Some(Near { first: start + 1, lines, only_space })
}

/// Each line that occurs in both, but for the space around it, votes for the place it would make.
fn by_equal_lines(lines: &[String], wanted: &[&str]) -> Option<usize> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, line) in wanted.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        places.entry(line.trim()).or_default().push(index);
    }
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for (number, line) in lines.iter().enumerate() {
        for index in places.get(line.trim()).into_iter().flatten().filter(|index| **index <= number) {
            *votes.entry(number - index).or_default() += line.trim().len().min(20);
        }
    }
    let best = votes.into_iter().max_by_key(|(start, weight)| (*weight, std::cmp::Reverse(*start)));
    best.filter(|(_, weight)| *weight >= ENOUGH_VOTES).map(|(start, _)| start)
}

/// The place around the line that is most like the longest wanted one.
fn by_alike_line(lines: &[String], wanted: &[&str]) -> Option<usize> {
    let (index, anchor) = wanted.iter().enumerate().max_by_key(|(_, line)| line.trim().len())?;
    let anchor: String = anchor.trim().chars().take(MAX_CHARS).collect();
    let counts = letters(&anchor);
    let mut rough: Vec<(f32, usize)> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| (rough_likeness(&counts, &letters(line.trim())), number))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    rough.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let measured = rough.into_iter().take(MEASURED_LINES).map(|(_, number)| {
        let line: String = lines[number].trim().chars().take(MAX_CHARS).collect();
        (similar::TextDiff::from_chars(anchor.as_str(), line.as_str()).ratio(), number)
    });
    let best = measured.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))?;
    (best.0 >= ALIKE).then(|| best.1.saturating_sub(index))
}

/// How often each letter occurs; letters beyond ASCII share places.
fn letters(text: &str) -> [u16; 128] {
    let mut counts = [0u16; 128];
    for c in text.chars().take(MAX_CHARS) {
        counts[u32::from(c) as usize % 128] += 1;
    }
    counts
}

/// Upper bound of the likeness of two texts, from their letters alone.
fn rough_likeness(a: &[u16; 128], b: &[u16; 128]) -> f32 {
    let shared: u16 = a.iter().zip(b).map(|(a, b)| a.min(b)).sum();
    let total: u16 = a.iter().sum::<u16>() + b.iter().sum::<u16>();
    if total == 0 { 0.0 } else { 2.0 * f32::from(shared) / f32::from(total) }
}

fn shown(line: &str) -> String {
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str =
        "fn one() {\n    first();\n}\n\nfn two(count: usize) {\n    second(count);\n    third();\n}\n";

    #[track_caller]
    fn check(wanted: &str, want: Option<(usize, bool)>) {
        let near = nearest(FILE.as_bytes(), wanted);
        assert_eq!(near.map(|near| (near.first, near.only_space)), want, "{wanted:?}");
    }

    #[test]
    fn the_place_that_was_meant_is_found() {
        check("fn two(count: usize) {\n  second(count);\n  third();\n}", Some((5, true)));
        check("fn two(count: u32) {\n    second(count);\n", Some((5, false)));
        check("fn two(n: usize) {", Some((5, false)));
        check("\tfirst();", Some((2, true)));
        check("nothing of the kind whatsoever", None);
        check("", None);
    }

    #[test]
    fn lines_are_numbered_and_short() {
        let near = Near { first: 9, lines: vec!["a".into(), "b".into()], only_space: false };
        assert_eq!(near.numbered(), " 9| a\n10| b");
        let near = nearest("x".repeat(500).as_bytes(), &"x".repeat(190)).unwrap();
        assert_eq!(near.lines[0].chars().count(), MAX_CHARS + 1);
    }

    #[test]
    fn a_large_file_of_alike_lines_is_bounded() {
        let text: String = (0..60_000).map(|n| format!("let value_{n} = compute({n});\n")).collect();
        assert!(nearest(text.as_bytes(), "let value_x = compute(y);").is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_compared_without_panic(content in prop::collection::vec(any::<u8>(), 0..200), wanted in "[a-zé \n]{0,80}") {
            let _ = nearest(&content, &wanted);
        }
    }
}
