//! The escape suite: each attempt is first shown to work without the sandbox, then made inside it, and what came of it is looked
//! at from outside. As the user who runs the tests and, where that is root, as an ordinary user too.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "the table is the result")]

mod builds;
mod core;
mod hard;
mod usable;
mod world;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use mesh_tests::lab::binary;
use tempfile::TempDir;
use world::{Person, World};

/// One attempt: its name, who can make it at all, the script, and what shows that it worked.
pub(crate) struct Attempt(&'static str, Who, &'static str, Proof);

/// One use: its name, the script, and what it says when it works.
pub(crate) struct Usage(&'static str, &'static str, &'static str);

/// Who can make an attempt without the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Anyone,
    Root,
    User,
}

/// What shows from outside that an attempt worked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof {
    /// This path of the world, or an absolute one, is not what it was.
    Changed(&'static str),
    /// The output has this text.
    Says(&'static str),
    /// A listener of this machine was talked to.
    Heard,
    /// Something goes on when the command has ended.
    Alive,
    /// The process that was to be let alone is gone.
    VictimGone,
    /// Git, run by the user in this folder of the project, runs what was planted.
    Git(&'static str),
}

/// Programs that an attempt or a use needs, where everybody can run them.
struct Programs {
    _folder: TempDir,
    meshapi: PathBuf,
    calls: PathBuf,
}

impl Programs {
    fn new() -> Programs {
        let folder = tempfile::Builder::new().prefix("mesh-programs-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let meshapi = folder.path().join("meshapi");
        fs::copy(binary(), &meshapi).unwrap();
        let calls = folder.path().join("calls");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/calls.c");
        let compiled = Command::new("cc").args(["-w", "-o"]).arg(&calls).arg(source).status().unwrap();
        assert!(compiled.success(), "the program of system calls does not compile");
        Programs { _folder: folder, meshapi, calls }
    }
}

/// The people whom this process can be.
fn people() -> Vec<Person> {
    /// `nobody` of every Linux.
    const NOBODY: u32 = 65534;
    match fs::metadata("/proc/self").unwrap().uid() {
        0 => vec![Person { name: "root", uid: None }, Person { name: "user", uid: Some(NOBODY) }],
        _ => vec![Person { name: "user", uid: None }],
    }
}

/// Everything that says what a file is; empty when it is not there.
fn looks(path: &Path) -> String {
    let Ok(meta) = fs::symlink_metadata(path) else { return String::new() };
    // What we put there for the time of a command is nobody's file.
    let text = fs::read(path).unwrap_or_default();
    format!("{:o} {} {:?} {text:?}", meta.mode(), meta.uid(), meta.modified().ok())
}

impl Proof {
    /// Whether the attempt worked.
    fn holds(self, world: &mut World, before: &str, output: &Output) -> bool {
        match self {
            Proof::Changed(path) => looks(&world.root().join(world.fill(path))) != before,
            Proof::Says(text) => {
                let said = [&output.stdout[..], &output.stderr].concat();
                String::from_utf8_lossy(&said).contains(text)
            }
            Proof::Heard => world.heard(),
            Proof::Alive => {
                let beat = world.root().join("work/beat");
                let length = || fs::metadata(&beat).map_or(0, |meta| meta.len());
                let first = length();
                let deadline = Instant::now() + Duration::from_millis(400);
                while Instant::now() < deadline && length() == first {
                    thread::sleep(Duration::from_millis(20));
                }
                length() != first
            }
            Proof::VictimGone => world.victim_gone(),
            Proof::Git(folder) => {
                let script = format!(
                    "cd {folder} && git status; git diff; git add -A; git commit -qm x --allow-empty"
                );
                let _ = world.command("sh").args(["-c", &script]).output().unwrap();
                world.root().join("PWNED").exists()
            }
        }
    }

    fn before(self, world: &World) -> String {
        match self {
            Proof::Changed(path) => looks(&world.root().join(world.fill(path))),
            _ => String::new(),
        }
    }
}

/// Makes the attempt in a new world and says whether it worked. A descriptor of the neighbour's file is left open.
fn worked(attempt: &Attempt, person: Person, programs: &Programs, confined: bool) -> (bool, String) {
    let mut world = World::new(person, &programs.calls);
    let before = attempt.3.before(&world);
    let script = world.fill(attempt.2);
    let open = world.fill("exec 9>>@OUT@/victim; \"$@\"; exit $?");
    let mut command = world.command("bash");
    command.args(["-c", &open, "bash"]);
    if confined {
        command.arg(&programs.meshapi).args(["sandbox", "--"]);
    }
    let output = command.args(["sh", "-c", &script]).output().unwrap();
    let worked = attempt.3.holds(&mut world, &before, &output);
    // What was left running is not to disturb the next.
    stop_beats(&world);
    let said = [&output.stdout[..], &output.stderr].concat();
    (worked, String::from_utf8_lossy(&said).into_owned())
}

/// Ends what an attempt without the sandbox left running: it is found by the folder in which it works.
fn stop_beats(world: &World) {
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let at = fs::read_link(process.path().join("cwd"));
        let name = process.file_name().to_string_lossy().into_owned();
        if at.is_ok_and(|at| at.starts_with(world.root().join("work"))) && name.parse::<u32>().is_ok() {
            let _ = Command::new("kill").args(["-9", &name]).status();
        }
    }
}

fn suite(name: &str, attempts: &[Attempt]) {
    let programs = Programs::new();
    let mut proved = vec![false; attempts.len()];
    let mut escaped = Vec::new();
    for person in people() {
        let (mut made, mut stopped) = (0, 0);
        for (at, attempt) in attempts.iter().enumerate() {
            let can = match attempt.1 {
                Who::Anyone => true,
                Who::Root => person.name == "root",
                Who::User => person.name == "user",
            };
            if !can {
                continue;
            }
            // What does not work without the sandbox proves nothing with it; the attempt is made all the same.
            let (free, said) = worked(attempt, person, &programs, false);
            // A kernel without the call has nothing to show.
            let absent = ["Function not implemented", "Address family not supported"];
            proved[at] |= free || absent.iter().any(|why| said.contains(why));
            let (out, inside) = worked(attempt, person, &programs, true);
            made += 1;
            stopped += usize::from(!out);
            if out {
                escaped.push(format!("{} as {}: {inside}", attempt.0, person.name));
            } else if !free {
                println!("  not shown to work as {}: {} ({})", person.name, attempt.0, said.trim());
            }
        }
        println!("{name} as {}: {stopped} of {made} stopped", person.name);
    }
    let as_root = people().len() > 1;
    let unproved: Vec<&str> =
        attempts.iter().zip(&proved).filter(|(_, proved)| !**proved).map(|(a, _)| a.0).collect();
    assert!(escaped.is_empty(), "escaped:\n{}", escaped.join("\n"));
    // An ordinary user cannot show what only root can do.
    assert!(!as_root || unproved.is_empty(), "never shown to work: {unproved:?}");
}

#[test]
fn nothing_of_the_core_escapes() {
    suite("core", core::ATTEMPTS);
}

#[test]
fn nothing_of_the_kernel_escapes() {
    suite("hardening", hard::ATTEMPTS);
}

#[test]
fn what_people_do_goes_on_working() {
    let programs = Programs::new();
    let mut broken = Vec::new();
    for person in people() {
        for Usage(name, script, says) in usable::USES {
            let world = World::new(person, &programs.calls);
            let mut command = world.command(&programs.meshapi);
            let output = command.args(["sandbox", "--", "sh", "-c", &world.fill(script)]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            if said.trim() != world.fill(says) {
                let error = String::from_utf8_lossy(&output.stderr);
                broken.push(format!("{name} as {}: {said:?} {error}", person.name));
            }
        }
        println!("usable as {}: {} tried", person.name, usable::USES.len());
    }
    assert!(broken.is_empty(), "broken:\n{}", broken.join("\n"));
}
