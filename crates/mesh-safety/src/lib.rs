//! Says what an action would do and whether a person should see it first.
//!
//! Every check answers with a [`Decision`]: it allows, or it asks and says why in words for a person. Judging is pure: no
//! network, no clock, and without the feature `fs` no look at a file either.
//!
//! ```
//! use mesh_safety::{Action, PermissionMode, Policy, judge};
//! let policy = Policy { workspace: "/repo".into(), home: Some("/home/dev".into()), ..Policy::default() };
//! let run = |command: &str| judge(&Action::Run { command: command.into() }, PermissionMode::Auto, &policy);
//! assert!(run("cargo test").is_allow());
//! assert!(run("rm -rf ~").is_check());
//! ```
//!
//! - [`judge`]: an action in a mode, by the matrix and then the checks
//! - [`judge_command`], [`judge_read`], [`judge_write`], [`judge_url`]: the checks alone
//! - [`Judge`]: the same by one look at the file system, whose sighting is what a tool opens: never a path judged and opened again
//! - [`Origin`]: where text came from that is data and no instruction, and the fence around it
//! - [`rules`]: what the user always allows, asks or denies
//! - [`secrets`]: credentials in text; [`env`](mod@env): variables that stay out of child processes
mod decision;
pub mod env;
mod judge;
mod leaving;
mod mode;
mod origin;
mod path;
pub mod rules;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod secrets;
mod shell;
mod url;
pub use decision::{Decision, Reason, ReasonSource, Severity};
pub use judge::{
    Action, Confined, Judge, Policy, WorkspaceReads, judge, judge_allowed, judge_by_rules, offer,
};
pub use mode::{PermissionMode, UnknownMode};
pub use origin::{Origin, reaches_out, reads_private, unfenced};
#[cfg(feature = "fs")]
pub use path::{Entry, OpenError, OpenedFolder, OpenedForRead, OpenedForWrite, Sighting, judge_opened};
pub use path::{is_invisible, judge_read, judge_write};
pub use shell::{judge_command, rule_for, sets_up_git};
pub use url::{MAX_REDIRECTS, UrlError, WebTarget, judge_address, judge_url, judge_written};
