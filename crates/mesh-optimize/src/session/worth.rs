//! Whether a cut pays (section 2), and what the session has paid and saved so far.

use super::decide::{Decision, Moment, Terms};
use super::memory::BYTES_PER_TOKEN;
use super::offer::Offer;
use super::state::SessionState;
use crate::body::Body;
use crate::ledger::{Split, Sums};
use crate::provider::Cache;
use crate::tier::{MARGIN, REQUESTS_LEFT};

/// A cut that pays.
pub(crate) struct Worth {
    /// All offers from this message on are cut.
    pub(crate) start: usize,
    /// The last place in front of it that the cache still has.
    pub(crate) base: Option<usize>,
    /// Tokens that are written again for it.
    pub(crate) rewritten: f64,
    /// What was paid to be able to make it, in plain input tokens.
    pub(crate) paid: f64,
}

impl Worth {
    /// The last message that the cache still has when this is cut.
    pub(crate) fn readable(&self, terms: &Terms<'_>) -> Option<usize> {
        self.base.filter(|_| terms.provider.is_marked()).or(self.start.checked_sub(1))
    }
}

impl SessionState {
    /// The cut that earns most, if one earns anything.
    ///
    /// Warm: `d` tokens cut earn `d * r` at each request to come, and cost `(w - r)` for each token that is written again, from
    /// the last living place in front of the cut on. Cold: nothing is written that would not be written anyway.
    ///
    /// Nobody knows how many requests are still to come. So a cut may put at risk only what the session has saved so far and a
    /// small share of what it has paid: wherever the session ends, it is at most by that share dearer than without us.
    pub(crate) fn worthwhile(
        &self,
        terms: &Terms<'_>,
        count: usize,
        offers: &[Offer],
        cold: bool,
    ) -> Option<Worth> {
        let provider = &terms.provider;
        let requests = self.memory.replies_before(count) as f64 + 1.0;
        let left = (requests * terms.tier.horizon).clamp(REQUESTS_LEFT.0, REQUESTS_LEFT.1);
        let stake = self.saved.gained + terms.tier.stake * self.saved.paid;
        let mut best: Option<(f64, Worth)> = None;
        let mut gain = 0.0;
        for offer in offers.iter().rev() {
            gain += offer.tokens;
            let worth = self.rewrite(terms, count, offer.message, gain, cold);
            let cost = worth.rewritten * (provider.write - provider.read);
            let earned = gain * (provider.read * left + if cold { provider.write } else { 0.0 });
            let value = earned - cost * MARGIN;
            if value > 0.0 && cost <= stake.max(0.0) && best.as_ref().is_none_or(|(most, _)| value > *most) {
                best = Some((value, worth));
            }
        }
        best.map(|(_, worth)| worth)
    }

    /// What a cut of `gain` tokens from message `start` on makes the cache write again.
    pub(crate) fn rewrite(
        &self,
        terms: &Terms<'_>,
        count: usize,
        start: usize,
        gain: f64,
        cold: bool,
    ) -> Worth {
        let behind = |message: usize| self.memory.sent_to(count) - self.memory.sent_to(message);
        let base = match terms.provider.is_marked() {
            true => self.saved.alive.range(..start).next_back().map(|(message, _)| *message),
            false => start.checked_sub(1),
        };
        let written = behind(base.map_or(0, |base| base + 1));
        let fresh = behind(self.saved.decided.min(count));
        let rewritten = if cold { 0.0 } else { (written - gain - fresh).max(0.0) };
        Worth { start, base, rewritten, paid: 0.0 }
    }

    /// The last message that the cache should still have, before anything is cut.
    pub(crate) fn readable(&self, terms: &Terms<'_>, moment: Moment) -> Option<usize> {
        if moment.cold {
            return None;
        }
        match terms.provider.cache {
            Cache::None => None,
            Cache::Marked { .. } => self.saved.alive.keys().next_back().copied(),
            Cache::Prefix => self.saved.decided.checked_sub(1),
        }
    }

    /// Divides the tokens of a request as it is sent, and as it would have been without us, and adds up both.
    pub(crate) fn account(
        &mut self,
        body: &Body<'_>,
        terms: &Terms<'_>,
        count: usize,
        moment: Moment,
        readable: Option<usize>,
        decision: &mut Decision,
    ) {
        let head = terms.head_bytes as f64 / BYTES_PER_TOKEN;
        let rest: usize = body.messages[terms.stay..].iter().map(|place| place.span.len()).sum();
        let rest = if count == terms.stay { rest as f64 / BYTES_PER_TOKEN } else { 0.0 };
        let own: Vec<usize> = terms.own_marks.iter().copied().filter(|mark| *mark < count).collect();
        let memory = &self.memory;
        let theirs = Sums { head, tokens: &memory.whole[..count], blocks: &memory.blocks[..count], rest };
        decision.native = self.saved.native.follow(&terms.provider, &theirs, &own, moment.now);
        let ours = Sums { head: head + decision.added, tokens: &memory.sent[..count], ..theirs };
        let marks = if own.is_empty() { &decision.marks } else { &own };
        let read = readable.filter(|last| *last < count).map_or(0.0, |last| ours.to(last));
        let written = match terms.provider.cache {
            Cache::None => 0.0,
            Cache::Marked { .. } => marks.last().map_or(0.0, |mark| ours.to(*mark)),
            Cache::Prefix => ours.total(),
        };
        let written = written.max(read);
        decision.sent = Split { read, write: written - read, plain: ours.total() - written };
        if count > self.saved.decided {
            let (paid, native) =
                (decision.sent.units(&terms.provider), decision.native.units(&terms.provider));
            self.saved.paid += paid;
            self.saved.gained += native - paid;
        }
    }
}
