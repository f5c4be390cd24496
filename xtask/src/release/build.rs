//! The workspace's tests, and the program as it is shipped: stripped, without paths of this machine, and of the right version.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::report::{self, Findings};
use super::{PROGRAM_CRATE, Release};
use crate::metadata;

/// The program's name.
pub(super) const PROGRAM: &str = "meshapi";

/// How many tests ran, of everything that a `cargo test` printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    passed: usize,
    ignored: usize,
}

impl Tally {
    pub(super) fn read(text: &str) -> Tally {
        let mut tally = Tally::default();
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("test result: ok. ")) {
            for part in line.split(';') {
                let Some((number, word)) = part.trim().split_once(' ') else { continue };
                let number = number.parse::<usize>().unwrap_or(0);
                match word {
                    "passed" => tally.passed += number,
                    "ignored" => tally.ignored += number,
                    _ => {}
                }
            }
        }
        tally
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed", self.passed)?;
        if self.ignored > 0 { write!(f, ", {} ignored", self.ignored) } else { Ok(()) }
    }
}

/// Failing tests leave nothing behind in the tree: no new snapshots, no regression files.
pub(super) fn quiet_tests(command: &mut Command) {
    command.env("INSTA_UPDATE", "no").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
}

/// All tests of the workspace.
pub(super) fn tests(release: &Release<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut command = metadata::cargo(release.root);
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    quiet_tests(&mut command);
    let text = report::run_logged(&mut command, &release.log("tests"))?;
    findings.say(Tally::read(&text).to_string());
    Ok(findings)
}

/// Builds the program and looks at it.
pub(super) fn program(release: &Release<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let registry = registry_sources();
    let mut command = metadata::cargo(release.root);
    command.args(["build", "--release", "--locked", "--package", PROGRAM_CRATE, "--bin", PROGRAM]);
    let folders = [
        (release.metadata.target_directory.clone(), "target"),
        (release.root.to_path_buf(), "meshapi"),
        (registry.clone().unwrap_or_default(), "registry"),
    ];
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&folders));
    report::run_logged(&mut command, &release.log("build"))?;

    let path = path(release);
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    if is_stripped(&bytes) == Some(false) {
        findings.fault(format!("{} still has its symbols", path.display()));
    }
    for (folder, _) in folders {
        let folder = folder.display().to_string();
        if contains(&bytes, folder.as_bytes()) {
            findings.note(format!("{PROGRAM} names a folder of this machine: {folder}"));
        }
    }
    let want = format!("{PROGRAM} {}", release.version);
    let said = words(&path, &["--version"])?;
    let said = String::from_utf8_lossy(&said);
    if said.trim_end() != want {
        findings.fault(format!("{PROGRAM} --version says `{}`, not `{want}`", said.trim_end()));
    }
    let glibc = newest_glibc(&bytes).map(|version| format!(", needs glibc {version}")).unwrap_or_default();
    findings.say(format!("{want} for {}, {:.1} MB{glibc}", release.target, bytes.len() as f64 / 1e6));
    Ok(findings)
}

/// Where cargo puts the program.
pub(super) fn path(release: &Release<'_>) -> PathBuf {
    let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    release.metadata.target_directory.join("release").join(name)
}

/// What the program prints when it is run with these words.
///
/// # Errors
/// It does not start, fails, or says nothing.
pub(super) fn words(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let line = || format!("`{} {}`", program.display(), arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("{} does not start", line()))?;
    if !output.status.success() || output.stdout.is_empty() {
        bail!("{} failed: {}", line(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Where cargo unpacks what it downloads.
fn registry_sources() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))?;
    Some(home.join("registry").join("src"))
}

/// The flags of whoever runs us, and the folders of this machine under names that say nothing. Parted as cargo wants it.
fn rustflags(folders: &[(PathBuf, &str)]) -> String {
    let own = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut flags: Vec<String> = own.split_whitespace().map(str::to_owned).collect();
    // The last rule that fits is taken: the target folder, which may lie in the workspace, comes after it.
    let known = folders.iter().rev().filter(|(folder, _)| !folder.as_os_str().is_empty());
    flags.extend(known.map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display())));
    flags.join("\u{1f}")
}

