//! What stands in the writable folders that a command must not change: repositories, settings of editors and agents, sockets.
//!
//! Looks, and changes nothing.

use std::{
    fs::{self, DirEntry},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use super::{
    places::{PROTECTED, PRUNED},
    policy::plain,
};

/// Folders that are looked into at most. 6.8 us each (spec/safety.md 7): beyond this the search would be felt.
const MAX_FOLDERS: usize = 20_000;

/// How deep folders are followed.
const MAX_DEPTH: usize = 64;

/// What was found below the writable folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Folders that git takes for its own: `.git`, those of modules and worktrees, bare repositories.
    pub(super) repositories: Vec<Repository>,
    /// Tops of work trees.
    pub(super) tops: Vec<PathBuf>,
    /// Files and folders with a protected name.
    pub(super) settings: Vec<PathBuf>,
    /// Sockets of somebody who listens outside.
    pub(super) sockets: Vec<PathBuf>,
    /// There were more folders than are searched.
    pub(super) truncated: bool,
}

/// A folder that git takes for its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Repository {
    /// The folder.
    pub(super) folder: PathBuf,
    /// It belongs to a work tree of another repository, and says so in a file `commondir` of git's own.
    pub(super) is_worktree: bool,
}

/// Looks through the folders.
pub(super) fn scan(roots: &[PathBuf]) -> Found {
    let mut scan = Scan { found: Found::default(), left: MAX_FOLDERS, roots };
    for root in roots {
        scan.folder(root, 0);
    }
    let found = &mut scan.found;
    found.repositories.sort();
    found.repositories.dedup();
    found.tops.sort();
    found.tops.dedup();
    found.settings.sort();
    found.settings.dedup();
    scan.found
}

struct Scan<'a> {
    found: Found,
    left: usize,
    roots: &'a [PathBuf],
}

impl Scan<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) {
        if self.left == 0 || depth > MAX_DEPTH {
            self.found.truncated = true;
            return;
        }
        self.left -= 1;
        // A folder that we cannot read, a command cannot read either.
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut below = Vec::new();
        let mut marks = 0;
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                if kind.is_dir() {
                    below.push(entry.path());
                }
                continue;
            };
            marks += usize::from(matches!(name, "HEAD" | "objects" | "refs" | "commondir"));
            if name.eq_ignore_ascii_case(".git") {
                self.git(folder, &entry, kind.is_dir());
            } else if is_protected(name) {
                self.found.settings.push(entry.path());
            } else if kind.is_socket() {
                self.found.sockets.push(entry.path());
            } else if kind.is_dir() {
                if name == ".cargo" {
                    let settings = ["config", "config.toml"].map(|name| entry.path().join(name));
                    self.found.settings.extend(settings.into_iter().filter(|path| is_there(path)));
                }
                if !PRUNED.contains(&name) {
                    below.push(entry.path());
                }
            }
        }
        if marks >= 2 && is_repository(folder) {
            self.repository(folder, 0);
            return;
        }
        for folder in below {
            self.folder(&folder, depth + 1);
        }
    }

    /// A folder `.git`, or a file that names one.
    fn git(&mut self, top: &Path, entry: &DirEntry, is_folder: bool) {
        self.found.tops.push(top.to_owned());
        if is_folder {
            self.repository(&entry.path(), 0);
            return;
        }
        self.found.settings.push(entry.path());
        if let Some(folder) = pointed_at(&entry.path()) {
            // What lies elsewhere is not writable anyway.
            if self.roots.iter().any(|root| folder.starts_with(root)) {
                self.repository(&folder, 0);
            }
        }
    }

    fn repository(&mut self, folder: &Path, depth: usize) {
        if depth > MAX_DEPTH || self.left == 0 {
            self.found.truncated = true;
            return;
        }
        self.left -= 1;
        let is_worktree = is_there(&folder.join("gitdir")) && !is_there(&folder.join("objects"));
        self.found.repositories.push(Repository { folder: folder.to_owned(), is_worktree });
        for group in ["worktrees", "modules"] {
            self.group(&folder.join(group), depth);
        }
    }

    /// Repositories of modules and worktrees; the name of a module may have slashes.
    fn group(&mut self, folder: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            self.found.truncated = true;
            return;
        }
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let path = entry.path();
            if is_there(&path.join("HEAD")) || is_there(&path.join("gitdir")) {
                self.repository(&path, depth + 1);
            } else {
                self.group(&path, depth + 1);
            }
        }
    }
}

/// Whether a name at the top of a folder is protected. Case counts for nothing: some disks know none.
fn is_protected(name: &str) -> bool {
    PROTECTED.iter().any(|protected| protected.eq_ignore_ascii_case(name))
}

/// Whether git would take a folder for a repository.
pub(super) fn is_repository(folder: &Path) -> bool {
    is_there(&folder.join("HEAD"))
        && (folder.join("commondir").exists()
            || folder.join("objects").is_dir() && folder.join("refs").is_dir())
}

/// The folder that a file `.git` names.
pub(super) fn pointed_at(file: &Path) -> Option<PathBuf> {
    /// Longer is no pointer.
    const LONGEST: u64 = 8192;
    let meta = fs::symlink_metadata(file).ok()?;
    if meta.is_symlink() {
        return fs::canonicalize(file).ok();
    }
    if !meta.is_file() || meta.len() > LONGEST {
        return None;
    }
    let text = fs::read_to_string(file).ok()?;
    let folder = text.strip_prefix("gitdir:")?.trim();
    let folder = plain(&file.parent()?.join(folder));
    Some(folder.canonicalize().unwrap_or(folder))
}

/// Whether something has this name, be it a link to nowhere.
pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_settings_and_sockets_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let make = |path: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for path in [
            ".git/HEAD",
            ".git/modules/a/b/HEAD",
            ".git/worktrees/w/gitdir",
            "sub/.git/HEAD",
            "bare/HEAD",
            "bare/config",
            "bare/objects/x",
            "bare/refs/x",
            ".vscode/settings.json",
            "sub/.NPMRC",
            "x/.cargo/config.toml",
            "node_modules/p/.git/HEAD",
            "HEAD",
        ] {
            make(path);
        }
        fs::create_dir(root.join("mod")).unwrap();
        fs::write(root.join("mod/.git"), "gitdir: ../.git/modules/a/b\n").unwrap();
        let _listens = std::os::unix::net::UnixListener::bind(root.join("s.sock")).unwrap();
        let found = scan(std::slice::from_ref(&root));
        let shown = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect()
        };
        let repositories: Vec<_> = found.repositories.iter().map(|known| known.folder.clone()).collect();
        assert_eq!(
            shown(&repositories),
            [".git", ".git/modules/a/b", ".git/worktrees/w", "bare", "sub/.git"]
        );
        assert_eq!(found.repositories.iter().filter(|known| known.is_worktree).count(), 1);
        assert_eq!(shown(&found.tops), ["", "mod", "sub"]);
        assert_eq!(shown(&found.settings), [".vscode", "mod/.git", "sub/.NPMRC", "x/.cargo/config.toml"]);
        assert_eq!(shown(&found.sockets), ["s.sock"]);
        assert!(!found.truncated);
    }
}
