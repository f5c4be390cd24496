//! Daemons that leave their tree altogether. A binary of its own: taking in orphans holds for the whole process.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod processes;

use std::path::Path;

use mesh_agent::{
    adopt_orphans,
    builtin::{RunBash, Servers, StartServer},
    tool::{Tool, ToolOutput},
};
use processes::{args, context, dies, free_port, pid_in, runs, server};
use serde_json::json;

/// Leaves session, group, family and pipes.
const DAEMON: &str = "(setsid sh -c 'echo $$ > daemon; exec sleep 300' >/dev/null 2>&1 &); while ! [ -s daemon ]; do sleep 0.01; done";

async fn sh_in(folder: &Path, command: &str) -> ToolOutput {
    RunBash::new().run(&args(json!({"command": command})), &context(folder)).await
}

#[tokio::test]
async fn a_daemon_ends_with_its_command() {
    assert!(adopt_orphans());
    let folder = tempfile::tempdir().unwrap();
    let output = sh_in(folder.path(), DAEMON).await;
    assert!(output.text.ends_with("[exit 0]"), "{}", output.text);
    dies(pid_in(&folder.path().join("daemon")));
}

#[tokio::test]
async fn a_daemon_is_left_alone_while_another_command_may_have_started_it() {
    assert!(adopt_orphans());
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ctx = context(two.path());
    let waits = args(json!({"command": "while ! [ -e enough ]; do sleep 0.01; done"}));
    let tool = RunBash::new();
    let other = tool.run(&waits, &ctx);
    let daemon = async {
        // The first to be polled is started first: `other` is open when the daemon appears.
        sh_in(one.path(), DAEMON).await;
        let pid = pid_in(&one.path().join("daemon"));
        let left_alone = runs(pid);
        std::fs::write(two.path().join("enough"), "").unwrap();
        (pid, left_alone)
    };
    let (_, (pid, left_alone)) = tokio::join!(other, daemon);
    assert!(left_alone);
    dies(pid);
}

#[tokio::test]
async fn ordinary_children_of_this_process_are_left_alone() {
    assert!(adopt_orphans());
    let mut child = std::process::Command::new("sleep").arg("300").spawn().unwrap();
    let folder = tempfile::tempdir().unwrap();
    sh_in(folder.path(), DAEMON).await;
    assert!(child.try_wait().unwrap().is_none(), "still runs");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_daemon_that_serves_outlives_later_commands_and_ends_with_the_servers() {
    assert!(adopt_orphans());
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::default();
    let command =
        format!("(setsid sh -c 'echo $$ > daemon; sleep 0.5; exec {}' >/dev/null 2>&1 &)", server());
    let arguments = args(json!({"command": command, "port": free_port()}));
    let output = StartServer::new(servers.clone()).run(&arguments, &context(folder.path())).await;
    assert!(!output.is_error, "{}", output.text);
    let pid = pid_in(&folder.path().join("daemon"));
    assert_eq!(servers.list()[0].pid, pid);
    sh_in(folder.path(), "true").await;
    sh_in(folder.path(), "sleep 300 & true").await;
    assert!(runs(pid));
    servers.kill_all().await;
    dies(pid);
}
