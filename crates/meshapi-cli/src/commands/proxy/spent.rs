//! What was spent today, kept over a restart: a cap on a day is one, however often the proxy is started.

use std::io::{self, Write as _, stderr};

use mesh_optimize::relay::Day;

use crate::{
    config::{Durability, Folder},
    exit::{Exit, Failure},
};

/// Its file in our folder.
const FILE: &str = "proxy-spent.json";
/// Held while it is changed.
const LOCK: &str = "proxy-spent.lock";

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
        self.read().map_err(|error| {
            let message = format!("{} cannot be read: {error}", self.0.file(FILE).display());
            Failure::new(Exit::Failure, "spent", message)
                .hint("it says what was spent today; remove it to begin anew")
        })
    }

    /// Adds to what was spent on a day, by this proxy or by another of the same home; returns the sum.
    pub(super) fn add(&self, spent: Day) -> Day {
        self.try_add(spent).unwrap_or_else(|error| {
            let path = self.0.file(FILE);
            // Nobody may be reading; the cap still holds as long as this runs.
            let _ =
                writeln!(stderr(), "proxy: what was spent today is not kept in {}: {error}", path.display());
            spent
        })
    }

    fn try_add(&self, spent: Day) -> io::Result<Day> {
        // One proxy after the other; the lock ends with the file.
        let lock = self.0.append(LOCK)?;
        lock.lock()?;
        let before = self.read()?;
        let usd = spent.usd + if before.day == spent.day { before.usd } else { 0.0 };
        let sum = Day { usd, ..spent };
        self.0.write(FILE, &serde_json::to_vec(&sum)?, Durability::Lazy)?;
        Ok(sum)
    }

    fn read(&self) -> io::Result<Day> {
        match self.0.read(FILE)? {
            Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
            None => Ok(Day::default()),
        }
    }
}
