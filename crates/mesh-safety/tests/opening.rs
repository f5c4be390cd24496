//! What was judged is what is opened, however often somebody turns the path around in between.
#![cfg(all(feature = "fs", unix))]
#![expect(clippy::unwrap_used, reason = "a test that cannot lay out its files has failed")]

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use mesh_safety::{Action, Entry, Judge, OpenError, PermissionMode, Policy, Sighting, judge_opened};

const OUTSIDE: &str = "outside";
const INSIDE: &str = "inside";

struct Machine {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for place in ["home/.ssh", "work/dir", "away"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        for (place, text) in
            [("home/.ssh/id_rsa", OUTSIDE), ("away/file", OUTSIDE), ("work/dir/file", INSIDE)]
        {
            fs::write(root.join(place), text).unwrap();
        }
        Machine { _folder: folder, root }
    }

    fn at(&self, place: &str) -> PathBuf {
        self.root.join(place)
    }

    fn policy(&self) -> Policy {
        Policy { workspace: self.at("work"), home: Some(self.at("home")), ..Policy::default() }
    }

    /// What auto mode decides on reading, with what it saw.
    fn read(&self, place: &str) -> (bool, Sighting) {
        let (policy, action) = (self.policy(), Action::Read { path: self.at(place) });
        let judge = Judge::new(&policy);
        (judge.judge(&action, PermissionMode::Auto).is_allow(), judge.sighting(&action).unwrap())
    }

    /// What auto mode decides on writing, with what it saw.
    fn write(&self, place: &str) -> (bool, Sighting) {
        let (policy, action) = (self.policy(), Action::Write { path: self.at(place) });
        let judge = Judge::new(&policy);
        (judge.judge(&action, PermissionMode::Auto).is_allow(), judge.sighting(&action).unwrap())
    }
}

fn text(mut file: impl Read) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

fn write(seen: &Sighting) -> Result<(), OpenError> {
    seen.open_write()?.replace(INSIDE.as_bytes(), || false)
}

#[test]
fn what_takes_the_judged_place_is_not_opened() {
    let machine = Machine::new();
    let (reads, seen) = machine.read("work/dir/file");
    let (writes, place) = machine.write("work/dir/file");
    let (_, new) = machine.write("work/dir/new/file");
    assert!(reads && writes);
    assert_eq!(text(seen.open_read().unwrap()), INSIDE);

    // A folder on the way becomes a link.
    fs::rename(machine.at("work/dir"), machine.at("work/old")).unwrap();
    symlink(machine.at("away"), machine.at("work/dir")).unwrap();
    assert!(seen.open_read().is_err() && write(&place).is_err() && write(&new).is_err());
    assert!(seen.open_folder().is_err());
    assert_eq!(fs::read_dir(machine.at("away")).unwrap().count(), 1);

    // The file itself becomes a link, and then a second name of a secret.
    fs::remove_file(machine.at("work/dir")).unwrap();
    fs::create_dir(machine.at("work/dir")).unwrap();
    symlink(machine.at("away/file"), machine.at("work/dir/file")).unwrap();
    assert!(matches!(seen.open_read(), Err(OpenError::Moved)));
    assert!(write(&place).is_err());
    fs::remove_file(machine.at("work/dir/file")).unwrap();
    fs::hard_link(machine.at("home/.ssh/id_rsa"), machine.at("work/dir/file")).unwrap();
    assert!(matches!(seen.open_read(), Err(OpenError::Moved)));
    assert!(matches!(write(&place), Err(OpenError::Moved)));
    assert!(!machine.read("work/dir/file").0);

    // Another plain file under the judged path is what an editor leaves behind.
    fs::remove_file(machine.at("work/dir/file")).unwrap();
    fs::write(machine.at("work/dir/file"), "saved").unwrap();
    assert_eq!(text(seen.open_read().unwrap()), "saved");
    write(&place).unwrap();
    assert_eq!(fs::read_to_string(machine.at("work/dir/file")).unwrap(), INSIDE);
    for place in ["away/file", "home/.ssh/id_rsa"] {
        assert_eq!(fs::read_to_string(machine.at(place)).unwrap(), OUTSIDE, "{place}");
    }
}

