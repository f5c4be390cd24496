//! What differs by platform, behind one face: private files, signals, the size of the terminal.
//!
//! Both platforms have the same functions; nothing else in the crate asks which one it is on.
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

/// Why the process is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// Ctrl-C.
    Interrupt,
    /// The system or a supervisor wants it gone.
    Terminate,
    /// The terminal went away.
    Hangup,
}

/// What the system says to a program at a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionSignal {
    /// It shall stop.
    Stop(StopSignal),
    /// It shall pause until it is told to go on.
    Pause,
    /// It goes on.
    Continue,
}

/// The columns of the terminal at standard output, if it says them.
pub fn terminal_columns() -> Option<usize> {
    terminal_size().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}
