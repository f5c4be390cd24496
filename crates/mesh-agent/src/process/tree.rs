//! Who belongs to a command, and how all of them end.
//!
//! A process belongs to the tree when it is in the session or group of the shell, descends from a member, holds the
//! command's pipe, was a member when we last looked, or is an orphan that nobody else can have started. Without `/proc`
//! only the process group is known.

use std::time::Duration;

use super::{
    orphans,
    sys::{self, End},
    table::{self, Entry},
};

/// How long a tree may clean up between TERM and KILL. A command at its deadline ends within about a second.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How often we look whether a tree has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often new members are looked for while a tree is killed: each round catches what was forked during the one before.
const KILL_ROUNDS: usize = 8;

/// A process, told from a later one with the same pid by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// Process id.
    pub(crate) pid: i32,
    /// Clock ticks after boot; 0 where it cannot be known.
    pub(crate) started: u64,
}

/// Whether those who hold the command's pipe are searched for: that reads every descriptor of every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pipe {
    Searched,
    /// Only when the shell has ended: before that, whoever matters descends from it.
    SearchedWithoutShell,
}

impl Identity {
    fn of(entry: &Entry) -> Identity {
        Identity { pid: entry.pid, started: entry.started }
    }
}

/// The processes of one command.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The shell: leader of the command's session and group.
    pub(crate) root: Identity,
    /// The pipe that took the command's output.
    pipe: Option<u64>,
    /// Members seen so far, so that they are found again when their parents are gone.
    known: Vec<Identity>,
    /// Nothing is left to end.
    ended: bool,
}

impl Tree {
    /// The tree below a shell that has just been started.
    pub(super) fn of(shell: i32, pipe: Option<u64>) -> Tree {
        let started = table::entry(shell).map_or(0, |entry| entry.started);
        Tree { root: Identity { pid: shell, started }, pipe, known: Vec::new(), ended: false }
    }

    /// The tree of a server of an earlier run: everything in the session of that process. It is left alone on drop.
    pub(crate) fn around(process: Identity) -> Tree {
        let session = table::entry(process.pid).map_or(process.pid, |entry| entry.session);
        // Each server had a session of its own. Whatever shares ours is none.
        let ours = table::entry(table::own_pid()).map(|entry| entry.session);
        let leader = if Some(session) == ours { process.pid } else { session };
        let started = table::entry(leader).map_or(0, |entry| entry.started);
        Tree { root: Identity { pid: leader, started }, pipe: None, known: vec![process], ended: false }
    }

    /// Pids of all living members.
    pub(crate) fn pids(&mut self) -> Vec<i32> {
        self.members(Pipe::SearchedWithoutShell).iter().map(|entry| entry.pid).collect()
    }

    /// Counts the process that listens on `port` as a member, if it is not older than the shell: a daemon that left the
    /// tree, found by what it does.
    pub(crate) fn claim_listener(&mut self, port: u16) {
        if let Some(entry) = table::listener_on(port).filter(|entry| entry.started >= self.root.started) {
            self.known.push(Identity::of(&entry));
        }
    }

    /// No longer takes in orphans: from here on they are another command's.
    pub(crate) fn settle(&mut self) {
        self.members(Pipe::Searched);
        orphans::settle(self.root);
    }

    /// Asks all members to end.
    pub(crate) fn ask_to_end(&mut self) {
        if !table::is_there() {
            sys::signal_group(self.root.pid, End::Ask);
        }
        let members = self.members(Pipe::Searched);
        self.signal(&members, End::Ask);
    }

    /// Ends all members at once and says whether any but the shell was still running.
    pub(crate) fn kill(&mut self) -> bool {
        if self.ended {
            return false;
        }
        self.ended = true;
        let mut killed: Vec<Identity> = Vec::new();
        if !table::is_there() {
            // The group is all that can be known.
            sys::signal_group(self.root.pid, End::Force);
        } else if self.may_have_left_something() {
            for _ in 0..KILL_ROUNDS {
                let members = self.members(Pipe::Searched);
                let fresh: Vec<Entry> =
                    members.into_iter().filter(|entry| !killed.contains(&Identity::of(entry))).collect();
                if fresh.is_empty() {
                    break;
                }
                self.signal(&fresh, End::Force);
                killed.extend(fresh.iter().map(Identity::of));
            }
        }
        orphans::strike(self.root);
        killed.iter().any(|identity| *identity != self.root)
    }

    /// The output's end was read: nobody holds the pipe any more.
    pub(super) fn output_ended(&mut self) {
        self.pipe = None;
    }

    /// Looks before the walk through all processes, which costs more than most commands do: nothing can be left when
    /// the group is empty, the output has ended, and every process that left the group would have come to us.
    fn may_have_left_something(&self) -> bool {
        sys::group_is_there(self.root.pid)
            || self.pipe.is_some()
            || !orphans::are_adopted()
            || orphans::are_there()
    }

    fn members(&mut self, pipe: Pipe) -> Vec<Entry> {
        let all = table::all();
        orphans::bury(&all);
        let root_is_another = all.iter().any(|it| it.pid == self.root.pid && it.started != self.root.started);
        let shell_lives = all.iter().any(|it| Identity::of(it) == self.root && !it.zombie);
        let holders = match (pipe, self.pipe) {
            (Pipe::Searched, Some(number)) => table::holders_of_pipe(number, &all),
            (Pipe::SearchedWithoutShell, Some(number)) if !shell_lives => {
                table::holders_of_pipe(number, &all)
            }
            (Pipe::Searched | Pipe::SearchedWithoutShell, _) => Vec::new(),
        };
        let claimed = orphans::of(self.root, &all);
        let mut inside: Vec<bool> = all
            .iter()
            .map(|it| {
                let of_root =
                    it.session == self.root.pid || it.group == self.root.pid || it.pid == self.root.pid;
                (of_root && !root_is_another)
                    || self.known.contains(&Identity::of(it))
                    || holders.contains(&it.pid)
                    || claimed.contains(&it.pid)
            })
            .collect();
        // Descendants: each round adds the children of those found so far.
        loop {
            let parents: Vec<i32> =
                all.iter().zip(&inside).filter(|(_, inside)| **inside).map(|(entry, _)| entry.pid).collect();
            let mut grown = false;
            for (entry, inside) in all.iter().zip(&mut inside) {
                if !*inside && parents.contains(&entry.parent) {
                    *inside = true;
                    grown = true;
                }
            }
            if !grown {
                break;
            }
        }
        let me = table::own_pid();
        let members: Vec<Entry> = all
            .into_iter()
            .zip(inside)
            .filter(|(entry, inside)| *inside && !entry.zombie && entry.pid != me && entry.pid > 1)
            .map(|(entry, _)| entry)
            .collect();
        self.known = members.iter().map(Identity::of).collect();
        members
    }

    fn signal(&self, members: &[Entry], end: End) {
        let group = self.root.pid;
        if members.iter().any(|entry| entry.group == group) {
            sys::signal_group(group, end);
        }
        for entry in members.iter().filter(|entry| entry.group != group) {
            sys::signal_process(entry.pid, end);
        }
    }
}

/// Asks the trees to end, waits a second at most, and ends what is left.
///
/// # Cancel safety
/// All were asked; those that did not listen still run.
pub(crate) async fn end_gently(mut trees: Vec<&mut Tree>) {
    for tree in &mut trees {
        tree.ask_to_end();
    }
    let deadline = tokio::time::Instant::now() + GRACE;
    while tokio::time::Instant::now() < deadline && trees.iter_mut().any(|tree| !tree.pids().is_empty()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    for tree in trees {
        tree.kill();
    }
}
