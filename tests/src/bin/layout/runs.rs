//! What the program is asked to do while its calls are watched: every way to start it, and what is done often afterwards.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::{self, Write},
    net::TcpStream,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use mesh_client::scripted::{Reply, Script};
use mesh_mailbox::Kind;
use mesh_tests::{
    lab::{Lab, PROGRAM},
    post::Post,
    pty::Terminal,
};

use crate::trace;

/// Runs all; gives the names of the functions that were called, each once, in the order of their first calls.
pub(crate) fn all(program: &Path) -> io::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("called");
    let watched = folder.path().join("watched");
    let own = std::env::current_exe()?;
    let text = format!(
        "#!/bin/sh\nexec '{}' {} '{}' '{}' \"$@\"\n",
        own.display(),
        trace::FLAG,
        list.display(),
        program.display()
    );
    OpenOptions::new().write(true).create_new(true).mode(0o700).open(&watched)?.write_all(text.as_bytes())?;
    // The lab drives what stands here.
    let _ = PROGRAM.set(watched);
    // What is started most often comes first, and then what stays.
    at_once();
    let post = gateway();
    turns();
    peers(&post);
    let called = fs::read_to_string(&list)?;
    let mut seen = HashSet::new();
    Ok(called.lines().filter(|name| seen.insert(*name)).map(str::to_owned).collect())
}

/// What is over as soon as it has begun.
fn at_once() {
    let lab = Lab::new(Script::in_order([Reply::stream().done()]));
    lab.run(&["--version"]);
    lab.run(&["sandbox", "--", "true"]);
}

/// A gateway: its start, and what it is there for.
fn gateway() -> Post {
    let post = Post::start();
    let alice = post.speaking("alice", &post.register("alice"));
    for number in 0..20 {
        post.send(&alice, "alice", Kind::Fyi, None, &format!("message {number}"));
    }
    post.inbox("alice");
    // What watches a gateway asks these.
    for path in ["/health", "/ready", "/metrics"] {
        // What it says is not what it is asked for.
        let _ = ask(&post.url(), path);
    }
    post
}

/// Asks an address of this machine for a page.
fn ask(url: &str, path: &str) -> io::Result<String> {
    let address = url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address)?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    io::read_to_string(socket)
}

/// Turns: one without a terminal, one with a tool, one at the prompt.
fn turns() {
    let says = |text: &str| Reply::stream().text(text).usage(3120, 84).cost("0.0042").done();
    let calls = |name: &str, arguments: &str| {
        Reply::stream().tool_call("call_1", name, arguments, 40).usage(2870, 61).cost("0.0031").done()
    };
    let command = r#"{"command":"echo hello"}"#;
    let script = [says("hello"), calls("run_command", command), says("done"), says("It is **there**.")];
    let lab = Lab::new(Script::in_order(script));
    lab.run(&["-p", "hello"]);
    lab.run(&["--mode", "auto", "-p", "say hello"]);
    let mut terminal = Terminal::start(&lab, &[], (80, 24));
    terminal.wait_for_prompt();
    terminal.keys("where is it?\r");
    terminal.wait_for("there");
    terminal.wait_for_prompt();
    terminal.leave();
    lab.run(&["--help"]);
}

/// A peer of the gateway.
fn peers(post: &Post) {
    let token = post.register("bob");
    let lab = Lab::new(Script::in_order([Reply::stream().done()]));
    for arguments in [&["mail", "send", "--to", "bob", "hello"][..], &["mail", "inbox"]] {
        let mut command = lab.command(arguments);
        command.envs(post.environment("bob", &token));
        // What it says is not what it is run for.
        let _ = command.output();
    }
}