#[test]
fn links_that_stood_there_when_it_was_judged_are_no_obstacle() {
    let machine = Machine::new();
    symlink("dir", machine.at("work/link")).unwrap();
    symlink("dir/file", machine.at("work/name")).unwrap();
    assert_eq!(text(machine.read("work/link/file").1.open_read().unwrap()), INSIDE);
    write(&machine.write("work/name").1).unwrap();
    assert!(fs::symlink_metadata(machine.at("work/name")).unwrap().is_symlink());
    // A link that is turned around afterwards leads nowhere new: what was judged is opened.
    let (_, seen) = machine.read("work/link/file");
    fs::remove_file(machine.at("work/link")).unwrap();
    symlink(machine.at("away"), machine.at("work/link")).unwrap();
    assert_eq!(text(seen.open_read().unwrap()), INSIDE);
    assert_eq!(seen.written(), machine.at("work/link/file"));
    assert_eq!(seen.real(), machine.at("work/dir/file"));
}

#[test]
fn a_write_is_whole_or_not_at_all() {
    let machine = Machine::new();
    let (_, new) = machine.write("work/a/b/c");
    assert!(new.open_write().unwrap().open_old().unwrap().is_none());
    assert!(!machine.at("work/a").exists(), "opening makes nothing");
    write(&new).unwrap();
    assert_eq!(fs::read_to_string(machine.at("work/a/b/c")).unwrap(), INSIDE);

    let (_, seen) = machine.write("work/dir/file");
    let stopped = seen.open_write().unwrap().replace(b"x", || true);
    assert!(matches!(stopped, Err(OpenError::Stopped)));
    // Somebody saves the file between the look at it and the writing.
    let opened = seen.open_write().unwrap();
    assert_eq!(text(opened.open_old().unwrap().unwrap()), INSIDE);
    fs::write(machine.at("work/dir/saved"), "saved").unwrap();
    fs::rename(machine.at("work/dir/saved"), machine.at("work/dir/file")).unwrap();
    assert!(matches!(opened.replace(b"x", || false), Err(OpenError::Moved)));
    assert_eq!(fs::read_to_string(machine.at("work/dir/file")).unwrap(), "saved");
    // The folder is moved away.
    let opened = seen.open_write().unwrap();
    fs::rename(machine.at("work/dir"), machine.at("work/old")).unwrap();
    let moved = opened.replace(b"x", || false);
    assert!(!cfg!(target_os = "linux") || matches!(moved, Err(OpenError::Moved)), "{moved:?}");
    assert_eq!(fs::read_dir(machine.at("work/old")).unwrap().count(), 1, "no new file is left");
}

