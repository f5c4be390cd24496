//! The `mesh` profile from outside: laws that hold for every body, and recorded sessions billed request by request.

mod billing;
mod laws;
mod recorded;
mod sessions;
