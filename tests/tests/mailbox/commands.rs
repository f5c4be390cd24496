//! `meshapi mail` and `meshapi gateway` as scripts use them: exit codes, JSON lines, and text that acts on no terminal.

use std::path::Path;
use std::process::{Command, Stdio};

use mesh_tests::lab::binary;
use serde_json::Value;

use crate::program::{Program, TOKEN};

/// What a command printed and how it ended.
struct Ran {
    out: String,
    err: String,
    code: Option<i32>,
}

fn meshapi(home: &Path, url: &str, arguments: &[&str]) -> Ran {
    let output = Command::new(binary())
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("MESH_GATEWAY_URL", url)
        .env("MESH_GATEWAY_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { out: text(output.stdout), err: text(output.stderr), code: output.status.code() }
}

#[test]
fn two_peers_by_commands() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let run = |node: &str, arguments: &[&str]| {
        meshapi(folder.path(), &program.url, &[&["mail", "--node", node], arguments].concat())
    };
    for node in ["alice", "bob"] {
        assert_eq!(run(node, &["register"]).code, Some(0));
    }
    let sent = run("alice", &["send", "--to", "bob", "--kind", "question", "--json", "ready?\u{1b}[2J"]);
    let sent: Value = serde_json::from_str(&sent.out).unwrap();
    assert_eq!((sent["status"].as_str(), sent["id"].as_i64()), (Some("sent"), Some(1)));
    let shown = run("bob", &["inbox", "--unread"]);
    assert!(shown.out.contains("ready?") && !shown.out.contains('\u{1b}'), "{}", shown.out);
    for _ in 0..2 {
        let read = run("bob", &["read", "1"]);
        assert_eq!(read.code, Some(0), "{}", read.err);
        assert!(read.out.contains("ready?"));
    }
    assert_eq!(run("bob", &["inbox", "--unread", "--json"]).out, "");
    assert_eq!(run("bob", &["wait", "--for", "0.1"]).code, Some(1));
    let refused = run("alice", &["send", "--to", "boby", "x"]);
    assert_eq!((refused.code, refused.err.contains("did you mean bob?")), (Some(1), true));
    let secret = run("alice", &["send", "--to", "bob", "--skip-secret-check", &format!("take {TOKEN}")]);
    // The token in use is alice's own by now: the gateway guards its operator's.
    assert_eq!((secret.code, secret.out.contains(TOKEN)), (Some(1), false), "{}", secret.err);
    assert_eq!(run("alice", &["inbox", "--of", "bob"]).code, Some(1));
    assert_eq!(run("alice", &["outbox"]).out, "the outbox is empty\n");
    let database = folder.path().join("mesh.db");
    let care = |arguments: &[&str]| {
        let database = database.to_str().unwrap();
        meshapi(folder.path(), &program.url, &[&["gateway", "--db", database], arguments].concat())
    };
    assert_eq!(care(&["check"]).out, "the database is sound\n");
    assert_eq!(care(&["peers", "--json"]).code, Some(0));
    assert_eq!(care(&["peers", "revoke", "bob"]).out, "bob: its token is revoked\n");
    assert_eq!(run("bob", &["inbox"]).code, Some(1));
    assert_eq!(care(&["serve", "--listen", "127.0.0.1:0"]).code, Some(1));
}

#[test]
fn what_cannot_be_sent_waits() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    for node in ["alice", "bob"] {
        meshapi(folder.path(), &program.url, &["mail", "--node", node, "register"]);
    }
    let url = program.url.clone();
    program.kill();
    let run = |arguments: &[&str]| {
        meshapi(folder.path(), &url, &[&["mail", "--node", "alice"], arguments].concat())
    };
    let queued = run(&["send", "--to", "bob", "later"]);
    assert_eq!((queued.code, queued.out.starts_with("queued ")), (Some(75), true), "{}", queued.out);
    assert_eq!(run(&["send", "--to", "bob", "--no-queue", "now or never"]).code, Some(1));
    let row: Value = serde_json::from_str(&run(&["outbox", "--json"]).out).unwrap();
    assert_eq!((row["status"].as_str(), row["content"].as_str()), (Some("waiting"), Some("later")));
    assert_eq!(run(&["outbox", "retry"]).code, Some(75));
    let key = row["key"].as_str().unwrap();
    assert_eq!(run(&["outbox", "drop", &key[..20]]).out, format!("dropped {key}\n"));
    assert_eq!(run(&["outbox"]).out, "the outbox is empty\n");
    let nowhere = meshapi(folder.path(), "", &["mail", "--node", "alice", "inbox"]);
    assert_eq!((nowhere.code, nowhere.err.contains("http://lab-ovh:8788")), (Some(2), true));
}
