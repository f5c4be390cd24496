//! Lines that are too wide, broken into rows of the screen.

use unicode_width::UnicodeWidthChar;

use crate::ui::line::{Line, Span, Style};

/// Cells of the widest character (U+17D8).
const WIDEST: usize = 3;

/// Returns how many cells `line` takes.
pub fn width(line: &Line) -> usize {
    line.spans().iter().map(|span| crate::ui::text::width(span.text())).sum()
}

/// Breaks `line` into rows of at most `columns` cells: prose between words, further rows as far in as the first; everything
/// else wherever a row is full, so that nothing of it is changed. A character that is wider than the screen stands alone.
pub fn rows(line: Line, columns: usize) -> Vec<Line> {
    let columns = columns.max(1);
    if width(&line) <= columns {
        return vec![line];
    }
    if line.is_prose() { words(&line, columns) } else { cells(&line, columns) }
}

/// Breaks `line` as a terminal does: wherever a row is full. At least one row.
pub(crate) fn cells(line: &Line, columns: usize) -> Vec<Line> {
    let mut rows = Vec::new();
    let mut row: Vec<Span> = Vec::new();
    let mut used = 0;
    for span in line.spans() {
        let mut rest = span.text();
        while !rest.is_empty() {
            let (end, cells) = fits(rest, columns - used.min(columns), used == 0);
            if end > 0 {
                row.push(span.with_text(&rest[..end]));
                used += cells;
                rest = &rest[end..];
            }
            if !rest.is_empty() {
                rows.push(Line::from_spans(std::mem::take(&mut row)));
                used = 0;
            }
        }
    }
    if !row.is_empty() || rows.is_empty() {
        rows.push(Line::from_spans(row));
    }
    rows
}

fn words(line: &Line, columns: usize) -> Vec<Line> {
    let indent = indent(&line.plain());
    // A margin that takes most of the row, or leaves no room for the widest character, is left out.
    let indent = if indent * 2 <= columns && indent + WIDEST <= columns { indent } else { 0 };
    let all: Vec<(char, &Span)> =
        line.spans().iter().flat_map(|span| span.text().chars().map(move |c| (c, span))).collect();
    let mut rows = Vec::new();
    let mut rest = &all[..];
    while !rest.is_empty() {
        let margin = if rows.is_empty() { 0 } else { indent };
        let (taken, next) = fit_words(rest, columns - margin);
        let mut row: Vec<Span> = Vec::new();
        if margin > 0 {
            row.push(Span::new(Style::Plain, &" ".repeat(margin)));
        }
        for run in rest[..taken].chunk_by(|(_, one), (_, other)| std::ptr::eq(*one, *other)) {
            let text: String = run.iter().map(|(c, _)| c).collect();
            row.push(run[0].1.with_text(&text));
        }
        rows.push(Line::from_spans(row));
        rest = &rest[next..];
    }
    rows
}

/// The blanks that a line begins with, and its sign if it has one: where its words begin.
fn indent(text: &str) -> usize {
    let words = text.trim_start();
    let blanks = text.len() - words.len();
    let mut characters = words.chars();
    match (characters.next(), characters.next()) {
        (Some(sign), Some(' ')) if !sign.is_alphanumeric() => blanks + sign.width().unwrap_or(0) + 1,
        _ => blanks,
    }
}

/// How many characters a row takes, and where the next one begins: blanks at the break belong to neither.
fn fit_words(characters: &[(char, &Span)], room: usize) -> (usize, usize) {
    let mut used = 0;
    let mut break_at = None;
    let mut has_word = false;
    for (at, (character, _)) in characters.iter().enumerate() {
        if *character == ' ' && has_word {
            let blanks = characters[at..].iter().take_while(|(c, _)| *c == ' ').count();
            // The blanks of one break count as one: only its first is where the row ends.
            if at == 0 || characters[at - 1].0 != ' ' {
                break_at = Some((at, at + blanks));
            }
        }
        has_word |= *character != ' ';
        let cells = character.width().unwrap_or(0);
        if used + cells > room {
            return break_at.unwrap_or((at.max(1), at.max(1)));
        }
        used += cells;
    }
    (characters.len(), characters.len())
}

/// How much of `text` fits into `room` cells, in bytes and cells; at least one character where it `must`.
fn fits(text: &str, room: usize, must: bool) -> (usize, usize) {
    let mut cells = 0;
    for (at, character) in text.char_indices() {
        let wide = character.width().unwrap_or(0);
        if cells + wide > room && !(must && at == 0) {
            return (at, cells);
        }
        cells += wide;
    }
    (text.len(), cells)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(line: Line, columns: usize) -> Vec<String> {
        rows(line, columns).iter().map(|row| row.plain().into_owned()).collect()
    }

    #[test]
    fn rows_break_at_the_width() {
        assert_eq!(plain(Line::of(Style::Plain, "abcdef"), 4), ["abcd", "ef"]);
        assert_eq!(plain(Line::of(Style::Bold, "ab").with(Style::Dim, "cdef"), 3), ["abc", "def"]);
        assert_eq!(plain(Line::of(Style::Plain, "日本語"), 3), ["日", "本", "語"]);
        assert_eq!(plain(Line::of(Style::Plain, "日本"), 1), ["日", "本"]);
        assert_eq!(plain(Line::blank(), 4), [""]);
    }

    #[test]
    fn prose_breaks_between_words() {
        let broken = |text: &str, columns| plain(Line::prose(Style::Plain, text), columns);
        assert_eq!(broken("one two three", 8), ["one two", "three"]);
        assert_eq!(broken("one  •  two", 5), ["one", "•", "two"]);
        assert_eq!(broken("  ✗ one two three", 10), ["  ✗ one", "    two", "    three"]);
        assert_eq!(broken("    deep words here", 9), ["    deep", "    words", "    here"]);
        assert_eq!(broken("    deep", 6), ["    de", "ep"]);
        assert_eq!(broken("a verylongword", 6), ["a", "verylo", "ngword"]);
        assert_eq!(broken("日本 語", 4), ["日本", "語"]);
        assert_eq!(broken(" 日", 2), [" ", "日"]);
        let line = Line::prose(Style::Bold, "ab ").with(Style::Dim, "cd ef");
        assert_eq!(plain(line, 5), ["ab cd", "ef"]);
    }

    proptest! {
        #[test]
        fn prose_loses_only_blanks(text in "[ \\PC]{0,60}", columns in WIDEST..20) {
            let line = Line::prose(Style::Plain, &text);
            let whole: String = line.plain().split(' ').collect();
            let broken = rows(line, columns);
            prop_assert!(broken.iter().all(|row| width(row) <= columns));
            let shown: String = broken.iter().map(|row| row.plain().replace(' ', "")).collect();
            prop_assert_eq!(shown, whole);
        }

        #[test]
        fn nothing_is_lost(text in "\\PC{0,60}", columns in WIDEST..20) {
            let line = Line::of(Style::Plain, &text);
            let whole = line.plain().into_owned();
            let broken = rows(line, columns);
            prop_assert!(broken.iter().all(|row| width(row) <= columns));
            prop_assert_eq!(broken.iter().map(|row| row.plain().into_owned()).collect::<String>(), whole);
        }
    }
}
