//! Unix: `/bin/sh`, a session for each command, signals to process groups.

use std::{
    ffi::OsString,
    io::{self, PipeReader},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::ExitStatus,
    sync::OnceLock,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessSession};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions};
use tokio::{net::unix::pipe::Receiver, process::Command};

use super::End;

const SHELL: &str = "/bin/sh";

/// The shell that was started for a command.
#[derive(Debug)]
pub(crate) struct Shell {
    child: Box<dyn ChildWrapper>,
    pid: i32,
}

/// Where the program is found that gives the shell its session: part of every Linux distribution's base, absent elsewhere.
const SETSID: &str = "/usr/bin/setsid";

/// A command that makes the shell run `text` in a session of its own.
///
/// The session is taken by a small program, which then becomes the shell. Taking it in this process, between fork and
/// exec, would copy the page tables of a long history each time: measured 0.05 ms a MB, against 0.3 ms for the program.
pub(crate) fn shell(text: &str) -> Command {
    let mut command = if has_setsid() { Command::new(SETSID) } else { Command::new(SHELL) };
    let words = words(text);
    command.args(if has_setsid() { &words } else { &words[1..] });
    command
}

/// The shell and its arguments, so that it runs `text`.
pub(crate) fn words(text: &str) -> Vec<OsString> {
    let mut words = vec![SHELL, "-c"];
    if text.starts_with(['-', '+']) {
        // Otherwise the shell would take the text for its own options.
        words.push("--");
    }
    words.push(text);
    words.into_iter().map(OsString::from).collect()
}

/// Starts the shell as the leader of a new session, so that it has no terminal and its group can be ended as one.
///
/// With `leads` the command takes that session itself.
pub(crate) fn start(mut command: Command, leads: bool) -> io::Result<Shell> {
    let child: Box<dyn ChildWrapper> = if leads || has_setsid() {
        Box::new(command.spawn()?)
    } else {
        // The group's wrapper waits for every process of the group; the call ends with its shell.
        CommandWrap::from(command).wrap(ProcessSession).spawn()?.into_inner()
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or(io::ErrorKind::NotFound)?;
    Ok(Shell { child, pid })
}

fn has_setsid() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| Path::new(SETSID).exists())
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

    /// The tree's signals reach the shell too.
    #[expect(clippy::unused_self, reason = "Windows ends the shell through its handle")]
    pub(crate) fn kill(&mut self) {}
}

/// The shell's exit code; negative is the signal that ended it.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
}

/// Sends the signal to the process group of `leader`; whether anybody was there to get it.
pub(crate) fn signal_group(leader: i32, end: End) -> bool {
    Pid::from_raw(leader).is_some_and(|pid| rustix::process::kill_process_group(pid, signal(end)).is_ok())
}

/// Sends the signal to one process.
pub(crate) fn signal_process(pid: i32, end: End) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Gone already is what was wanted; not permitted cannot be helped.
        let _ = rustix::process::kill_process(pid, signal(end));
    }
}

fn signal(end: End) -> Signal {
    match end {
        End::Ask => Signal::TERM,
        End::Force => Signal::KILL,
    }
}

/// Whether anything lives in the process group of `leader`. A zombie counts.
pub(crate) fn group_is_there(leader: i32) -> bool {
    Pid::from_raw(leader).is_some_and(|pid| rustix::process::test_kill_process_group(pid).is_ok())
}

/// Makes this process the parent of every orphan below it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn become_subreaper() -> bool {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok()
}

/// Makes this process the parent of every orphan below it: not to be had here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn become_subreaper() -> bool {
    false
}

/// Whether this process has any child, dead or alive.
pub(crate) fn has_children() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(rustix::process::waitid(WaitId::All, look), Err(rustix::io::Errno::CHILD))
}

/// Takes the status of a dead orphan, so that it leaves the process table.
pub(crate) fn reap(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// The read end of a command's pipe.
#[derive(Debug)]
pub(crate) struct Output(Receiver);

impl Output {
    pub(crate) fn new(reader: PipeReader) -> io::Result<Output> {
        Receiver::from_owned_fd(reader.into()).map(Output)
    }

    /// The next bytes; 0 at the end. Dropping the future loses nothing.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}
