//! The gateway over HTTP: what it answers to whom, on a loopback port and a file of its own.
#![cfg(feature = "gateway")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as loudly as tests")]

mod client;
mod delivery;
mod harness;
mod identity;
mod limits;
mod push;
mod wire;
