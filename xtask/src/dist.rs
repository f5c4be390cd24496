//! The archive of a release: a folder with the program and its papers, packed, with checksums.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// Papers that go with the program.
pub(crate) const PAPERS: [&str; 4] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "CHANGELOG.md"];

/// The list of checksums, as `sha256sum --check` reads it.
const CHECKSUMS: &str = "SHA256SUMS";

/// Name of a release's folder inside the archive.
pub(crate) fn folder_name(version: &str, target: &str) -> String {
    format!("meshapi-{version}-{target}")
}

/// Packs program and papers below `dist`, and returns the archive.
pub(crate) fn pack(root: &Path, program: &Path, dist: &Path, name: &str) -> Result<PathBuf> {
    let folder = dist.join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let papers = PAPERS.iter().map(|paper| root.join(paper));
    let mut files = Vec::new();
    for from in papers.chain([program.to_path_buf()]) {
        let to = folder.join(from.file_name().context("a file has a name")?);
        std::fs::copy(&from, &to).with_context(|| from.display().to_string())?;
        files.push(to);
    }
    write_checksums(&folder, &files)?;

    let archive = dist.join(format!("{name}.tar.gz"));
    let status = Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(dist)
        .arg(name)
        .status()
        .context("tar does not start")?;
    if !status.success() {
        bail!("tar failed: {status}");
    }
    write_checksums(dist, std::slice::from_ref(&archive))?;
    Ok(archive)
}

fn write_checksums(folder: &Path, files: &[PathBuf]) -> Result<()> {
    let mut list = String::new();
    for file in files {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        list.push_str(&checksum_line(&bytes, &file.file_name().unwrap_or_default().to_string_lossy()));
    }
    let path = folder.join(CHECKSUMS);
    std::fs::write(&path, list).with_context(|| path.display().to_string())
}

fn checksum_line(bytes: &[u8], name: &str) -> String {
    let mut line = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing into a String does not fail.
        let _ = write!(line, "{byte:02x}");
    }
    line.push_str("  ");
    line.push_str(name);
    line.push('\n');
    line
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
    fn an_archive_holds_program_papers_and_checksums() {
        let root = crate::root();
        let dist = std::env::temp_dir().join(format!("xtask-dist-{}", std::process::id()));
        std::fs::create_dir_all(&dist).unwrap();
        let program = dist.join("meshapi");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let archive = pack(&root, &program, &dist, &folder_name("1.2.3", "some-target")).unwrap();
        assert!(archive.ends_with("meshapi-1.2.3-some-target.tar.gz") && archive.exists());
        let inner = std::fs::read_to_string(dist.join("meshapi-1.2.3-some-target").join(CHECKSUMS)).unwrap();
        let listed: Vec<&str> = inner.lines().filter_map(|line| line.split("  ").nth(1)).collect();
        assert_eq!(listed, ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "CHANGELOG.md", "meshapi"]);
        assert!(
            std::fs::read_to_string(dist.join(CHECKSUMS))
                .unwrap()
                .ends_with("  meshapi-1.2.3-some-target.tar.gz\n")
        );
        std::fs::remove_dir_all(&dist).unwrap();
    }
}
