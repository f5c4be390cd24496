//! What this machine really enforces.

use serde::{Deserialize, Serialize};

/// How well commands are confined. A level is claimed only when it was seen to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing holds a command back.
    #[default]
    None,
    /// Linux without namespaces: files by Landlock and calls by seccomp. Settings inside a writable folder can be changed,
    /// and are put back afterwards.
    NoMounts,
    /// macOS: a seatbelt profile.
    Seatbelt,
    /// Linux with namespaces, a small root of its own, Landlock and seccomp.
    Full,
}

impl Level {
    /// The word for it, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::None => "none",
            Level::NoMounts => "no-mounts",
            Level::Seatbelt => "seatbelt",
            Level::Full => "full",
        }
    }
}
