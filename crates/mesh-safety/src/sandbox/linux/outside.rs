//! The process outside: looks at the folders, starts the namespaces, passes signals on, clears up, tells what happened.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::net::UnixListener,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::PathBuf,
    process::ExitCode,
    sync::PoisonError,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Gid, Uid},
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, WaitOptions, kill_process, waitpid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        End, Job, Level, Network, Policy, Report, SandboxError, check::Before, error::Step, hosts::Hosts,
        report::HELPER, scan, stand_ins,
    },
    guard::Guard,
    inside::{self, Inside},
    proxy::{self, Refused},
    sys::{self, Fork, Signals},
};

/// How long a command that was asked to end may take when its caller waits: less than the second that the agent gives.
const GRACE: Duration = Duration::from_millis(500);

/// What a helper exits with when it ran nothing. As `env` and `timeout` have it.
const NOT_RUN: u8 = 125;

/// Signals that ask a command to do something: they are passed on.
const PASSED_ON: [i32; 8] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
];

/// What init tells the process outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Told {
    /// The command has ended.
    Ended { end: End, left_running: bool },
    /// It was not run.
    Failed { step: String, why: String },
}

/// Is the helper, if this process was started as one: confines the command that stands on its standard input and becomes its
/// exit code. A program calls this first thing in `main`, before it has threads or open files.
pub fn helper() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == HELPER).then(|| serve().unwrap_or_else(|error| complain(&error)))
}

fn serve() -> Result<ExitCode, SandboxError> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text).step(|| "reading the job".into())?;
    let job: Job = serde_json::from_slice(&text).map_err(SandboxError::Job)?;
    let null = File::open("/dev/null").step(|| "opening /dev/null".into())?;
    rustix::stdio::dup2_stdin(&null).step(|| "closing standard input".into())?;
    drop(null);
    let result = run(&job);
    if let Some(path) = &job.report {
        let told = match &result {
            Ok(report) => serde_json::to_vec(report),
            Err(error) => serde_json::to_vec(&serde_json::json!({ "error": error.line() })),
        };
        // Whoever asked for the report sees that there is none.
        let _ = told.map_err(io::Error::from).and_then(|told| std::fs::write(path, told));
    }
    match result?.end {
        End::Signaled(signal) => sys::die_of(signal),
        end => Ok(ExitCode::from(end.code() as u8)),
    }
}

fn complain(error: &SandboxError) -> ExitCode {
    let _ = writeln!(io::stderr(), "meshapi sandbox: {}", error.line());
    ExitCode::from(NOT_RUN)
}

/// Runs a command confined and waits for its end. Input and output are this process's own, the environment too.
///
/// To be called in a process with one thread, which closes all descriptors but the first three.
///
/// # Errors
/// It could not be confined as wanted; then nothing was run.
pub fn run(job: &Job) -> Result<Report, SandboxError> {
    if job.level == Level::None || job.level == Level::Seatbelt {
        let missing = format!("level {} is not for this helper", job.level.as_str());
        return Err(SandboxError::Unavailable { missing });
    }
    let _ = sys::close_from(3);
    become_owner(&job.policy).step(|| "becoming the owner of the folder".into())?;
    if job.own_session {
        // Who leads one already keeps it.
        let _ = rustix::process::setsid();
        // Nothing goes on without whoever asked for it.
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    }
    sys::fresh_keyring();
    let found = scan::scan(&job.policy.writable);
    let wanted = Guard::names(&job.policy, &found);
    let held = stand_ins::hold(&job.policy.writable, wanted)
        .step(|| "holding the protected names of the writable folders".into())?;
    let before = Before::of(&job.policy, job.level, &found, &held);
    let guard = Guard::of(&job.policy, &found, &held);
    let mut notes = Vec::new();
    if found.truncated {
        notes.push(
            "the writable folders are too large to search: repositories deep in them are not protected"
                .into(),
        );
    }
    let refused = Refused::default();
    let (end, left_running) = start(job, &guard, &refused)?;
    let refused = std::mem::take(&mut *refused.lock().unwrap_or_else(PoisonError::into_inner));
    notes.extend(refused.notes);
    notes.extend(before.check(&job.policy));
    drop(held);
    Ok(Report { level: job.level, end, left_running, notes, denials: refused.denials })
}

