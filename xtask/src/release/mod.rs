//! `cargo xtask release`: everything that can be known before a version is out, then the archive, then "ready to ship".
//!
//! - `version`, `tree`, `papers`: what the files and git say
//! - `packed`: every crate as a stranger would download it, built and tested against its siblings in the same form
//! - `registry`: cargo's own rehearsal, and whether the names are free
//! - `build`, `archive`, `third_party`, `lock`: the program, what goes with it, the licences of others, checksums
//! - `ship`: the tag and the publishing, which only a person at a terminal can ask for

mod archive;
mod build;
mod lock;
mod packed;
mod papers;
mod registry;
mod report;
mod ship;
mod third_party;
mod tree;
mod version;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::metadata::{self, Metadata, Package, Platforms};
use crate::release::report::{Findings, Report};
use crate::release::tree::Tree;

/// How a release is asked for.
pub(crate) const USAGE: &str = "cargo xtask release --version X.Y.Z [--dry-run | --ship-it]";

/// The crate whose program is shipped.
const PROGRAM_CRATE: &str = "meshapi-cli";

/// What a person asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    version: String,
    mode: Mode,
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Everything is looked at and built, every finding is said, nothing is kept and nothing is changed.
    DryRun,
    /// Up to "ready to ship": the archive is in `target/release-dist`.
    Prepare,
    /// Tag and publish what was prepared.
    Ship,
}

impl Request {
    /// Reads the words after `release`.
    ///
    /// # Errors
    /// Anything but a version and at most one of the two flags.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Request> {
        let (mut version, mut mode) = (None, Mode::Prepare);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "--version" if version.is_none() => version = rest.next().copied(),
                "--dry-run" if mode == Mode::Prepare => mode = Mode::DryRun,
                "--ship-it" if mode == Mode::Prepare => mode = Mode::Ship,
                other => bail!("`{other}` is not understood; {USAGE}"),
            }
        }
        match version {
            Some(version) => Ok(Request { version: version.to_owned(), mode }),
            None => bail!("the version is missing; {USAGE}"),
        }
    }
}

/// One stage: it looks or builds, and says what it found.
type Stage = fn(&Release<'_>) -> Result<Findings>;

/// What every stage looks at.
pub(crate) struct Release<'a> {
    root: &'a Path,
    version: &'a str,
    metadata: Metadata,
    tree: Tree<'a>,
    target: String,
}

impl<'a> Release<'a> {
    fn read(root: &'a Path, version: &'a str) -> Result<Release<'a>> {
        let metadata = Metadata::read(root, Platforms::Host)?;
        Ok(Release { root, version, metadata, tree: Tree::new(root), target: metadata::host()? })
    }

    /// The crates that go to the registry.
    fn published(&self) -> impl Iterator<Item = &Package> {
        self.metadata.members().filter(|package| package.is_publishable)
    }

    /// Where packages are unpacked and output is kept: may be deleted at any time.
    fn work(&self) -> PathBuf {
        self.metadata.target_directory.join("release-work")
    }

    /// Where the archive and its checksums are put.
    fn dist(&self) -> PathBuf {
        self.metadata.target_directory.join("release-dist")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.work().join("logs").join(format!("{name}.txt"))
    }

    /// The tag of this version.
    fn tag(&self) -> String {
        format!("v{}", self.version)
    }
}

pub(crate) fn run(root: &Path, request: &Request) -> Result<()> {
    let release = Release::read(root, &request.version)?;
    match request.mode {
        Mode::DryRun => dry_run(&release),
        Mode::Prepare => prepare(&release),
        Mode::Ship => ship::run(&release),
    }
}

/// The stage of the packages alone, at the version at which the workspace is.
pub(crate) fn packages(root: &Path) -> Result<()> {
    let metadata = Metadata::read(root, Platforms::Host)?;
    let program = metadata.members().find(|package| package.name == PROGRAM_CRATE);
    let version = program.map(|package| package.version.clone()).unwrap_or_default();
    let release = Release::read(root, &version)?;
    let mut report = Report::new(&version);
    report.stage("packages", || packed::stage(&release));
    report.end("every crate stands on its own")
}

/// All stages, whatever the earlier ones found. The archive is packed in the work folder and dropped.
fn dry_run(release: &Release<'_>) -> Result<()> {
    let before = release.tree.state()?;
    let mut report = Report::new(release.version);
    look(release, &mut report);
    work(release, &mut report, Mode::DryRun);
    let dropped = release.work().join("dist");
    report.stage("archive", || archive::stage(release, &dropped));
    report.stage("untouched", || {
        let mut findings = Findings::default();
        if release.tree.state()? == before {
            findings.say("tree, tags and branches are as before");
        } else {
            findings.fault("the run has changed the tree, a tag or a branch: look at git status");
        }
        Ok(findings)
    });
    if dropped.exists() {
        std::fs::remove_dir_all(&dropped)?;
    }
    report.end("nothing was changed")
}

