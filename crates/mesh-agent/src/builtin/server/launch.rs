//! From spawn to the first answer on the port.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use mesh_safety::sandbox::{Grant, Neighbour, Sandbox};

#[cfg(unix)]
use super::forward::Forward;
use super::{
    output::Output,
    ports,
    registry::{Running, RunningServer, Servers},
};
use crate::{
    process::{self, Child, ShellCommand},
    tool::ChildEnv,
};

/// There is no sandbox to lead out of.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Forward;

/// How often the port is tried. From the seed, 13.5.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// How long one try may take. From the seed, 13.5.
const TRY_LIMIT: Duration = Duration::from_millis(200);

/// How often we look on which ports the server really listens. Beyond-the-seed G looks every 2 s; reading `/proc` is cheaper
/// than starting a program for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a command that ended well may go without an answer: what it left behind is still starting. Beyond-the-seed G.
const DAEMON_GRACE: Duration = Duration::from_secs(5);

/// How long a server that answers may go on printing before we look at its first lines. From the seed, 13.6.
const SETTLE: Duration = Duration::from_millis(400);

/// How long we wait for the last words of a server that was killed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Lines shown of a server that answers (seed 13.6), and of one that does not (13.5).
const PREVIEW_LINES: usize = 20;
const TAIL_LINES: usize = 30;

/// A server that is wanted.
#[derive(Clone, Debug)]
pub(in crate::builtin) struct Wanted<'a> {
    pub(in crate::builtin) command: &'a str,
    pub(in crate::builtin) cwd: PathBuf,
    pub(in crate::builtin) port: u16,
    pub(in crate::builtin) wait: Duration,
    pub(in crate::builtin) env: &'a ChildEnv,
    pub(in crate::builtin) sandbox: Option<&'a Sandbox>,
    pub(in crate::builtin) grants: &'a [Grant],
}

/// Why a server did not answer, with the last lines that it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::builtin) enum LaunchError {
    /// The shell did not start.
    NotStarted(String),
    /// It ended with this code.
    Exited { code: i32, tail: Vec<String> },
    /// It was killed: its time was over.
    TimedOut { tail: Vec<String> },
}

/// Starts a server and waits until it answers; from then on it is the registry's.
///
/// # Cancel safety
/// Dropping the future kills a server that does not answer yet.
pub(in crate::builtin) async fn launch(
    wanted: &Wanted<'_>,
    servers: &Servers,
) -> Result<RunningServer, LaunchError> {
    let not_started = |error: std::io::Error| LaunchError::NotStarted(error.to_string());
    let variables = [("PORT", wanted.port.to_string()), ("BROWSER", "none".to_owned())];
    let shell = ShellCommand {
        text: wanted.command,
        cwd: &wanted.cwd,
        env: wanted.env,
        variables: &variables,
        sandbox: wanted.sandbox,
        grants: wanted.grants,
        serves: true,
    };
    let (child, reader) = process::spawn(shell).map_err(not_started)?;
    let output = Output::of(reader).map_err(not_started)?;
    let start = Instant::now();
    let mut launch = Launch { wanted, child, output, ended: None, seen: Vec::new() };
    let port = launch.first_answer(start).await?;
    let ready_after = start.elapsed();
    sleep(SETTLE).await;
    let mut server = launch.describe(port, ready_after)?;
    let Launch { mut child, output, .. } = launch;
    child.tree.settle();
    if let (Some(sandbox), Some(door)) = (wanted.sandbox, child.door()) {
        sandbox.share(Neighbour { port: server.port, door: door.to_owned() });
    }
    let forward = open_port(&child, &mut server, wanted.port).map_err(not_started)?;
    servers.keep(Running { server: server.clone(), child, output, _forward: forward });
    Ok(server)
}

/// Opens a port of this machine for a server in the sandbox; another one when its own is taken here.
#[cfg(unix)]
fn open_port(child: &Child, server: &mut RunningServer, promised: u16) -> std::io::Result<Option<Forward>> {
    let Some(door) = child.door() else { return Ok(None) };
    let forward = Forward::open(door, server.port, promised)?;
    server.port = forward.port;
    server.url = format!("http://localhost:{}", forward.port);
    Ok(Some(forward))
}

#[cfg(not(unix))]
fn open_port(_: &Child, _: &mut RunningServer, _: u16) -> std::io::Result<Option<Forward>> {
    Ok(None)
}

