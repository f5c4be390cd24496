//! The archive of a release: program, completions, manual page and papers, with checksums. The same files give the same bytes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{Release, build, lock, report::Findings, third_party};

/// Papers that go with the program.
pub(crate) const PAPERS: [&str; 4] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// The list of checksums, as `sha256sum --check` reads it.
pub(super) const CHECKSUMS: &str = "SHA256SUMS";

/// The shells whose scripts are packed, and the names under which they look for them.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "meshapi.bash"), ("zsh", "_meshapi"), ("fish", "meshapi.fish")];

/// One block of a tar archive.
const BLOCK: usize = 512;

/// One file of the archive.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// Below the archive's folder.
    path: String,
    bytes: Vec<u8>,
    is_program: bool,
}

impl Entry {
    fn plain(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Entry {
        Entry { path: path.into(), bytes: bytes.into(), is_program: false }
    }
}

/// Packs the archive into `dist`, unpacks it again and tries what came out.
pub(super) fn stage(release: &Release<'_>, dist: &Path) -> Result<Findings> {
    let mut findings = Findings::default();
    let program = build::path(release);
    let entries = entries(release, &program)?;
    let name = folder_name(release.version, &release.target);
    let archive = pack(&entries, dist, &name, release.tree.head_time()?)?;

    let tried = release.work().join("tried");
    if tried.exists() {
        std::fs::remove_dir_all(&tried)?;
    }
    std::fs::create_dir_all(&tried)?;
    unpack(&archive, &tried)?;
    let folder = tried.join(&name);
    findings.faults = checksum_faults(&folder)?;
    let file = program.file_name().context("a program has a name")?;
    let said = build::words(&folder.join(file), &["--version"])?;
    if said.trim_ascii_end() != format!("{} {}", build::PROGRAM, release.version).as_bytes() {
        findings.fault("the program in the archive is another one");
    }
    let bytes = std::fs::read(&archive)?;
    findings.say(format!(
        "{name}.tar.gz, {:.1} MB, {} files, sha-256 {}",
        bytes.len() as f64 / 1e6,
        entries.len(),
        sha256(&bytes)
    ));
    Ok(findings)
}

/// Name of a release's folder inside the archive.
fn folder_name(version: &str, target: &str) -> String {
    format!("meshapi-{version}-{target}")
}

/// Everything that is packed, sorted by path; the checksums of all the others are the last one.
fn entries(release: &Release<'_>, program: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for paper in PAPERS {
        entries.push(Entry::plain(paper, std::fs::read(release.root.join(paper)).context(paper)?));
    }
    for (shell, name) in COMPLETIONS {
        entries.push(Entry::plain(
            format!("completions/{name}"),
            build::words(program, &["completions", shell])?,
        ));
    }
    entries.push(Entry::plain("man/meshapi.1", build::words(program, &["man"])?));
    let (paper, _) = third_party::paper(release, &lock::read(release.root)?)?;
    entries.push(Entry::plain(third_party::PAPER, paper));
    let name = program.file_name().context("a program has a name")?.to_string_lossy().into_owned();
    let bytes = std::fs::read(program).with_context(|| program.display().to_string())?;
    entries.push(Entry { path: name, bytes, is_program: true });
    Ok(with_checksums(entries))
}

fn with_checksums(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let list: String = entries.iter().map(|entry| checksum_line(&entry.bytes, &entry.path)).collect();
    entries.push(Entry::plain(CHECKSUMS, list));
    entries
}

/// Writes the archive and its checksum below `dist`, and returns the archive.
fn pack(entries: &[Entry], dist: &Path, name: &str, seconds: u64) -> Result<PathBuf> {
    if dist.exists() {
        std::fs::remove_dir_all(dist).with_context(|| dist.display().to_string())?;
    }
    std::fs::create_dir_all(dist).with_context(|| dist.display().to_string())?;
    let bytes = gzip(tar(entries, name, seconds)?)?;
    let archive = dist.join(format!("{name}.tar.gz"));
    std::fs::write(&archive, &bytes).with_context(|| archive.display().to_string())?;
    std::fs::write(dist.join(CHECKSUMS), checksum_line(&bytes, &format!("{name}.tar.gz")))?;
    Ok(archive)
}