#[test]
fn a_mode_survives_and_special_files_are_no_files() {
    let machine = Machine::new();
    fs::set_permissions(machine.at("work/dir/file"), fs::Permissions::from_mode(0o751)).unwrap();
    write(&machine.write("work/dir/file").1).unwrap();
    let mode = fs::metadata(machine.at("work/dir/file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o751);
    let _socket = std::os::unix::net::UnixListener::bind(machine.at("work/s")).unwrap();
    let special = Sighting::take(&machine.at("work/s")).unwrap();
    assert!(matches!(special.open_read(), Err(OpenError::Special)));
    assert!(matches!(special.open_write(), Err(OpenError::Special)));
    let folder = Sighting::take(&machine.at("work")).unwrap();
    assert!(matches!(folder.open_read(), Err(OpenError::IsFolder)));
    assert!(matches!(folder.open_write(), Err(OpenError::IsFolder)));
    assert!(matches!(Sighting::take(Path::new("/")).unwrap().open_read(), Err(OpenError::IsFolder)));
    let file = Sighting::take(&machine.at("work/dir/file")).unwrap();
    assert!(matches!(file.open_folder(), Err(OpenError::NoFolder)));
    symlink("b", machine.at("work/a")).unwrap();
    symlink("a", machine.at("work/b")).unwrap();
    assert!(matches!(Sighting::take(&machine.at("work/a")), Err(OpenError::Loop)));
}

#[test]
fn a_folder_shows_only_what_is_in_it() {
    let machine = Machine::new();
    symlink(machine.at("away"), machine.at("work/dir/link")).unwrap();
    fs::hard_link(machine.at("home/.ssh/id_rsa"), machine.at("work/dir/second")).unwrap();
    let folder = machine.read("work/dir").1.open_folder().unwrap();
    let mut names: Vec<_> = folder.names().unwrap().map(Result::unwrap).collect();
    names.sort();
    assert_eq!(names, ["file", "link", "second"]);
    assert_eq!(folder.entry("link".as_ref()).unwrap(), Entry::Link(machine.at("away")));
    assert_eq!(folder.entry("file".as_ref()).unwrap(), Entry::File(INSIDE.len() as u64));
    assert!(folder.open_read(Path::new("link/file")).is_err());
    assert!(!cfg!(target_os = "linux") || folder.open_read(Path::new("../../away/file")).is_err());
    let policy = machine.policy();
    assert!(judge_opened(&folder.open_read(Path::new("file")).unwrap(), &policy).is_allow());
    assert!(!judge_opened(&folder.open_read(Path::new("second")).unwrap(), &policy).is_allow());
}

#[cfg(target_os = "linux")]
mod races {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, RenameFlags};

    use super::*;

    /// Opens in each race.
    const TIMES: usize = 600;

    /// Exchanges two places again and again while the work is done; false where the file system cannot exchange.
    fn race(one: &Path, other: &Path, mut work: impl FnMut()) -> bool {
        let exchange = || rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
        if exchange().is_err() || exchange().is_err() {
            return false;
        }
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = exchange();
                }
            });
            (0..TIMES).for_each(|_| work());
            is_over.store(true, Ordering::Relaxed);
        });
        true
    }

    #[expect(clippy::print_stderr, reason = "whoever runs the tests should know what was not tested")]
    /// Reads and writes what is allowed, as a tool would, and never meets what lies outside.
    fn check(machine: &Machine, place: &str, trap: &str) {
        let (mut reads, mut writes) = (0, 0);
        let mut work = || {
            let (is_allowed, seen) = machine.read("work/dir/file");
            if let (true, Ok(file)) = (is_allowed, seen.open_read()) {
                assert_ne!(text(file), OUTSIDE, "{place}: read outside");
                reads += 1;
            }
            let (is_allowed, seen) = machine.write("work/dir/file");
            if is_allowed && write(&seen).is_ok() {
                writes += 1;
            }
            let root = machine.read("work").1.open_folder().unwrap();
            if let Ok(file) = root.open_read(Path::new("dir/file")) {
                let is_allowed = judge_opened(&file, &machine.policy()).is_allow();
                assert!(!is_allowed || text(file) != OUTSIDE, "{place}: found outside");
            }
        };
        if !race(&machine.at(place), &machine.at(trap), &mut work) {
            eprintln!("the file system cannot exchange two names: not tested");
            return;
        }
        for place in ["away/file", "home/.ssh/id_rsa"] {
            assert_eq!(fs::read_to_string(machine.at(place)).unwrap(), OUTSIDE, "{place}: written outside");
        }
        for folder in ["away", "home/.ssh"] {
            assert_eq!(fs::read_dir(machine.at(folder)).unwrap().count(), 1, "{folder}: a file was left");
        }
        assert!(reads + writes > 0, "{place}: nothing was ever opened");
    }

    #[test]
    fn a_folder_that_is_a_link_now_and_then_leads_nowhere() {
        let machine = Machine::new();
        symlink(machine.at("away"), machine.at("work/trap")).unwrap();
        check(&machine, "work/dir", "work/trap");
    }

    #[test]
    fn a_file_that_is_a_link_now_and_then_leads_nowhere() {
        let machine = Machine::new();
        symlink(machine.at("home/.ssh/id_rsa"), machine.at("work/trap")).unwrap();
        check(&machine, "work/dir/file", "work/trap");
    }

    #[test]
    fn a_file_that_is_another_name_of_a_secret_now_and_then_is_not_read() {
        let machine = Machine::new();
        fs::hard_link(machine.at("home/.ssh/id_rsa"), machine.at("work/trap")).unwrap();
        check(&machine, "work/dir/file", "work/trap");
    }
}
