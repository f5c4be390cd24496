//! Confines a command on Linux: one process of ours stays outside, one is init of the namespaces, the command runs below it.
//!
//! - `outside`: looks at the folders, holds stand-ins, waits, clears up
//! - `inside`: from the first breath in the namespaces to the command's end
//! - `command`: finds, starts and reaps it
//! - `root`: the small root that the command sees
//! - `seen`: what of the machine is in that root
//! - `landlock`: what of it may be done with files
//! - `guard`: which paths of the writable folders are covered
//! - `proxy`, `porter`: the one way out to the network, and the one way in to a server
//! - `sys`: system calls without a safe wrapper
mod command;
mod guard;
mod inside;
mod landlock;
mod outside;
mod porter;
mod proxy;
mod root;
mod seen;
mod sys;

pub(super) use outside::other_owner;
pub use outside::{helper, run};
