//! The servers of this session: who runs, who has ended, and the end of all.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[cfg(unix)]
use super::forward::Forward;
#[cfg(not(unix))]
use super::launch::Forward;
use super::{
    output::Output,
    ports::AUTO_PORTS,
    record::{RecordFile, ServerRecord},
};
use crate::process::{self, Child, Identity, Tree};

/// A server that was started and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningServer {
    /// Its process: the shell that was started for it, or the daemon that the shell left.
    pub pid: i32,
    /// The port that it listens on.
    pub port: u16,
    /// The command that started it.
    pub command: String,
    /// Where it was started.
    pub cwd: PathBuf,
    /// Where a browser finds it.
    pub url: String,
    /// How long it took to answer.
    pub ready_after: Duration,
    /// The first lines that it printed.
    pub preview: Vec<String>,
}

/// The background servers of one session. Clones share them; when the last one is dropped, all are killed.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    file: Option<RecordFile>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: Vec<Running>,
    /// Servers of earlier runs that are ours again.
    adopted: Vec<Adopted>,
    /// Ports given to servers that do not answer yet.
    promised: Vec<u16>,
}

/// A server, its processes and what it printed.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) server: RunningServer,
    pub(super) child: Child,
    pub(super) output: Output,
    /// The port of this machine that leads to it, when it is confined.
    pub(super) _forward: Option<Forward>,
}

/// A server of an earlier run: a process that we did not start, known by its record.
#[derive(Debug)]
struct Adopted {
    server: RunningServer,
    record: ServerRecord,
}

/// A port that no other server gets until this is dropped.
#[derive(Debug)]
pub(in crate::builtin) struct PromisedPort {
    shared: Arc<Shared>,
    /// The port.
    pub(in crate::builtin) port: u16,
}

impl Servers {
    /// No servers yet. They are written down as `servers.json` in `record_folder`, or nowhere.
    pub fn new(record_folder: Option<PathBuf>) -> Servers {
        let file = record_folder.map(RecordFile::in_folder);
        Servers { shared: Arc::new(Shared { file, state: Mutex::default() }) }
    }

    /// The servers that run, oldest first.
    pub fn list(&self) -> Vec<RunningServer> {
        self.prune();
        let state = self.shared.state();
        let adopted = state.adopted.iter().map(|adopted| adopted.server.clone());
        adopted.chain(state.running.iter().map(|running| running.server.clone())).collect()
    }

    /// The last lines that a running server printed, at most `lines`; `None` when no server has this pid.
    pub fn output(&self, pid: i32, lines: usize) -> Option<Vec<String>> {
        let state = self.shared.state();
        state
            .running
            .iter()
            .find(|running| running.server.pid == pid)
            .map(|running| running.output.last(lines))
    }

    /// Forgets the servers that have ended, and gives them back.
    pub fn prune(&self) -> Vec<RunningServer> {
        let mut state = self.shared.state();
        let adopted = state.adopted.extract_if(.., |adopted| !adopted.record.is_alive());
        let mut gone: Vec<RunningServer> = adopted.map(|adopted| adopted.server).collect();
        let ended = state.running.extract_if(.., |running| !running.child.is_running());
        gone.extend(ended.map(|running| running.server.clone()));
        drop(state);
        if !gone.is_empty() {
            self.shared.write_down();
        }
        gone
    }

    /// Ends the server of this pid, if there is one. Says whether there was.
    ///
    /// # Cancel safety
    /// Dropping the future ends it at once.
    pub async fn kill(&self, pid: i32) -> bool {
        let mut running: Vec<Running> =
            self.shared.state().running.extract_if(.., |running| running.server.pid == pid).collect();
        let adopted: Vec<Adopted> =
            self.shared.state().adopted.extract_if(.., |adopted| adopted.server.pid == pid).collect();
        let mut others: Vec<Tree> = adopted.iter().filter_map(Adopted::tree).collect();
        let own = running.iter_mut().map(|running| &mut running.child.tree);
        process::end_gently(own.chain(others.iter_mut()).collect()).await;
        self.shared.write_down();
        !running.is_empty() || !adopted.is_empty()
    }

    /// Ends all servers: each is asked to, and after a second made to. Returns how many there were.
    ///
    /// # Cancel safety
    /// Dropping the future ends them at once.
    pub async fn kill_all(&self) -> usize {
        let mut running = std::mem::take(&mut self.shared.state().running);
        let adopted = std::mem::take(&mut self.shared.state().adopted);
        let mut others: Vec<Tree> = adopted.iter().filter_map(Adopted::tree).collect();
        let own = running.iter_mut().map(|running| &mut running.child.tree);
        process::end_gently(own.chain(others.iter_mut()).collect()).await;
        self.shared.write_down();
        running.len() + others.len()
    }

    /// Servers of earlier runs that are still there: the same process, and its run is over. Forgets those that are not.
    pub fn previous_survivors(&self) -> Vec<ServerRecord> {
        let Some(file) = &self.shared.file else { return Vec::new() };
        let records = file.read();
        let is_left = |record: &ServerRecord| !record.has_owner() && record.is_alive();
        if records.iter().any(|record| !record.has_owner() && !record.is_alive()) {
            self.shared.write_down();
        }
        records.into_iter().filter(is_left).collect()
    }

