//! Which functions of a program run, in the order of their first calls: each has a breakpoint that goes when it is met.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
};

use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// The first argument of a watched run: `--trace LIST PROGRAM ARGUMENT...`.
pub(crate) const FLAG: &str = "--trace";

/// The instruction of a breakpoint.
const BREAK: u8 = 0xCC;

/// A function, as the symbol table has it.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) size: u64,
    address: u64,
}

impl Function {
    /// All functions of a program that is linked to a fixed place and has its symbols.
    ///
    /// # Errors
    /// `readelf` is missing, or there are none.
    pub(crate) fn of(program: &Path) -> io::Result<Vec<Function>> {
        let listed = Command::new("readelf").args(["-s", "-W"]).arg(program).output()?;
        let listed = String::from_utf8_lossy(&listed.stdout);
        let functions: Vec<Function> = listed.lines().filter_map(Function::parse_line).collect();
        if functions.is_empty() {
            return Err(io::Error::other(format!("{} has no symbols", program.display())));
        }
        Ok(functions)
    }

    /// A line as `12: 0000000000755e40 38 FUNC LOCAL DEFAULT 15 name`.
    pub(crate) fn parse_line(line: &str) -> Option<Function> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, address, size, "FUNC", _, _, section, name, ..] = fields.as_slice() else { return None };
        if *section == "UND" {
            return None;
        }
        let size = size.strip_prefix("0x").map_or_else(|| size.parse(), |hex| u64::from_str_radix(hex, 16));
        let address = u64::from_str_radix(address, 16).ok()?;
        Some(Function { name: (*name).to_owned(), size: size.ok()?, address })
    }
}

/// Runs a program and appends to the list what it calls. Ends as it does.
///
/// # Errors
/// It does not start, or may not be watched.
pub(crate) fn run(list: &Path, program: &Path, arguments: &[OsString]) -> io::Result<()> {
    let functions = Function::of(program)?;
    let by_address: HashMap<u64, &str> =
        functions.iter().map(|function| (function.address, function.name.as_str())).collect();
    let list = OpenOptions::new().append(true).create(true).open(list)?;
    // The shell waits until it is watched, and becomes the program.
    let child = Command::new("sh")
        .args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""])
        .arg(program)
        .args(arguments)
        .spawn()?;
    let first = Pid::from_raw(child.id() as i32);
    waitpid(first, Some(WaitPidFlag::WUNTRACED))?;
    let options = Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(first, options)?;
    kill(first, Signal::SIGCONT)?;
    let watch = Watch { program, by_address, list };
    let mut met = HashMap::new();
    let mut code = 0;
    loop {
        let status = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(status) => status,
            Err(Errno::EINTR) => continue,
            // Nobody is left.
            Err(_) => break,
        };
        match status {
            WaitStatus::Exited(pid, with) if pid == first => code = with,
            WaitStatus::Signaled(pid, by, _) if pid == first => code = 128 + by as i32,
            // Each of these can be gone meanwhile: then there is nothing to be done.
            WaitStatus::Stopped(pid, Signal::SIGTRAP) => {
                let _ = watch.breakpoint(pid, &mut met);
                let _ = ptrace::cont(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => drop(ptrace::cont(pid, signal)),
            WaitStatus::PtraceEvent(pid, _, event) if event == ptrace::Event::PTRACE_EVENT_EXEC as i32 => {
                if watch.is_it(pid) {
                    let _ = watch.set(pid, &mut met);
                    let _ = ptrace::cont(pid, None);
                } else {
                    let _ = ptrace::detach(pid, None);
                }
            }
            WaitStatus::PtraceEvent(pid, ..) => drop(ptrace::cont(pid, None)),
            _ => {}
        }
    }
    std::process::exit(code)
}

struct Watch<'a> {
    program: &'a Path,
    by_address: HashMap<u64, &'a str>,
    list: File,
}

impl Watch<'_> {
    /// Whether a process runs the program: it may have started another one.
    fn is_it(&self, pid: Pid) -> bool {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.program)
    }

    /// Sets all breakpoints of a process that has just become the program.
    fn set(&self, pid: Pid, met: &mut HashMap<u64, u8>) -> io::Result<()> {
        let memory = memory(pid)?;
        for address in self.by_address.keys() {
            let mut byte = [0];
            memory.read_exact_at(&mut byte, *address)?;
            met.entry(*address).or_insert(byte[0]);
            memory.write_all_at(&[BREAK], *address)?;
        }
        Ok(())
    }

    /// Takes away the breakpoint that a process stands behind, and notes its function.
    fn breakpoint(&self, pid: Pid, met: &mut HashMap<u64, u8>) -> io::Result<()> {
        let mut registers = ptrace::getregs(pid)?;
        let address = registers.rip.wrapping_sub(1);
        let (Some(name), Some(byte)) = (self.by_address.get(&address), met.get(&address)) else {
            return Ok(());
        };
        memory(pid)?.write_all_at(&[*byte], address)?;
        registers.rip = address;
        ptrace::setregs(pid, registers)?;
        writeln!(&self.list, "{name}")
    }
}

fn memory(pid: Pid) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))
}
