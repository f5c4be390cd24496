//! The process inside: init of the namespaces. It builds the walls, starts the command, reaps, and ends with it.

use std::{
    fs::{self, File},
    io::{self, Write},
    net::{Ipv4Addr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::{net::UnixListener, process::ExitStatusExt},
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{
        Pid, Resource, Rlimit, Signal, WaitOptions, chdir, getgid, getuid, kill_process,
        set_parent_process_death_signal, setrlimit, waitpid,
    },
};

use super::{
    super::{
        End, Job, Level, Policy, SandboxError,
        error::Step,
        seccomp::{self, Sockets},
    },
    guard::Guard,
    landlock::Rules,
    outside::Told,
    porter, proxy, root,
    sys::{self, Fork, Signals},
};

/// `SECBIT_NOROOT`, `SECBIT_NO_SETUID_FIXUP` and `SECBIT_NO_CAP_AMBIENT_RAISE`, each with its lock: linux/securebits.h.
const SECURE_BITS: libc::c_ulong = 0b1100_1111;

/// What init is given.
pub(super) struct Inside<'a> {
    pub(super) job: &'a Job,
    pub(super) guard: &'a Guard,
    pub(super) signals: &'a Signals,
    /// Where those knock who want to reach a server.
    pub(super) door: Option<UnixListener>,
    /// Takes sockets out that are served outside.
    pub(super) way_out: OwnedFd,
    /// A private folder for scratch files, where `/tmp` is everybody's.
    pub(super) scratch: Option<PathBuf>,
    /// There is to be a proxy.
    pub(super) has_proxy: bool,
}

/// Lives the life of init; what became of the command goes into the pipe.
pub(super) fn live(inside: Inside<'_>, pipe: OwnedFd) -> ! {
    let done = walls(&inside, &pipe).and_then(|proxy| {
        let porter = open_door(inside.door.as_ref())?;
        command(&inside, proxy, porter)
    });
    let told = match done {
        Ok((end, left_running)) => Told::Ended { end, left_running },
        Err(SandboxError::Step { step, source }) => Told::Failed { step, why: source.to_string() },
        Err(error) => Told::Failed { step: error.line(), why: "nothing less is taken".into() },
    };
    if inside.scratch.is_some() {
        end_the_rest();
    }
    let text = serde_json::to_vec(&told).unwrap_or_default();
    let _ = File::from(pipe).write_all(&text);
    sys::leave(0)
}

/// Everything that stands between the command and the machine, in this order.
///
/// Gives the port of the proxy, if there is one.
fn walls(inside: &Inside<'_>, pipe: &OwnedFd) -> Result<Option<u16>, SandboxError> {
    let Inside { job, guard, .. } = inside;
    let mut port = None;
    set_parent_process_death_signal(Some(Signal::KILL)).step(|| "binding init to its parent".into())?;
    if nobody_listens(pipe) {
        sys::leave(1);
    }
    if job.level == Level::Full {
        map_user().step(|| "mapping the user into the namespace".into())?;
        // Nobody inside looks into init, whose memory is a copy of that of the process outside. Before the maps are written it
        // would take them from us.
        sys::prctl(libc::PR_SET_DUMPABLE, 0).step(|| "closing init's memory".into())?;
        sys::loopback_up().step(|| "bringing up the loopback".into())?;
        if inside.has_proxy || !job.neighbours.is_empty() {
            port = offer_ports(inside).step(|| "offering ports".into())?;
        }
        root::enter(&job.policy, guard)?;
    }
    if inside.scratch.is_some() {
        // What it leaves behind comes to us, to be ended.
        sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1).step(|| "taking orphans in".into())?;
    }
    chdir(job.cwd.as_path()).step(|| format!("entering {}", job.cwd.display()))?;
    limits(&job.policy).step(|| "setting limits".into())?;
    let rules = match &inside.scratch {
        None => Rules::for_root(&job.policy)?,
        Some(scratch) => Rules::for_host(&job.policy, scratch)?,
    };
    drop_rights().step(|| "dropping capabilities".into())?;
    rules.enforce()?;
    drop(rules);
    sys::close_from_on_exec(3).step(|| "closing descriptors".into())?;
    let sockets = if job.level == Level::Full { Sockets::Own } else { Sockets::None };
    sys::filter(&seccomp::program(sockets)).step(|| "loading the seccomp filter".into())?;
    Ok(port)
}

/// Opens the port of the proxy, and those of the session's servers, in here; outside they are served. Gives the proxy's.
fn offer_ports(inside: &Inside<'_>) -> io::Result<Option<u16>> {
    let mut listeners = Vec::new();
    if inside.has_proxy {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    }
    for neighbour in &inside.job.neighbours {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, neighbour.port))?);
    }
    proxy::send(&listeners, &inside.way_out)?;
    let first = listeners.first().filter(|_| inside.has_proxy);
    first.map(|listener| Ok(listener.local_addr()?.port())).transpose()
}

/// Starts the process that carries connections to a server in here.
fn open_door(door: Option<&UnixListener>) -> Result<Option<i32>, SandboxError> {
    let Some(door) = door else { return Ok(None) };
    match sys::fork_into(0).step(|| "starting the porter".into())? {
        Fork::Child => porter::carry(door),
        Fork::Parent(pid) => Ok(Some(pid)),
    }
}

