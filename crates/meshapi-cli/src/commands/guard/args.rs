//! What `meshapi guard` can be asked.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `meshapi guard`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Guard {
    /// Answer one JSON case a line: `{"id","kind","input","mode","cwd","home","dns","redirects"}`; nothing is looked up or run
    #[arg(long)]
    pub jsonl: bool,
    /// What to judge.
    #[command(subcommand)]
    pub what: Option<What>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum What {
    /// A shell command
    Command(Ask),
    /// Reading a file or folder
    Read(Ask),
    /// Writing a file
    Write(Ask),
    /// Fetching an address of the web; its name is resolved
    Url(Ask),
    /// Whether a text holds credentials
    Secrets(Ask),
    /// As a PreToolUse hook of another agent: its JSON on standard input, allow, ask or deny as JSON on standard output
    Hook(Hook),
}

/// A question of a person or a script: exit code 0 is allow, 10 ask, 20 block.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Ask {
    /// The text to judge; `-` reads it from standard input
    #[arg(allow_hyphen_values = true)]
    pub text: String,
    /// The mode to judge for: default, accept-edits, auto or bypass
    #[arg(long, default_value = "auto")]
    pub mode: String,
    /// The folder it happens in, instead of this one
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Judge a command that no sandbox of level full holds back: a program that no table knows asks
    #[arg(long)]
    pub unconfined: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How the hook judges.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Hook {
    /// The mode to judge for: auto or bypass
    #[arg(long, default_value = "auto")]
    pub mode: String,
    /// The agent runs its commands in a sandbox without network that writes in the project only: programs that no table knows pass
    #[arg(long)]
    pub confined: bool,
}
