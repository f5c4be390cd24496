//! The small root that a command sees: the system and the toolchains read-only, the writable folders, nothing else.
//!
//! What is not bound does not exist, so no list of secrets has to be complete (spec/safety.md 7, model B).

use std::{
    ffi::OsStr,
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, accessat, chmodat, fstat, mkdirat,
        mknodat, openat, openat2, symlinkat,
    },
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
        move_mount, open_tree, unmount,
    },
    process::{chdir, pivot_root},
};

use super::{
    super::{Policy, SandboxError, error::Step, places::DEVICES},
    guard::{Cover, Guard},
    seen::{System, home_seen},
    sys,
};

// MOUNT_ATTR_* of linux/mount.h.
const READ_ONLY: u64 = 1;
const NO_SUID: u64 = 2;
const NO_DEVICES: u64 = 4;

/// Where the new root is built: any folder that every machine has, and that is covered only for us.
const BUILT_AT: &str = "/tmp";

/// What stands behind covers, relative to the new root. Over the folder the old root stands for a moment.
const EMPTY_FOLDER: &str = "run/empty";
const EMPTY_FILE: &str = "run/none";

/// The root and what is private to a command, all in memory: one file system is made and ended faster than four.
const SIZE: &std::ffi::CStr = c"size=3g,mode=0755";

/// Files of the kernel that tell of others or can be told something, even by root without rights.
const KERNEL_HIDDEN: [&str; 6] = ["kcore", "keys", "key-users", "timer_list", "sysrq-trigger", "kallsyms"];

/// A part of the old root, taken before it goes.
struct Part {
    tree: OwnedFd,
    /// Where it is put.
    target: PathBuf,
    is_folder: bool,
    /// The way there is of our own making: no command ever could put a link on it.
    is_ours: bool,
}

/// Builds the root and enters it; the old one is still there until [`leave_old`]. What is covered is asked for last.
pub(super) fn enter(
    policy: &Policy,
    guard: impl FnOnce() -> Result<Guard, SandboxError>,
) -> Result<(), SandboxError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step(|| "making mounts private".into())?;
    let system = System::look();
    let parts = take(policy, &system)?;
    mount("tmpfs", BUILT_AT, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(SIZE))
        .step(|| "mounting a new root".into())?;
    chdir(BUILT_AT).step(|| "entering the new root".into())?;
    let root = openat(CWD, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .step(|| "opening the new root".into())?;
    let new = NewRoot { root: root.as_fd() };
    new.fill(policy, parts, system.links)?;
    new.cover(&guard()?)?;
    pivot_root(".", EMPTY_FOLDER).step(|| "changing the root".into())?;
    chdir("/").step(|| "entering /".into())?;
    let top = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step(|| "opening /".into())?;
    sys::set_mount(top.as_fd(), READ_ONLY | NO_SUID | NO_DEVICES, false).step(|| "closing the root".into())
}

/// Lets the old root go, so that it cannot be reached. The kernel waits in this for all its processors.
pub(super) fn leave_old() -> io::Result<()> {
    Ok(unmount(Path::new("/").join(EMPTY_FOLDER), UnmountFlags::DETACH)?)
}

/// Takes a detached copy of a tree of mounts.
fn copy(from: BorrowedFd<'_>, path: impl AsRef<Path>, attributes: u64) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(from, path.as_ref(), flags)?;
    sys::set_mount(tree.as_fd(), attributes, true)?;
    Ok(tree)
}

/// Opens a place without following any link.
fn open_plain(from: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    openat2(
        from,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Everything that is seen inside, in the order in which it is put: outer places first.
fn take(policy: &Policy, system: &System) -> Result<Vec<Part>, SandboxError> {
    const SEEN: u64 = READ_ONLY | NO_SUID | NO_DEVICES;
    let mut parts = Vec::new();
    for place in &system.folders {
        let part = take_if_there(Path::new(place), SEEN)?;
        parts.extend(part.map(|part| Part { is_ours: true, ..part }));
    }
    for path in home_seen(policy).iter().chain(&policy.readable) {
        parts.extend(take_if_there(path, SEEN)?);
    }
    if let Some(session) = &policy.session {
        for (name, target) in [("tmp", Some(Path::new("/tmp"))), ("home", policy.home.as_deref())] {
            let Some(target) = target else { continue };
            let tree = copy(CWD, session.join(name), NO_SUID | NO_DEVICES)
                .step(|| format!("binding the session's {name}"))?;
            parts.push(Part { tree, target: target.to_owned(), is_folder: true, is_ours: false });
        }
    }
    for root in &policy.writable {
        // A folder that was swapped for a link since it was judged is not the one that was meant.
        let place = open_plain(CWD, root).step(|| format!("opening {}", root.display()))?;
        let tree =
            copy(place.as_fd(), "", NO_SUID | NO_DEVICES).step(|| format!("binding {}", root.display()))?;
        parts.push(Part { tree, target: root.clone(), is_folder: true, is_ours: false });
    }
    parts.sort_by_key(|part| part.target.components().count());
    let others: Vec<PathBuf> =
        parts.iter().filter(|part| !part.is_ours).map(|part| part.target.clone()).collect();
    for part in &mut parts {
        part.is_ours &= !others.iter().any(|other| part.target.starts_with(other));
    }
    // Devices are nodes of the host: NODEV would make them useless.
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        if let Ok(tree) = copy(CWD, &path, NO_SUID) {
            parts.push(Part { tree, target: path, is_folder: false, is_ours: true });
        }
    }
    Ok(parts)
}

fn take_if_there(path: &Path, attributes: u64) -> Result<Option<Part>, SandboxError> {
    match copy(CWD, path, attributes) {
        Ok(tree) => {
            let is_folder = is_folder(tree.as_fd());
            Ok(Some(Part { tree, target: path.to_owned(), is_folder, is_ours: false }))
        }
        // What is not there or not for us is not seen.
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).step(|| format!("binding {}", path.display())),
    }
}

