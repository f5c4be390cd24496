//! What a check says: allow, ask or block, with reasons a person can read.

use crate::rules::{Effect, Rule};

/// The verdict on one action. Ordered: the decision for a whole is the greatest of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Runs without a question.
    Allow,
    /// A person decides; the reasons are shown to them.
    Ask(Vec<Reason>),
    /// Does not run. Only headless, and for the user's own deny rules.
    Block(Vec<Reason>),
}

/// Why a decision is not `Allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Who raised the hand.
    pub source: ReasonSource,
    /// One line for a person: names the program, the operand, the rule.
    pub text: String,
    /// How much is at stake.
    pub severity: Severity,
}

/// How much is at stake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A look and a key are enough.
    #[default]
    Usual,
    /// What is done cannot be undone or reaches far: a person types a word, and no rule of theirs says yes for them.
    Top,
}

/// What kind of rule gave a [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonSource {
    /// The permission mode asks for this tool as such.
    Mode,
    /// A safety check stopped what the mode would have allowed.
    Check,
    /// A rule that the user wrote.
    Rule,
}

impl Reason {
    /// A reason of the usual severity.
    pub fn new(source: ReasonSource, text: impl Into<String>) -> Reason {
        Reason { source, text: text.into(), severity: Severity::Usual }
    }
}

/// A rule of the user in a reason.
pub(crate) fn rule_text(rule: &Rule) -> String {
    format!("your rule: {} `{}`", rule.effect().as_str(), rule.text())
}

impl Decision {
    /// Asks because the permission mode asks for this tool as such.
    pub fn ask_by_mode(text: impl Into<String>) -> Decision {
        Decision::Ask(vec![Reason::new(ReasonSource::Mode, text)])
    }

    /// Asks because a check stopped what the mode would have let through.
    pub fn ask_by_check(text: impl Into<String>) -> Decision {
        Decision::Ask(vec![Reason::new(ReasonSource::Check, text)])
    }

    /// Refuses because a rule of the user says so.
    pub fn block_by_rule(text: impl Into<String>) -> Decision {
        Decision::Block(vec![Reason::new(ReasonSource::Rule, text)])
    }

    /// What a rule of the user says.
    pub fn by_rule(rule: &Rule) -> Decision {
        match rule.effect() {
            Effect::Allow => Decision::Allow,
            Effect::Ask => Decision::Ask(vec![Reason::new(ReasonSource::Rule, rule_text(rule))]),
            Effect::Deny => Decision::block_by_rule(rule_text(rule)),
        }
    }

    /// Returns the decision for both parts: the greater of the two, with the reasons of both, each once.
    #[must_use]
    pub fn join(self, other: Decision) -> Decision {
        let blocks = matches!(self, Decision::Block(_)) || matches!(other, Decision::Block(_));
        let mut reasons = self.into_reasons();
        for reason in other.into_reasons() {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        match (blocks, reasons.is_empty()) {
            (true, _) => Decision::Block(reasons),
            (false, true) => Decision::Allow,
            (false, false) => Decision::Ask(reasons),
        }
    }

    /// Returns whether the action runs without a question.
    pub fn is_allow(&self) -> bool {
        matches!(self, Decision::Allow)
    }

    /// Returns whether a safety check is among the reasons: the one-line warning of seed 11.5 is due.
    pub fn is_check(&self) -> bool {
        self.reasons().iter().any(|reason| reason.source == ReasonSource::Check)
    }

    /// Returns the greatest severity among the reasons.
    pub fn severity(&self) -> Severity {
        self.reasons().iter().map(|reason| reason.severity).max().unwrap_or_default()
    }

    /// Returns why the decision is not `Allow`; empty when it is.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Decision::Allow => &[],
            Decision::Ask(reasons) | Decision::Block(reasons) => reasons,
        }
    }

    fn into_reasons(self) -> Vec<Reason> {
        match self {
            Decision::Allow => Vec::new(),
            Decision::Ask(reasons) | Decision::Block(reasons) => reasons,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_the_greatest_of_its_parts() {
        let ask = || Decision::ask_by_check("a");
        let block = || Decision::block_by_rule("b");
        assert_eq!(Decision::Allow.join(Decision::Allow), Decision::Allow);
        assert_eq!(Decision::Allow.join(ask()), ask());
        assert_eq!(ask().join(ask()), ask());
        assert!(matches!(ask().join(block()), Decision::Block(reasons) if reasons.len() == 2));
        assert!(matches!(block().join(Decision::Allow), Decision::Block(_)));
    }

    #[test]
    fn a_check_is_told_from_the_mode() {
        assert!(Decision::ask_by_check("x").is_check());
        assert!(!Decision::ask_by_mode("x").is_check());
        assert!(Decision::ask_by_mode("x").join(Decision::ask_by_check("y")).is_check());
        assert!(Decision::Allow.is_allow() && Decision::Allow.reasons().is_empty());
    }
}
