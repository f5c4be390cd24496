//! Another spelling of the same place never turns a question into a yes; input that is broken gets a conservative answer.

use mesh_safety::{Confined, PermissionMode, Policy, judge_command, judge_read, judge_url, judge_write};
use proptest::prelude::*;

fn policy() -> Policy {
    let confined = Confined::Fully;
    Policy { workspace: "/home/dev/w".into(), home: Some("/home/dev".into()), confined, ..Policy::default() }
}

/// Places that are asked about, for reading and writing.
const PLACES: &[&str] = &[
    "/home/dev/.ssh/id_rsa",
    "/home/dev/.aws/credentials",
    "/home/dev/.bash_history",
    "/home/dev/w/.env",
    "/home/dev/w/server.pem",
    "/etc/shadow",
    "/home/eve/.ssh/config",
    "/proc/1/environ",
];

/// Places that are asked about only for writing.
const WRITTEN: &[&str] = &[
    "/home/dev/.bashrc",
    "/home/dev/w/.git/config",
    "/usr/bin/x",
    "/home/dev/other/x",
    "/boot/x",
    "/home/dev/w/.vscode/tasks.json",
];

/// A way to write a path differently.
#[derive(Clone, Debug)]
enum Change {
    Dot(usize),
    Slash(usize),
    There(usize, String),
    Case(usize),
    Tilde,
    Relative,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<usize>().prop_map(Change::Dot),
        any::<usize>().prop_map(Change::Slash),
        (any::<usize>(), "[a-z]{1,6}").prop_map(|(at, name)| Change::There(at, name)),
        any::<usize>().prop_map(Change::Case),
        Just(Change::Tilde),
        Just(Change::Relative),
    ]
}

fn spelled(path: &str, changes: &[Change]) -> String {
    let mut path = path.to_owned();
    for change in changes {
        let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        let slash = |at: &usize| slashes.get(at % slashes.len().max(1)).copied();
        match change {
            Change::Dot(at) => slash(at).into_iter().for_each(|at| path.insert_str(at, "/.")),
            Change::Slash(at) => slash(at).into_iter().for_each(|at| path.insert(at, '/')),
            Change::There(at, name) => {
                slash(at).into_iter().for_each(|at| path.insert_str(at, &format!("/{name}/..")))
            }
            // The names of the workspace and the home are told apart by case; those that tables know are not.
            Change::Case(at) => {
                let from = path.rfind('/').unwrap_or(0);
                let letters: Vec<usize> =
                    (from..path.len()).filter(|&at| path.as_bytes()[at].is_ascii_lowercase()).collect();
                if let Some(&at) = letters.get(at % letters.len().max(1)) {
                    let upper = path[at..=at].to_ascii_uppercase();
                    path.replace_range(at..=at, &upper);
                }
            }
            Change::Tilde => {
                if let Some(rest) = path.strip_prefix("/home/dev/") {
                    path = format!("~/{rest}");
                }
            }
            Change::Relative => {
                if path.starts_with('/') {
                    path = format!("../../..{path}");
                }
            }
        }
    }
    path
}

/// Addresses that are asked about.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "192.168.1.1",
    "100.64.0.1",
    "0.0.0.0",
    "localhost",
    "a.internal",
    "[::1]",
    "[fd00::1]",
    "[::ffff:127.0.0.1]",
];

fn number(host: &str) -> Option<u32> {
    host.parse::<std::net::Ipv4Addr>().ok().map(u32::from)
}

proptest! {
    #[test]
    fn another_spelling_of_a_path_is_the_same_path(
        at in 0..PLACES.len(), changes in prop::collection::vec(change(), 0..6),
    ) {
        let path = spelled(PLACES[at], &changes);
        prop_assert!(!judge_read(&path, &policy()).is_allow(), "reads {path}");
        for mode in PermissionMode::ALL {
            prop_assert!(!judge_write(&path, mode, &policy()).is_allow(), "writes {path}");
        }
        let command = format!("cat '{path}'").replace("'~/", "~/'");
        prop_assert!(!judge_command(&command, PermissionMode::Auto, &policy()).is_allow(), "{command}");
    }

    #[test]
    fn another_spelling_of_a_written_path_is_the_same_path(
        at in 0..WRITTEN.len(), changes in prop::collection::vec(change(), 0..6),
    ) {
        let path = spelled(WRITTEN[at], &changes);
        prop_assert!(!judge_write(&path, PermissionMode::Auto, &policy()).is_allow(), "writes {path}");
    }

    #[test]
    fn another_spelling_of_an_address_is_the_same_address(
        at in 0..HOSTS.len(), form in 0..6, port in prop::option::of(1..65535u16), dot in any::<bool>(), upper in any::<bool>(),
    ) {
        let host = HOSTS[at];
        let mut host = match (number(host), form) {
            (Some(number), 1) => number.to_string(),
            (Some(number), 2) => format!("{number:#x}"),
            (Some(number), 3) => format!("0{number:o}"),
            (Some(number), 4) => format!("{}.{}", number >> 24, number & 0xff_ffff),
            (Some(number), 5) => format!("[::ffff:{:x}:{:x}]", number >> 16, number & 0xffff),
            _ => host.to_owned(),
        };
        if dot && !host.starts_with('[') {
            host.push('.');
        }
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let mut url = format!("http://{host}{port}/x");
        if upper {
            url = url.to_uppercase();
        }
        prop_assert!(!judge_url(&url, &["93.184.216.34".parse().unwrap()]).is_allow() || host.ends_with("internal."), "{url}");
        prop_assert!(!judge_url(&url, &[]).is_allow(), "{url}");
    }
}

#[test]
fn broken_input_gets_a_conservative_answer() {
    let ask = |text: &str| !judge_command(text, PermissionMode::Auto, &policy()).is_allow();
    assert!(ask("ls \0x") && ask("ls\u{1b}[2K") && ask("ls \u{200b}x") && ask("ls \u{202e}x"));
    assert!(ask(&format!("echo {}", "x".repeat(64 << 10))));
    for bomb in ["$(", "(", "{ ", "`", "\"$(", "[[ ", "if ", "${x:-", "$((", "<("] {
        assert!(ask(&bomb.repeat(2_000)), "{bomb}");
    }
    let homeless = Policy { home: None, ..policy() };
    assert!(
        !judge_read("~/.ssh/id_rsa", &homeless).is_allow()
            && !judge_write("~/x", PermissionMode::Auto, &homeless).is_allow()
    );
    assert!(judge_command("ls", PermissionMode::Auto, &homeless).is_allow());
    let nowhere = Policy { workspace: "/nonexistent/place".into(), ..policy() };
    assert!(judge_command("ls", PermissionMode::Auto, &nowhere).is_allow());
    assert!(!judge_write("/home/dev/x", PermissionMode::Auto, &nowhere).is_allow());
}

#[cfg(all(feature = "fs", unix))]
#[test]
fn links_in_a_circle_are_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::os::unix::fs::symlink("b", root.join("a")).unwrap();
    std::os::unix::fs::symlink("a", root.join("b")).unwrap();
    let policy = Policy { workspace: root.clone(), ..policy() };
    assert!(!judge_read("a/x", &policy).is_allow());
    assert!(!judge_write("a", PermissionMode::Bypass, &policy).is_allow());
}
