//! What git says: the state of the tree, the commit, the tags.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Release, report::Findings};

/// The working tree of a repository.
pub(crate) struct Tree<'a> {
    root: &'a Path,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(root: &'a Path) -> Tree<'a> {
        Tree { root }
    }

    /// What a git command prints, trimmed.
    ///
    /// # Errors
    /// Git is missing or refuses.
    pub(crate) fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        // Inside a hook these name another repository than ours.
        command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
        let output = command.args(arguments).current_dir(self.root).output().context("git does not start")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("git {}: {}", arguments.first().unwrap_or(&""), why.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Files that differ from the commit, one a line; untracked ones are among them, ignored ones not.
    pub(crate) fn changes(&self) -> Result<String> {
        self.git(&["status", "--porcelain", "--untracked-files=all"])
    }

    /// The commit that is checked out.
    pub(crate) fn head(&self) -> Result<String> {
        self.git(&["rev-parse", "--verify", "HEAD"])
    }

    /// Seconds since 1970 at which the commit was made: the time of every file that is packed.
    pub(crate) fn head_time(&self) -> Result<u64> {
        Ok(self.git(&["log", "-1", "--format=%ct"])?.parse()?)
    }

    /// The day on which the commit was made, where it was made: `2026-01-31`.
    pub(crate) fn head_day(&self) -> Result<String> {
        self.git(&["log", "-1", "--format=%cs"])
    }

    /// The commit that a tag stands for, if there is such a tag.
    pub(crate) fn tagged(&self, tag: &str) -> Result<Option<String>> {
        let found = self.git(&["for-each-ref", "--format=%(objectname)", &format!("refs/tags/{tag}")])?;
        if found.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.git(&["rev-parse", "--verify", &format!("refs/tags/{tag}^{{commit}}")])?))
    }

    /// All that a release could change: the commit, the tree, tags and branches.
    pub(crate) fn state(&self) -> Result<String> {
        let refs = self.git(&["for-each-ref"])?;
        Ok(format!("{}\n{}\n{refs}", self.head()?, self.changes()?))
    }
}

pub(super) fn stage(release: &Release<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let (changes, head) = (release.tree.changes()?, release.tree.head()?);
    if !changes.is_empty() {
        findings.fault(format!("the tree has changes that are in no commit:\n{changes}"));
    }
    let tag = release.tag();
    match release.tree.tagged(&tag)? {
        Some(commit) if commit != head => {
            findings.fault(format!("the tag {tag} exists and stands for another commit, {commit}"));
        }
        Some(_) => findings.note(format!("the tag {tag} exists already and stands for this commit")),
        None => {}
    }
    findings.say(format!("clean at {}", &head[..head.len().min(10)]));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::super::toy::Toy;
    use super::*;

    #[test]
    fn changes_and_tags_are_found() {
        let toy = Toy::new("tree");
        let tree = Tree::new(toy.root());
        let clean = tree.state().unwrap();
        assert_eq!(tree.changes().unwrap(), "");
        assert_eq!(tree.tagged("v0.3.0").unwrap(), None);

        toy.write("base/src/lib.rs", "pub fn one() -> u32 { 2 }\n");
        toy.write("base/new.txt", "x");
        assert_eq!(tree.changes().unwrap(), " M base/src/lib.rs\n?? base/new.txt");
        assert_ne!(tree.state().unwrap(), clean);
        let faults = stage(&toy.release("0.3.0")).unwrap().faults;
        assert!(faults.len() == 1 && faults[0].contains("base/new.txt"), "{faults:?}");

        toy.commit("changed");
        assert_eq!(stage(&toy.release("0.3.0")).unwrap().faults, [""; 0]);
        tree.git(&["tag", "-a", "-m", "x", "v0.3.0", "HEAD~1"]).unwrap();
        assert_eq!(tree.tagged("v0.3.0").unwrap(), Some(tree.git(&["rev-parse", "HEAD~1"]).unwrap()));
        let faults = stage(&toy.release("0.3.0")).unwrap().faults;
        assert!(faults.len() == 1 && faults[0].contains("another commit"), "{faults:?}");
        // A tag that only begins like ours is another one.
        assert_eq!(tree.tagged("v0.3").unwrap(), None);
        assert!(tree.head_time().unwrap() > 1_500_000_000);
    }
}
