//! What `[[ … ]]` tests: one word, an operator with its words, and these joined. Only the substitutions in it run anything.

use super::{ParseError, Parser};
use crate::shell::ast::{Kind, Word};

const NO_TEST: ParseError = ParseError("a test that is not understood");

/// Operators between two words; `<` and `>` are signs of the shell and read apart.
const BETWEEN: [&str; 13] =
    ["=", "==", "!=", "=~", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef"];

/// Letters of the operators before one word. From the manual of bash 5.2.
const BEFORE: &str = "abcdefghknoprstuvwxzGLNORS";

impl Parser {
    /// After `[[`, past `]]`.
    pub(super) fn double_bracket(&mut self) -> Result<Kind, ParseError> {
        let before = std::mem::replace(&mut self.has_pattern_lists, true);
        let mut words = Vec::new();
        self.any_of(&mut words)?;
        self.has_pattern_lists = before;
        self.need("]]")?;
        Ok(Kind::Test(words))
    }

    /// Conditions with `||` and `&&` between them: which binds first makes no difference to what may run.
    fn any_of(&mut self, words: &mut Vec<Word>) -> Result<(), ParseError> {
        self.deeper()?;
        loop {
            self.one_of(words)?;
            self.blank_lines()?;
            match (self.peek(), self.peek_at(1)) {
                (Some('&'), Some('&')) | (Some('|'), Some('|')) => self.skip(2),
                _ => break,
            }
        }
        self.shallower();
        Ok(())
    }

    fn one_of(&mut self, words: &mut Vec<Word>) -> Result<(), ParseError> {
        self.blank_lines()?;
        let mut negations = 0;
        while self.keyword("!") {
            negations += 1;
            self.reaches(negations)?;
            self.blank_lines()?;
        }
        if self.peek() == Some('(') {
            self.skip(1);
            self.any_of(words)?;
            return self.expect(')');
        }
        let first = self.operand()?;
        let is_before = first.bare().is_some_and(is_before_one);
        words.push(first);
        self.blanks();
        if is_before {
            words.push(self.operand()?);
            return Ok(());
        }
        self.second(words)
    }

    /// An operator between two words and the second of them, if one stands here.
    fn second(&mut self, words: &mut Vec<Word>) -> Result<(), ParseError> {
        if self.is_at_end() {
            return Ok(());
        }
        if matches!(self.peek(), Some('<' | '>')) {
            self.skip(1);
            self.blanks();
            words.push(self.operand()?);
            return Ok(());
        }
        if !self.is_between() {
            return Err(NO_TEST);
        }
        let is_expression = self.stands_at(&["=~"]);
        let _operator = self.some_word()?;
        self.blanks();
        if is_expression {
            return self.expression(words);
        }
        words.push(self.operand()?);
        Ok(())
    }

    fn operand(&mut self) -> Result<Word, ParseError> {
        if self.stands_at(&["]]"]) {
            return Err(NO_TEST);
        }
        self.some_word()
    }

    /// A regular expression: parentheses and bars are its own, and blanks inside parentheses.
    fn expression(&mut self, words: &mut Vec<Word>) -> Result<(), ParseError> {
        let (mut depth, start) = (0usize, self.at);
        loop {
            match self.peek() {
                Some('(') => {
                    depth += 1;
                    self.reaches(depth)?;
                    self.skip(1);
                }
                Some(')') if depth > 0 => {
                    depth -= 1;
                    self.skip(1);
                }
                Some('|') if depth > 0 || self.peek_at(1) != Some('|') => self.skip(1),
                Some(' ' | '\t') if depth > 0 => self.skip(1),
                None | Some(' ' | '\t' | '\n' | ')' | ';' | '&' | '|' | '<' | '>') => break,
                Some('#') => self.skip(1),
                Some(_) => words.push(self.some_word()?),
            }
        }
        if depth > 0 || self.at == start { Err(NO_TEST) } else { Ok(()) }
    }

    /// Whether the condition ends here: by `]]`, by a parenthesis, or because another follows.
    fn is_at_end(&self) -> bool {
        self.stands_at(&["]]"]) || matches!(self.peek(), None | Some(')' | '&' | '|' | '\n'))
    }

    fn is_between(&self) -> bool {
        matches!(self.peek(), Some('<' | '>')) || self.stands_at(&BETWEEN)
    }
}

fn is_before_one(word: &str) -> bool {
    let letter = word.strip_prefix('-').filter(|letter| letter.len() == 1);
    letter.is_some_and(|letter| BEFORE.contains(letter))
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn conditions_are_read_as_bash_reads_them() {
        for text in [
            "[[ a ]]",
            "[[ -n a && ! -f b || ( c == d ) ]]",
            "[[ a =~ ^(x|y)$ ]]",
            "[[ a =~ (a b)|c ]] && ls",
            "[[ a < b ]]",
            "[[ a &&\n b ]]",
            "[[\na ]]",
            "[[ a == @(x|y) ]]",
            "[[ -v a ]]",
            "[[ 1 -eq 2\n]]",
            "[[ !a ]]",
            "[[ (a) ]]",
            "[[ x == *\"a b\"* ]]",
            "[[ x =~ [[:space:]]+# ]]",
            "[[ x =~ \\.(py|rs)$ ]]",
            "[[ -n $(ls)x ]]",
            "if [[ $a =~ $b ]]; then ls; fi",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in [
            "[[ a b ]]",
            "[[ -n ]]",
            "[[ ]]",
            "[[ -f == b ]]",
            "[[ -q a ]]",
            "[[ a -foo b ]]",
            "[[ a\n&& b ]] c",
            "[[ a = (x) ]]",
            "[[ a = b c ]]",
            "[[ -f a -a -f b ]]",
            "[[ x =~ a b ]]",
            "[[ x =~ (a ]]",
            "[[ -n $(ls)) ]]",
            "[[ a ]] b",
            "[[ a",
            "[[ a; ]]",
            "[[ a | b ]]",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