/// A tar archive in the format of POSIX.1-1988, without users, each file as old as the commit.
fn tar(entries: &[Entry], folder: &str, seconds: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for entry in entries {
        let path = format!("{folder}/{}", entry.path);
        let mode = if entry.is_program { 0o755 } else { 0o644 };
        bytes.extend(header(&path, mode, entry.bytes.len(), seconds)?);
        bytes.extend(&entry.bytes);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    Ok(bytes)
}

fn header(path: &str, mode: u32, length: usize, seconds: u64) -> Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    // A name has 100 bytes, and we need no more.
    if path.len() > 100 {
        bail!("{path} is too long for a tar archive");
    }
    put(0, path);
    put(100, &format!("{mode:07o}\0{:07o}\0{:07o}\0{length:011o}\0{seconds:011o}\0", 0, 0));
    put(148, "        0ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// Compresses by the program `gzip`, which keeps neither name nor time of what it is piped.
fn gzip(bytes: Vec<u8>) -> Result<Vec<u8>> {
    let mut child = Command::new("gzip")
        .args(["-9", "-n", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("gzip does not start")?;
    let mut input = child.stdin.take().context("gzip has no input")?;
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().context("gzip")?;
    let written = writer.join().map_err(|_| anyhow::anyhow!("writing to gzip panicked"))?;
    if !output.status.success() {
        bail!("gzip failed: {}", output.status);
    }
    written.context("gzip takes no more")?;
    Ok(output.stdout)
}

/// Unpacks an archive below a folder.
pub(super) fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    let status = Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .status()
        .context("tar does not start")?;
    if !status.success() {
        bail!("tar cannot unpack {}: {status}", archive.display());
    }
    Ok(())
}

/// Files in a folder that are not what its list of checksums says.
pub(super) fn checksum_faults(folder: &Path) -> Result<Vec<String>> {
    let list = folder.join(CHECKSUMS);
    let text = std::fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let mut faults = Vec::new();
    for line in text.lines() {
        let (want, path) = line.split_once("  ").with_context(|| format!("{CHECKSUMS}: {line}"))?;
        match std::fs::read(folder.join(path)) {
            Ok(bytes) if sha256(&bytes) == want => {}
            Ok(_) => faults.push(format!("{path} is not what {CHECKSUMS} says")),
            Err(error) => faults.push(format!("{path}: {error}")),
        }
    }
    if text.is_empty() {
        faults.push(format!("{} is empty", list.display()));
    }
    Ok(faults)
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn checksum_line(bytes: &[u8], path: &str) -> String {
    format!("{}  {path}\n", sha256(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_reads_as_sha256sum_writes_it() {
        // FIPS 180-2, the example "abc".
        assert_eq!(
            checksum_line(b"abc", "a.tar.gz"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.tar.gz\n"
        );
    }

    #[test]
    fn an_archive_comes_back_as_it_went_in() {
        let work = std::env::temp_dir().join(format!("xtask-archive-{}", std::process::id()));
        let dist = work.join("dist");
        let entries = || {
            let program =
                Entry { path: "meshapi".into(), bytes: b"#!/bin/sh\n".repeat(100), is_program: true };
            with_checksums(vec![program, Entry::plain("man/meshapi.1", "page"), Entry::plain("empty", "")])
        };
        let name = folder_name("1.2.3", "some-target");
        let archive = pack(&entries(), &dist, &name, 1_700_000_000).unwrap();
        assert!(archive.ends_with("dist/meshapi-1.2.3-some-target.tar.gz"));
        let first = std::fs::read(&archive).unwrap();
        assert_eq!(checksum_faults(&dist).unwrap(), [""; 0]);
        pack(&entries(), &dist, &name, 1_700_000_000).unwrap();
        assert_eq!(std::fs::read(&archive).unwrap(), first, "the same files give the same bytes");

        unpack(&archive, &work).unwrap();
        let folder = work.join(&name);
        let list = std::fs::read_to_string(folder.join(CHECKSUMS)).unwrap();
        let listed: Vec<&str> = list.lines().filter_map(|line| line.split("  ").nth(1)).collect();
        assert_eq!(listed, ["empty", "man/meshapi.1", "meshapi"]);
        assert_eq!(checksum_faults(&folder).unwrap(), [""; 0]);
        assert_eq!(std::fs::read(folder.join("meshapi")).unwrap(), b"#!/bin/sh\n".repeat(100));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &str| folder.join(path).metadata().unwrap().permissions().mode() & 0o111;
            assert!(mode("meshapi") != 0 && mode("man/meshapi.1") == 0);
        }
        std::fs::write(folder.join("meshapi"), "another").unwrap();
        std::fs::remove_file(folder.join("empty")).unwrap();
        let faults = checksum_faults(&folder).unwrap();
        assert!(faults.len() == 2 && faults[1] == "meshapi is not what SHA256SUMS says", "{faults:?}");
        std::fs::remove_dir_all(&work).unwrap();
    }

    #[test]
    fn a_name_has_a_hundred_bytes() {
        assert!(header(&"a".repeat(100), 0o644, 0, 0).is_ok());
        assert!(header(&"a".repeat(101), 0o644, 0, 0).is_err());
    }
}
