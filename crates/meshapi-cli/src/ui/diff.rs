//! Pure: a file before and after as lines. Seed 17.5, counted and shown from one pass (D-23).
//!
//! Where a line was replaced by one like it, the words that differ stand out. The signs say the same without colour.

use std::time::{Duration, Instant};

use similar::{Algorithm, ChangeTag, DiffOp, InlineChange, InlineChangeMode, InlineChangeOptions, TextDiff};

use crate::ui::{
    line::{Line, Style},
    text,
    tool::{MAX_LINE_CHARS, MAX_LINES, more_lines},
};

/// Lines of a diff body that are shown. Seed 17.4.
const MAX_DIFF_LINES: usize = 72;
/// Unchanged lines around a change. Seed 17.5.
const CONTEXT: usize = 3;
/// After this long the rest is taken as replaced. Our choice: nobody waits for a picture of a change.
const DEADLINE: Duration = Duration::from_millis(40);
/// Larger pairs are only counted. Our choice: beyond it even splitting into lines is felt.
const MAX_DIFF_BYTES: usize = 8 << 20;
/// A replaced place is compared word by word up to this size. Our choice: twice what is shown of a diff, at most
/// [`MAX_DIFF_LINES`] lines of [`MAX_LINE_CHARS`] characters.
const MAX_WORDS_BYTES: usize = 2 * MAX_DIFF_LINES * MAX_LINE_CHARS;

/// How many lines a change adds and removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that are only in the new text.
    pub added: usize,
    /// Lines that are only in the old text.
    pub removed: usize,
}

/// What is shown of a written file. `before` is `None` for a new file.
pub fn change(before: Option<&str>, after: &str) -> Vec<Line> {
    match before {
        None => new_file(after),
        Some(before) if before == after => vec![Line::of(Style::Dim, "  (no changes)")],
        Some(before) if before.len() + after.len() > MAX_DIFF_BYTES => vec![Line::of(
            Style::Dim,
            &format!("  {} → {} lines (too large for a diff)", before.lines().count(), after.lines().count()),
        )],
        Some(before) => diff(before, after).1,
    }
}

/// What is shown of a written file whose old bytes were no text: the new text behind a bar. Seed 17.5.
pub fn replaced_binary(after: &str) -> Vec<Line> {
    crate::ui::tool::body(after.trim_end_matches('\n'), Style::Dim, "  │ ")
}

/// The counts, and the lines: `+A −R`, then numbered hunks.
pub fn diff(before: &str, after: &str) -> (Counts, Vec<Line>) {
    let deadline = Instant::now() + DEADLINE;
    let diff = TextDiff::configure().algorithm(Algorithm::Myers).deadline(deadline).diff_lines(before, after);
    let counts = count(diff.ops());
    let width = before.lines().count().max(after.lines().count()).max(1).to_string().len();

    let mut lines = vec![
        Line::of(Style::Good, &format!("  +{}", counts.added))
            .with(Style::Bad, &format!(" −{}", counts.removed)),
    ];
    // Only where the two differ in them are line ends worth a sign.
    let shows_cr = before.contains("\r\n") != after.contains("\r\n");
    let mut room = MAX_DIFF_LINES;
    'hunks: for hunk in diff.grouped_ops(CONTEXT) {
        let changes = hunk.iter().flat_map(|op| changes(&diff, op, deadline));
        for row in std::iter::once(hunk_header(&hunk)).chain(changes.map(|c| row(&c, width, shows_cr))) {
            if room == 0 {
                lines.push(Line::of(Style::Dim, "  … (diff truncated)"));
                break 'hunks;
            }
            room -= 1;
            lines.push(row);
        }
    }
    (counts, lines)
}

fn count(ops: &[DiffOp]) -> Counts {
    let mut counts = Counts::default();
    for op in ops {
        match *op {
            DiffOp::Equal { .. } => {}
            DiffOp::Insert { new_len, .. } => counts.added += new_len,
            DiffOp::Delete { old_len, .. } => counts.removed += old_len,
            DiffOp::Replace { old_len, new_len, .. } => {
                counts.added += new_len;
                counts.removed += old_len;
            }
        }
    }
    counts
}

