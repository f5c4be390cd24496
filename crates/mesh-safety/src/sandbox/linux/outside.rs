//! The process outside: looks at the folders, starts the namespaces, passes signals on, clears up, tells what happened.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::MetadataExt, net::UnixListener},
    },
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
        End, Job, Level, Network, Policy, Report, SandboxError,
        check::Before,
        error::Step,
        hosts::Hosts,
        report::HELPER,
        scan,
        stand_ins::{self, Locks, StandIns},
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
    let mut held = PASSED_ON.to_vec();
    held.push(libc::SIGCHLD);
    let signals = Signals::hold(&held).step(|| "holding signals".into())?;
    let hosts = match &job.policy.network {
        Network::Hosts(list) if job.level == Level::Full => {
            Some(Hosts::parse(list).map_err(|what| SandboxError::Unavailable { missing: what })?)
        }
        _ => None,
    };
    let scratch = scratch(job)?;
    let own_scratch = scratch.clone().filter(|_| job.policy.session.is_none());
    let done = go(job, hosts, &signals, scratch);
    signals.release();
    if let Some(folder) = own_scratch {
        let _ = std::fs::remove_dir_all(folder);
    }
    if let Some(door) = &job.door {
        let _ = std::fs::remove_file(door);
    }
    done
}

/// Starts init, and looks at the folders while it builds the walls.
fn go(
    job: &Job,
    hosts: Option<Hosts>,
    signals: &Signals,
    scratch: Option<PathBuf>,
) -> Result<Report, SandboxError> {
    let door = job.door.as_ref().map(UnixListener::bind).transpose();
    let door = door.step(|| "making a door to the server".into())?;
    let (way_in, way_out) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .step(|| "making a pair of sockets".into())?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).step(|| "making a pipe".into());
    let ((from_init, to_us), (from_us, to_init)) = (pipe()?, pipe()?);
    // Init holds them too: nobody clears up as long as one of us lives.
    let locks = stand_ins::lock(&job.policy.writable).step(|| "holding the writable folders".into())?;
    let namespaces = if job.level == Level::Full { sys::NAMESPACES } else { 0 };
    inside::remember_ids();
    let init = match sys::fork_into(namespaces).step(|| "making namespaces".into())? {
        Fork::Child => {
            drop((from_init, way_in, to_init));
            let has_proxy = hosts.is_some();
            inside::live(Inside { job, signals, door, way_out, from_us, scratch, has_proxy }, to_us)
        }
        Fork::Parent(pid) => pid,
    };
    drop((to_us, from_us, way_out, door));
    let init = Init { pid: init, from: from_init };
    let outlook = match Outlook::of(job, locks) {
        Ok(outlook) => outlook,
        Err(error) => {
            // It has heard nothing, so it has run nothing.
            init.end();
            return Err(error);
        }
    };
    // An init that has failed hears nothing, and says why.
    let _ = File::from(to_init).write_all(&outlook.guard.to_bytes());
    let refused = Refused::default();
    if hosts.is_some() || !job.neighbours.is_empty() {
        // Without the sockets the set-up has failed, which init tells.
        let mut listeners = proxy::receive(&way_in).unwrap_or_default().into_iter();
        if let Some(hosts) = hosts
            && let Some(listener) = listeners.next()
        {
            proxy::serve(listener, hosts, refused.clone());
        }
        for (listener, neighbour) in listeners.zip(&job.neighbours) {
            proxy::lead(listener, neighbour.clone());
        }
    }
    outlook.wait(job, init, signals, &refused)
}

/// What was seen outside before a command, and what is held for it.
struct Outlook {
    guard: Guard,
    before: Before,
    held: StandIns,
    notes: Vec<String>,
}

impl Outlook {
    fn of(job: &Job, locks: Locks) -> Result<Outlook, SandboxError> {
        let found = scan::scan(&job.policy.writable);
        let wanted = Guard::names(&job.policy, &found);
        let held = stand_ins::hold(locks, wanted)
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
        Ok(Outlook { guard, before, held, notes })
    }

