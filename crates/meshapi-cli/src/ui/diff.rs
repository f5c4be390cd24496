//! Pure: a file before and after as lines. Seed 17.5, counted and shown from one pass (D-23).

use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, TextDiff};

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
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .deadline(Instant::now() + DEADLINE)
        .diff_lines(before, after);
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
        for row in std::iter::once(hunk_header(&hunk)).chain(
            hunk.iter().flat_map(|op| diff.iter_changes(op).map(|change| row(&change, width, shows_cr))),
        ) {
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

fn row(change: &similar::Change<&str>, width: usize, shows_cr: bool) -> Line {
    use similar::ChangeTag;
    let (style, sign, index) = match change.tag() {
        ChangeTag::Equal => (Style::Dim, ' ', change.new_index()),
        ChangeTag::Insert => (Style::Good, '+', change.new_index()),
        ChangeTag::Delete => (Style::Bad, '-', change.old_index()),
    };
    let number = index.map_or(0, |i| i + 1);
    let value = change.value();
    let text = value.strip_suffix('\n').unwrap_or(value);
    let text = if shows_cr { text } else { text.strip_suffix('\r').unwrap_or(text) };
    let line =
        Line::of(style, &format!("  {number:>width$} {sign} {}", text::clip_chars(text, MAX_LINE_CHARS)));
    if value.ends_with('\n') || change.tag() == ChangeTag::Equal {
        line
    } else {
        line.with(Style::Dim, "  (no newline at the end)")
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
    }
}
