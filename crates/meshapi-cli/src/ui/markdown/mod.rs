//! Pure: markdown as it streams, to lines that are finished and a short tail that is not.
//!
//! The unit is the line of the source: what kind of line it is shows at its start, and its inside is parsed on its own, so a
//! finished row never changes again. A line break of the model stays one. Rows of a line that goes on are finished as soon as
//! no later text can change them; a mark that is still open holds them back for a while.
//!
//! - `block`: what kind of line it is
//! - `inline`: its inside, by pulldown-cmark
//! - `flow`: broken into rows between words
//! - `table`: rows of cells, as a grid or as records
mod block;
mod flow;
mod inline;
mod table;

use std::borrow::Cow;

use block::{Fence, Flow, Kind};
use flow::Row;

use crate::ui::{
    highlight::Highlighter,
    line::{Line, Span, Style},
    text,
    theme::{Background, Theme},
    wrap,
};

/// Rows that an open mark holds back before it is taken literally.
const MOST_HELD: usize = 8;

/// Columns of a tab in code.
const TAB: &str = "    ";

/// How far code stands in.
const CODE_INDENT: &str = "  ";

/// A reply while it comes.
#[derive(Debug)]
pub struct Markdown {
    columns: usize,
    /// Without colours the source says most: it is shown as it is.
    is_literal: bool,
    background: Background,
    pending: String,
    /// What of the first pending line is finished already: its bytes, and that its first row is.
    open: Option<usize>,
    state: State,
    finished: Vec<Line>,
    /// Something was finished before.
    has_begun: bool,
    /// A blank line comes before the next one.
    owes_blank: bool,
}

/// What the lines stand in.
#[derive(Debug)]
enum State {
    Text,
    Code { fence: Fence, colours: Option<Box<Highlighter>> },
    Table(Vec<String>),
}

impl Markdown {
    /// A reply for a screen of this many columns.
    pub fn new(columns: usize, theme: Theme) -> Markdown {
        Markdown {
            columns: columns.max(1),
            is_literal: !theme.is_coloured(),
            background: theme.background(),
            pending: String::new(),
            open: None,
            state: State::Text,
            finished: Vec::new(),
            has_begun: false,
            owes_blank: false,
        }
    }

    /// Takes the next piece, as it came. Cheap: nothing is parsed yet.
    pub fn push(&mut self, piece: &str) {
        // A carriage return at the end may be half a line break.
        match self.pending.ends_with('\r') {
            true => {
                self.pending.pop();
                self.take_in(&format!("\r{piece}"));
            }
            false => self.take_in(piece),
        }
    }

    fn take_in(&mut self, piece: &str) {
        let (piece, held) = piece.strip_suffix('\r').map_or((piece, ""), |piece| (piece, "\r"));
        let clean = text::sanitize_prose(piece);
        let clean = if clean.contains('\t') { Cow::Owned(clean.replace('\t', TAB)) } else { clean };
        self.pending.push_str(&clean);
        self.pending.push_str(held);
    }

    /// The lines that no later text can change, since the last call.
    pub fn take_finished(&mut self) -> Vec<Line> {
        let pending = std::mem::take(&mut self.pending);
        let (whole, rest) = pending.rsplit_once('\n').map_or((None, &*pending), |(w, r)| (Some(w), r));
        for line in whole.into_iter().flat_map(|whole| whole.split('\n')) {
            self.whole_line(line);
        }
        // A carriage return at the end may be half a line break.
        self.part_of_line(rest.trim_end_matches('\r'));
        self.pending = rest.to_owned();
        std::mem::take(&mut self.finished)
    }

    /// The lines that are not finished: those of the line that goes on, or a table that grows.
    pub fn tail(&mut self) -> Vec<Line> {
        let rest = self.pending.trim_end_matches('\r');
        let open = self.open.unwrap_or(0);
        match &self.state {
            State::Table(rows) => {
                let rows = rows.iter().map(String::as_str).chain(Some(rest).filter(|rest| !rest.is_empty()));
                rows.flat_map(|row| wrap::rows(Line::of(Style::Dim, row), self.columns)).collect()
            }
            State::Code { .. } if rest.is_empty() => Vec::new(),
            State::Code { fence, .. } => self.code_rows(Line::of(Style::Code, fence.rest(rest, open))),
            State::Text => match self.kind(rest) {
                Kind::Flow(flow) if !rest.is_empty() => {
                    self.flow_rows(rest, &flow).into_iter().map(|row| row.line).collect()
                }
                Kind::Table => wrap::rows(Line::of(Style::Dim, rest), self.columns),
                Kind::Blank | Kind::Fence(_) | Kind::Rule | Kind::Flow(_) => Vec::new(),
            },
        }
    }

    /// The rest, when nothing follows.
    pub fn finish(&mut self) -> Vec<Line> {
        self.finished = self.take_finished();
        let rest = std::mem::take(&mut self.pending);
        let rest = rest.trim_end_matches('\r');
        if !rest.is_empty() {
            self.whole_line(rest);
        }
        self.end_table();
        self.state = State::Text;
        std::mem::take(&mut self.finished)
    }

    /// The screen has another width; what is finished stays as it is.
    pub fn resize(&mut self, columns: usize) {
        self.columns = columns.max(1);
    }

    fn emit(&mut self, line: Line) {
        if std::mem::take(&mut self.owes_blank) {
            self.finished.push(Line::blank());
        }
        self.has_begun = true;
        self.finished.push(line);
    }

