//! Servers through the `start_server` tool. The server is this test binary, started with a port to listen on.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod processes;

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use mesh_agent::{
    builtin::{FIRST_AUTO_PORT, ServerRecord, Servers, StartServer, port_in_command},
    tool::{Tool, ToolOutput},
};
use processes::{args, context, dies, free_port, pid_in, runs, server, until};
use serde_json::{Value, json};

fn says_hello(port: u16) -> bool {
    let mut answer = String::new();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok_and(|mut stream| {
        stream.write_all(b"hi").unwrap();
        stream.read_to_string(&mut answer).is_ok() && answer == "hello"
    })
}

async fn start(servers: &Servers, folder: &Path, arguments: Value) -> ToolOutput {
    StartServer::new(servers.clone()).run(&args(arguments), &context(folder)).await
}

fn records(folder: &Path) -> Vec<ServerRecord> {
    std::fs::read(folder.join("servers.json"))
        .map(|bytes| serde_json::from_slice(&bytes).unwrap())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_server_runs_until_all_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::new(Some(folder.path().into()));
    let command = format!("echo $$ > pid; {}", server());
    let output = start(&servers, folder.path(), json!({"command": command})).await;
    let running = servers.list();
    let [one] = running.as_slice() else { panic!("{output:?}") };
    let told = output.text.contains(&one.url) && output.text.contains("end the turn");
    assert!(!output.is_error && told, "{}", output.text);
    assert!((5173..5273).contains(&one.port) && says_hello(one.port));
    assert_eq!(one.url, format!("http://localhost:{}", one.port));
    assert_eq!(one.pid, pid_in(&folder.path().join("pid")));
    assert!(one.preview.iter().any(|line| line.ends_with("BROWSER is Some(\"none\")")), "{:?}", one.preview);
    assert_eq!(servers.output(one.pid, 1_000).unwrap(), one.preview);

    let [record] = &records(folder.path())[..] else { panic!("one record") };
    assert_eq!((record.pid, record.port), (one.pid, Some(one.port)));
    assert_eq!((record.cmd.as_ref(), record.url.as_ref()), (Some(&command), Some(&one.url)));
    assert_eq!(servers.previous_survivors(), [], "it is this run's own");

    assert_eq!(servers.kill_all().await, 1);
    dies(one.pid);
    assert!(!says_hello(one.port));
    assert!(servers.list().is_empty() && !folder.path().join("servers.json").exists());
}

#[tokio::test]
async fn dropping_the_servers_kills_them() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::new(Some(folder.path().into()));
    let port = free_port();
    start(&servers, folder.path(), json!({"command": server(), "port": port})).await;
    let pid = servers.list()[0].pid;
    assert!(says_hello(port));
    drop(servers);
    dies(pid);
    assert!(!folder.path().join("servers.json").exists());
}

#[tokio::test]
async fn a_server_that_exits_early_shows_why() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let command = "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; echo more; echo and more; echo and; done; \
                   echo no config >&2; exit 3";
    let output = start(&Servers::default(), folder.path(), json!({"command": command, "port": port})).await;
    assert_eq!((output.is_error, output.exit_code), (true, Some(3)));
    let head = format!("Error: server exited with code 3 before it answered on port {port}.");
    assert!(output.text.starts_with(&head), "{}", output.text);
    assert!(output.text.ends_with("and\nno config") && !output.text.contains("line 2\n"), "{}", output.text);

    let output = start(&Servers::default(), folder.path(), json!({"command": "exit 1", "port": port})).await;
    assert!(output.text.ends_with("(no output)"), "{}", output.text);
}

#[tokio::test]
async fn a_server_that_never_answers_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::default();
    let port = free_port();
    let command = "echo $$ > pid; echo still thinking; sleep 300 & sleep 300";
    let output =
        start(&servers, folder.path(), json!({"command": command, "port": port, "wait_seconds": 1})).await;
    let head = format!("Error: timed out after 1s: nothing answered on port {port}");
    assert!(output.is_error && output.text.starts_with(&head), "{}", output.text);
    assert!(output.text.contains("killed") && output.text.ends_with("still thinking"), "{}", output.text);
    dies(pid_in(&folder.path().join("pid")));
    assert!(servers.list().is_empty());
}

#[tokio::test]
async fn the_port_that_the_server_chose_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::default();
    let (wanted, chosen) = (free_port(), free_port());
    let command = format!("LISTEN_ON={chosen} {}", server());
    let output = start(&servers, folder.path(), json!({"command": command, "port": wanted})).await;
    assert!(!output.is_error, "{}", output.text);
    assert!(output.text.contains(&format!("chose port {chosen} instead of {wanted}")), "{}", output.text);
    assert_eq!(servers.list()[0].port, chosen);
    servers.kill_all().await;
}

