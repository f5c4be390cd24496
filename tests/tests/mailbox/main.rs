//! The gateway's promises under kill -9, lost answers and loss of power; each run leaves a history, which one checker reads.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as loudly as tests")]

mod cluster;
mod commands;
mod crash;
mod crowd;
mod history;
mod lossy;
mod power;
#[path = "../../../crates/mesh-mailbox/tests/private_postgres/mod.rs"]
mod private_postgres;
mod program;
