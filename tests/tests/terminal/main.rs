//! The binary in a terminal: what a person sees and types, as screens.
#![cfg(unix)]

mod attachments;
mod editing;
mod limits;
#[cfg(target_os = "linux")]
mod pages;
mod pause;
mod permissions;
mod questions;
mod savings;
mod session;
#[cfg(target_os = "linux")]
mod survivors;
mod theme;
mod turns;
#[cfg(target_os = "linux")]
mod widening;

use mesh_client::scripted::{Gate, Reply, Script};
use mesh_tests::{lab::Lab, pty::Terminal};

/// Columns and rows.
const USUAL: (u16, u16) = (80, 24);
const WIDE: (u16, u16) = (120, 40);
const SMALL: (u16, u16) = (40, 12);

/// A text reply.
fn says(text: &str) -> Reply {
    Reply::stream().text(text).usage(1200, 34).cost("0.0012").done()
}

/// A reply that waits in its middle.
fn waits(before: &str, gate: &Gate, after: &str) -> Reply {
    Reply::stream().text(before).gate(gate).text(after).usage(1200, 34).cost("0.0012").done()
}

/// A reply that calls one tool.
fn calls(name: &str, arguments: &str) -> Reply {
    Reply::stream().tool_call("call_1", name, arguments, 7).usage(900, 20).cost("0.0010").done()
}

/// A call that starts a server, and its port. `None`, and a word about it, where there is nothing to serve with.
#[expect(clippy::print_stderr, reason = "a test that proves nothing here says so")]
fn serve() -> Option<(Reply, u16)> {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: no python3 to serve with");
        return None;
    }
    let port = mesh_tests::lab::free_port();
    let command = format!("python3 -m http.server {port} --bind 127.0.0.1");
    Some((calls("start_server", &format!(r#"{{"command": "{command}"}}"#)), port))
}

/// Whether somebody serves at this port.
fn answers(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A terminal at its first prompt.
fn at_prompt(lab: &Lab, arguments: &[&str], size: (u16, u16)) -> Terminal {
    let mut terminal = Terminal::start(lab, arguments, size);
    terminal.wait_for_prompt();
    terminal
}

/// A screen without what differs from run to run.
fn redacted(lab: &Lab, screen: &str) -> String {
    let work = lab.work().canonicalize().expect("it is there").display().to_string();
    let text = screen.replace(&work, "WORK").replace(&lab.work().display().to_string(), "WORK");
    let text = text.replace(&lab.home().display().to_string(), "HOME");
    let redact = [
        (r"meshapi \d+\.\d+\.\d+", "meshapi VERSION"),
        (r"•  \d+\.\ds", "•  TIMEs"),
        (r"•\s+\d+\.\ds", "•  TIMEs"),
        (r"\d+\.\ds", "TIMEs"),
        (r"pid \d+", "pid PID"),
        (r"req_\d+", "req_N"),
        (r"/tmp/\d{10}", "/tmp/LAB"),
    ];
    redact.iter().fold(text, |text, (pattern, with)| {
        regex::Regex::new(pattern).expect("a pattern").replace_all(&text, *with).into_owned()
    })
}

/// Compares all rows, those that scrolled off too, with what was recorded: how far a screen has scrolled depends on when frames
/// were drawn, its text does not.
macro_rules! screen {
    ($name:expr, $lab:expr, $terminal:expr) => {
        insta::assert_snapshot!($name, crate::redacted(&$lab, $terminal.whole().trim_end()))
    };
}
pub(crate) use screen;

#[test]
fn the_first_screen() {
    for (name, size) in [("first-80", USUAL), ("first-120", WIDE), ("first-40", SMALL)] {
        let lab = Lab::new(Script::in_order([says("x")]));
        let mut terminal = at_prompt(&lab, &[], size);
        screen!(name, lab, terminal);
    }
}

#[test]
fn leaving_says_bye() {
    for keys in ["\x04", "\x03"] {
        let lab = Lab::new(Script::in_order([says("x")]));
        let mut terminal = at_prompt(&lab, &[], USUAL);
        terminal.keys(keys);
        assert_eq!(terminal.wait_for_end(), 0);
        assert!(terminal.screen().ends_with("bye"), "{}", terminal.screen());
    }
    let lab = Lab::new(Script::in_order([says("x")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("/exit\r");
    assert_eq!(terminal.wait_for_end(), 0);
}
