//! The order of the program's functions, found anew: which of them run first is watched, and the linker is told.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::metadata;

/// What the linker is told; `build.rs` of the program hands it over.
const SCRIPT: &str = "crates/meshapi-cli/first.ld";

/// Where the program is built with its symbols, below the build's folder.
const TARGET: &str = "target/layout";

pub(crate) fn run(root: &Path) -> Result<()> {
    // The names hold a hash of how all is built: only the symbols are to be kept beyond what a release is.
    let program = ["rustc", "--release", "--locked", "--package", "meshapi-cli", "--bin", "meshapi"];
    let watcher = ["build", "--quiet", "--locked", "--package", "mesh-tests", "--bin", "layout"];
    for (arguments, more) in [(&program[..], &["--", "-C", "strip=none"][..]), (&watcher, &[])] {
        let mut command = metadata::cargo(root);
        command.args(arguments).args(["--target-dir", TARGET]).args(more);
        let status = command.status().context("cargo does not start")?;
        if !status.success() {
            bail!("`cargo {}` failed", arguments.join(" "));
        }
    }
    let target = root.join(TARGET);
    let status = std::process::Command::new(target.join("debug/layout"))
        .arg(target.join("release/meshapi"))
        .arg(root.join(SCRIPT))
        .status()
        .context("the runs do not start")?;
    if !status.success() {
        bail!("the calls could not be watched");
    }
    println!("{SCRIPT}: written; it counts from the next build with --release");
    Ok(())
}
