//! Stands where the attachments will.

use crate::ui::line::{Line, Style};

/// Images that wait for the next prompt.
#[derive(Debug, Default)]
pub struct Attachments {
    queued: usize,
}

impl Attachments {
    /// Loads an image and queues it.
    pub fn queue(&mut self, _source: &str) -> Vec<Line> {
        vec![Line::of(Style::Bad, "Can't attach: images are not taken yet")]
    }

    /// Drops what is queued.
    pub fn clear(&mut self) -> Vec<Line> {
        vec![Line::of(Style::Dim, "Nothing queued.")]
    }

    /// How many are queued.
    pub fn queued(&self) -> usize {
        self.queued
    }
}