    /// Waits for the end of the command, and clears up.
    fn wait(
        self,
        job: &Job,
        init: Init,
        signals: &Signals,
        refused: &Refused,
    ) -> Result<Report, SandboxError> {
        let (told, init) = init.listen(signals, job.own_session);
        // When nothing of the command lives any more, we need not wait for its namespaces to look at what it left.
        let is_quiet =
            job.level == Level::Full && matches!(told, Ok(Told::Ended { left_running: false, .. }));
        let early = is_quiet.then(|| self.before.check(&job.policy));
        let (end, left_running) = result(told, init.wait())?;
        let refused = std::mem::take(&mut *refused.lock().unwrap_or_else(PoisonError::into_inner));
        let mut notes = self.notes;
        notes.extend(refused.notes);
        notes.extend(early.unwrap_or_else(|| self.before.check(&job.policy)));
        drop(self.held);
        Ok(Report { level: job.level, end, left_running, notes, denials: refused.denials })
    }
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

/// Init, seen from outside.
struct Init {
    pid: i32,
    /// What it says.
    from: OwnedFd,
}

/// Init after it has spoken, or without a word; it is still to be waited for.
struct Silent {
    pid: i32,
    /// It was waited for already, and this ended it.
    ended: Option<Option<i32>>,
}

impl Init {
    /// Waits until it says what became of the command, and passes signals on.
    fn listen(self, signals: &Signals, is_timed: bool) -> (Result<Told, SandboxError>, Silent) {
        let mut silent = Silent { pid: self.pid, ended: None };
        let mut deadline: Option<Instant> = None;
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                // All that it started goes with init; we stay, to clear up.
                silent.kill();
                deadline = None;
                continue;
            }
            if signals.wait_or(self.from.as_fd(), left) {
                break;
            }
            while let Some(came) = signals.next() {
                if came.signal == libc::SIGCHLD {
                    silent.look();
                } else if came.from_process {
                    // What a terminal sends, it sends to the command too.
                    silent.send(came.signal);
                    if is_timed && came.signal == libc::SIGTERM {
                        deadline.get_or_insert_with(|| Instant::now() + GRACE);
                    }
                }
            }
            if silent.ended.is_some() {
                break;
            }
        }
        let mut text = Vec::new();
        let told = File::from(self.from).read_to_end(&mut text).step(|| "listening to init".into());
        let told = told.and_then(|_| serde_json::from_slice(&text).map_err(SandboxError::Job));
        (told, silent)
    }

    /// Ends it, unheard.
    fn end(self) {
        let silent = Silent { pid: self.pid, ended: None };
        silent.kill();
        silent.wait();
    }
}

impl Silent {
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.pid).filter(|_| self.ended.is_none())
    }

    fn send(&self, signal: i32) {
        if let (Some(pid), Some(signal)) = (self.pid(), Signal::from_named_raw(signal)) {
            let _ = kill_process(pid, signal);
        }
    }

    fn kill(&self) {
        self.send(libc::SIGKILL);
    }

    /// Whether it has ended meanwhile.
    fn look(&mut self) {
        let Some(pid) = self.pid() else { return };
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => self.ended = Some(status.terminating_signal()),
            Ok(None) => {}
            Err(_) => self.ended = Some(None),
        }
    }

    /// Waits for its end. Gives the signal that ended it.
    fn wait(self) -> Option<i32> {
        match (self.ended, self.pid()) {
            (Some(by), _) => by,
            (None, pid) => waitpid(pid, WaitOptions::empty()).ok().flatten()?.1.terminating_signal(),
        }
    }
}

/// What init said before it ended.
fn result(told: Result<Told, SandboxError>, killed_by: Option<i32>) -> Result<(End, bool), SandboxError> {
    match told {
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
