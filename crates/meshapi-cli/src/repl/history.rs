//! What was typed before, shared with the Python releases: reedline's memory over the history file.

use reedline::{
    FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, Result, SearchQuery,
};

use crate::config::{Folder, history};

/// Entries that are kept in memory. Our choice: months of work.
const CAPACITY: usize = 10_000;

/// Entries of all sessions in memory; what is typed is appended to the file, one that holds a key is not.
#[derive(Debug)]
pub struct PromptHistory {
    memory: FileBackedHistory,
    folder: Folder,
}

impl PromptHistory {
    /// Reads the file. Where it cannot be read, the session begins without a past.
    ///
    /// # Errors
    /// Never with a capacity that is a number.
    pub fn load(folder: Folder) -> Result<PromptHistory> {
        let mut memory = FileBackedHistory::new(CAPACITY)?;
        let entries = history::load(&folder).unwrap_or_default();
        for entry in entries.iter().skip(entries.len().saturating_sub(CAPACITY)) {
            memory.save(HistoryItem::from_command_line(entry))?;
        }
        Ok(PromptHistory { memory, folder })
    }
}

impl History for PromptHistory {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        // A history that cannot be written is no reason to lose the prompt itself.
        if let Err(error) = history::append(&self.folder, &item.command_line) {
            tracing::warn!(%error, "the history was not written");
        }
        self.memory.save(item)
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.memory.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.memory.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.memory.search(query)
    }

    fn update(&mut self, id: HistoryItemId, updater: &dyn Fn(HistoryItem) -> HistoryItem) -> Result<()> {
        self.memory.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.memory.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.memory.delete(id)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn session(&self) -> Option<HistorySessionId> {
        None
    }
}
