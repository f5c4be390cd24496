//! Where there is no `openat` that we can use: opened by the path, and looked at again afterwards. A path that leads elsewhere
//! after the opening is refused; one that was changed and changed back in between is not noticed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::path::resolve::{self, Looks};

/// A folder by its path.
#[derive(Debug)]
pub(super) struct Folder {
    real: PathBuf,
}

impl Folder {
    /// The folder at an absolute path without links.
    pub(super) fn open(real: &Path) -> io::Result<Folder> {
        let folder = Folder { real: real.to_owned() };
        if !fs::metadata(real)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if folder.is_at(real) { Ok(folder) } else { Err(led_elsewhere()) }
    }

    /// The folder at an absolute path without links; what is missing of it is made.
    pub(super) fn make(real: &Path) -> io::Result<Folder> {
        fs::create_dir_all(real)?;
        Folder::open(real)
    }

    /// Opens for reading what stands below.
    pub(super) fn read(&self, below: &Path) -> io::Result<File> {
        self.open_as(below, OpenOptions::new().read(true))
    }

    /// Opens for writing what stands below, and leaves its content.
    pub(super) fn write(&self, below: &Path) -> io::Result<File> {
        self.open_as(below, OpenOptions::new().write(true))
    }

    fn open_as(&self, below: &Path, options: &mut OpenOptions) -> io::Result<File> {
        let path = self.real.join(below);
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_symlink() {
            return Err(led_elsewhere());
        }
        if !kind.is_file() && !kind.is_dir() {
            // Opening a pipe would hold us.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = options.open(&path)?;
        let is_same = resolve::id(&file.metadata()?) == resolve::id(&fs::symlink_metadata(&path)?);
        if is_same && Looks::default().follow(&path).is_ok_and(|now| now == path) {
            Ok(file)
        } else {
            Err(led_elsewhere())
        }
    }

    /// What stands below; of a link, the link itself.
    pub(super) fn about(&self, below: &Path) -> io::Result<Metadata> {
        fs::symlink_metadata(self.real.join(below))
    }

    /// Where a link in the folder leads.
    pub(super) fn link(&self, name: &OsStr) -> io::Result<PathBuf> {
        fs::read_link(self.real.join(name))
    }

    /// The names in the folder.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>> + use<>> {
        Ok(fs::read_dir(&self.real)?.map(|entry| entry.map(|entry| entry.file_name())))
    }

    /// Makes a file that was not there.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.real.join(name))
    }

    /// Gives an entry of the folder another name in it.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.real.join(from), self.real.join(to))
    }

    /// Takes an entry out of the folder.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.real.join(name))
    }

    /// Puts changed names on the disk, where a folder can be opened for that.
    pub(super) fn sync(&self) -> io::Result<()> {
        if cfg!(unix) {
            match File::open(&self.real).and_then(|folder| folder.sync_all()) {
                Err(error)
                    if !matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
                    ) =>
                {
                    return Err(error);
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the path still leads to itself.
    pub(super) fn is_at(&self, real: &Path) -> bool {
        Looks::default().follow(real).is_ok_and(|now| now == real)
    }
}

fn led_elsewhere() -> io::Error {
    io::Error::other(super::OpenError::Moved)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        let tree = tempfile::tempdir().unwrap();
        let real = tree.path().canonicalize().unwrap();
        let folder = Folder::make(&real.join("a/b")).unwrap();
        folder.create("new".as_ref()).unwrap().write_all(b"x").unwrap();
        folder.rename("new".as_ref(), "file".as_ref()).unwrap();
        symlink("file", real.join("a/b/link")).unwrap();
        symlink("b", real.join("a/c")).unwrap();
        let mut text = String::new();
        folder.read("file".as_ref()).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(folder.write("file".as_ref()).is_ok() && folder.write("link".as_ref()).is_err());
        assert!(folder.read("link".as_ref()).is_err());
        assert!(folder.about("link".as_ref()).unwrap().is_symlink());
        assert_eq!(folder.link("link".as_ref()).unwrap(), Path::new("file"));
        assert_eq!(folder.names().unwrap().count(), 2);
        let above = Folder::open(&real.join("a")).unwrap();
        assert!(above.read("b/file".as_ref()).is_ok() && above.read("c/file".as_ref()).is_err());
        assert!(Folder::open(&real.join("a/c")).is_err());
        folder.remove("link".as_ref()).unwrap();
        folder.sync().unwrap();
        assert!(folder.is_at(&real.join("a/b")) && !folder.is_at(&real.join("a/c")));
    }
}
