//! `meshapi sandbox`: the confinement of our own commands, for any command of a script.

use std::{
    ffi::OsString,
    io::{Write, stderr},
    path::PathBuf,
    process::ExitCode,
};

use mesh_safety::sandbox::{Network, Policy, SandboxError};

#[cfg(target_os = "linux")]
use crate::cli::Least;
use crate::cli::Sandbox;

/// What we exit with when nothing was run. As `env` and `timeout` have it.
const NOT_RUN: u8 = 125;

/// Runs the command and becomes its exit code; 125 says that it was not run at all.
///
/// Called before this process has threads: it becomes the helper itself.
pub fn run(wanted: &Sandbox) -> ExitCode {
    let result = policy(wanted).and_then(|(policy, cwd)| confine(wanted, policy, cwd));
    let (told, code) = match &result {
        Ok((told, code)) => (told.clone(), ExitCode::from(*code)),
        Err(error) => {
            if !wanted.json {
                let _ = writeln!(stderr(), "meshapi sandbox: {}", error.line());
            }
            (serde_json::json!({ "error": error.line() }), ExitCode::from(NOT_RUN))
        }
    };
    if wanted.json {
        let _ = writeln!(stderr(), "{told}");
    }
    code
}

fn policy(wanted: &Sandbox) -> Result<(Policy, PathBuf), SandboxError> {
    let here = PathBuf::from(".");
    let cwd = here.canonicalize().map_err(|source| SandboxError::Folder { path: here, source })?;
    let home = std::env::home_dir();
    let writable = if wanted.write.is_empty() { std::slice::from_ref(&cwd) } else { &wanted.write };
    let mut policy = Policy::new(writable, home.as_deref())?;
    #[cfg(target_os = "linux")]
    if policy.may_write(&cwd) {
        policy = policy.with_repository_of(&cwd);
    }
    policy.git_setup = sets_up_git(&wanted.command);
    // The current folder is seen, but for one in which all of the home would be.
    if !policy.may_write(&cwd) && !policy.home.as_ref().is_some_and(|home| home.starts_with(&cwd)) {
        policy.readable.push(cwd.clone());
    }
    if !wanted.allow_net.is_empty() {
        policy.network = Network::Hosts(wanted.allow_net.clone());
    }
    for path in &wanted.read {
        let real =
            path.canonicalize().map_err(|source| SandboxError::Folder { path: path.clone(), source })?;
        policy.readable.push(real);
    }
    Ok((policy, cwd))
}

/// Whether the command, or the text for a shell in it, sets up a repository.
fn sets_up_git(command: &[OsString]) -> bool {
    let words: Vec<String> = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match words.as_slice() {
        [shell, option, text, ..] if option == "-c" && shell.ends_with("sh") => {
            mesh_safety::sets_up_git(text)
        }
        [git, rest @ ..] if git == "git" => {
            // Only plain words count, and a quoted word is none.
            let plain =
                rest.iter().map(|word| if word.contains([' ', '\'', '"', '$', ';']) { "''" } else { word });
            let text = std::iter::once("git").chain(plain).collect::<Vec<_>>().join(" ");
            mesh_safety::sets_up_git(&text)
        }
        _ => false,
    }
}

#[cfg(target_os = "linux")]
fn confine(wanted: &Sandbox, policy: Policy, cwd: PathBuf) -> Result<(serde_json::Value, u8), SandboxError> {
    use std::path::Path;

    use mesh_safety::{
        env,
        sandbox::{self, End, Job, Level},
    };
    let mut job = Job {
        policy,
        level: Level::Full,
        cwd,
        argv: wanted.command.clone(),
        env: Some(env::for_confined(std::env::vars_os(), &wanted.env).collect()),
        own_session: false,
        door: None,
        neighbours: Vec::new(),
        report: None,
    };
    let report = match sandbox::run(&job) {
        Ok(report) => report,
        Err(error) => {
            // Only when this machine has no more, whatever the folder and the command: nobody can bring that about from inside.
            let strength = sandbox::probe(Path::new("/proc/self/exe"), None);
            if wanted.level == Some(Least::Full) || strength.level != Level::NoMounts {
                return Err(error);
            }
            let lacks = strength.lacks.unwrap_or_default();
            let _ = writeln!(stderr(), "meshapi sandbox: confined at level no-mounts only: {lacks}");
            job.level = strength.level;
            sandbox::run(&job)?
        }
    };
    let name = wanted.command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    if !wanted.json {
        for note in &report.notes {
            let _ = writeln!(stderr(), "meshapi sandbox: {note}");
        }
        match report.end {
            End::NotFound => drop(writeln!(stderr(), "meshapi sandbox: `{name}` is not there")),
            End::NotExecutable => drop(writeln!(stderr(), "meshapi sandbox: `{name}` cannot be executed")),
            End::Exited(_) | End::Signaled(_) => {}
        }
    }
    let told = serde_json::to_value(&report).unwrap_or_default();
    Ok((told, report.end.code() as u8))
}

#[cfg(not(target_os = "linux"))]
fn confine(_: &Sandbox, _: Policy, _: PathBuf) -> Result<(serde_json::Value, u8), SandboxError> {
    let missing = "it needs Linux".to_owned();
    Err(SandboxError::Unavailable { missing })
}
