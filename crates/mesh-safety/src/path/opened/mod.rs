//! What was judged, opened: a descriptor and no path that somebody may turn around meanwhile.
//!
//! A [`Sighting`] holds what a path named when it was judged. Opening goes to that very place without following a link, and looks
//! at what it holds then: the file that was judged, or another plain one with no second name. On Linux a folder is a descriptor,
//! and a file is written by a new one beside it that takes its name, both relative to that descriptor. Elsewhere see `by_path`.

#[cfg(target_os = "linux")]
mod beneath;
#[cfg(any(test, not(target_os = "linux")))]
mod by_path;

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::guard::Guard;
use super::resolve::{self, Id, Looks, Seen};
use crate::{Decision, Policy};
#[cfg(target_os = "linux")]
use beneath::Folder;
#[cfg(not(target_os = "linux"))]
use by_path::Folder;

/// Names that are tried for a new file beside the old one.
const TRIES: usize = 16;

/// Why what was judged cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// On its way, or in its place, stands something else than was judged.
    #[error("what stands there was replaced after it was judged; look again and repeat the call")]
    Moved,
    /// Its links do not end.
    #[error("its links lead in a circle")]
    Loop,
    /// A file was wanted.
    #[error("it is a directory")]
    IsFolder,
    /// A folder was wanted.
    #[error("it is not a folder")]
    NoFolder,
    /// A plain file was wanted.
    #[error("it is not a regular file but a pipe, socket or device")]
    Special,
    /// The caller did not want it any more.
    #[error("the call was cancelled")]
    Stopped,
    /// What the system says.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        match error.kind() {
            io::ErrorKind::NotADirectory => OpenError::NoFolder,
            _ if is_moved(&error) => OpenError::Moved,
            _ => OpenError::Io(error),
        }
    }
}

#[cfg(target_os = "linux")]
fn is_moved(error: &io::Error) -> bool {
    let loops = rustix::io::Errno::LOOP.raw_os_error();
    let leaves = rustix::io::Errno::XDEV.raw_os_error();
    error.raw_os_error().is_some_and(|number| number == loops || number == leaves)
}

#[cfg(not(target_os = "linux"))]
fn is_moved(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<OpenError>())
}

/// What a path named when it was judged. It is opened as this, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    written: PathBuf,
    real: PathBuf,
    id: Option<Id>,
}

impl Sighting {
    /// Looks at a path that nobody judged.
    ///
    /// # Errors
    /// Its links do not end.
    pub fn take(path: &Path) -> Result<Sighting, OpenError> {
        let seen = Looks::default().see(path).map_err(|_| OpenError::Loop)?;
        Ok(Sighting::new(path, &seen))
    }

    pub(super) fn new(written: &Path, seen: &Seen) -> Sighting {
        Sighting { written: written.to_owned(), real: seen.real.clone(), id: seen.id() }
    }

    /// The path as it was judged.
    pub fn written(&self) -> &Path {
        &self.written
    }

