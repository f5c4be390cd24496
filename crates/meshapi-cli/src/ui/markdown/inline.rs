//! Pure: the inside of a line of markdown, to cells that know how they look and where they came from.

use std::sync::Arc;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use unicode_width::UnicodeWidthChar;

use crate::ui::line::Style;

/// How a run of cells looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) style: Style,
    /// Where a link leads.
    pub(super) link: Option<Arc<str>>,
}

/// One character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) character: char,
    pub(super) width: usize,
    /// Index into the looks of its line.
    pub(super) look: usize,
    /// Where the source goes on behind it.
    pub(super) end: usize,
    /// The outermost marked span that it is in; 0 for none. The source cannot be taken up again inside one.
    pub(super) span: usize,
}

/// A parsed piece of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) cells: Vec<Cell>,
    pub(super) looks: Vec<Look>,
    /// Marked spans so far.
    spans: usize,
    /// From here on the source may still change its meaning: a mark is open.
    pub(super) open_from: Option<usize>,
}

/// Parses `source`, a piece of one line; `base` is the look of plain text in it, `before` the character before it.
pub(super) fn parse(source: &str, base: Style, before: Option<char>) -> Parsed {
    // What stands in front keeps a piece of a line from being taken for a list or a heading, and lets marks open as
    // they would behind the real character.
    let guard = if before.is_some_and(char::is_alphanumeric) { "x" } else { "." };
    let guarded = format!("{guard}{source}");
    let place = |at: usize| at.saturating_sub(guard.len());
    let mut parsed = Parsed::default();
    let mut state = State { bold: 0, italic: 0, strike: 0, links: Vec::new(), base };
    for (event, range) in Parser::new_ext(&guarded, Options::ENABLE_STRIKETHROUGH).into_offset_iter() {
        let end = place(range.end);
        match event {
            Event::Start(tag) => parsed.spans += usize::from(state.start(&tag)),
            Event::End(tag) => {
                if let (TagEnd::Link | TagEnd::Image, Some(Some(url))) = (&tag, state.links.last()) {
                    // Where the text does not say where the link leads, the address stands behind it.
                    parsed.tail_url(&url.clone(), end);
                }
                if state.end(tag) {
                    parsed.close(end);
                }
            }
            Event::Text(text) => {
                let start = range.start.max(guard.len());
                let text = if range.start == 0 { text.strip_prefix(guard).unwrap_or(&text) } else { &text };
                let is_exact = text.len() == range.end - start;
                if is_exact && parsed.open_from.is_none() {
                    parsed.open_from = open_mark(&guarded, start, range.end).map(place);
                }
                parsed.push(text, state.look(), (place(start), end), is_exact, state.is_inside());
            }
            Event::Code(text) => {
                let look = Look { style: Style::Code, link: state.link() };
                let is_alone = !state.is_inside();
                parsed.spans += usize::from(is_alone);
                parsed.push(&text, look, (place(range.start), end), false, true);
                if is_alone {
                    parsed.close(end);
                }
            }
            Event::InlineHtml(text) | Event::Html(text) => {
                parsed.push(&text, state.look(), (place(range.start), end), false, state.is_inside());
            }
            _ => {}
        }
    }
    parsed
}

/// A piece of a line as it is.
pub(super) fn literal(source: &str) -> Parsed {
    let mut parsed = Parsed::default();
    parsed.push(source, Look { style: Style::Plain, link: None }, (0, source.len()), true, false);
    parsed
}

impl Parsed {
    fn push(
        &mut self,
        text: &str,
        look: Look,
        (start, end): (usize, usize),
        is_exact: bool,
        is_inside: bool,
    ) {
        if self.looks.last() != Some(&look) {
            self.looks.push(look);
        }
        let look = self.looks.len() - 1;
        let span = if is_inside { self.spans } else { 0 };
        for (at, character) in text.char_indices() {
            let width = character.width().unwrap_or(0);
            let end = if is_exact { start + at + character.len_utf8() } else { end };
            self.cells.push(Cell { character, width, look, end, span });
        }
    }

    /// The outermost span has ended: behind its last cell the source goes on after its mark.
    fn close(&mut self, end: usize) {
        if let Some(cell) = self.cells.last_mut() {
            cell.end = end;
        }
    }

