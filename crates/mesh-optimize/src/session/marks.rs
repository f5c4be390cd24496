//! Where breakpoints go.

use super::decide::Terms;
use super::memory::BYTES_PER_TOKEN;
use super::state::SessionState;
use crate::body::Role;
use crate::provider::{BREAKPOINTS, Cache};

/// So many places of the cache are remembered.
const PLACES: usize = 128;

impl SessionState {
    /// Bounds what is remembered of the cache: the place that was used longest ago goes first.
    pub(crate) fn forget_places(&mut self) {
        while self.saved.alive.len() > PLACES {
            let oldest = self
                .saved
                .alive
                .iter()
                .min_by(|a, b| a.1.0.total_cmp(&b.1.0).then(a.1.1.cmp(&b.1.1)))
                .map(|(at, _)| *at);
            oldest.and_then(|at| self.saved.alive.remove(&at));
        }
    }

    /// Whether the prefix up to and with message `until` is long enough to be cached.
    fn reaches_minimum(&self, terms: &Terms<'_>, until: usize) -> bool {
        let Cache::Marked { minimum } = terms.provider.cache else { return false };
        let head = terms.head_bytes as f64 / BYTES_PER_TOKEN + self.notes_tokens(terms);
        self.memory.sent_to(until + 1) + head >= f64::from(minimum)
    }

    /// The last system message in front of everything else, if it may carry a breakpoint.
    pub(crate) fn head_mark(&self, terms: &Terms<'_>) -> Option<usize> {
        let system = |known: &&super::memory::Known| known.message.role == Role::System;
        let last = self.memory.messages.iter().take(terms.stay).take_while(system).count().checked_sub(1)?;
        let able = self.memory.messages[last].message.site.is_some();
        (able && last >= terms.locked && self.reaches_minimum(terms, last)).then_some(last)
    }

    /// Where breakpoints go in a request of `count` messages: the frozen boundary, the previous tail, the tail.
    pub(crate) fn marks(&self, terms: &Terms<'_>, count: usize, cut: bool) -> Vec<usize> {
        let able = |message: &usize| self.memory.messages[*message].message.site.is_some();
        let Some(tail) = (terms.locked..count).rev().find(able) else { return Vec::new() };
        let first_open = self
            .memory
            .texts_in(self.saved.floor.min(count), count)
            .find(|text| {
                let fact = &self.memory.texts[*text];
                !fact.lossy && self.may_go(terms, fact, None)
            })
            .map_or(count, |text| self.memory.texts[text].message);
        let mut marks = vec![tail];
        if let Some((previous, _)) = self.saved.alive.range(..tail).next_back().filter(|_| !cut) {
            marks.push(*previous);
        }
        // On a cut everything behind the last living place is written anyway: a new boundary costs nothing there.
        let boundary = match cut {
            true => (terms.locked..first_open.min(tail)).rev().find(able),
            false => self.saved.alive.range(..first_open.min(tail)).next_back().map(|(message, _)| *message),
        };
        marks.extend(boundary);
        if cut {
            marks.extend(self.saved.alive.range(..tail).next_back().map(|(message, _)| *message));
        }
        let head = self.head_mark(terms);
        let slots = terms.slots - usize::from(head.is_some() && terms.slots > 1);
        let mut kept: Vec<usize> = Vec::with_capacity(BREAKPOINTS);
        for mark in marks {
            let fits = mark >= terms.locked
                && Some(mark) != head
                && !kept.contains(&mark)
                && self.reaches_minimum(terms, mark);
            if fits && kept.len() < slots {
                kept.push(mark);
            }
        }
        if terms.slots > kept.len() {
            kept.extend(head);
        }
        kept.sort_unstable();
        kept
    }
}
