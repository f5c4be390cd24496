//! The gateway over HTTP: what it answers to whom, on a loopback port and a file of its own.
#![cfg(feature = "gateway")]

mod client;
mod delivery;
mod harness;
mod identity;
mod limits;
mod push;
mod wire;
