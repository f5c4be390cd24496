//! Linux: everything is opened beneath a descriptor, and no link is followed on the way.
//!
//! By `openat2` with `RESOLVE_BENEATH`, `NO_SYMLINKS` and `NO_MAGICLINKS`. Where the kernel has no such call (before 5.6) or a
//! filter refuses it, name by name with `O_NOFOLLOW`, which answers the same with more calls.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A folder, held by its descriptor: what is renamed or replaced around it changes nothing.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    /// Its entries can be read and its changes synced; else it can only be gone through.
    is_readable: bool,
}

impl Folder {
    /// Opens the folder at an absolute path without links.
    pub(super) fn open(real: &Path) -> io::Result<Folder> {
        let root = root()?;
        let below = real.strip_prefix("/").unwrap_or(real);
        match beneath(root.as_fd(), below, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => Ok(Folder { fd, is_readable: true }),
            Err(Errno::ACCESS) => {
                let fd = beneath(root.as_fd(), below, OFlags::PATH | OFlags::DIRECTORY)?;
                Ok(Folder { fd, is_readable: false })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the folder at an absolute path without links; what is missing of it is made.
    pub(super) fn make(real: &Path) -> io::Result<Folder> {
        let mut missing: Vec<&OsStr> = Vec::new();
        let mut stands = real;
        let mut folder = loop {
            match (Folder::open(stands), stands.parent(), stands.file_name()) {
                (Err(error), Some(above), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
                    missing.push(name);
                    stands = above;
                }
                (opened, ..) => break opened?,
            }
        };
        for name in missing.into_iter().rev() {
            match rustix::fs::mkdirat(&folder.fd, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let fd = beneath(folder.fd.as_fd(), Path::new(name), OFlags::RDONLY | OFlags::DIRECTORY)?;
            folder = Folder { fd, is_readable: true };
        }
        Ok(folder)
    }

    /// Opens for reading what stands below; a pipe does not hold us.
    pub(super) fn read(&self, below: &Path) -> io::Result<File> {
        Ok(beneath(self.fd.as_fd(), below, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?.into())
    }

    /// Opens for writing what stands below, and leaves its content.
    pub(super) fn write(&self, below: &Path) -> io::Result<File> {
        Ok(beneath(self.fd.as_fd(), below, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?.into())
    }

    /// What stands below; of a link, the link itself.
    pub(super) fn about(&self, below: &Path) -> io::Result<Metadata> {
        File::from(beneath(self.fd.as_fd(), below, OFlags::PATH | OFlags::NOFOLLOW)?).metadata()
    }

    /// Where a link in the folder leads.
    pub(super) fn link(&self, name: &OsStr) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(&self.fd, name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// The names in the folder.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        let entries = rustix::fs::Dir::read_from(&self.fd)?;
        let name = |entry: Result<rustix::fs::DirEntry, Errno>| match entry {
            Ok(entry) => Ok(OsString::from_vec(entry.file_name().to_bytes().to_vec())),
            Err(error) => Err(error.into()),
        };
        Ok(entries.map(name).filter(|name| !name.as_ref().is_ok_and(|name| name == "." || name == "..")))
    }

    /// Makes a file that was not there, as any program would: the umask takes its part of the mode.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o666))?.into())
    }

    /// Gives an entry of the folder another name in it; what had that name is gone, and never written through.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Takes an entry out of the folder.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Puts changed names on the disk. A file system without this call is no failure.
    pub(super) fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.fd) {
            Err(Errno::INVAL | Errno::ACCESS) => Ok(()),
            Err(Errno::BADF) if !self.is_readable => Ok(()),
            other => Ok(other?),
        }
    }

    /// Whether the folder still stands there. Where `/proc` cannot tell, it is taken to.
    pub(super) fn is_at(&self, real: &Path) -> bool {
        let Ok(now) = fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd())) else { return true };
        // A file system that does not tell case apart may show the name as it was first written.
        now.to_string_lossy().to_lowercase() == real.to_string_lossy().to_lowercase()
    }
}

fn root() -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a path of plain names beneath a folder. A link anywhere on it is [`Errno::LOOP`].
fn beneath(folder: BorrowedFd<'_>, below: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    match by_kernel(folder, below, flags) {
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::TOOBIG | Errno::AGAIN) => {
            by_names(folder, below, flags)
        }
        other => other,
    }
}

fn by_kernel(folder: BorrowedFd<'_>, below: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(folder, below, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn by_names(folder: BorrowedFd<'_>, below: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let last = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut names = Vec::new();
    for component in below.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        }
    }
    let Some((name, above)) = names.split_last() else {
        return rustix::fs::openat(folder, ".", last, Mode::empty());
    };
    let mut held: Option<OwnedFd> = None;
    let at = |held: &Option<OwnedFd>, name: &OsStr, flags| match held {
        Some(fd) => rustix::fs::openat(fd, name, flags, Mode::empty()),
        None => rustix::fs::openat(folder, name, flags, Mode::empty()),
    };
    for name in above {
        held = Some(at(&held, name, step)?);
    }
    at(&held, name, last)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    type Way = fn(BorrowedFd<'_>, &Path, OFlags) -> Result<OwnedFd, Errno>;

    /// An old kernel, or a filter that refuses the newer call, answers as the newer call does.
    #[test]
    fn both_ways_open_the_same() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), "x").unwrap();
        symlink("b", at("a/link")).unwrap();
        symlink("/etc", at("away")).unwrap();
        symlink("file", at("a/b/other")).unwrap();
        let real = tree.path().canonicalize().unwrap();
        let folder = Folder::open(&real).unwrap();
        for way in [by_kernel as Way, by_names as Way] {
            let open = |below: &str, flags| way(folder.fd.as_fd(), Path::new(below), flags);
            assert!(open("a/b/file", OFlags::RDONLY).is_ok());
            assert!(open("a/./b/file", OFlags::RDONLY).is_ok());
            assert!(open("", OFlags::RDONLY | OFlags::DIRECTORY).is_ok());
            assert!(
                open("a/b/other", OFlags::PATH | OFlags::NOFOLLOW).is_ok(),
                "the link itself may be looked at"
            );
            assert_eq!(open("a/b/none", OFlags::RDONLY).unwrap_err(), Errno::NOENT);
            assert_eq!(open("a/b/other", OFlags::RDONLY).unwrap_err(), Errno::LOOP);
            for below in ["a/link/file", "away/hosts", "away"] {
                let error = open(below, OFlags::RDONLY | OFlags::DIRECTORY).unwrap_err();
                assert!(matches!(error, Errno::LOOP | Errno::NOTDIR), "{below}: {error}");
            }
            for below in ["..", "a/../..", "a/../../etc", "/etc"] {
                assert!(open(below, OFlags::RDONLY).is_err(), "{below}");
            }
        }
    }

    #[test]
    fn missing_folders_are_made_and_never_through_a_link() {
        let tree = tempfile::tempdir().unwrap();
        let real = tree.path().canonicalize().unwrap();
        Folder::make(&real.join("a/b/c")).unwrap();
        assert!(real.join("a/b/c").is_dir());
        symlink("/tmp", real.join("away")).unwrap();
        assert!(Folder::make(&real.join("away/new")).is_err());
        assert!(Folder::make(&real.join("a/b/c")).unwrap().is_at(&real.join("a/b/c")));
        let folder = Folder::make(&real.join("a")).unwrap();
        fs::rename(real.join("a"), real.join("z")).unwrap();
        assert!(!folder.is_at(&real.join("a")) && folder.is_at(&real.join("z")));
    }
}
