//! What a check says: allow, ask or block, with reasons a person can read.

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
