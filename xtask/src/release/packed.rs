//! Every crate in the form in which strangers download it: packed, unpacked, built alone and tested, against its siblings in the
//! same form. A crate of the same name in the registry is never taken for a sibling.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::build::{Tally, quiet_tests};
use super::lock::{self, Locked};
use super::report::{self, Findings};
use super::{Release, archive};
use crate::metadata::{self, Metadata, Package, Platforms};

/// The registry refuses what is larger.
const PACKAGE_MAX_BYTES: u64 = 10 * 1024 * 1024;

/// The unpacked crates, in a workspace of their own.
struct Packed {
    folder: PathBuf,
    names: Vec<String>,
}

pub(super) fn stage(release: &Release<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let packed = unpack(release)?;
    packed.settle(release)?;
    for file in files(release)? {
        let bytes = file.metadata().with_context(|| file.display().to_string())?.len();
        if bytes > PACKAGE_MAX_BYTES {
            findings.fault(format!("{} has {bytes} bytes; the registry takes 10 MiB", file.display()));
        }
    }
    findings.faults.extend(sibling_faults(&packed)?);
    findings.faults.extend(lock_faults(&lock::read(release.root)?, &lock::read(&packed.folder)?));
    if !findings.faults.is_empty() {
        return Ok(findings);
    }
    let mut tally = Tally::default();
    for name in &packed.names {
        match try_one(release, &packed, name) {
            Ok(found) => tally.add(found),
            Err(error) => findings.fault(format!("{name}, packed: {error:#}")),
        }
    }
    findings.say(format!("{} crates built alone and tested as packed: {tally}", packed.names.len()));
    Ok(findings)
}

impl Packed {
    /// Takes over our lock file, and drops from it what only the crates that are not published need.
    fn settle(&self, release: &Release<'_>) -> Result<()> {
        std::fs::copy(release.root.join("Cargo.lock"), self.folder.join("Cargo.lock"))?;
        let mut prune = metadata::cargo(&self.folder);
        report::run_logged(prune.args(["update", "--workspace", "--offline"]), &release.log("packed-lock"))?;
        Ok(())
    }
}

/// Builds a crate as a stranger would, then tests it with all its features: what it needs of itself for its tests is dropped
/// from a package.
fn try_one(release: &Release<'_>, packed: &Packed, name: &str) -> Result<Tally> {
    let cargo = |words: &[&str]| {
        let mut command = metadata::cargo(&packed.folder);
        command.args(words).args(["--package", name, "--locked", "--offline"]);
        command.env("CARGO_TARGET_DIR", &release.metadata.target_directory);
        command
    };
    report::run_logged(&mut cargo(&["build"]), &release.log(&format!("packed-build-{name}")))?;
    let mut tests = cargo(&["test", "--all-features", "--no-fail-fast"]);
    quiet_tests(&mut tests);
    let text = report::run_logged(&mut tests, &release.log(&format!("packed-test-{name}")))?;
    Ok(Tally::read(&text))
}

/// Packs the published crates and unpacks them side by side.
fn unpack(release: &Release<'_>) -> Result<Packed> {
    let work = release.work();
    for stale in ["packages", "unpacked"] {
        let stale = work.join(stale);
        if stale.exists() {
            std::fs::remove_dir_all(&stale).with_context(|| stale.display().to_string())?;
        }
    }
    let mut command = metadata::cargo(release.root);
    command.args(["package", "--no-verify", "--locked", "--offline", "--target-dir"]);
    command.arg(work.join("packages"));
    for package in release.published() {
        command.args(["--package", &package.name]);
    }
    if !release.tree.changes()?.is_empty() {
        // The tree stage has said so; whoever only looks wants to see the other findings too.
        command.arg("--allow-dirty");
    }
    report::run_logged(&mut command, &release.log("package"))?;

    let folder = work.join("unpacked");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for file in files(release)? {
        archive::unpack(&file, &folder)?;
    }
    let members: Vec<(&str, String)> =
        release.published().map(|package| (package.name.as_str(), stem(package))).collect();
    let root = std::fs::read_to_string(release.root.join("Cargo.toml")).context("Cargo.toml")?;
    std::fs::write(folder.join("Cargo.toml"), manifest(&members, &root))?;
    let names = members.iter().map(|(name, _)| (*name).to_owned()).collect();
    Ok(Packed { folder, names })
}

