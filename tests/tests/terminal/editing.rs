//! The line at the prompt: history, pastes, several lines, completion, commands.

use mesh_client::scripted::{Reply, Script};
use mesh_tests::{lab::Lab, pty::Terminal};
use serde_json::json;

use crate::{SMALL, USUAL, WIDE, at_prompt, says, screen};

#[test]
fn the_history_is_that_of_the_python_releases() {
    let lab = Lab::new(Script::in_order([says("one."), says("two.")]));
    let folder = lab.home().join(".meshapi");
    std::fs::create_dir_all(&folder).unwrap();
    let python =
        "\n# 2026-01-02 03:04:05.678901\n+from python\n\n# 2026-01-02 03:05:00.000000\n+two\n+lines\n";
    std::fs::write(folder.join("history"), python).unwrap();
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("ours\r");
    terminal.wait_for("one.");
    terminal.wait_for_prompt();
    terminal.keys("\x1b[A");
    terminal.wait_for("› ours");
    terminal.keys("\x1b[A");
    terminal.wait_for("lines");
    terminal.keys("\x03");
    terminal.wait_for_prompt();
    terminal.keys("\x04");
    terminal.wait_for_end();
    let history = std::fs::read_to_string(folder.join("history")).unwrap();
    assert!(history.starts_with(python), "{history}");
    assert!(history[python.len()..].starts_with("\n# 2") && history.ends_with("\n+ours\n"), "{history}");
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("\x12from");
    terminal.wait_for("from python");
    terminal.keys("\r");
    terminal.keys("\r");
    terminal.wait_for("two.");
}

#[test]
fn a_paste_is_whole_and_does_not_submit() {
    let lab = Lab::new(Script::in_order([says("got it.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.paste("line one\nline two\n\tline three");
    terminal.wait_for("line three");
    screen!("paste", lab, terminal);
    assert!(lab.requests().is_empty());
    terminal.keys("\r");
    terminal.wait_for("got it.");
    assert_eq!(lab.requests()[0].last_text("user"), "line one\nline two\n\tline three");
}

#[test]
fn a_paste_of_ten_thousand_lines_in_mid_turn_is_one_message() {
    let gate = mesh_client::scripted::Gate::new();
    let lab = Lab::new(Script::in_order([crate::waits("wait", &gate, "."), says("all of it.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("first\r");
    terminal.wait_for("still meshing");
    let paste: String = (0..10_000).map(|n| format!("line {n}\n")).collect();
    terminal.paste(&paste);
    terminal.wait_for("[10000 lines]");
    terminal.keys("\r");
    terminal.wait_for("next: ");
    gate.open();
    terminal.wait_for("all of it.");
    assert_eq!(lab.requests()[1].last_text("user"), paste);
}

#[test]
fn several_lines_can_be_typed() {
    let lab = Lab::new(Script::in_order([says("got it.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("one\x1b\rtwo");
    terminal.wait_for("two");
    terminal.keys("\r");
    terminal.wait_for("got it.");
    assert_eq!(lab.requests()[0].last_text("user"), "one\ntwo");
}

#[test]
fn control_c_clears_the_line_first() {
    let lab = Lab::new(Script::in_order([says("x")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("half a thought");
    terminal.wait_for("half a thought");
    terminal.keys("\x03");
    terminal.wait_for_prompt();
    terminal.keys("\x03");
    assert_eq!(terminal.wait_for_end(), 0);
}

#[test]
fn commands_answer() {
    for (name, size) in [("help-120", WIDE), ("help-80", USUAL), ("help-40", SMALL)] {
        let lab = Lab::new(Script::in_order([says("x")]));
        let mut terminal = at_prompt(&lab, &[], size);
        terminal.keys("/help\r");
        terminal.wait_for("/exit");
        terminal.wait_for_prompt();
        screen!(name, lab, terminal);
    }
}

#[test]
fn wrong_commands_do_not_end_the_session() {
    let lab = Lab::new(Script::in_order([says("x")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    for command in [
        "/nonsense",
        "/file",
        "/file .",
        "/file none.txt",
        "/mode",
        "/mode sideways",
        "/route fast",
        "/clear-attach",
    ] {
        terminal.keys(&format!("{command}\r"));
        terminal.wait_for(command);
        terminal.wait_for_prompt();
    }
    screen!("wrong-commands", lab, terminal);
}

#[test]
fn images_are_attached_by_name() {
    let lab = Lab::new(Script::in_order([says("A dot.")]));
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde";
    std::fs::write(lab.work().join("dot.png"), png).unwrap();
    std::fs::write(lab.work().join("fake.png"), "text").unwrap();
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("what is dot.png beside fake.png?\r");
    terminal.wait_for("A dot.");
    terminal.wait_for_prompt();
    screen!("image", lab, terminal);
    let content = &lab.requests()[0].json["messages"][1]["content"];
    assert_eq!(content[0]["text"], "what is [Image #1] beside fake.png?");
}

#[test]
fn tab_offers_commands() {
    let lab = Lab::new(Script::in_order([says("x")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("/mo\t");
    terminal.wait_for("/models");
    terminal.keys("\x1b");
}

#[test]
fn tab_offers_models_without_asking_for_them() {
    let models = json!({"data": [
        {"id": "openai/gpt-4o", "context_length": 128_000, "supports_tools": true},
        {"id": "openai/gpt-4o-mini", "context_length": 128_000},
        {"id": "anthropic/claude-sonnet-4.5", "context_length": 1_000_000},
    ]});
    let script = Script::in_order([says("x")]).route("/models", move |_| Reply::json(models.clone()));
    let lab = Lab::new(script);
    let mut terminal = at_prompt(&lab, &[], USUAL);
    // Nothing is known yet but the session's own model.
    terminal.keys("/model \t");
    terminal.wait_for("/model anthropic/claude-sonnet-4.5");
    assert!(lab.requests().is_empty());
    terminal.keys("\x15");
    terminal.wait_for_prompt();
    terminal.keys("/models gpt\r");
    terminal.wait_for("openai/gpt-4o-mini");
    terminal.wait_for_prompt();
    let asked = lab.requests().len();
    terminal.keys("/model gpt\t");
    terminal
        .wait_until("two models below the line", |screen| screen.matches("openai/gpt-4o-mini").count() == 2);
    screen!("completion-models", lab, terminal);
    assert_eq!(lab.requests().len(), asked);
    terminal.keys("-4o-m");
    terminal.wait_for("› /model gpt-4o-m");
    terminal.keys("\r");
    terminal.wait_for("› /model openai/gpt-4o-mini");
    terminal.keys("\r");
    terminal.wait_for("Model set to openai/gpt-4o-mini");
    terminal.wait_for_prompt();
    terminal.keys("/route ch\t\r");
    terminal.wait_for("Routing set to cheapest");
}

#[test]
fn wide_characters_are_edited_as_one() {
    let lab = Lab::new(Script::in_order([says("got it.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("日本語 é🦀x\x7f\x7f");
    terminal.wait_for("日本語 é");
    terminal.keys("\r");
    terminal.wait_for("got it.");
    assert_eq!(lab.requests()[0].last_text("user"), "日本語 é");
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let lab = Lab::new(Script::in_order([says("got it.")]));
    let mut terminal: Terminal = at_prompt(&lab, &[], USUAL);
    terminal.raw(b"a\xff\xfe\x80b\r");
    terminal.wait_for("got it.");
    terminal.wait_for_prompt();
}
