//! Stands where the attachments will.

use crate::ui::line::Line;

/// Images that wait for the next prompt.
#[derive(Debug, Default)]
pub struct Attachments;

impl Attachments {
    /// Loads an image and queues it.
    pub fn queue(&mut self, _source: &str) -> Vec<Line> {
        Vec::new()
    }

    /// Drops what is queued.
    pub fn clear(&mut self) -> Vec<Line> {
        Vec::new()
    }

    /// How many are queued.
    pub fn queued(&self) -> usize {
        0
    }
}
