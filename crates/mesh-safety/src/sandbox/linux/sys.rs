//! The few system calls that no safe wrapper has. Nothing but calls: who makes them and when is told elsewhere.
#![expect(
    unsafe_code,
    reason = "raw system calls: each takes plain numbers, or memory that lives through the call"
)]

use std::{
    ffi::{CStr, CString},
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

use libc::{c_char, c_int, c_long, c_ulong};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Pid,
};

/// What `clone` answered.
pub(super) enum Fork {
    /// We are the new process.
    Child,
    /// The new process has this id.
    Parent(i32),
}

fn done(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The namespaces of a confined command: all but time, and the network's, which [`own_network`] makes meanwhile.
pub(super) const NAMESPACES: c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Makes a process that goes on here, in new namespaces.
///
/// The caller has one thread: the child of one with several would hold their locks for ever.
pub(super) fn fork_into(namespaces: c_int) -> io::Result<Fork> {
    let flags = c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with no new stack this is fork: the child has its own copy of all memory. We have one
    // thread, so no lock is held by another.
    #[cfg(target_arch = "x86_64")]
    let pid = done(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    // SAFETY: as above; the last two arguments are the other way round here, and both are zero.
    #[cfg(not(target_arch = "x86_64"))]
    let pid = done(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(if pid == 0 { Fork::Child } else { Fork::Parent(pid as i32) })
}

/// Closes all descriptors from `first` on.
pub(super) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: plain numbers. Whoever calls this owns none of those descriptors any more, or is about to exec.
    done(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Has all descriptors from `first` on closed by the next exec.
pub(super) fn close_from_on_exec(first: u32) -> io::Result<()> {
    /// `CLOSE_RANGE_CLOEXEC` of linux/close_range.h.
    const ON_EXEC: u32 = 4;
    // SAFETY: plain numbers; nothing is closed now.
    done(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, ON_EXEC) }).map(drop)
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Sets attributes of a mount, and of all below it when `recursive`.
pub(super) fn set_mount(mount: BorrowedFd<'_>, attributes: u64, recursive: bool) -> io::Result<()> {
    let attr = MountAttr { set: attributes, clear: 0, propagation: 0, userns: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string and `attr` lives through the call; its size is told.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(&attr),
            mem::size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// A new network namespace with its loopback up. This thread is in it; others of the process can follow.
pub(super) fn own_network() -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; what is shared with other threads stays so.
    done(unsafe { libc::unshare(libc::CLONE_NEWNET) }.into())?;
    loopback_up()?;
    Ok(std::fs::File::open("/proc/thread-self/ns/net")?.into())
}

/// Follows into a network namespace.
pub(super) fn enter_network(namespace: OwnedFd) -> io::Result<()> {
    // SAFETY: plain numbers; the descriptor is open.
    done(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }.into()).map(drop)
}

/// Brings the loopback device of this network namespace up.
fn loopback_up() -> io::Result<()> {
    // SAFETY: plain numbers; the descriptor is ours.
    let socket = done(unsafe {
        libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
    })?;
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket as i32) };
    // SAFETY: all zeroes is a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    request.ifr_name[0] = b'l' as c_char;
    request.ifr_name[1] = b'o' as c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: `request` is what SIOCSIFFLAGS reads, and lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, ptr::from_ref(&request)) };
    done(result.into()).map(drop)
}

/// `prctl` with plain numbers.
pub(super) fn prctl(option: c_int, value: c_ulong) -> io::Result<c_long> {
    let zero: c_ulong = 0;
    // SAFETY: callers give only options whose arguments are numbers.
    done(unsafe { libc::prctl(option, value, zero, zero, zero) }.into())
}

/// Gives up all capabilities of this thread.
pub(super) fn drop_capabilities() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    /// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
    const VERSION: u32 = 0x2008_0522;
    let header = Header { version: VERSION, pid: 0 };
    let none = [[0_u32; 3]; 2];
    // SAFETY: version 3 reads a header and two triples of numbers; both live through the call.
    done(unsafe { libc::syscall(libc::SYS_capset, ptr::from_ref(&header), none.as_ptr()) }).map(drop)
}

