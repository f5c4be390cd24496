//! The process inside: init of the namespaces. It builds the walls, starts the command, reaps, and ends with it.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::PathBuf,
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
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
    command::{Start, reap_until},
    guard::Guard,
    landlock::Rules,
    outside::Told,
    porter, proxy, root,
    sys::{self, Fork, Signals},
};

/// `SECBIT_NOROOT`, `SECBIT_NO_SETUID_FIXUP` and `SECBIT_NO_CAP_AMBIENT_RAISE`, each with its lock: linux/securebits.h.
const SECURE_BITS: libc::c_ulong = 0b1100_1111;

/// A thread that does what the kernel takes longest for, while the walls go up: half a millisecond for a network, and a wait for
/// all processors when the old root goes.
struct Beside {
    thread: JoinHandle<Result<(), SandboxError>>,
    network: Receiver<io::Result<OwnedFd>>,
    entered: Sender<()>,
}

impl Beside {
    /// Its stack: it calls the kernel a few times.
    const STACK: usize = 64 * 1024;

    fn start() -> io::Result<Beside> {
        let (made, network) = mpsc::channel();
        let (entered, is_entered) = mpsc::channel();
        let thread = thread::Builder::new().stack_size(Beside::STACK).spawn(move || {
            let _ = made.send(sys::own_network());
            match is_entered.recv() {
                Ok(()) => root::leave_old().step(|| "leaving the old root".into()),
                // The set-up has failed, and init ends.
                Err(_) => Ok(()),
            }
        })?;
        Ok(Beside { thread, network, entered })
    }

    /// Moves this thread into the network.
    fn enter_network(&self) -> Result<(), SandboxError> {
        let network = self.network.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        network.and_then(sys::enter_network).step(|| "making a network of its own".into())
    }

    /// Has the old root let go, now that the new one is entered.
    fn leave_old_root(&self) {
        // When it does not hear that, its end tells why.
        let _ = self.entered.send(());
    }

    /// Waits until all is done.
    fn end(self) -> Result<(), SandboxError> {
        let gone = || Err(io::Error::from(io::ErrorKind::BrokenPipe)).step(|| "leaving the old root".into());
        self.thread.join().unwrap_or_else(|_| gone())
    }
}

/// What init is given.
pub(super) struct Inside<'a> {
    pub(super) job: &'a Job,
    pub(super) signals: &'a Signals,
    /// Where those knock who want to reach a server.
    pub(super) door: Option<UnixListener>,
    /// Takes sockets out that are served outside.
    pub(super) way_out: OwnedFd,
    /// Says what is protected, once that is known.
    pub(super) from_us: OwnedFd,
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
    let Inside { job, .. } = inside;
    let mut port = None;
    let mut beside = None;
    set_parent_process_death_signal(Some(Signal::KILL)).step(|| "binding init to its parent".into())?;
    if nobody_listens(pipe) {
        sys::leave(1);
    }
    if job.level == Level::Full {
        let beside = beside.insert(Beside::start().step(|| "starting a thread".into())?);
        map_user().step(|| "mapping the user into the namespace".into())?;
        // Nobody inside looks into init, whose memory is a copy of that of the process outside. Before the maps are written it
        // would take them from us.
        sys::prctl(libc::PR_SET_DUMPABLE, 0).step(|| "closing init's memory".into())?;
        root::enter(&job.policy, || hear(&inside.from_us))?;
        beside.enter_network()?;
        beside.leave_old_root();
        if inside.has_proxy || !job.neighbours.is_empty() {
            port = offer_ports(inside).step(|| "offering ports".into())?;
        }
    } else {
        // Nothing is covered where nothing is mounted; but it is looked at before the command may change it.
        hear(&inside.from_us)?;
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
    if let Some(beside) = beside {
        // From here on we are alone.
        beside.end()?;
    }
    Ok(port)
}

/// Hears what is protected. Without it nothing is run.
fn hear(from_us: &OwnedFd) -> Result<Guard, SandboxError> {
    let step = || "hearing what is protected".into();
    let mut bytes = Vec::new();
    File::from(from_us.try_clone().step(step)?).read_to_end(&mut bytes).step(step)?;
    Guard::from_bytes(&bytes).step(step)
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
    let start = Start::of(inside.job, proxy, inside.scratch.as_deref());
    match start.run(inside.signals)? {
        Ok(child) => Ok(reap_until(child, inside.signals, porter)),
        Err(end) => Ok((end, false)),
    }
}
