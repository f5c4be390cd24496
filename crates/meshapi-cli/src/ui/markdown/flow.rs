//! Pure: cells to rows that fit, broken between words.

use super::inline::{Cell, Parsed};
use crate::ui::{
    line::{Line, Span, Style},
    text,
};

/// What stands before the first row and before those that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Margin {
    pub(super) first: Vec<(Style, String)>,
    pub(super) rest: Vec<(Style, String)>,
}

/// A row, and where the source goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: Line,
    pub(super) end: usize,
    /// The source can be taken up again behind it: the break is in no marked span.
    pub(super) is_whole: bool,
}

impl Margin {
    fn width(part: &[(Style, String)]) -> usize {
        part.iter().map(|(_, text)| text::width(text)).sum()
    }
}

/// Breaks `parsed` into rows of at most `columns` cells. `is_first` says whether its first row is the first of its line.
pub(super) fn rows(parsed: &Parsed, margin: &Margin, is_first: bool, columns: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut cells = &parsed.cells[..];
    loop {
        let wanted = if is_first && rows.is_empty() { &margin.first } else { &margin.rest };
        // A margin that leaves no room is left out.
        let margin = if Margin::width(wanted) + 2 <= columns { &wanted[..] } else { &[] };
        let room = columns - Margin::width(margin);
        let (taken, next) = fit(cells, room.max(1));
        let end = match next {
            0 => cells.first().map_or(0, |cell| cell.end),
            next => cells[next - 1].end,
        };
        let is_whole = match (next.checked_sub(1).and_then(|last| cells.get(last)), cells.get(next)) {
            (Some(last), Some(first)) => last.span == 0 || last.span != first.span,
            _ => true,
        };
        rows.push(Row { line: paint(parsed, &cells[..taken], margin), end, is_whole });
        cells = &cells[next..];
        if cells.is_empty() {
            return rows;
        }
    }
}

/// How many cells a row takes, and where the next one begins: blanks at the break belong to neither.
fn fit(cells: &[Cell], room: usize) -> (usize, usize) {
    let mut used = 0;
    let mut break_at = None;
    for (at, cell) in cells.iter().enumerate() {
        if cell.character == ' ' {
            break_at = Some((at, skip_blanks(cells, at)));
        } else if cell.width == 2 && at > 0 {
            break_at = Some((at, at));
        }
        if used + cell.width > room {
            return match break_at {
                Some((taken, next)) if next > 0 && taken > 0 => (taken, next),
                // A word longer than a row is broken; a character wider than the screen stands alone.
                _ => (at.max(1), at.max(1)),
            };
        }
        used += cell.width;
    }
    (cells.len(), cells.len())
}

fn skip_blanks(cells: &[Cell], from: usize) -> usize {
    from + cells[from..].iter().take_while(|cell| cell.character == ' ').count()
}

fn paint(parsed: &Parsed, cells: &[Cell], margin: &[(Style, String)]) -> Line {
    let mut spans: Vec<Span> = margin.iter().map(|(style, text)| Span::new(*style, text)).collect();
    for run in cells.chunk_by(|a, b| a.look == b.look) {
        let text: String = run.iter().map(|cell| cell.character).collect();
        let look = &parsed.looks[run[0].look];
        spans.push(Span::new_prose(look.style, &text).with_link(look.link.clone()));
    }
    // The screen may be narrower before the row is on it.
    Line::from_spans(spans).into_prose()
}
