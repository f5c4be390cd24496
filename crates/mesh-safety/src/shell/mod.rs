//! Shell commands: parsed, walked, and judged by what each program would read, write, run and send (seed 14.6, D-28).
//!
//! The judgement asks whenever it does not understand; it is no boundary against a hostile text, which only a sandbox is.
//!
//! - `ast`, `lex`, `parse`: text to syntax tree
//! - `expand`, `flow`, `variables`: what is known of words, pipes and variables
//! - `walk`: every command, in order
//! - `offer`: the rule that a person could make of a command
//! - `programs`: the tables of programs and their rules
//! - `readers`: two other parsers that read along

mod ast;
mod expand;
mod flow;
mod git_setup;
mod lex;
mod offer;
mod parse;
mod programs;
#[cfg(feature = "readers")]
mod readers;
mod variables;
mod walk;

pub use git_setup::sets_up_git;
pub use offer::rule_for;
pub(crate) use walk::Judged;

use crate::path::{Guard, Scope, is_invisible};
use crate::{Confined, Decision, PermissionMode, Policy, ReasonSource};

/// Longest text that is judged, in bytes. From spec/safety.md 5.3: 64 KiB; what is longer asks.
const MAX_BYTES: usize = 64 * 1024;

/// Blanks in a row that push the rest of a command out of sight. From spec/safety.md 5.3.
const MAX_BLANKS: usize = 200;

/// Judges a text that a shell would run: asks when any command in it could do harm, or when it is not understood.
///
/// The mode decides how far files may be written: in bypass everywhere that no table names, else inside the workspace and in
/// folders for scratch files. Whether commands run at all is the matrix's matter.
///
/// ```
/// use mesh_safety::{PermissionMode, Policy, judge_command};
/// let policy = Policy { workspace: "/repo".into(), ..Policy::default() };
/// let judge = |text| judge_command(text, PermissionMode::Auto, &policy);
/// assert!(judge("cargo test 2>&1 | tee test.log").is_allow());
/// assert!(judge("echo 'never run sudo'").is_allow());
/// assert!(!judge("sudo make install").is_allow());
/// ```
pub fn judge_command(text: &str, mode: PermissionMode, policy: &Policy) -> Decision {
    judged(text, mode, policy).decision
}

/// The same, and whether rules of the user cover all of it.
pub(crate) fn judged(text: &str, mode: PermissionMode, policy: &Policy) -> Judged {
    let refused = |reason| Judged {
        decision: Decision::ask_by_check(reason),
        is_covered: false,
        reaches_out: true,
        fetches: false,
        reads_private: true,
    };
    if text.trim().is_empty() {
        return refused("empty command");
    }
    if let Some(reason) = unreadable(text) {
        return refused(reason);
    }
    let guard = Guard::new(policy);
    let scope = match mode {
        PermissionMode::Bypass => Scope::Anywhere,
        PermissionMode::Default | PermissionMode::AcceptEdits | PermissionMode::Auto => {
            if policy.confined == Confined::Fully { Scope::Confined } else { Scope::WorkspaceAndScratch }
        }
    };
    let mut walk = walk::Walk::new(policy, &guard, scope);
    walk.text(&text.replace("\r\n", "\n"), &flow::Flow::default());
    #[cfg(feature = "readers")]
    walk.read_again();
    walk.into_judged()
}

/// Whether the only rule of the policy is met by a program in the text.
pub(crate) fn meets_rule(text: &str, policy: &Policy) -> bool {
    let judged = judged(text, PermissionMode::Auto, policy);
    let is_told = judged.decision.reasons().iter().any(|reason| reason.source == ReasonSource::Rule);
    judged.is_covered || is_told
}

/// Why a person could not read the text as the shell does.
fn unreadable(text: &str) -> Option<&'static str> {
    if text.len() > MAX_BYTES {
        return Some("the command is too long to judge");
    }
    if text.replace("\r\n", "\n").chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Some("the command holds control characters");
    }
    if text.chars().any(is_invisible) {
        return Some("the command holds invisible characters");
    }
    let mut blanks = 0;
    let padded = text.chars().any(|c| {
        blanks = if c.is_whitespace() { blanks + 1 } else { 0 };
        blanks > MAX_BLANKS
    });
    padded.then_some("the command is padded with blanks that push a part out of sight")
}

#[cfg(test)]
mod tests;
