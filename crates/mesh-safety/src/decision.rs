//! What a check says: allow, ask or block, with reasons a person can read.

use std::cmp::Ordering;

/// The verdict on one action. Ordered: the decision for a whole is the greatest of its parts.
///
/// Two decisions of one rank with different reasons are not comparable, so that comparing agrees with `==`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Decision {
    /// Runs without a question.
    #[default]
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

impl Decision {
    /// Returns an `Ask` because the mode asks for this tool as such.
    pub fn ask_by_mode(text: impl Into<String>) -> Decision {
        Decision::Ask(vec![Reason { source: ReasonSource::Mode, text: text.into() }])
    }

    /// Returns an `Ask` because a safety check raised a hand.
    pub fn ask_by_check(text: impl Into<String>) -> Decision {
        Decision::Ask(vec![Reason { source: ReasonSource::Check, text: text.into() }])
    }

    /// Returns a `Block` by a rule that the user wrote.
    pub fn block_by_rule(text: impl Into<String>) -> Decision {
        Decision::Block(vec![Reason { source: ReasonSource::Rule, text: text.into() }])
    }

    /// Returns the greater of two decisions with the reasons of both, each once and in order.
    ///
    /// ```
    /// use mesh_safety::Decision;
    /// let both = Decision::ask_by_check("a").join(Decision::Allow).join(Decision::ask_by_check("b"));
    /// assert!(!both.is_allow());
    /// assert_eq!(both.reasons().len(), 2);
    /// ```
    #[must_use]
    pub fn join(self, other: Decision) -> Decision {
        let block = matches!(self, Decision::Block(_)) || matches!(other, Decision::Block(_));
        let mut reasons = match (self, other) {
            (Decision::Allow, other) => return other,
            (this, Decision::Allow) => return this,
            (Decision::Ask(a) | Decision::Block(a), Decision::Ask(b) | Decision::Block(b)) => [a, b].concat(),
        };
        let mut seen = Vec::with_capacity(reasons.len());
        reasons.retain(|reason| !seen.contains(reason) && (seen.push(reason.clone()), true).1);
        if block { Decision::Block(reasons) } else { Decision::Ask(reasons) }
    }

    /// Says whether the action runs without a question.
    pub fn is_allow(&self) -> bool {
        matches!(self, Decision::Allow)
    }

    /// Returns the reasons; none for `Allow`.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Decision::Allow => &[],
            Decision::Ask(reasons) | Decision::Block(reasons) => reasons,
        }
    }

    /// Says whether a safety check, rather than the mode alone, raised a hand (seed 11.5 shows that apart).
    pub fn is_check(&self) -> bool {
        self.reasons().iter().any(|reason| reason.source == ReasonSource::Check)
    }

    fn rank(&self) -> u8 {
        match self {
            Decision::Allow => 0,
            Decision::Ask(_) => 1,
            Decision::Block(_) => 2,
        }
    }
}

impl PartialOrd for Decision {
    fn partial_cmp(&self, other: &Decision) -> Option<Ordering> {
        match self.rank().cmp(&other.rank()) {
            Ordering::Equal => (self == other).then_some(Ordering::Equal),
            unequal => Some(unequal),
        }
    }
}

impl FromIterator<Decision> for Decision {
    fn from_iter<T: IntoIterator<Item = Decision>>(parts: T) -> Decision {
        parts.into_iter().fold(Decision::Allow, Decision::join)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_part_decides_and_every_reason_stays() {
        let ask = || Decision::ask_by_check("writes outside the workspace");
        let mode = || Decision::ask_by_mode("run_bash asks in default mode");
        let block = || Decision::block_by_rule("deny: git push");
        assert_eq!([Decision::Allow, Decision::Allow].into_iter().collect::<Decision>(), Decision::Allow);
        assert_eq!(Decision::Allow.join(ask()), ask());
        assert_eq!(ask().join(ask()), ask());
        let all: Decision = [ask(), mode(), Decision::Allow, block()].into_iter().collect();
        assert!(matches!(all, Decision::Block(_)));
        let texts: Vec<_> = all.reasons().iter().map(|reason| reason.text.as_str()).collect();
        assert_eq!(texts, ["writes outside the workspace", "run_bash asks in default mode", "deny: git push"]);
        assert!(all.is_check() && !mode().is_check());
    }

    #[test]
    fn decisions_are_ordered_by_rank() {
        let (a, b) = (Decision::ask_by_check("a"), Decision::ask_by_check("b"));
        assert!(Decision::Allow < a && a < Decision::block_by_rule("c"));
        assert_eq!(a.partial_cmp(&b), None);
        assert!(a <= a.clone());
    }
}