fn start(job: &Job, guard: &Guard, refused: &Refused) -> Result<(End, bool), SandboxError> {
    let mut held = PASSED_ON.to_vec();
    held.push(libc::SIGCHLD);
    let signals = Signals::hold(&held).step(|| "holding signals".into())?;
    let hosts = match &job.policy.network {
        Network::Hosts(list) if job.level == Level::Full => {
            Some(Hosts::parse(list).map_err(|what| SandboxError::Unavailable { missing: what })?)
        }
        _ => None,
    };
    let door = job
        .door
        .as_ref()
        .map(UnixListener::bind)
        .transpose()
        .step(|| "making a door to the server".into())?;
    let (way_in, way_out) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .step(|| "making a pair of sockets".into())?;
    let (from_init, to_us) = pipe_with(PipeFlags::CLOEXEC).step(|| "making a pipe".into())?;
    let namespaces = if job.level == Level::Full { sys::NAMESPACES } else { 0 };
    let scratch = scratch(job)?;
    let own_scratch = scratch.clone().filter(|_| job.policy.session.is_none());
    inside::remember_ids();
    let fork = sys::fork_into(namespaces).step(|| "making namespaces".into())?;
    let init = match fork {
        Fork::Child => {
            drop((from_init, way_in));
            inside::live(
                Inside { job, guard, signals: &signals, door, way_out, scratch, has_proxy: hosts.is_some() },
                to_us,
            )
        }
        Fork::Parent(pid) => pid,
    };
    drop((to_us, way_out, door));
    if hosts.is_some() || !job.neighbours.is_empty() {
        // Without the sockets the set-up has failed, which init tells.
        let mut listeners = proxy::receive(&way_in).unwrap_or_default().into_iter();
        if let Some(hosts) = hosts {
            if let Some(listener) = listeners.next() {
                proxy::serve(listener, hosts, refused.clone());
            }
        }
        for (listener, neighbour) in listeners.zip(&job.neighbours) {
            proxy::lead(listener, neighbour.clone());
        }
    }
    let ended = wait(init, &signals, job.own_session);
    signals.release();
    if let Some(folder) = own_scratch {
        let _ = std::fs::remove_dir_all(folder);
    }
    if let Some(door) = &job.door {
        let _ = std::fs::remove_file(door);
    }
    tell(from_init, ended)
}

/// A private folder for scratch files where nothing can be mounted: the session's, or one of this command alone.
fn scratch(job: &Job) -> Result<Option<PathBuf>, SandboxError> {
    if job.level == Level::Full {
        return Ok(None);
    }
    if let Some(session) = &job.policy.session {
        return Ok(Some(session.join("tmp")));
    }
    let folder = tempfile::Builder::new().prefix("meshapi-scratch-").tempdir();
    Ok(Some(folder.step(|| "making a private folder".into())?.keep()))
}

/// As root on somebody else's project: becomes that somebody. Without capabilities root could not write there at all, and what
/// it wrote would be root's.
fn become_owner(policy: &Policy) -> io::Result<()> {
    let Some((user, group)) = other_owner(policy) else { return Ok(()) };
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    // Or our own maps would not be ours to write.
    sys::prctl(libc::PR_SET_DUMPABLE, 1).map(drop)
}

/// Who owns the first writable folder, when we are root and that is another.
pub(in super::super) fn other_owner(policy: &Policy) -> Option<(Uid, Gid)> {
    let meta = policy.writable.first()?.metadata().ok()?;
    (rustix::process::getuid().is_root() && meta.uid() != 0)
        .then(|| (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid())))
}

/// Waits for init and passes signals on.
fn wait(init: i32, signals: &Signals, is_timed: bool) -> Option<i32> {
    let pid = Pid::from_raw(init)?;
    let mut deadline: Option<Instant> = None;
    loop {
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => return status.terminating_signal(),
            Ok(None) => {}
            Err(_) => return None,
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            // All that it started goes with init; we stay, to clear up.
            let _ = kill_process(pid, Signal::KILL);
            deadline = None;
            continue;
        }
        let Some(came) = signals.wait(left) else { continue };
        // What a terminal sends, it sends to the command too.
        if came.signal != libc::SIGCHLD && came.from_process {
            if let Some(signal) = Signal::from_named_raw(came.signal) {
                let _ = kill_process(pid, signal);
            }
            if is_timed && came.signal == libc::SIGTERM {
                deadline.get_or_insert_with(|| Instant::now() + GRACE);
            }
        }
    }
}

/// What init said before it ended.
fn tell(pipe: OwnedFd, killed_by: Option<i32>) -> Result<(End, bool), SandboxError> {
    let mut text = Vec::new();
    File::from(pipe).read_to_end(&mut text).step(|| "listening to init".into())?;
    match serde_json::from_slice::<Told>(&text) {
        Ok(Told::Ended { end, left_running }) => Ok((end, left_running)),
        Ok(Told::Failed { step, why }) => Err(SandboxError::Step { step, source: io::Error::other(why) }),
        Err(_) => match killed_by {
            Some(signal) => Ok((End::Signaled(signal), true)),
            None => Err(SandboxError::Step {
                step: "init ended without a word".into(),
                source: io::ErrorKind::UnexpectedEof.into(),
            }),
        },
    }
}
