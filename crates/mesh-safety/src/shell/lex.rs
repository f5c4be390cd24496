//! Characters to words: quotes, escapes, variables, substitutions. The commands inside substitutions go back to the parser.

use super::ast::{Operator, Piece, Word};
use super::parse::{ParseError, Parser};

/// Where a word is read, and so which characters end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A word of a command: blanks and operators end it.
    Bare,
    /// Inside double quotes.
    Quotes,
    /// Inside `${X:-…}`: the brace ends it.
    Braces { quoted: bool },
    /// Here-text and arithmetic: runs to the end of the text.
    Whole,
}

impl Place {
    fn is_quoted(self) -> bool {
        match self {
            Place::Bare => false,
            Place::Quotes | Place::Whole => true,
            Place::Braces { quoted } => quoted,
        }
    }
}

/// Characters that end a bare word.
pub(super) fn is_meta(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
}

impl Parser {
    /// Reads one word. Empty when none begins here.
    pub(super) fn word(&mut self, place: Place) -> Result<Word, ParseError> {
        let mut out = Pieces::default();
        while let Some(c) = self.peek() {
            let quoted = place.is_quoted();
            match c {
                '(' if place == Place::Bare && self.is_pattern_list(&out) => self.pattern_list(&mut out)?,
                '<' | '>' if place == Place::Bare && self.peek_at(1) == Some('(') => {
                    self.skip(2);
                    let script = self.script_until_paren()?;
                    out.push(Piece::Process { script });
                }
                _ if place == Place::Bare && is_meta(c) => break,
                '"' if place == Place::Quotes => break,
                '}' if matches!(place, Place::Braces { .. }) => break,
                '\'' if !quoted => {
                    self.skip(1);
                    let text = self.until('\'')?;
                    out.text(&text, true);
                }
                '"' if place != Place::Whole => {
                    self.skip(1);
                    let inner = self.word(Place::Quotes)?;
                    self.expect('"')?;
                    out.text("", true);
                    inner.pieces.into_iter().for_each(|piece| out.push(piece));
                }
                '\\' => self.escape(&mut out, place),
                '$' => self.dollar(&mut out, quoted)?,
                '`' => {
                    self.skip(1);
                    let inner = self.backquoted()?;
                    let script = self.nested(&inner)?;
                    out.push(Piece::Command { script, quoted });
                }
                _ => {
                    self.skip(1);
                    out.character(c, quoted);
                }
            }
        }
        Ok(out.into_word())
    }

    fn escape(&mut self, out: &mut Pieces, place: Place) {
        self.skip(1);
        match self.peek() {
            None => out.character('\\', true),
            Some('\n') => self.skip(1),
            Some(c) => {
                self.skip(1);
                if place.is_quoted() && !matches!(c, '$' | '`' | '"' | '\\') {
                    out.character('\\', true);
                }
                out.character(c, true);
            }
        }
    }

    fn dollar(&mut self, out: &mut Pieces, quoted: bool) -> Result<(), ParseError> {
        self.skip(1);
        let plain = |name: String| Piece::Variable {
            name,
            quoted,
            operator: Operator::Plain,
            operand: Word::default(),
        };
        match self.peek() {
            Some('\'') if !quoted => {
                self.skip(1);
                let text = self.ansi_quoted()?;
                out.text(&text, true);
            }
            Some('"') if !quoted => {}
            Some('(') if self.peek_at(1) == Some('(') && self.is_arithmetic() => {
                self.skip(2);
                let inner = self.arithmetic()?;
                out.push(Piece::Arithmetic { inner });
            }
            Some('(') => {
                self.skip(1);
                let script = self.script_until_paren()?;
                out.push(Piece::Command { script, quoted });
            }
            Some('{') => {
                self.skip(1);
                let piece = self.braced(quoted)?;
                out.push(piece);
            }
            Some('[') => {
                self.skip(1);
                let text = self.until(']')?;
                let inner = self.nested_word(&text)?;
                out.push(Piece::Arithmetic { inner });
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => {
                let name = self.name();
                out.push(plain(name));
            }
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
                self.skip(1);
                out.push(plain(c.to_string()));
            }
            _ => out.character('$', true),
        }
        Ok(())
    }

