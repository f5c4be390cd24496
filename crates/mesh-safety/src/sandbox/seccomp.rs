//! Which system calls a confined command may not make, as data, and the program that the kernel runs for it.
//!
//! Pure: the test runs the program itself.

use libc::c_long;

/// `struct sock_filter` of linux/filter.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

/// What a call that is not allowed gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// This error.
    Error(i32),
    /// The end of the process.
    Kill,
    /// It is done.
    Allow,
}

/// Whether sockets that reach anything but ourselves may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// The network namespace is our own: what is reached is ours.
    Own,
    /// The host's network: only pairs.
    None,
}

/// Calls that nobody inside needs and that reach around the walls: they get EPERM.
#[rustfmt::skip]
const DENIED: &[c_long] = &[
    // other processes' memory and descriptors
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_pidfd_getfd, libc::SYS_kcmp,
    libc::SYS_process_madvise,
    // the kernel's own machines and watchers
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register, libc::SYS_fanotify_init, libc::SYS_fanotify_mark, libc::SYS_lookup_dcookie,
    // keys
    libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl,
    // mounts and namespaces
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot, libc::SYS_fsopen, libc::SYS_fsconfig,
    libc::SYS_fsmount, libc::SYS_fspick, libc::SYS_move_mount, libc::SYS_open_tree, libc::SYS_mount_setattr,
    libc::SYS_setns, libc::SYS_unshare, libc::SYS_open_by_handle_at, libc::SYS_name_to_handle_at, libc::SYS_quotactl,
    libc::SYS_quotactl_fd, OPEN_TREE_ATTR,
    // the machine
    libc::SYS_kexec_load, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_reboot,
    libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_sethostname, libc::SYS_setdomainname, libc::SYS_acct, libc::SYS_syslog,
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_adjtimex, libc::SYS_clock_adjtime, libc::SYS_vhangup,
    libc::SYS_nfsservctl, libc::SYS_move_pages, libc::SYS_migrate_pages,
    #[cfg(target_arch = "x86_64")] libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")] libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")] libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")] libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")] libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")] libc::SYS__sysctl,
];

/// `open_tree_attr`, since Linux 6.15: the same number everywhere, not yet in libc.
const OPEN_TREE_ATTR: c_long = 467;

/// Calls that programs try first and do without: they are told that this kernel is older.
const UNKNOWN: &[c_long] = &[libc::SYS_clone3, libc::SYS_openat2];

/// Every namespace that clone can make: `CLONE_NEW*` of linux/sched.h. For a time namespace it has no flag.
const NEW_NAMESPACES: u32 = 0x7e02_0000;

/// `TIOCSTI` and `TIOCLINUX` of asm-generic/ioctls.h: typing for the user.
const TYPING: [u32; 2] = [0x5412, 0x541c];

/// `MFD_NOEXEC_SEAL` of linux/memfd.h. Without it an unnamed file can be run.
const NO_EXEC: u32 = 8;

/// Set-user-id and set-group-id: as root, a program left behind with them would be a way in for everybody.
const SET_ID: u32 = 0o6000;

/// `fchmodat2`, since Linux 6.6.
const FCHMODAT2: c_long = 452;

/// Calls that set the mode of a file, and which argument it is. `openat2` hides it behind a pointer, and is absent.
const MODES: &[(c_long, u32)] = &[
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (FCHMODAT2, 2),
    (libc::SYS_openat, 3),
    (libc::SYS_mknodat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1),
];

/// `O_CREAT` and `__O_TMPFILE`: without them the mode of an open means nothing, and may be anything.
const MAKES: u32 = (libc::O_CREAT | 0o20_000_000) as u32;

/// The bits of a socket's type; the rest are flags.
const SOCKET_TYPE: u32 = 0xf;

// linux/bpf_common.h, linux/seccomp.h and linux/audit.h.
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;
const AT_NUMBER: u32 = 0;
const AT_ARCH: u32 = 4;
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCH: u32 = 0xc000_00f3;

/// The lower half of an argument: all that these calls look at.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

impl Answer {
    const fn value(self) -> u32 {
        match self {
            Answer::Kill => 0x8000_0000,
            Answer::Error(number) => 0x0005_0000 | number as u32,
            Answer::Allow => 0x7fff_0000,
        }
    }
}

/// A program under construction.
#[derive(Default, PartialEq, Eq)]
struct Program(Vec<Instruction>);

impl Program {
    fn push(&mut self, code: u16, value: u32, if_true: u8, if_false: u8) {
        self.0.push(Instruction { code, if_true, if_false, value });
    }