/// The newest version of the C library that a program for Linux asks for: it runs where that one or a newer one is.
fn newest_glibc(bytes: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"GLIBC_";
    let starts = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let versions = starts.filter_map(|(at, _)| {
        let text = bytes[at + MARK.len()..].split(|&byte| byte == 0).next()?;
        let parts = str::from_utf8(text).ok()?.split('.').map(str::parse::<u32>);
        parts.collect::<Result<Vec<u32>, _>>().ok()
    });
    let newest = versions.max()?;
    Some(newest.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}

/// Whether an ELF program of 64 bits has no table of symbols; `None` for other kinds of files.
fn is_stripped(bytes: &[u8]) -> Option<bool> {
    const SYMBOLS: u32 = 2;
    // Identification: magic, 64 bits, least significant byte first.
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let number = |at: usize, length: usize| -> Option<usize> {
        let mut eight = [0; 8];
        eight[..length].copy_from_slice(bytes.get(at..at.checked_add(length)?)?);
        usize::try_from(u64::from_le_bytes(eight)).ok()
    };
    let (table, size, count) = (number(0x28, 8)?, number(0x3a, 2)?, number(0x3c, 2)?);
    for section in 0..count {
        let kind = number(table.checked_add(section * size)?.checked_add(4)?, 4)?;
        if kind == SYMBOLS as usize {
            return Some(false);
        }
    }
    Some(true)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some(&first) = wanted.first() else { return false };
    bytes.iter().enumerate().any(|(at, &byte)| byte == first && bytes[at..].starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_counted() {
        let text = "\
running 2 tests
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests x
test result: ok. 10 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 1.00s
test result: FAILED. 7 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out
";
        let mut tally = Tally::read(text);
        assert_eq!(tally, Tally { passed: 12, ignored: 1 });
        assert_eq!(tally.to_string(), "12 passed, 1 ignored");
        tally.add(Tally { passed: 1, ignored: 0 });
        assert_eq!(tally.passed, 13);
        assert_eq!(Tally::read("").to_string(), "0 passed");
    }

    /// A file with a header and the given kinds of sections.
    fn elf(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(0x40, 0);
        bytes[0x28] = 0x40;
        bytes[0x3a] = 64;
        bytes[0x3c] = u8::try_from(kinds.len()).unwrap();
        for kind in kinds {
            let mut section = vec![0; 64];
            section[4..8].copy_from_slice(&kind.to_le_bytes());
            bytes.extend(section);
        }
        bytes
    }

    #[test]
    fn symbols_are_found() {
        assert_eq!(is_stripped(&elf(&[0, 1, 3])), Some(true));
        assert_eq!(is_stripped(&elf(&[0, 1, 2, 3])), Some(false));
        assert_eq!(is_stripped(&elf(&[])), Some(true));
        assert_eq!(is_stripped(b"#!/bin/sh\n"), None);
        let whole = elf(&[0, 1]);
        for length in 0..whole.len() {
            // Cut short, it is no such file, or the missing sections make it none.
            assert_ne!(is_stripped(&whole[..length]), Some(false), "{length}");
        }
    }

    #[test]
    fn the_c_library_is_named_by_its_newest_symbol() {
        let bytes = b"\x00GLIBC_2.4\x00memcpy\x00GLIBC_2.34\x00GLIBC_PRIVATE\x00GLIBC_2.9.1\x00GLIBC_";
        assert_eq!(newest_glibc(bytes), Some("2.34".to_owned()));
        assert_eq!(newest_glibc(b"none"), None);
    }

    #[test]
    fn folders_of_this_machine_get_other_names() {
        let folders =
            [("/a b/w/target".into(), "target"), ("/a b/w".into(), "meshapi"), (PathBuf::new(), "registry")];
        assert!(
            rustflags(&folders).ends_with(
                "--remap-path-prefix=/a b/w=meshapi\u{1f}--remap-path-prefix=/a b/w/target=target"
            )
        );
        assert!(contains(b"xx/a b/w/yy", b"/a b/w") && !contains(b"/a /b", b"/a b") && !contains(b"", b"x"));
    }
}
