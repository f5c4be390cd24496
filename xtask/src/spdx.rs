//! SPDX licence expressions: `MIT OR Apache-2.0`, `(A AND B) OR C`, `A WITH E`, and the old `A/B`.

use anyhow::{Result, bail};

/// What a licence expression comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A choice can be made under which everything is allowed.
    Allowed,
    /// No choice is allowed; these are the licences that stand in the way.
    Refused(Vec<String>),
}

/// Judges an expression by a rule for single licences, which are given as `ID` or `ID WITH EXCEPTION`.
///
/// # Errors
/// For a text that is no expression.
pub(crate) fn judge(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> Result<Verdict> {
    let mut parser = Parser { tokens: tokens(expression), is_allowed };
    let verdict = parser.choice()?;
    match parser.tokens.last() {
        None => Ok(verdict),
        Some(token) => bail!("`{token}` is too much in the licence `{expression}`"),
    }
}

/// The words, parentheses and slashes, last first, so that the next one can be popped.
fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().rev().map(str::to_owned).collect()
}

struct Parser<'a> {
    tokens: Vec<String>,
    is_allowed: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    /// `all (OR all)*`: one good side is enough.
    fn choice(&mut self) -> Result<Verdict> {
        let mut verdict = self.all()?;
        while self.take("OR") {
            verdict = match (verdict, self.all()?) {
                (Verdict::Refused(mut left), Verdict::Refused(right)) => {
                    left.extend(right);
                    Verdict::Refused(left)
                }
                _ => Verdict::Allowed,
            };
        }
        Ok(verdict)
    }

    /// `one (AND one)*`: every side has to be good.
    fn all(&mut self) -> Result<Verdict> {
        let mut verdict = self.one()?;
        while self.take("AND") {
            verdict = match (verdict, self.one()?) {
                (Verdict::Allowed, right) => right,
                (left, Verdict::Allowed) => left,
                (Verdict::Refused(mut left), Verdict::Refused(right)) => {
                    left.extend(right);
                    Verdict::Refused(left)
                }
            };
        }
        Ok(verdict)
    }

    /// `( choice )`, `ID` or `ID WITH EXCEPTION`.
    fn one(&mut self) -> Result<Verdict> {
        if self.take("(") {
            let verdict = self.choice()?;
            if !self.take(")") {
                bail!("a parenthesis is not closed in a licence");
            }
            return Ok(verdict);
        }
        let mut licence = self.word()?;
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.word()?);
        }
        Ok(if (self.is_allowed)(&licence) { Verdict::Allowed } else { Verdict::Refused(vec![licence]) })
    }

    fn word(&mut self) -> Result<String> {
        match self.tokens.pop() {
            Some(word) if !["OR", "AND", "WITH", "(", ")"].contains(&word.to_uppercase().as_str()) => {
                Ok(word)
            }
            Some(other) => bail!("`{other}` stands in place of a licence"),
            None => bail!("a licence expression ends too early"),
        }
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_next = self.tokens.last().is_some_and(|token| token.eq_ignore_ascii_case(wanted));
        if is_next {
            self.tokens.pop();
        }
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: [&str; 3] = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];

    fn judged(expression: &str) -> Result<Verdict> {
        judge(expression, &|licence| ALLOWED.contains(&licence))
    }

    #[track_caller]
    fn refused(expression: &str, want: &[&str]) {
        let want = want.iter().map(|&licence| licence.to_owned()).collect();
        assert_eq!(judged(expression).unwrap(), Verdict::Refused(want), "{expression}");
    }

    #[test]
    fn a_choice_needs_one_good_side_and_a_sum_all() {
        for expression in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-3.0-only OR MIT",
            "GPL-3.0-only/MIT",
            "GPL-3.0-only / MIT",
            "MIT AND Apache-2.0",
            "(MIT OR GPL-3.0-only) AND Apache-2.0",
            "((MIT))",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
            "MIT or Apache-2.0",
            // AND binds closer than OR.
            "MIT OR GPL-3.0-only AND GPL-2.0-only",
        ] {
            assert_eq!(judged(expression).unwrap(), Verdict::Allowed, "{expression}");
        }
        refused("GPL-3.0-only", &["GPL-3.0-only"]);
        refused("MIT AND GPL-3.0-only", &["GPL-3.0-only"]);
        refused("A AND B OR C", &["A", "B", "C"]);
        refused("MIT AND (A OR B)", &["A", "B"]);
        refused("MIT WITH LLVM-exception", &["MIT WITH LLVM-exception"]);
        refused("MIT+", &["MIT+"]);
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for expression in
            ["", "OR", "MIT OR", "MIT MIT", "(MIT", "MIT)", "()", "MIT WITH", "AND MIT", "MIT WITH OR"]
        {
            assert!(judged(expression).is_err(), "{expression}");
        }
    }
}
