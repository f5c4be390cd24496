//! Child processes that end with the call that started them.
//!
//! - [`spawn`]: a shell command in a session of its own, both outputs in one pipe
//! - `run`: one command to its end, or to its deadline
//! - `tree`: who belongs to a command, and how all of them end
//! - `orphans`: daemons that left their tree, taken in and ended with it
//! - `table`: what the kernel says about processes, sockets and pipes
//! - `sys`: what differs by platform
mod orphans;
mod run;
mod sys;
mod table;
mod tree;

use std::{
    io::{self, PipeReader},
    path::Path,
    process::{ExitStatus, Stdio},
};

pub use orphans::adopt_orphans;
pub(crate) use run::{Ending, Finished, run};
pub(crate) use table::{command_line, listening_ports, started_at};
pub(crate) use tree::{Identity, Tree, end_gently};

use mesh_safety::sandbox::{Grant, Report, Sandbox, Widening, Wrapped};

use crate::tool::ChildEnv;

/// A command for the platform's shell, and what it starts with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShellCommand<'a> {
    /// Text for the shell.
    pub(crate) text: &'a str,
    /// Where it runs.
    pub(crate) cwd: &'a Path,
    /// What is taken out of its environment (D-17).
    pub(crate) env: &'a ChildEnv,
    /// What is put into its environment.
    pub(crate) variables: &'a [(&'a str, String)],
    /// What confines it.
    pub(crate) sandbox: Option<&'a Sandbox>,
    /// What the user lets it have beyond the sandbox's policy.
    pub(crate) grants: &'a [Grant],
    /// It is a server: what it leaves running goes on, and its ports are reached through a door.
    pub(crate) serves: bool,
}

/// A running shell and all that it started. Dropping it ends the whole tree at once.
#[derive(Debug)]
pub(crate) struct Child {
    shell: sys::Shell,
    /// Who belongs to it.
    pub(crate) tree: Tree,
    /// The command as it was confined, to ask afterwards.
    confined: Option<Wrapped>,
}

/// Starts the command with empty stdin; stdout and stderr come out of the one pipe in the order in which they were written.
///
/// # Errors
/// The folder is not there, or the system has no room for another process.
pub(crate) fn spawn(command: ShellCommand<'_>) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let (mut shell, confined) = match command.sandbox {
        Some(sandbox) => {
            let (shell, wrapped) = confine(sandbox, command)?;
            (shell, Some(wrapped))
        }
        None => (free(command), None),
    };
    shell.current_dir(command.cwd).stdout(writer.try_clone()?).stderr(writer);
    // The command holds our copies of the write end: they go with it, so that the pipe ends when its last writer does.
    let (shell, tree) = orphans::enrol(|| {
        let shell = sys::start(shell, confined.is_some())?;
        let tree = Tree::of(shell.id(), table::pipe_number(&reader));
        Ok((shell, tree))
    })?;
    Ok((Child { shell, tree, confined }, reader))
}

/// The command with all rights of the user.
fn free(command: ShellCommand<'_>) -> tokio::process::Command {
    let mut shell = sys::shell(command.text);
    shell.stdin(Stdio::null());
    for name in &command.env.removed {
        shell.env_remove(name);
    }
    for (name, value) in command.variables {
        shell.env(name, value);
    }
    shell
}

/// The command in the sandbox: its helper takes a session, and has its job on standard input.
fn confine(sandbox: &Sandbox, command: ShellCommand<'_>) -> io::Result<(tokio::process::Command, Wrapped)> {
    let words = sys::words(command.text);
    let widening = Widening {
        door: command.serves,
        git_setup: mesh_safety::sets_up_git(command.text),
        grants: command.grants.to_vec(),
    };
    let wrapped = sandbox.wrap(words, command.cwd, command.variables, widening);
    let (helper, wrapped) = wrapped.map_err(io::Error::other)?;
    Ok((helper.into(), wrapped))
}

impl Child {
    /// Waits until the shell itself has ended; what it left behind may still run.
    ///
    /// # Cancel safety
    /// Nothing is lost: the next call waits on.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.shell.wait().await
    }

    /// The shell's exit code, if it has ended; negative is the signal that ended it.
    pub(crate) fn try_wait(&mut self) -> Option<i32> {
        // An error means that somebody else took the status: it is over, and nobody knows how.
        self.shell.try_wait().map_or(Some(0), |status| status.map(sys::exit_code))
    }

    /// The way to the ports of a confined server.
    pub(crate) fn door(&self) -> Option<&Path> {
        self.confined.as_ref().and_then(Wrapped::door)
    }

    /// What the sandbox says of the command, once it has ended; `None` without one, or when it was killed.
    ///
    /// # Errors
    /// The command was not run: it could not be confined.
    pub(crate) fn report(&self) -> Result<Option<Report>, String> {
        self.confined.as_ref().map_or(Ok(None), Wrapped::report)
    }

    /// Whether the shell or anything that it started still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        // Asked first, because it also takes the status of a shell that has ended.
        let shell_runs = self.try_wait().is_none();
        shell_runs || !self.tree.pids().is_empty()
    }

    /// Ends the whole tree at once and says whether anything but the shell was still running.
    pub(crate) fn kill(&mut self) -> bool {
        self.shell.kill();
        self.tree.kill()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