#[tokio::test]
async fn a_port_in_the_command_wins_over_the_argument() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::default();
    let (named, asked) = (free_port(), free_port());
    let command = format!("set -- --port {named}; {}", server());
    let output = start(&servers, folder.path(), json!({"command": command, "port": asked})).await;
    assert!(!output.is_error, "{}", output.text);
    assert_eq!(servers.list()[0].port, named, "PORT was the command's");
    servers.kill_all().await;
}

#[tokio::test]
async fn a_busy_port_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let output =
        start(&Servers::default(), folder.path(), json!({"command": "touch started", "port": port})).await;
    assert!(output.is_error && output.text.contains("in use by another program"), "{}", output.text);
    assert!(!folder.path().join("started").exists());
}

#[tokio::test]
async fn a_port_of_our_own_server_is_said_to_be_ours() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::default();
    let port = free_port();
    start(&servers, folder.path(), json!({"command": server(), "port": port})).await;
    let output = start(&servers, folder.path(), json!({"command": "other", "port": port})).await;
    assert!(output.is_error && output.text.contains("That is YOUR server"), "{}", output.text);
    let output = start(&servers, folder.path(), json!({"command": server(), "port": port})).await;
    assert!(!output.is_error && output.text.contains("That is YOUR server"), "{}", output.text);
    assert!(says_hello(port) && servers.list().len() == 1);
    servers.kill_all().await;
}

#[tokio::test]
async fn a_daemon_that_the_command_leaves_is_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::default();
    let port = free_port();
    let command = format!("{{ sleep 0.5; echo $$ >/dev/null; exec {}; }} >/dev/null 2>&1 &", server());
    let output = start(&servers, folder.path(), json!({"command": command, "port": port})).await;
    assert!(!output.is_error, "{}", output.text);
    let pid = servers.list()[0].pid;
    assert!(runs(pid) && says_hello(port));
    servers.kill_all().await;
    dies(pid);
}

#[tokio::test]
async fn a_daemon_that_left_the_tree_is_found_by_its_port() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::default();
    let command = format!("(setsid sh -c 'echo $$ > daemon; exec {}' >/dev/null 2>&1 &)", server());
    let output = start(&servers, folder.path(), json!({"command": command, "port": free_port()})).await;
    assert!(!output.is_error, "{}", output.text);
    let pid = pid_in(&folder.path().join("daemon"));
    assert_eq!(servers.list()[0].pid, pid);
    servers.kill_all().await;
    dies(pid);
}

#[tokio::test]
async fn dropping_the_call_kills_a_half_started_server() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::default();
    let tool = StartServer::new(servers.clone());
    let arguments = args(json!({"command": "echo $$ > pid; sleep 300", "port": free_port()}));
    let ctx = context(folder.path());
    let file = folder.path().join("pid");
    {
        let mut starting = tool.run(&arguments, &ctx);
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
            assert!(tokio::time::timeout(Duration::from_millis(5), &mut starting).await.is_err());
        }
    }
    dies(pid_in(&file));
    assert!(servers.list().is_empty());
}

#[tokio::test]
async fn a_server_that_ended_by_itself_is_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Servers::new(Some(folder.path().into()));
    let port = free_port();
    start(&servers, folder.path(), json!({"command": server(), "port": port})).await;
    let pid = servers.list()[0].pid;
    std::process::Command::new("kill").args(["-9", "--", &format!("-{pid}")]).status().unwrap();
    dies(pid);
    until("pruned", || servers.list().is_empty());
    assert!(!folder.path().join("servers.json").exists());
}

fn record(pid: i32, cmd: &str, started: Option<u64>) -> ServerRecord {
    let url = Some("http://localhost:5173".into());
    let cmd = Some(cmd.into());
    ServerRecord { pid, port: Some(5173), cmd, url, started, owner: None, owner_started: None }
}

fn started_at(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
}

