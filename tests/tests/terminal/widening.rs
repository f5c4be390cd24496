//! A command that the sandbox kept from something: the rule, the offer, and what each answer does.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Command,
};

use mesh_client::scripted::{Reply, Script};
use mesh_tests::{lab::Lab, pty::Terminal};

use crate::{SMALL, USUAL, at_prompt, calls, says, screen};

/// A lab in which a command reads a file that is neither the project's nor the system's.
fn lab(replies: impl FnOnce(&dyn Fn() -> Reply) -> Vec<Reply>) -> Lab {
    let read = || calls("run_bash", r#"{"command":"sh read.sh"}"#);
    let lab = Lab::new(Script::in_order(replies(&read)));
    let data = lab
        .work()
        .canonicalize()
        .expect("a place in the lab")
        .parent()
        .expect("it lies in a lab")
        .join("data");
    std::fs::create_dir(&data).expect("a place in the lab");
    std::fs::write(data.join("set.csv"), "one,two\n").expect("a place in the lab");
    std::fs::write(lab.work().join("read.sh"), format!("cat {}/set.csv", data.display()))
        .expect("a place in the lab");
    lab
}

/// At the offer, in auto mode.
fn offered(lab: &Lab, size: (u16, u16)) -> Terminal {
    let mut terminal = at_prompt(lab, &["--mode", "auto"], size);
    terminal.keys("read\r");
    terminal.wait_for(if size == SMALL { "o / s / n" } else { "o (once)" });
    terminal
}

/// What the model was told of the last call in this request.
fn told(lab: &Lab, request: usize) -> String {
    lab.requests()[request].last_text("tool").to_owned()
}

#[test]
fn once_is_for_one_command() {
    let lab = lab(|read| vec![read(), read(), says("Read.")]);
    let mut terminal = offered(&lab, USUAL);
    terminal.keys("o");
    terminal.wait_until("the second offer", |screen| screen.matches("run it again").count() == 2);
    let first = told(&lab, 1);
    assert!(first.contains("for this call; the command ran again]\none,two"), "{first}");
    screen!("widened-once", lab, terminal);
    terminal.keys("\x1b");
    terminal.wait_for("Read.");
    terminal.wait_for_prompt();
    let second = told(&lab, 2);
    assert!(!second.contains("one,two") && second.contains("commands see the system"), "{second}");
}

#[test]
fn the_session_is_for_all_that_follow_and_no_is_not_asked_again() {
    let all = lab(|read| vec![read(), read(), says("Read.")]);
    let mut terminal = offered(&all, USUAL);
    terminal.keys("s");
    terminal.wait_for("Read.");
    terminal.wait_for_prompt();
    assert!(told(&all, 2).starts_with("one,two"), "{}", told(&all, 2));
    terminal.keys("/status\r");
    terminal.wait_for("allowed for this session: reading");

    let none = lab(|read| vec![read(), read(), says("Not read.")]);
    let mut terminal = offered(&none, SMALL);
    terminal.keys("\x1b");
    terminal.wait_for("Not read.");
    terminal.wait_for_prompt();
    assert!(!told(&none, 1).contains("one,two") && !told(&none, 2).contains("one,two"));
}

#[test]
fn keys_and_settings_are_never_offered() {
    let lab =
        Lab::new(Script::in_order([calls("run_bash", r#"{"command":"sh read.sh"}"#), says("Then not.")]));
    let home = lab.home().canonicalize().unwrap();
    std::fs::create_dir(home.join(".ssh")).unwrap();
    std::fs::write(home.join(".ssh/id_ed25519"), "TOPSECRET").unwrap();
    let script = format!("cat {0}/.ssh/id_ed25519; echo x >.envrc; touch {0}/.config/x", home.display());
    std::fs::write(lab.work().join("read.sh"), script).unwrap();
    let mut terminal = at_prompt(&lab, &["--mode", "auto"], USUAL);
    terminal.keys("read\r");
    terminal.wait_for("Then not.");
    terminal.wait_for_prompt();
    let screen = terminal.whole();
    assert!(screen.contains("commands see no keys") && screen.contains("are read-only for"), "{screen}");
    assert!(!screen.contains("run it again") && !told(&lab, 1).contains("TOPSECRET"), "{screen}");
}

/// Set where the machine's network is one of a test's own.
const OWN_NETWORK: &str = "MESH_TESTS_OWN_NETWORK";

/// An address of the public internet, which a network of our own has on its loopback.
const PUBLIC: &str = "93.184.216.34";

#[test]
fn a_host_for_the_session_is_reached_through_the_proxy() {
    if std::env::var_os(OWN_NETWORK).is_some() {
        return a_host_is_widened();
    }
    let name = "widening::a_host_for_the_session_is_reached_through_the_proxy";
    let script = format!("ip link set lo up; ip addr add {PUBLIC}/32 dev lo; exec \"$@\"");
    let mut again = Command::new("unshare");
    again.args(["-rn", "sh", "-ec", &script, "sh"]).arg(std::env::current_exe().unwrap());
    let output = again.args(["--exact", name, "--nocapture"]).env(OWN_NETWORK, "1").output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The journey itself, where nothing but ourselves can be reached.
fn a_host_is_widened() {
    let listener = TcpListener::bind((PUBLIC, 0)).expect("the address is ours");
    let host = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfrom the host");
        }
    });
    let ask = || calls("run_bash", r#"{"command":"perl ask.pl"}"#);
    let lab = Lab::new(Script::in_order([ask(), ask(), says("Asked twice.")]));
    let program = format!(
        "use IO::Socket::INET; ($p) = $ENV{{http_proxy}} =~ m{{//(.*)}}; $c = IO::Socket::INET->new($p) or die;\n\
         print $c \"GET http://{host}/ HTTP/1.1\\r\\n\\r\\n\"; $_ = join '', <$c>; print; exit !/from the host/;\n"
    );
    std::fs::write(lab.work().join("ask.pl"), program).expect("a place in the lab");
    let mut terminal = at_prompt(&lab, &["--mode", "auto"], USUAL);
    terminal.keys("ask\r");
    terminal.wait_for("o (once)");
    terminal.keys("s");
    terminal.wait_for("Asked twice.");
    terminal.wait_for_prompt();
    // It ran again with the host, and the next one has it without a question.
    let (first, second) = (told(&lab, 1), told(&lab, 2));
    assert!(first.contains("from the host"), "{first}");
    assert!(second.contains("from the host") && second.ends_with("[exit 0]"), "{second}");
    terminal.keys("/status\r");
    terminal.wait_for(&format!("allowed for this session: {host}"));
}
