//! The folder `~/.meshapi` and its files: private from their first moment, replaced whole or not at all.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::sys;

/// Name of the folder below the user's home. Seed section 3.
pub const FOLDER: &str = ".meshapi";
/// Files of ours that are longer are not read. Our choice: far beyond any that a person or the program writes.
const MAX_BYTES: u64 = 16 << 20;
/// Backups of one file that are kept.
const MAX_BACKUPS: u32 = 20;

/// `~/.meshapi`. Making the value touches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
}

/// Whether a write is waited for until it would survive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// File and folder are synced.
    Synced,
    /// Left to the system: for what can be made again, such as the defaults of a first start.
    Lazy,
}

impl Folder {
    /// The folder of this home.
    pub fn of(home: &Path) -> Folder {
        Folder { path: home.join(FOLDER) }
    }

    /// Another folder that is kept the same way.
    pub fn at(path: &Path) -> Folder {
        Folder { path: path.to_owned() }
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the folder, for its owner alone.
    ///
    /// # Errors
    /// The home is missing or cannot be written.
    pub fn ensure(&self) -> io::Result<()> {
        sys::private_folder(&self.path)
    }

    /// The bytes of a file, and `None` if it is not there. Others lose their access to it.
    ///
    /// # Errors
    /// It cannot be read, is not a file, or is longer than 16 MiB.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.file(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        if metadata.len() > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 16 MiB"));
        }
        // Best effort: the file of a shared or foreign-owned home is still read.
        let _ = sys::tighten_file(&file);
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Replaces a file whole: a private neighbour is written and renamed over it.
    ///
    /// A link is written through, not replaced, so that people may keep the file elsewhere.
    ///
    /// # Errors
    /// The folder or the file cannot be written; the old file is then untouched.
    pub fn write(&self, name: &str, bytes: &[u8], durability: Durability) -> io::Result<()> {
        self.ensure()?;
        replace(&link_target(&self.file(name))?, bytes, durability)
    }

    /// Opens a file for appending, made private if it is new.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn append(&self, name: &str) -> io::Result<File> {
        self.ensure()?;
        let file = sys::private(OpenOptions::new().create(true).append(true)).open(self.file(name))?;
        sys::tighten_file(&file)?;
        Ok(file)
    }

    /// Removes a file; it may be missing.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts `bytes` into `NAME.bak`, or `NAME.bak.2` and so on if that holds something else. Returns the path.
    ///
    /// The same bytes are kept once, however often they are found.
    ///
    /// # Errors
    /// The folder cannot be written, or twenty other backups stand there.
    pub fn back_up(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        self.ensure()?;
        for number in 1..=MAX_BACKUPS {
            let path =
                self.file(&if number == 1 { format!("{name}.bak") } else { format!("{name}.bak.{number}") });
            match sys::private(OpenOptions::new().write(true).create_new(true)).open(&path) {
                Ok(mut file) => {
                    sys::tighten_file(&file)?;
                    file.write_all(bytes)?;
                    file.sync_all()?;
                    return Ok(path);
                }
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) if std::fs::read(&path).is_ok_and(|kept| kept == bytes) => return Ok(path),
                Err(_) => {}
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many backups of it stand there; remove some"))
    }
}

fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // tempfile makes its files for their owner alone, whatever the umask.
    let mut neighbour = builder.prefix(".meshapi-").suffix(".tmp").tempfile_in(parent)?;
    sys::tighten_file(neighbour.as_file())?;
    neighbour.write_all(bytes)?;
    if durability == Durability::Synced {
        neighbour.as_file().sync_all()?;
    }
    neighbour.persist(path).map_err(|error| error.error)?;
    if durability == Durability::Synced {
        sys::sync_folder(parent)?;
    }
    Ok(())
}

/// Where a chain of links ends, even if nothing stands there yet.
fn link_target(path: &Path) -> io::Result<PathBuf> {
    // As many as the system follows. Linux: 40.
    const MAX_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new(".")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its links run in a circle"))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn home() -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path());
        (home, folder)
    }

    fn mode(path: &Path) -> u32 {
        sys::mode(path).unwrap().unwrap()
    }

    #[test]
    fn files_are_private_and_replaced_whole() {
        let (_home, folder) = home();
        folder.write("a", b"one", Durability::Lazy).unwrap();
        folder.write("a", b"two", Durability::Synced).unwrap();
        assert_eq!(folder.read("a").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!((mode(folder.path()), mode(&folder.file("a"))), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(folder.read("b").unwrap(), None);
    }

    #[test]
    fn reading_takes_access_from_others() {
        let (_home, folder) = home();
        folder.ensure().unwrap();
        std::fs::write(folder.file("a"), "x").unwrap();
        std::fs::set_permissions(folder.file("a"), std::fs::Permissions::from_mode(0o666)).unwrap();
        folder.read("a").unwrap();
        assert_eq!(mode(&folder.file("a")), 0o600);
    }

    #[test]
    fn links_are_written_through() {
        let (home, folder) = home();
        folder.ensure().unwrap();
        let elsewhere = home.path().join("dotfiles");
        std::fs::create_dir(&elsewhere).unwrap();
        symlink("../dotfiles/real.json", folder.file("config.json")).unwrap();
        folder.write("config.json", b"{}", Durability::Synced).unwrap();
        assert_eq!(std::fs::read(elsewhere.join("real.json")).unwrap(), b"{}");
        assert!(folder.file("config.json").is_symlink());
        assert_eq!(mode(&elsewhere.join("real.json")), 0o600);

        symlink("loop", folder.file("loop")).unwrap();
        assert!(folder.write("loop", b"", Durability::Lazy).is_err());
    }

    #[test]
    fn backups_keep_each_content_once() {
        let (_home, folder) = home();
        let first = folder.back_up("c", b"1").unwrap();
        assert_eq!(folder.back_up("c", b"1").unwrap(), first);
        let second = folder.back_up("c", b"2").unwrap();
        assert_eq!((first, second), (folder.file("c.bak"), folder.file("c.bak.2")));
        assert_eq!(mode(&folder.file("c.bak.2")), 0o600);
    }

    #[test]
    fn odd_things_in_place_of_a_file_are_errors() {
        let (home, folder) = home();
        folder.ensure().unwrap();
        std::fs::create_dir(folder.file("d")).unwrap();
        assert!(folder.read("d").is_err());
        assert!(folder.write("d", b"x", Durability::Lazy).is_err());
        assert!(Folder::of(&home.path().join("missing")).ensure().is_err());
        folder.remove("nothing").unwrap();
    }
}
