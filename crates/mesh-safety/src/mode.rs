//! The four permission modes, from asking about everything to asking only where a check raises a hand.

use serde::{Deserialize, Serialize};

/// How much runs without a question. From the seed, section 11.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionMode {
    /// Every tool but the plan asks.
    #[default]
    Default,
    /// Writes inside the workspace run.
    AcceptEdits,
    /// Writes inside the workspace and commands that pass the checks run.
    Auto,
    /// Everything that passes the checks runs.
    Bypass,
}
