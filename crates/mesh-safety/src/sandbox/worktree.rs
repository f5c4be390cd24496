//! The repository of a linked work tree or of a submodule, which lies elsewhere: without it git does nothing there.
//!
//! Its path stands in a file of the folder that commands work in. So it is believed only when the repository, which commands cannot
//! write, names the work tree in turn; and it is looked at once, before the first command.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Policy, git_config,
    policy::plain,
    scan::{is_repository, pointed_at},
};

impl Policy {
    /// This policy with the repository of a linked work tree or of a submodule writable too, if `folder` is the top of one. Its hooks and settings stay
    /// read-only, as those of every repository in a writable folder.
    pub fn with_repository_of(mut self, folder: &Path) -> Policy {
        if let Some(repository) = repository_of(folder).filter(|repository| !self.may_write(repository))
            && let Ok(found) = Policy::new(&[repository], None)
        {
            self.writable.extend(found.writable);
        }
        self
    }
}

/// The repository that has this folder as its work tree, and says so itself.
fn repository_of(folder: &Path) -> Option<PathBuf> {
    let pointer = folder.join(".git");
    if !fs::symlink_metadata(&pointer).ok()?.is_file() {
        return None;
    }
    let own = pointed_at(&pointer)?.canonicalize().ok()?;
    linked(&own, &pointer).or_else(|| of_submodule(own, folder))
}

/// The folder `.git` to which this one of a linked work tree belongs.
fn linked(own: &Path, pointer: &Path) -> Option<PathBuf> {
    let says = |name: &str| {
        let text = fs::read_to_string(own.join(name)).ok()?;
        plain(&own.join(text.trim_end_matches(['\n', '\r']))).canonicalize().ok()
    };
    if says("gitdir")? != pointer.canonicalize().ok()? {
        return None;
    }
    let repository = says("commondir")?;
    let is_its_own = own.parent()? == repository.join("worktrees");
    (is_its_own && repository.file_name()? == ".git" && is_repository(&repository)).then_some(repository)
}

/// The folder of a submodule among those of the repository around it.
fn of_submodule(own: PathBuf, folder: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(own.join("config")).ok()?;
    let names = own.join(git_config::value(&text, "core.worktree")?).canonicalize().ok()?;
    let mut above = own.ancestors().skip(1);
    let is_its_own = above.any(|above| above.file_name().is_some_and(|name| name == "modules"));
    (is_its_own && names == folder.canonicalize().ok()? && is_repository(&own)).then_some(own)
}
