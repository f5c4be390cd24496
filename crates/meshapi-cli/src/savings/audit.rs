//! The file of cuts: one JSON line each, only ever appended to, for its owner alone. Shape: `docs/formats.md`.

use std::io::{self, Write};

use serde_json::json;

use super::Cut;
use crate::config::Folder;

/// Name of the file in the folder of settings.
pub const AUDIT: &str = "optimize-audit.jsonl";

/// Version of a line.
const VERSION: u32 = 1;

/// The file as far as this session writes it. It is opened for each write: cuts are few, and a file that somebody moves away is
/// begun anew.
#[derive(Debug)]
pub(super) struct Audit {
    folder: Folder,
    session_id: String,
    failed: Option<String>,
}

impl Audit {
    pub(super) fn new(folder: Folder, session_id: &str) -> Audit {
        Audit { folder, session_id: session_id.to_owned(), failed: None }
    }

    /// Appends these cuts. That they cannot be kept is remembered and stops nothing.
    pub(super) fn append(&mut self, model: &str, cuts: &[Cut]) {
        if cuts.is_empty() {
            return;
        }
        if let Err(error) = self.try_append(model, cuts) {
            self.failed = Some(error.to_string());
        }
    }

    /// Why a write failed, if one did.
    pub(super) fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Where the file is.
    pub(super) fn path(&self) -> String {
        self.folder.file(AUDIT).display().to_string()
    }

    fn try_append(&self, model: &str, cuts: &[Cut]) -> io::Result<()> {
        let time = jiff::Timestamp::now().to_string();
        let mut lines = String::new();
        for cut in cuts {
            let Cut { id, message, lever, sha256, before, after, is_lossy } = cut;
            let line = json!({
                "v": VERSION, "time": time, "session_id": self.session_id, "model": model, "id": id, "message": message,
                "lever": lever, "sha256": sha256, "before": before, "after": after, "lossy": is_lossy,
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        // One write, so that the lines of two sessions do not mix.
        self.folder.append(AUDIT)?.write_all(lines.as_bytes())
    }
}
