//! What is told about a confined command.

use serde::{Deserialize, Serialize};

use super::{Denial, Level};

/// The hidden first argument of our own binary that makes it the helper.
pub(super) const HELPER: &str = "__sandbox";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// It did not run: there is no such program.
    NotFound,
    /// It did not run: the program cannot be executed.
    NotExecutable,
}

/// What is told about a confined command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it was confined.
    pub level: Level,
    /// How it ended.
    pub end: End,
    /// Something that it had started was still running, and was ended with it.
    pub left_running: bool,
    /// What the user should know: what was put aside, what could not be watched.
    pub notes: Vec<String>,
    /// Hosts that were asked for and are not on the list.
    #[serde(default)]
    pub denials: Vec<Denial>,
}

impl End {
    /// The exit code as shells have it.
    pub fn code(self) -> i32 {
        match self {
            End::Exited(code) => code,
            End::Signaled(signal) => 128 + signal,
            End::NotFound => 127,
            End::NotExecutable => 126,
        }
    }
}