fn is_folder(place: BorrowedFd<'_>) -> bool {
    let kind = fstat(place).map(|stat| FileType::from_raw_mode(stat.st_mode));
    kind.is_ok_and(|kind| kind == FileType::Directory)
}

struct NewRoot<'a> {
    root: BorrowedFd<'a>,
}

impl NewRoot<'_> {
    fn fill(
        &self,
        policy: &Policy,
        parts: Vec<Part>,
        links: Vec<(&str, PathBuf)>,
    ) -> Result<(), SandboxError> {
        for folder in ["proc", "dev", "dev/pts", "run", EMPTY_FOLDER, "tmp", "var", "sys"] {
            self.folder(Path::new(folder)).step(|| format!("making /{folder}"))?;
        }
        self.file(Path::new(EMPTY_FILE)).step(|| "making an empty file".into())?;
        // Read-only once, so that what is taken from them is too.
        for empty in [EMPTY_FOLDER, EMPTY_FILE] {
            self.pin(Path::new(empty), READ_ONLY).step(|| format!("closing /{empty}"))?;
        }
        for (link, says) in links {
            self.link(&says, Path::new(link)).step(|| format!("linking {link}"))?;
        }
        self.link(Path::new("/tmp"), Path::new("/var/tmp")).step(|| "linking /var/tmp".into())?;
        self.link(Path::new("/run"), Path::new("/var/run")).step(|| "linking /var/run".into())?;
        for (name, says) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "fd/0"),
            ("stdout", "fd/1"),
            ("stderr", "fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            self.link(Path::new(says), &Path::new("/dev").join(name))
                .step(|| format!("linking /dev/{name}"))?;
        }
        if policy.session.is_none() {
            self.private(Path::new("tmp"), 0o1777)?;
            if let Some(home) = policy.home.as_deref().filter(|home| !policy.may_write(home)) {
                self.private(home, 0o755)?;
            }
        }
        self.private(Path::new("dev/shm"), 0o1777)?;
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        mount("devpts", "dev/pts", "devpts", flags, Some(c"newinstance,ptmxmode=0666,mode=0620"))
            .step(|| "mounting /dev/pts".into())?;
        mount("proc", "proc", "proc", flags | MountFlags::NODEV, Some(c"hidepid=4"))
            .step(|| "mounting /proc".into())?;
        for part in parts {
            self.put(part)?;
        }
        limit_processes(policy.limits.processes);
        for name in KERNEL_HIDDEN {
            let path = Path::new("proc").join(name);
            // Not every kernel has each of them; a tree that is taken and not put anywhere costs as much as an unmount.
            if accessat(self.root, &path, Access::EXISTS, AtFlags::empty()).is_ok() {
                self.empty(EMPTY_FILE, &path).step(|| format!("hiding /proc/{name}"))?;
            }
        }
        self.read_only("proc")
    }

    /// Covers what must not be seen, or not be changed.
    fn cover(&self, guard: &Guard) -> Result<(), SandboxError> {
        // The folder of the last one: they come sorted.
        let mut last: Option<(&Path, Option<OwnedFd>)> = None;
        for (path, cover) in &guard.covers {
            let step = || format!("covering {}", path.display());
            match cover {
                Cover::EmptyFile | Cover::EmptyFolder => {
                    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
                    let known = match last.take().filter(|(known, _)| *known == parent) {
                        Some(known) => known,
                        None => (parent, self.open(parent).step(step)?),
                    };
                    if let (_, Some(folder)) = last.insert(known) {
                        let empty = if *cover == Cover::EmptyFile { EMPTY_FILE } else { EMPTY_FOLDER };
                        self.hide(empty, folder, name).step(step)?;
                    }
                }
                Cover::Pin | Cover::ReadOnly => {
                    let Some(place) = self.open(path).step(step)? else { continue };
                    let attributes =
                        NO_SUID | NO_DEVICES | if *cover == Cover::ReadOnly { READ_ONLY } else { 0 };
                    let tree = copy(place.as_fd(), "", attributes).step(step)?;
                    attach(&tree, place.as_fd()).step(step)?;
                    // What was opened before lies under it.
                    last = None;
                }
            }
        }
        Ok(())
    }

    fn put(&self, part: Part) -> Result<(), SandboxError> {
        let step = || format!("putting {} in its place", part.target.display());
        let inside = relative(&part.target);
        let made = if part.is_folder { self.folder(inside) } else { self.file(inside) };
        match made {
            // Inside a part that is read-only it is there already, or cannot be.
            Ok(()) | Err(Errno::ROFS | Errno::ACCESS) => {}
            Err(error) => return Err(error).step(step),
        }
        if part.is_ours {
            return self.attach(&part.tree, inside).step(step);
        }
        let place = open_plain(self.root, inside).step(step)?;
        attach(&part.tree, place.as_fd()).step(step)
    }

    /// Opens a place inside. `None` when it is not there or a link: links are judged by what they lead to.
    fn open(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        match open_plain(self.root, relative(path)) {
            Ok(place) => Ok(Some(place)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts something empty over a name in an opened folder. A link of that name is covered itself, and nothing is followed.
    fn hide(&self, empty: &str, folder: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
        // A tree that is taken and not put anywhere costs as much as an unmount.
        match accessat(folder, name, Access::EXISTS, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::NOENT | Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(error),
        }
        let tree = self.empty_tree(empty)?;
        move_mount(&tree, "", folder, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    }

    /// A tree of something empty, to be put somewhere.
    fn empty_tree(&self, empty: &str) -> rustix::io::Result<OwnedFd> {
        open_tree(self.root, empty, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
    }

    /// Puts an empty file or folder over a place to which no command could put a link.
    fn empty(&self, empty: &str, path: &Path) -> rustix::io::Result<()> {
        self.attach(&self.empty_tree(empty)?, path)
    }

    /// Puts a tree over a place to which no command could put a link.
    fn attach(&self, tree: &OwnedFd, path: &Path) -> rustix::io::Result<()> {
        move_mount(tree, "", self.root, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    }

    /// Makes a mount of a place of the new root, with attributes of its own.
    fn pin(&self, path: &Path, attributes: u64) -> io::Result<()> {
        let tree = copy(self.root, path, attributes | NO_SUID | NO_DEVICES)?;
        Ok(self.attach(&tree, path)?)
    }

    fn read_only(&self, path: &str) -> Result<(), SandboxError> {
        let step = || format!("making /{path} read-only");
        let place = openat(self.root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step(step)?;
        sys::set_mount(place.as_fd(), READ_ONLY | NO_SUID | NO_DEVICES, true).step(step)
    }

    /// A folder in memory that stays writable when the root is closed.
    fn private(&self, path: &Path, mode: u32) -> Result<(), SandboxError> {
        let step = || format!("making a private {}", path.display());
        let inside = relative(path);
        self.folder(inside).step(step)?;
        // The mask of the caller may have taken bits away.
        chmodat(self.root, inside, Mode::from_raw_mode(mode), AtFlags::empty()).step(step)?;
        self.pin(inside, 0).step(step)
    }

    /// Makes a folder and those above it.
    fn folder(&self, path: &Path) -> rustix::io::Result<()> {
        let inside = relative(path);
        match mkdirat(self.root, inside, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(Errno::NOENT) => {
                self.folder(inside.parent().unwrap_or(Path::new("")))?;
                mkdirat(self.root, inside, Mode::from_raw_mode(0o755))
            }
            Err(error) => Err(error),
        }
    }

    /// Makes an empty file and the folders above it.
    fn file(&self, path: &Path) -> rustix::io::Result<()> {
        let inside = relative(path);
        let make = || mknodat(self.root, inside, FileType::RegularFile, Mode::from_raw_mode(0o444), 0);
        match make() {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(Errno::NOENT) => {
                self.folder(inside.parent().unwrap_or(Path::new("")))?;
                make()
            }
            Err(error) => Err(error),
        }
    }

    fn link(&self, says: &Path, path: &Path) -> rustix::io::Result<()> {
        match symlinkat(says, self.root, relative(path)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn attach(tree: &OwnedFd, place: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, "", place, "", flags)?)
}

/// An absolute path as seen from the new root.
fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Lets only so many processes live at a time: also root's, which no rlimit binds.
///
/// Since Linux 6.14 `pid_max` belongs to the namespace. Once the numbers have wrapped, the kernel gives none below 301: we
/// start there, so that the count is the same first and last. Where it cannot be set, the rlimit remains.
fn limit_processes(processes: u32) {
    /// `RESERVED_PIDS` of kernel/pid.c.
    const RESERVED: u32 = 300;
    if fs::write("proc/sys/kernel/ns_last_pid", RESERVED.to_string()).is_ok() {
        let _ = fs::write("proc/sys/kernel/pid_max", (RESERVED + 1 + processes).to_string());
    }
}