    /// Ends servers of earlier runs, those that are still the same processes, and forgets them all. Returns how many ended.
    ///
    /// # Cancel safety
    /// All were asked to end; those that did not listen still run and are still written down.
    pub async fn kill_survivors(&self, survivors: &[ServerRecord]) -> usize {
        let alive = survivors.iter().filter(|record| record.is_alive());
        let mut trees: Vec<Tree> = alive
            .filter_map(|record| {
                Some(Identity { pid: record.pid, started: process::started_at(record.pid)? })
            })
            .map(Tree::around)
            .collect();
        process::end_gently(trees.iter_mut().collect()).await;
        self.forget_survivors(survivors);
        trees.len()
    }

    /// Makes servers of earlier runs ours again: listed, written down under this run and ended with it. Those that have
    /// ended meanwhile, or whose pid means another process now, are left out. Returns how many there are.
    pub fn adopt(&self, survivors: &[ServerRecord]) -> usize {
        let alive: Vec<Adopted> = survivors.iter().filter_map(Adopted::of).collect();
        let count = alive.len();
        self.shared.state().adopted.extend(alive);
        self.shared.write_down_without(survivors);
        count
    }

    /// Leaves servers of earlier runs alone and forgets them.
    pub fn forget_survivors(&self, survivors: &[ServerRecord]) {
        self.shared.write_down_without(survivors);
    }

    /// The server that listens on this port, if it is one of ours and still runs.
    pub(in crate::builtin) fn on_port(&self, port: u16) -> Option<RunningServer> {
        self.list().into_iter().find(|server| server.port == port)
    }

    /// Promises this port to a new server.
    pub(in crate::builtin) fn promise(&self, port: u16) -> PromisedPort {
        self.shared.state().promised.push(port);
        PromisedPort { shared: Arc::clone(&self.shared), port }
    }

    /// Promises the first free port of the range for servers that name none.
    pub(in crate::builtin) fn promise_any(&self) -> Option<PromisedPort> {
        let mut state = self.shared.state();
        let port = AUTO_PORTS.into_iter().find(|port| !state.promised.contains(port) && is_free(*port))?;
        state.promised.push(port);
        Some(PromisedPort { shared: Arc::clone(&self.shared), port })
    }

    /// Keeps a server that answered.
    pub(super) fn keep(&self, running: Running) {
        self.shared.state().running.push(running);
        self.shared.write_down();
    }
}

impl Adopted {
    /// The server behind a record, while it is still the same process.
    fn of(record: &ServerRecord) -> Option<Adopted> {
        let port = record.port.filter(|_| record.is_alive())?;
        let server = RunningServer {
            pid: record.pid,
            port,
            command: record.cmd.clone().unwrap_or_default(),
            cwd: PathBuf::new(),
            url: record.url.clone().unwrap_or_else(|| format!("http://localhost:{port}")),
            ready_after: Duration::ZERO,
            preview: Vec::new(),
        };
        Some(Adopted { server, record: record.clone() })
    }

    fn tree(&self) -> Option<Tree> {
        let started = process::started_at(self.record.pid).filter(|_| self.record.is_alive())?;
        Some(Tree::around(Identity { pid: self.record.pid, started }))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Rows are pushed and taken whole, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_down(&self) {
        self.write_down_without(&[]);
    }

    /// Writes our own rows and those of other runs that still mean something.
    fn write_down_without(&self, forgotten: &[ServerRecord]) {
        let Some(file) = &self.file else { return };
        let owner = i32::try_from(std::process::id()).ok();
        let owner_started = owner.and_then(process::started_at);
        let is_ours = |record: &ServerRecord| (record.owner, record.owner_started) == (owner, owner_started);
        let mut records = file.read();
        records.retain(|record| !is_ours(record) && !forgotten.contains(record) && record.is_alive());
        let state = self.state();
        let adopted = state.adopted.iter().map(|adopted| &adopted.server);
        let servers = adopted.chain(state.running.iter().map(|running| &running.server));
        records.extend(servers.map(|server| ServerRecord {
            pid: server.pid,
            port: Some(server.port),
            cmd: Some(server.command.clone()),
            url: Some(server.url.clone()),
            started: process::started_at(server.pid),
            owner,
            owner_started,
        }));
        file.write(&records);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let adopted = std::mem::take(&mut state.adopted);
        let had_adopted = !adopted.is_empty();
        for mut tree in adopted.iter().filter_map(Adopted::tree) {
            tree.ask_to_end();
        }
        if !std::mem::take(&mut state.running).is_empty() || had_adopted {
            self.write_down();
        }
    }
}

impl Drop for PromisedPort {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some(index) = state.promised.iter().position(|port| *port == self.port) {
            state.promised.swap_remove(index);
        }
    }
}

/// Whether a server could take the port on both loopback addresses. A machine without IPv6 has nobody there.
fn is_free(port: u16) -> bool {
    let taken = |address: std::net::IpAddr| {
        std::net::TcpListener::bind((address, port))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    !taken(std::net::Ipv4Addr::LOCALHOST.into()) && !taken(std::net::Ipv6Addr::LOCALHOST.into())
}
