//! Daemons that left their tree: they fork twice, take a session of their own and close every pipe. After
//! [`adopt_orphans`] the kernel makes them children of this process, and they end with the command that started them.
//!
//! Whose an orphan is, is known only by elimination, so it is left alone while two open commands could have started it.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    sys::{self, Shell},
    table::{self, Entry},
    tree::{Identity, Tree},
};

static ADOPTED: AtomicBool = AtomicBool::new(false);
static ROOTS: Mutex<Vec<Root>> = Mutex::new(Vec::new());

/// A shell that we started.
struct Root {
    identity: Identity,
    /// Orphans may still be its own.
    open: bool,
}

/// Makes this process the parent of all orphaned descendants, so that a daemon ends with the command that started it.
/// Returns whether the system can do that (Linux).
///
/// For the main function of a program. It holds for the whole process: once a command has ended, children that run in
/// another session and that this crate did not start are taken for daemons of that command, if they are not older than it.
pub fn adopt_orphans() -> bool {
    let adopted = sys::become_subreaper();
    ADOPTED.store(adopted, Ordering::Relaxed);
    adopted
}

/// Starts a shell and writes it down, in one step: nobody may take it for an orphan in between.
pub(super) fn enrol(start: impl FnOnce() -> io::Result<(Shell, Tree)>) -> io::Result<(Shell, Tree)> {
    let mut roots = roots();
    let (shell, tree) = start()?;
    roots.push(Root { identity: tree.root, open: true });
    Ok((shell, tree))
}

/// The shell goes on, but new orphans are no longer its own.
pub(super) fn settle(root: Identity) {
    for entry in roots().iter_mut().filter(|entry| entry.identity == root) {
        entry.open = false;
    }
}

/// The shell and its tree have ended.
pub(super) fn strike(root: Identity) {
    roots().retain(|entry| entry.identity != root);
}

/// Whether orphans come to us at all.
pub(super) fn are_adopted() -> bool {
    ADOPTED.load(Ordering::Relaxed)
}

/// Whether there is any orphan. Cheap where this process has no child at all.
pub(super) fn are_there() -> bool {
    are_adopted() && sys::has_children() && {
        let children = table::own_children();
        let session = own_session();
        let roots = roots();
        children.iter().any(|entry| is_orphan(entry, session, &roots))
    }
}

/// Pids of the orphans in `all` that only `root` can have started.
pub(super) fn of(root: Identity, all: &[Entry]) -> Vec<i32> {
    if !are_adopted() {
        return Vec::new();
    }
    let session = own_session();
    let roots = roots();
    if !roots.iter().any(|entry| entry.identity == root && entry.open) {
        return Vec::new();
    }
    all.iter()
        .filter(|entry| is_orphan(entry, session, &roots) && entry.started >= root.started)
        .filter(|entry| {
            let mut others = roots.iter().filter(|other| other.identity != root);
            !others.any(|other| {
                other.identity.pid == entry.session || (other.open && other.identity.started <= entry.started)
            })
        })
        .map(|entry| entry.pid)
        .collect()
}

/// Takes the statuses of dead orphans: nobody else asks for them.
pub(super) fn bury(all: &[Entry]) {
    if are_adopted() {
        let session = own_session();
        let roots = roots();
        for entry in all.iter().filter(|entry| entry.zombie && is_orphan(entry, session, &roots)) {
            sys::reap(entry.pid);
        }
    }
}

/// A child of this process that is no shell of ours and no ordinary child: that would have our session.
fn is_orphan(entry: &Entry, own_session: Option<i32>, roots: &[Root]) -> bool {
    entry.parent == table::own_pid()
        && Some(entry.session) != own_session
        && !roots.iter().any(|root| root.identity.pid == entry.pid)
}

fn own_session() -> Option<i32> {
    table::entry(table::own_pid()).map(|entry| entry.session)
}

fn roots() -> MutexGuard<'static, Vec<Root>> {
    // A list of numbers is whole whatever panicked while it was locked.
    ROOTS.lock().unwrap_or_else(PoisonError::into_inner)
}
