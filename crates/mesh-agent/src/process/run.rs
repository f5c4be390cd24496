//! One command to its end, or to its deadline: the loop is read aloud as "read, hand on, until the shell ends".

use std::{io, pin::pin, time::Duration};

use mesh_safety::sandbox::Report;
use tokio::time::{Instant, sleep_until};

use super::{
    ShellCommand, spawn,
    sys::{Output, exit_code},
    tree::GRACE,
};

/// How long we listen on when the shell has ended but something it started still holds its output.
const DRAIN: Duration = Duration::from_millis(100);

/// Bytes that one read may bring: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself; negative is the signal that ended it.
    Exited(i32),
    /// At its deadline, by us.
    TimedOut,
    /// Before its deadline, by us, because the user wished so.
    Stopped,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) ending: Ending,
    /// The shell had ended by itself, and something that it left running was ended after it.
    pub(crate) cut_short: bool,
    /// What the sandbox says; `None` without one, or when the command did not end by itself.
    pub(crate) confined: Option<Report>,
}

/// Runs the command for at most `limit`, or until `stop` is ready, and hands its output on as it comes. Nothing that it started lives on.
///
/// Then the tree is asked to end and a second later made to; what it says meanwhile is still handed on.
///
/// # Errors
/// The shell could not be started or waited for.
///
/// # Cancel safety
/// Dropping the future ends the tree at once.
pub(crate) async fn run(
    command: ShellCommand<'_>,
    limit: Duration,
    stop: impl Future<Output = ()>,
    mut take: impl FnMut(&[u8]),
) -> io::Result<Finished> {
    let (mut child, reader) = spawn(command)?;
    let mut output = Output::new(reader)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut status = None;
    let mut output_ended = false;
    let mut cut_off = None;
    let mut stop = pin!(stop);
    let mut deadline = pin!(sleep_until(Instant::now() + limit));
    while status.is_none() || !output_ended {
        tokio::select! {
            count = output.read(&mut buffer), if !output_ended => match count? {
                0 => output_ended = true,
                count => take(&buffer[..count]),
            },
            ended = child.wait(), if status.is_none() => {
                status = Some(ended?);
                if cut_off.is_none() {
                    deadline.as_mut().reset(Instant::now() + DRAIN);
                }
            },
            () = deadline.as_mut() => {
                if status.is_some() || cut_off.is_some() {
                    break;
                }
                cut_off = Some(Ending::TimedOut);
                child.tree.ask_to_end();
                deadline.as_mut().reset(Instant::now() + GRACE);
            },
            () = stop.as_mut(), if cut_off.is_none() && status.is_none() => {
                cut_off = Some(Ending::Stopped);
                child.tree.ask_to_end();
                deadline.as_mut().reset(Instant::now() + GRACE);
            },
        }
    }
    if output_ended {
        child.tree.output_ended();
    }
    let more_was_running = child.kill();
    let confined = child.report().map_err(io::Error::other)?;
    Ok(match (status, cut_off) {
        (Some(status), None) => {
            let cut_short = more_was_running || confined.as_ref().is_some_and(|report| report.left_running);
            Finished { ending: Ending::Exited(exit_code(status)), cut_short, confined }
        }
        (_, ending) => Finished { ending: ending.unwrap_or(Ending::TimedOut), cut_short: false, confined },
    })
}
