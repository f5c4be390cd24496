//! The seam for sessions that survive a crash: every input and effect passes a recorder before it takes hold.

use std::{future::Future, pin::Pin};

use serde::{Deserialize, Serialize};

use crate::turn::{Effect, Input, RECORD_VERSION};

/// One line of a session's story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format; see `docs/formats.md`.
    pub v: u32,
    /// Position in the session, from 0.
    pub seq: u64,
    /// What happened or is about to be done.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What a [`Record`] holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// An input, before the session takes its step.
    Input(Input),
    /// An effect, before it is performed.
    Effect(Effect),
}

impl Record {
    /// A record of the current version.
    pub fn new(seq: u64, entry: Entry) -> Record {
        Record { v: RECORD_VERSION, seq, entry }
    }
}

/// A boxed write.
pub type RecordFuture<'a> = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>>;

/// Keeps records. Awaited before each effect: what it returned from is durable.
pub trait Recorder: Send + Sync {
    /// Keeps one record.
    ///
    /// # Errors
    /// When the record could not be kept; the turn then ends before the effect is performed.
    fn record<'a>(&'a mut self, record: &'a Record) -> RecordFuture<'a>;

    /// Does this recorder keep anything? `false` spares the caller from building records.
    fn is_active(&self) -> bool {
        true
    }
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRecorder;

impl Recorder for NoRecorder {
    fn record<'a>(&'a mut self, _: &'a Record) -> RecordFuture<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_active(&self) -> bool {
        false
    }
}
