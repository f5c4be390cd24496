//! Says what an action would do and whether a person should see it first.
mod decision;
pub mod env;
mod judge;
mod mode;
pub mod secrets;
pub use decision::{Decision, Reason, ReasonSource};
pub use judge::{Action, Policy, WorkspaceReads, judge};
pub use mode::{PermissionMode, UnknownMode};
