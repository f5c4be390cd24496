//! Turns: what is shown while one runs, and what stays.

use mesh_client::scripted::{Gate, Reply, Script};
use mesh_tests::{lab::Lab, pty::all_rows};

use crate::{SMALL, USUAL, WIDE, at_prompt, calls, says, screen, waits};

const REPLY: &str = "# Result\n\nThe **first** part is `done`; the rest follows.\n\n- one item that is long enough to wrap on a screen \
                     of eighty columns, with 日本語 in it\n- two\n\n```rust\nfn main() {}\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n";

#[test]
fn a_reply_is_shown_as_markdown() {
    for (name, size) in [("reply-80", USUAL), ("reply-120", WIDE), ("reply-40", SMALL)] {
        let lab = Lab::new(Script::in_order([says(REPLY)]));
        let mut terminal = at_prompt(&lab, &[], size);
        terminal.keys("hello\r");
        terminal.wait_for("tok");
        terminal.wait_for_prompt();
        screen!(name, lab, terminal);
    }
}

#[test]
fn the_region_shows_what_happens() {
    for (name, size) in [("live-80", USUAL), ("live-40", SMALL)] {
        let gate = Gate::new();
        let lab = Lab::new(Script::in_order([waits("The beginning of", &gate, " a sentence.")]));
        let mut terminal = at_prompt(&lab, &[], size);
        terminal.keys("hello\r");
        terminal.wait_for("still meshing");
        terminal.keys("typed meanwhile");
        terminal.wait_for("typed meanwhile");
        screen!(name, lab, terminal);
        gate.open();
        terminal.wait_for("a sentence.");
        terminal.wait_for("› typed meanwhile");
        terminal.wait_for("   default mode");
        screen!(format!("{name}-after"), lab, terminal);
    }
}

