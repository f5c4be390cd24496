//! A cap on the completion, where the client set none.

use serde_json::Value;

use super::{Lever, Work};
use crate::classify::TaskClass;
use crate::dialect::Dialect;

/// Fields by which a client caps the completion itself. The originals know only the first (T4).
const OWN_CAPS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// How long a completion may be, in tokens, by the class of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// For routine and standard tasks.
    pub short: u64,
    /// For complex and agentic tasks.
    pub long: u64,
}

impl Caps {
    /// The TypeScript package's and meshapi-code 0.4.5's. They cut real answers short.
    pub const EARLY: Caps = Caps { short: 1024, long: 4096 };
    /// meshapi-code 0.5.10's.
    pub const LATER: Caps = Caps { short: 4096, long: 8192 };

    /// Returns the newest table of the original that counts in `dialect`.
    pub fn newest(dialect: Dialect) -> Caps {
        match dialect {
            Dialect::Utf16 => Caps::EARLY,
            Dialect::CodePoints => Caps::LATER,
        }
    }

    /// Returns the cap for a class.
    pub fn of(self, class: TaskClass) -> u64 {
        match class {
            TaskClass::Routine | TaskClass::Standard => self.short,
            TaskClass::Complex | TaskClass::Agentic => self.long,
        }
    }
}

/// A completion must be allowed more than the model may think (T4): below the budget for that, no cap is set.
pub(super) fn apply(work: &mut Work<'_>) {
    if OWN_CAPS.iter().any(|field| work.request.contains_key(*field)) {
        return;
    }
    let (class, cap) = (work.plan.class, work.caps.of(work.plan.class));
    let thinking = work.request.get("thinking").and_then(|thinking| thinking.get("budget_tokens"));
    if thinking.and_then(Value::as_f64).is_some_and(|budget| budget >= cap as f64) {
        return;
    }
    work.request.insert("max_tokens".to_owned(), cap.into());
    let set = match work.dialect {
        Dialect::Utf16 => "set ",
        Dialect::CodePoints => "",
    };
    work.plan.levers.push(Lever::MaxTokensDefault);
    work.plan.note(Lever::MaxTokensDefault, format!("{set}max_tokens={cap} for {class} task"));
}
