//! Something to mount over where a protected name is absent, so that nobody can make it: there while a command runs.
//!
//! In a work tree a stand-in is a socket node that nobody may open: git stages no sockets, and reading one fails at once. In
//! a `.git` folder, which nothing is staged from, it is a small file that git can read. Commands that overlap, also of other
//! programs, share them: each holds a shared lock on the writable folder, and whoever gets it alone at the end clears up. A
//! stand-in is known by its looks, so one that a killed program left behind is cleared up by the next.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, ResolveFlags, flock, linkat, mknodat, openat,
        openat2, statat, unlinkat,
    },
    io::Errno,
};

use super::scan::is_there;

/// How long we wait for another command to clear up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longer is no stand-in.
const LONGEST: u64 = 64;

/// A protected name that is to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name.
    pub(super) path: PathBuf,
    /// `None` in a work tree; in a `.git` folder the text of the file.
    pub(super) text: Option<&'static str>,
}

/// What has a protected name while a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// What was there.
    There,
    /// A stand-in.
    StandIn,
    /// Nothing, and nothing can be made there.
    Absent,
}

/// The writable folders of one command, held so that nobody clears up in them.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<File>);

/// The protected names of one command. Dropping them clears up, if no other command needs the stand-ins.
#[derive(Debug)]
pub(super) struct StandIns {
    locks: Locks,
    /// All names.
    pub(super) names: Vec<(Wanted, State)>,
}

/// Whether what has this name is a stand-in.
pub(super) fn is_stand_in(wanted: &Wanted) -> bool {
    let (Some(parent), Some(name)) = (wanted.path.parent(), wanted.path.file_name()) else { return false };
    open_plain(parent).is_ok_and(|folder| is_stand_in_of(&folder, name, wanted.text))
}

/// Whether what has this name in a folder is a stand-in with this text.
fn is_stand_in_of(folder: &OwnedFd, name: &OsStr, text: Option<&str>) -> bool {
    let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let (kind, mode) = (FileType::from_raw_mode(stat.st_mode), stat.st_mode & 0o777);
    let Some(text) = text else { return kind == FileType::Socket && mode == 0 };
    // Nobody but us makes such a file read-only to all and of these bytes.
    let looks = kind == FileType::RegularFile && mode == 0o444 && stat.st_nlink == 1;
    let holds = || {
        let file = openat(folder, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let mut bytes = Vec::new();
        File::from(file).take(LONGEST).read_to_end(&mut bytes)?;
        io::Result::Ok(bytes == text.as_bytes())
    };
    looks && stat.st_size == text.len() as i64 && holds().unwrap_or(false)
}

/// Holds these folders. Whoever forks has the new process hold them too.
///
/// # Errors
/// A folder cannot be read, or another command clears up in it for too long.
pub(super) fn lock(roots: &[PathBuf]) -> io::Result<Locks> {
    let mut locks = Locks::default();
    for root in roots {
        let lock = File::open(root)?;
        wait_for(&lock)?;
        locks.0.push(lock);
    }
    Ok(locks)
}

/// Holds these names: those that are absent get a stand-in.
///
/// # Errors
/// A folder cannot be written.
pub(super) fn hold(locks: Locks, wanted: Vec<Wanted>) -> io::Result<StandIns> {
    let mut held = StandIns { locks, names: Vec::new() };
    let mut maker = Maker { folder: Folder::default(), node: None };
    for wanted in wanted {
        let state = match maker.make(&wanted) {
            Ok(()) => State::StandIn,
            // Also by another command that needs it now, or by one that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match is_stand_in(&wanted) {
                true => State::StandIn,
                false => State::There,
            },
            // Where nobody can write, nobody can make it.
            Err(error) if is_refusal(&error) => match is_there(&wanted.path) {
                true => State::There,
                false => State::Absent,
            },
            Err(error) => return Err(error),
        };
        held.names.push((wanted, state));
    }
    Ok(held)
}

fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    let is_link = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    is_link || matches!(error.kind(), NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem)
}

