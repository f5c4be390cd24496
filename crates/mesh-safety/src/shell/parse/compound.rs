//! Commands that hold other commands: groups, branches, loops, functions.

use super::{ParseError, Parser};
use crate::shell::ast::{Kind, Script};
use crate::shell::lex::{Place, is_meta};

impl Parser {
    pub(super) fn compound(&mut self) -> Result<Option<Kind>, ParseError> {
        if self.peek() == Some('(') {
            return self.parenthesis().map(Some);
        }
        if self.keyword("{") {
            let script = self.body(&["}"])?;
            self.need("}")?;
            return Ok(Some(Kind::Group(script)));
        }
        if self.keyword("if") {
            return self.conditional().map(Some);
        }
        if self.keyword("while") || self.keyword("until") {
            let condition = self.body(&["do"])?;
            let body = self.do_body()?;
            return Ok(Some(Kind::Loop { condition, body }));
        }
        if self.keyword("for") || self.keyword("select") {
            return self.for_loop().map(Some);
        }
        if self.keyword("case") {
            return self.case().map(Some);
        }
        if self.keyword("[[") {
            return self.double_bracket().map(Some);
        }
        if self.keyword("function") {
            self.blanks();
            let name = self.word(Place::Bare)?;
            if name.bare().is_none_or(|name| name.is_empty() || name.starts_with('#')) {
                return Err(ParseError("a function without a name"));
            }
            self.blanks();
            if self.peek() == Some('(') {
                self.skip(1);
                self.blanks();
                self.expect(')')?;
            }
            return self.function(name.bare().unwrap_or_default()).map(Some);
        }
        Ok(None)
    }

    pub(super) fn parenthesis(&mut self) -> Result<Kind, ParseError> {
        if self.peek_at(1) == Some('(') {
            // Bash would try it as commands next; whoever means that puts a blank between the two.
            let inner = self.arithmetic()?.ok_or(ParseError("a calculation that is not closed"))?;
            return Ok(Kind::Test(vec![inner]));
        }
        self.skip(1);
        let script = self.body(&[")"])?;
        self.expect(')')?;
        Ok(Kind::Subshell(script))
    }

    pub(super) fn conditional(&mut self) -> Result<Kind, ParseError> {
        let mut parts = vec![self.body(&["then"])?];
        self.need("then")?;
        loop {
            parts.push(self.body(&["elif", "else", "fi"])?);
            if self.keyword("elif") {
                parts.push(self.body(&["then"])?);
                self.need("then")?;
            } else if !self.keyword("else") {
                self.need("fi")?;
                return Ok(Kind::Branches(parts));
            }
        }
    }

    pub(super) fn do_body(&mut self) -> Result<Script, ParseError> {
        self.need("do")?;
        let body = self.body(&["done"])?;
        self.need("done")?;
        Ok(body)
    }

    pub(super) fn for_loop(&mut self) -> Result<Kind, ParseError> {
        self.blanks();
        if self.peek() == Some('(') && self.peek_at(1) == Some('(') {
            let head = self.loop_head()?;
            self.separator()?;
            let body = self.do_body()?;
            return Ok(Kind::For { name: "_".to_owned(), words: vec![head], body });
        }
        let name = self.word(Place::Bare)?.bare().unwrap_or_default().to_owned();
        let is_name = name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
            && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if !is_name {
            return Err(ParseError("a loop without a variable"));
        }
        self.blank_lines()?;
        let mut words = Vec::new();
        if self.keyword("in") {
            self.blanks();
            while self.peek().is_some_and(|c| !is_meta(c) || matches!(c, '<' | '(')) {
                if self.peek() == Some('#') {
                    self.comment();
                    break;
                }
                words.push(self.some_word()?);
                self.blanks();
            }
        }
        self.separator()?;
        let body = self.do_body()?;
        Ok(Kind::For { name, words, body })
    }

    pub(super) fn case(&mut self) -> Result<Kind, ParseError> {
        self.cases += 1;
        self.blanks();
        let word = self.some_word()?;
        self.need("in")?;
        let mut arms = Vec::new();
        loop {
            self.blank_lines()?;
            if self.keyword("esac") {
                return Ok(Kind::Case { word, arms });
            }
            if self.peek() == Some('(') {
                self.skip(1);
            }
            loop {
                self.blanks();
                let _pattern = self.some_word()?;
                self.blanks();
                if self.peek() != Some('|') {
                    break;
                }
                self.skip(1);
            }
            self.expect(')')?;
            arms.push(self.script(&[";;", "esac"])?);
            match (self.peek(), self.peek_at(1), self.peek_at(2)) {
                (Some(';'), Some(';'), Some('&')) => self.skip(3),
                (Some(';'), Some(';' | '&'), _) => self.skip(2),
                _ => self.need_here("esac")?,
            }
        }
    }

    pub(super) fn function(&mut self, name: &str) -> Result<Kind, ParseError> {
        self.blank_lines()?;
        if self.stands_at(&["!", "time"]) {
            return Err(ParseError("a function without a body"));
        }
        let body = Box::new(self.command()?);
        if matches!(body.kind, Kind::Simple { .. }) {
            return Err(ParseError("a function without a body"));
        }
        Ok(Kind::Function { name: name.to_owned(), body })
    }
}
