//! Wraps a command of the parent, which may have threads and secrets, into one of the helper.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{Seek, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::TempDir;

use super::{
    Denial, Grant, Job, Level, Neighbour, Policy, Report, SandboxError, error::Step, explain, report::HELPER,
};

/// Confines the commands of one session.
#[derive(Debug)]
pub struct Sandbox {
    helper: PathBuf,
    policy: Policy,
    level: Level,
    /// `/tmp` and the home of the session's commands, and their reports beside.
    session: TempDir,
    count: AtomicU64,
    neighbours: Mutex<Vec<Neighbour>>,
    granted: Mutex<Vec<Grant>>,
    /// Locked as long as the session lives: whoever clears up after killed ones leaves it alone.
    _alive: Option<File>,
}

/// What a call may have beyond the policy. Set by what the command is and by the user, never by what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Widening {
    /// It sets up repositories.
    pub git_setup: bool,
    /// It is a server: its ports are reached through a [door](Wrapped::door).
    pub door: bool,
    /// What the user lets this one call have.
    pub grants: Vec<Grant>,
}

/// A command that will confine itself, to be asked afterwards how it went.
#[derive(Debug)]
pub struct Wrapped {
    report: PathBuf,
    door: Option<PathBuf>,
    /// The session's `/tmp`, and places in it that are made for this call only, to mount over.
    tmp: PathBuf,
    marks: Vec<PathBuf>,
}

impl Sandbox {
    /// A sandbox whose helper is this program: one that calls `sandbox::helper` first thing in `main`.
    ///
    /// # Errors
    /// There is no place for the session's own files, or the level is none.
    pub fn new(helper: impl Into<PathBuf>, policy: Policy, level: Level) -> Result<Sandbox, SandboxError> {
        if level == Level::None {
            return Err(SandboxError::Unavailable { missing: "nothing that confines".into() });
        }
        #[cfg(target_os = "linux")]
        sweep();
        let mut session = tempfile::Builder::new();
        session.prefix(SESSION);
        #[cfg(unix)]
        session.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let session = session.tempdir().step(|| "making the session's private folder".into())?;
        for name in ["tmp", "home"] {
            fs::create_dir(session.path().join(name)).step(|| format!("making the session's {name}"))?;
        }
        #[cfg(target_os = "linux")]
        give_away(&policy, session.path())
            .step(|| "giving the session's folder to the project's owner".into())?;
        let alive = keep_alive(session.path());
        let policy = Policy { session: Some(session.path().to_owned()), ..policy };
        Ok(Sandbox {
            helper: helper.into(),
            policy,
            level,
            session,
            count: AtomicU64::new(0),
            neighbours: Mutex::default(),
            granted: Mutex::default(),
            _alive: alive,
        })
    }

    /// A sandbox whose helper is the program that runs now.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn of_this_program(policy: Policy, level: Level) -> Result<Sandbox, SandboxError> {
        // Also when the file was replaced since: the kernel knows what runs.
        Sandbox::new("/proc/self/exe", policy, level)
    }

    /// How well commands are confined.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What commands may do, less what was granted since.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Lets later commands of the session have this too. Only ever called for the user's own answer.
    pub fn grant(&self, grant: Grant) {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if !granted.contains(&grant) {
            granted.push(grant);
        }
    }

    /// What the user let commands have in this session.
    pub fn granted(&self) -> Vec<Grant> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which rules a failed command met, as far as its output tells.
    pub fn explain(&self, output: &str, cwd: &Path) -> Vec<Denial> {
        explain(output, cwd, &self.policy.granting(&self.granted()))
    }

    /// Where `/tmp` of the commands really is: what they put there is found here.
    pub fn tmp(&self) -> PathBuf {
        self.session.path().join("tmp")
    }

    /// Where a path of the commands really is: their `/tmp` is a folder of the session. What only this machine's own `/tmp` has is
    /// found there.
    pub fn real(&self, path: &Path) -> PathBuf {
        let is_plain = !path.components().any(|part| part == std::path::Component::ParentDir);
        let below = path.strip_prefix("/tmp").ok().filter(|_| is_plain && self.level == Level::Full);
        // A granted place is this machine's own, and stands there for commands too.
        let is_granted = self.granted().iter().any(|grant| match grant {
            Grant::Read(place) | Grant::Write(place) => path.starts_with(place),
            Grant::Host(_) => false,
        });
        let is_here = is_granted || self.policy.may_write(path);
        let real = below.filter(|_| !is_here).map(|below| self.tmp().join(below));
        real.filter(|real| real.exists() || !path.exists()).unwrap_or_else(|| path.to_owned())
    }

    /// Lets later commands of the session find this server's port on their own loopback.
    pub fn share(&self, server: Neighbour) {
        self.shared().push(server);
    }

    fn shared(&self) -> MutexGuard<'_, Vec<Neighbour>> {
        self.neighbours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The servers that are still there: their doors go with them.
    fn neighbours(&self) -> Vec<Neighbour> {
        /// What one message of sockets holds, less the proxy's.
        const MOST: usize = 31;
        let mut shared = self.shared();
        shared.retain(|server| server.door.exists());
        let mut seen = Vec::new();
        shared
            .iter()
            .rev()
            .filter(|server| {
                !seen.contains(&server.port) && {
                    seen.push(server.port);
                    true
                }
            })
            .take(MOST)
            .cloned()
            .collect()
    }

    /// Where a granted place of this machine's `/tmp` is made in the session's, so that it can be mounted there.
    fn mark(&self, grant: &Grant) -> Option<PathBuf> {
        let (Grant::Read(path) | Grant::Write(path)) = grant else { return None };
        let mark = self.tmp().join(path.strip_prefix("/tmp").ok()?);
        (self.level == Level::Full && !mark.exists()).then_some(mark)
    }

    /// Wraps a command into the helper with its job on standard input; the outputs are the caller's to set. It runs in `cwd` as the leader of a session of its own, with an empty standard input.
    ///
    /// `env` is what it is given; what an allowlist does not know is taken out, and `set` is put in.
    ///
    /// # Errors
    /// The job cannot be handed over.
    pub fn wrap(
        &self,
        argv: Vec<OsString>,
        cwd: &Path,
        set: &[(&str, String)],
        widening: Widening,
    ) -> Result<(Command, Wrapped), SandboxError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let report = self.session.path().join(format!("report-{number}"));
        let door = widening.door.then(|| self.session.path().join(format!("door-{number}")));
        let job = Job {
            policy: Policy {
                git_setup: widening.git_setup,
                ..self.policy.granting(&self.granted()).granting(&widening.grants)
            },
            level: self.level,
            cwd: cwd.to_owned(),
            argv,
            env: None,
            own_session: true,
            door: door.clone(),
            neighbours: if widening.door { Vec::new() } else { self.neighbours() },
            report: Some(report.clone()),
        };
        let mut command = Command::new(&self.helper);
        command.arg(HELPER).env_clear().envs(crate::env::for_confined(std::env::vars_os(), &[]));
        for (name, value) in set {
            command.env(name, value);
        }
        command.stdin(Stdio::from(on_a_descriptor(&job)?));
        let granted = self.granted();
        let once = widening.grants.iter().filter(|grant| !granted.contains(grant));
        let marks = once.filter_map(|grant| self.mark(grant)).collect();
        Ok((command, Wrapped { report, door, tmp: self.tmp(), marks }))
    }
}