    fn whole_line(&mut self, line: &str) {
        let open = self.open.take().unwrap_or(0);
        if let State::Code { fence, .. } = &self.state {
            if open == 0 && fence.is_closed_by(line) {
                self.state = State::Text;
                return;
            }
            return self.code_line(line, open);
        }
        if matches!(self.state, State::Table(_)) && block::is_table_row(line) {
            if let State::Table(rows) = &mut self.state {
                rows.push(line.to_owned());
            }
            return;
        }
        self.end_table();
        self.open = Some(open).filter(|open| *open > 0);
        match self.kind(line) {
            // Blank lines are one, and none at the ends.
            Kind::Blank => self.owes_blank = self.has_begun,
            Kind::Rule => self.emit(Line::of(Style::Dim, &"─".repeat(self.columns.min(60)))),
            Kind::Table => self.state = State::Table(vec![line.to_owned()]),
            Kind::Fence(fence) => {
                let colours = Highlighter::of(&fence.language, self.background).map(Box::new);
                self.state = State::Code { fence, colours };
            }
            Kind::Flow(flow) => {
                let rows = self.flow_rows(line, &flow);
                self.begin_flow(&flow);
                for row in rows {
                    self.emit(row.line);
                }
            }
        }
        self.open = None;
    }

    /// A heading stands apart from what is above it.
    fn begin_flow(&mut self, flow: &Flow) {
        if flow.base == Style::Heading && self.open.is_none() {
            self.owes_blank |= self.has_begun;
        }
    }

    fn kind(&self, line: &str) -> Kind {
        if self.is_literal { block::literal(line) } else { block::kind(line) }
    }

    /// The rows of a line from where it is open.
    fn flow_rows(&self, line: &str, flow: &Flow) -> Vec<Row> {
        let from = self.open.unwrap_or(0).max(flow.text_at);
        let parsed = self.parse(line, from, flow);
        if self.open.is_some() && parsed.cells.is_empty() {
            return Vec::new();
        }
        flow::rows(&parsed, &flow.margin, self.open.is_none(), self.columns)
    }

    fn parse(&self, line: &str, from: usize, flow: &Flow) -> inline::Parsed {
        if self.is_literal {
            return inline::literal(&line[from..]);
        }
        let before = if self.open.is_some() { line[..from].chars().next_back() } else { None };
        inline::parse(&line[from..], flow.base, before)
    }

    /// Finishes what of a line that goes on can be finished.
    fn part_of_line(&mut self, line: &str) {
        let open = self.open.unwrap_or(0);
        if line.len() - open < self.columns {
            return;
        }
        match &self.state {
            State::Table(_) => {}
            State::Code { fence, .. } => {
                let code = fence.rest(line, open);
                let begin = line.len() - code.len();
                let rows = wrap::rows(Line::of(Style::Code, code), self.code_room());
                let finished = &rows[..rows.len() - 1];
                let taken: usize = finished.iter().map(|row| row.plain().len()).sum();
                for row in finished {
                    self.emit(self.code_row(row.clone()));
                }
                if taken > 0 {
                    self.open = Some(begin + taken);
                }
            }
            State::Text => {
                let Kind::Flow(flow) = self.kind(line) else { return };
                let from = open.max(flow.text_at);
                let parsed = self.parse(line, from, &flow);
                let rows = flow::rows(&parsed, &flow.margin, self.open.is_none(), self.columns);
                // Where a row breaks depends on the word behind it: that one must be sure too.
                let sure = match parsed.open_from {
                    Some(held) => rows.iter().take_while(|row| row.end <= held).count().saturating_sub(1),
                    None => rows.len() - 1,
                };
                let sure = rows[..sure].iter().rposition(|row| row.is_whole).map_or(0, |last| last + 1);
                let count = if rows.len() - sure > MOST_HELD { rows.len() - 1 } else { sure };
                if count > 0 {
                    self.begin_flow(&flow);
                }
                for row in rows.into_iter().take(count) {
                    self.open = Some(from + row.end);
                    self.emit(row.line);
                }
            }
        }
    }

    fn code_room(&self) -> usize {
        let indent = if self.columns > 8 { CODE_INDENT.len() } else { 0 };
        (self.columns - indent).max(1)
    }

    fn code_rows(&self, line: Line) -> Vec<Line> {
        wrap::rows(line, self.code_room()).into_iter().map(|row| self.code_row(row)).collect()
    }

    fn code_row(&self, row: Line) -> Line {
        if self.columns <= 8 || row.spans().is_empty() {
            return row;
        }
        let mut spans = vec![Span::new(Style::Plain, CODE_INDENT)];
        spans.extend(row.spans().iter().cloned());
        Line::from_spans(spans)
    }

    fn code_line(&mut self, line: &str, open: usize) {
        let State::Code { fence, colours } = &mut self.state else { return };
        let line = fence.rest(line, open);
        let painted = match colours {
            Some(colours) if open == 0 => colours.line(line),
            _ => Line::of(Style::Code, line),
        };
        for row in self.code_rows(painted) {
            self.emit(row);
        }
    }

    fn end_table(&mut self) {
        if let State::Table(rows) = &mut self.state {
            let rows = std::mem::take(rows);
            self.state = State::Text;
            for line in table::lines(&rows, self.columns) {
                self.emit(line);
            }
        }
    }
}

/// A whole text at once.
pub fn render(source: &str, columns: usize, theme: Theme) -> Vec<Line> {
    let mut markdown = Markdown::new(columns, theme);
    markdown.push(source);
    markdown.finish()
}

#[cfg(test)]
mod tests;
