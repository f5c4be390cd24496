//! A line of the screen as a value: spans of text with a meaning, not yet with a colour.

use std::{borrow::Cow, sync::Arc};

use crate::ui::text;

/// What a span means. A [`crate::ui::theme::Theme`] says how it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As the terminal has it.
    #[default]
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
    /// Emphasis.
    Italic,
    /// Strong emphasis.
    BoldItalic,
    /// Struck out.
    Strike,
    /// A heading of a text.
    Heading,
    /// The text of a link.
    Link,
    /// The words of an added line that are new.
    GoodWord,
    /// The words of a removed line that are gone.
    BadWord,
    /// A part of highlighted code: red, green, blue.
    Token(u8, u8, u8),
}

/// A run of text in one style. It holds no line feed and nothing that acts on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    style: Style,
    text: String,
    /// Where a click on it leads; without anything that acts on a terminal.
    link: Option<Arc<str>>,
}

impl Span {
    /// Makes a span; the text is cleaned by [`text::one_line`].
    pub fn new(style: Style, text: &str) -> Span {
        Span { style, text: text::one_line(text).into_owned(), link: None }
    }

    /// Makes a span of prose, whose joiners stay: [`text::sanitize_prose`], on one line.
    pub fn new_prose(style: Style, text: &str) -> Span {
        let clean = text::sanitize_prose(text);
        let text = if clean.contains(['\n', '\t']) { text::one_line(&clean) } else { clean };
        Span { style, text: text.into_owned(), link: None }
    }

    /// The same span as a link. An address that acts on a terminal is left out.
    #[must_use]
    pub fn with_link(self, link: Option<Arc<str>>) -> Span {
        Span { link: link.filter(|link| link.chars().all(|c| c.is_ascii_graphic())), ..self }
    }

    /// Where a click on it leads.
    pub fn link(&self) -> Option<&str> {
        self.link.as_deref()
    }

    /// The same look with another text, which is part of a span's clean text.
    pub(crate) fn with_text(&self, text: &str) -> Span {
        Span { text: text.to_owned(), ..self.clone() }
    }

    /// Whether only the text differs.
    pub(crate) fn looks_like(&self, other: &Span) -> bool {
        self.style == other.style && self.link == other.link
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
    /// Where it is too wide, it is broken between words.
    is_prose: bool,
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

    /// A line in one style that is read, not copied: where it is too wide, it is broken between words.
    pub fn prose(style: Style, text: &str) -> Line {
        Line { is_prose: true, ..Line::of(style, text) }
    }

    /// A line of these spans.
    pub fn from_spans(spans: Vec<Span>) -> Line {
        Line { spans, is_prose: false }
    }

    /// The same, broken between words where it is too wide.
    #[must_use]
    pub fn into_prose(self) -> Line {
        Line { is_prose: true, ..self }
    }

    /// Whether it is broken between words.
    pub fn is_prose(&self) -> bool {
        self.is_prose
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