    /// After `${`.
    fn braced(&mut self, quoted: bool) -> Result<Piece, ParseError> {
        self.deeper()?;
        let length = self.peek() == Some('#') && self.peek_at(1) != Some('}');
        let indirect = self.peek() == Some('!');
        if length || indirect {
            self.skip(1);
        }
        let mut name = self.name();
        if name.is_empty() {
            let Some(c) = self.peek().filter(|c| c.is_ascii_digit() || "@*#?-$!".contains(*c)) else {
                return Err(ParseError("a parameter expansion that is not understood"));
            };
            self.skip(1);
            name = c.to_string();
        }
        let mut operator = if length || indirect { Operator::Other } else { Operator::Plain };
        if self.peek() == Some('[') {
            self.skip(1);
            let text = self.until(']')?;
            // A subscript is arithmetic: substitutions in it run.
            let inner = self.nested_word(&text)?;
            self.shallower();
            let rest = self.word(Place::Braces { quoted })?;
            self.expect('}')?;
            let mut operand = inner;
            operand.pieces.extend(rest.pieces);
            return Ok(Piece::Variable { name, quoted, operator: Operator::Other, operand });
        }
        if self.peek() == Some(':') && self.peek_at(1).is_some_and(|c| "-=+?".contains(c)) {
            self.skip(1);
        }
        if operator == Operator::Plain {
            operator = match self.peek() {
                Some('}') => Operator::Plain,
                Some('-') => Operator::Default,
                Some('=') => Operator::Assign,
                Some('+') => Operator::Alternative,
                _ => Operator::Other,
            };
        }
        if !matches!(operator, Operator::Plain | Operator::Other) {
            self.skip(1);
        }
        let operand = self.word(Place::Braces { quoted })?;
        self.expect('}')?;
        self.shallower();
        Ok(Piece::Variable { name, quoted, operator, operand })
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| *c == '_' || c.is_ascii_alphanumeric()) {
            if name.is_empty() && c.is_ascii_digit() {
                break;
            }
            name.push(c);
            self.skip(1);
        }
        name
    }

    /// Reads up to a character and past it.
    pub(super) fn until(&mut self, end: char) -> Result<String, ParseError> {
        let mut text = String::new();
        loop {
            let c = self.peek().ok_or(ParseError("a quote or bracket that is not closed"))?;
            self.skip(1);
            if c == end {
                return Ok(text);
            }
            text.push(c);
        }
    }

    fn backquoted(&mut self) -> Result<String, ParseError> {
        let mut text = String::new();
        loop {
            let c = self.peek().ok_or(ParseError("a backquote that is not closed"))?;
            self.skip(1);
            match c {
                '`' => return Ok(text),
                '\\' => match self.peek() {
                    Some(next @ ('`' | '\\' | '$')) => {
                        self.skip(1);
                        text.push(next);
                    }
                    _ => text.push('\\'),
                },
                _ => text.push(c),
            }
        }
    }

    /// `$'…'`, after its first quote.
    fn ansi_quoted(&mut self) -> Result<String, ParseError> {
        let mut raw = String::new();
        loop {
            let c = self.peek().ok_or(ParseError("a quote that is not closed"))?;
            self.skip(1);
            match c {
                '\'' => return Ok(unescape(&raw)),
                '\\' => {
                    raw.push('\\');
                    if let Some(next) = self.peek() {
                        self.skip(1);
                        raw.push(next);
                    }
                }
                _ => raw.push(c),
            }
        }
    }

    /// Whether `((` closes with `))` before anything else: else it is a subshell inside a substitution.
    pub(super) fn is_arithmetic(&self) -> bool {
        let mut depth = 0usize;
        for at in 0.. {
            match self.peek_at(at) {
                Some('(') => depth += 1,
                Some(')') => {
                    depth = depth.saturating_sub(1);
                    if depth == 1 {
                        return self.peek_at(at + 1) == Some(')');
                    }
                }
                None => return false,
                _ => {}
            }
        }
        false
    }

    /// After `((`, reads past `))`.
    pub(super) fn arithmetic(&mut self) -> Result<Word, ParseError> {
        let mut depth = 2usize;
        let mut text = String::new();
        while depth > 0 {
            let c = self.peek().ok_or(ParseError("arithmetic that is not closed"))?;
            self.skip(1);
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth >= 2 {
                text.push(c);
            }
        }
        self.nested_word(&text)
    }

    /// `!(a|b)`, `@(…)` and the like: a list of patterns after a bare `?*+@!`.
    fn is_pattern_list(&self, out: &Pieces) -> bool {
        out.last_bare_char().is_some_and(|c| "?*+@!".contains(c))
    }

    fn pattern_list(&mut self, out: &mut Pieces) -> Result<(), ParseError> {
        self.skip(1);
        let _ = self.until(')')?;
        out.character('*', false);
        Ok(())
    }
}

/// Backslash sequences of `$'…'`, `echo -e` and `printf`.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            None => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('a' | 'b' | 'f' | 'v' | 'c') => {}
            Some('e' | 'E') => out.push('\u{1b}'),
            Some('x') => out.extend(digits(&mut chars, None, 16, 2)),
            Some('u') => out.extend(digits(&mut chars, None, 16, 4)),
            Some('U') => out.extend(digits(&mut chars, None, 16, 8)),
            Some(c @ '0'..='7') => out.extend(digits(&mut chars, Some(c), 8, if c == '0' { 4 } else { 3 })),
            Some(c @ ('\\' | '\'' | '"' | '?')) => out.push(c),
            Some(c) => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    out
}

/// The character of a numeric escape; `None` when its digits name none.
fn digits(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    first: Option<char>,
    radix: u32,
    most: usize,
) -> Option<char> {
    let mut digits: String = first.into_iter().collect();
    while digits.len() < most && chars.peek().is_some_and(|c| c.is_digit(radix)) {
        digits.extend(chars.next());
    }
    u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32)
}

/// Pieces of a word as they are read; neighbouring characters of one kind become one piece.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Piece>,
}

impl Pieces {
    fn push(&mut self, piece: Piece) {
        self.pieces.push(piece);
    }

    fn character(&mut self, c: char, is_quoted: bool) {
        match self.pieces.last_mut() {
            Some(Piece::Text { text, quoted }) if *quoted == is_quoted => text.push(c),
            _ => self.pieces.push(Piece::Text { text: c.to_string(), quoted: is_quoted }),
        }
    }

    /// Text that stands even when it is empty: `''` is a word.
    fn text(&mut self, new: &str, quoted: bool) {
        self.pieces.push(Piece::Text { text: new.to_owned(), quoted });
    }

    fn last_bare_char(&self) -> Option<char> {
        match self.pieces.last() {
            Some(Piece::Text { text, quoted: false }) => text.chars().next_back(),
            _ => None,
        }
    }

    fn into_word(self) -> Word {
        Word { pieces: self.pieces }
    }
}