#[test]
fn messages_wait_for_the_turn_and_run() {
    let gate = Gate::new();
    let lab = Lab::new(Script::in_order([waits("one", &gate, "."), says("two."), says("three.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("first\r");
    terminal.wait_for("still meshing");
    terminal.keys("second\rthird\rfourth\r");
    terminal.wait_for("next: fourth");
    screen!("queued", lab, terminal);
    terminal.keys("\x1b[A");
    terminal.wait_without("next: fourth");
    terminal.keys("\x15");
    terminal.wait_without("fourth");
    gate.open();
    terminal.wait_for("three.");
    terminal.wait_for_prompt();
    screen!("queued-after", lab, terminal);
    let prompts: Vec<String> = lab.requests().iter().map(|r| r.last_text("user").to_owned()).collect();
    assert_eq!(prompts, ["first", "second", "third"]);
}

#[test]
fn escape_ends_a_reply_and_keeps_the_session() {
    for keys in ["\x1b", "\x03"] {
        let gate = Gate::new();
        let lab = Lab::new(Script::in_order([waits("never to be", &gate, " seen"), says("again here")]));
        let mut terminal = at_prompt(&lab, &[], USUAL);
        terminal.keys("first\r");
        terminal.wait_for("still meshing");
        terminal.keys(keys);
        terminal.wait_for("aborted by user");
        terminal.wait_for_prompt();
        terminal.keys("second\r");
        terminal.wait_for("again here");
        terminal.wait_for_prompt();
        screen!(format!("aborted-{}", if keys == "\x03" { "ctrl-c" } else { "escape" }), lab, terminal);
    }
}

#[test]
fn escape_stops_a_command_and_the_turn_goes_on() {
    let lab = Lab::new(Script::in_order([
        calls("run_bash", r#"{"command":"echo begun; sleep 600"}"#),
        says("It was stopped."),
    ]));
    let mut terminal = at_prompt(&lab, &["--mode", "auto"], USUAL);
    terminal.keys("run it\r");
    terminal.wait_for("running run_bash");
    terminal.keys("\x1b");
    terminal.wait_for("It was stopped.");
    terminal.wait_for_prompt();
    screen!("stopped-call", lab, terminal);
    assert!(lab.requests()[1].last_text("tool").contains("the user stopped the command"));
}

#[test]
fn two_escapes_end_the_turn() {
    let lab = Lab::new(Script::in_order([calls("run_bash", r#"{"command":"sleep 600"}"#), says("never")]));
    let mut terminal = at_prompt(&lab, &["--mode", "auto"], USUAL);
    terminal.keys("run it\r");
    terminal.wait_for("running run_bash");
    terminal.keys("\x1b");
    terminal.keys("\x03");
    terminal.wait_for("aborted by user");
    terminal.wait_for_prompt();
}

#[test]
fn a_storm_of_interrupts_harms_nothing() {
    let gate = Gate::new();
    let lab = Lab::new(Script::in_order([waits("never to be", &gate, " seen"), says("still here")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("first\r");
    terminal.wait_for("still meshing");
    terminal.keys("\x03\x03\x03\x1b\x1b\x1b\x03\x03");
    terminal.wait_for("aborted by user");
    terminal.keys("x");
    terminal.keys("\x7f");
}

#[test]
fn a_failed_request_is_told_and_the_session_goes_on() {
    let lab = Lab::new(Script::in_order([Reply::error(401, "invalid_api_key", "bad key"), says("fine now")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("first\r");
    terminal.wait_for("tok");
    terminal.wait_for_prompt();
    screen!("failed", lab, terminal);
    terminal.keys("second\r");
    terminal.wait_for("fine now");
}

#[test]
fn the_same_trouble_is_told_once() {
    let fails = || Reply::error(503, "overloaded", "come back later");
    let lab = Lab::new(Script::in_order([fails(), fails(), says("at last")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("first\r");
    terminal.wait_for("at last");
    terminal.wait_for_prompt();
    assert_eq!(lab.requests().len(), 3);
    assert_eq!(terminal.whole().matches("come back later").count(), 1, "{}", terminal.whole());
}

#[test]
fn a_plan_is_shown() {
    let steps = Reply::stream().tool_call("a", "create_plan", r#"{"steps":["read","write"]}"#, 9).tool_call(
        "b",
        "update_step",
        r#"{"index":1,"status":"completed"}"#,
        9,
    );
    let lab = Lab::new(Script::in_order([steps.usage(10, 2).cost("0.001").done(), says("One is left.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("plan\r");
    terminal.wait_for("not completed");
    terminal.wait_for_prompt();
    screen!("plan", lab, terminal);
}

#[test]
fn the_mode_changes_at_once_also_in_mid_turn() {
    let gate = Gate::new();
    let lab = Lab::new(Script::in_order([waits("wait", &gate, "."), says("x")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("\x1b[Z");
    terminal.wait_for("accept edits on");
    screen!("mode-prompt", lab, terminal);
    terminal.keys("first\r");
    terminal.wait_for("still meshing");
    terminal.keys("\x1b[Z");
    terminal.wait_for("auto mode on");
    gate.open();
    terminal.wait_for_prompt();
    terminal.wait_for("auto mode on");
}

#[test]
fn commands_in_mid_turn_hold_from_the_next_request_on() {
    let gate = Gate::new();
    let read = Reply::stream()
        .text("reading")
        .gate(&gate)
        .tool_call("c", "list_dir", r#"{"path":"."}"#, 5)
        .usage(1, 1)
        .cost("0.001")
        .done();
    let lab = Lab::new(Script::in_order([read, says("done now")]));
    let mut terminal = at_prompt(&lab, &["--mode", "bypass"], USUAL);
    terminal.keys("first\r");
    terminal.wait_for("still meshing");
    terminal.keys("/route cheapest\r");
    terminal.wait_for("cheapest");
    gate.open();
    terminal.wait_for("done now");
    terminal.wait_for_prompt();
    assert_eq!(lab.requests()[1].json["route"], "cheapest");
}

#[test]
fn a_resize_while_the_reply_comes() {
    let gate = Gate::new();
    let lab = Lab::new(Script::in_order([waits(
        "A line that is long enough to be wrapped once the window is made narrower than it was",
        &gate,
        " before.\n\nThe end.",
    )]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("hello\r");
    terminal.wait_for("still meshing");
    terminal.resize((50, 20));
    terminal.wait_for("still meshing");
    terminal.resize((100, 30));
    terminal.wait_for("still meshing");
    gate.open();
    terminal.wait_for("The end.");
    terminal.wait_for_prompt();
}

#[test]
fn escape_sequences_of_the_model_do_not_act() {
    let evil = "before \x1b[2J\x1b[31m\x1b]0;title\x07 after \u{202e}turned \u{9b}31m";
    let lab = Lab::new(Script::in_order([says(evil)]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("hello\r");
    terminal.wait_for("after");
    terminal.wait_for_prompt();
    screen!("escapes", lab, terminal);
}

/// Replays what was written, and follows every row that was committed: once it stands above the region it never changes.
#[test]
fn no_finished_line_is_ever_touched_again() {
    let pieces: Vec<String> =
        (0..300).map(|n| format!("w{n} {}", if n % 23 == 0 { "\n\n- " } else { "" })).collect();
    let reply = pieces
        .iter()
        .fold(Reply::stream(), |reply, piece| reply.text(piece).pause(std::time::Duration::from_millis(3)));
    let lab = Lab::new(Script::in_order([reply.usage(1, 1).cost("0.001").done()]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    let before = terminal.log().len();
    terminal.keys("go\r");
    terminal.wait_for("w299");
    terminal.wait_for_prompt();
    let log = terminal.log().to_vec();
    let mut screen = vt100::Parser::new(24, 80, 20_000);
    screen.process(&log[..before]);
    let mut finished: Vec<String> = Vec::new();
    for chunk in log[before..].chunks(40) {
        screen.process(chunk);
        let rows = all_rows(&mut screen, 80);
        // What stands above the row that says what happens is finished, but for the unfinished end of the reply.
        let Some(live) = rows.iter().rposition(|row| row.starts_with("✦ ")) else { continue };
        let settled = &rows[..live.saturating_sub(9)];
        for (at, row) in finished.iter().enumerate() {
            assert_eq!(settled.get(at).unwrap_or(row), row, "row {at} was touched");
        }
        if settled.len() > finished.len() {
            finished = settled.to_vec();
        }
    }
    assert!(finished.len() > 20, "{finished:?}");
    // Every word stands there once.
    let whole = terminal.whole();
    for n in 0..300 {
        let count = whole.split_whitespace().filter(|word| *word == format!("w{n}")).count();
        assert_eq!(count, 1, "w{n}\n{whole}");
    }
}