    /// The path without its links.
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// Opens a plain file for reading.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    pub fn open_read(&self) -> Result<OpenedForRead, OpenError> {
        let (folder, name) = self.split()?;
        let folder = Folder::open(folder)?;
        // Opening a device may do something to it.
        refuse_special(&folder.about(name)?)?;
        let file = folder.read(name)?;
        let about = file.metadata()?;
        refuse_special(&about)?;
        refuse_second_name(&about, self.id)?;
        Ok(OpenedForRead { file, about, real: self.real.clone() })
    }

    /// Opens a folder for looking into it.
    ///
    /// # Errors
    /// Something else stands there, or it cannot be read.
    pub fn open_folder(&self) -> Result<OpenedFolder, OpenError> {
        Ok(OpenedFolder { folder: Folder::open(&self.real)?, real: self.real.clone() })
    }

    /// Opens the folder of a file that is to be written, and the file if there is one. Nothing is changed yet.
    ///
    /// # Errors
    /// Something else stands there, or it may not be written.
    pub fn open_write(&self) -> Result<OpenedForWrite, OpenError> {
        let (folder, name) = self.split()?;
        let (real, name) = (folder.to_owned(), name.as_os_str().to_owned());
        let folder = match Folder::open(folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(OpenedForWrite { folder: None, real, name, old: None });
            }
            Err(error) => return Err(error.into()),
        };
        let old = match folder.about(name.as_ref()) {
            Ok(about) => {
                refuse_special(&about)?;
                // Replacing needs no right to the file itself, so a write-protected one has to be asked.
                let about = folder.write(name.as_ref())?.metadata()?;
                refuse_special(&about)?;
                refuse_second_name(&about, self.id)?;
                Some(about)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        Ok(OpenedForWrite { folder: Some(folder), real, name, old })
    }

    fn split(&self) -> Result<(&Path, &Path), OpenError> {
        match (self.real.parent(), self.real.file_name()) {
            (Some(folder), Some(name)) => Ok((folder, Path::new(name))),
            _ => Err(OpenError::IsFolder),
        }
    }
}

/// A plain file, opened for reading.
#[derive(Debug)]
pub struct OpenedForRead {
    file: File,
    about: Metadata,
    real: PathBuf,
}

impl OpenedForRead {
    /// How many bytes it had when it was opened.
    pub fn size(&self) -> u64 {
        self.about.len()
    }

    /// Where it stood when it was opened, without links.
    pub fn real(&self) -> &Path {
        &self.real
    }
}

impl Read for OpenedForRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Read for &OpenedForRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }
}

/// Judges the reading of a file that is open: nothing is looked up again but the key stores of the home.
pub fn judge_opened(opened: &OpenedForRead, policy: &Policy) -> Decision {
    let guard = Guard::new(policy);
    guard.pin(Seen::opened(opened.real.clone(), opened.about.clone()));
    super::read_by(&guard, &opened.real)
}

/// An opened folder. What is asked of it below stays below it, and no link is followed.
#[derive(Debug)]
pub struct OpenedFolder {
    folder: Folder,
    real: PathBuf,
}

/// What stands in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Another folder.
    Folder,
    /// A link, and where it leads as it is written.
    Link(PathBuf),
    /// A plain file with so many bytes.
    File(u64),
    /// A pipe, socket or device.
    Special,
}

impl OpenedFolder {
    /// The names in it, in no order.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        self.folder.names()
    }

    /// What stands under a name in it.
    ///
    /// # Errors
    /// Nothing stands there any more, or nothing can be said about it.
    pub fn entry(&self, name: &OsStr) -> io::Result<Entry> {
        let about = self.folder.about(name.as_ref())?;
        Ok(match about.file_type() {
            kind if kind.is_dir() => Entry::Folder,
            kind if kind.is_file() => Entry::File(about.len()),
            kind if kind.is_symlink() => Entry::Link(self.folder.link(name).unwrap_or_default()),
            _ => Entry::Special,
        })
    }

    /// When what stands below was changed; of a link, the link itself.
    ///
    /// # Errors
    /// Nothing stands there, or a link is on the way.
    pub fn modified(&self, below: &Path) -> io::Result<SystemTime> {
        self.folder.about(below)?.modified()
    }

    /// Opens a plain file below for reading. It was not judged by itself: see [`judge_opened`].
    ///
    /// # Errors
    /// Something else stands there, a link is on the way, or it cannot be read.
    pub fn open_read(&self, below: &Path) -> Result<OpenedForRead, OpenError> {
        refuse_special(&self.folder.about(below)?)?;
        let file = self.folder.read(below)?;
        let about = file.metadata()?;
        refuse_special(&about)?;
        Ok(OpenedForRead { file, about, real: self.real.join(below) })
    }
}

