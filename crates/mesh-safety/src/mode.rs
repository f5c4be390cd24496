//! The four permission modes, from asking about everything to asking only where a check raises a hand.

use std::fmt;
use std::str::FromStr;

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

impl PermissionMode {
    /// Every mode, in the order of the key that cycles through them (seed 11.1).
    pub const ALL: [PermissionMode; 4] =
        [PermissionMode::Default, PermissionMode::AcceptEdits, PermissionMode::Auto, PermissionMode::Bypass];

    /// Returns the mode that a person named; blanks around and case do not count.
    ///
    /// The aliases are those of `/mode` (seed 11.3). `None` when no mode has this name.
    pub fn parse(text: &str) -> Option<PermissionMode> {
        match text.trim().to_lowercase().as_str() {
            "default" | "ask" | "blank" => Some(PermissionMode::Default),
            "accept-edits" | "accept_edits" | "edits" | "accept" => Some(PermissionMode::AcceptEdits),
            "auto" => Some(PermissionMode::Auto),
            "bypass" | "yolo" => Some(PermissionMode::Bypass),
            _ => None,
        }
    }

    /// Returns the name as it stands in settings and options.
    pub const fn name(self) -> &'static str {
        match self {
            PermissionMode::Default => "default",
            PermissionMode::AcceptEdits => "accept-edits",
            PermissionMode::Auto => "auto",
            PermissionMode::Bypass => "bypass",
        }
    }

    /// Returns what the status line shows; empty in the default mode (seed 11.4).
    pub const fn label(self) -> &'static str {
        match self {
            PermissionMode::Default => "",
            PermissionMode::AcceptEdits => "accept edits on",
            PermissionMode::Auto => "auto mode on",
            PermissionMode::Bypass => "bypass permissions on",
        }
    }

    /// Returns the mode after this one in the cycle.
    #[must_use]
    pub const fn next(self) -> PermissionMode {
        match self {
            PermissionMode::Default => PermissionMode::AcceptEdits,
            PermissionMode::AcceptEdits => PermissionMode::Auto,
            PermissionMode::Auto => PermissionMode::Bypass,
            PermissionMode::Bypass => PermissionMode::Default,
        }
    }
}

impl fmt::Display for PermissionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PermissionMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<PermissionMode, UnknownMode> {
        PermissionMode::parse(text).ok_or_else(|| UnknownMode { name: text.to_owned() })
    }
}

/// No mode has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no permission mode is called `{name}`; there are default, accept-edits, auto and bypass")]
pub struct UnknownMode {
    /// What was written.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_name_their_mode() {
        for (text, want) in [
            ("default", Some(PermissionMode::Default)),
            ("ask", Some(PermissionMode::Default)),
            ("blank", Some(PermissionMode::Default)),
            ("accept_edits", Some(PermissionMode::AcceptEdits)),
            ("Accept-Edits", Some(PermissionMode::AcceptEdits)),
            ("edits", Some(PermissionMode::AcceptEdits)),
            (" Auto ", Some(PermissionMode::Auto)),
            ("yolo", Some(PermissionMode::Bypass)),
            ("accept edits", None),
            ("", None),
            ("plan", None),
        ] {
            assert_eq!(PermissionMode::parse(text), want, "{text}");
        }
    }

    #[test]
    fn names_parse_back_and_the_cycle_closes() {
        for mode in PermissionMode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(mode.next().next().next().next(), mode);
        }
        assert!("sudo".parse::<PermissionMode>().is_err());
        assert_eq!(format!("{:>8}", PermissionMode::Auto), "    auto");
    }
}
