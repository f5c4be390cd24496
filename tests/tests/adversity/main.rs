//! What the sandbox says on machines that lack something, and in places that nobody would choose: the level drops visibly or the
//! call fails with a message. Nothing ever runs unconfined in silence.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use mesh_client::scripted::{Reply, Script};
use mesh_tests::lab::{Lab, binary};
use serde_json::json;

fn says(text: &str) -> Reply {
    Reply::stream().text(text).usage(10, 3).cost("0.001").done()
}

fn bash(command: &str) -> Reply {
    let arguments = json!({ "command": command }).to_string();
    Reply::stream().tool_call("call_1", "run_bash", &arguments, 7).usage(10, 3).cost("0.001").done()
}

/// A lab whose model runs `sh attempt.sh`, which reads a file of the home and writes one in the folder.
fn lab() -> Lab {
    let lab = Lab::new(Script::in_order([bash("sh attempt.sh"), says("done")]));
    fs::write(lab.home().join("letter"), "TOPSECRET").unwrap();
    let script = format!("echo ran >ran; cat '{}/letter'; true", lab.home().display());
    fs::write(lab.work().join("attempt.sh"), script).unwrap();
    lab
}

/// A program that takes calls away from whatever it starts.
fn without_calls() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = binary().parent().unwrap().join(format!("without-{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/adversity/without.c");
        assert!(Command::new("cc").args(["-w", "-o"]).arg(&program).arg(source).status().unwrap().success());
        program
    })
}

/// The command, started by another one that stands before it.
fn under(before: &[&OsStr], command: &Command) -> Output {
    let mut under = Command::new(before[0]);
    under.args(&before[1..]).arg(command.get_program()).args(command.get_args()).env_clear();
    if let Some(folder) = command.get_current_dir() {
        under.current_dir(folder);
    }
    under.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    under.output().unwrap()
}

/// The command in a mount namespace in which this script has run first; `$@` is the command.
fn in_mounts(script: &str, command: &Command) -> Output {
    let script = format!("{script}; exec \"$@\"");
    under(&["unshare", "-rm", "sh", "-ec", &script, "sh"].map(OsStr::new), command)
}