/// A process in a session of its own, as an earlier run would have left it.
fn left_behind(folder: &Path) -> i32 {
    let script = "setsid sh -c 'echo $$ > left; exec sleep 300' >/dev/null 2>&1 &";
    std::process::Command::new("sh").args(["-c", script]).current_dir(folder).status().unwrap();
    let pid = pid_in(&folder.join("left"));
    until("the program", || {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    pid
}

#[tokio::test]
async fn survivors_are_the_same_processes_and_not_others_with_their_pids() {
    let folder = tempfile::tempdir().unwrap();
    let pid = left_behind(folder.path());
    let started = started_at(pid);
    let file = folder.path().join("servers.json");
    let owned = ServerRecord {
        owner: i32::try_from(std::process::id()).ok(),
        owner_started: Some(started_at(std::process::id().try_into().unwrap()) + 1),
        ..record(pid, "owner's pid was used again", Some(started))
    };
    let rows = [
        record(pid, "npm run dev", Some(started)),
        record(pid, "pid used again", Some(started + 1)),
        record(pid, "sleep 300", None),
        record(pid, "npm run dev", None),
        owned.clone(),
        record(i32::MAX, "long gone", Some(1)),
    ];
    std::fs::write(&file, serde_json::to_vec(&rows).unwrap()).unwrap();
    let servers = Servers::new(Some(folder.path().into()));
    let survivors = servers.previous_survivors();
    assert_eq!(survivors, [rows[0].clone(), rows[2].clone(), owned]);
    assert_eq!(records(folder.path()), survivors, "the others are forgotten");

    servers.forget_survivors(&survivors[..1]);
    assert_eq!(servers.previous_survivors(), survivors[1..]);
    assert!(runs(pid));
    assert_eq!(servers.kill_survivors(&survivors[1..2]).await, 1);
    dies(pid);
    assert_eq!(servers.previous_survivors(), []);
    assert!(!file.exists());
}

#[tokio::test]
async fn an_adopted_server_is_ours_again() {
    let folder = tempfile::tempdir().unwrap();
    let pid = left_behind(folder.path());
    let row = ServerRecord { port: Some(5199), ..record(pid, "npm run dev", Some(started_at(pid))) };
    let stranger = record(pid, "pid used again", Some(started_at(pid) + 1));
    std::fs::write(folder.path().join("servers.json"), serde_json::to_vec(&[&row]).unwrap()).unwrap();
    let servers = Servers::new(Some(folder.path().into()));
    assert_eq!(servers.adopt(&[row, stranger]), 1);
    let listed = servers.list();
    assert_eq!((listed.len(), listed[0].pid, listed[0].port), (1, pid, 5199));
    assert_eq!(servers.previous_survivors(), [], "it is this run's own");
    assert_eq!(records(folder.path())[0].owner, i32::try_from(std::process::id()).ok());
    assert!(servers.kill(pid).await && !servers.kill(pid).await);
    dies(pid);
    assert!(servers.list().is_empty() && !folder.path().join("servers.json").exists());
}

#[tokio::test]
async fn rows_of_another_run_that_goes_on_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut owner = std::process::Command::new("sleep").arg("300").spawn().unwrap();
    let pid = left_behind(folder.path());
    let owner_pid = owner.id().try_into().unwrap();
    let row = ServerRecord {
        owner: Some(owner_pid),
        owner_started: Some(started_at(owner_pid)),
        ..record(pid, "theirs", Some(started_at(pid)))
    };
    std::fs::write(folder.path().join("servers.json"), serde_json::to_vec(&[&row]).unwrap()).unwrap();
    let servers = Servers::new(Some(folder.path().into()));
    assert_eq!(servers.previous_survivors(), []);
    start(&servers, folder.path(), json!({"command": server(), "port": free_port()})).await;
    assert_eq!(records(folder.path()).len(), 2);
    servers.kill_all().await;
    assert_eq!(records(folder.path()), std::slice::from_ref(&row));
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert_eq!(servers.previous_survivors(), std::slice::from_ref(&row), "its run is over");
    assert_eq!(servers.kill_survivors(&[row]).await, 1);
    dies(pid);
}

#[tokio::test]
async fn bad_arguments_are_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, why) in [
        (json!({}), "requires a `command`"),
        (json!({"command": "  "}), "requires a `command`"),
        (json!({"command": "touch started", "port": 0}), "1 to 65535"),
        (json!({"command": "touch started", "port": 65536}), "1 to 65535"),
        (json!({"command": "touch started", "port": -1}), "1 to 65535"),
        (json!({"command": "touch started", "port": "high"}), "1 to 65535"),
        (json!({"command": "touch started", "port": true}), "1 to 65535"),
        (json!({"command": "touch started", "cwd": "nowhere"}), "nowhere"),
        (json!({"command": "touch started", "cwd": "~/nowhere"}), "nowhere"),
    ] {
        let output = start(&Servers::default(), folder.path(), arguments.clone()).await;
        assert!(output.is_error && output.text.contains(why), "{arguments}: {}", output.text);
    }
    assert!(!folder.path().join("started").exists());
}

#[test]
fn summaries_and_actions_say_what_will_run() {
    let tool = StartServer::new(Servers::default());
    let summary = |value| tool.summary(&args(value));
    assert_eq!(summary(json!({"command": "npm start"})), "start_server: npm start (auto-port)");
    assert_eq!(summary(json!({"command": "npm start", "port": 3000})), "start_server: npm start (port 3000)");
    let long = "é".repeat(100);
    assert_eq!(summary(json!({"command": format!("{long}x")})), format!("start_server: {long}… (auto-port)"));
    let action = tool.action(&args(json!({"command": "npm start"})), &context(Path::new("/")));
    assert_eq!(format!("{action:?}"), r#"Serve { command: "npm start" }"#);
}

#[test]
fn recorded_commands_name_the_ports_that_were_recorded() {
    for line in include_str!("fixtures/server_port.jsonl").lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let got = port_in_command(record["command"].as_str().unwrap(), FIRST_AUTO_PORT);
        let got = json!({"port": got.port, "command": got.command, "appended": got.appended});
        assert_eq!(got, record["want"], "{line}");
    }
}
