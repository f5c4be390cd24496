//! `servers.json`: what is written down about running servers, so that the next run finds those that outlived theirs.
//!
//! A JSON list of `{pid, port, cmd, url}` as in the seed (3.6), with three fields more: when the process started, and
//! which run it belongs to. Several runs share the file; each rewrites its own rows.

use std::{fs, io::Write, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::process;

/// Name of the file in its folder.
const FILE_NAME: &str = "servers.json";

/// A server as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// Its process.
    pub pid: i32,
    /// The port that it listens on.
    #[serde(default)]
    pub port: Option<u16>,
    /// The command that started it.
    #[serde(default)]
    pub cmd: Option<String>,
    /// Where a browser finds it.
    #[serde(default)]
    pub url: Option<String>,
    /// When the process started, in clock ticks after boot. The seed does not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The process that started it, and will end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<i32>,
    /// When that process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_started: Option<u64>,
}

impl ServerRecord {
    /// Whether this very process still runs, and not another that got its pid (D-11).
    pub(super) fn is_alive(&self) -> bool {
        if self.pid <= 1 {
            return false;
        }
        let Some(started) = process::started_at(self.pid) else { return false };
        match self.started {
            Some(recorded) => recorded == started,
            None => {
                let line = process::command_line(self.pid);
                self.cmd.as_deref().zip(line).is_some_and(|(cmd, line)| is_same_command(cmd, &line))
            }
        }
    }

    /// Whether the run that started it still goes on.
    pub(super) fn has_owner(&self) -> bool {
        self.owner
            .zip(self.owner_started)
            .is_some_and(|(pid, started)| process::started_at(pid) == Some(started))
    }
}

/// Whether a process with this command line may be the one that was started as `recorded`: the shell keeps the text, and
/// a program that took the shell's place has the same words.
fn is_same_command(recorded: &str, line: &str) -> bool {
    let recorded: Vec<&str> = recorded.split_whitespace().collect();
    let line: Vec<&str> = line.split_whitespace().collect();
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    !recorded.is_empty()
        && (line.join(" ").contains(&recorded.join(" "))
            || recorded.iter().all(|word| line.iter().any(|other| name(other) == name(word))))
}

/// The file, in the folder where the program keeps its state.
#[derive(Clone, Debug)]
pub struct RecordFile {
    folder: PathBuf,
}

impl RecordFile {
    /// The file in this folder, which is there already.
    pub fn in_folder(folder: PathBuf) -> RecordFile {
        RecordFile { folder }
    }

    /// What is written down; a file that cannot be read holds nothing.
    pub fn read(&self) -> Vec<ServerRecord> {
        fs::read(self.path()).map(|bytes| parse(&bytes)).unwrap_or_default()
    }

    /// Writes the records of a change down, or takes the file away when there are none. A failure costs no more than the
    /// list of survivors at the next start, so it is only logged.
    pub fn write(&self, records: &[ServerRecord]) {
        let written = if records.is_empty() { self.remove() } else { self.replace(records) };
        if let Err(error) = written {
            tracing::warn!(%error, "the list of running servers was not written");
        }
    }

    fn remove(&self) -> std::io::Result<()> {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A temporary file is made 0600, and takes the old one's place in one step.
    fn replace(&self, records: &[ServerRecord]) -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".servers").tempfile_in(&self.folder)?;
        file.write_all(&serde_json::to_vec(records)?)?;
        file.persist(self.path())?;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE_NAME)
    }
}

/// Reads what can be read; rows without a pid are left out.
fn parse(bytes: &[u8]) -> Vec<ServerRecord> {
    let rows: Vec<Value> = serde_json::from_slice(bytes).unwrap_or_default();
    rows.into_iter()
        .filter_map(|row| serde_json::from_value(row).ok())
        .filter(|row: &ServerRecord| row.pid > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_file_is_read_and_rubbish_is_nothing() {
        let seed = br#"[{"pid": 4711, "port": 5173, "cmd": "npm run dev", "url": "http://localhost:5173"}, {"port": 1}, 7,
            {"pid": "4711"}, {"pid": true}, {"pid": -1}, {"pid": 12, "extra": [1]}]"#;
        let records = parse(seed);
        assert_eq!(records.iter().map(|record| record.pid).collect::<Vec<_>>(), [4711, 12]);
        assert_eq!((records[0].port, records[0].cmd.as_deref()), (Some(5173), Some("npm run dev")));
        for rubbish in ["", "{}", "null", "[", "\u{0}"] {
            assert_eq!(parse(rubbish.as_bytes()), [], "{rubbish}");
        }
    }

    #[test]
    fn a_file_comes_back_as_it_was_written_and_goes_when_it_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = RecordFile::in_folder(folder.path().into());
        let record = ServerRecord {
            pid: 12,
            port: Some(5173),
            cmd: Some("é".into()),
            url: None,
            started: Some(u64::MAX),
            owner: None,
            owner_started: None,
        };
        file.write(std::slice::from_ref(&record));
        assert_eq!(file.read(), [record]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        }
        file.write(&[]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        file.write(&[]);
    }

    #[test]
    fn records_without_a_start_time_are_told_by_their_command() {
        assert!(is_same_command("npm  run dev", "/bin/sh -c npm run dev"));
        assert!(is_same_command("npm run dev", "node /usr/bin/npm run dev"));
        assert!(!is_same_command("npm run dev", "/usr/lib/systemd/systemd --user"));
        assert!(!is_same_command("", "anything"));
    }
}
