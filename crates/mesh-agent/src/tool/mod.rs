//! The seam between the turn and what it can do: one trait, its inputs and its output.

pub mod args;
mod check;
mod lenient;
mod line;
pub mod output;
mod registry;

use std::{future::Future, path::PathBuf, pin::Pin, sync::Arc};

use mesh_safety::{
    Action, Origin, Sighting,
    sandbox::{Denial, Grant, Sandbox},
};
use serde_json::{Map, Value};

use crate::builtin::RunningServer;

pub use line::CallLine;
pub use registry::{ToolSet, ToolSetBuilder, ToolSetError};

/// Arguments of a tool call: a JSON object, already parsed and repaired by `tool/args.rs`.
pub type Args = Map<String, Value>;

/// A boxed future that may borrow from the tool, the arguments and the context.
pub type ToolFuture<'a> = Pin<Box<dyn Future<Output = ToolOutput> + Send + 'a>>;

/// How a tool is described to the model. Byte-stable: it is the head of every cached prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolSpec {
    /// Name as the model calls it.
    pub name: &'static str,
    /// What it does, as short as the model can stand.
    pub description: &'static str,
    /// JSON schema of the arguments, as compact JSON text.
    pub parameters: &'static str,
    /// Arguments that must be there and not null.
    pub required: &'static [&'static str],
}

/// One thing the model can do.
pub trait Tool: Send + Sync {
    /// The description that is sent to the model.
    fn spec(&self) -> &ToolSpec;

    /// What this call would do, for the guard. Paths are absolute.
    fn action(&self, args: &Args, ctx: &ToolContext) -> Action;

    /// One line for a person: progress and approval prompt. Seed 10.4.
    fn summary(&self, args: &Args) -> String;

    /// Does it. Never fails as a future: what goes wrong is a [`ToolOutput::error`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the work: children are killed with their process tree, a write has either
    /// happened whole or not at all.
    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a>;
}

/// What every tool may know of its surroundings. Fixed for a session but for what was judged: no tool argument can change it.
#[derive(Clone, Debug)]
pub struct ToolContext {
    /// Working directory; relative paths start here. Absolute.
    pub cwd: PathBuf,
    /// The user's home, for `~`. `None` where there is none.
    pub home: Option<PathBuf>,
    /// Which variables a child process gets.
    pub env: Arc<ChildEnv>,
    /// The line to those who watch the call.
    pub line: CallLine,
    /// What confines commands and servers; without one they run with all rights of the user.
    pub sandbox: Option<Arc<Sandbox>>,
    /// What the user lets this one call have beyond the sandbox's policy.
    pub grants: Vec<Grant>,
    /// What the path of this call named when it was judged. A file tool opens this and nothing else.
    pub sighting: Option<Sighting>,
}

/// The environment of child processes: the parent's, less what must not leak.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildEnv {
    /// Names that are removed, such as `MESHAPI_API_KEY` (D-17).
    pub removed: Vec<String>,
}

/// What a tool call gave back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolOutput {
    /// Text for the model.
    pub text: String,
    /// The call did not do what was asked.
    pub is_error: bool,
    /// Exit code of a command; negative is the signal that ended it.
    pub exit_code: Option<i32>,
    /// A file that this call changed, and how.
    pub change: Option<Box<FileChange>>,
    /// A server that this call started.
    pub server: Option<Box<RunningServer>>,
    /// What the sandbox kept a failed command from.
    pub denials: Vec<Denial>,
    /// Text from there stands in `text`, where the call's action does not say so by itself.
    pub origin: Option<Origin>,
}

/// A file before and after a call, for the diff that a person sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Absolute path.
    pub path: PathBuf,
    /// Text before; `None` when the file was not there or was not text.
    pub before: Option<String>,
    /// Text after.
    pub after: String,
}

impl ToolOutput {
    /// A result that did what was asked.
    pub fn ok(text: impl Into<String>) -> ToolOutput {
        ToolOutput { text: text.into(), ..ToolOutput::default() }
    }

    /// A result that says what went wrong; the text gets the seed's `Error: ` in front.
    pub fn error(message: impl std::fmt::Display) -> ToolOutput {
        ToolOutput { text: format!("Error: {message}"), is_error: true, ..ToolOutput::default() }
    }
}