/// Looking is cheap and stops before the first long stage; then each stage has to pass before the next one.
fn prepare(release: &Release<'_>) -> Result<()> {
    // An older "ready" is no longer true while we look anew.
    ship::forget(&release.dist())?;
    let mut report = Report::new(release.version);
    look(release, &mut report);
    if !report.has_faults() {
        work(release, &mut report, Mode::Prepare);
    }
    if !report.has_faults() {
        report.stage("archive", || archive::stage(release, &release.dist()));
    }
    if !report.has_faults() {
        ship::remember(release)?;
    }
    report.end(&format!(
        "ready to ship {}\n\nWhat is in {} is what will be shipped. A person types, at a terminal:\n  cargo xtask release --version {} --ship-it",
        release.version,
        release.dist().display(),
        release.version
    ))
}

/// What takes no time: files and git.
fn look(release: &Release<'_>, report: &mut Report) {
    report.stage("tree", || tree::stage(release));
    report.stage("version", || version::stage(release));
    report.stage("changelog", || papers::changelog(release));
    report.stage("papers", || papers::stage(release));
    report.stage("licences", || third_party::stage(release));
}

/// What takes long: tests, packages, the registry's rehearsal, the program.
fn work(release: &Release<'_>, report: &mut Report, mode: Mode) {
    let stages: [(&str, Stage); 4] = [
        ("tests", build::tests),
        ("packages", packed::stage),
        ("registry", registry::stage),
        ("program", build::program),
    ];
    for (name, stage) in stages {
        report.stage(name, || stage(release));
        if mode == Mode::Prepare && report.has_faults() {
            return;
        }
    }
}

#[cfg(test)]
mod toy;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_says_everything_at_once_and_touches_nothing() {
        let toy = toy::Toy::new("look");
        let mut report = Report::new("0.3.0");
        look(&toy.release("0.3.0"), &mut report);
        assert_eq!(report.counts(), (0, 1), "only the note on the changelog's day");

        toy.edit("CHANGELOG.md", "2026-01-31", "soon");
        toy.edit("base/Cargo.toml", "description = \"A toy\"\n", "");
        std::fs::remove_file(toy.root().join("LICENSE-MIT")).unwrap();
        let before = toy.release("0.3.1").tree.state().unwrap();
        let mut report = Report::new("0.3.1");
        look(&toy.release("0.3.1"), &mut report);
        // The tree, the version at two places, the changelog, a paper and a description.
        assert_eq!(report.counts().0, 6);
        assert_eq!(toy.release("0.3.1").tree.state().unwrap(), before);
        assert!(!toy.root().join("target").exists());
    }

    #[test]
    fn what_is_in_the_way_ends_a_run_before_anything_is_built() {
        let toy = toy::Toy::new("prepare");
        toy.write("target/release-dist/READY", "version 0.3.0\n");
        toy.write("stray.txt", "in no commit");
        let error = prepare(&toy.release("0.3.0")).unwrap_err().to_string();
        assert!(error.starts_with("1 findings stand in the way of 0.3.0"), "{error}");
        let left: Vec<_> = std::fs::read_dir(toy.root().join("target/release-dist")).unwrap().collect();
        assert!(left.is_empty(), "an older `ready` is taken back");
        assert!(!toy.root().join("target/release-work").exists(), "nothing was run");
    }

    #[test]
    fn a_request_names_one_version_and_at_most_one_way() {
        let read = |line: &str| Request::parse(&line.split_whitespace().collect::<Vec<_>>());
        for (line, mode) in [
            ("--version 0.1.0", Mode::Prepare),
            ("--version 0.1.0 --dry-run", Mode::DryRun),
            ("--ship-it --version 0.1.0", Mode::Ship),
        ] {
            assert_eq!(read(line).unwrap(), Request { version: "0.1.0".into(), mode }, "{line}");
        }
        for line in [
            "",
            "--version",
            "--dry-run",
            "0.1.0",
            "--version 0.1.0 --dry-run --ship-it",
            "--version 0.1.0 --version 0.2.0",
            "--version 0.1.0 --yes",
        ] {
            assert!(read(line).unwrap_err().to_string().contains(USAGE), "{line}");
        }
    }
}
