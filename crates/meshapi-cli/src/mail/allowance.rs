//! Pure: how much may run for the messages of one thread without a person saying so each time.

use serde::{Deserialize, Serialize};

/// Turns and tokens of one thread. What is used up stays used up: a new thread, or the user, begins afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Turns that its messages may start.
    #[serde(default = "turns")]
    pub turns: u32,
    /// Tokens of these turns together, prompts and completions.
    #[serde(default = "tokens")]
    pub tokens: u64,
}

/// Turns of a thread that is not told otherwise. Our choice: a question and a few that come of it. An agent of another program is
/// known to have answered one request 67 times.
const TURNS: u32 = 8;

/// Tokens of a thread that is not told otherwise. Our choice: turns in a repository of usual size, cached tokens included.
const TOKENS: u64 = 2_000_000;

/// Messages without a thread cannot be told apart, so those of one peer on one day count together, and get so much more.
pub const WITHOUT_THREAD: u32 = 10;

fn turns() -> u32 {
    TURNS
}

fn tokens() -> u64 {
    TOKENS
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance { turns: TURNS, tokens: TOKENS }
    }
}

/// What a thread has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Turns.
    pub turns: u32,
    /// Tokens.
    pub tokens: u64,
}

impl Allowance {
    /// For messages without a thread.
    #[must_use]
    pub fn without_thread(self) -> Allowance {
        let (turns, tokens) = (WITHOUT_THREAD, u64::from(WITHOUT_THREAD));
        Allowance { turns: self.turns.saturating_mul(turns), tokens: self.tokens.saturating_mul(tokens) }
    }

    /// The tokens that the next turn may use.
    ///
    /// # Errors
    /// Why there is none, in words for a person and for the sender.
    pub fn next(self, used: Used) -> Result<u64, String> {
        if used.turns >= self.turns {
            return Err(format!("this thread has had its {} turns without a person", self.turns));
        }
        match self.tokens.checked_sub(used.tokens).filter(|left| *left > 0) {
            Some(left) => Ok(left),
            None => Err(format!("this thread has used its {} tokens without a person", self.tokens)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_ends_by_turns_or_by_tokens() {
        let allowance = Allowance { turns: 2, tokens: 100 };
        assert_eq!(allowance.next(Used::default()), Ok(100));
        assert_eq!(allowance.next(Used { turns: 1, tokens: 99 }), Ok(1));
        assert!(allowance.next(Used { turns: 2, tokens: 0 }).unwrap_err().contains("2 turns"));
        assert!(allowance.next(Used { turns: 1, tokens: 100 }).unwrap_err().contains("100 tokens"));
        assert!(Allowance { turns: 0, tokens: 1 }.next(Used::default()).is_err());
        assert_eq!(allowance.without_thread(), Allowance { turns: 20, tokens: 1000 });
        assert_eq!(serde_json::from_str::<Allowance>(r#"{"turns": 3}"#).unwrap().tokens, TOKENS);
    }
}
