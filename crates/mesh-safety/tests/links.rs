//! What a path really names: links, second names, homes that are links, and things that are no files.
#![cfg(all(feature = "fs", unix))]
#![expect(clippy::unwrap_used, reason = "a test that cannot lay out its files has failed")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use mesh_safety::{PermissionMode, Policy, judge_command, judge_read, judge_write};

struct Machine {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for place in ["home/dev/.ssh", "home/dev/work/src", "tmp"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        fs::write(root.join("home/dev/.ssh/id_rsa"), "decoy").unwrap();
        fs::write(root.join("home/dev/work/src/a.rs"), "x").unwrap();
        Machine { _folder: folder, root }
    }

    fn work(&self, name: &str) -> PathBuf {
        self.root.join("home/dev/work").join(name)
    }

    fn policy(&self) -> Policy {
        Policy { workspace: self.work(""), home: Some(self.root.join("home/dev")), ..Policy::default() }
    }
}

fn writes(policy: &Policy, path: &str) -> bool {
    judge_write(path, PermissionMode::Auto, policy).is_allow()
}

#[test]
fn links_are_followed_to_their_end() {
    let machine = Machine::new();
    symlink(machine.root.join("home/dev/.ssh"), machine.work("notes")).unwrap();
    symlink("notes/id_rsa", machine.work("readme.txt")).unwrap();
    symlink("src", machine.work("inner")).unwrap();
    symlink(machine.root.join("tmp"), machine.work("away")).unwrap();
    let policy = machine.policy();
    assert!(!judge_read("notes/id_rsa", &policy).is_allow());
    assert!(!judge_read("readme.txt", &policy).is_allow());
    assert!(!judge_command("cat readme.txt", PermissionMode::Auto, &policy).is_allow());
    assert!(!writes(&policy, "notes/authorized_keys"));
    assert!(!writes(&policy, "away/new/x.txt"));
    // Bypass writes outside too, but not by a name that reads as if it were inside.
    let bypass = |path: &str| judge_write(path, PermissionMode::Bypass, &policy).is_allow();
    assert!(bypass("../x.txt") && bypass("inner/b.rs") && !bypass("away/new/x.txt"));
    assert!(writes(&policy, "inner/b.rs"));
}

#[test]
fn a_home_that_is_a_link_protects_both_spellings() {
    let machine = Machine::new();
    let spelled = machine.root.join("alias");
    symlink(machine.root.join("home/dev"), &spelled).unwrap();
    let policy = Policy { home: Some(spelled.clone()), ..machine.policy() };
    for home in [spelled, machine.root.join("home/dev")] {
        let keys = home.join(".ssh/authorized_keys");
        assert!(!judge_write(&keys, PermissionMode::Bypass, &policy).is_allow(), "{}", keys.display());
        assert!(!judge_read(home.join(".aws/credentials"), &policy).is_allow());
    }
    assert!(!judge_read("~/.ssh/config", &policy).is_allow());
}

#[test]
fn a_workspace_reached_by_a_link_is_still_the_workspace() {
    let machine = Machine::new();
    let spelled = machine.root.join("w");
    symlink(machine.work(""), &spelled).unwrap();
    let policy = Policy { workspace: spelled.clone(), ..machine.policy() };
    assert!(writes(&policy, "src/b.rs"));
    assert!(judge_write(machine.work("src/b.rs"), PermissionMode::Auto, &policy).is_allow());
    assert!(judge_write(spelled.join("src/b.rs"), PermissionMode::Auto, &policy).is_allow());
}

#[test]
fn a_second_name_of_a_secret_is_the_secret() {
    let machine = Machine::new();
    fs::hard_link(machine.root.join("home/dev/.ssh/id_rsa"), machine.work("innocent.txt")).unwrap();
    let policy = machine.policy();
    assert!(!judge_read("innocent.txt", &policy).is_allow());
    assert!(!writes(&policy, "innocent.txt"));
    assert!(judge_read("src/a.rs", &policy).is_allow());
}

#[test]
fn folders_and_sockets_are_no_files_to_write() {
    let machine = Machine::new();
    let _socket = std::os::unix::net::UnixListener::bind(machine.work("s")).unwrap();
    let policy = machine.policy();
    assert!(!writes(&policy, "src"));
    assert!(!writes(&policy, "s"));
    assert!(!judge_read("s", &policy).is_allow());
    assert!(judge_read("src", &policy).is_allow());
}
