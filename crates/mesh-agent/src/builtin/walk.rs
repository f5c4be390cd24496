//! What `grep` and `glob` share: going through a tree without what is ignored, and matching names.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use globset::{GlobBuilder, GlobMatcher};
use ignore::{DirEntry, WalkBuilder};
use mesh_safety::{OpenError, OpenedFolder, OpenedForRead, Sighting};

use super::files::{self, Stop};
use crate::tool::ToolContext;

/// Characters that make a part of a pattern more than a name.
const META: &[char] = &['*', '?', '[', ']', '{', '}', '!'];

/// Which names are wanted, as in `.gitignore`: a pattern without `/` matches names at any depth.
#[derive(Clone, Debug)]
pub(crate) struct NamePattern {
    matcher: GlobMatcher,
    /// Matches the whole path below the root, not the last name alone.
    whole: bool,
    /// `!pattern`: everything but these.
    negated: bool,
    /// A part begins with a dot, so that hidden files are meant.
    hidden: bool,
}

impl NamePattern {
    /// # Errors
    /// Says what is wrong with the pattern.
    pub(crate) fn new(pattern: &str) -> Result<NamePattern, String> {
        let (negated, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let pattern = pattern.trim_start_matches("./");
        let folder = if pattern.ends_with('/') { format!("{pattern}**") } else { pattern.to_owned() };
        let rooted = folder.trim_start_matches('/');
        let matcher = GlobBuilder::new(rooted)
            .literal_separator(true)
            .build()
            .map_err(|error| format!("`{pattern}` is no file pattern: {}", error.kind()))?
            .compile_matcher();
        let hidden = rooted.split('/').any(|part| part.starts_with('.') || part.starts_with("{."));
        Ok(NamePattern { matcher, whole: folder.contains('/'), negated, hidden })
    }

    /// Whether hidden files are meant.
    pub(crate) fn wants_hidden(&self) -> bool {
        self.hidden && !self.negated
    }

    /// Whether the file is wanted. Paths count from the root of the walk, and from the working directory as well.
    pub(crate) fn matches(&self, path: &Path, root: &Path, ctx: &ToolContext) -> bool {
        let name = Path::new(path.file_name().unwrap_or_default());
        let found = if self.whole {
            [root, &ctx.cwd]
                .into_iter()
                .filter_map(|base| path.strip_prefix(base).ok())
                .any(|below| self.matcher.is_match(if below.as_os_str().is_empty() { name } else { below }))
        } else {
            self.matcher.is_match(name)
        };
        found != self.negated
    }
}

/// Parts a pattern such as `/etc/*.conf` or `~/src/**` into a folder and what is to match below it.
pub(crate) fn split_root(pattern: &str, ctx: &ToolContext) -> Option<(PathBuf, String)> {
    let leads_away = pattern.starts_with(['/', '~']) || pattern == ".." || pattern.starts_with("../");
    if !leads_away && !Path::new(pattern).is_absolute() {
        return None;
    }
    let mut folder = String::new();
    let mut parts = pattern.split_inclusive('/').peekable();
    while let Some(part) = parts.next_if(|part| part.ends_with('/') && !part.contains(META)) {
        folder.push_str(part);
    }
    let rest: String = parts.collect();
    let rest = if rest.is_empty() { "**".to_owned() } else { rest };
    Some((files::resolve(&folder, ctx), rest))
}

/// The place where a walk starts, opened. The walk itself goes by names; what it finds is opened from here and is below it.
pub(crate) struct Tree(Root);

enum Root {
    Folder(OpenedFolder),
    File(Sighting),
}

impl Tree {
    /// # Errors
    /// Says why the place cannot be read.
    pub(crate) fn open(seen: &Sighting) -> Result<Tree, String> {
        match seen.open_folder() {
            Ok(folder) => Ok(Tree(Root::Folder(folder))),
            Err(OpenError::NoFolder) => Ok(Tree(Root::File(seen.clone()))),
            Err(error) => Err(files::problem(&error)),
        }
    }

