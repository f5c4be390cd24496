//! A workspace of two small crates and a program in a temp folder, for the tests of a release. Needs no network.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Release, tree::Tree};

const ROOT: &str = r#"[workspace]
resolver = "3"
members = ["base", "top"]

[workspace.package]
version = "0.3.0"
edition = "2024"
license = "MIT"
repository = "https://toys.invalid/toys"

[workspace.dependencies]
toy-base = { path = "base", version = "0.3.0" }

[profile.dev]
debug = false
"#;

const MEMBER: &str = r#"[package]
name = "toy-NAME"
description = "A toy"
version.workspace = true
edition.workspace = true
license.workspace = true
repository.workspace = true
readme = "README.md"
"#;

const CHANGELOG: &str =
    "# Changelog\n\n## [Unreleased]\n\n## [0.3.0] - 2026-01-31\n\n### toy-base\n- Added: one\n";

/// The workspace; its folder goes with it.
pub(crate) struct Toy {
    root: PathBuf,
}

impl Toy {
    /// `toy-top` depends on `toy-base`; everything is in one commit and fit for release 0.3.0.
    pub(crate) fn new(name: &str) -> Toy {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("xtask-{name}-{}-{number}", std::process::id()));
        let toy = Toy { root };
        toy.write("Cargo.toml", ROOT);
        toy.write("CHANGELOG.md", CHANGELOG);
        toy.write(".gitignore", "/target\n");
        for paper in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            toy.write(paper, "a paper\n");
        }
        for member in ["base", "top"] {
            toy.write(&format!("{member}/README.md"), "a toy\n");
            toy.write(&format!("{member}/LICENSE-MIT"), "a paper\n");
        }
        toy.write("base/Cargo.toml", &MEMBER.replace("NAME", "base"));
        toy.write(
            "base/src/lib.rs",
            "pub fn one() -> u32 { 1 }\n\n#[test]\nfn is_one() { assert_eq!(one(), 1) }\n",
        );
        let top = MEMBER.replace("NAME", "top") + "\n[dependencies]\ntoy-base.workspace = true\n";
        toy.write("top/Cargo.toml", &top);
        toy.write("top/src/lib.rs", "#[test]\nfn is_one() { assert_eq!(toy_base::one(), 1) }\n");
        toy.lock();
        toy.git(&["init", "--quiet"]);
        toy.git(&["config", "user.name", "toy"]);
        toy.git(&["config", "user.email", "toy@toys.invalid"]);
        toy.commit("toys");
        toy
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Replaces a piece of a file, which must be there.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.root.join(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from}");
        self.write(path, &text.replace(from, to));
    }

    /// Brings the lock file into step with the manifests.
    pub(crate) fn lock(&self) {
        let output =
            crate::metadata::cargo(&self.root).args(["update", "--workspace", "--offline"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["-c", "commit.gpgsign=false", "commit", "--quiet", "--message", message]);
    }

    pub(crate) fn release<'a>(&'a self, version: &'a str) -> Release<'a> {
        let mut release = Release::read(&self.root, version).unwrap();
        // Whoever tests us may have a target folder of its own in the environment.
        release.metadata.target_directory = self.root.join("target");
        release
    }

    fn git(&self, arguments: &[&str]) {
        Tree::new(&self.root).git(arguments).unwrap();
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
