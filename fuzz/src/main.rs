//! Generated commands for the shell judge, against brush-parser, tree-sitter-bash and `bash -n`. Nothing generated is ever run.
//!
//! ```sh
//! cargo run --release --manifest-path fuzz/Cargo.toml -- 1000000 20000 1     # commands, of them for bash, seed, cases to print
//! ```
//!
//! A text is made of the shell's own pieces, then letters of it are dropped, doubled and swapped. In some places stands a canary, a
//! program that always asks. Every disagreement has to ask: where another parser or bash refuses a text, and where one sees the
//! canary run. Printed is how often they differ, and each case that would be let through all the same.
mod generate;

use std::{
    io::Write,
    panic::{catch_unwind, set_hook},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use brush_parser::{ParserOptions, parse_tokens, uncached_tokenize_str};
use mesh_safety::{Confined, Decision, PermissionMode, Policy, judge_command};
use tree_sitter::{Node, Parser};

use generate::{CANARY, Generator};

/// Longest time one verdict may take before it counts as a hang.
const HANG: Duration = Duration::from_secs(1);

/// Cases of each kind that are printed, where nothing is said.
const SHOWN: u64 = 12;

/// How often something said no, and the texts that were let through all the same.
#[derive(Default)]
struct Count {
    times: u64,
    let_through: Vec<String>,
}

impl Count {
    fn note(&mut self, text: &str, is_allowed: bool) {
        self.times += 1;
        if is_allowed {
            self.let_through.push(text.to_owned());
        }
    }
}

#[derive(Default)]
struct Tally {
    allowed: u64,
    not_parsed_here: u64,
    /// Texts that ask for nothing but a disagreement of the parsers.
    asked_for_readers: u64,
    brush: Count,
    /// Texts on which brush-parser fails inside: they are refused.
    brush_fails: u64,
    tree_sitter: Count,
    canary: Count,
    bash: Count,
    bash_takes_what_we_refuse: u64,
    slowest: Duration,
}

impl Tally {
    /// What was counted, in words.
    fn counts(&self) -> [(&'static str, &Count); 4] {
        [
            ("brush-parser refuses", &self.brush),
            ("tree-sitter-bash refuses", &self.tree_sitter),
            ("tree-sitter-bash sees the canary run in", &self.canary),
            ("bash -n refuses", &self.bash),
        ]
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().unwrap_or(0));
    let (count, with_bash, seed) =
        (args.next().unwrap_or(100_000), args.next().unwrap_or(2_000), args.next().unwrap_or(1));
    let shown = args.next().unwrap_or(SHOWN);
    let mut parser = Parser::new();
    if parser.set_language(&tree_sitter_bash::LANGUAGE.into()).is_err() {
        eprintln!("tree-sitter-bash does not load");
        return ExitCode::FAILURE;
    }
    // What fails inside is caught and counted.
    set_hook(Box::new(|_| {}));
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
        let Ok(decision) = catch_unwind(|| judge_command(&text, PermissionMode::Auto, &policy)) else {
            eprintln!("panics: {text:?}");
            return ExitCode::FAILURE;
        };
        tally.slowest = tally.slowest.max(began.elapsed());
        if began.elapsed() > HANG {
            eprintln!("hangs: {text:?}");
            return ExitCode::FAILURE;
        }
        let is_allowed = decision.is_allow();
        let is_refused = says(&decision, "the shell text does not parse");
        tally.allowed += u64::from(is_allowed);
        tally.not_parsed_here += u64::from(is_refused);
        tally.asked_for_readers += u64::from(says(&decision, "the shell parsers disagree"));
        let brush = catch_unwind(|| brush_takes(&text));
        tally.brush_fails += u64::from(brush.is_err());
        if !brush.unwrap_or(false) {
            tally.brush.note(&text, is_allowed);
        }
        if let Some(tree) = parser.parse(&text, None) {
            let root = tree.root_node();
            if root.has_error() {
                tally.tree_sitter.note(&text, is_allowed);
            } else if runs_canary(root, text.as_bytes()) {
                tally.canary.note(&text, is_allowed);
            }
        }
        if number % every == 0 {
            match bash_takes(&text) {
                Some(true) => tally.bash_takes_what_we_refuse += u64::from(is_refused),
                Some(false) => tally.bash.note(&text, is_allowed),
                None => {}
            }
        }
    }
    print(&tally, count, count.div_ceil(every), seed, usize::try_from(shown).unwrap_or(usize::MAX));
    match tally.counts().iter().all(|(_, count)| count.let_through.is_empty()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn says(decision: &Decision, what: &str) -> bool {
    decision.reasons().iter().any(|reason| reason.text.starts_with(what))
}

fn brush_takes(text: &str) -> bool {
    let options = ParserOptions::default();
    uncached_tokenize_str(text, &options.tokenizer_options())
        .is_ok_and(|tokens| parse_tokens(&tokens, &options).is_ok())
}

/// Whether tree-sitter-bash sees the canary as the name of a command.
fn runs_canary(node: Node<'_>, text: &[u8]) -> bool {
    if node.kind() == "command_name" && node.utf8_text(text) == Ok(CANARY) {
        return true;
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
    println!(
        "{count} commands ({with_bash} for bash), seed {seed}: no panic, slowest verdict {:?}",
        tally.slowest
    );
    println!(
        "allowed {}, not parsed here {}, asked for a disagreement alone {}",
        tally.allowed, tally.not_parsed_here, tally.asked_for_readers
    );
    for (what, count) in tally.counts() {
        println!("{what} {}, of these let through {}", count.times, count.let_through.len());
    }
    println!(
        "brush-parser fails inside on {}; bash takes {} that do not parse here, which ask",
        tally.brush_fails, tally.bash_takes_what_we_refuse
    );
    for (what, count) in tally.counts() {
        for case in count.let_through.iter().take(shown) {
            println!("{what}, let through: {case:?}");
        }
    }
}
