//! Many calls of one session's sandbox leave no process, mount, descriptor or file. Alone in its program: what it counts is the
//! process's own.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

use std::{fs, path::Path};

use mesh_safety::sandbox::{Level, Policy, Sandbox, Widening};
use mesh_tests::lab::binary;

/// What of the kernel a process and a folder hold.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    mounts: usize,
    children: usize,
    scratch: Vec<String>,
    folder: Vec<String>,
}

impl Holdings {
    fn now(sandbox: &Sandbox, folder: &Path) -> Holdings {
        let names = |folder: &Path| -> Vec<String> {
            let entries = fs::read_dir(folder).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let session = sandbox.tmp();
        Holdings {
            descriptors: names("/proc/self/fd".as_ref()).len(),
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(),
            children: children(),
            scratch: names(session.parent().unwrap()),
            folder: names(folder),
        }
    }
}

/// Processes whose parent we are, or whose parents have ended: with ours gone nothing else would tell of them.
fn children() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.map(|task| of(task.unwrap()).split_ascii_whitespace().count()).sum()
}

/// `MESH_SANDBOX_CALLS` says how many; 10,000 take some minutes.
#[test]
fn many_calls_leave_nothing() {
    let calls =
        std::env::var("MESH_SANDBOX_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_usize);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir(root.join(".git")).unwrap();
    let policy = Policy::new(std::slice::from_ref(&root), None).unwrap();
    let sandbox = Sandbox::new(binary(), policy, Level::Full).unwrap();
    let call = || {
        let words = ["sh", "-c", "echo x >made; (sleep 600 &) ; echo said"].map(Into::into).to_vec();
        let (mut command, wrapped) = sandbox.wrap(words, &root, &[], Widening::default()).unwrap();
        let output = command.current_dir(&root).output().unwrap();
        drop(command);
        let report = wrapped.report().unwrap().unwrap();
        assert_eq!((&output.stdout[..], report.level), (&b"said\n"[..], Level::Full));
    };
    call();
    let before = Holdings::now(&sandbox, &root);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..calls / 4).for_each(|_| call()));
        }
    });
    assert_eq!(Holdings::now(&sandbox, &root), before);
    let session = sandbox.tmp();
    drop(sandbox);
    assert!(!session.exists());
}
