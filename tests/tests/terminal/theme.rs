//! The terminal's background: asked for without waiting, and its answer never becomes input.

use mesh_client::scripted::{Gate, Script};
use mesh_tests::{lab::Lab, pty::Terminal};

use crate::{USUAL, says, waits};

/// The colour of the prompt's sign, on dark and on light. Seed 17.3.
const DARK: vt100::Color = vt100::Color::Rgb(0x8b, 0x78, 0xf7);
const LIGHT: vt100::Color = vt100::Color::Rgb(0x6f, 0x5a, 0xf5);

/// A terminal that nobody has said the background of.
fn start(lab: &Lab, answer: &str) -> Terminal {
    let mut terminal = Terminal::start_with(lab, &[], USUAL, &[("MESHAPI_THEME", "")]);
    terminal.answers_background(answer);
    terminal
}

/// The colour of the last sign that stands before a line.
fn sign(screen: &vt100::Screen) -> Option<vt100::Color> {
    let (rows, _) = screen.size();
    let cells = (0..rows).rev().filter_map(|row| screen.cell(row, 0));
    cells.into_iter().find(|cell| cell.contents() == "›").map(vt100::Cell::fgcolor)
}

fn asked(terminal: &Terminal) -> usize {
    String::from_utf8_lossy(terminal.log()).matches("\x1b]11;?").count()
}

#[track_caller]
fn check(answer: &str, want: vt100::Color) {
    let lab = Lab::new(Script::in_order([says("one."), says("two.")]));
    let mut terminal = start(&lab, answer);
    terminal.wait_for_prompt();
    terminal.wait_for_picture("the sign's colour", |screen| sign(screen) == Some(want));
    for (line, reply) in [("hello", "one."), ("again", "two.")] {
        terminal.keys(&format!("{line}\r"));
        terminal.wait_for(reply);
        terminal.wait_for_prompt();
        assert_eq!(sign(terminal.picture()), Some(want), "{answer:?}");
        assert_eq!(lab.requests().last().expect("one").last_text("user"), line, "{answer:?}");
    }
    assert_eq!(asked(&terminal), 1, "{answer:?}");
}

#[test]
fn the_background_decides_the_theme() {
    check("\x1b]11;rgb:ffff/ffff/ffff\x1b\\", LIGHT);
    check("\x1b]11;rgb:fdfd/f6f6/e3e3\x07", LIGHT);
    check("\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\", DARK);
}

#[test]
fn silence_and_nonsense_leave_it_dark() {
    check("", DARK);
    check("\x1b]11;what is this\x07", DARK);
    check("\x1b]11;rgb:zz/1/2\x1b\\", DARK);
    check("\x1b]11;\x1b\\", DARK);
}

#[test]
fn what_is_typed_around_a_late_answer_stays() {
    let lab = Lab::new(Script::in_order([says("one.")]));
    let mut terminal = start(&lab, "");
    terminal.wait_for_prompt();
    terminal.keys("hel");
    terminal.wait_for("› hel");
    terminal.keys("\x1b]11;rgb:ffff/ffff/ffff\x1b\\lo");
    terminal.wait_for("› hello");
    assert_eq!(sign(terminal.picture()), Some(LIGHT));
    terminal.keys("\r");
    terminal.wait_for("one.");
    assert_eq!(lab.requests()[0].last_text("user"), "hello");
}

#[test]
fn an_answer_in_mid_turn_is_no_message() {
    let gate = Gate::new();
    let lab = Lab::new(Script::in_order([waits("wait", &gate, "."), says("two.")]));
    let mut terminal = start(&lab, "");
    terminal.wait_for_prompt();
    terminal.keys("first\r");
    terminal.wait_for("still meshing");
    terminal.keys("ne\x1b]11;rgb:ffff/ffff/ffff\x07xt\r");
    terminal.wait_for("next: next");
    gate.open();
    terminal.wait_for("two.");
    terminal.wait_for_prompt();
    assert_eq!(sign(terminal.picture()), Some(LIGHT));
    assert_eq!(lab.requests()[1].last_text("user"), "next");
}

#[test]
fn who_has_said_it_is_not_asked() {
    for variable in [("MESHAPI_THEME", "light"), ("COLORFGBG", "0;15")] {
        let lab = Lab::new(Script::in_order([says("x")]));
        let more = [("MESHAPI_THEME", ""), variable];
        let mut terminal = Terminal::start_with(&lab, &[], USUAL, &more);
        terminal.wait_for_prompt();
        assert_eq!(sign(terminal.picture()), Some(LIGHT));
        assert_eq!(asked(&terminal), 0);
    }
    for variable in [("NO_COLOR", "1"), ("TERM", "linux")] {
        let lab = Lab::new(Script::in_order([says("x")]));
        let mut terminal = Terminal::start_with(&lab, &[], USUAL, &[("MESHAPI_THEME", ""), variable]);
        terminal.wait_for_prompt();
        assert_eq!(asked(&terminal), 0, "{variable:?}");
    }
}
