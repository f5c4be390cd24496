//! Odd terminals, odd homes, ends that nobody chose.

use mesh_client::scripted::{Gate, Script};
use mesh_tests::{lab::Lab, pty::Terminal};

use crate::{USUAL, at_prompt, says, screen, waits};

#[test]
fn a_terminal_of_one_column_works() {
    let lab = Lab::new(Script::in_order([says("tiny words here")]));
    let mut terminal = Terminal::start(&lab, &[], (1, 5));
    terminal.wait_until("a prompt", |screen| screen.contains('›'));
    terminal.keys("go\r");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while lab.requests().is_empty() && std::time::Instant::now() < deadline {
        terminal.wait_until("the turn", |_| true);
        std::thread::yield_now();
    }
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn a_broken_history_or_config_is_told() {
    let lab = Lab::new(Script::in_order([says("x")]));
    let folder = lab.home().join(".meshapi");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.json"), "{broken").unwrap();
    std::fs::write(folder.join("history"), b"\xff\xfe\0garbage").unwrap();
    let terminal = at_prompt(&lab, &[], USUAL);
    assert!(terminal.screen().contains("config.json"), "{}", terminal.screen());
}

#[test]
fn a_terminal_that_goes_away_ends_the_session() {
    let gate = Gate::new();
    let lab = Lab::new(Script::in_order([waits("wait", &gate, ".")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("first\r");
    terminal.wait_for("still meshing");
    let pid = terminal.pid();
    terminal.hang_up();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::path::Path::new(&format!("/proc/{pid}/exe")).exists() {
        assert!(std::time::Instant::now() < deadline, "it still runs");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn without_colours_nothing_is_lost() {
    let lab = Lab::new(Script::in_order([says("**bold** and `code`")]));
    let mut terminal = Terminal::start_with(&lab, &[], USUAL, &[("NO_COLOR", "1")]);
    terminal.wait_for("›");
    terminal.keys("go\r");
    terminal.wait_for("**bold** and `code`");
    terminal.wait_for("tok");
    terminal.wait_for_prompt();
    screen!("no-colour", lab, terminal);
    let log = String::from_utf8_lossy(terminal.log()).into_owned();
    assert!(!log.contains("\x1b[38;"), "{log:?}");
}