fn wait_for(lock: &File) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match flock(lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes stand-ins, each in a folder that no link leads to: another command may be at work and swap one for a link.
struct Maker {
    folder: Folder,
    /// The first node: one under many names is made faster than many.
    node: Option<(OwnedFd, OsString)>,
}

impl Maker {
    fn make(&mut self, wanted: &Wanted) -> io::Result<()> {
        let (folder, name) = self.folder.of(&wanted.path)?;
        let Some(text) = wanted.text else {
            if let Some((first, known)) = &self.node {
                match linkat(first, known, folder, name, AtFlags::empty()) {
                    Ok(()) => return Ok(()),
                    Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
                    // Another disk, or a disk without such links.
                    Err(_) => {}
                }
            }
            mknodat(folder, name, FileType::Socket, Mode::empty(), 0)?;
            self.node = Some((folder.try_clone()?, name.to_owned()));
            return Ok(());
        };
        if statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(Errno::EXIST.into());
        }
        // Written under another name first: nobody sees half of it.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let draft = format!(".meshapi-{}-{now}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(folder, &*draft, flags, Mode::from_raw_mode(0o600))?);
        let written = io::Write::write_all(&mut file, text.as_bytes())
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o444)))
            .and_then(|()| Ok(linkat(folder, &*draft, folder, name, AtFlags::empty())?));
        unlinkat(folder, &*draft, AtFlags::empty())?;
        written
    }
}

/// The folder of the last name: names come sorted.
#[derive(Default)]
struct Folder(Option<(PathBuf, OwnedFd)>);

impl Folder {
    /// The folder of a path, to which no link leads, and the name in it.
    fn of<'a>(&mut self, path: &'a Path) -> io::Result<(&OwnedFd, &'a OsStr)> {
        let none = || io::Error::from(io::ErrorKind::NotFound);
        let (parent, name) = (path.parent().ok_or_else(none)?, path.file_name().ok_or_else(none)?);
        let known = match self.0.take().filter(|(known, _)| known == parent) {
            Some(known) => known,
            None => (parent.to_owned(), open_plain(parent)?),
        };
        Ok((&self.0.insert(known).1, name))
    }
}

fn open_plain(folder: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(CWD, folder, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)
}

impl Drop for StandIns {
    fn drop(&mut self) {
        // With another command at work in one of the folders, the last of them clears up.
        let alone = |lock: &File| flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        let mut ours = self.names.iter().filter(|(_, state)| *state == State::StandIn).peekable();
        if ours.peek().is_some() && self.locks.0.iter().all(alone) {
            let mut folder = Folder::default();
            for (wanted, _) in ours {
                let Ok((folder, name)) = folder.of(&wanted.path) else { continue };
                if is_stand_in_of(folder, name, wanted.text) {
                    let _ = unlinkat(folder, name, AtFlags::empty());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(root: &Path) -> Vec<Wanted> {
        vec![
            Wanted { path: root.join(".vscode"), text: None },
            Wanted { path: root.join(".git/commondir"), text: Some(".\n") },
        ]
    }

    fn ours(held: &StandIns) -> usize {
        held.names.iter().filter(|(_, state)| *state == State::StandIn).count()
    }

    #[test]
    fn stand_ins_last_as_long_as_their_last_user() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        fs::create_dir(root.join(".git")).unwrap();
        let roots = [root.clone()];
        let first = hold(lock(&roots).unwrap(), wanted(&root)).unwrap();
        let second = hold(lock(&roots).unwrap(), wanted(&root)).unwrap();
        assert_eq!((ours(&first), ours(&second)), (2, 2));
        drop(first);
        assert!(is_there(&root.join(".vscode")) && is_there(&root.join(".git/commondir")));
        drop(second);
        assert!(!is_there(&root.join(".vscode")) && !is_there(&root.join(".git/commondir")));
        assert_eq!(fs::read_dir(root.join(".git")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_there_stays_and_what_a_killed_program_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        fs::create_dir(root.join(".git")).unwrap();
        fs::write(root.join(".git/commondir"), "..").unwrap();
        let left = hold(Locks::default(), wanted(&root)).unwrap();
        assert_eq!(ours(&left), 1);
        std::mem::forget(left);
        drop(hold(lock(std::slice::from_ref(&root)).unwrap(), wanted(&root)).unwrap());
        assert!(!is_there(&root.join(".vscode")));
        assert_eq!(fs::read_to_string(root.join(".git/commondir")).unwrap(), "..");
    }
}