/// A place for a file in an opened folder, and the file that stands there.
#[derive(Debug)]
pub struct OpenedForWrite {
    /// Nothing where the folder is yet to be made.
    folder: Option<Folder>,
    real: PathBuf,
    name: OsString,
    old: Option<Metadata>,
}

impl OpenedForWrite {
    /// Opens what stands there for reading; nothing where there is none.
    ///
    /// # Errors
    /// It may not be read, or another file took its place.
    pub fn open_old(&self) -> Result<Option<OpenedForRead>, OpenError> {
        let (Some(folder), Some(old)) = (&self.folder, &self.old) else { return Ok(None) };
        let file = folder.read(self.name.as_ref())?;
        if resolve::id(&file.metadata()?) != resolve::id(old) {
            return Err(OpenError::Moved);
        }
        let about = old.clone();
        Ok(Some(OpenedForRead { file, about, real: self.real.join(&self.name) }))
    }

    /// Writes the file whole or not at all: a new file beside the old one is synced and takes its name.
    ///
    /// Missing folders are made. The mode of the old file survives, and so does its owner where the system allows it; another
    /// name of the same file (a hard link) keeps the old content.
    ///
    /// # Errors
    /// It cannot be written, something else stands there by now, or it was stopped; the old file is then as it was.
    pub fn replace(mut self, content: &[u8], is_stopped: impl Fn() -> bool) -> Result<(), OpenError> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => Folder::make(&self.real)?,
        };
        let mut new = NewFile::beside(&folder)?;
        new.file.write_all(content)?;
        if let Some(old) = &self.old {
            keep_owner_and_mode(&new.file, old)?;
        }
        new.file.sync_all()?;
        if is_stopped() {
            return Err(OpenError::Stopped);
        }
        let stands = folder.about(self.name.as_ref()).ok();
        let is_same = match (&stands, &self.old) {
            (None, None) => true,
            (Some(stands), Some(old)) => resolve::id(stands) == resolve::id(old),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !is_same || !folder.is_at(&self.real) {
            return Err(OpenError::Moved);
        }
        new.take_name(&self.name)?;
        Ok(folder.sync()?)
    }
}

/// A file that is removed again unless it takes the name of another.
struct NewFile<'a> {
    folder: &'a Folder,
    file: File,
    name: OsString,
    is_kept: bool,
}

impl<'a> NewFile<'a> {
    fn beside(folder: &'a Folder) -> Result<NewFile<'a>, OpenError> {
        let mut failed = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..TRIES {
            // Each state is seeded anew by the system: nobody can have put something under this name before.
            let name: OsString =
                format!(".meshapi-{:016x}.tmp", RandomState::new().build_hasher().finish()).into();
            match folder.create(&name) {
                Ok(file) => return Ok(NewFile { folder, file, name, is_kept: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => failed = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(failed.into())
    }

    fn take_name(mut self, name: &OsStr) -> io::Result<()> {
        self.folder.rename(&self.name, name)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // It may be gone already, and there is nobody to tell.
            let _ = self.folder.remove(&self.name);
        }
    }
}

fn refuse_special(about: &Metadata) -> Result<(), OpenError> {
    match about.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err(OpenError::IsFolder),
        kind if kind.is_symlink() => Err(OpenError::Moved),
        _ => Err(OpenError::Special),
    }
}

/// Another file than the judged one passes only if its path, which was judged, is its one name.
fn refuse_second_name(about: &Metadata, judged: Option<Id>) -> Result<(), OpenError> {
    let is_judged = judged.is_some() && resolve::id(about) == judged;
    if is_judged || resolve::names_of(about) <= 1 { Ok(()) } else { Err(OpenError::Moved) }
}

#[cfg(unix)]
fn keep_owner_and_mode(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // Only root may give files away; for everyone else the file becomes theirs, as with any editor.
        let _ = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
    }
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn keep_owner_and_mode(file: &File, old: &Metadata) -> io::Result<()> {
    file.set_permissions(old.permissions())
}
