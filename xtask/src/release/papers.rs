//! The papers: the changelog's section, and what every package needs before a stranger can use it.

use anyhow::{Context, Result};

use super::archive::PAPERS;
use super::{Release, report::Findings};
use crate::changelog;

/// What a package says of itself, and whether it says it.
type Fields<'a> = [(&'static str, Option<&'a String>); 3];

pub(super) fn changelog(release: &Release<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let text = std::fs::read_to_string(release.root.join("CHANGELOG.md")).context("CHANGELOG.md")?;
    match changelog::notes(&text, release.version) {
        Ok(notes) => {
            let entries = notes.lines().filter(|line| line.starts_with("- ")).count();
            let date = changelog::date(&text, release.version).unwrap_or_default();
            findings.say(format!("{entries} entries, dated {date}"));
            let day = release.tree.head_day()?;
            if day != date {
                findings
                    .note(format!("the changelog dates {} {date}, the commit is of {day}", release.version));
            }
        }
        Err(error) => findings.fault(error.to_string()),
    }
    let left = changelog::sections(&text).into_iter().find(|section| section.version == "Unreleased");
    if let Some(left) = left.filter(|section| !section.body.is_empty()) {
        let count = left.body.lines().filter(|line| line.starts_with("- ")).count();
        findings.fault(format!(
            "{count} entries still stand under Unreleased: they belong under `## [{}] - YYYY-MM-DD`",
            release.version
        ));
    }
    Ok(findings)
}

pub(super) fn stage(release: &Release<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    for paper in PAPERS {
        if !release.root.join(paper).is_file() {
            findings.fault(format!("{paper} is missing"));
        }
    }
    let mut count = 0;
    for package in release.published() {
        count += 1;
        let (name, folder) = (&package.name, &package.folder);
        let fields: Fields<'_> = [
            ("description", package.description.as_ref()),
            ("license", package.license.as_ref()),
            ("repository", package.repository.as_ref()),
        ];
        for (field, _) in fields.iter().filter(|(_, said)| said.is_none_or(|text| text.trim().is_empty())) {
            findings.fault(format!("{name} has no `{field}` in its manifest"));
        }
        if !package.readme.as_ref().is_some_and(|readme| folder.join(readme).is_file()) {
            findings.fault(format!("{name} has no readme"));
        }
        // Both licences ask that their text goes with every copy, and a package is a copy.
        for (licence, file) in [("MIT", "LICENSE-MIT"), ("Apache-2.0", "LICENSE-APACHE")] {
            let is_named = package.license.as_deref().is_some_and(|named| named.contains(licence));
            if is_named && !folder.join(file).is_file() {
                findings.fault(format!("{name} is under {licence}, but its folder has no {file}"));
            }
        }
    }
    findings.say(format!("{} for the archive, all of {count} crates", PAPERS.len()));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::super::toy::Toy;
    use super::*;

    #[test]
    fn the_changelog_speaks_of_the_version_and_of_nothing_later() {
        let toy = Toy::new("changelog");
        let found = changelog(&toy.release("0.3.0")).unwrap();
        assert_eq!((found.said.as_deref(), found.faults.len()), (Some("1 entries, dated 2026-01-31"), 0));
        assert!(found.notes[0].starts_with("the changelog dates 0.3.0 2026-01-31, the commit is of "));
        let found = changelog(&toy.release("0.4.0")).unwrap();
        assert_eq!(found.faults, ["CHANGELOG.md has no section `## [0.4.0] - YYYY-MM-DD`"]);
        toy.edit("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n### toy-top\n- Fixed: two\n");
        let found = changelog(&toy.release("0.3.0")).unwrap();
        assert_eq!(
            found.faults,
            ["1 entries still stand under Unreleased: they belong under `## [0.3.0] - YYYY-MM-DD`"]
        );
    }

    #[test]
    fn every_package_carries_its_papers() {
        let toy = Toy::new("papers");
        assert_eq!(stage(&toy.release("0.3.0")).unwrap().faults, [""; 0]);
        toy.edit("base/Cargo.toml", "description = \"A toy\"\n", "");
        toy.edit("top/Cargo.toml", "license.workspace = true", "license = \"MIT OR Apache-2.0\"");
        std::fs::remove_file(toy.root().join("top/README.md")).unwrap();
        std::fs::remove_file(toy.root().join("LICENSE-MIT")).unwrap();
        assert_eq!(
            stage(&toy.release("0.3.0")).unwrap().faults,
            [
                "LICENSE-MIT is missing",
                "toy-base has no `description` in its manifest",
                "toy-top has no readme",
                "toy-top is under Apache-2.0, but its folder has no LICENSE-APACHE",
            ]
        );
    }
}
