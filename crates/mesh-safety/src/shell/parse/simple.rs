//! A program with its words, assignments and redirections.

use super::{ParseError, Parser};
use crate::shell::ast::{Assign, Command, Kind, Redirect, RedirectKind, Word};
use crate::shell::lex::{Place, is_meta};

/// Words that only mean something to the shell; as the name of a program none of them parses.
const RESERVED: [&str; 9] = ["then", "else", "elif", "fi", "do", "done", "esac", "in", "}"];

/// Digits of a descriptor: what is longer bash takes for a word, and other shells for a number that they cannot hold.
const MAX_DESCRIPTOR_DIGITS: usize = 9;

impl Parser {
    /// A word that must be there.
    pub(super) fn some_word(&mut self) -> Result<Word, ParseError> {
        if self.peek() == Some('#') {
            return Err(ParseError("a comment where a word belongs"));
        }
        let word = self.word(Place::Bare)?;
        if word.pieces.is_empty() { Err(ParseError("an operator where a word belongs")) } else { Ok(word) }
    }

    pub(super) fn simple(&mut self) -> Result<Command, ParseError> {
        let (mut assigns, mut words, mut redirects) = (Vec::new(), Vec::<Word>::new(), Vec::new());
        loop {
            self.blanks();
            if self.redirect(&mut redirects)? {
                continue;
            }
            match self.peek() {
                None => break,
                Some('#') => {
                    self.comment();
                    break;
                }
                Some('(') => {
                    // `name()` defines a function.
                    let name = words.last().and_then(Word::bare).map(str::to_owned);
                    let (Some(name), true) = (name, words.len() == 1 && assigns.is_empty()) else {
                        return Err(ParseError("a parenthesis where none belongs"));
                    };
                    self.skip(1);
                    self.blanks();
                    self.expect(')')?;
                    let kind = self.function(&name)?;
                    return Ok(Command { kind, redirects });
                }
                Some('<' | '>') if self.peek_at(1) == Some('(') => {}
                Some(c) if is_meta(c) => break,
                Some(_) => {}
            }
            if words.is_empty()
                && let Some(assign) = self.assign()?
            {
                assigns.push(assign);
                continue;
            }
            words.push(self.some_word()?);
        }
        if assigns.is_empty() && words.is_empty() && redirects.is_empty() {
            return Err(ParseError("an operator where a command belongs"));
        }
        let first = words.first().and_then(Word::bare).filter(|_| assigns.is_empty());
        if first.is_some_and(|word| RESERVED.contains(&word)) {
            return Err(ParseError("a word of the shell's own where a command belongs"));
        }
        Ok(Command { kind: Kind::Simple { assigns, words }, redirects })
    }

    pub(super) fn assign(&mut self) -> Result<Option<Assign>, ParseError> {
        let start = self.at;
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| *c == '_' || c.is_ascii_alphanumeric()) {
            name.push(c);
            self.skip(1);
        }
        if self.peek() == Some('[') && !name.is_empty() {
            while self.peek().is_some_and(|c| c != ']' && !is_meta(c)) {
                self.skip(1);
            }
            // Bash reads on to the bracket, over blanks and signs.
            self.expect(']')?;
        }
        let append = self.peek() == Some('+');
        if append {
            self.skip(1);
        }
        let named = name.chars().next().is_some_and(|c| !c.is_ascii_digit());
        if !named || self.peek() != Some('=') {
            self.at = start;
            return Ok(None);
        }
        self.skip(1);
        if self.peek() != Some('(') {
            return Ok(Some(Assign { name, append, values: vec![self.word(Place::Bare)?] }));
        }
        self.skip(1);
        let mut values = Vec::new();
        loop {
            self.blank_lines()?;
            if self.peek() == Some(')') {
                self.skip(1);
                return Ok(Some(Assign { name, append, values }));
            }
            values.push(self.some_word()?);
        }
    }

    /// Reads a redirection if one stands here.
    pub(super) fn redirect(&mut self, out: &mut Vec<Redirect>) -> Result<bool, ParseError> {
        self.blanks();
        let start = self.at;
        if self.peek() == Some('{') {
            // `{fd}>file` names a descriptor by a variable.
            let close = (1..)
                .take_while(|&i| self.peek_at(i).is_some_and(|c| c == '_' || c.is_ascii_alphanumeric()))
                .count();
            if self.peek_at(close + 1) == Some('}') && matches!(self.peek_at(close + 2), Some('<' | '>')) {
                self.skip(close + 2);
            }
        }
        let digits =
            (0..).take_while(|&ahead| self.peek_at(ahead).is_some_and(|c| c.is_ascii_digit())).count();
        self.skip(digits);
        if self.peek() == Some('&') && self.peek_at(1) == Some('>') && self.at == start {
            let after = if self.peek_at(2) == Some('>') { 3 } else { 2 };
            if matches!(self.peek_at(after), Some('&' | '|' | '<' | '>' | '(')) {
                return Err(ParseError("a redirection without a target"));
            }
            self.skip(1);
        }
        let operator: String =
            self.chars[self.at..].iter().take(3).take_while(|c| "<>&|-".contains(**c)).collect();
        let process = operator.len() == 1 && self.peek_at(1) == Some('(');
        let known = ["<<<", "<<-", "<<", ">>", ">|", ">&", "<&", "<>", "<", ">"];
        let Some(found) = known.iter().find(|known| operator.starts_with(**known)).filter(|_| !process)
        else {
            self.at = start;
            return Ok(false);
        };
        if digits > MAX_DESCRIPTOR_DIGITS {
            return Err(ParseError("a descriptor that no process has"));
        }
        self.skip(found.len());
        self.blanks();
        let target = self.some_word()?;
        let is_number = target.bare().is_some_and(|text| text.bytes().all(|b| b.is_ascii_digit()));
        if is_number && matches!(self.peek(), Some('<' | '>')) && self.peek_at(1) != Some('(') {
            let is_file = !matches!(*found, ">&" | "<&");
            if is_file {
                return Err(ParseError("a redirection without a target"));
            }
        }
        let kind = match *found {
            "<" => RedirectKind::Read,
            "<<<" => RedirectKind::Text,
            ">&" | "<&" => RedirectKind::Duplicate,
            "<<" | "<<-" => {
                out.push(self.announce(&target, *found == "<<-")?);
                return Ok(true);
            }
            _ => RedirectKind::Write,
        };
        out.push(Redirect { kind, target });
        Ok(true)
    }
}
