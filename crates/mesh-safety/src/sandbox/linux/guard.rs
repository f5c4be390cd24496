//! Which paths are covered: read-only, pinned in their place, or hidden. Looked for outside, while the root is built inside.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    super::{
        places::{HOME_SECRETS, HOME_STARTUP, PROTECTED},
        policy::Policy,
        scan::{Found, is_there},
        stand_ins::{StandIns, State, Wanted},
    },
    seen,
};

/// How a path is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cover {
    /// Itself, writable: only so that it cannot be moved away.
    Pin,
    /// Itself, read-only.
    ReadOnly,
    /// An empty file, read-only.
    EmptyFile,
    /// An empty folder, read-only.
    EmptyFolder,
}

/// The covers of one command, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) covers: Vec<(PathBuf, Cover)>,
}

/// Names in a `.git` folder that say what git runs or where it looks, with the text of their stand-in. With `commondir` at
/// `.` git works as without it (spec/safety.md 7).
const GIT_NAMES: [(&str, &str); 4] =
    [("hooks", ""), ("config", ""), ("config.worktree", ""), ("commondir", ".\n")];

impl Guard {
    /// All protected names in the writable folders, there or not.
    pub(super) fn names(policy: &Policy, found: &Found) -> Vec<Wanted> {
        let mut names = Vec::new();
        let in_tree = |path: PathBuf| Wanted { path, text: None };
        let tops = policy.writable.iter().chain(&found.tops);
        for top in tops {
            for name in PROTECTED {
                names.push(in_tree(protected_in(top, name)));
            }
        }
        for repository in &found.repositories {
            for (name, text) in GIT_NAMES {
                if policy.git_setup && name == "config" {
                    continue;
                }
                // A worktree has a commondir of its own, and neither hooks nor settings.
                names.push(Wanted { path: repository.folder.join(name), text: Some(text) });
            }
        }
        for place in home_places(policy) {
            names.push(in_tree(place));
        }
        names.extend(found.settings.iter().cloned().map(in_tree));
        names.sort_by(|a, b| a.path.cmp(&b.path));
        names.dedup_by(|a, b| a.path == b.path);
        names
    }

    /// How each of them is covered, now that stand-ins are held.
    pub(super) fn of(policy: &Policy, found: &Found, held: &StandIns) -> Guard {
        let mut covers = Vec::new();
        for (wanted, state) in &held.names {
            let cover = match (state, wanted.text) {
                (State::Absent, _) => continue,
                (State::StandIn, None) => Cover::EmptyFile,
                (State::StandIn, Some(_)) | (State::There, _) => Cover::ReadOnly,
            };
            covers.push((wanted.path.clone(), cover));
            if *state == State::There && is_linked(&wanted.path) {
                // Behind a link stands what counts; the link is one more name.
                let target = wanted.path.canonicalize();
                let target = target.ok().filter(|target| policy.may_write(target));
                covers.extend(
                    target.filter(|to| !policy.writable.contains(to)).map(|to| (to, Cover::ReadOnly)),
                );
            }
        }
        for repository in &found.repositories {
            if !policy.writable.contains(&repository.folder) {
                covers.push((repository.folder.clone(), Cover::Pin));
            }
            let path = repository.folder.join("gitdir");
            if repository.is_worktree && is_there(&path) {
                covers.push((path, Cover::ReadOnly));
            }
        }
        for socket in &found.sockets {
            covers.push((socket.clone(), Cover::EmptyFile));
        }
        for place in hidden_places(policy).into_iter().chain(seen::hidden()) {
            // Links are judged by what they lead to.
            let Ok(meta) = place.symlink_metadata() else { continue };
            if !meta.is_symlink() {
                covers.push((place, if meta.is_dir() { Cover::EmptyFolder } else { Cover::EmptyFile }));
            }
        }
        // Outermost first, and of two covers of one path the stronger.
        covers.sort();
        covers.reverse();
        covers.dedup_by(|a, b| a.0 == b.0);
        covers.reverse();
        Guard { covers }
    }

    /// The covers as bytes: of each what it is, its path, and a NUL, which no path holds; an [`END`] after all.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, cover) in &self.covers {
            bytes.push(cover.mark());
            bytes.extend_from_slice(path.as_os_str().as_bytes());
            bytes.push(0);
        }
        bytes.push(END);
        bytes
    }

    /// Reads what [`to_bytes`](Guard::to_bytes) wrote, and nothing less.
    pub(super) fn from_bytes(bytes: &[u8]) -> io::Result<Guard> {
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let bytes = bytes.strip_suffix(&[END]).ok_or_else(broken)?;
        let mut covers = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == 0) {
            let line = line.strip_suffix(&[0]).ok_or_else(broken)?;
            let (mark, path) = line.split_first().ok_or_else(broken)?;
            covers.push((OsStr::from_bytes(path).into(), Cover::of_mark(*mark).ok_or_else(broken)?));
        }
        Ok(Guard { covers })
    }
}

/// After the last cover.
const END: u8 = b'.';

impl Cover {
    fn mark(self) -> u8 {
        match self {
            Cover::Pin => b'p',
            Cover::ReadOnly => b'r',
            Cover::EmptyFile => b'e',
            Cover::EmptyFolder => b'f',
        }
    }

    fn of_mark(mark: u8) -> Option<Cover> {
        [Cover::Pin, Cover::ReadOnly, Cover::EmptyFile, Cover::EmptyFolder]
            .into_iter()
            .find(|cover| cover.mark() == mark)
    }
}

/// Whether a name, or the folder that it stands in, is a link. What is above was looked through without following any.
fn is_linked(path: &Path) -> bool {
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    is_link(path) || path.parent().is_some_and(is_link)
}

/// A protected name below a top. Of `.cargo/config` the folder stands for it when it is absent, so that it cannot be made.
fn protected_in(top: &Path, name: &str) -> PathBuf {
    let path = top.join(name);
    match name.split_once('/') {
        Some((folder, _)) if !top.join(folder).is_dir() => top.join(folder),
        _ => path,
    }
}

/// What shells and desktops run, when the home itself is writable.
fn home_places(policy: &Policy) -> Vec<PathBuf> {
    in_writable_home(policy, HOME_STARTUP)
}

/// Stores of keys, when the home itself is writable.
fn hidden_places(policy: &Policy) -> Vec<PathBuf> {
    in_writable_home(policy, HOME_SECRETS)
}

fn in_writable_home(policy: &Policy, places: &[&str]) -> Vec<PathBuf> {
    let Some(home) = &policy.home else { return Vec::new() };
    places.iter().map(|place| home.join(place)).filter(|path| policy.may_write(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_are_told_whole_or_not_at_all() {
        let cover = |path: &[u8], cover| (OsStr::from_bytes(path).into(), cover);
        let guard = Guard {
            covers: vec![
                cover(b"/a/.git", Cover::Pin),
                cover(b"/a/.git/con\nfig", Cover::ReadOnly),
                cover(b"/a/\xff.", Cover::EmptyFile),
                cover(b"/b", Cover::EmptyFolder),
            ],
        };
        let bytes = guard.to_bytes();
        assert_eq!(Guard::from_bytes(&bytes).unwrap(), guard);
        for end in 0..bytes.len() {
            assert!(Guard::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert!(Guard::from_bytes(b"x/a\0.").is_err());
        assert_eq!(Guard::from_bytes(&Guard::default().to_bytes()).unwrap(), Guard::default());
    }
}
