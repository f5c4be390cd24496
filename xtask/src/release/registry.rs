//! The registry's side: cargo's own rehearsal of a publication, and whether the names are free or ours.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::report::{self, Findings};
use super::{Release, archive, packed};
use crate::metadata;

/// The rehearsal compiles under these, so that it shares what was compiled for the tests of the packages.
const PROFILE: [&str; 2] =
    ["profile.dev.debug=\"line-tables-only\"", "profile.dev.package.\"*\".debug=false"];

/// What the registry knows of a name.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Nobody has taken it.
    Free,
    /// A crate, with the repository that it names.
    Taken { repository: Option<String> },
    /// The registry gave no answer.
    Silent(String),
}

pub(super) fn stage(release: &Release<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut free = 0;
    for package in release.published() {
        let name = &package.name;
        match ask(name)? {
            Known::Free => free += 1,
            Known::Taken { repository } if repository != package.repository => {
                let owner = repository.as_deref().unwrap_or("no repository");
                findings.fault(format!("the name {name} is taken by another crate ({owner})"));
            }
            Known::Taken { .. } => {
                if ask(&format!("{name}@{}", package.version))? != Known::Free {
                    findings.fault(format!("{name} {} is published already", package.version));
                }
            }
            Known::Silent(why) => findings.fault(format!("the registry does not answer about {name}: {why}")),
        }
    }
    forget_rehearsals(release);
    rehearse(release, &mut findings)?;
    let count = release.published().count();
    findings.say(format!("{count} crates rehearsed, nothing sent; {free} of the names are still free"));
    Ok(findings)
}

/// A rehearsal puts our packages into a registry in the target folder, and cargo keeps what it unpacks from there by name and version:
/// the next rehearsal of the same version in the same folder would build the last one's crates.
fn forget_rehearsals(release: &Release<'_>) {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let Some(unpacked) = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok()) else {
        return;
    };
    for registry in unpacked.flatten() {
        // A registry in a folder has no host in front of its number.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for package in release.published() {
            // What cannot be removed makes the rehearsal fail, which says more.
            let _ = std::fs::remove_dir_all(
                registry.path().join(format!("{}-{}", package.name, package.version)),
            );
        }
    }
}

/// `cargo publish --dry-run`: packs, builds each package alone, and stops before the upload.
fn rehearse(release: &Release<'_>, findings: &mut Findings) -> Result<()> {
    let mut command = metadata::cargo(release.root);
    command.args(["publish", "--workspace", "--dry-run", "--locked"]);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    if !release.tree.changes()?.is_empty() {
        command.arg("--allow-dirty");
    }
    let text = match report::run_logged(&mut command, &release.log("publish")) {
        Ok(text) => text,
        Err(error) => {
            findings.fault(format!("{error:#}"));
            return Ok(());
        }
    };
    findings.notes.extend(warnings(&text));
    // What will be uploaded has to be what was tested.
    for ours in packed::files(release)? {
        let name = ours.file_name().context("a package has a name")?;
        let rehearsed = release.metadata.target_directory.join("package").join("tmp-crate").join(name);
        if rehearsed.is_file()
            && archive::sha256(&std::fs::read(&rehearsed)?) != archive::sha256(&std::fs::read(&ours)?)
        {
            findings.fault(format!(
                "{} differs between two runs: {} and {}",
                name.to_string_lossy(),
                ours.display(),
                rehearsed.display()
            ));
        }
    }
    Ok(())
}

/// Cargo's warnings, but for the one that says that this is a rehearsal.
fn warnings(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with("warning: "));
    let mut found: Vec<String> =
        lines.filter(|line| !line.contains("due to dry run")).map(str::to_owned).collect();
    found.dedup();
    found
}

/// Asks about `NAME` or `NAME@VERSION`, from a folder that is in no workspace: in ours, cargo would speak of ours.
fn ask(name: &str) -> Result<Known> {
    let mut command: Command = metadata::cargo(&outside());
    command.args(["info", "--quiet", "--registry", "crates-io", name]);
    let output = command.output().context("cargo info does not start")?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(understand(output.status.success(), &out, &err))
}

fn outside() -> PathBuf {
    let temp = std::env::temp_dir();
    temp.ancestors().last().map_or(temp.clone(), PathBuf::from)
}

fn understand(is_success: bool, out: &str, err: &str) -> Known {
    if is_success {
        let repository = out.lines().find_map(|line| line.strip_prefix("repository: "));
        return Known::Taken { repository: repository.map(|url| url.trim().to_owned()) };
    }
    match err.lines().find(|line| line.starts_with("error: ")).unwrap_or(err.trim()) {
        why if why.contains("could not find") => Known::Free,
        why => Known::Silent(why.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_registry() {
        let found = "roff\nROFF (man page format) generation library\nversion: 1.1.1\nlicense: MIT OR Apache-2.0\n\
                     repository: https://github.com/rust-cli/roff-rs\ncrates.io: https://crates.io/crates/roff/1.1.1\n";
        let url = "https://github.com/rust-cli/roff-rs".to_owned();
        assert_eq!(understand(true, found, ""), Known::Taken { repository: Some(url) });
        assert_eq!(understand(true, "x\nversion: 1.0.0\n", ""), Known::Taken { repository: None });
        let missing =
            "error: could not find `mesh-agent` in registry `https://github.com/rust-lang/crates.io-index`\n";
        assert_eq!(understand(false, "", missing), Known::Free);
        let silent =
            "warning: spurious network error\nerror: failed to query replaced source registry `crates-io`\n";
        assert_eq!(
            understand(false, "", silent),
            Known::Silent("error: failed to query replaced source registry `crates-io`".into())
        );
    }

    #[test]
    fn warnings_but_for_the_rehearsals_own() {
        let text = "   Packaging a\nwarning: manifest has no documentation\n  |\nwarning: aborting upload due to dry run\n";
        assert_eq!(warnings(text), ["warning: manifest has no documentation"]);
    }
}
