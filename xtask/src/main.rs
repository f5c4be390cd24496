//! Checks, benchmarks and releases of this workspace: `cargo xtask COMMAND`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool for the workspace itself"
)]

mod bench;
mod changelog;
mod check;
mod figures;
mod layers;
mod layout;
mod licences;
mod metadata;
mod msrv;
mod release;
mod screens;
mod source;
mod spdx;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  check      everything below that can fail, and fmt, clippy and docs; no tests
  layers     the crates' dependencies against the floors they stand on
  licences   the licence of every crate that is linked or run by a build
  msrv       declared Rust versions against what the dependencies ask for
  figures    lengths of files and functions, and the share of docs; only a report
  bench      our own micro-benchmarks, and their ratios to a floor of the same run
  packages   every published crate as a stranger gets it: packed, built alone, tested against its siblings as packed
  release --version X.Y.Z [--dry-run | --ship-it]
             checks, tests, packages and the archive, until it is ready to ship, in target/release-dist;
             --dry-run says every finding and changes nothing; --ship-it is for a person at a terminal
  layout     watches which functions run first, and writes the linker's script that puts them side by side
  screens    draws the pictures in docs/screens anew, from real runs
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["check"] => check::run(&root()),
        ["layers"] => layers::run(&root()),
        ["licences"] => licences::run(&root()),
        ["msrv"] => msrv::run(&root()),
        ["figures"] => figures::run(&root()),
        ["bench"] => bench::run(&root()),
        ["packages"] => release::packages(&root()),
        ["release", ref rest @ ..] => {
            release::Request::parse(rest).and_then(|request| release::run(&root(), &request))
        }
        ["layout"] => layout::run(&root()),
        ["screens"] => screens::run(&root()),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder: the parent of this crate's.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
