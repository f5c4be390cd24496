//! What the dial did in this session: receipts summed, cuts listed, refusals told. "Why did the model forget X" is answered here.
//!
//! - this file: the books, shared between the requests that fill them and the commands that show them
//! - `audit`: the same cuts in a file that outlives the session
//! - `show`: the books as lines, for `/savings` and `/savings audit`
mod audit;
mod show;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_agent::{Receipt, saver::Sum};

use crate::{config::Folder, ui::line::Line};

pub use audit::AUDIT;

use audit::Audit;

/// Cuts that are kept in memory; the file has all of them.
const CUTS_KEPT: usize = 2_000;

/// A text that was changed in what the model sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The name under which it can be read again.
    pub id: String,
    /// Its message among those of a request, from 0.
    pub message: usize,
    /// What changed it, in a word or two.
    pub lever: &'static str,
    /// SHA-256 of the text as it was, in hex.
    pub sha256: String,
    /// Bytes of the text before and after.
    pub before: usize,
    /// See [`Cut::before`].
    pub after: usize,
    /// Something was lost from what the model sees.
    pub is_lossy: bool,
}

/// What one lever did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    cuts: usize,
    before: usize,
    after: usize,
}

/// The books of a session. Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub struct Books(Arc<Mutex<Pages>>);

#[derive(Debug)]
struct Pages {
    audit: Audit,
    sum: Sum,
    estimates: u64,
    input: u64,
    cache_read: u64,
    cache_write: u64,
    tokens_cut: u64,
    tokens_added: u64,
    tokens_rewritten: u64,
    /// Requests that carried breakpoints of ours.
    marked: u64,
    levers: BTreeMap<&'static str, Done>,
    misses: BTreeMap<&'static str, u64>,
    cuts: Vec<Cut>,
    /// Cuts that are only in the file.
    older: usize,
    recalls: u64,
    refusals: Vec<String>,
}

impl Books {
    /// Empty books of the session with this id; the file of cuts is in `folder`.
    pub fn new(folder: &Folder, session_id: &str) -> Books {
        Books(Arc::new(Mutex::new(Pages {
            audit: Audit::new(folder.clone(), session_id),
            sum: Sum::default(),
            estimates: 0,
            input: 0,
            cache_read: 0,
            cache_write: 0,
            tokens_cut: 0,
            tokens_added: 0,
            tokens_rewritten: 0,
            marked: 0,
            levers: BTreeMap::new(),
            misses: BTreeMap::new(),
            cuts: Vec::new(),
            older: 0,
            recalls: 0,
            refusals: Vec::new(),
        })))
    }

    /// A request was prepared: these texts were changed for the first time, and so many breakpoints are in it.
    pub fn prepared(&self, model: &str, cuts: Vec<Cut>, breakpoints: usize) {
        let mut pages = self.pages();
        pages.marked += u64::from(breakpoints > 0);
        pages.audit.append(model, &cuts);
        for cut in &cuts {
            let done = pages.levers.entry(cut.lever).or_default();
            done.cuts += 1;
            done.before += cut.before;
            done.after += cut.after;
        }
        pages.cuts.extend(cuts);
        let over = pages.cuts.len().saturating_sub(CUTS_KEPT);
        pages.cuts.drain(..over);
        pages.older += over;
    }

    /// A request was answered. Returns the session's sums, this request included.
    pub fn settled(&self, receipt: &Receipt) -> Sum {
        let mut pages = self.pages();
        let sum = &mut pages.sum;
        sum.requests += 1;
        sum.unpriced += u64::from(receipt.billed_usd.is_none());
        sum.billed_usd += receipt.billed_usd.unwrap_or(0.0);
        sum.saved_vs_native_usd += receipt.saved_vs_native_usd.unwrap_or(0.0);
        sum.saved_vs_uncached_usd += receipt.saved_vs_uncached_usd.unwrap_or(0.0);
        let sum = *sum;
        pages.estimates += u64::from(receipt.is_estimate);
        pages.input += receipt.input;
        pages.cache_read += receipt.cache_read;
        pages.cache_write += receipt.cache_write;
        pages.tokens_cut += receipt.tokens_cut;
        pages.tokens_added += receipt.tokens_added;
        pages.tokens_rewritten += receipt.tokens_rewritten;
        if let Some(miss) = receipt.miss {
            *pages.misses.entry(miss).or_default() += 1;
        }
        sum
    }

    /// A prepared request was refused; `note` says what follows from it.
    pub fn refused(&self, note: &str) {
        self.pages().refusals.push(note.to_owned());
    }

    /// The model read a cut text again.
    pub fn recalled(&self) {
        self.pages().recalls += 1;
    }

    /// The sums and what they come from.
    pub fn lines(&self) -> Vec<Line> {
        show::lines(&self.pages())
    }

    /// The cuts, the newest last.
    pub fn audit_lines(&self) -> Vec<Line> {
        show::audit(&self.pages())
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
