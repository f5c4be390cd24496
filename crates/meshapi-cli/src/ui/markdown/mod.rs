//! Pure: markdown as it streams, to lines that are finished and a short tail that is not.

use crate::ui::{
    line::{Line, Style},
    text, wrap,
};

/// A reply while it comes.
#[derive(Debug)]
pub struct Markdown {
    columns: usize,
    pending: String,
    finished: Vec<Line>,
}

impl Markdown {
    /// A reply for a screen of this many columns.
    pub fn new(columns: usize) -> Markdown {
        Markdown { columns: columns.max(1), pending: String::new(), finished: Vec::new() }
    }

    /// Takes the next piece, as it came.
    pub fn push(&mut self, piece: &str) {
        self.pending.push_str(&text::sanitize_prose(piece));
    }

    /// The lines that no later text can change, since the last call.
    pub fn take_finished(&mut self) -> Vec<Line> {
        while let Some(end) = self.pending.find('\n') {
            let line = Line::of(Style::Plain, &self.pending[..end]);
            self.pending.drain(..=end);
            self.finished.extend(wrap::rows(line, self.columns));
        }
        let mut rows = wrap::rows(Line::of(Style::Plain, &self.pending), self.columns);
        if rows.len() > 1 {
            let tail = rows.pop().map(|row| row.plain().into_owned()).unwrap_or_default();
            self.finished.extend(rows);
            self.pending = tail;
        }
        std::mem::take(&mut self.finished)
    }

    /// The lines that are not finished.
    pub fn tail(&mut self) -> Vec<Line> {
        if self.pending.is_empty() { Vec::new() } else { vec![Line::of(Style::Plain, &self.pending)] }
    }

    /// The rest, when nothing follows.
    pub fn finish(&mut self) -> Vec<Line> {
        let mut lines = self.take_finished();
        lines.extend(self.tail());
        self.pending.clear();
        lines
    }

    /// The screen has another width; what is finished stays as it is.
    pub fn resize(&mut self, columns: usize) {
        self.columns = columns.max(1);
    }
}