    /// Adds the address of a link whose text is something else.
    fn tail_url(&mut self, url: &str, end: usize) {
        let is_part = |cell: &&Cell| self.looks[cell.look].link.as_deref() == Some(url);
        let mut shown: Vec<char> =
            self.cells.iter().rev().take_while(is_part).map(|cell| cell.character).collect();
        shown.reverse();
        let shown = String::from_iter(shown);
        if shown != url && shown != url.trim_start_matches("mailto:") {
            self.push(&format!(" ({url})"), Look { style: Style::Dim, link: None }, (end, end), false, true);
        }
    }
}

/// What is open while events come.
struct State {
    bold: usize,
    italic: usize,
    strike: usize,
    links: Vec<Option<Arc<str>>>,
    base: Style,
}

impl State {
    /// Says whether it is the outermost span that starts.
    fn start(&mut self, tag: &Tag<'_>) -> bool {
        let was_inside = self.is_inside();
        match tag {
            Tag::Strong => self.bold += 1,
            Tag::Emphasis => self.italic += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.links.push(safe(dest_url)),
            _ => {}
        }
        !was_inside && self.is_inside()
    }

    /// Says whether it is the outermost span that ends.
    fn end(&mut self, tag: TagEnd) -> bool {
        let was_inside = self.is_inside();
        match tag {
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Emphasis => self.italic = self.italic.saturating_sub(1),
            TagEnd::Strikethrough => self.strike = self.strike.saturating_sub(1),
            TagEnd::Link | TagEnd::Image => drop(self.links.pop()),
            _ => {}
        }
        was_inside && !self.is_inside()
    }

    fn is_inside(&self) -> bool {
        self.bold + self.italic + self.strike + self.links.len() > 0
    }

    fn link(&self) -> Option<Arc<str>> {
        self.links.last().cloned().flatten()
    }

    fn look(&self) -> Look {
        let style = match (self.bold > 0, self.italic > 0) {
            _ if self.strike > 0 => Style::Strike,
            _ if self.link().is_some() => Style::Link,
            (true, true) => Style::BoldItalic,
            (true, false) => Style::Bold,
            (false, true) => Style::Italic,
            (false, false) => self.base,
        };
        Look { style, link: self.link() }
    }
}

/// A link that a terminal may be given: of a known kind, without anything that acts on it.
fn safe(url: &str) -> Option<Arc<str>> {
    let known = ["http://", "https://", "mailto:"].iter().any(|kind| url.starts_with(kind));
    let is_clean = url.chars().all(|c| c.is_ascii_graphic());
    (known && is_clean && url.len() <= 2_000).then(|| Arc::from(url))
}

/// The first mark in literal text that later text could still close.
fn open_mark(source: &str, start: usize, end: usize) -> Option<usize> {
    let text = &source[start..end];
    let rest_of = |at: usize| &source[start + at..];
    let before = |at: usize| source[..start + at].chars().next_back();
    for (at, mark) in text.char_indices() {
        let rest = rest_of(at);
        let run = rest.len() - rest.trim_start_matches(mark).len();
        let next = rest[run..].chars().next();
        let can_open = match mark {
            '`' => before(at) != Some('\\'),
            '*' => next.is_none_or(|c| !c.is_whitespace()),
            '_' => next.is_none_or(|c| !c.is_whitespace()) && before(at).is_none_or(|c| !c.is_alphanumeric()),
            '~' => run == 2 || next.is_none(),
            // A bracket is a link only while nothing says otherwise.
            '[' => match rest.find(']') {
                None => true,
                Some(close) => match rest[close + 1..].chars().next() {
                    None => true,
                    Some('(') => !rest[close..].contains(')'),
                    Some(_) => false,
                },
            },
            '<' => next.is_some_and(char::is_alphabetic) && !rest.contains('>'),
            // An escape or an entity that is not whole yet.
            '\\' => rest.len() == 1,
            '&' => !rest.contains([' ', ';']) && rest.len() < 12,
            _ => false,
        };
        if can_open {
            return Some(start + at);
        }
    }
    None
}
