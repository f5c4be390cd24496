//! Questions: approvals, choices of the model.

use mesh_client::scripted::{Reply, Script};
use mesh_tests::lab::Lab;

use crate::{SMALL, USUAL, WIDE, at_prompt, calls, says, screen};

fn write() -> Reply {
    calls("write_file", r#"{"path":"notes.txt","content":"first line\nsecond line changed\n"}"#)
}

#[test]
fn a_write_is_shown_before_it_is_approved() {
    for (name, size) in [("approve-80", USUAL), ("approve-120", WIDE), ("approve-40", SMALL)] {
        let lab = Lab::new(Script::in_order([write(), says("Written.")]));
        std::fs::write(lab.work().join("notes.txt"), "first line\nsecond line\n").unwrap();
        let mut terminal = at_prompt(&lab, &[], size);
        terminal.keys("write\r");
        terminal.wait_for(if size == SMALL { "y / n / a" } else { "y (yes)" });
        screen!(name, lab, terminal);
        terminal.keys("y");
        terminal.wait_for("Written.");
        terminal.wait_for_prompt();
        screen!(format!("{name}-after"), lab, terminal);
        let text = std::fs::read_to_string(lab.work().join("notes.txt")).unwrap();
        assert_eq!(text, "first line\nsecond line changed\n");
    }
}

#[test]
fn no_is_told_to_the_model() {
    let lab = Lab::new(Script::in_order([write(), says("Then not.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("write\r");
    terminal.wait_for("y (yes)");
    terminal.keys("n");
    terminal.wait_for("Then not.");
    terminal.wait_for_prompt();
    screen!("denied", lab, terminal);
    assert_eq!(lab.requests()[1].last_text("tool"), "User denied this tool call.");
    assert!(!lab.work().join("notes.txt").exists());
}

#[test]
fn escape_is_a_no_and_control_c_the_end_of_the_turn() {
    let lab = Lab::new(Script::in_order([write(), says("Then not."), write()]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("write\r");
    terminal.wait_for("y (yes)");
    terminal.keys("\x1b");
    terminal.wait_for("Then not.");
    terminal.wait_for_prompt();
    terminal.keys("again\r");
    terminal.wait_for("y (yes)");
    terminal.keys("\x03");
    terminal.wait_for("aborted by user");
    terminal.wait_for_prompt();
    assert!(!lab.work().join("notes.txt").exists());
}

#[test]
fn always_holds_for_the_session() {
    let lab = Lab::new(Script::in_order([write(), write(), says("Both are written.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("write\r");
    terminal.wait_for("y (yes)");
    terminal.keys("a");
    terminal.wait_for("Both are written.");
    terminal.wait_for_prompt();
    assert_eq!(lab.requests().len(), 3);
}

#[test]
fn a_command_cannot_hide() {
    let command = "echo harmless \\u001b[2K\\r\\u202e\\nrm-like second line";
    let arguments = format!("{{\"command\":\"{command}\"}}");
    let lab = Lab::new(Script::in_order([calls("run_bash", &arguments), says("Then not.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("run\r");
    terminal.wait_for("y (yes)");
    screen!("command-shown", lab, terminal);
    terminal.keys("n");
    terminal.wait_for("Then not.");
}

#[test]
fn a_path_outside_is_marked() {
    let lab = Lab::new(Script::in_order([
        calls("write_file", r#"{"path":"../elsewhere.txt","content":"x\n"}"#),
        says("Then not."),
    ]));
    let mut terminal = at_prompt(&lab, &["--mode", "accept-edits"], WIDE);
    terminal.keys("write\r");
    terminal.wait_for("y (yes)");
    assert!(terminal.screen().contains("(outside cwd)"), "{}", terminal.screen());
    assert!(terminal.screen().contains("auto-approval blocked"), "{}", terminal.screen());
    terminal.keys("n");
    terminal.wait_for("Then not.");
}

const QUESTION: &str = r#"{"questions":[{"question":"Which store?","header":"Store","options":[{"label":"SQLite","description":"one file"},{"label":"PostgreSQL","description":"many writers"}]}]}"#;

#[test]
fn the_model_can_ask() {
    for (name, size) in [("picker-80", USUAL), ("picker-40", SMALL)] {
        let lab = Lab::new(Script::in_order([calls("ask_user", QUESTION), says("So be it.")]));
        let mut terminal = at_prompt(&lab, &[], size);
        terminal.keys("ask\r");
        terminal.wait_for("Which store?");
        terminal.keys("\x1b[B");
        terminal.wait_for("❯ 2.");
        screen!(name, lab, terminal);
        terminal.keys("\x1b[A");
        terminal.wait_for("❯ 1.");
        terminal.keys("2");
        terminal.wait_for("So be it.");
        terminal.wait_for_prompt();
        assert!(lab.requests()[1].last_text("tool").contains("-> PostgreSQL"));
    }
}

#[test]
fn a_question_can_be_answered_in_own_words_or_not_at_all() {
    let lab = Lab::new(Script::in_order([
        calls("ask_user", QUESTION),
        calls("ask_user", QUESTION),
        says("So be it."),
    ]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("ask\r");
    terminal.wait_for("Which store?");
    terminal.keys("\x1b[A");
    terminal.wait_for("❯ type your own");
    terminal.keys("a plain file");
    terminal.wait_for("› a plain file");
    terminal.keys("\r");
    terminal.wait_for("→ a plain file");
    terminal.wait_for("❯ 1.");
    terminal.keys("\x1b");
    terminal.wait_for("So be it.");
    terminal.wait_for_prompt();
    screen!("own-words", lab, terminal);
    assert!(lab.requests()[1].last_text("tool").contains("-> a plain file"));
    assert!(lab.requests()[2].last_text("tool").contains("Decide yourself"));
}
