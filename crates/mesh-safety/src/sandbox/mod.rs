//! Commands that run confined: the kernel is the boundary, whatever a command's text says.
//!
//! A [`Policy`] is data and says what may be written and reached. [`Sandbox::wrap`] wraps a command so that our own
//! binary, started again as a helper, confines it and then runs it; the program calls [`helper`] first thing in its
//! `main`. What cannot be confined is not run: there is no quiet way around.
//!
//! - `policy`, `places`, `seccomp`, `seatbelt`: pure
//! - `denial`: which rule a failed command met, and what a person may grant
//! - `scan`, `stand_ins`, `check`, `worktree`: look at the writable folders, and keep protected names from being made
//! - `linux`: talks to the kernel
//! - `relay`: bytes to and from a server inside
//! - `wrap`: the side of the parent, which may have threads and secrets
//! - `probe`: what this machine really enforces
#[cfg(target_os = "linux")]
mod check;
mod denial;
mod error;
#[cfg(target_os = "linux")]
mod git_config;
#[cfg(target_os = "linux")]
mod hosts;
mod level;
#[cfg(target_os = "linux")]
mod linux;
mod places;
mod policy;
mod probe;
#[cfg(unix)]
mod relay;
mod report;
#[cfg(target_os = "linux")]
mod scan;
mod seatbelt;
#[cfg(target_os = "linux")]
mod seccomp;
#[cfg(target_os = "linux")]
mod stand_ins;
#[cfg(target_os = "linux")]
mod worktree;
mod wrap;

pub use denial::{Denial, Grant, Rule, explain};
pub use error::SandboxError;
pub use level::Level;
#[cfg(target_os = "linux")]
pub use linux::{helper, run};
pub use policy::{Job, Limits, Neighbour, Network, Policy};
pub use probe::{Strength, probe, recall};
#[cfg(unix)]
pub use relay::{Connection, knock, relay};
pub use report::{End, Report};
pub use seatbelt::seatbelt_profile;
pub use wrap::{Sandbox, Widening, Wrapped};