/// `meshapi sandbox` in the work folder.
fn confined(lab: &Lab, command: &[&str]) -> Command {
    let mut confined = Command::new(binary());
    confined.args(["sandbox", "--"]).args(command).current_dir(lab.work()).env_clear();
    confined.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", lab.home());
    confined
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `meshapi sandbox` on such a machine runs nothing and says why.
#[track_caller]
fn refuses(lab: &Lab, output: &Output) {
    let error = error(output);
    assert_eq!(output.status.code(), Some(125), "{error}");
    assert!(error.starts_with("meshapi sandbox: ") && error.len() > 40, "{error}");
    assert!(!lab.work().join("ran").exists());
}

/// `meshapi sandbox` on such a machine says what it lacks, and the command sees nothing of the home.
#[track_caller]
fn runs_at_no_mounts(lab: &Lab, output: &Output) {
    let error = error(output);
    assert!(error.starts_with("meshapi sandbox: confined at level no-mounts only: "), "{error}");
    assert!(lab.work().join("ran").exists(), "{error}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("TOPSECRET"));
}

/// A session on such a machine says what it lacks, and its commands see nothing of the home.
#[track_caller]
fn drops_to_no_mounts(lab: &Lab, output: &Output) {
    let error = error(output);
    assert!(error.contains("confined at level no-mounts only"), "{error}");
    assert!(lab.work().join("ran").exists(), "{error}");
    let told = lab.requests()[1].last_text("tool").to_owned();
    assert!(!told.contains("TOPSECRET"), "{told}");
}

/// A session on such a machine says that there is none, and in auto mode no command runs.
#[track_caller]
fn asks_for_each(lab: &Lab, output: &Output) {
    let error = error(output);
    assert!(error.contains("commands cannot be confined here"), "{error}");
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(!lab.work().join("ran").exists());
}

const GO: [&str; 4] = ["-p", "go", "--mode", "auto"];
const BYPASS: [&str; 4] = ["-p", "go", "--mode", "bypass"];

#[test]
fn namespaces_that_are_refused() {
    // As Docker's default filter does, and kernels that are hardened so.
    let before = [without_calls().as_os_str(), OsStr::new("namespaces")];
    let other = lab();
    runs_at_no_mounts(&other, &under(&before, &confined(&other, &["sh", "attempt.sh"])));
    let lab = lab();
    drops_to_no_mounts(&lab, &under(&before, &lab.command(&BYPASS)));
}

#[test]
fn a_kernel_without_landlock() {
    let before = [without_calls().as_os_str(), OsStr::new("landlock")];
    let other = lab();
    refuses(&other, &under(&before, &confined(&other, &["sh", "attempt.sh"])));
    let lab = lab();
    asks_for_each(&lab, &under(&before, &lab.command(&GO)));
}

#[test]
fn inside_ourselves() {
    // The sandbox in the sandbox: no namespaces there, and Landlock once more.
    let lab = lab();
    let binary = binary().display().to_string();
    let mut outer = Command::new(&binary);
    outer.args(["sandbox", "--read", &binary, "--", &binary, "sandbox", "--", "sh", "attempt.sh"]);
    outer.current_dir(lab.work()).env("HOME", lab.home());
    refuses(&lab, &outer.output().unwrap());
}

#[test]
fn a_hidden_proc() {
    let other = lab();
    let hide = "mount -t tmpfs none /proc";
    refuses(&other, &in_mounts(hide, &confined(&other, &["sh", "attempt.sh"])));
    let lab = lab();
    asks_for_each(&lab, &in_mounts(hide, &lab.command(&GO)));
}

#[test]
fn a_proc_with_a_masked_entry_as_containers_have_it() {
    let mask = "mount --bind /dev/null /proc/version";
    let other = lab();
    runs_at_no_mounts(&other, &in_mounts(mask, &confined(&other, &["sh", "attempt.sh"])));
    let lab = lab();
    drops_to_no_mounts(&lab, &in_mounts(mask, &lab.command(&BYPASS)));
}

#[test]
fn a_home_that_cannot_be_written() {
    let lab = lab();
    let home = lab.home().display().to_string();
    let frozen = format!("mount --bind '{home}' '{home}'; mount -o remount,ro,bind '{home}'");
    let output = in_mounts(&frozen, &lab.command(&BYPASS));
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    assert!(lab.work().join("ran").exists());
    assert!(!lab.requests()[1].last_text("tool").contains("TOPSECRET"));
    assert!(!error(&output).contains("commands are confined at level"), "{}", error(&output));
}

#[test]
fn a_folder_that_is_gone() {
    let lab = lab();
    let script = "mkdir gone; cd gone; rmdir ../gone; exec \"$@\"";
    let before = ["sh", "-ec", script, "sh"].map(OsStr::new);
    refuses(&lab, &under(&before, &confined(&lab, &["sh", "-c", "echo ran >../ran"])));
    let output = under(&before, &lab.command(&BYPASS));
    assert_eq!(output.status.code(), Some(2), "{}", error(&output));
    assert!(lab.requests().is_empty());
}

#[test]
fn a_full_disk() {
    let lab = lab();
    let full = lab.work().parent().unwrap().join("full");
    fs::create_dir(&full).unwrap();
    let fill = format!(
        "mount -t tmpfs -o size=64k,nr_inodes=8 none '{0}'; cd '{0}'; mkdir .git; cat /dev/zero >fill 2>/dev/null || true; \
         for i in 1 2 3 4 5 6 7 8 9; do touch f$i 2>/dev/null || true; done",
        full.display()
    );
    // The names that are protected cannot be held.
    let output = in_mounts(&fill, &confined(&lab, &["sh", "-c", "echo ran"]));
    refuses(&lab, &output);
    assert!(error(&output).contains("No space left"), "{}", error(&output));
    // There is no room for the session's private folder.
    let mut session = lab.command(&GO);
    session.env("TMPDIR", &full);
    asks_for_each(&lab, &in_mounts(&format!("({fill})"), &session));
}

#[test]
fn paths_that_are_too_long() {
    let lab = lab();
    let mut long = Command::new(binary());
    let folder = format!("/{}", "long/".repeat(1000));
    long.args(["sandbox", "--write", &folder, "--", "sh", "attempt.sh"]).current_dir(lab.work());
    refuses(&lab, &long.output().unwrap());
    // 20 folders of 250 letters: deeper than any path reaches.
    let name = "d".repeat(250);
    let script = format!("for (1..20) {{ mkdir '{name}'; chdir '{name}' }} exec @ARGV");
    let before = ["perl", "-e", &script].map(OsStr::new);
    refuses(&lab, &under(&before, &confined(&lab, &["sh", "-c", "true"])));
}

#[test]
fn names_that_are_no_text() {
    let lab = lab();
    let odd = lab.work().join(OsStr::from_bytes(b"\xff\xfe odd % name"));
    fs::create_dir(&odd).unwrap();
    let mut inside = confined(&lab, &["sh", "-c", "echo made >made; mkdir .vscode; cat ../attempt.sh"]);
    let output = inside.current_dir(&odd).output().unwrap();
    assert_ne!(output.status.code(), Some(125), "{}", error(&output));
    assert!(odd.join("made").exists() && !odd.join(".vscode").exists());
    assert!(output.stdout.is_empty(), "what lies beside the folder is not seen");
}

#[test]
fn a_folder_that_is_swapped_for_a_link_meanwhile() {
    let lab = lab();
    let outside = lab.home().join("repository");
    fs::create_dir_all(outside.join("objects")).unwrap();
    fs::create_dir_all(outside.join("refs")).unwrap();
    fs::write(outside.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let before = listing(&outside);
    fs::create_dir_all(lab.work().join("sub/.git")).unwrap();
    std::os::unix::fs::symlink(&outside, lab.work().join("sub/link")).unwrap();
    let swap = "while test -e ../swapping; do mv .git own; mv link .git; mv .git link; mv own .git; done";
    fs::write(lab.work().join("swapping"), "").unwrap();
    let mut swapping =
        Command::new("sh").args(["-c", swap]).current_dir(lab.work().join("sub")).spawn().unwrap();
    for _ in 0..30 {
        let output =
            confined(&lab, &["sh", "-c", "echo x >sub/.git/config; echo x >sub/.git/hooks; true"]).output();
        let output = output.unwrap();
        assert!(matches!(output.status.code(), Some(0 | 125)), "{}", error(&output));
    }
    fs::remove_file(lab.work().join("swapping")).unwrap();
    swapping.wait().unwrap();
    assert_eq!(listing(&outside), before, "nothing was made, held or put aside where the link leads");
}

fn listing(folder: &std::path::Path) -> Vec<(String, u32)> {
    let entry =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().mode());
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|one| entry(one.unwrap())).collect();
    entries.sort();
    entries
}
