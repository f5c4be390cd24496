//! What a command left behind that somebody would run later: new repositories with hooks and settings, changed settings of a
//! widened call. It is put aside and told, before the user's own git meets it.
//!
//! Every file is reached through an opened folder that no link leads to: another command may still be at work beside.

use std::{
    collections::HashSet,
    fs,
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use super::{
    Level, Policy, git_config,
    scan::{Found, is_there, pointed_at, scan},
    stand_ins::{StandIns, State, Wanted, is_stand_in},
};

/// Larger settings are not read, and so not kept.
const LARGEST: u64 = 1 << 20;

/// What stood before a command.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Folders and files of git, by device and number: a rename does not make them new.
    known: HashSet<(u64, u64)>,
    /// Settings that this call may write.
    open: Vec<(PathBuf, Vec<u8>)>,
    /// Protected files that could be changed under another name, or under their own where nothing is mounted.
    copies: Vec<(PathBuf, Vec<u8>)>,
    /// Protected names that were absent.
    absent: Vec<Wanted>,
    /// Those that were not, with what they were: a folder that was moved away takes its covers with it.
    there: Vec<(PathBuf, (u64, u64))>,
}

impl Before {
    /// Remembers what stands.
    pub(super) fn of(policy: &Policy, level: Level, found: &Found, held: &StandIns) -> Before {
        let mut before = Before::default();
        let links = found.tops.iter().map(|top| top.join(".git"));
        let folders = found.repositories.iter().map(|repository| repository.folder.clone());
        before.known.extend(folders.chain(links).filter_map(|path| number(&path)));
        if policy.git_setup {
            let configs = found.repositories.iter().map(|repository| repository.folder.join("config"));
            before.open.extend(configs.filter_map(|path| fs::read(&path).ok().map(|text| (path, text))));
        }
        let is_mounted = level == Level::Full;
        for (wanted, state) in &held.names {
            if *state != State::There {
                before.absent.push(wanted.clone());
                continue;
            }
            before.there.extend(number(&wanted.path).map(|number| (wanted.path.clone(), number)));
            files_of(&wanted.path, 0, &mut |path, meta| {
                if (!is_mounted || meta.nlink() > 1)
                    && meta.len() <= LARGEST
                    && let Ok(text) = fs::read(path)
                {
                    before.copies.push((path.to_owned(), text));
                }
            });
        }
        before
    }

    /// Looks at what stands now, puts aside what must not stand, and says what that was.
    pub(super) fn check(&self, policy: &Policy) -> Vec<String> {
        let found = scan(&policy.writable);
        let mut check = Check { policy, store: None, notes: Vec::new() };
        for repository in &found.repositories {
            if !number(&repository.folder).is_some_and(|number| self.known.contains(&number)) {
                check.repository(&repository.folder);
            }
        }
        for top in &found.tops {
            let pointer = top.join(".git");
            let is_new = number(&pointer).is_some_and(|number| !self.known.contains(&number));
            let is_folder = fs::symlink_metadata(&pointer).is_ok_and(|meta| meta.is_dir());
            if is_new && !is_folder {
                check.pointer(&pointer);
            }
        }
        for (path, text) in &self.open {
            check.settings(path, &String::from_utf8_lossy(text));
        }
        for (path, text) in &self.copies {
            check.restore(path, text);
        }
        for wanted in &self.absent {
            if !is_stand_in(wanted) && is_there(&wanted.path) {
                check.put_aside(&wanted.path, "it is protected, and a command made it");
            }
        }
        for (path, was) in &self.there {
            // Git's own are judged by what they say.
            let is_new = number(path).is_some_and(|is| is != *was);
            if is_new && !path.components().any(|part| part.as_os_str() == ".git") {
                check.put_aside(path, "it is protected, and a command brought another");
            }
        }
        check.notes
    }
}

fn number(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Calls with every regular file at or below a path.
fn files_of(path: &Path, depth: usize, take: &mut dyn FnMut(&Path, &fs::Metadata)) {
    /// Deeper stands nothing that is protected.
    const DEEPEST: usize = 8;
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    if meta.is_file() {
        take(path, &meta);
    } else if meta.is_dir() && depth < DEEPEST {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            files_of(&entry.path(), depth + 1, take);
        }
    }
}

struct Check<'a> {
    policy: &'a Policy,
    /// Where things are put; made when there is one.
    store: Option<PathBuf>,
    notes: Vec<String>,
}

