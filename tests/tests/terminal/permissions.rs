//! Rules of the user: made at a question, listed, removed, and asked about with `/why`.

use mesh_client::scripted::{Reply, Script};
use mesh_tests::lab::Lab;
use serde_json::{Value, json};

use crate::{USUAL, at_prompt, calls, says, screen};

fn make() -> Reply {
    calls("run_bash", r#"{"command":"mkdir -p out/a"}"#)
}

fn stored(lab: &Lab) -> Value {
    let text = std::fs::read(lab.home().join(".meshapi/permissions.json")).expect("the rules are written");
    serde_json::from_slice(&text).expect("as JSON")
}

#[test]
fn a_rule_is_made_at_the_question_and_holds_from_then_on() {
    let lab = Lab::new(Script::in_order([make(), make(), says("Both ran.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("make\r");
    terminal.wait_for("p (this project)");
    screen!("rule-offered", lab, terminal);
    terminal.keys("p");
    terminal.wait_for("Both ran.");
    terminal.wait_for_prompt();
    let project = lab.work().canonicalize().unwrap().display().to_string();
    assert_eq!(stored(&lab)["projects"][&project]["allow"], json!(["command mkdir"]));
    terminal.keys("/why\r");
    terminal.wait_for("your rule: allow `command mkdir`");
    terminal.wait_for_prompt();
    terminal.keys("/permissions\r");
    terminal.wait_for("command mkdir  (this project)");
    terminal.wait_for_prompt();
    screen!("rule-and-why", lab, terminal);
    terminal.keys("/permissions remove 1\r");
    terminal.wait_for("Removed: allow `command mkdir`");
    terminal.wait_for_prompt();
    assert_eq!(stored(&lab)["projects"][&project]["allow"], json!([]));
}

#[test]
fn a_denied_command_is_not_even_asked_about() {
    let lab = Lab::new(Script::in_order([make(), says("Then not.")]));
    let mut terminal = at_prompt(&lab, &["--mode", "bypass"], USUAL);
    terminal.keys("/permissions add deny command mkdir\r");
    terminal.wait_for("deny `command mkdir` in this project");
    terminal.wait_for_prompt();
    terminal.keys("make\r");
    terminal.wait_for("Then not.");
    terminal.wait_for_prompt();
    assert!(lab.requests()[1].last_text("tool").contains("your rule: deny `command mkdir`"));
}

#[test]
fn what_cannot_be_undone_takes_a_word() {
    let shred = || calls("run_bash", r#"{"command":"shred notes.txt"}"#);
    let lab = Lab::new(Script::in_order([shred(), says("Then not."), shred(), says("Gone.")]));
    std::fs::write(lab.work().join("notes.txt"), "kept\n").unwrap();
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("shred\r");
    terminal.wait_for("type yes and press Enter");
    screen!("typed-confirmation", lab, terminal);
    terminal.keys("y");
    terminal.wait_for("no › y");
    terminal.keys("\r");
    terminal.wait_without("no › y");
    terminal.keys("\x1b");
    terminal.wait_for("Then not.");
    terminal.wait_for_prompt();
    assert_eq!(std::fs::read_to_string(lab.work().join("notes.txt")).unwrap(), "kept\n");
    terminal.keys("again\r");
    terminal.wait_for("type yes and press Enter");
    terminal.keys("yes\r");
    terminal.wait_for("Gone.");
    terminal.wait_for_prompt();
    assert_ne!(std::fs::read(lab.work().join("notes.txt")).unwrap_or_default(), b"kept\n");
}

#[test]
fn rules_that_are_not_understood_stop_the_start() {
    let lab = Lab::new(Script::in_order::<Reply>([]));
    std::fs::create_dir_all(lab.home().join(".meshapi")).unwrap();
    let rules = r#"{"allow": [{"rule": "command cargo test", "matches": ["cargo build"]}]}"#;
    std::fs::write(lab.home().join(".meshapi/permissions.json"), rules).unwrap();
    let run = lab.run(&["-p", "hi"]);
    assert_eq!(run.code, Some(2), "{}{}", run.out, run.err);
    let want = "permissions.json: allow[0]: `command cargo test` does not match its example `cargo build`";
    assert!(run.err.contains(want), "{}", run.err);
}
