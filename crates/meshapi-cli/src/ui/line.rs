//! A line of the screen as a value: spans of text with a meaning, not yet with a colour.

use std::borrow::Cow;

use crate::ui::text;

/// What a span means. A [`crate::ui::theme::Theme`] says how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As the terminal has it.
    Plain,
    /// Stands out.
    Bold,
    /// Stands back: notes, output, hints.
    Dim,
    /// What the model does, loud.
    Brand,
    /// What the model does, in passing.
    BrandDim,
    /// Code and shell commands.
    Code,
    /// Went well; an added line.
    Good,
    /// Went wrong; a removed line.
    Bad,
    /// Wants attention.
    Warn,
    /// Wants attention now.
    WarnBold,
}

/// A run of text in one style. It holds no line feed and nothing that acts on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    style: Style,
    text: String,
}

impl Span {
    /// Makes a span; the text is cleaned by [`text::one_line`].
    pub fn new(style: Style, text: &str) -> Span {
        Span { style, text: text::one_line(text).into_owned() }
    }

    /// The same look with another text, which is part of a span's clean text.
    pub(crate) fn with_text(&self, text: &str) -> Span {
        Span { text: text.to_owned(), ..self.clone() }
    }

    /// Whether only the text differs.
    pub(crate) fn looks_like(&self, other: &Span) -> bool {
        self.style == other.style
    }

    /// What the span means.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The clean text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// One line of the screen, without its line feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    spans: Vec<Span>,
}

impl Line {
    /// An empty line.
    pub fn blank() -> Line {
        Line::default()
    }

    /// A line in one style.
    pub fn of(style: Style, text: &str) -> Line {
        Line::blank().with(style, text)
    }

    /// A line of these spans.
    pub fn from_spans(spans: Vec<Span>) -> Line {
        Line { spans }
    }

    /// The same line with one more span.
    #[must_use]
    pub fn with(mut self, style: Style, text: &str) -> Line {
        self.spans.push(Span::new(style, text));
        self
    }

    /// The spans from left to right.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The text without styles.
    pub fn plain(&self) -> Cow<'_, str> {
        match self.spans.as_slice() {
            [] => Cow::Borrowed(""),
            [one] => Cow::Borrowed(&one.text),
            many => Cow::Owned(many.iter().map(|s| s.text.as_str()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_cannot_hold_what_acts_on_a_terminal() {
        let line = Line::of(Style::Code, "$ ls\u{1b}[2K\n").with(Style::Dim, "\tx");
        assert_eq!(line.plain(), "$ ls␛[2K␊    x");
    }
}