/// The packages as files, in the order of the crates.
pub(super) fn files(release: &Release<'_>) -> Result<Vec<PathBuf>> {
    let folder = release.work().join("packages").join("package");
    release
        .published()
        .map(|package| {
            let path = folder.join(stem(package) + ".crate");
            if path.is_file() { Ok(path) } else { bail!("cargo has not packed {}", path.display()) }
        })
        .collect()
}

fn stem(package: &Package) -> String {
    format!("{}-{}", package.name, package.version)
}

/// The manifest of the workspace of unpacked crates: each stands in for the registry's crate of its name. The profiles are
/// ours, so that dependencies are compiled once.
fn manifest(members: &[(&str, String)], root: &str) -> String {
    let mut text = String::from("[workspace]\nresolver = \"3\"\nmembers = [\n");
    for (_, folder) in members {
        text.push_str(&format!("    \"{folder}\",\n"));
    }
    text.push_str("]\n\n[patch.crates-io]\n");
    for (name, folder) in members {
        text.push_str(&format!("{name} = {{ path = \"{folder}\" }}\n"));
    }
    let mut is_profile = false;
    for line in root.lines() {
        if line.starts_with('[') {
            is_profile = line.starts_with("[profile.");
            text.push_str(if is_profile { "\n" } else { "" });
        }
        if is_profile && !line.trim().is_empty() {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Crates of ours that were taken from anywhere but beside each other.
fn sibling_faults(packed: &Packed) -> Result<Vec<String>> {
    let mut command = metadata::cargo(&packed.folder);
    let found = Metadata::ask(command.args(["--locked", "--offline"]), Platforms::Host)?;
    let folder = packed.folder.canonicalize().with_context(|| packed.folder.display().to_string())?;
    Ok(strangers(&found, &packed.names, &folder))
}

fn strangers(found: &Metadata, names: &[String], folder: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for package in found.packages.iter().filter(|package| names.contains(&package.name)) {
        let (name, version) = (&package.name, &package.version);
        if let Some(source) = &package.source {
            faults.push(format!("{name} {version} was taken from {source} in place of ours: a namesake"));
        } else if !package.folder.starts_with(folder) {
            faults.push(format!("{name} was taken from {}, not as packed", package.folder.display()));
        }
    }
    let is_here = |name: &&String| found.packages.iter().any(|package| package.name == **name);
    let absent = names.iter().filter(|name| !is_here(name));
    faults.extend(absent.map(|name| format!("{name} was not packed")));
    faults
}

/// What the packed crates were resolved to, but the workspace's tests have never seen.
fn lock_faults(ours: &BTreeSet<Locked>, packed: &BTreeSet<Locked>) -> Vec<String> {
    let new = packed.difference(ours).filter(|package| package.source.is_some());
    new.map(|package| {
        format!("packed, {} {} is used, which Cargo.lock does not name", package.name, package.version)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::toy::Toy;
    use super::*;

    #[test]
    fn crates_are_tried_as_packed() {
        let toy = Toy::new("packed");
        let found = stage(&toy.release("0.3.0")).unwrap();
        assert_eq!(found.faults, [""; 0]);
        assert_eq!(found.said.unwrap(), "2 crates built alone and tested as packed: 2 passed");
    }

    #[test]
    fn what_is_not_in_the_package_is_missed() {
        let toy = Toy::new("unpacked");
        toy.write("outside.txt", "1");
        toy.edit("top/src/lib.rs", "toy_base::one(), 1", "include_str!(\"../../outside.txt\").len(), 1");
        toy.commit("reaches outside");
        let faults = stage(&toy.release("0.3.0")).unwrap().faults;
        assert!(faults.len() == 1 && faults[0].starts_with("toy-top, packed: `cargo test"), "{faults:#?}");
        assert!(faults[0].contains("outside.txt"), "{faults:#?}");
    }

    /// A registry in a folder holds a newer crate of a sibling's name, which fits the version that is asked for.
    #[test]
    fn a_namesake_is_not_taken() {
        let toy = Toy::new("namesake");
        let namesake = "vendored/toy-base";
        toy.write(
            &format!("{namesake}/Cargo.toml"),
            "[package]\nname = \"toy-base\"\nversion = \"0.3.9\"\nedition = \"2024\"\n",
        );
        toy.write(&format!("{namesake}/src/lib.rs"), "compile_error!(\"a namesake\");\n");
        toy.write(&format!("{namesake}/.cargo-checksum.json"), "{\"files\":{},\"package\":\"00\"}");
        let release = toy.release("0.3.0");
        let packed = unpack(&release).unwrap();
        // From here on the folder is the registry. Without the lock file the newest fitting version is looked for.
        let config =
            "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendored\"\n";
        toy.write(".cargo/config.toml", config);
        toy.write("Cargo.lock", "version = 4\n");
        packed.settle(&release).unwrap();
        assert_eq!(sibling_faults(&packed).unwrap(), [""; 0]);
        assert_eq!(try_one(&release, &packed, "toy-top").unwrap().to_string(), "1 passed");
        // The same without its siblings beside it takes the namesake, and that is found.
        let alone = std::fs::read_to_string(packed.folder.join("Cargo.toml")).unwrap();
        let alone = alone
            .replace("    \"toy-base-0.3.0\",\n", "")
            .replace("toy-base = { path = \"toy-base-0.3.0\" }\n", "");
        std::fs::write(packed.folder.join("Cargo.toml"), alone).unwrap();
        packed.settle(&release).unwrap();
        let faults = sibling_faults(&packed).unwrap();
        assert!(
            faults.len() == 1 && faults[0].starts_with("toy-base 0.3.9 was taken from registry+"),
            "{faults:#?}"
        );
    }

    #[test]
    fn a_namesake_that_was_taken_is_a_finding() {
        use serde_json::json;
        let package = |name: &str, source: serde_json::Value, folder: &str| json!({"id": name, "name": name, "version": "0.3.9", "source": source, "manifest_path": format!("{folder}/Cargo.toml")});
        let found = Metadata::from_json(&json!({"packages": [
            package("toy-base", json!("registry+x"), "/home/registry/toy-base"),
            package("toy-top", json!(null), "/w/unpacked/toy-top"),
            package("toy-mid", json!(null), "/w/mid"),
            package("serde", json!("registry+x"), "/home/registry/serde"),
        ]}))
        .unwrap();
        let names = ["toy-base", "toy-mid", "toy-top", "toy-end"].map(str::to_owned);
        assert_eq!(
            strangers(&found, &names, Path::new("/w/unpacked")),
            [
                "toy-base 0.3.9 was taken from registry+x in place of ours: a namesake",
                "toy-mid was taken from /w/mid, not as packed",
                "toy-end was not packed",
            ]
        );
    }

    #[test]
    fn the_lock_file_may_only_shrink() {
        let locked = |name: &str, source: Option<&str>| Locked {
            name: name.into(),
            version: "1.0.0".into(),
            source: source.map(str::to_owned),
            checksum: None,
        };
        let ours = BTreeSet::from([locked("a", Some("r")), locked("b", Some("r"))]);
        let packed = BTreeSet::from([locked("a", Some("r")), locked("c", Some("r")), locked("mine", None)]);
        assert_eq!(lock_faults(&ours, &packed), ["packed, c 1.0.0 is used, which Cargo.lock does not name"]);
    }

    #[test]
    fn the_workspace_of_packages_has_our_profiles() {
        let root = "[workspace]\nmembers = []\n\n[profile.dev]\ndebug = 1\n\n[workspace.lints.rust]\nx = 1\n[profile.release]\nlto = true\n";
        assert_eq!(
            manifest(&[("a", "a-1.0.0".into())], root),
            "[workspace]\nresolver = \"3\"\nmembers = [\n    \"a-1.0.0\",\n]\n\n[patch.crates-io]\na = { path = \"a-1.0.0\" }\n\
             \n[profile.dev]\ndebug = 1\n\n[profile.release]\nlto = true\n"
        );
    }
}
