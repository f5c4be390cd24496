//! The `meshapi` command: a person's way to the agent.
//!
//! - [`cli`]: every flag and command
//! - [`commands`]: one file a command, and their common start
//! - [`permissions`]: what the user always allows, asks or denies
//! - [`repl`]: the interactive program
//! - [`config`]: settings and key, shared with the Python releases
//! - [`savings`]: what the dial did in a session
//! - [`exit`]: errors to a line, a hint and an exit code
//! - [`ui`]: what is shown, as values; `ui/json.rs` for programs
//! - [`mail`]: the mailbox inside the agent
//! - [`confine`]: the sandbox of a run's commands
//! - [`input`]: lines of standard input
//! - [`log`]: the trace behind `MESHAPI_LOG`
//! - [`sys`]: what differs by platform
//!
//! ```
//! let cli = meshapi_cli::cli::parse(["meshapi", "-p", "hello"].map(Into::into)).expect("these flags exist");
//! assert_eq!(cli.headless.prompts(), meshapi_cli::cli::Prompts::Argument("hello".into()));
//! ```
pub mod cli;
pub mod commands;
pub mod config;
pub mod confine;
pub mod exit;
pub mod input;
pub mod log;
pub mod mail;
pub mod permissions;
pub mod repl;
pub mod savings;
pub mod secret;
pub mod sys;
pub mod ui;
pub mod wiring;
