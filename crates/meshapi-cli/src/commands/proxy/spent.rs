//! What was spent today, kept over a restart: a cap on a day is one, however often the proxy is started.

use std::io::{self, Write as _, stderr};

use serde::{Deserialize, Serialize};

use crate::{
    config::{Durability, Folder},
    exit::{Exit, Failure},
};

/// Its file in our folder.
const FILE: &str = "proxy-spent.json";

/// A day, counted from 1970 in UTC, and what was spent on it in USD.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Day {
    pub(super) day: u64,
    pub(super) usd: f64,
}

/// Where it is kept.
pub(super) struct Spent(Folder);

impl Spent {
    pub(super) fn new(folder: Folder) -> Spent {
        Spent(folder)
    }

    /// What was spent on the last day that is known.
    ///
    /// # Errors
    /// The file is there and cannot be read: nobody knows what is left of the cap.
    pub(super) fn load(&self) -> Result<Day, Failure> {
        let read = || match self.0.read(FILE)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            None => Ok(Day::default()),
        };
        read().map_err(|error| {
            let message = format!("{} cannot be read: {error}", self.0.file(FILE).display());
            Failure::new(Exit::Failure, "spent", message)
                .hint("it says what was spent today; remove it to begin anew")
        })
    }

    /// Keeps it.
    pub(super) fn keep(&self, day: Day) {
        let kept = serde_json::to_vec(&day)
            .map_err(io::Error::from)
            .and_then(|text| self.0.write(FILE, &text, Durability::Lazy));
        if let Err(error) = kept {
            let path = self.0.file(FILE);
            // Nobody may be reading; the cap still holds as long as this runs.
            let _ =
                writeln!(stderr(), "proxy: what was spent today is not kept in {}: {error}", path.display());
        }
    }
}
