//! Generated commands for the shell judge, against tree-sitter-bash and `bash -n`. Nothing generated is ever run.
//!
//! ```sh
//! cargo run --release --manifest-path fuzz/Cargo.toml -- 1000000 20000 1     # commands, of them for bash, seed, cases to print
//! ```
//!
//! A text is made of the shell's own pieces, then letters of it are dropped, doubled and swapped. In some places stands a canary, a
//! program that always asks. Every disagreement has to ask: where the second parser sees the canary run, and where it or bash
//! refuses a text. Printed is how often they differ, and each case that would be let through all the same.
mod generate;

use std::{
    io::Write,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use mesh_safety::{Confined, Decision, PermissionMode, Policy, judge_command};
use tree_sitter::{Node, Parser};

use generate::{CANARY, Generator};

/// Longest time one verdict may take before it counts as a hang.
const HANG: Duration = Duration::from_secs(1);

/// Cases of each kind that are printed, where nothing is said.
const SHOWN: u64 = 12;

#[derive(Default)]
struct Tally {
    allowed: u64,
    not_parsed_here: u64,
    refused_there: u64,
    /// Of these, let through and taken by bash.
    behind_bash: u64,
    canaries: u64,
    /// The second parser sees the canary run, and it was let through.
    missed: Vec<String>,
    /// The second parser refuses the text, and it was let through.
    let_through: Vec<String>,
    bash_refuses: u64,
    bash_takes_what_we_refuse: u64,
    /// Bash refuses the text, and it was let through.
    bash_let_through: Vec<String>,
    slowest: Duration,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().unwrap_or(0));
    let (count, with_bash, seed) =
        (args.next().unwrap_or(100_000), args.next().unwrap_or(2_000), args.next().unwrap_or(1));
    let shown = args.next().unwrap_or(SHOWN);
    let mut parser = Parser::new();
    if parser.set_language(&tree_sitter_bash::LANGUAGE.into()).is_err() {
        eprintln!("the second parser does not load");
        return ExitCode::FAILURE;
    }
    let policy = Policy {
        workspace: "/home/dev/w".into(),
        home: Some("/home/dev".into()),
        confined: Confined::Fully,
        ..Policy::default()
    };
    let mut generator = Generator::new(seed);
    let mut tally = Tally::default();
    let every = (count / with_bash.max(1)).max(1);
    for number in 0..count {
        let text = generator.command();
        let began = Instant::now();
        let decision = judge_command(&text, PermissionMode::Auto, &policy);
        tally.slowest = tally.slowest.max(began.elapsed());
        if began.elapsed() > HANG {
            eprintln!("hangs: {text:?}");
            return ExitCode::FAILURE;
        }
        let is_allowed = decision.is_allow();
        let is_refused = parse_failed(&decision);
        tally.allowed += u64::from(is_allowed);
        tally.not_parsed_here += u64::from(is_refused);
        if let Some(tree) = parser.parse(&text, None) {
            let root = tree.root_node();
            let refused = root.has_error();
            tally.refused_there += u64::from(refused);
            if refused && is_allowed {
                // The second parser is behind bash in places; where bash takes the text it is not read wrongly here.
                match bash_takes(&text) {
                    Some(true) => tally.behind_bash += 1,
                    Some(false) | None => tally.let_through.push(text.clone()),
                }
            }
            if !refused && runs_canary(root, text.as_bytes()) {
                tally.canaries += 1;
                if is_allowed {
                    tally.missed.push(text.clone());
                }
            }
        }
        if number % every == 0 {
            match bash_takes(&text) {
                Some(true) => tally.bash_takes_what_we_refuse += u64::from(is_refused),
                Some(false) => {
                    tally.bash_refuses += 1;
                    if is_allowed {
                        tally.bash_let_through.push(text);
                    }
                }
                None => {}
            }
        }
    }
    print(&tally, count, count.div_ceil(every), seed, usize::try_from(shown).unwrap_or(usize::MAX));
    match tally.missed.is_empty() && tally.bash_let_through.is_empty() && tally.let_through.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn parse_failed(decision: &Decision) -> bool {
    decision.reasons().iter().any(|reason| reason.text.starts_with("the shell text does not parse"))
}

/// Whether the second parser sees the canary as the name of a command.
fn runs_canary(node: Node<'_>, text: &[u8]) -> bool {
    if node.kind() == "command_name" && node.utf8_text(text) == Ok(CANARY) {
        // `sudo<(x)`, sudo`x` and one that goes on after a line's end are longer words to bash; the second parser ends them early.
        let after = &text[node.end_byte()..];
        return ![&b"`"[..], b"<(", b">(", b"$", b"'", b"\"", b"\\\n"].iter().any(|sign| after.starts_with(sign));
    }
    // A number in a number: what looks like a command there is a variable.
    if node.kind() == "arithmetic_expansion" || text[node.start_byte()..].starts_with(b"$((") {
        return false;
    }
    let mut cursor = node.walk();
    node.children(&mut cursor).any(|child| runs_canary(child, text))
}

/// Whether bash can read the text; it runs nothing of it.
fn bash_takes(text: &str) -> Option<bool> {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-n"]).env_clear();
    let mut child = bash.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
    child.stdin.take()?.write_all(text.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(output.status.success() && !complaint.contains("error"))
}

fn print(tally: &Tally, count: u64, with_bash: u64, seed: u64, shown: usize) {
    println!("{count} commands, seed {seed}: no panic, slowest verdict {:?}", tally.slowest);
    println!("allowed {}, not parsed here {}", tally.allowed, tally.not_parsed_here);
    println!(
        "second parser: refuses {}, of these let through {} that bash takes and {} that it refuses; sees the canary run in {}, of these let through {}",
        tally.refused_there,
        tally.behind_bash,
        tally.let_through.len(),
        tally.canaries,
        tally.missed.len()
    );
    println!(
        "bash -n on {with_bash}: refuses {}, of these let through {}; takes {} that do not parse here, which ask",
        tally.bash_refuses,
        tally.bash_let_through.len(),
        tally.bash_takes_what_we_refuse
    );
    for (what, cases) in [
        ("canary let through", &tally.missed),
        ("refused by bash, let through", &tally.bash_let_through),
        ("refused by the second parser, let through", &tally.let_through),
    ] {
        for case in cases.iter().take(shown) {
            println!("{what}: {case:?}");
        }
    }
}
