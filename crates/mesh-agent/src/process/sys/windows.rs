//! Windows: `cmd /C`, and the shell alone is ended. Compiles in principle; not a supported platform yet.

use std::{
    ffi::OsString,
    io::{self, PipeReader, Read},
    process::ExitStatus,
};

use tokio::{process::Command, sync::mpsc};

use super::End;

/// Bytes that one read may bring.
const READ_BYTES: usize = 64 * 1024;

/// The shell that was started for a command.
#[derive(Debug)]
pub(crate) struct Shell {
    child: tokio::process::Child,
    pid: i32,
}

/// A command that makes the shell run `text`.
pub(crate) fn shell(text: &str) -> Command {
    let mut command = Command::new("cmd");
    // Quoting for cmd is not that of other programs: the text goes through as it is.
    command.arg("/C").raw_arg(text);
    command
}

/// The shell and its arguments. There is no sandbox here that would take them.
pub(crate) fn words(text: &str) -> Vec<OsString> {
    ["cmd", "/C", text].map(OsString::from).into()
}

/// Starts the shell.
pub(crate) fn start(mut command: Command, _leads: bool) -> io::Result<Shell> {
    let child = command.kill_on_drop(true).spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or(io::ErrorKind::NotFound)?;
    Ok(Shell { child, pid })
}

impl Shell {
    pub(crate) fn id(&self) -> i32 {
        self.pid
    }

    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Ends the shell.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.start_kill();
    }
}

/// The shell's exit code.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// There are no process groups here.
pub(crate) fn signal_group(_leader: i32, _end: End) -> bool {
    false
}

/// Ends one process, without waiting for it.
pub(crate) fn signal_process(pid: i32, _end: End) {
    let _ = std::process::Command::new("taskkill").args(["/F", "/T", "/PID", &pid.to_string()]).spawn();
}

/// There are no process groups here.
pub(crate) fn group_is_there(_leader: i32) -> bool {
    false
}

/// There are no orphans to take in here.
pub(crate) fn become_subreaper() -> bool {
    false
}

/// There are no orphans to take in here.
pub(crate) fn has_children() -> bool {
    false
}

/// There are no zombies here.
pub(crate) fn reap(_pid: i32) {}

/// The read end of a command's pipe, read by a thread of its own.
#[derive(Debug)]
pub(crate) struct Output {
    pieces: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Output {
    pub(crate) fn new(mut reader: PipeReader) -> io::Result<Output> {
        // One piece in flight: the command waits for us as it would on a full pipe.
        let (sender, pieces) = mpsc::channel(1);
        std::thread::Builder::new().name("command output".into()).spawn(move || {
            let mut buffer = vec![0; READ_BYTES];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        })?;
        Ok(Output { pieces, rest: Vec::new() })
    }

    /// The next bytes; 0 at the end. Dropping the future loses nothing.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.pieces.recv().await.unwrap_or_default();
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}
