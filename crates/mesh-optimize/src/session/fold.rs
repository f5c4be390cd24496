//! When a session nears the end of the model's window: what is old goes, whether it pays or not.
//!
//! The fold changes texts, not messages: calls keep their results, and what the user and the assistant said stays word for word.

use super::decide::{Moment, Terms};
use super::memory::BYTES_PER_TOKEN;
use super::offer::RECENT;
use super::state::SessionState;
use super::worth::Worth;
use crate::body::{Body, Part, Role};
use crate::edit::Edit;
use crate::helpers::Summarize;
use crate::ledger::BLOCK_TOKENS;
use crate::tier::{Fold, Tier};
use crate::weight::weigh;

/// A fold frees at least this share of what it is meant to.
const LEAST: f64 = 0.3;

impl Terms<'_> {
    /// The same request under the rules of a fold.
    pub(crate) fn folding(&self) -> Self {
        Terms { tier: Tier::FOLD, ..self.clone() }
    }
}

impl SessionState {
    /// The texts that a fold takes from a request of `count` messages, if one is due.
    ///
    /// What the assistant used longest ago goes first, and no more than has to.
    pub(crate) fn fold(
        &self,
        body: &Body<'_>,
        terms: &Terms<'_>,
        count: usize,
        cold: bool,
    ) -> Option<(Worth, Vec<usize>)> {
        let (total, target) = self.due(terms, count, cold)?;
        let mut offers = self.foldable(body, &terms.folding(), count);
        offers.sort_by_key(|offer| (self.memory.texts[offer.text].used, offer.text));
        let (mut texts, mut start, mut gain) = (Vec::new(), usize::MAX, 0.0);
        for offer in offers {
            if total - gain <= target {
                break;
            }
            gain += offer.tokens;
            start = start.min(offer.message);
            texts.push(offer.text);
        }
        // What frees little comes again at the next request, and writes the cache again each time.
        (gain >= (total - target) * LEAST).then(|| (self.rewrite(terms, count, start, gain, cold), texts))
    }

    /// The tokens of a request that is too full, and what they should go down to.
    fn due(&self, terms: &Terms<'_>, count: usize, cold: bool) -> Option<(f64, f64)> {
        let (Fold { warm, cold: at_rest, to }, window) = terms.tier.fold.zip(terms.window)?;
        let blocks = count.checked_sub(1).and_then(|last| self.memory.blocks.get(last)).copied().unwrap_or(0);
        let total = terms.head_bytes as f64 / BYTES_PER_TOKEN
            + self.memory.sent_to(count)
            + blocks as f64 * BLOCK_TOKENS;
        (total > window * if cold { at_rest } else { warm }).then_some((total, window * to))
    }

    /// Where a fold was not enough: what the assistant said is summed up by a model of the caller's. What the user said stays.
    pub(crate) fn sum_talk_up(
        &mut self,
        body: &Body<'_>,
        terms: &Terms<'_>,
        count: usize,
        moment: Moment,
        by: &mut (dyn Summarize + '_),
    ) -> Option<(Worth, Vec<usize>)> {
        let (total, target) = self.due(terms, count, moment.cold)?;
        let texts: Vec<usize> = self.memory.texts_in(terms.locked, count.saturating_sub(RECENT)).collect();
        let texts: Vec<usize> = texts.into_iter().filter(|text| self.is_talk(*text)).collect();
        let talk: Vec<String> = texts
            .iter()
            .filter_map(|text| self.original(body, *text))
            .map(|text| text.into_owned())
            .collect();
        let (first, tokens) =
            (*texts.first()?, texts.iter().map(|text| self.memory.texts[*text].sent).sum::<f64>());
        if tokens < (total - target) * LEAST {
            return None;
        }
        let summary = by.summarize(&talk.join("\n\n"))?;
        let name = self.memory.name(&self.memory.texts[first]);
        let note = format!("[summary of what was said up to here, by a model]\n{}", summary.text);
        // Longer than what it sums up: paid for, and of no use.
        if weigh(&note) >= tokens {
            return None;
        }
        let worth = self.rewrite(terms, count, self.memory.texts[first].message, tokens, moment.cold);
        for text in &texts {
            let words = if *text == first { note.clone() } else { format!("[summed up in {name}]") };
            self.replace(body, *text, Edit::note(words));
        }
        Some((Worth { paid: summary.units, ..worth }, texts))
    }

    fn is_talk(&self, text: usize) -> bool {
        let fact = &self.memory.texts[text];
        let role = self.memory.messages[fact.message].message.role;
        matches!(fact.part, Part::Words) && role == Role::Assistant && !self.saved.frozen.contains_key(&text)
    }
}
