//! POSIX: modes of files and folders, signals, terminal size.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::fs::{Mode, OFlags};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{SessionSignal, StopSignal};

/// Variable that names the user's home.
pub const HOME_VARIABLE: &str = "HOME";

/// Mode of our files: the owner reads and writes.
const PRIVATE_FILE: u32 = 0o600;
/// Mode of our folders.
const PRIVATE_FOLDER: u32 = 0o700;

/// Makes `options` create a file that only its owner can read, from its first moment.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(PRIVATE_FILE)
}

/// Takes from an open file of ours what others may do with it, whatever the umask was.
///
/// # Errors
/// The file belongs to someone else.
pub fn tighten_file(file: &File) -> io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o7777 == PRIVATE_FILE {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(PRIVATE_FILE))
}

/// Makes `folder` if it is not there, and takes from it what others may do.
///
/// # Errors
/// It cannot be made, or what stands there is not a folder.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => {
            if found.permissions().mode() & 0o7777 == PRIVATE_FOLDER {
                return Ok(());
            }
        }
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        // Another process of the same user may make it at the same moment.
        Err(_) => {
            DirBuilder::new().mode(PRIVATE_FOLDER).create(folder).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists if folder.is_dir() => Ok(()),
                _ => Err(error),
            })?
        }
    }
    // Best effort for a folder that was there: on some shared disks modes cannot change.
    std::fs::set_permissions(folder, Permissions::from_mode(PRIVATE_FOLDER)).or(Ok(()))
}

/// Makes the entries of `folder` durable, so that a rename survives a loss of power.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Opens a file to be read. A pipe that stands there now does not make us wait for its other end.
///
/// # Errors
/// It is not there, or must not be read.
pub fn open_without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Lets this process open as many files as it may: a gateway has one for each connection.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // With the limit as it was, the gateway has room for fewer connections, and that is all.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Columns and rows of the terminal at standard output, if it says them.
pub fn terminal_size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// Writes all of `bytes` to standard output, in as few calls as it takes: a frame that comes in two may be seen in two.
///
/// # Errors
/// Nobody reads any more.
pub fn write_out(mut bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    io::Write::flush(&mut out)?;
    while !bytes.is_empty() {
        match rustix::io::write(&out, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The signals that ask the process to stop, watched from the moment this is made.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    /// Begins to watch. From here on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub fn watch() -> io::Result<StopSignals> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// Nothing is lost: a signal that comes while no one waits is given to the next call.
    pub async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.hangup.recv() => StopSignal::Hangup,
        }
    }
}

/// The signals that a program at a terminal has to do with, watched from the moment this is made.
#[derive(Debug)]
pub struct SessionSignals {
    stop: StopSignals,
    pause: Signal,
    go_on: Signal,
}

impl SessionSignals {
    /// Begins to watch. From here on the signals do nothing by themselves.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub fn watch() -> io::Result<SessionSignals> {
        let raw = |signal: rustix::process::Signal| SignalKind::from_raw(signal.as_raw());
        Ok(SessionSignals {
            stop: StopSignals::watch()?,
            pause: signal(raw(rustix::process::Signal::TSTP))?,
            go_on: signal(raw(rustix::process::Signal::CONT))?,
        })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// Nothing is lost: a signal that comes while no one waits is given to the next call.
    pub async fn next(&mut self) -> SessionSignal {
        tokio::select! {
            signal = self.stop.next() => SessionSignal::Stop(signal),
            _ = self.pause.recv() => SessionSignal::Pause,
            _ = self.go_on.recv() => SessionSignal::Continue,
        }
    }
}

/// What is typed is not shown until this is dropped.
#[derive(Debug)]
pub struct HiddenTyping {
    before: rustix::termios::Termios,
}

/// Hides what is typed at standard input, if it is a terminal.
pub fn hide_typing() -> Option<HiddenTyping> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let before = tcgetattr(io::stdin()).ok()?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).ok()?;
    Some(HiddenTyping { before })
}

impl Drop for HiddenTyping {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &self.before);
    }
}

/// Ends the process by a signal, as if nobody had watched for it.
pub fn die_of(signal: StopSignal) -> ! {
    use rustix::process::Signal;
    let signal = match signal {
        StopSignal::Interrupt => Signal::INT,
        StopSignal::Terminate => Signal::TERM,
        StopSignal::Hangup => Signal::HUP,
    };
    let _ = signal_hook::low_level::emulate_default_handler(signal.as_raw());
    std::process::exit(128 + signal.as_raw())
}

/// Tells the program itself that its terminal may have changed, so that it is drawn anew.
pub fn redraw() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::WINCH);
}

/// Stops the whole program as Ctrl+Z does; returns when it goes on.
pub fn suspend() {
    // To this thread: a signal to the process may be taken by another one, and this one would run on for a while.
    let _ = signal_hook::low_level::raise(rustix::process::Signal::STOP.as_raw());
}

/// Permission bits of a file or folder, for tests and `meshapi doctor`.
///
/// # Errors
/// It is not there.
pub fn mode(path: &Path) -> io::Result<Option<u32>> {
    Ok(Some(std::fs::metadata(path)?.permissions().mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_become_private() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("f");
        private_folder(&folder).unwrap();
        assert_eq!(mode(&folder).unwrap(), Some(0o700));
        std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        private_folder(&folder).unwrap();
        assert_eq!(mode(&folder).unwrap(), Some(0o700));
        std::fs::write(top.path().join("x"), "").unwrap();
        assert!(private_folder(&top.path().join("x")).is_err());
    }
}
