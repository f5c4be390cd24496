//! What differs by platform: the shell, sessions, signals, and reading a pipe without blocking.
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::*;
#[cfg(windows)]
pub(super) use windows::*;

/// How a process is asked or made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It may clean up first.
    Ask,
    /// At once.
    Force,
}
