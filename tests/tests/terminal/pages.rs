//! Pages that the model wants to read: what a person is asked, what a rule does, and how it is stopped.

use mesh_client::scripted::{Reply, Script};
use mesh_tests::lab::Lab;
use serde_json::json;

use crate::{USUAL, WIDE, at_prompt, calls, says, screen};

fn fetches(url: &str) -> Reply {
    calls("read_file", &json!({"path": url}).to_string())
}

#[test]
fn the_whole_address_is_shown_and_a_rule_for_its_host_is_offered() {
    let long = format!("https://docs.ex\u{e4}mple/{}end?a=b", "path/".repeat(40));
    for (name, size) in [("page-asked-80", USUAL), ("page-asked-120", WIDE)] {
        let lab = Lab::new(Script::in_order([fetches(&long), says("Then not.")]));
        let mut terminal = at_prompt(&lab, &[], size);
        terminal.keys("read\r");
        terminal.wait_for("p (this project)");
        screen!(name, lab, terminal);
        terminal.keys("n");
        terminal.wait_for("Then not.");
        terminal.wait_for_prompt();
        terminal.keys("/why\r");
        terminal.wait_for("this mode asks before pages of the web are read");
        terminal.wait_for_prompt();
    }
}

#[test]
fn a_rule_lets_a_page_be_read_and_escape_stops_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback socket");
    let url = format!("http://127.0.0.1:{}/slow", listener.local_addr().expect("its address").port());
    let lab = Lab::new(Script::in_order([fetches(&url), says("Stopped.")]));
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("/permissions add allow host 127.0.0.1\r");
    terminal.wait_for("allow `host 127.0.0.1` in this project");
    terminal.wait_for_prompt();
    terminal.keys("read\r");
    // It is under way: nobody was asked.
    let held = listener.accept().expect("a request");
    terminal.wait_for("read_file: http://127.0.0.1");
    terminal.keys("\x1b");
    terminal.wait_for("the user stopped it");
    terminal.wait_for_prompt();
    drop(held);
}

#[test]
fn who_always_allows_files_has_not_allowed_pages() {
    let file = calls("read_file", &json!({"path": "notes.txt"}).to_string());
    let lab =
        Lab::new(Script::in_order([file.clone(), file, fetches("https://docs.example/"), says("Then not.")]));
    std::fs::write(lab.work().join("notes.txt"), "a line\n").expect("a file");
    let mut terminal = at_prompt(&lab, &[], USUAL);
    terminal.keys("read\r");
    terminal.wait_for("a (always read_file this session)");
    terminal.keys("a");
    // The second read was not asked about; the page is.
    terminal.wait_for("a (always reading the web this session)");
    terminal.keys("n");
    terminal.wait_for("Then not.");
}
