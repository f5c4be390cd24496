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
                '<' | '>'
                    if matches!(place, Place::Bare | Place::Braces { quoted: false })
                        && self.peek_at(1) == Some('(') =>
                {
                    self.skip(2);
                    let script = self.script_until_paren()?;
                    out.push(Piece::Process { script });
                }
                // Inside double quotes bash looks for its end before it looks for the brace, and keeps it as letters after.
                '<' | '>' if place == (Place::Braces { quoted: true }) && self.peek_at(1) == Some('(') => {
                    return Err(ParseError("a process in a parameter expansion inside quotes"));
                }
                _ if place == Place::Bare && is_meta(c) => break,
                '"' if place == Place::Quotes => break,
                '}' if matches!(place, Place::Braces { .. }) => break,
                // Inside double quotes bash pairs it before it looks for the brace, and keeps it as a letter after.
                '\'' if place == (Place::Braces { quoted: true }) => {
                    return Err(ParseError("a quote in a parameter expansion inside quotes"));
                }
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
                '\\' => self.escape(&mut out, place)?,
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

    fn escape(&mut self, out: &mut Pieces, place: Place) -> Result<(), ParseError> {
        self.skip(1);
        match self.peek() {
            None if place == Place::Whole => out.character('\\', true),
            None => return Err(ParseError("a line that goes on after the end of the text")),
            Some('\n') => self.skip(1),
            Some(c) => {
                self.skip(1);
                if place.is_quoted() && !matches!(c, '$' | '`' | '"' | '\\') {
                    out.character('\\', true);
                }
                out.character(c, true);
            }
        }
        Ok(())
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
            Some('(') if self.peek_at(1) == Some('(') => {
                // Bash would try it as commands next; whoever means that puts a blank between the two.
                let inner = self.arithmetic()?.ok_or(ParseError("a calculation that is not closed"))?;
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
                let inner = self.calculation(&text, false)?;
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
        if self.peek().is_some_and(|c| !"}:-=+?%#/^,@*".contains(c)) {
            return Err(ParseError("a parameter expansion that is not understood"));
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
        let is_part = operator == Operator::Other && self.peek() == Some(':');
        let operand = self.word(Place::Braces { quoted })?;
        self.expect('}')?;
        self.shallower();
        if is_part && !may_count(&operand, false) {
            return Err(ParseError("a part of a variable that is not counted"));
        }
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

    /// The text between `((` and `))`, if they close each other: else they are two parentheses.
    ///
    /// # Errors
    /// A quote in it is not closed, or its parentheses stand too deep.
    fn between_double_parens(&mut self) -> Result<Option<String>, ParseError> {
        let inner = self.matched(2)?;
        let is_closed = inner.is_some_and(|end| self.peek_at(end + 1) == Some(')'));
        let text = |end: usize| self.between(2, end);
        Ok(inner.filter(|_| is_closed).map(text))
    }

    /// Where the parenthesis closes that was opened before the character `ahead`; parentheses in quotes do not count.
    fn matched(&mut self, ahead: usize) -> Result<Option<usize>, ParseError> {
        let (mut depth, mut quote) = (1usize, None);
        let mut at = ahead;
        while let Some(c) = self.peek_at(at) {
            match (c, quote) {
                ('\\', None | Some('"' | '`')) => at += 1,
                (c, Some(open)) if c == open => quote = None,
                (_, Some(_)) => {}
                ('"' | '\'' | '`', None) => quote = Some(c),
                ('(', None) => {
                    depth += 1;
                    self.reaches(depth)?;
                }
                (')', None) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(Some(at));
            }
            at += 1;
        }
        if quote.is_some() { Err(ParseError("a quote that is not closed")) } else { Ok(None) }
    }

    /// `(( … ))` if it stands here: only its substitutions run anything.
    pub(super) fn arithmetic(&mut self) -> Result<Option<Word>, ParseError> {
        let Some(text) = self.between_double_parens()? else { return Ok(None) };
        self.skip(text.chars().count() + 4);
        self.calculation(&text, false).map(Some)
    }

    /// `((a; b; c))` of a loop, if it stands here.
    pub(super) fn loop_head(&mut self) -> Result<Word, ParseError> {
        let text = self.between_double_parens()?.filter(|text| text.matches(';').count() == 2);
        let text = text.ok_or(ParseError("the head of a loop that is not understood"))?;
        self.skip(text.chars().count() + 4);
        self.calculation(&text, true)
    }

    /// A text that is to be a calculation. What is none would be read as commands by another shell.
    fn calculation(&mut self, text: &str, is_loop: bool) -> Result<Word, ParseError> {
        // In a substitution `#` would hide what comes after it, and bash looks for the end before it knows that.
        if has_comment(text) {
            return Err(ParseError("a calculation with a comment"));
        }
        let word = self.nested_word(text)?;
        if may_count(&word, is_loop) {
            Ok(word)
        } else {
            Err(ParseError("a calculation that is not understood"))
        }
    }

    /// `!(a|b)`, `@(…)` and the like: a list of patterns after a bare `?*+@!`. Bash only knows them where it was told to, and in
    /// a test.
    fn is_pattern_list(&self, out: &Pieces) -> bool {
        self.has_pattern_lists && out.last_bare_char().is_some_and(|c| "?*+@!".contains(c))
    }

    fn pattern_list(&mut self, out: &mut Pieces) -> Result<(), ParseError> {
        let end = self.matched(1)?.ok_or(ParseError("a list of patterns that is not closed"))?;
        let text = self.between(1, end);
        self.skip(end + 1);
        out.character('*', false);
        let inner = self.nested_word(&text)?;
        // Which of the patterns is meant is not known; what they run is.
        let runs = |piece: &Piece| !matches!(piece, Piece::Text { .. });
        inner.pieces.into_iter().filter(runs).for_each(|piece| out.push(piece));
        Ok(())
    }
}

/// Whether the word may be a calculation: its signs belong there, its quotes and parentheses are closed.
fn may_count(word: &Word, is_loop: bool) -> bool {
    let belongs = |c: char| {
        c.is_ascii_alphanumeric() || " \t\n_+-*/%<>=!&|^~?:,()[]#@.\"$".contains(c) || (is_loop && c == ';')
    };
    let letters = |piece: &Piece| match piece {
        Piece::Text { text, .. } => text.clone(),
        Piece::Variable { .. } | Piece::Command { .. } | Piece::Arithmetic { .. } | Piece::Process { .. } => {
            String::new()
        }
    };
    let text: String = word.pieces.iter().map(letters).collect();
    let count = |sign: char| text.matches(sign).count();
    text.chars().all(belongs)
        && count('"') % 2 == 0
        && count('(') == count(')')
        && !word.pieces.iter().any(|piece| matches!(piece, Piece::Process { .. }))
}

/// Whether a `#` stands where a word would begin.
fn has_comment(text: &str) -> bool {
    let mut before = ' ';
    text.chars().any(|c| {
        let begins = c == '#' && matches!(before, ' ' | '\t' | '\n' | ';' | '&' | '|' | '(');
        before = c;
        begins
    })
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
