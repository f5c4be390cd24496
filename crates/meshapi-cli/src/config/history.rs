//! The prompt history on disk, in the format of prompt_toolkit, which the Python releases use. Seed 3.4, 3.5.
//!
//! An entry is a blank line, a `# time` line, and each of its lines behind a `+`. One that holds a key or another
//! secret is not stored at all.

use std::io::{self, Write};

use crate::config::file::Folder;

/// Name of the file.
pub const HISTORY: &str = "history";

/// Pure: the entries of the file's text, oldest first. Bytes that are not UTF-8 become `U+FFFD`.
pub fn parse(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let mut entries = Vec::new();
    let mut open: Option<String> = None;
    for line in text.split('\n') {
        match (line.strip_prefix('+'), &mut open) {
            (Some(part), Some(entry)) => {
                entry.push('\n');
                entry.push_str(part);
            }
            (Some(part), None) => open = Some(part.to_owned()),
            (None, _) => entries.extend(open.take()),
        }
    }
    entries.extend(open);
    entries
}

/// Pure: an entry as it stands in the file. `time` says when it was typed; it must hold no line feed.
pub fn encode(entry: &str, time: &str) -> String {
    let mut text = format!("\n# {time}\n");
    for line in entry.split('\n') {
        text.push('+');
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The stored entries, oldest first; none if there is no file.
///
/// # Errors
/// The file cannot be read.
pub fn load(folder: &Folder) -> io::Result<Vec<String>> {
    Ok(folder.read(HISTORY)?.map(|text| parse(&text)).unwrap_or_default())
}

/// Stores an entry, unless it holds a secret. Returns whether it was stored.
///
/// # Errors
/// The folder cannot be written.
pub fn append(folder: &Folder, entry: &str) -> io::Result<bool> {
    if holds_secret(entry) {
        return Ok(false);
    }
    let time = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
    // One write, so that two running programs do not mix their entries.
    folder.append(HISTORY)?.write_all(encode(entry, &time).as_bytes())?;
    Ok(true)
}

/// Pure: whether the text holds what looks like a key, a token or a password.
pub fn holds_secret(text: &str) -> bool {
    crate::secret::is_in(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_of_the_python_releases_reads() {
        let text =
            b"\n# 2026-01-02 03:04:05.678901\n+hello\n\n# 2026-01-02 03:05:00.000000\n+two\n+lines\n+\n";
        assert_eq!(parse(text), ["hello", "two\nlines\n"]);
        assert_eq!(parse(b"+cut"), ["cut"]);
        assert_eq!(parse(b"# only\n\nnoise\n"), Vec::<String>::new());
        assert_eq!(parse(b"+\xff\n"), ["\u{fffd}"]);
    }

    #[test]
    fn entries_with_a_key_are_not_stored() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path());
        assert!(append(&folder, "first").unwrap());
        assert!(!append(&folder, "multi\nline\nrsk_abcdefgh").unwrap());
        assert!(append(&folder, "日本\nrsk_short").unwrap());
        assert_eq!(load(&folder).unwrap(), ["first", "日本\nrsk_short"]);
        let text = std::fs::read_to_string(folder.file(HISTORY)).unwrap();
        assert!(text.starts_with("\n# 2") && text.contains("\n+first\n\n# "), "{text}");
    }

    proptest! {
        #[test]
        fn entries_come_back(entries in proptest::collection::vec("[^\\x00]{0,20}", 0..6)) {
            let text: String = entries.iter().map(|e| encode(e, "t")).collect();
            prop_assert_eq!(parse(text.as_bytes()), entries);
        }
    }
}
