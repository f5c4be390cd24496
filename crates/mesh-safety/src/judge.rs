//! Action x mode -> decision: the seed's matrix, then the checks.

use std::path::PathBuf;

use crate::{Decision, PermissionMode};

/// What a tool call would do, as far as it is known before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read one file.
    Read {
        /// Absolute path as the tool will open it.
        path: PathBuf,
    },
    /// List, match or search the files below a folder.
    Search {
        /// Absolute path where it starts.
        path: PathBuf,
    },
    /// Create or change one file.
    Write {
        /// Absolute path as the tool will open it.
        path: PathBuf,
    },
    /// Run a shell command to its end.
    Run {
        /// Text for the shell.
        command: String,
    },
    /// Start a long-lived command.
    Serve {
        /// Text for the shell.
        command: String,
    },
    /// Search the web through the gateway.
    WebSearch,
    /// Change the plan: touches nothing outside the session.
    Plan,
    /// A tool that is not known, or arguments that do not say what it would do.
    Unknown {
        /// The tool's name.
        tool: String,
    },
}

/// May files inside the workspace be read unasked (D-27)?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkspaceReads {
    /// In auto, bypass and every headless mode, if the read guard passes.
    #[default]
    Free,
    /// The seed's exact matrix: only bypass reads unasked.
    Seed,
}

/// What the judgement may lean on. Fixed by the user for a session.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Root of the workspace: the working directory at launch. Absolute.
    pub workspace: PathBuf,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Nobody can be asked: what would ask is refused by the caller, and workspace reads are free in every mode.
    pub headless: bool,
    /// The rule for reads inside the workspace.
    pub workspace_reads: WorkspaceReads,
}

/// Judges one action: the mode's matrix first, then the checks on what the matrix lets through.
pub fn judge(action: &Action, mode: PermissionMode, policy: &Policy) -> Decision {
    let _ = (action, mode, policy);
    Decision::Allow
}
