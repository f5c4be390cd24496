//! Why a command could not be confined, and what to do. It is never run instead.

use std::{io, path::PathBuf};

/// A command that was not run, because it could not be confined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A writable folder is not there.
    #[error("`{}` cannot be made writable in the sandbox", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A writable folder would be most of the machine.
    #[error("`{}` as a writable folder would confine nothing; name a folder below it", path.display())]
    TooWide {
        /// The folder.
        path: PathBuf,
    },
    /// A step of the set-up failed.
    #[error("the sandbox could not be set up: {step}; nothing was run")]
    Step {
        /// What was tried, on what.
        step: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// This machine has nothing that could confine a command.
    #[error("no sandbox on this machine: {missing}; `--no-sandbox` runs commands unconfined")]
    Unavailable {
        /// What it lacks.
        missing: String,
    },
    /// The helper was given no job, or one that cannot be read.
    #[error("the sandbox helper got no job that it can read")]
    Job(#[source] serde_json::Error),
}

/// Names the step that failed.
pub(crate) trait Step<T> {
    /// The value, or an error that says what was being done.
    fn step(self, what: impl FnOnce() -> String) -> Result<T, SandboxError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, SandboxError> {
        self.map_err(|error| SandboxError::Step { step: what(), source: error.into() })
    }
}

impl SandboxError {
    /// The message with its cause, as one line.
    pub fn line(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self} ({source})"),
            None => self.to_string(),
        }
    }
}
