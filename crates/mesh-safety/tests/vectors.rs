//! The recorded permissions vectors, each with the verdict that it must have. See `fixtures/README.md`.
#![cfg(all(feature = "fs", unix))]
#![expect(clippy::unwrap_used, reason = "a test that cannot lay out its files has failed")]

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use mesh_safety::{Decision, PermissionMode, Policy, judge_command, judge_read, judge_url, judge_write};
use serde_json::Value;

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap()
}

/// Collects what differs, so that one run shows all of it.
fn check(rows: &[Value], judge: impl Fn(&Value) -> Decision) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let decision = judge(row);
            let got = if decision.is_allow() { "allow" } else { "ask" };
            (got != text(row, "want")).then(|| format!("{row}\n    {decision:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn mode(row: &Value) -> PermissionMode {
    text(row, "mode").parse().unwrap()
}

#[test]
fn commands() {
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy {
        workspace: folder.path().join("w"),
        home: Some(folder.path().join("h")),
        ..Policy::default()
    };
    check(&rows(include_str!("fixtures/commands.jsonl")), |row| {
        judge_command(text(row, "command"), mode(row), &policy)
    });
}

#[test]
fn paths() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (work, home) = (root.join("w"), root.join("h"));
    lay_out(&work, &home);
    let policy = Policy { workspace: work.clone(), home: Some(home.clone()), ..Policy::default() };
    let real = |text: &str| {
        text.replace("${CWD}", work.to_str().unwrap()).replace("${HOME}", home.to_str().unwrap())
    };
    check(&rows(include_str!("fixtures/paths.jsonl")), |row| match text(row, "op") {
        "write_safe" => judge_write(real(text(row, "path")), mode(row), &policy),
        _ => judge_read(real(text(row, "path")), &policy),
    });
}

/// The tree that the vectors were recorded in.
fn lay_out(work: &Path, home: &Path) {
    for file in
        [work.join("sub/keep"), work.join("deep/d/k"), home.join(".ssh/known_hosts"), home.join(".aws/x")]
    {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "x").unwrap();
    }
    let links = [
        ("link_etc", Path::new("/etc")),
        ("link_file", Path::new("/etc/hostname")),
        ("dangling", Path::new("/etc/nope_nope")),
        ("link_ssh", &home.join(".ssh")),
        ("link_home", home),
        ("link_abs_in", &work.join("sub/keep")),
        ("link_in", Path::new("sub")),
        ("link_link", Path::new("link_etc")),
        ("loop", Path::new("loop")),
        ("deep/link_up", Path::new("../..")),
    ];
    for (name, target) in links {
        symlink(target, work.join(name)).unwrap();
    }
}

#[test]
fn urls() {
    check(&rows(include_str!("fixtures/urls.jsonl")), |row| {
        let answers = row["resolved"].as_array().unwrap();
        let resolved: Result<Vec<IpAddr>, _> =
            answers.iter().map(|answer| answer.as_str().unwrap().parse()).collect();
        match resolved {
            Ok(resolved) => judge_url(text(row, "url"), &resolved),
            Err(_) => Decision::ask_by_check("an answer that is no address"),
        }
    });
}
