//! Windows: a profile is private by its access list, so files need no modes here.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use tokio::signal::windows::{CtrlC, CtrlClose, CtrlShutdown, ctrl_c, ctrl_close, ctrl_shutdown};

use super::{SessionSignal, StopSignal};

/// Variable that names the user's home.
pub const HOME_VARIABLE: &str = "USERPROFILE";

/// Leaves `options` as they are: the profile folder's access list is inherited.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Does nothing: see [`private`].
///
/// # Errors
/// None.
pub fn tighten_file(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Does nothing: there is no such limit here.
pub fn raise_open_files() {}

/// Makes `folder` if it is not there.
///
/// # Errors
/// It cannot be made, or what stands there is not a folder.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        // Another process of the same user may make it at the same moment.
        Err(_) => std::fs::create_dir(folder).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists if folder.is_dir() => Ok(()),
            _ => Err(error),
        }),
    }
}

/// Does nothing: a folder cannot be synced here, and a rename is journalled.
///
/// # Errors
/// None.
pub fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens a file to be read.
///
/// # Errors
/// It is not there, or must not be read.
pub fn open_without_waiting(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Columns and rows of the terminal, if it says them.
pub fn terminal_size() -> Option<(u16, u16)> {
    crossterm::terminal::size().ok()
}

/// Writes all of `bytes` to standard output.
///
/// # Errors
/// Nobody reads any more.
pub fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    io::Write::write_all(&mut out, bytes)?;
    io::Write::flush(&mut out)
}

/// The signals that ask the process to stop, watched from the moment this is made.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: CtrlC,
    closed: CtrlClose,
    shutdown: CtrlShutdown,
}

impl StopSignals {
    /// Begins to watch. From here on Ctrl-C no longer ends the process by itself.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub fn watch() -> io::Result<StopSignals> {
        Ok(StopSignals { interrupt: ctrl_c()?, closed: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// Nothing is lost: a signal that comes while no one waits is given to the next call.
    pub async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.closed.recv() => StopSignal::Hangup,
            _ = self.shutdown.recv() => StopSignal::Terminate,
        }
    }
}

/// The signals that a program at a terminal has to do with, watched from the moment this is made.
#[derive(Debug)]
pub struct SessionSignals {
    stop: StopSignals,
}

impl SessionSignals {
    /// Begins to watch. From here on the signals do nothing by themselves.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub fn watch() -> io::Result<SessionSignals> {
        Ok(SessionSignals { stop: StopSignals::watch()? })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// Nothing is lost: a signal that comes while no one waits is given to the next call.
    pub async fn next(&mut self) -> SessionSignal {
        SessionSignal::Stop(self.stop.next().await)
    }
}

/// What is typed is not shown until this is dropped.
#[derive(Debug)]
pub struct HiddenTyping(());

/// Hides nothing: a console without cursor movement is rare here.
pub fn hide_typing() -> Option<HiddenTyping> {
    None
}

/// Ends the process with the code of an interrupted one.
pub fn die_of(_signal: StopSignal) -> ! {
    std::process::exit(130)
}

/// Does nothing: the console redraws by itself.
pub fn redraw() {}

/// Permission bits: there are none.
///
/// # Errors
/// It is not there.
pub fn mode(path: &Path) -> io::Result<Option<u32>> {
    std::fs::metadata(path)?;
    Ok(None)
}

/// Nothing can be suspended here.
pub fn suspend() {}
