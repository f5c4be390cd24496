//! What the kernel says about processes, sockets and pipes, read from `/proc`; where there is none, nothing is known.
//!
//! No program is started for it: `ps`, `lsof` and `ss` are not on every machine. The parsers are pure.

use std::{collections::HashSet, fs, path::Path};

/// One process as `/proc/PID/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// Clock ticks after boot; with the pid it names a process for ever.
    pub(super) started: u64,
    /// It has ended, and its parent has not asked how.
    pub(super) zombie: bool,
}

/// A TCP port that a process listens on, and whether loopback reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listener {
    port: u16,
    socket: u64,
    on_loopback: bool,
}

/// Whether the kernel tells anything here.
pub(super) fn is_there() -> bool {
    Path::new("/proc/self/stat").exists()
}

/// Every process, in no order.
pub(super) fn all() -> Vec<Entry> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(entry).collect()
}

/// One process, if it is there.
pub(super) fn entry(pid: i32) -> Option<Entry> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// When a process started, in clock ticks after boot; `None` if it has ended.
pub(crate) fn started_at(pid: i32) -> Option<u64> {
    entry(pid).filter(|entry| !entry.zombie).map(|entry| entry.started)
}

/// The words with which a process was started, joined by blanks.
pub(crate) fn command_line(pid: i32) -> Option<String> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> =
        words.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    Some(words.join(" "))
}

/// Children of this process.
///
/// The kernel keeps a list, if it was built to; else every process is asked for its parent.
pub(super) fn own_children() -> Vec<Entry> {
    let me = own_pid();
    let listed = || {
        let mut pids = Vec::new();
        for thread in fs::read_dir("/proc/self/task").ok()?.flatten() {
            let text = fs::read_to_string(thread.path().join("children")).ok()?;
            pids.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        Some(pids)
    };
    match listed() {
        Some(pids) => pids.into_iter().filter_map(entry).collect(),
        None => all().into_iter().filter(|entry| entry.parent == me).collect(),
    }
}

/// This process.
pub(super) fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

/// The number by which the kernel knows a pipe; the same at both ends.
#[cfg(unix)]
pub(super) fn pipe_number(reader: &std::io::PipeReader) -> Option<u64> {
    rustix::fs::fstat(reader).ok().map(|stat| stat.st_ino)
}

/// The number by which the kernel knows a pipe: not to be had here.
#[cfg(not(unix))]
pub(super) fn pipe_number(_reader: &std::io::PipeReader) -> Option<u64> {
    None
}

/// Processes of other programs than ours that hold the pipe open.
///
/// A copy of ourselves is left out: between fork and exec a new child of ours holds every pipe there is.
pub(super) fn holders_of_pipe(number: u64, among: &[Entry]) -> Vec<i32> {
    let link = format!("pipe:[{number}]");
    let program = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let ours = program(own_pid());
    among
        .iter()
        .filter(|entry| entry.pid != own_pid() && any_descriptor(entry.pid, |target| target == link))
        .filter(|entry| program(entry.pid) != ours)
        .map(|entry| entry.pid)
        .collect()
}

/// TCP ports that any of the processes listens on and loopback reaches, ascending.
pub(crate) fn listening_ports(pids: &[i32]) -> Vec<u16> {
    let mut sockets = HashSet::new();
    for pid in pids {
        any_descriptor(*pid, |target| {
            let number = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            sockets.extend(number.and_then(|number| number.parse::<u64>().ok()));
            false
        });
    }
    let mut ports: Vec<u16> = listeners_seen_by(pids)
        .into_iter()
        .filter(|listener| listener.on_loopback && sockets.contains(&listener.socket))
        .map(|listener| listener.port)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// A process that listens on this port, whoever started it.
pub(super) fn listener_on(port: u16) -> Option<Entry> {
    let links: Vec<String> = listeners()
        .into_iter()
        .filter(|listener| listener.port == port)
        .map(|listener| format!("socket:[{}]", listener.socket))
        .collect();
    let listens = |entry: &Entry| any_descriptor(entry.pid, |target| links.iter().any(|link| link == target));
    all().into_iter().filter(|entry| entry.pid != own_pid()).find(listens)
}

/// Whether `found` says yes to what one of the process's descriptors points to.
fn any_descriptor(pid: i32, mut found: impl FnMut(&str) -> bool) -> bool {
    let Ok(folder) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    folder
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.to_str().is_some_and(&mut found)))
}

fn listeners() -> Vec<Listener> {
    listeners_of("self")
}