/// `@@ -from,count +from,count @@`, lines counted from 1.
fn hunk_header(ops: &[DiffOp]) -> Line {
    let span = |first: std::ops::Range<usize>, last: std::ops::Range<usize>| {
        let (start, end) = (first.start, last.end);
        format!("{},{}", if end > start { start + 1 } else { start }, end - start)
    };
    let (Some(first), Some(last)) = (ops.first(), ops.last()) else { return Line::blank() };
    let old = span(first.old_range(), last.old_range());
    let new = span(first.new_range(), last.new_range());
    Line::of(Style::Dim, &format!("  @@ -{old} +{new} @@"))
}

/// A line of the diff in pieces, and whether each of them stands out.
struct Change<'t> {
    tag: ChangeTag,
    /// The line's number, counted from 0.
    index: usize,
    pieces: Vec<(bool, &'t str)>,
}

impl Change<'_> {
    /// Characters that can be seen: all, or only those that stand out.
    fn visible(&self, of: impl Fn(bool) -> bool) -> usize {
        let pieces = self.pieces.iter().filter(|(stands_out, _)| of(*stands_out));
        pieces.flat_map(|(_, text)| text.chars()).filter(|c| !c.is_whitespace()).count()
    }

    fn flatten(&mut self) {
        self.pieces.iter_mut().for_each(|(stands_out, _)| *stands_out = false);
    }

    /// Blanks between two pieces that stand out belong to them.
    fn join(&mut self) {
        for at in 1..self.pieces.len().saturating_sub(1) {
            let between = self.pieces[at - 1].0 && self.pieces[at + 1].0;
            self.pieces[at].0 |= between && self.pieces[at].1.trim().is_empty();
        }
    }
}

impl<'t> From<InlineChange<'t, str>> for Change<'t> {
    fn from(change: InlineChange<'t, str>) -> Change<'t> {
        Change {
            tag: change.tag(),
            index: change.new_index().or(change.old_index()).unwrap_or(0),
            pieces: change.values().to_vec(),
        }
    }
}

/// The lines of one step of a diff; in lines that were replaced, the words that differ stand out.
fn changes<'t>(diff: &'t TextDiff<'_, '_, str>, op: &DiffOp, deadline: Instant) -> Vec<Change<'t>> {
    let mut changes = match *op {
        DiffOp::Replace { .. } if bytes(diff, op) > MAX_WORDS_BYTES => whole_lines(diff, op),
        // As many lines as before: each became the one in its place.
        DiffOp::Replace { old_index, old_len, new_index, new_len } if old_len == new_len => {
            let pairs = (0..old_len).flat_map(|at| {
                let (old_index, new_index) = (old_index + at, new_index + at);
                let pair = DiffOp::Replace { old_index, old_len: 1, new_index, new_len: 1 };
                let mut pair = by_words(diff, &pair, deadline);
                settle(&mut pair);
                pair
            });
            let (mut old, mut new): (Vec<_>, Vec<_>) = pairs.partition(|c| c.tag == ChangeTag::Delete);
            old.append(&mut new);
            old
        }
        DiffOp::Replace { .. } => {
            let mut changes = by_words(diff, op, deadline);
            changes.iter_mut().for_each(|change| settle(std::slice::from_mut(change)));
            changes
        }
        DiffOp::Equal { .. } | DiffOp::Insert { .. } | DiffOp::Delete { .. } => whole_lines(diff, op),
    };
    changes.iter_mut().for_each(Change::join);
    changes
}

fn bytes(diff: &TextDiff<'_, '_, str>, op: &DiffOp) -> usize {
    diff.iter_changes(op).map(|change| change.value().len()).sum()
}

/// As many as can be shown, and one that says that there are more.
fn whole_lines<'t>(diff: &'t TextDiff<'_, '_, str>, op: &DiffOp) -> Vec<Change<'t>> {
    diff.iter_changes(op).take(MAX_DIFF_LINES + 1).map(|c| Change::from(InlineChange::from(c))).collect()
}

fn by_words<'t>(diff: &'t TextDiff<'_, '_, str>, op: &DiffOp, deadline: Instant) -> Vec<Change<'t>> {
    let mut options = InlineChangeOptions::new();
    options.mode(InlineChangeMode::UnicodeWords);
    diff.iter_inline_changes_with_options_deadline(op, options, Some(deadline)).map(Change::from).collect()
}

