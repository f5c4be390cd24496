//! Pure: a table as a grid where it fits, as records where it does not.

use super::{
    flow::{self, Margin},
    inline,
};
use crate::ui::{
    line::{Line, Span, Style},
    text,
};

const GAP: &str = "  ";

/// Where the cells of a column stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Left,
    Middle,
    Right,
}

impl Side {
    /// As the colons of the rule below the header say.
    fn of(rule: &str) -> Side {
        match (rule.starts_with(':'), rule.ends_with(':')) {
            (true, true) => Side::Middle,
            (false, true) => Side::Right,
            (_, false) => Side::Left,
        }
    }

    /// How many of the free cells come before the text.
    fn before(self, free: usize) -> usize {
        match self {
            Side::Left => 0,
            Side::Middle => free / 2,
            Side::Right => free,
        }
    }
}

/// The lines of a table whose rows these are.
pub(super) fn lines(rows: &[String], columns: usize) -> Vec<Line> {
    let is_rule =
        |row: &&String| row.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ')) && row.contains('-');
    let has_header = rows.get(1).as_ref().is_some_and(is_rule);
    let cells: Vec<Vec<Vec<Span>>> = rows
        .iter()
        .enumerate()
        .filter(|(at, row)| !(*at == 1 && is_rule(row)))
        .map(|(at, row)| {
            let base = if at == 0 && has_header { Style::Bold } else { Style::Plain };
            split(row).iter().map(|cell| spans(cell, base)).collect()
        })
        .collect();
    let count = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |row: &Vec<Vec<Span>>, at: usize| row.get(at).map_or(0, |cell| cell_width(cell));
    let widths: Vec<usize> =
        (0..count).map(|at| cells.iter().map(|row| width(row, at)).max().unwrap_or(0)).collect();
    let total = widths.iter().sum::<usize>() + GAP.len() * count.saturating_sub(1);
    let sides: Vec<Side> = match rows.get(1).filter(is_rule) {
        Some(rule) => split(rule).iter().map(|cell| Side::of(cell)).collect(),
        None => Vec::new(),
    };
    if total <= columns {
        grid(&cells, &widths, &sides, has_header)
    } else {
        records(&cells, has_header, columns)
    }
}

/// The cells of a row; `\|` is no border.
fn split(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_escaped = false;
    for character in row.trim().trim_start_matches('|').chars() {
        match (character, is_escaped) {
            ('|', false) => cells.push(String::new()),
            _ => {
                if let Some(cell) = cells.last_mut() {
                    cell.push(character);
                }
            }
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    if cells.len() > 1 && cells.last().is_some_and(|cell| cell.trim().is_empty()) {
        cells.pop();
    }
    cells.iter().map(|cell| cell.trim().replace("\\|", "|")).collect()
}

fn spans(cell: &str, base: Style) -> Vec<Span> {
    let parsed = inline::parse(cell, base, None);
    let rows = flow::rows(&parsed, &Margin::default(), true, usize::MAX / 2);
    rows.into_iter().flat_map(|row| row.line.spans().to_vec()).collect()
}

fn cell_width(cell: &[Span]) -> usize {
    cell.iter().map(|span| text::width(span.text())).sum()
}

fn grid(cells: &[Vec<Vec<Span>>], widths: &[usize], sides: &[Side], has_header: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for (at, row) in cells.iter().enumerate() {
        let mut line: Vec<Span> = Vec::new();
        for (column, width) in widths.iter().enumerate() {
            let empty = Vec::new();
            let cell = row.get(column).unwrap_or(&empty);
            let free = width - cell_width(cell);
            let before = sides.get(column).copied().unwrap_or_default().before(free);
            if before > 0 {
                line.push(Span::new(Style::Plain, &" ".repeat(before)));
            }
            line.extend(cell.iter().cloned());
            if column + 1 < widths.len() {
                let after = " ".repeat(free - before);
                line.push(Span::new(Style::Plain, &format!("{after}{GAP}")));
            }
        }
        lines.push(Line::from_spans(line));
        if at == 0 && has_header {
            let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
            lines.push(Line::of(Style::Dim, &rules.join(GAP)));
        }
    }
    lines
}

/// One cell a line, behind the name of its column.
fn records(cells: &[Vec<Vec<Span>>], has_header: bool, columns: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let (header, rows) = match (has_header, cells) {
        (true, [header, rows @ ..]) => (Some(header), rows),
        _ => (None, cells),
    };
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            lines.push(Line::blank());
        }
        for (column, cell) in row.iter().enumerate() {
            let mut line = Vec::new();
            if let Some(name) = header.and_then(|header| header.get(column)) {
                line.extend(name.iter().cloned());
                line.push(Span::new(Style::Dim, ": "));
            }
            line.extend(cell.iter().cloned());
            lines.extend(crate::ui::wrap::rows(Line::from_spans(line), columns));
        }
    }
    lines
}
