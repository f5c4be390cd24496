//! The licences of others: every crate that is linked into the program, as the lock file pins it, with the texts that it brings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::lock::{self, Locked};
use super::{PROGRAM_CRATE, Release, report::Findings};
use crate::licences;
use crate::metadata::{Kind, Package};

/// Name of the paper in the archive.
pub(crate) const PAPER: &str = "THIRD-PARTY.txt";

/// How the files of a licence begin, in capitals.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// A text longer than this is no licence.
const TEXT_MAX_BYTES: u64 = 200_000;

pub(super) fn stage(release: &Release<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let locked = lock::read(release.root)?;
    findings.faults = lock::faults(&locked);
    let metadata = &release.metadata;
    let taken = metadata.closure(metadata.members(), &[Kind::Normal, Kind::Build]);
    findings.faults.extend(licences::faults(&taken));
    let (paper, without_text) = paper(release, &locked)?;
    if !without_text.is_empty() {
        findings.note(format!(
            "{} crates bring no licence text; {PAPER} names their licence and source: {}",
            without_text.len(),
            without_text.join(", ")
        ));
    }
    findings.say(format!(
        "{} crates linked by the program, {} distinct texts; all of {} that a build takes are allowed",
        paper.matches("\nlicence: ").count(),
        paper.matches("\n==== text ").count(),
        taken.len()
    ));
    Ok(findings)
}

/// The paper, and the crates that bring no text.
pub(super) fn paper(release: &Release<'_>, locked: &BTreeSet<Locked>) -> Result<(String, Vec<String>)> {
    let metadata = &release.metadata;
    let program = metadata.members().filter(|package| package.name == PROGRAM_CRATE);
    let linked = metadata.closure(program, &[Kind::Normal]);
    let mut others: Vec<&Package> = linked.into_iter().filter(|package| !package.is_member).collect();
    others.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let mut papers = Vec::new();
    for package in others {
        let is_locked = |one: &&Locked| one.name == package.name && one.version == package.version;
        let entry = locked.iter().find(is_locked);
        let entry = entry.with_context(|| format!("{} is not in Cargo.lock", package.name))?;
        papers.push((package, entry, texts(&package.folder)?));
    }
    Ok(compose(release.version, &release.target, &papers))
}

/// The licence texts in a package's folder, in the order of their names, each ending with one line feed.
fn texts(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    for inner in ["LICENSES", "licenses"] {
        let inner = std::fs::read_dir(folder.join(inner)).into_iter().flatten().flatten();
        paths.extend(inner.map(|entry| entry.path()));
    }
    paths.retain(|path| {
        let is_inside = path.parent() != Some(folder);
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let is_named = is_inside || NAMES.iter().any(|start| name.starts_with(start));
        let is_short = path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= TEXT_MAX_BYTES);
        is_named && is_short && !name.ends_with(".RS")
    });
    paths.sort();
    paths.dedup();
    let mut found = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let text = lines.join("\n").trim_matches('\n').to_owned() + "\n";
        if text.len() > 1 && !found.contains(&text) {
            found.push(text);
        }
    }
    Ok(found)
}

fn compose(
    version: &str,
    target: &str,
    papers: &[(&Package, &Locked, Vec<String>)],
) -> (String, Vec<String>) {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    let (mut list, mut without) = (String::new(), Vec::new());
    for (package, locked, texts) in papers {
        let mut own = Vec::new();
        for text in texts {
            let number = *numbers.entry(text).or_insert_with(|| {
                order.push(text);
                order.len()
            });
            own.push(number.to_string());
        }
        if own.is_empty() {
            without.push(package.name.clone());
            own.push("none in the package".to_owned());
        }
        // Writing into a String does not fail.
        let _ = write!(
            list,
            "\n{} {}\nlicence: {}\nsource: {}\nsha-256: {}\ntexts: {}\n",
            package.name,
            package.version,
            package.license.as_deref().unwrap_or("not named"),
            package.repository.as_deref().map_or_else(|| crates_io(package), str::to_owned),
            locked.checksum.as_deref().unwrap_or("none"),
            own.join(", ")
        );
    }
    let mut paper = format!(
        "Software of others in meshapi {version} for {target}\n\nFrom Cargo.lock: {} crates. The numbers behind `texts` name the licence \
         texts below. The Rust\nstandard library is in the program too: MIT OR Apache-2.0, https://github.com/rust-lang/rust\n",
        papers.len()
    );
    paper.push_str(&list);
    for (at, text) in order.iter().enumerate() {
        let _ = write!(paper, "\n==== text {} ====\n\n{text}", at + 1);
    }
    (paper, without)
}

fn crates_io(package: &Package) -> String {
    format!("https://crates.io/crates/{}/{}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metadata::Metadata;

    #[test]
    fn texts_are_shared_and_their_absence_is_said() {
        let folder = std::env::temp_dir().join(format!("xtask-third-party-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/LICENSE-MIT", "MIT text  \r\nof A\r\n\n");
        write("a/license-apache.txt", "Apache text\n");
        write("a/src.rs", "no licence");
        write("b/COPYING", "Apache text");
        write("b/LICENSES/Zlib.txt", "Zlib text");
        write("b/license.rs", "code");
        write("c/README.md", "");
        assert_eq!(texts(&folder.join("a")).unwrap(), ["MIT text\nof A\n", "Apache text\n"]);
        assert_eq!(texts(&folder.join("b")).unwrap(), ["Apache text\n", "Zlib text\n"]);

        let package = |name: &str| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT", "manifest_path": folder.join(name).join("Cargo.toml")});
        let json = json!({"packages": [package("a"), package("b"), package("c")]});
        let packages = Metadata::from_json(&json).unwrap().packages;
        let locked = Locked { checksum: Some("abcd".into()), ..Locked::default() };
        let papers: Vec<_> = packages.iter().map(|p| (p, &locked, texts(&p.folder).unwrap())).collect();
        let (paper, without) = compose("1.2.3", "some-target", &papers);
        assert_eq!(without, ["c"]);
        assert!(paper.starts_with("Software of others in meshapi 1.2.3 for some-target\n"), "{paper}");
        assert!(paper.contains(
            "\nb 1.0.0\nlicence: MIT\nsource: https://crates.io/crates/b/1.0.0\nsha-256: abcd\ntexts: 2, 3\n"
        ));
        assert!(paper.contains("texts: none in the package\n"));
        assert_eq!(paper.matches("Apache text").count(), 1);
        assert!(paper.ends_with("\n==== text 3 ====\n\nZlib text\n"), "{paper}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