/// Listeners in every network that one of the processes lives in: that of a confined one is its own.
fn listeners_seen_by(pids: &[i32]) -> Vec<Listener> {
    let mut seen = HashSet::new();
    let mut all = listeners();
    seen.insert(fs::read_link("/proc/self/ns/net").ok());
    for pid in pids {
        if seen.insert(fs::read_link(format!("/proc/{pid}/ns/net")).ok()) {
            all.extend(listeners_of(&pid.to_string()));
        }
    }
    all
}

fn listeners_of(process: &str) -> Vec<Listener> {
    [format!("/proc/{process}/net/tcp"), format!("/proc/{process}/net/tcp6")]
        .iter()
        .filter_map(|path| fs::read_to_string(Path::new(path)).ok())
        .flat_map(|text| text.lines().filter_map(parse_listener).collect::<Vec<_>>())
        .collect()
}

/// Reads one line of `/proc/PID/stat`. The name stands in brackets and may itself hold blanks and brackets.
fn parse_stat(line: &[u8]) -> Option<Entry> {
    let name_start = memchr::memchr(b'(', line)?;
    let name_end = memchr::memrchr(b')', line)?;
    let pid = std::str::from_utf8(&line[..name_start]).ok()?.trim().parse().ok()?;
    let mut fields = std::str::from_utf8(line.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Entry {
        pid,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
        // Field 22 of proc(5); the session was field 6.
        started: fields.nth(22 - 7)?.parse().ok()?,
        zombie: matches!(state, "Z" | "X" | "x"),
    })
}

/// Reads one line of `/proc/net/tcp` or `tcp6`, if it is about a listening socket.
fn parse_listener(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    // State 0A is LISTEN.
    if fields.nth(1)? != "0A" {
        return None;
    }
    // Addresses are printed word by word in the machine's byte order; these shapes are read on little-endian machines.
    let on_loopback = match address.len() {
        8 => address == "00000000" || address.ends_with("7F"),
        32 => {
            address.bytes().all(|digit| digit == b'0')
                || address == "00000000000000000000000001000000"
                || (address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F"))
        }
        _ => false,
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Listener { port, socket: fields.nth(5)?.parse().ok()?, on_loopback })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let tail = "S 7 70 700 0 -1 4194304 102 0 0 0 0 0 0 0 20 0 1 0 114203 3133440 407";
        let want = |pid| Entry { pid, parent: 7, group: 70, session: 700, started: 114_203, zombie: false };
        for (pid, name) in [(12, "cat"), (13, "a b"), (14, ") S 1 1 1"), (15, "((x")] {
            assert_eq!(parse_stat(format!("{pid} ({name}) {tail}\n").as_bytes()), Some(want(pid)), "{name}");
        }
        let dead = format!("9 (x) {}", tail.replacen('S', "Z", 1));
        assert!(parse_stat(dead.as_bytes()).is_some_and(|entry| entry.zombie));
        for broken in ["", "12", "12 (cat", "12 cat)", "12 (cat) S 1 2", "x (cat) S 7 70 700"] {
            assert_eq!(parse_stat(broken.as_bytes()), None, "{broken}");
        }
    }

    #[track_caller]
    fn listens(line: &str, want: Option<(u16, u64, bool)>) {
        let got = parse_listener(line).map(|it| (it.port, it.socket, it.on_loopback));
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn listening_sockets_are_read() {
        let rest =
            "00000000:00000000 00:00000000 00000000     0        0 112 1 000000000df33bc0 100 0 0 10 0";
        listens(&format!("   0: 00000000:07E8 00000000:0000 0A {rest}"), Some((2024, 112, true)));
        listens(&format!("   1: 0100007F:1F90 00000000:0000 0A {rest}"), Some((8080, 112, true)));
        listens(&format!("   2: 0100A8C0:1F90 00000000:0000 0A {rest}"), Some((8080, 112, false)));
        listens(&format!("   3: 0100007F:1F90 0100007F:9999 01 {rest}"), None);
        let zero = "0".repeat(32);
        listens(&format!("   0: {zero}:0050 {zero}:0000 0A {rest}"), Some((80, 112, true)));
        listens(
            &format!("   0: 00000000000000000000000001000000:0051 {zero}:0000 0A {rest}"),
            Some((81, 112, true)),
        );
        listens(
            &format!("   0: 0000000000000000FFFF00000100007F:0052 {zero}:0000 0A {rest}"),
            Some((82, 112, true)),
        );
        listens(
            &format!("   0: 000080FE00000000000000000000007F:0053 {zero}:0000 0A {rest}"),
            Some((83, 112, false)),
        );
        listens(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            None,
        );
        listens("", None);
    }
}