/// Where more than half would stand out, nothing does.
fn settle(changes: &mut [Change<'_>]) {
    let sum = |of: fn(bool) -> bool| changes.iter().map(|change| change.visible(of)).sum::<usize>();
    if 2 * sum(|stands_out| stands_out) > sum(|_| true) {
        changes.iter_mut().for_each(Change::flatten);
    }
}

fn row(change: &Change<'_>, width: usize, shows_cr: bool) -> Line {
    let (style, word, sign) = match change.tag {
        ChangeTag::Equal => (Style::Dim, Style::Dim, ' '),
        ChangeTag::Insert => (Style::Good, Style::GoodWord, '+'),
        ChangeTag::Delete => (Style::Bad, Style::BadWord, '-'),
    };
    let mut line = Line::of(style, &format!("  {:>width$} {sign} ", change.index + 1));
    let mut room = MAX_LINE_CHARS;
    let mut runs = change.pieces.chunk_by(|one, next| one.0 == next.0).peekable();
    while let Some(run) = runs.next() {
        let text: String = run.iter().map(|(_, text)| *text).collect();
        let text = if runs.peek().is_none() { without_end(&text, shows_cr) } else { &text };
        if text.is_empty() {
            continue;
        }
        let stands_out = run.first().is_some_and(|(stands_out, _)| *stands_out);
        line = line.with(if stands_out { word } else { style }, &text::clip_chars(text, room));
        match room.checked_sub(text.chars().count()) {
            Some(left) => room = left,
            None => break,
        }
    }
    // A lone carriage return ends a line for similar too.
    let ends = change.pieces.last().is_some_and(|(_, text)| text.ends_with(['\n', '\r']));
    if ends || change.tag == ChangeTag::Equal {
        line
    } else {
        line.with(Style::Dim, "  (no newline at the end)")
    }
}

/// A line without its end. A carriage return that does not belong to one is shown.
fn without_end(text: &str, shows_cr: bool) -> &str {
    match text.strip_suffix('\n') {
        Some(line) if !shows_cr => line.strip_suffix('\r').unwrap_or(line),
        Some(line) => line,
        None => text,
    }
}

fn new_file(after: &str) -> Vec<Line> {
    let total = after.lines().count();
    let noun = if total == 1 { "line" } else { "lines" };
    let mut lines = vec![Line::of(Style::Dim, &format!("  new file • {total} {noun}"))];
    if after.is_empty() {
        lines.push(Line::of(Style::Dim, "  (empty file)"));
    }
    let width = total.max(1).to_string().len();
    lines.extend(after.lines().take(MAX_LINES).enumerate().map(|(i, line)| {
        Line::of(Style::Good, &format!("  {:>width$} + {}", i + 1, text::clip_chars(line, MAX_LINE_CHARS)))
    }));
    if total > MAX_LINES {
        lines.push(Line::of(Style::Dim, &format!("  {}", more_lines(total - MAX_LINES))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(lines: &[Line]) -> String {
        lines.iter().map(Line::plain).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_a_person_sees_of_a_change() {
        let before = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n";
        let after = "one\ntwo\n3\nfour\nfive\nsix\nseven\neight\nnine\nten\neleven";
        insta::assert_snapshot!(
            [
                show(&change(Some(before), after)),
                show(&change(Some("same\n"), "same\n")),
                show(&change(None, "")),
                show(&change(None, "a\n\u{1b}[31mb\n")),
                show(&change(Some(""), "x\n")),
                show(&change(Some("x\r\ny\r\n"), "x\ny\n")),
                show(&change(Some("x\r\n"), "y\r\n")),
                show(&replaced_binary("text\nnow\n")),
            ]
            .join("\n--\n")
        );
    }

    /// The rows of a change with what stands out between brackets.
    fn marked(before: &str, after: &str) -> String {
        let mark = |line: &Line| {
            let spans = line.spans().iter().map(|span| match span.style() {
                Style::GoodWord | Style::BadWord => format!("[{}]", span.text()),
                _ => span.text().to_owned(),
            });
            spans.collect::<String>()
        };
        diff(before, after).1.iter().skip(2).map(mark).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_words_that_differ_stand_out() {
        let cases = [
            ("one word", "let total = count(a, b);\n", "let sum = count(a, b);\n"),
            ("an argument", "run(first, second)\n", "run(first, 2, second)\n"),
            ("blanks at the end", "some words here\n", "some words here  \n"),
            ("indentation", "    return value;\n", "        return value;\n"),
            (
                "neighbours are one",
                "copy the old small file to the place\n",
                "copy the new large file to the place\n",
            ),
            ("mostly different", "let total = count(a, b);\n", "return Err(Error::Missing);\n"),
            ("nothing alike", "abc\n", "xyz\n"),
            ("each in its place", "alpha = 1;\nbeta = 2;\n", "alpha = 7;\nnothing like it at all\n"),
            (
                "one more than before",
                "the first of them\nthe last of them\n",
                "the first of us\na new line\nthe last of us\n",
            ),
            ("wide characters", "値は日本語です、はい\n", "値は中国語です、はい\n"),
            ("emoji", "ok 👩‍👩‍👧 done here\n", "ok 👩‍👩‍👦 done here\n"),
            ("control characters", "print(\u{1b}[31m, text, more)\n", "print(\u{1b}[32m, text, more)\n"),
            ("a hidden direction", "say user here\n", "say \u{202e}user here\n"),
            ("line ends", "the same words\r\nthe old end\r\n", "the same words\r\nthe new end\r\n"),
            ("line ends differ", "the same words\r\n", "the same words\n"),
            ("a lone carriage return", "safe\rother words\n", "safe\rother word\n"),
            ("no end", "the last line", "the last word"),
            ("only blanks", "a\n \nb\n", "a\n\t\nb\n"),
        ];
        let shown = cases.map(|(name, before, after)| format!("{name}\n{}", marked(before, after)));
        insta::assert_snapshot!(shown.join("\n\n"));
    }

    #[test]
    fn long_lines_are_cut_once_and_huge_ones_are_not_compared() {
        let words =
            |count: usize, odd: &str| format!("{} {odd} {}\n", "w ".repeat(count), "v ".repeat(count));
        for (count, stands_out) in [(10, true), (119, true), (130, false), (20_000, false)] {
            let lines = diff(&words(count, "old"), &words(count, "new")).1;
            let rows = &lines[2..];
            assert_eq!(rows.len(), 2, "{count}");
            for row in rows {
                let shown = row.plain();
                assert!(shown.chars().count() <= MAX_LINE_CHARS + 7, "{count}: {shown}");
                assert_eq!(shown.matches('…').count(), usize::from(count > 100), "{count}: {shown}");
                let words =
                    row.spans().iter().filter(|s| matches!(s.style(), Style::GoodWord | Style::BadWord));
                assert_eq!(words.count(), usize::from(stands_out), "{count}: {shown}");
            }
        }
    }

    #[test]
    fn a_long_diff_is_cut_and_its_counts_are_whole() {
        let before: String = (0..200).map(|i| format!("old {i}\n")).collect();
        let after: String = (0..300).map(|i| format!("new {i}\n")).collect();
        let (counts, lines) = diff(&before, &after);
        assert_eq!(counts, Counts { added: 300, removed: 200 });
        assert_eq!(lines.len(), 1 + MAX_DIFF_LINES + 1);
        assert_eq!(lines.last().map(|l| l.plain().into_owned()).as_deref(), Some("  … (diff truncated)"));
    }

    #[test]
    fn rewritten_files_with_alike_lines_end() {
        let before: String =
            (0..20_000).map(|i| format!("    value_{} = compute({});\n", i % 7, i % 11)).collect();
        let after: String =
            (0..20_000).map(|i| format!("    value_{} = compute({});\n", i % 5, i % 13)).collect();
        let (counts, _) = diff(&before, &after);
        assert!(counts.added == counts.removed && counts.added <= 20_000, "{counts:?}");
    }

    proptest! {
        #[test]
        fn counts_add_up(before in "([ab]\n){0,12}", after in "([ab]\n){0,12}") {
            let (counts, _) = diff(&before, &after);
            let (old, new) = (before.lines().count(), after.lines().count());
            prop_assert_eq!(old + counts.added, new + counts.removed);
        }

        #[test]
        fn what_stands_out_changes_no_text(
            before in "([ab .]{0,6}\\r?\n){0,4}[ab]{0,2}",
            after in "([abc .]{0,6}\\r?\n){0,4}[ab]{0,2}",
        ) {
            let rows = diff(&before, &after).1;
            let side = |sign: &str| -> Vec<String> {
                let of = |line: &Line| line.plain().get(4..5).is_some_and(|s| s == " " || s == sign);
                let shown = rows.iter().skip(1).filter(|line| !line.plain().starts_with("  @") && of(line));
                shown.map(|line| line.plain()[6..].replace("  (no newline at the end)", "").replace('␍', "")).collect()
            };
            // Few lines: the whole of both texts is shown, unless they are the same.
            if before != after {
                let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
                prop_assert_eq!(side("-"), lines(&before));
                prop_assert_eq!(side("+"), lines(&after));
            }
        }
    }
}
