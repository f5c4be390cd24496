//! What a verdict on a command costs: parsing, walking, and looking at the places that it names.
//!
//! Each group has a `floor`, the same text taken apart at its blanks and nothing else: `cargo xtask bench` prints the ratios. The
//! workspace and the home are real folders, because looking at them is most of the work.
use std::fs;
use std::hint::black_box;
use std::path::PathBuf;

use mesh_safety::{Confined, PermissionMode, Policy, judge_command};

fn main() {
    divan::main();
}

/// What agents run all day, by how often: a look, a search, a test, git, a longer chain.
const TYPICAL: &[&str] = &[
    "ls -la src",
    "cd src && grep -rn \"fn parse\" --include=*.rs . | head -20",
    "cargo test -p mesh-safety 2>&1 | tail -30",
    "git status --short && git diff --stat",
    "sed -n '10,60p' src/parse.rs",
];

/// A chain with loops, quotes, substitutions and a here-text.
const LONG: &str = "set -e\nfor f in $(git ls-files '*.py' | head -50); do\n  if ! python -m py_compile \"$f\" 2>/dev/null; then\n    \
    echo \"broken: $f\" >> build/report.txt\n  fi\ndone\ncat > notes/today.md <<'E'\n# Notes\n$(nothing here runs)\nE\n\
    awk -F: '{ print $1 }' build/report.txt | sort -u | tee build/unique.txt; wc -l build/*.txt\n";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    #[expect(clippy::unwrap_used, reason = "a benchmark without its folders measures nothing")]
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        for place in ["home/work/src", "home/work/build", "home/work/notes", "home/.ssh", "home/.config/gh"] {
            fs::create_dir_all(folder.path().join(place)).unwrap();
        }
        fs::write(folder.path().join("home/work/src/parse.rs"), "fn parse() {}\n").unwrap();
        Place { folder }
    }

    fn at(&self, place: &str) -> PathBuf {
        self.folder.path().join(place)
    }

    fn policy(&self) -> Policy {
        Policy {
            workspace: self.at("home/work"),
            home: Some(self.at("home")),
            confined: Confined::Fully,
            ..Policy::default()
        }
    }
}

fn floor_of(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

mod typical {
    use super::*;

    #[divan::bench(args = TYPICAL)]
    fn judge(bencher: divan::Bencher<'_, '_>, command: &str) {
        let place = Place::new();
        let policy = place.policy();
        assert!(judge_command(command, PermissionMode::Auto, &policy).is_allow(), "{command}");
        bencher.bench_local(|| judge_command(black_box(command), PermissionMode::Auto, &policy));
    }

    #[divan::bench(args = TYPICAL)]
    fn floor(command: &str) -> Vec<String> {
        floor_of(black_box(command))
    }
}

mod long {
    use super::*;

    #[divan::bench]
    fn judge(bencher: divan::Bencher<'_, '_>) {
        let place = Place::new();
        let policy = place.policy();
        bencher.bench_local(|| judge_command(black_box(LONG), PermissionMode::Auto, &policy));
    }

    #[divan::bench]
    fn floor() -> Vec<String> {
        floor_of(black_box(LONG))
    }
}
