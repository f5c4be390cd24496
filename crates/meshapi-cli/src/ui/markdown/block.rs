//! Pure: what kind of line a line of markdown is. It shows at the line's start.

use super::flow::Margin;
use crate::ui::line::Style;

/// A kind of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Blank,
    Rule,
    /// Begins a block of code.
    Fence(Fence),
    Table,
    /// Text, an item of a list, a quote, a heading.
    Flow(Flow),
}

/// The opening of a block of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    mark: char,
    count: usize,
    indent: usize,
    pub(super) language: String,
}

/// A line whose inside flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) margin: Margin,
    pub(super) base: Style,
    /// Where its inside begins.
    pub(super) text_at: usize,
}

/// Deepest indent that is kept: a list in a list in a list.
const MOST_INDENT: usize = 12;

impl Fence {
    pub(super) fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim();
        line.len() >= self.count && line.chars().all(|c| c == self.mark)
    }

    /// What of a line of the block is left from `open` on; at its start the indent of the fence is no part of it.
    pub(super) fn rest<'l>(&self, line: &'l str, open: usize) -> &'l str {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        &line[if open == 0 { blanks.min(self.indent) } else { open }..]
    }
}

/// The line as it is.
pub(super) fn literal(line: &str) -> Kind {
    if line.trim().is_empty() { Kind::Blank } else { Kind::Flow(Flow::default()) }
}

pub(super) fn is_table_row(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

pub(super) fn kind(line: &str) -> Kind {
    let body = line.trim_start();
    if body.trim_end().is_empty() {
        return Kind::Blank;
    }
    let indent = width_of_indent(&line[..line.len() - body.len()]);
    if let Some(fence) = fence(body, indent) {
        return Kind::Fence(fence);
    }
    if is_rule(body) {
        return Kind::Rule;
    }
    if is_table_row(line) {
        return Kind::Table;
    }
    let mut flow = Flow { text_at: line.len() - body.len(), ..Flow::default() };
    let pad = " ".repeat(indent.min(MOST_INDENT));
    let mut margin = vec![(Style::Plain, pad.clone())];
    let mut rest_margin = margin.clone();
    let mut body = body;
    while let Some(inner) = body.strip_prefix('>') {
        let inner = inner.strip_prefix(' ').unwrap_or(inner);
        for part in [&mut margin, &mut rest_margin] {
            part.push((Style::Dim, "│ ".to_owned()));
        }
        flow.text_at += body.len() - inner.len();
        flow.base = Style::Italic;
        body = inner;
    }
    if let Some(width) = heading(body) {
        flow.text_at += width;
        flow.base = Style::Heading;
    } else if let Some((shown, taken)) = item(body, indent) {
        flow.text_at += taken;
        let hang = " ".repeat(crate::ui::text::width(&shown));
        margin.push((Style::BrandDim, shown));
        rest_margin.push((Style::Plain, hang));
    }
    flow.margin = Margin { first: without_empty(margin), rest: without_empty(rest_margin) };
    Kind::Flow(flow)
}

fn without_empty(margin: Vec<(Style, String)>) -> Vec<(Style, String)> {
    margin.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

fn width_of_indent(blanks: &str) -> usize {
    blanks.chars().map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

fn fence(body: &str, indent: usize) -> Option<Fence> {
    let mark = body.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = body.trim_start_matches(mark);
    let count = body.len() - rest.len();
    // Marks of code in a line of text close again on it.
    let is_fence = count >= 3 && !(mark == '`' && rest.contains('`'));
    let language = rest.trim().split([' ', ',', '{']).next().unwrap_or_default();
    is_fence.then(|| Fence { mark, count, indent, language: language.to_owned() })
}

/// Three or more of one mark, blanks between them allowed. Ends at the first other character: a line may be long.
fn is_rule(body: &str) -> bool {
    let mark = body.chars().next().filter(|c| matches!(c, '-' | '*' | '_'));
    let is_only = |mark| body.chars().all(|c| c == mark || c.is_whitespace());
    mark.is_some_and(|mark| is_only(mark) && body.matches(mark).count() >= 3)
}

/// The bytes of a heading's mark.
fn heading(body: &str) -> Option<usize> {
    let rest = body.trim_start_matches('#');
    let level = body.len() - rest.len();
    let text = rest.strip_prefix(' ')?;
    let blanks = text.len() - text.trim_start().len();
    (1..=6).contains(&level).then_some(level + 1 + blanks)
}

/// The sign of a list's item as it is shown, and the bytes that it takes.
fn item(body: &str, indent: usize) -> Option<(String, usize)> {
    if let Some(rest) = body.strip_prefix(['-', '*', '+']) {
        let text = rest.strip_prefix(' ')?;
        let sign = ["• ", "◦ ", "▪ "][(indent / 2) % 3];
        for (mark, box_sign) in [("[ ] ", "☐ "), ("[x] ", "☑ "), ("[X] ", "☑ ")] {
            if text.starts_with(mark) {
                return Some((format!("{sign}{box_sign}"), 2 + mark.len()));
            }
        }
        return Some((sign.to_owned(), 2));
    }
    let digits = body.len() - body.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = &body[digits..];
    let is_item = (1..=9).contains(&digits) && (rest.starts_with(". ") || rest.starts_with(") "));
    is_item.then(|| (body[..digits + 2].to_owned(), digits + 2))
}
