//! Lines that are too wide, broken into rows of the screen.

use unicode_width::UnicodeWidthChar;

use crate::ui::line::{Line, Span};

/// Returns how many cells `line` takes.
pub fn width(line: &Line) -> usize {
    line.spans().iter().map(|span| crate::ui::text::width(span.text())).sum()
}

/// Breaks `line` into rows of at most `columns` cells. A character that is wider than the screen stands alone.
pub fn rows(line: Line, columns: usize) -> Vec<Line> {
    let columns = columns.max(1);
    if width(&line) <= columns {
        return vec![line];
    }
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
    if !row.is_empty() {
        rows.push(Line::from_spans(row));
    }
    rows
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
    use crate::ui::line::Style;

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

    proptest! {
        #[test]
        fn nothing_is_lost(text in "\\PC{0,60}", columns in 2usize..20) {
            let line = Line::of(Style::Plain, &text);
            let whole = line.plain().into_owned();
            let broken = rows(line, columns);
            prop_assert!(broken.iter().all(|row| width(row) <= columns));
            prop_assert_eq!(broken.iter().map(|row| row.plain().into_owned()).collect::<String>(), whole);
        }
    }
}
