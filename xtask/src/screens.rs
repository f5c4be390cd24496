//! The README's pictures of the terminal, drawn anew from real runs by the tests' own program.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::metadata;

/// Where the pictures stand, below the workspace.
const FOLDER: &str = "docs/screens";

pub(crate) fn run(root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // The runs drive the program as it is now.
    for arguments in [
        &["build", "--quiet", "--locked", "--package", "meshapi-cli", "--bin", "meshapi"][..],
        &["run", "--quiet", "--locked", "--package", "mesh-tests", "--bin", "screens", "--"][..],
    ] {
        let mut command = metadata::cargo(root);
        command.args(arguments);
        if arguments[0] == "run" {
            command.arg(&folder);
        }
        let status = command.status().context("cargo does not start")?;
        if !status.success() {
            bail!("`cargo {}` failed", arguments.join(" "));
        }
    }
    let pictures = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let names = pictures.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".svg")).collect();
    names.sort();
    if names.is_empty() {
        bail!("no picture was written to {FOLDER}");
    }
    println!("{FOLDER}: {}", names.join(", "));
    Ok(())
}