/// One instruction of a seccomp program, as `struct sock_filter` has it.
pub(super) use super::super::seccomp::Instruction;

/// Puts a seccomp program over this thread, for good.
pub(super) fn filter(program: &[Instruction]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const Instruction,
    }
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = Program { len, filter: program.as_ptr() };
    /// `SECCOMP_SET_MODE_FILTER` of linux/seccomp.h.
    const SET_FILTER: c_int = 1;
    // SAFETY: `Instruction` is laid out as the kernel's sock_filter, `len` says how many there are, and both live through
    // the call.
    done(unsafe { libc::syscall(libc::SYS_seccomp, SET_FILTER, 0, ptr::from_ref(&program)) }).map(drop)
}

/// The Landlock version of this kernel.
pub(super) fn landlock_version() -> io::Result<u32> {
    /// `LANDLOCK_CREATE_RULESET_VERSION` of linux/landlock.h.
    const VERSION: u32 = 1;
    // SAFETY: with this flag the kernel reads no memory.
    done(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0, VERSION) })
        .map(|version| version as u32)
}

/// A new Landlock ruleset that denies these rights and scopes.
pub(super) fn landlock_ruleset(files: u64, scopes: Option<u64>) -> io::Result<OwnedFd> {
    // struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped.
    let attr = [files, 0, scopes.unwrap_or(0)];
    // Kernels that know no scopes take the short form.
    let size = if scopes.is_some() { mem::size_of_val(&attr) } else { mem::size_of::<u64>() };
    // SAFETY: `attr` lives through the call and is at least `size` bytes long.
    let fd = done(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attr.as_ptr(), size, 0) })?;
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Allows these rights on a file or below a folder.
pub(super) fn landlock_allow(ruleset: BorrowedFd<'_>, rights: u64, place: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C, packed)]
    struct Beneath {
        allowed: u64,
        parent: c_int,
    }
    let rule = Beneath { allowed: rights, parent: place.as_raw_fd() };
    /// `LANDLOCK_RULE_PATH_BENEATH` of linux/landlock.h.
    const BENEATH: c_int = 1;
    // SAFETY: `rule` is the packed struct that this kind of rule reads, and lives through the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            BENEATH,
            ptr::from_ref(&rule).cast::<u8>(),
            0,
        )
    })
    .map(drop)
}

/// Puts the ruleset over this thread, for good.
pub(super) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain numbers.
    done(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) }).map(drop)
}

/// Leaves the keyring of our session behind.
pub(super) fn fresh_keyring() {
    /// `KEYCTL_JOIN_SESSION_KEYRING` of linux/keyctl.h.
    const JOIN: c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring. Where there are no keyrings the call fails, and none is left.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN, ptr::null::<u8>()) };
}

