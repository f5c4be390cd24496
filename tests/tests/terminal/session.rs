//! The edges of a session: the key, secrets, signals, and terminals that only print.

use mesh_client::scripted::{Gate, Reply, Script};
use mesh_tests::{lab::Lab, pty::Terminal};
use serde_json::json;

use crate::{USUAL, answers, at_prompt, calls, says, serve, waits};

#[test]
fn a_first_run_asks_for_a_key_and_tries_it() {
    let models = |request: &mesh_client::scripted::ScriptedRequest| match request.header("authorization") {
        "Bearer rsk_right" => Reply::json(json!({"data": [{"id": "a/b"}]})),
        _ => Reply::error(401, "unauthorized", "no such key"),
    };
    let lab = Lab::new(Script::in_order([says("hello")]).route("/models", models));
    let mut terminal = Terminal::start_with(&lab, &[], USUAL, &[("MESHAPI_API_KEY", "")]);
    terminal.wait_for("API key (");
    terminal.keys("rsk_wrong\r");
    terminal.wait_for("no such key");
    terminal.wait_until("the second question", |screen| screen.matches("API key (").count() == 2);
    terminal.keys("rsk_right\r");
    terminal.wait_for_prompt();
    assert!(!terminal.screen().contains("rsk_"), "{}", terminal.screen());
    let stored = std::fs::read_to_string(lab.home().join(".meshapi/credentials")).unwrap();
    assert_eq!(stored, "rsk_right\n");
    terminal.keys("go\r");
    terminal.wait_for("tok");
    let requests = lab.requests();
    assert_eq!(requests.last().unwrap().header("authorization"), "Bearer rsk_right");
}

#[test]
fn no_key_is_no_session() {
    let lab = Lab::new(Script::in_order([says("x")]));
    let mut terminal = Terminal::start_with(&lab, &[], USUAL, &[("MESHAPI_API_KEY", "")]);
    terminal.wait_for("API key (");
    terminal.keys("\x03");
    terminal.wait_for("no API key found");
    assert_eq!(terminal.wait_for_end(), 1);
}

#[test]
fn a_prompt_with_a_key_asks_first() {
    let lab = Lab::new(Script::in_order([says("thanks")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("use rsk_abcdefghijk\r");
    terminal.wait_for("(do not send) ›");
    terminal.keys("n");
    terminal.wait_until("the prompt again", |screen| screen.matches("› use rsk").count() == 2);
    assert!(lab.requests().is_empty());
    terminal.keys("\r");
    terminal.wait_until("a second question", |screen| screen.matches("(do not send) ›").count() == 2);
    terminal.keys("r");
    terminal.wait_for("tok");
    let sent = lab.requests()[0].last_text("user").to_owned();
    assert_eq!(sent, "use [REDACTED:key]");
}

#[test]
fn a_signal_ends_a_turn_and_gives_the_terminal_back() {
    for name in ["TERM", "HUP"] {
        let gate = Gate::new();
        let lab = Lab::new(Script::in_order([waits("wait", &gate, ".")]));
        let mut terminal = at_prompt(&lab, &[], USUAL);
        terminal.keys("first\r");
        terminal.wait_for("still meshing");
        terminal.signal(name);
        assert_ne!(terminal.wait_for_end(), 0, "{name}");
        let log = String::from_utf8_lossy(terminal.log()).into_owned();
        let last = |on: &str, off: &str| log.rfind(on) < log.rfind(off);
        assert!(last("\x1b[?2004h", "\x1b[?2004l"), "{name}: pastes are still marked");
        assert!(!log.contains("\x1b[?25l") || last("\x1b[?25l", "\x1b[?25h"), "{name}: no cursor");
        assert!(log.contains("aborted by user"), "{name}");
    }
}

#[test]
fn a_signal_at_the_prompt_ends_the_servers() {
    let Some((serve, port)) = serve() else { return };
    let lab = Lab::new(Script::in_order([serve, says("it serves")]));
    let mut terminal = at_prompt(&lab, &["--mode", "bypass"], USUAL);
    terminal.keys("serve\r");
    terminal.wait_for("it serves");
    terminal.wait_for("serving http");
    let records = lab.home().join(".meshapi/servers.json");
    assert!(records.exists());
    terminal.signal("TERM");
    assert_ne!(terminal.wait_for_end(), 0);
    assert!(!records.exists());
    assert!(!answers(port));
}

#[test]
fn a_plain_session_only_prints() {
    let script =
        || Script::in_order([calls("run_bash", r#"{"command": "echo from the tool"}"#), says("plain words")]);
    for (arguments, term) in [(&["--plain"][..], "xterm-256color"), (&[], "dumb")] {
        let lab = Lab::new(script());
        let mut terminal = Terminal::start_with(&lab, arguments, USUAL, &[("TERM", term)]);
        terminal.wait_for("›");
        terminal.keys("go\n");
        terminal.wait_for("y (yes)");
        terminal.keys("y\n");
        terminal.wait_for("from the tool");
        terminal.wait_for("plain words");
        terminal.wait_for("tok");
        terminal.keys("/exit\n");
        assert_eq!(terminal.wait_for_end(), 0);
        let log = String::from_utf8_lossy(terminal.log()).into_owned();
        assert!(!log.contains('\x1b'), "{log:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_level_of_the_sandbox_is_shown() {
    let lab = Lab::new(Script::in_order([says("ok")]));
    let mut terminal = at_prompt(&lab, &["--mode", "auto"], USUAL);
    terminal.keys("/status\r");
    terminal.wait_for("sandbox  full, network: none");
    terminal.wait_for("auto mode on · sandbox full");
    let gateway = regex::Regex::new(r"127\.0\.0\.1:\d+").expect("a pattern");
    let version = regex::Regex::new(r"(version +)\S+").expect("a pattern");
    let screen = crate::redacted(&lab, terminal.whole().trim_end());
    let screen = version.replace(&screen, "${1}VERSION");
    insta::assert_snapshot!("status", gateway.replace(&screen, "HOST:PORT"));
    let open = at_prompt(&lab, &["--no-sandbox"], USUAL);
    assert!(open.screen().contains("default mode · no sandbox"), "{}", open.screen());
}