/// The helper becomes the project's owner when we are root: then the session's folder is theirs.
#[cfg(target_os = "linux")]
fn give_away(policy: &Policy, session: &Path) -> std::io::Result<()> {
    let Some((user, group)) = super::linux::other_owner(policy) else { return Ok(()) };
    for folder in [session.join("tmp"), session.join("home"), session.to_owned()] {
        std::os::unix::fs::chown(folder, Some(user.as_raw()), Some(group.as_raw()))?;
    }
    Ok(())
}

/// Names of sessions' folders begin so.
const SESSION: &str = "meshapi-session-";

/// Marks a session's folder as in use; without a lock it is only swept away later.
#[cfg(target_os = "linux")]
fn keep_alive(session: &Path) -> Option<File> {
    let folder = File::open(session).ok()?;
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockShared).ok()?;
    Some(folder)
}

#[cfg(not(target_os = "linux"))]
fn keep_alive(_: &Path) -> Option<File> {
    None
}

/// Removes what sessions left that were killed: our own folders that nobody holds.
#[cfg(target_os = "linux")]
fn sweep() {
    use std::os::unix::fs::MetadataExt;
    /// A younger one may be about to be locked.
    const AGE: std::time::Duration = std::time::Duration::from_secs(60);
    let us = rustix::process::getuid().as_raw();
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(SESSION) {
            continue;
        }
        let Some(meta) = entry.metadata().ok().filter(fs::Metadata::is_dir) else { continue };
        let is_old = meta.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > AGE));
        let Some(folder) = File::open(entry.path()).ok().filter(|_| is_old && meta.uid() == us) else {
            continue;
        };
        if rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The job as a file in memory: read from the start by whoever inherits it.
pub(super) fn on_a_descriptor(job: &Job) -> Result<File, SandboxError> {
    let text = serde_json::to_vec(job).map_err(SandboxError::Job)?;
    let step = || "handing the job over".into();
    let mut file = scratch().step(step)?;
    file.write_all(&text).step(step)?;
    file.rewind().step(step)?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn scratch() -> std::io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("job", MemfdFlags::CLOEXEC)?.into())
}

#[cfg(not(target_os = "linux"))]
fn scratch() -> std::io::Result<File> {
    tempfile::tempfile()
}

impl Wrapped {
    /// The socket that leads to the ports of its loopback. Who connects writes the port in two bytes, high one first, and reads
    /// one: 0 when somebody listens there, and from then on it is that connection.
    pub fn door(&self) -> Option<&Path> {
        self.door.as_deref()
    }

    /// Takes away what was made to mount over: later commands do not see an empty file where there is nothing.
    fn clear_marks(&self) {
        for mark in &self.marks {
            let is_empty =
                |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == 0);
            if is_empty(mark) {
                let _ = fs::remove_file(mark);
            }
            // Folders go as long as they are empty.
            for folder in
                mark.ancestors().take_while(|folder| folder.starts_with(&self.tmp) && **folder != self.tmp)
            {
                if fs::remove_dir(folder).is_err() && folder.is_dir() {
                    break;
                }
            }
        }
    }

    /// What the helper tells, once it has ended; `None` when it was killed before it could.
    ///
    /// # Errors
    /// The command was not run, and this says why.
    pub fn report(&self) -> Result<Option<Report>, String> {
        self.clear_marks();
        let Ok(text) = fs::read(&self.report) else { return Ok(None) };
        let _ = fs::remove_file(&self.report);
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text) else { return Ok(None) };
        if let Some(error) = value.get("error").and_then(serde_json::Value::as_str) {
            return Err(error.to_owned());
        }
        Ok(serde_json::from_value(value).ok())
    }
}
