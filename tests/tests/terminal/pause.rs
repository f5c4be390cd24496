//! Ctrl+Z and its kin: the terminal is given back, and drawn anew when the program goes on.

use mesh_client::scripted::{Gate, Script};
use mesh_tests::{lab::Lab, pty::Terminal};

use crate::{USUAL, at_prompt, says, screen, waits};

/// What a shell writes about a job that it paused and then takes up again.
const SHELL: &str = "\r\n[1]+  Stopped                 meshapi\r\n$ fg\r\nmeshapi\r\n";

/// The program is paused and has left the terminal as it found it; then a shell writes to it and lets it go on.
#[track_caller]
fn paused_and_back(terminal: &mut Terminal) {
    terminal.wait_until_paused();
    assert!(terminal.is_as_found());
    let log = String::from_utf8_lossy(terminal.log()).into_owned();
    assert!(log.rfind("\x1b[?2004h") < log.rfind("\x1b[?2004l"), "pastes are still marked");
    assert!(log.rfind("\x1b[?25l") <= log.rfind("\x1b[?25h"), "no cursor");
    terminal.others_write(SHELL);
    terminal.signal("CONT");
}

/// This stands below what the shell wrote.
#[track_caller]
fn drawn_again(terminal: &mut Terminal, text: &str) {
    terminal.wait_until(&format!("`{text}` below the shell's words"), |screen| {
        screen.rfind("$ fg").is_some_and(|shell| screen[shell..].contains(text))
    });
}

#[test]
fn control_z_at_the_prompt() {
    let lab = Lab::new(Script::in_order([says("got it.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("half a");
    terminal.wait_for("› half a");
    terminal.keys("\x1a");
    paused_and_back(&mut terminal);
    drawn_again(&mut terminal, "› half a");
    terminal.keys(" thought");
    terminal.wait_for("› half a thought");
    assert!(!terminal.is_as_found());
    screen!("pause-prompt", lab, terminal);
    terminal.keys("\r");
    terminal.wait_for("got it.");
    terminal.wait_for_prompt();
    assert_eq!(lab.requests()[0].last_text("user"), "half a thought");
    terminal.paste("two\nlines");
    terminal.wait_for("lines");
    assert_eq!(lab.requests().len(), 1, "pastes are marked again");
}

#[test]
fn control_z_while_the_reply_comes() {
    let gate = Gate::new();
    let lab = Lab::new(Script::in_order([waits("The beginning of", &gate, " a sentence."), says("two.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("hello\r");
    terminal.wait_for("still meshing");
    terminal.keys("typed");
    terminal.wait_for("› typed");
    terminal.keys("\x1a");
    paused_and_back(&mut terminal);
    drawn_again(&mut terminal, "› typed");
    assert!(!terminal.is_as_found());
    terminal.keys(" too");
    terminal.wait_for("› typed too");
    gate.open();
    terminal.wait_for("a sentence.");
    terminal.wait_for("   default mode");
    screen!("pause-turn", lab, terminal);
    terminal.keys("\r");
    terminal.wait_for("two.");
    assert_eq!(lab.requests()[1].last_text("user"), "typed too");
}

#[test]
fn a_pause_from_outside() {
    let gate = Gate::new();
    let lab = Lab::new(Script::in_order([waits("The beginning of", &gate, " a sentence.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("hel");
    terminal.wait_for("› hel");
    terminal.signal("TSTP");
    paused_and_back(&mut terminal);
    drawn_again(&mut terminal, "› hel");
    terminal.keys("lo\r");
    terminal.wait_for("still meshing");
    terminal.signal("TSTP");
    paused_and_back(&mut terminal);
    drawn_again(&mut terminal, "still meshing");
    gate.open();
    terminal.wait_for("a sentence.");
    terminal.wait_for_prompt();
    assert_eq!(lab.requests()[0].last_text("user"), "hello");
    assert_eq!(terminal.leave(), 0);
    assert!(terminal.is_as_found());
}

/// A signal that nobody can catch: the shell may have changed everything meanwhile.
#[test]
fn a_stop_that_came_unseen() {
    let lab = Lab::new(Script::in_order([says("got it.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("hel");
    terminal.wait_for("› hel");
    terminal.signal("STOP");
    terminal.wait_until_paused();
    terminal.shell_takes_over();
    terminal.others_write(SHELL);
    terminal.signal("CONT");
    drawn_again(&mut terminal, "› hel");
    terminal.keys("lo\r");
    terminal.wait_for("got it.");
    assert_eq!(lab.requests()[0].last_text("user"), "hello");
}