/// Signals that are waited for instead of being taken.
pub(super) struct Signals {
    held: libc::sigset_t,
    /// What was held back before: commands get this.
    before: libc::sigset_t,
    /// Readable when one came.
    fd: OwnedFd,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Came {
    /// Its number.
    pub(super) signal: c_int,
    /// A process sent it to us alone or to our group; otherwise the kernel did, for instance a terminal to its group.
    pub(super) from_process: bool,
}

impl Came {
    fn of(signal: c_int, code: c_int) -> Came {
        // Above zero when the kernel sent it.
        Came { signal, from_process: code <= 0 }
    }
}

impl Signals {
    /// Holds these signals back from now on.
    pub(super) fn hold(signals: &[c_int]) -> io::Result<Signals> {
        // SAFETY: all zeroes is memory for sigemptyset to fill.
        let (mut held, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { mem::zeroed() };
        // SAFETY: both sets are ours; the calls write into them only, and the last sets the mask of our one thread.
        unsafe {
            libc::sigemptyset(&raw mut held);
            for &signal in signals {
                libc::sigaddset(&raw mut held, signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const held, &raw mut before) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set lives through the call, which makes a new descriptor.
        let fd = done(unsafe { libc::signalfd(-1, &raw const held, flags) }.into())?;
        // SAFETY: the call has just made this descriptor, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Ok(Signals { held, before, fd })
    }

    /// Waits for the next of them.
    pub(super) fn wait(&self) -> Option<Came> {
        // SAFETY: all zeroes is a valid siginfo for the kernel to fill.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        // SAFETY: both live through the call.
        let signal = unsafe { libc::sigwaitinfo(&raw const self.held, &raw mut info) };
        (signal > 0).then_some(Came::of(signal, info.si_code))
    }

    /// Waits for the next of them or for something to be read here. Whether it is the latter.
    pub(super) fn wait_or(&self, other: BorrowedFd<'_>, limit: Option<Duration>) -> bool {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN), PollFd::from_borrowed_fd(other, PollFlags::IN)];
        poll(&mut fds, limit.as_ref()).is_ok() && !fds[1].revents().is_empty()
    }

    /// The next of those that came.
    pub(super) fn next(&self) -> Option<Came> {
        // struct signalfd_siginfo of linux/signalfd.h: a signal's number, an error, its code, and more.
        let mut info = [0; 128];
        let number = |info: &[u8; 128], at: usize| {
            i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]])
        };
        let length = rustix::io::read(&self.fd, &mut info).ok()?;
        (length == info.len()).then(|| Came::of(number(&info, 0), number(&info, 8)))
    }

    /// Takes them again as before.
    pub(super) fn release(&self) {
        // SAFETY: the set lives through the call, and the mask is that of our one thread.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

/// Starts a program that has these signals as they were before they were held, and dies of a broken pipe.
///
/// `posix_spawn` shares our memory with the new process until it is another program: nothing is copied for it.
pub(super) fn spawn(program: &CStr, argv: &[CString], env: &[CString], signals: &Signals) -> io::Result<Pid> {
    let pointers = |words: &[CString]| -> Vec<*mut c_char> {
        words.iter().map(|word| word.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    let called = |error: c_int| if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) };
    // SAFETY: all zeroes is memory for the calls below to fill.
    let (mut attr, mut pipe): (libc::posix_spawnattr_t, libc::sigset_t) = unsafe { mem::zeroed() };
    let flags = (libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF) as libc::c_short;
    let mut pid = 0;
    // SAFETY: `attr` is set up first and taken down last. Each array ends with a null, and its words live through the call, which
    // writes to none of them. Only plain data is set.
    unsafe {
        called(libc::posix_spawnattr_init(&raw mut attr))?;
        libc::sigemptyset(&raw mut pipe);
        libc::sigaddset(&raw mut pipe, libc::SIGPIPE);
        let spawned = called(libc::posix_spawnattr_setsigmask(&raw mut attr, &raw const signals.before))
            .and_then(|()| called(libc::posix_spawnattr_setsigdefault(&raw mut attr, &raw const pipe)))
            .and_then(|()| called(libc::posix_spawnattr_setflags(&raw mut attr, flags)))
            .and_then(|()| {
                let (argv, env) = (argv.as_ptr(), env.as_ptr());
                called(libc::posix_spawn(
                    &raw mut pid,
                    program.as_ptr(),
                    ptr::null(),
                    &raw const attr,
                    argv,
                    env,
                ))
            });
        libc::posix_spawnattr_destroy(&raw mut attr);
        spawned?;
    }
    Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Ends this process by a signal, as if nobody had stood between.
pub(super) fn die_of(signal: c_int) -> ! {
    // SAFETY: plain numbers; the default action of the signal ends us here, and if it does not the exit does.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
        libc::_exit(128 + signal)
    }
}

/// Ends this process at once, without the clean-up that its parent will do.
pub(super) fn leave(code: c_int) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
}