    fn load(&mut self, offset: u32) {
        self.push(LOAD, offset, 0, 0);
    }

    fn answer(&mut self, answer: Answer) {
        self.push(RETURN, answer.value(), 0, 0);
    }

    /// Answers when what was loaded is the value.
    fn when(&mut self, value: u32, answer: Answer) {
        self.push(JUMP_EQUAL, value, 0, 1);
        self.answer(answer);
    }

    /// Answers when what was loaded is not the value.
    fn unless(&mut self, value: u32, answer: Answer) {
        self.push(JUMP_EQUAL, value, 1, 0);
        self.answer(answer);
    }

    /// Finds the number that was loaded among these calls, which are sorted, and goes on with what is done for it.
    fn find(&mut self, calls: &[(u32, usize)], jumps: &mut Vec<Jump>) {
        /// So many are asked one after the other: halving costs an instruction too.
        const FEW: usize = 6;
        if calls.len() <= FEW {
            for (index, (call, done)) in calls.iter().enumerate() {
                let is_last = index + 1 == calls.len();
                jumps.push(Jump { at: self.0.len(), if_true: *done, if_false: is_last.then_some(ALLOWED) });
                self.push(JUMP_EQUAL, *call, 0, 0);
            }
            return;
        }
        let (below, above) = calls.split_at(calls.len() / 2);
        let at = self.0.len();
        self.push(JUMP_AT_LEAST, above[0].0, 0, 0);
        self.find(below, jumps);
        self.0[at].if_true = distance(at, self.0.len());
        self.find(above, jumps);
    }
}

/// A jump to what is done for a call, before it is known where that will stand.
struct Jump {
    at: usize,
    if_true: usize,
    if_false: Option<usize>,
}

/// The instructions between one that jumps and where it leads.
fn distance(from: usize, to: usize) -> u8 {
    u8::try_from(to - from - 1).expect("the program is shorter than 256 instructions")
}

/// What is done for one call; it loads and ends by itself.
fn body(fill: impl FnOnce(&mut Program)) -> Program {
    let mut body = Program::default();
    fill(&mut body);
    body
}

/// The program for a confined command.
pub(crate) fn program(sockets: Sockets) -> Vec<Instruction> {
    let mut program = Program(Vec::with_capacity(256));
    program.load(AT_ARCH);
    program.unless(ARCH, Answer::Kill);
    program.load(AT_NUMBER);
    // The x32 calls of x86-64 have numbers of their own.
    if cfg!(target_arch = "x86_64") {
        program.push(JUMP_AT_LEAST, 0x4000_0000, 0, 1);
        program.answer(Answer::Error(libc::ENOSYS));
    }
    // Calls that get the same share its instructions, and are found by halves: the kernel translates the program, and tries it
    // for every number that there is, so that its length is felt by each command.
    let mut done = vec![body(|body| body.answer(Answer::Allow))];
    let calls: Vec<(u32, usize)> = calls(sockets)
        .into_iter()
        .map(|(call, body)| {
            let known = done.iter().position(|known| *known == body);
            (
                call,
                known.unwrap_or_else(|| {
                    done.push(body);
                    done.len() - 1
                }),
            )
        })
        .collect();
    let mut jumps = Vec::with_capacity(calls.len());
    program.find(&calls, &mut jumps);
    let starts: Vec<usize> = done
        .into_iter()
        .map(|mut body| {
            let start = program.0.len();
            program.0.append(&mut body.0);
            start
        })
        .collect();
    for Jump { at, if_true, if_false } in jumps {
        program.0[at].if_true = distance(at, starts[if_true]);
        program.0[at].if_false = if_false.map_or(0, |allowed| distance(at, starts[allowed]));
    }
    program.0
}

/// Where among what is done stands that a call is allowed.
const ALLOWED: usize = 0;

