//! What the same client would have paid without us: its own cache, followed request by request.
//!
//! Nobody measures a request that was not sent. So the cache rules of section 2 are run over the client's own messages: under
//! explicit breakpoints a client that marks its system text, its last message that stays, and one message at most 16 blocks in
//! front of it; under automatic caching the untouched traffic. Breakpoints that the client sets itself are taken as they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::provider::{BREAKPOINTS, Cache, LOOKBACK, Provider};

/// Blocks between the last breakpoint of the client without us and the one in front of it.
const ANCHOR: usize = 16;

/// Structural tokens of a content block. From the billing simulator.
pub(crate) const BLOCK_TOKENS: f64 = 4.0;

/// A request as the ledger sees it: running sums up to the end of each message that stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums<'a> {
    /// Tokens (estimated) in front of the messages, and in the messages that do not stay.
    pub(crate) head: f64,
    pub(crate) rest: f64,
    /// Tokens (estimated).
    pub(crate) tokens: &'a [f64],
    /// Content blocks.
    pub(crate) blocks: &'a [usize],
}

impl Sums<'_> {
    /// Tokens up to the end of a message.
    pub(crate) fn to(&self, message: usize) -> f64 {
        self.head + self.tokens[message] + self.blocks[message] as f64 * BLOCK_TOKENS
    }

    /// Tokens of the request.
    pub(crate) fn total(&self) -> f64 {
        self.rest + self.tokens.len().checked_sub(1).map_or(self.head, |last| self.to(last))
    }
}

/// How the tokens of a request divide, in estimated tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Read from the provider's cache.
    pub read: f64,
    /// New to the cache.
    pub write: f64,
    /// Neither.
    pub plain: f64,
}

impl Split {
    /// All of them.
    pub fn total(&self) -> f64 {
        self.read + self.write + self.plain
    }

    /// What they cost, in plain input tokens.
    pub fn units(&self, provider: &Provider) -> f64 {
        let write = if provider.cache == Cache::None { 1.0 } else { provider.write };
        self.read * provider.read + self.write * write + self.plain
    }
}

/// The cache that the client would have without us.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Native {
    /// Messages whose end is a place in the cache, and until when.
    entries: BTreeMap<usize, f64>,
}

impl Native {
    /// The client changed its history from message `from` on.
    pub(crate) fn rewritten(&mut self, from: usize) {
        self.entries.retain(|message, _| *message < from);
    }

    /// What stands in front of the messages changed.
    pub(crate) fn moved(&mut self) {
        self.entries.clear();
    }

    /// Follows a request; `own` are breakpoints that the client sets itself.
    pub(crate) fn follow(&mut self, provider: &Provider, sums: &Sums<'_>, own: &[usize], now: f64) -> Split {
        let total = sums.total();
        let Some(tail) = sums.tokens.len().checked_sub(1) else {
            return Split { plain: total, ..Split::default() };
        };
        let (mut read, mut written) = (0.0, 0.0);
        match provider.cache {
            Cache::None => {}
            Cache::Prefix => {
                let hit = self
                    .entries
                    .range(..=tail)
                    .rev()
                    .find(|(_, until)| **until >= now)
                    .map(|(message, _)| *message);
                read = hit.map_or(0.0, |message| sums.to(message));
                if read < 1024.0 {
                    read = 0.0;
                }
                written = total;
                self.entries = BTreeMap::from([(tail, now + provider.life)]);
            }
            Cache::Marked { minimum } => {
                let marks = if own.is_empty() { marks(sums, tail) } else { own.to_vec() };
                let long = |message: &usize| sums.to(*message) >= f64::from(minimum);
                let hit = marks.iter().filter_map(|mark| self.found(sums, *mark, now)).filter(long).max();
                read = hit.map_or(0.0, |message| sums.to(message));
                for mark in marks.iter().chain(&hit).filter(|mark| long(mark)) {
                    self.entries.insert(*mark, now + provider.life);
                    written = f64::max(written, sums.to(*mark));
                }
                self.entries.retain(|_, until| *until >= now);
            }
        }
        let written = written.max(read);
        Split { read, write: written - read, plain: total - written }
    }

    /// The place that a breakpoint at the end of `mark` finds.
    fn found(&self, sums: &Sums<'_>, mark: usize, now: f64) -> Option<usize> {
        let near = |message: &usize| sums.blocks[mark] - sums.blocks[*message] < LOOKBACK;
        let alive = self.entries.range(..=mark).rev().filter(|(_, until)| **until >= now);
        alive.map(|(message, _)| *message).take_while(near).next()
    }
}

/// The simulator's `bp_tail`: the first message, the last, and one in front of it so near that it is found again.
fn marks(sums: &Sums<'_>, tail: usize) -> Vec<usize> {
    let mut marks = vec![0, tail];
    let before = |message: usize| message.checked_sub(1).map_or(0, |before| sums.blocks[before]);
    marks.extend((1..=tail).rev().find(|message| sums.blocks[tail] - before(*message) >= ANCHOR));
    marks.sort_unstable();
    marks.dedup();
    marks.truncate(BREAKPOINTS);
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of messages of one block each.
    fn follow(native: &mut Native, provider: &Provider, tokens: &[f64], rest: f64, now: f64) -> Split {
        let mut sum = 0.0;
        let running: Vec<f64> = tokens
            .iter()
            .map(|tokens| {
                sum += tokens - BLOCK_TOKENS;
                sum
            })
            .collect();
        let blocks: Vec<usize> = (1..=tokens.len()).collect();
        native.follow(provider, &Sums { head: 0.0, rest, tokens: &running, blocks: &blocks }, &[], now)
    }

    #[test]
    fn breakpoints_are_read_while_they_live() {
        let (mut native, provider) = (Native::default(), Provider::ANTHROPIC);
        let first = follow(&mut native, &provider, &[2000.0, 500.0], 0.0, 0.0);
        assert_eq!(first, Split { read: 0.0, write: 2500.0, plain: 0.0 });
        let second = follow(&mut native, &provider, &[2000.0, 500.0, 100.0, 900.0], 60.0, 200.0);
        assert_eq!(second, Split { read: 2500.0, write: 1000.0, plain: 60.0 });
        let late = follow(&mut native, &provider, &[2000.0, 500.0, 100.0, 900.0, 10.0], 0.0, 501.0);
        assert_eq!(late, Split { read: 0.0, write: 3510.0, plain: 0.0 });
        assert!((second.units(&provider) - (250.0 + 1250.0 + 60.0)).abs() < 1e-9);
    }

    #[test]
    fn automatic_caches_read_what_was_there() {
        let (mut native, provider) = (Native::default(), Provider::prefix(0.5));
        follow(&mut native, &provider, &[2000.0, 500.0], 0.0, 0.0);
        let second = follow(&mut native, &provider, &[2000.0, 500.0, 100.0], 0.0, 10.0);
        assert_eq!(second, Split { read: 2500.0, write: 100.0, plain: 0.0 });
        native.rewritten(1);
        assert_eq!(follow(&mut native, &provider, &[2000.0, 7.0], 0.0, 20.0).read, 0.0);
    }
}