/// A server that does not answer yet. Dropping it kills it.
struct Launch<'a> {
    wanted: &'a Wanted<'a>,
    child: Child,
    output: Output,
    /// Exit code of the shell, and when we saw it.
    ended: Option<(i32, Instant)>,
    /// Ports on which it listened when we last looked.
    seen: Vec<u16>,
}

impl Launch<'_> {
    async fn first_answer(&mut self, start: Instant) -> Result<u16, LaunchError> {
        let deadline = start + self.wanted.wait;
        let mut next_look = start + LOOK_EVERY;
        loop {
            self.check_exit()?;
            if self.answers(self.wanted.port).await {
                return Ok(self.wanted.port);
            }
            let now = Instant::now();
            if now >= next_look || now >= deadline {
                next_look = now + LOOK_EVERY;
                if let Some(port) = self.other_port().await {
                    return Ok(port);
                }
            }
            if now >= deadline {
                process::end_gently(vec![&mut self.child.tree]).await;
                return Err(LaunchError::TimedOut { tail: self.last_words() });
            }
            sleep(TRY_EVERY.min(deadline - now)).await;
        }
    }

    /// Whether somebody accepts connections on the port, where the server lives.
    async fn answers(&self, port: u16) -> bool {
        match self.child.door() {
            None => answers(port).await,
            #[cfg(unix)]
            Some(door) => {
                let door = door.to_owned();
                let knock = tokio::task::spawn_blocking(move || super::forward::knock(&door, port));
                matches!(knock.await, Ok(Ok(Some(_))))
            }
            #[cfg(not(unix))]
            Some(_) => false,
        }
    }

    /// A shell that failed is a server that failed. One that ended well may have left a daemon behind: as long as
    /// something of it runs, or for a while, that may answer yet.
    fn check_exit(&mut self) -> Result<(), LaunchError> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().map(|code| (code, Instant::now()));
        }
        match self.ended {
            Some((0, at)) if at.elapsed() < DAEMON_GRACE || !self.child.tree.pids().is_empty() => Ok(()),
            Some((code, _)) => {
                self.child.kill();
                Err(LaunchError::Exited { code, tail: self.last_words() })
            }
            None => Ok(()),
        }
    }

    /// The port on which the server really listens, when it is another: at once if the server printed it, otherwise when
    /// it was there the last time too, because some programs open a port for themselves before their own.
    async fn other_port(&mut self) -> Option<u16> {
        let listening = process::listening_ports(&self.child.tree.pids());
        let before = std::mem::replace(&mut self.seen, listening);
        let printed = self.output.last(usize::MAX);
        let port = ports::adopted(&self.seen, &printed)?;
        let certain = before.contains(&port) || printed.iter().any(|line| ports::says_port(line, port));
        (certain && self.answers(port).await).then_some(port)
    }

    /// The server as the registry keeps it.
    fn describe(&mut self, port: u16, ready_after: Duration) -> Result<RunningServer, LaunchError> {
        self.check_exit()?;
        let pid = self.main_process(port);
        Ok(RunningServer {
            pid,
            port,
            command: self.wanted.command.to_owned(),
            cwd: self.wanted.cwd.clone(),
            url: format!("http://localhost:{port}"),
            ready_after,
            preview: self.output.first(PREVIEW_LINES),
        })
    }

    /// The shell, or what serves in its place when it has ended.
    fn main_process(&mut self, port: u16) -> i32 {
        if self.ended.is_none() {
            return self.child.tree.root.pid;
        }
        if self.child.tree.pids().is_empty() {
            self.child.tree.claim_listener(port);
        }
        let pids = self.child.tree.pids();
        let listens = |pid: &i32| process::listening_ports(&[*pid]).contains(&port);
        pids.iter().copied().find(listens).or(pids.first().copied()).unwrap_or(self.child.tree.root.pid)
    }

    fn last_words(&self) -> Vec<String> {
        self.output.wait_for_end(LAST_WORDS);
        self.output.last(TAIL_LINES)
    }
}

/// Whether something on this machine accepts connections on the port.
pub(in crate::builtin) async fn answers(port: u16) -> bool {
    let try_one = async |address: IpAddr| {
        let connected = timeout(TRY_LIMIT, TcpStream::connect((address, port))).await;
        // A connection from the very port that was tried is one to ourselves: nobody listens there.
        let is_other = |stream: &TcpStream| stream.local_addr().ok() != stream.peer_addr().ok();
        matches!(connected, Ok(Ok(ref stream)) if is_other(stream))
    };
    let (v4, v6) = tokio::join!(try_one(Ipv4Addr::LOCALHOST.into()), try_one(Ipv6Addr::LOCALHOST.into()));
    v4 || v6
}