    /// Opens a file that the walk found.
    pub(crate) fn open_read(&self, entry: &DirEntry) -> Result<OpenedForRead, OpenError> {
        match &self.0 {
            Root::Folder(folder) => folder.open_read(&below(entry)),
            Root::File(seen) => seen.open_read(),
        }
    }

    /// When a file that the walk found was changed; nothing for what is not below.
    pub(crate) fn modified(&self, entry: &DirEntry) -> Option<SystemTime> {
        match &self.0 {
            Root::Folder(folder) => folder.modified(&below(entry)).ok(),
            Root::File(_) => entry.metadata().ok()?.modified().ok(),
        }
    }
}

/// The entry's path from where the walk started.
fn below(entry: &DirEntry) -> PathBuf {
    let names: Vec<_> = entry.path().components().rev().take(entry.depth()).collect();
    names.into_iter().rev().collect()
}

/// Goes through the files below `root`, sorted by name; hidden ones and what `.gitignore` names are left out.
///
/// Links are not followed, `.git` is never entered. `visit` says whether to go on. Gives how many entries could not be
/// read.
///
/// # Errors
/// `root` cannot be read.
pub(crate) fn files_below(
    root: &Path,
    hidden: bool,
    stop: &Stop,
    mut visit: impl FnMut(&DirEntry) -> bool,
) -> Result<u64, String> {
    std::fs::metadata(root).map_err(|error| files::reason(&error))?;
    let mut unread = 0;
    let mut builder = WalkBuilder::new(root);
    builder
        .hidden(!hidden)
        .require_git(false)
        .git_global(false)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git");
    for entry in builder.build() {
        if stop.is_set() {
            return Err("the call was cancelled".to_owned());
        }
        match entry {
            Ok(entry) if entry.file_type().is_some_and(|kind| !kind.is_dir()) => {
                if !visit(&entry) {
                    break;
                }
            }
            Ok(_) => {}
            Err(_) => unread += 1,
        }
    }
    Ok(unread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, want: bool) {
        let ctx = files::test_context(Path::new("/w"));
        let got = NamePattern::new(pattern).unwrap().matches(Path::new(path), Path::new("/w/src"), &ctx);
        assert_eq!(got, want, "{pattern} {path}");
    }

    #[test]
    fn patterns_match_names_or_paths() {
        check("*.rs", "/w/src/a/b.rs", true);
        check("*.rs", "/w/src/a/b.ts", false);
        check("*.{rs,ts}", "/w/src/b.ts", true);
        check("!*.rs", "/w/src/b.ts", true);
        check("!*.rs", "/w/src/b.rs", false);
        check("a/*.rs", "/w/src/a/b.rs", true);
        check("src/a/*.rs", "/w/src/a/b.rs", true);
        check("src/*.rs", "/w/src/a/b.rs", false);
        check("**/b.rs", "/w/src/a/b.rs", true);
        check("./a/", "/w/src/a/b/c.rs", true);
        check("/a/*", "/w/src/a/b", true);
        assert!(NamePattern::new("a[").is_err());
        assert!(NamePattern::new(".github/**").unwrap().wants_hidden());
        assert!(!NamePattern::new("a.b").unwrap().wants_hidden());
    }

    #[test]
    fn patterns_that_lead_away_are_parted() {
        let ctx = files::test_context(Path::new("/w"));
        let split =
            |pattern| split_root(pattern, &ctx).map(|(root, rest)| (root.display().to_string(), rest));
        assert_eq!(split("*.rs"), None);
        assert_eq!(split("/etc/*.conf"), Some(("/etc".into(), "*.conf".into())));
        assert_eq!(split("~/a/b"), Some(("/w/home/a".into(), "b".into())));
        assert_eq!(split("/a/{b,c}/d"), Some(("/a".into(), "{b,c}/d".into())));
        assert_eq!(split("/etc/"), Some(("/etc".into(), "**".into())));
        assert_eq!(split("../x/*"), Some(("/w/../x".into(), "*".into())));
    }
}
