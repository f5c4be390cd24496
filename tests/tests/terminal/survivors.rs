//! Servers that outlived their session: found at the next start, and killed, left or adopted.

use mesh_client::scripted::Script;
use mesh_tests::{lab::Lab, pty::Terminal};

use crate::{USUAL, WIDE, answers, at_prompt, says, serve};

/// A session was killed while its server ran, and the next one asks about it.
struct LeftBehind {
    lab: Lab,
    port: u16,
    pid: String,
    terminal: Terminal,
}

impl LeftBehind {
    /// `None` where there is nothing to serve with.
    fn new() -> Option<LeftBehind> {
        let (serve, port) = serve()?;
        let lab = Lab::new(Script::in_order([serve, says("it serves")]));
        // In the sandbox it would end with its session.
        let mut terminal = at_prompt(&lab, &["--mode", "bypass", "--no-sandbox"], USUAL);
        terminal.keys("serve\r");
        terminal.wait_for("it serves");
        terminal.wait_for("serving http");
        terminal.signal("KILL");
        terminal.wait_for_end();
        assert!(answers(port), "it outlives its session");
        let records = std::fs::read(records(&lab)).expect("its record stays");
        let records: serde_json::Value = serde_json::from_slice(&records).expect("it is JSON");
        let pid = records[0]["pid"].to_string();
        // In a wide one, how much of a row fits does not depend on the pid.
        let mut terminal = Terminal::start(&lab, &[], WIDE);
        terminal.wait_for("a (adopt) ›");
        Some(LeftBehind { lab, port, pid, terminal })
    }

    fn runs(&self) -> bool {
        answers(self.port)
    }

    fn is_recorded(&self) -> bool {
        records(&self.lab).exists()
    }

    /// Types this answer, and returns to the prompt.
    fn answer(&mut self, key: &str) {
        self.terminal.keys(key);
        self.terminal.wait_for_prompt();
    }

    /// The screen, in which the port is a name.
    fn screen(&mut self) -> String {
        let screen = self.terminal.whole().trim_end().replace(&self.port.to_string(), "PORT");
        crate::redacted(&self.lab, &screen)
    }
}

impl Drop for LeftBehind {
    fn drop(&mut self) {
        if self.runs() {
            let _ = std::process::Command::new("kill").args(["-KILL", &self.pid]).status();
        }
    }
}

fn records(lab: &Lab) -> std::path::PathBuf {
    lab.home().join(".meshapi/servers.json")
}

#[test]
fn yes_kills() {
    let Some(mut left) = LeftBehind::new() else { return };
    left.answer("y");
    insta::assert_snapshot!("survivors-killed", left.screen());
    assert!(!left.runs() && !left.is_recorded());
}

#[test]
fn no_leaves_it_for_good() {
    let Some(mut left) = LeftBehind::new() else { return };
    left.answer("n");
    insta::assert_snapshot!("survivors-left", left.screen());
    assert_eq!(left.terminal.leave(), 0);
    assert!(left.runs() && !left.is_recorded());
}

#[test]
fn adopted_it_is_ours_again() {
    let Some(mut left) = LeftBehind::new() else { return };
    left.answer("a");
    left.terminal.keys("/servers\r");
    left.terminal.wait_until("a list", |screen| screen.matches("http://").count() == 2);
    left.terminal.wait_for_prompt();
    insta::assert_snapshot!("survivors-adopted", left.screen());
    assert!(left.runs());
    assert_eq!(left.terminal.leave(), 0);
    assert!(!left.runs() && !left.is_recorded(), "it ends with the session");
}

#[test]
fn without_an_answer_it_is_asked_again() {
    let Some(mut left) = LeftBehind::new() else { return };
    left.answer("\x1b");
    assert!(left.terminal.screen().contains("Leaving them for the next start."));
    assert_eq!(left.terminal.leave(), 0);
    assert!(left.runs() && left.is_recorded());
    left.terminal = Terminal::start(&left.lab, &[], USUAL);
    left.terminal.wait_for("a (adopt) ›");
    left.answer("y");
    assert!(!left.runs() && !left.is_recorded());
}
