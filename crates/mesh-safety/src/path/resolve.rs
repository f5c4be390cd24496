//! What a path really names on this machine: links followed, one file under two names recognised.
//!
//! Only looking, never opening. What is judged here can change before it is opened: `opened` opens it without following links
//! again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

use super::places::Names;

/// Links on the way before we call it a loop. As Linux: 40.
const MAX_LINKS: usize = 40;

/// The path leads back to itself, or through more links than a system follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkLoop;

/// What was looked at so far: each place once, so that all that is said in one judgement is said of the same moment.
#[derive(Debug, Default)]
pub(super) struct Looks {
    places: RefCell<HashMap<PathBuf, Option<Metadata>>>,
}

impl Looks {
    /// What stands at a path; of a link, the link itself.
    fn at(&self, path: &Path) -> Option<Metadata> {
        if let Some(found) = self.places.borrow().get(path) {
            return found.clone();
        }
        let found = fs::symlink_metadata(path).ok();
        self.places.borrow_mut().insert(path.to_owned(), found.clone());
        found
    }

    /// Follows every link of an absolute path. What does not exist (yet) is taken as it is written.
    ///
    /// # Errors
    /// When the links do not end.
    pub(super) fn follow(&self, path: &Path) -> Result<PathBuf, LinkLoop> {
        let mut links = 0;
        let mut done = PathBuf::new();
        let mut left: Vec<OsString> = reversed(path);
        while let Some(name) = left.pop() {
            if name == ".." {
                done.pop();
                continue;
            }
            let here = done.join(&name);
            let target = match self.at(&here) {
                Some(found) if found.file_type().is_symlink() => fs::read_link(&here).ok(),
                _ => None,
            };
            match target {
                None => done = here,
                Some(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(LinkLoop);
                    }
                    if target.is_absolute() {
                        done = PathBuf::new();
                    }
                    left.extend(reversed(&target));
                }
            }
        }
        Ok(done)
    }

    /// Looks at what a path names. Links are followed.
    ///
    /// # Errors
    /// When the links do not end.
    pub(super) fn see(&self, path: &Path) -> Result<Seen, LinkLoop> {
        let real = self.follow(path)?;
        let found = self.at(&real);
        Ok(Seen { real, found })
    }
}

fn reversed(path: &Path) -> Vec<OsString> {
    path.components()
        .filter(|component| !matches!(component, Component::CurDir))
        .map(|component| component.as_os_str().to_owned())
        .rev()
        .collect()
}

/// What stands at a path, as far as a guard cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing yet.
    Absent,
    /// A plain file, with how many names it has.
    File {
        /// Hard links; 1 where the system does not tell.
        names: u64,
    },
    /// A folder.
    Folder,
    /// A pipe, socket or device.
    Special,
}

/// What a path named when it was looked at.
#[derive(Debug)]
pub(super) struct Seen {
    /// The path without its links.
    pub(super) real: PathBuf,
    /// What stood there.
    found: Option<Metadata>,
}

impl Seen {
    /// What was opened, under the path by which it was.
    pub(super) fn opened(real: PathBuf, found: Metadata) -> Seen {
        Seen { real, found: Some(found) }
    }

    pub(super) fn kind(&self) -> Kind {
        match &self.found {
            None => Kind::Absent,
            Some(found) if found.is_dir() => Kind::Folder,
            Some(found) if found.is_file() => Kind::File { names: names_of(found) },
            Some(_) => Kind::Special,
        }
    }

    /// Which file it is, by whatever name.
    pub(super) fn id(&self) -> Option<Id> {
        self.found.as_ref().and_then(id)
    }
}

/// A key store that exists on this machine.
pub(super) struct Store {
    place: PathBuf,
    id: Id,
    is_folder: bool,
}

/// Looks up which key stores exist below a home. One look into a folder costs less than one at each name that could be in it.
pub(super) fn stores(home: &Path, names: &Names) -> Vec<Store> {
    let mut found = Vec::new();
    collect(home, names, &mut found);
    found
}

fn collect(folder: &Path, names: &Names, found: &mut Vec<Store>) {
    let mut meet = |place: PathBuf, names: &Names| {
        if let (true, Ok(about)) = (names.is_store, fs::metadata(&place)) {
            let is_folder = about.is_dir();
            found.extend(id(&about).map(|id| Store { id, is_folder, place: place.clone() }));
        }
        if !names.below.is_empty() {
            collect(&place, names, found);
        }
    };
    match fs::read_dir(folder) {
        Ok(entries) => {
            for name in entries.filter_map(Result::ok).map(|entry| entry.file_name()) {
                let lower = name.to_string_lossy().to_lowercase();
                if let Some(names) = names.below.get(lower.as_str()) {
                    meet(folder.join(name), names);
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // A folder that may only be gone through.
        Err(_) => names.below.iter().for_each(|(name, names)| meet(folder.join(name), names)),
    }
}

/// Whether the path is, or lies below, one of the stores under any other name: a second mount, another spelling of the home, a
/// hard link to a file directly in one of them (D-24).
pub(super) fn is_in_store(seen: &Seen, stores: &[Store], looks: &Looks) -> bool {
    if stores.is_empty() {
        return false;
    }
    let own = seen.id();
    let above: Vec<Id> = seen.real.ancestors().skip(1).filter_map(|above| id(&looks.at(above)?)).collect();
    let is_linked = matches!(seen.kind(), Kind::File { names } if names > 1);
    stores.iter().any(|store| {
        own == Some(store.id)
            || above.contains(&store.id)
            || (is_linked && store.is_folder && holds_file(&store.place, own))
    })
}

/// Entries of a store that are compared with a hard link. Key stores are small.
const MAX_ENTRIES: usize = 256;

fn holds_file(folder: &Path, wanted: Option<Id>) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut files =
        entries.take(MAX_ENTRIES).filter_map(Result::ok).filter_map(|entry| entry.metadata().ok());
    wanted.is_some() && files.any(|found| id(&found) == wanted)
}

/// Device and inode.
pub(super) type Id = (u64, u64);

#[cfg(unix)]
pub(super) fn id(found: &Metadata) -> Option<Id> {
    use std::os::unix::fs::MetadataExt;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
pub(super) fn id(_: &Metadata) -> Option<Id> {
    None
}

#[cfg(unix)]
pub(super) fn names_of(found: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    found.nlink()
}

#[cfg(not(unix))]
pub(super) fn names_of(_: &Metadata) -> u64 {
    1
}
