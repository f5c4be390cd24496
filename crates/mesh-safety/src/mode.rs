//! The four permission modes, from asking about everything to asking only where a check raises a hand.

use std::{fmt, str::FromStr};

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

/// A word that names no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown permission mode `{0}`; one of default, accept-edits, auto, bypass")]
pub struct UnknownMode(pub String);

impl PermissionMode {
    /// Every mode, in the order of the cycle (seed 11.1).
    pub const ALL: [PermissionMode; 4] = [Self::Default, Self::AcceptEdits, Self::Auto, Self::Bypass];

    /// Returns the mode that a word names: canonical names and the aliases of seed 11.3, any case, blanks around it ignored.
    ///
    /// ```
    /// use mesh_safety::PermissionMode;
    /// assert_eq!(PermissionMode::parse(" YOLO "), Some(PermissionMode::Bypass));
    /// assert_eq!(PermissionMode::parse("accept edits"), None);
    /// ```
    pub fn parse(word: &str) -> Option<PermissionMode> {
        match word.trim().to_lowercase().as_str() {
            "default" | "ask" | "blank" => Some(Self::Default),
            "accept-edits" | "accept_edits" | "edits" | "accept" => Some(Self::AcceptEdits),
            "auto" => Some(Self::Auto),
            "bypass" | "yolo" => Some(Self::Bypass),
            _ => None,
        }
    }

    /// Returns the canonical name, as flags and files spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::AcceptEdits => "accept-edits",
            Self::Auto => "auto",
            Self::Bypass => "bypass",
        }
    }

    /// Returns what the status line shows (seed 11.4); empty in the default mode.
    pub fn label(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::AcceptEdits => "accept edits on",
            Self::Auto => "auto mode on",
            Self::Bypass => "bypass permissions on",
        }
    }

    /// Returns the next mode of the cycle (seed 11.1).
    pub fn next(self) -> PermissionMode {
        match self {
            Self::Default => Self::AcceptEdits,
            Self::AcceptEdits => Self::Auto,
            Self::Auto => Self::Bypass,
            Self::Bypass => Self::Default,
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

    fn from_str(word: &str) -> Result<PermissionMode, UnknownMode> {
        PermissionMode::parse(word).ok_or_else(|| UnknownMode(word.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::PermissionMode::{self, AcceptEdits, Auto, Bypass, Default};

    #[test]
    fn words_name_modes() {
        for (word, want) in [
            ("default", Some(Default)),
            ("ask", Some(Default)),
            ("Blank", Some(Default)),
            ("accept_edits", Some(AcceptEdits)),
            (" edits\n", Some(AcceptEdits)),
            ("AUTO", Some(Auto)),
            ("yolo", Some(Bypass)),
            ("", None),
            ("plan", None),
        ] {
            assert_eq!(PermissionMode::parse(word), want, "{word}");
        }
    }

    #[test]
    fn the_cycle_visits_every_mode_once() {
        let mut mode = Default;
        for want in PermissionMode::ALL {
            assert_eq!(mode, want);
            assert_eq!(want.name().parse(), Ok(want));
            mode = mode.next();
        }
        assert_eq!(mode, Default);
    }

    #[test]
    fn files_spell_modes_by_their_name() {
        for mode in PermissionMode::ALL {
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("\"{mode}\""));
        }
        assert_eq!(
            "plan".parse::<PermissionMode>().unwrap_err().to_string(),
            "unknown permission mode `plan`; one of default, accept-edits, auto, bypass"
        );
    }
}
