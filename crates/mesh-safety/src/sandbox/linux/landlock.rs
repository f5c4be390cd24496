//! Landlock over the new root: a second wall, of another kind, behind the mounts.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{
    super::{Policy, SandboxError, error::Step, places::DEVICES},
    seen, sys,
};

/// Oldest version that we trust: it knows renames and truncation (Linux 6.2).
const OLDEST: u32 = 3;

// LANDLOCK_ACCESS_FS_* of linux/landlock.h.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_BLOCK: u64 = 1 << 11;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

/// Rights on files up to version 3; version 5 adds one.
const ALL_3: u64 = (1 << 15) - 1;

/// Of these, what a rule for a single file may name.
const FILE_RIGHTS: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET` and `LANDLOCK_SCOPE_SIGNAL`.
const SCOPES: u64 = 3;

/// The rules of a command.
pub(super) struct Rules {
    ruleset: OwnedFd,
    all: u64,
}

impl Rules {
    /// Rules that deny all.
    pub(super) fn new() -> Result<Rules, SandboxError> {
        let version = sys::landlock_version().step(|| "asking for Landlock".into())?;
        if version < OLDEST {
            let missing = format!("Landlock is of version {version}, and {OLDEST} is needed (Linux 6.2)");
            return Err(SandboxError::Unavailable { missing });
        }
        let all = if version >= 5 { ALL_3 | IOCTL_DEV } else { ALL_3 };
        let ruleset = sys::landlock_ruleset(all, (version >= 6).then_some(SCOPES))
            .step(|| "making Landlock rules".into())?;
        Ok(Rules { ruleset, all })
    }

    /// Rules for what stands in the new root.
    pub(super) fn for_root(policy: &Policy) -> Result<Rules, SandboxError> {
        let rules = Rules::new()?;
        rules.see("/")?;
        for folder in ["/tmp", "/dev/shm"] {
            rules.write(folder)?;
        }
        if let Some(home) = &policy.home {
            rules.write(home)?;
        }
        for root in &policy.writable {
            rules.write(root)?;
        }
        rules.device("/dev")?;
        Ok(rules)
    }

    /// Rules for the host's own root, where there are no mounts to hide behind: what the new root would have held.
    pub(super) fn for_host(policy: &Policy, scratch: &Path) -> Result<Rules, SandboxError> {
        let rules = Rules::new()?;
        for place in seen::seen(policy) {
            if place == Path::new("/etc") {
                // Rules only add: what is hidden is left out, one by one.
                let entries = std::fs::read_dir("/etc").step(|| "reading /etc".into())?;
                let hidden = seen::hidden();
                let seen = entries.flatten().map(|entry| entry.path()).filter(|path| !hidden.contains(path));
                for path in seen {
                    rules.see(path)?;
                }
            } else {
                rules.see(place)?;
            }
        }
        rules.see("/proc")?;
        for root in policy.writable.iter().map(PathBuf::as_path).chain([scratch]) {
            rules.write(root)?;
        }
        for name in DEVICES {
            rules.device(Path::new("/dev").join(name))?;
        }
        Ok(rules)
    }

    /// Reading and running below a place.
    pub(super) fn see(&self, path: impl AsRef<Path>) -> Result<(), SandboxError> {
        self.allow(path.as_ref(), EXECUTE | READ_FILE | READ_DIR)
    }

    /// Everything below a place but making devices.
    pub(super) fn write(&self, path: impl AsRef<Path>) -> Result<(), SandboxError> {
        self.allow(path.as_ref(), self.all & !(MAKE_CHAR | MAKE_BLOCK))
    }

    /// Reading from and writing to the devices of a folder.
    pub(super) fn device(&self, path: impl AsRef<Path>) -> Result<(), SandboxError> {
        self.allow(path.as_ref(), READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | IOCTL_DEV)
    }

    fn allow(&self, path: &Path, rights: u64) -> Result<(), SandboxError> {
        let step = || format!("allowing {} in Landlock", path.display());
        let place = match openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(place) => place,
            // What is not there needs no rule.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(error).step(step),
        };
        let stat = rustix::fs::fstat(&place).step(step)?;
        let is_folder = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory;
        let rights = rights & self.all & if is_folder { u64::MAX } else { FILE_RIGHTS };
        sys::landlock_allow(self.ruleset.as_fd(), rights, place.as_fd()).step(step)
    }

    /// Puts the rules over this thread and all that it starts.
    pub(super) fn enforce(&self) -> Result<(), SandboxError> {
        sys::landlock_restrict(self.ruleset.as_fd()).step(|| "enforcing Landlock".into())
    }
}
