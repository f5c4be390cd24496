//! What the tests of tools that start processes share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use mesh_agent::tool::{Args, ChildEnv, ToolContext};
use serde_json::Value;

/// Longest wait for something that has to happen. Only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn context(cwd: &Path) -> ToolContext {
    ToolContext {
        cwd: cwd.to_owned(),
        home: Some(cwd.to_owned()),
        env: Arc::new(ChildEnv::default()),
        line: Default::default(),
        sandbox: None,
        grants: Vec::new(),
        sighting: None,
    }
}

pub(crate) fn args(value: Value) -> Args {
    match value {
        Value::Object(args) => args,
        other => panic!("arguments are an object, not {other}"),
    }
}

/// Whether a process runs; one that has ended and waits for its parent does not.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[track_caller]
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
pub(crate) fn dies(pid: i32) {
    until(&format!("end of process {pid}"), || !runs(pid));
}

/// The pid that a process wrote into a file, once it has.
#[track_caller]
pub(crate) fn pid_in(file: &Path) -> i32 {
    let mut pid = None;
    until(&format!("a pid in {}", file.display()), || {
        let text = fs::read_to_string(file).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| text.trim().parse().ok());
        pid.is_some()
    });
    pid.unwrap()
}

/// What the servers of these tests are: this binary, running the one test below.
#[test]
#[ignore = "the server that the other tests start"]
fn serve() {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(port) = variable("LISTEN_ON").or_else(|| variable("PORT")) else { return };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse::<u16>().unwrap())).unwrap();
    println!("listening, BROWSER is {:?}", variable("BROWSER"));
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        let mut request = [0; 1024];
        if stream.read(&mut request).is_ok_and(|count| count > 0) {
            let _ = stream.write_all(b"hello");
        }
    }
}

/// A command that serves on `PORT`, or on what `LISTEN_ON` in front of it says.
pub(crate) fn server() -> String {
    format!("{} processes::serve --exact --ignored --nocapture", std::env::current_exe().unwrap().display())
}

/// A port that is free now, below the range from which kernels take ports for connections: no other test is given it by
/// chance.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 1000).unwrap() * 20;
    (0..20_000)
        .map(|_| 11_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap()
}