/// Every call that is not simply allowed, sorted.
fn calls(sockets: Sockets) -> Vec<(u32, Program)> {
    let denied = Answer::Error(libc::EPERM);
    let mut calls = Vec::with_capacity(128);
    let mut add = |call: c_long, body: Program| calls.push((call as u32, body));
    for &call in UNKNOWN {
        add(call, body(|body| body.answer(Answer::Error(libc::ENOSYS))));
    }
    add(
        libc::SYS_clone,
        body(|body| {
            body.load(argument(0));
            body.push(JUMP_ANY_BIT, NEW_NAMESPACES, 0, 1);
            body.answer(denied);
            body.answer(Answer::Allow);
        }),
    );
    add(
        libc::SYS_ioctl,
        body(|body| {
            body.load(argument(1));
            for request in TYPING {
                body.when(request, denied);
            }
            body.answer(Answer::Allow);
        }),
    );
    for &(call, mode) in MODES {
        add(call, body(|body| set_id(body, call, mode)));
    }
    add(
        libc::SYS_memfd_create,
        body(|body| {
            body.load(argument(1));
            body.push(JUMP_ANY_BIT, NO_EXEC, 1, 0);
            body.answer(Answer::Error(libc::ENOSYS));
            body.answer(Answer::Allow);
        }),
    );
    add(libc::SYS_socket, body(|body| socket(body, sockets)));
    add(
        libc::SYS_socketpair,
        body(|body| {
            body.load(argument(0));
            body.unless(libc::AF_UNIX as u32, denied);
            body.answer(Answer::Allow);
        }),
    );
    for &call in DENIED {
        add(call, body(|body| body.answer(denied)));
    }
    calls.sort_by_key(|(call, _)| *call);
    calls
}

/// No file gets the set-id bits.
fn set_id(body: &mut Program, call: c_long, mode: u32) {
    let is_open = call == libc::SYS_openat || is_old_open(call);
    if is_open {
        body.load(argument(mode - 1));
        body.push(JUMP_ANY_BIT, MAKES, 1, 0);
        body.answer(Answer::Allow);
    }
    body.load(argument(mode));
    body.push(JUMP_ANY_BIT, SET_ID, 0, 1);
    body.answer(Answer::Error(libc::EPERM));
    body.answer(Answer::Allow);
}

#[cfg(target_arch = "x86_64")]
fn is_old_open(call: c_long) -> bool {
    call == libc::SYS_open
}

#[cfg(not(target_arch = "x86_64"))]
fn is_old_open(_: c_long) -> bool {
    false
}