impl Check<'_> {
    /// A repository that the command made.
    fn repository(&mut self, folder: &Path) {
        self.hooks(&folder.join("hooks"));
        self.settings(&folder.join("config"), "");
        let of_worktree = folder.parent().is_some_and(|parent| parent.ends_with("worktrees"));
        let says = fs::read_to_string(folder.join("commondir")).unwrap_or_default();
        if is_there(&folder.join("commondir")) && !(of_worktree && says.trim() == "../..") {
            self.put_aside(&folder.join("commondir"), "it leads git to other settings");
        }
        if is_there(&folder.join("config.worktree")) {
            self.settings(&folder.join("config.worktree"), "");
        }
    }

    fn hooks(&mut self, folder: &Path) {
        let Ok(meta) = fs::symlink_metadata(folder) else { return };
        if !meta.is_dir() {
            self.put_aside(folder, "it is no folder of hooks");
            return;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_sample = name.to_string_lossy().ends_with(".sample");
            if !is_sample || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                self.put_aside(&entry.path(), "git would run it");
            }
        }
    }

    /// Settings of a repository; what stood before may stand.
    fn settings(&mut self, path: &Path, before: &str) {
        let Ok(meta) = fs::symlink_metadata(path) else { return };
        if !meta.is_file() || meta.len() > LARGEST {
            self.put_aside(path, "these are no settings of git's own making");
            return;
        }
        let Some(text) = read_plain(path) else { return };
        let kept = git_config::keep(&text, before);
        if kept.removed.is_empty() && meta.nlink() == 1 {
            return;
        }
        let why = format!("git would act on {}", kept.removed.join(", "));
        if self.put_aside(path, if kept.removed.is_empty() { "it has another name" } else { &why })
            && let Err(error) = write_new(path, kept.text.as_bytes())
        {
            self.notes.push(format!("{} could not be written anew: {error}", path.display()));
        }
    }

    /// A file or link `.git` that the command made.
    fn pointer(&mut self, path: &Path) {
        let target = pointed_at(path);
        if !target.is_some_and(|target| self.policy.may_write(&target)) {
            self.put_aside(path, "it leads git out of the writable folders");
        }
    }

    /// Puts back a protected file that was changed past its protection.
    fn restore(&mut self, path: &Path, text: &[u8]) {
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
            && fs::read(path).is_ok_and(|now| now == text)
        {
            return;
        }
        let is_clear = !is_there(path) || self.put_aside(path, "it is protected");
        if is_clear && let Err(error) = write_new(path, text) {
            self.notes.push(format!("{} could not be put back: {error}", path.display()));
        }
    }

    /// Moves something to the quarantine and says so. Whether its name is free now.
    fn put_aside(&mut self, path: &Path, why: &str) -> bool {
        let moved = self.store().and_then(|store| {
            let name: String = path.display().to_string().replace('/', "%");
            let to = store.join(name.trim_start_matches('%'));
            move_to(path, &to)?;
            Ok(to)
        });
        match moved {
            Ok(to) => {
                self.notes.push(format!("{} was put aside to {}: {why}", path.display(), to.display()));
                true
            }
            Err(error) => {
                self.notes.push(format!(
                    "{} is dangerous ({why}) and could not be put aside: {error}",
                    path.display()
                ));
                false
            }
        }
    }

    fn store(&mut self) -> io::Result<PathBuf> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let name = format!("{now}-{}", std::process::id());
        let in_home = self.policy.home.as_ref().map(|home| home.join(".meshapi/quarantine").join(&name));
        let places =
            in_home.into_iter().chain([std::env::temp_dir().join(format!("meshapi-quarantine-{name}"))]);
        let mut last = io::ErrorKind::NotFound.into();
        for place in places {
            match fs::create_dir_all(&place)
                .and_then(|()| fs::set_permissions(&place, fs::Permissions::from_mode(0o700)))
            {
                Ok(()) => {
                    self.store = Some(place.clone());
                    return Ok(place);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// The folder of a path, opened without following a link, and the path through it.
fn through_folder(path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let folder = openat2(CWD, folder, flags, Mode::empty(), resolve)?;
    let through = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((folder, through))
}

/// Reads a file that is no link; what is not UTF-8 is replaced, and so is not plain.
fn read_plain(path: &Path) -> Option<String> {
    let (_folder, through) = through_folder(path).ok()?;
    if !fs::symlink_metadata(&through).ok()?.is_file() {
        return None;
    }
    fs::read(through).ok().map(|text| String::from_utf8_lossy(&text).into_owned())
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let (_folder, through) = through_folder(path)?;
    let mut file = fs::File::options().write(true).create_new(true).open(through)?;
    file.write_all(text)
}

/// Moves a file, folder or link; to another disk by a copy, of which links and special files are only named.
fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    let (_folder, through) = through_folder(from)?;
    match fs::rename(&through, to) {
        Ok(()) => neutral(to),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy(&through, to, 0)?;
            match fs::symlink_metadata(&through)?.is_dir() {
                true => fs::remove_dir_all(&through),
                false => fs::remove_file(&through),
            }
        }
        Err(error) => Err(error),
    }
}

/// Takes the right to be run from what was put aside.
fn neutral(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_file() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    /// Deeper than any folder of settings: the rest is not worth keeping.
    const DEEPEST: usize = 16;
    let meta = fs::symlink_metadata(from)?;
    if meta.is_dir() && depth < DEEPEST {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)?.flatten() {
            copy(&entry.path(), &to.join(entry.file_name()), depth + 1)?;
        }
    } else if meta.is_file() {
        fs::copy(from, to)?;
        neutral(to)?;
    } else if meta.is_symlink() {
        fs::write(to, format!("a link to {}\n", fs::read_link(from)?.display()))?;
    }
    Ok(())
}