/// Whether the process outside ended before it could bind us to its end.
fn nobody_listens(pipe: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::OUT)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}

/// The user keeps the own number and is nobody else: one id, and no groups to change.
fn map_user() -> io::Result<()> {
    // Taken before the maps are written: until then everybody is nobody.
    let (user, group) = OUTSIDE_IDS.get().copied().unwrap_or((getuid().as_raw(), getgid().as_raw()));
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// Who we are outside; remembered before the namespaces are made.
static OUTSIDE_IDS: std::sync::OnceLock<(u32, u32)> = std::sync::OnceLock::new();

/// Remembers who we are.
pub(super) fn remember_ids() {
    let _ = OUTSIDE_IDS.set((getuid().as_raw(), getgid().as_raw()));
}

fn limits(policy: &Policy) -> io::Result<()> {
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Nproc, both(policy.limits.processes.into()))?;
    // Never more than the user already has.
    let had = rustix::process::getrlimit(Resource::Fsize).maximum.unwrap_or(u64::MAX);
    setrlimit(Resource::Fsize, both(had.min(policy.limits.file_bytes)))?;
    Ok(())
}

/// Gives up what a user namespace grants, so that not even root gets it back by an exec.
fn drop_rights() -> io::Result<()> {
    sys::prctl(libc::PR_SET_SECUREBITS, SECURE_BITS).or_else(without_rights)?;
    for capability in 0.. {
        match sys::prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(_) => {}
            // The first number that is no capability.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => {
                without_rights(error)?;
                break;
            }
        }
    }
    sys::drop_capabilities()?;
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0)?;
    Ok(())
}

/// Without a namespace of our own an ordinary user has nothing to drop.
fn without_rights(error: io::Error) -> io::Result<libc::c_long> {
    if error.raw_os_error() == Some(libc::EPERM) && !getuid().is_root() { Ok(0) } else { Err(error) }
}

/// Ends what a command left, where no namespace ends with it.
fn end_the_rest() {
    // Whoever forks meanwhile is found in the next round; the process limit bounds them.
    for _ in 0..64 {
        let me = std::process::id();
        let children = fs::read_to_string(format!("/proc/self/task/{me}/children")).unwrap_or_default();
        let pids: Vec<i32> = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if pids.is_empty() {
            return;
        }
        for pid in pids.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

/// Starts the command and waits for its end; what it leaves behind is reaped meanwhile.
fn command(
    inside: &Inside<'_>,
    proxy: Option<u16>,
    porter: Option<i32>,
) -> Result<(End, bool), SandboxError> {
    let Inside { job, signals, scratch, .. } = inside;
    let Some((program, arguments)) = job.argv.split_first() else {
        return Ok((End::NotFound, false));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(env) = &job.env {
        command.env_clear().envs(env.iter().map(|(name, value)| (name, value)));
    }
    for name in PROXY_NAMES {
        command.env_remove(name);
    }
    if let Some(port) = proxy {
        command.envs(PROXY_NAMES.map(|name| (name, format!("http://127.0.0.1:{port}"))));
        command.env("NO_PROXY", "localhost,127.0.0.1,::1").env("no_proxy", "localhost,127.0.0.1,::1");
    }
    // What the host calls its folder for scratch files may not be there.
    match scratch {
        None => command.env("TMPDIR", "/tmp"),
        Some(scratch) => command.env("TMPDIR", scratch).env("HOME", scratch),
    };
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((End::NotFound, false)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok((End::NotExecutable, false));
        }
        Err(error) => return Err(error).step(|| "starting the command".into()),
    };
    Ok(reap_until(&child, signals, porter))
}

/// The variables by which programs find a proxy.
const PROXY_NAMES: [&str; 6] =
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// How the command ended, and whether anything that it started was still running.
///
/// With a porter it is a server: what it leaves running goes on as long as it runs.
fn reap_until(child: &Child, signals: &Signals, porter: Option<i32>) -> (End, bool) {
    let child = child.id() as i32;
    let mut end = None;
    loop {
        while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
            if pid.as_raw_nonzero().get() == child {
                if porter.is_some() {
                    end = Some(ended(ExitStatus::from_raw(status.as_raw())));
                    continue;
                }
                let left_running = matches!(waitpid(None, WaitOptions::NOHANG), Ok(None));
                return (ended(ExitStatus::from_raw(status.as_raw())), left_running);
            }
        }
        if let (Some(end), Some(porter)) = (end, porter) {
            if !lives_beside(porter) {
                return (end, false);
            }
        }
        let Some(came) = signals.wait(None) else { continue };
        if came.signal != libc::SIGCHLD && came.from_process {
            if end.is_some() && came.signal == libc::SIGTERM {
                // The shell that would pass it on has ended.
                return (End::Signaled(came.signal), true);
            }
            if let (Some(pid), Some(signal)) = (Pid::from_raw(child), Signal::from_named_raw(came.signal)) {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// Whether any process but init and the porter lives in here.
fn lives_beside(porter: i32) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.into_iter().any(|pid| pid != 1 && pid != porter)
}

fn ended(status: ExitStatus) -> End {
    match status.signal() {
        Some(signal) => End::Signaled(signal),
        None => End::Exited(status.code().unwrap_or(1)),
    }
}