/// Families that stay inside; of them no raw sockets, and of netlink the route family only.
fn socket(body: &mut Program, sockets: Sockets) {
    let denied = Answer::Error(libc::EPERM);
    if sockets == Sockets::None {
        body.answer(denied);
        return;
    }
    body.load(argument(0));
    body.when(libc::AF_UNIX as u32, Answer::Allow);
    // netlink: over the two instructions that skip it
    body.push(JUMP_EQUAL, libc::AF_NETLINK as u32, 0, 3);
    body.load(argument(2));
    body.when(libc::NETLINK_ROUTE as u32, Answer::Allow);
    // A protocol that is not ROUTE falls through: it equals neither family below only by chance, so the family comes back.
    body.load(argument(0));
    body.push(JUMP_EQUAL, libc::AF_INET as u32, 2, 0);
    body.push(JUMP_EQUAL, libc::AF_INET6 as u32, 1, 0);
    body.answer(denied);
    body.load(argument(1));
    body.push(AND, SOCKET_TYPE, 0, 0);
    body.when(libc::SOCK_STREAM as u32, Answer::Allow);
    body.when(libc::SOCK_DGRAM as u32, Answer::Allow);
    body.answer(denied);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn run(program: &[Instruction], arch: u32, number: u32, arguments: [u32; 4]) -> u32 {
        let mut at = 0;
        let mut loaded = 0;
        loop {
            let Instruction { code, if_true, if_false, value } = program[at];
            at += 1;
            let mut jump = |holds: bool| at += usize::from(if holds { if_true } else { if_false });
            match code {
                LOAD if value == AT_NUMBER => loaded = number,
                LOAD if value == AT_ARCH => loaded = arch,
                LOAD => loaded = arguments[(value as usize - 16) / 8],
                AND => loaded &= value,
                JUMP_EQUAL => jump(loaded == value),
                JUMP_AT_LEAST => jump(loaded >= value),
                JUMP_ANY_BIT => jump(loaded & value != 0),
                RETURN => return value,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[track_caller]
    fn check(sockets: Sockets, call: c_long, arguments: [i32; 3], want: Answer) {
        let [a, b, c] = arguments.map(|argument| argument as u32);
        let arguments = [a, b, c, 0];
        let got = run(&program(sockets), ARCH, call as u32, arguments);
        assert_eq!(got, want.value(), "call {call} {arguments:x?}");
    }

    const NO: Answer = Answer::Error(libc::EPERM);
    const ABSENT: Answer = Answer::Error(libc::ENOSYS);

    #[test]
    fn what_reaches_around_the_walls_is_denied() {
        for &call in DENIED {
            check(Sockets::Own, call, [0; 3], NO);
        }
        for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_openat, libc::SYS_wait4, libc::SYS_futex] {
            check(Sockets::Own, call, [0; 3], Answer::Allow);
        }
        check(Sockets::Own, libc::SYS_clone3, [0; 3], ABSENT);
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWPID, libc::CLONE_NEWNET] {
            check(Sockets::Own, libc::SYS_clone, [flag | libc::SIGCHLD, 0, 0], NO);
        }
        check(Sockets::Own, libc::SYS_clone, [libc::CLONE_VM | libc::SIGCHLD, 0, 0], Answer::Allow);
        check(Sockets::Own, libc::SYS_ioctl, [0, 0x5412, 0], NO);
        check(Sockets::Own, libc::SYS_ioctl, [0, 0x541c, 0], NO);
        check(Sockets::Own, libc::SYS_ioctl, [0, 0x5401, 0], Answer::Allow);
        check(Sockets::Own, libc::SYS_memfd_create, [0, 1, 0], ABSENT);
        check(Sockets::Own, libc::SYS_memfd_create, [0, 9, 0], Answer::Allow);
    }

    #[test]
    fn every_number_finds_its_own_answer() {
        for sockets in [Sockets::Own, Sockets::None] {
            let (program, calls) = (program(sockets), calls(sockets));
            assert!(calls.windows(2).all(|two| two[0].0 < two[1].0), "a call stands there twice");
            // More than there are, and all the arguments that any of them looks at.
            for number in 0..2048 {
                let body = calls.iter().find(|(call, _)| *call == number);
                for argument in [0, 1, 2, 3, 9, 16, 0x5412, 0o4755, NEW_NAMESPACES, MAKES] {
                    let arguments = [argument; 4];
                    let want =
                        body.map_or(Answer::Allow.value(), |(_, body)| run(&body.0, ARCH, number, arguments));
                    assert_eq!(run(&program, ARCH, number, arguments), want, "{number} {argument:#x}");
                }
            }
        }
    }

    #[test]
    fn no_file_gets_the_set_id_bits() {
        let program = program(Sockets::Own);
        let openat =
            |flags: i32, mode| run(&program, ARCH, libc::SYS_openat as u32, [0, 0, flags as u32, mode]);
        assert_eq!(openat(libc::O_CREAT | libc::O_WRONLY, 0o4755), NO.value());
        assert_eq!(openat(libc::O_TMPFILE, 0o2755), NO.value());
        assert_eq!(openat(libc::O_CREAT, 0o666), Answer::Allow.value());
        assert_eq!(openat(libc::O_RDONLY, 0o4755), Answer::Allow.value());
        check(Sockets::Own, libc::SYS_fchmod, [0, 0o4755, 0], NO);
        check(Sockets::Own, libc::SYS_fchmod, [0, 0o1777, 0], Answer::Allow);
        check(Sockets::Own, libc::SYS_fchmodat, [0, 0, 0o2755], NO);
        check(Sockets::Own, libc::SYS_openat2, [0, 0, 0], ABSENT);
    }

    #[test]
    fn sockets_stay_inside() {
        use libc::{AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK};
        use libc::{SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};
        for (arguments, want) in [
            ([AF_UNIX, SOCK_STREAM, 0], Answer::Allow),
            ([AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0], Answer::Allow),
            ([AF_INET6, SOCK_DGRAM, 0], Answer::Allow),
            ([AF_INET, SOCK_RAW, 1], NO),
            ([AF_NETLINK, SOCK_RAW, 0], Answer::Allow),
            ([AF_NETLINK, SOCK_RAW, 2], NO),
            ([AF_NETLINK, SOCK_RAW, 10], NO),
            ([AF_PACKET, SOCK_RAW, 0], NO),
            ([AF_VSOCK, SOCK_STREAM, 0], NO),
            ([libc::AF_ALG, libc::SOCK_SEQPACKET, 0], NO),
        ] {
            check(Sockets::Own, libc::SYS_socket, arguments, want);
            check(Sockets::None, libc::SYS_socket, arguments, NO);
        }
        check(Sockets::None, libc::SYS_socketpair, [AF_UNIX, SOCK_STREAM, 0], Answer::Allow);
        check(Sockets::Own, libc::SYS_socketpair, [30, SOCK_STREAM, 0], NO);
    }

    #[test]
    fn other_machines_are_killed_and_x32_is_absent() {
        let program = program(Sockets::Own);
        assert_eq!(run(&program, 0x4000_0003, 0, [0; 4]), Answer::Kill.value());
        if cfg!(target_arch = "x86_64") {
            assert_eq!(run(&program, ARCH, 0x4000_0000 + 59, [0; 4]), ABSENT.value());
        }
    }
}
