//! A release of this machine's platform: the tree is clean, the changelog speaks of the version, the archive is packed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata::{self, Metadata, Platforms};
use crate::{changelog, dist};

/// How far to go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Check, build and pack.
    Build,
    /// Check, and say what would be built.
    DryRun,
}

pub(crate) fn run(root: &Path, mode: Mode) -> Result<()> {
    let metadata = Metadata::read(root, Platforms::Host)?;
    let program = metadata.members().find(|package| package.name == "meshapi-cli");
    let version = &program.context("there is no meshapi-cli")?.version;
    check_tree(root)?;
    let text = std::fs::read_to_string(root.join("CHANGELOG.md")).context("CHANGELOG.md")?;
    let notes = changelog::notes(&text, version)?;
    for paper in dist::PAPERS {
        if !root.join(paper).is_file() {
            bail!("{paper} is missing");
        }
    }

    let target = metadata::host()?;
    let name = dist::folder_name(version, &target);
    let folder = metadata.target_directory.join("dist");
    println!("release {version} for {target}\n\n{notes}\n");
    if mode == Mode::DryRun {
        println!("would build and pack {}", folder.join(format!("{name}.tar.gz")).display());
        return Ok(());
    }
    let status = metadata::cargo(root)
        .args(["build", "--locked", "--release", "--workspace", "--bins"])
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("the release build failed");
    }
    let binary =
        metadata.target_directory.join("release").join(format!("meshapi{}", std::env::consts::EXE_SUFFIX));
    let archive = dist::pack(root, &binary, &folder, &name)?;
    println!("{}", archive.display());
    Ok(())
}

fn check_tree(root: &Path) -> Result<()> {
    let output = Command::new("git")
        .args(["status", "--porcelain"])
        .current_dir(root)
        .output()
        .context("git does not start")?;
    if !output.status.success() {
        bail!("git status: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let changes = String::from_utf8_lossy(&output.stdout);
    if !changes.trim().is_empty() {
        bail!("the tree has changes that are in no commit:\n{}", changes.trim_end());
    }
    Ok(())
}
