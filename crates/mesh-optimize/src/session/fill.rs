//! Notes that make a short prefix long enough to be cached.
//!
//! Below a provider's minimum nothing is cached, and every request pays for all of its prefix. Text that is worth reading and never
//! changes, put once behind the system prompt, lifts the prefix over the minimum; from then on it is read at the price of a cached
//! token. While nothing is in the cache, changing the prefix costs nothing.

use std::sync::Arc;

use super::decide::Terms;
use super::state::SessionState;
use crate::body::{Body, Own, Role, Site, Splice};
use crate::json::quote_into;
use crate::ledger::BLOCK_TOKENS;
use crate::provider::{Cache, Provider};
use crate::tier::REQUESTS_LEFT;
use crate::weight::weigh;

/// The prefix is made so much longer than the minimum. What stood there before is about 1,600 tokens, estimated within 8 % (`weight`):
/// 130 tokens, 3 % of 4,096. To be a little too short costs more than to be a little too long: nothing is cached at all.
const MARGIN: f64 = 1.03;

/// Tokens of the text that Anthropic itself puts in front of tools. Its page on tool use, Claude 4 and later.
const TOOLS_PROMPT: f64 = 346.0;

/// A request before anything is added, in tokens.
#[derive(Clone, Copy, Debug)]
struct Short {
    /// The prefix.
    prefix: f64,
    /// What each request adds.
    growth: f64,
    /// What the provider caches at least.
    minimum: f64,
}

impl Short {
    /// What the next `requests` cost as they are, in plain input tokens. Long enough at last, they are cached.
    fn left_alone(&self, provider: &Provider, requests: u32) -> f64 {
        let mut is_cached = false;
        (0..requests).fold(0.0, |cost, request| {
            let prefix = self.prefix + f64::from(request) * self.growth;
            cost + match (prefix >= self.minimum, is_cached) {
                (false, _) => prefix,
                (true, false) => {
                    is_cached = true;
                    prefix * provider.write
                }
                (true, true) => (prefix - self.growth) * provider.read + self.growth * provider.write,
            }
        })
    }

    /// What they cost with so many tokens added.
    fn filled(&self, provider: &Provider, requests: u32, added: f64) -> f64 {
        let full = self.prefix + added;
        (1..requests).fold(full * provider.write, |cost, request| {
            let cached = full + f64::from(request - 1) * self.growth;
            cost + cached * provider.read + self.growth * provider.write
        })
    }

    /// Nobody knows how many requests are still to come: it must pay if they are few and if they are many.
    fn pays(&self, provider: &Provider, added: f64) -> bool {
        [REQUESTS_LEFT.0, REQUESTS_LEFT.1].into_iter().all(|requests| {
            let requests = requests as u32;
            self.filled(provider, requests, added) < self.left_alone(provider, requests)
        })
    }
}

/// The first lines of the notes.
fn lines(notes: &str, count: usize) -> &str {
    let end = notes.split_inclusive('\n').take(count).map(str::len).sum();
    notes[..end].trim_end()
}

impl SessionState {
    /// Decides how many lines of the notes stand behind the system prompt. `is_free`: nothing of the session is in the cache.
    pub(crate) fn fill(&mut self, body: &Body<'_>, terms: &Terms<'_>, count: usize, is_free: bool) {
        if is_free {
            self.saved.notes = 0;
        }
        if self.saved.notes > 0 {
            return;
        }
        let Some((notes, short)) = terms.notes.zip(self.short(body, terms, count)) else { return };
        let mut added = 0.0;
        for (number, line) in notes.lines().enumerate() {
            added += weigh(line) * self.saved.heavier.unwrap_or(1.0);
            if short.prefix + added >= short.minimum {
                if short.pays(&terms.provider, added) {
                    self.saved.notes = number + 1;
                    self.saved.alive.clear();
                }
                return;
            }
        }
    }

    /// The request of the first `count` messages, if it goes on with a tool's result and is too short to be cached.
    fn short(&self, body: &Body<'_>, terms: &Terms<'_>, count: usize) -> Option<Short> {
        let Cache::Marked { minimum } = terms.provider.cache else { return None };
        let messages = &self.memory.messages[..count];
        let is_hop = messages.last()?.message.role == Role::Results;
        let system = &messages.first()?.message;
        let is_open = terms.locked == 0 && terms.slots > 0 && system.role == Role::System;
        if !is_hop || !is_open || !matches!(system.site, Some(Site::Content(_))) {
            return None;
        }
        let minimum = f64::from(minimum) * MARGIN;
        let prefix = self.weigh_prefix(body, terms, count)? * self.saved.heavier.unwrap_or(1.0);
        let first = messages.iter().position(|known| known.message.role == Role::Assistant)?;
        let before = self.weigh_prefix(body, terms, first)? * self.saved.heavier.unwrap_or(1.0);
        let growth = (prefix - before) / self.memory.replies_before(count) as f64;
        (prefix < minimum).then_some(Short { prefix, growth: growth.max(1.0), minimum })
    }

    /// Tokens (estimated) of a request of the first `count` messages; `None` where nobody asks.
    pub(crate) fn weigh_prefix(&self, body: &Body<'_>, terms: &Terms<'_>, count: usize) -> Option<f64> {
        terms.notes.filter(|_| terms.optimise && terms.provider.is_marked())?;
        let tools = body.raw("tools").and_then(|tools| std::str::from_utf8(tools).ok());
        let blocks = count.checked_sub(1).and_then(|last| self.memory.blocks.get(last)).copied().unwrap_or(0);
        let head = tools.map_or(0.0, |tools| weigh(tools) + TOOLS_PROMPT + BLOCK_TOKENS);
        Some(head + self.memory.sent_to(count) + blocks as f64 * BLOCK_TOKENS)
    }

    /// Tokens (estimated) of the notes that stand behind the system prompt.
    pub(crate) fn notes_tokens(&self, terms: &Terms<'_>) -> f64 {
        terms.notes.map_or(0.0, |notes| weigh(lines(notes, self.saved.notes)))
    }

    /// Puts the notes behind the system prompt.
    pub(crate) fn add_notes(&self, body: &Body<'_>, terms: &Terms<'_>, splices: &mut Vec<Splice>) {
        let Some(notes) = terms.notes.filter(|_| self.saved.notes > 0) else { return };
        let (Some(place), Some(system)) = (body.messages.first(), self.memory.messages.first()) else {
            return;
        };
        let Some(Site::Content(span)) = &system.message.site else { return };
        let at = place.span.start + span.end - 1;
        let mut quoted = String::new();
        quote_into(&format!("\n\n{}", lines(notes, self.saved.notes)), &mut quoted);
        splices.push(Splice { span: at..at, with: Own::Shared(Arc::from(quoted.as_bytes())) });
    }
}
