//! At each request: what else goes, by the break-even rule of section 2, and where the breakpoints stand.
//!
//! A history is followed request by request. Requests that this state has not seen (a resumed session, a lost state) are decided
//! again as they must have been: every reply of the assistant answered a request of all that stands in front of it.

use std::collections::BTreeMap;

use super::learn::decoded;
use super::memory::Fact;
use super::state::{Frozen, SessionState, Use};
use crate::body::{Body, Part, Role};
use crate::edit::{Edit, Hole};
use crate::ledger::{BLOCK_TOKENS, Split, Sums};
use crate::levers::{arguments, shorten};
use crate::plan::Miss;
use crate::provider::{BREAKPOINTS, Cache, Provider};
use crate::tier::{MARGIN, REQUESTS_LEFT, Tier};

/// Bytes of a token: 2.77 characters, counted on recorded Claude sessions (section 7). Only ratios of it decide anything.
pub(crate) const BYTES_PER_TOKEN: f64 = 2.77;

/// The last messages that stay are not touched. Section 6.
const RECENT: usize = 4;

/// Results further back than this are left as they are: bounds the work on histories of hundreds of thousands of messages.
const HORIZON: usize = 4000;

/// Arguments of a message are looked at from so many bytes on. From the prototypes of section 4.
const LEAST_ARGUMENTS: usize = 1000;

/// A cut saves at least this many tokens. Section 6.
const LEAST_TOKENS: f64 = 50.0;

/// So many places of the cache are remembered.
const PLACES: usize = 128;

/// Seconds between two requests when the caller has no clock. The usual pace of an agent.
const PACE: f64 = 15.0;

/// What holds for one request.
#[derive(Clone)]
pub(crate) struct Terms<'t> {
    pub(crate) tier: Tier,
    pub(crate) provider: Provider,
    /// Messages that will be there in the next request too.
    pub(crate) stay: usize,
    /// Messages inside a breakpoint of the client's: what is in them was promised not to change.
    pub(crate) locked: usize,
    /// Breakpoints that may be set.
    pub(crate) slots: usize,
    /// Seconds of the caller's clock.
    pub(crate) now: Option<f64>,
    /// Hash of what stands in front of the messages.
    pub(crate) head: u64,
    /// Messages in which the client set breakpoints itself.
    pub(crate) own_marks: Vec<usize>,
    /// Bytes in front of the messages.
    pub(crate) head_bytes: usize,
    /// How a cut text can be read again.
    pub(crate) recall: &'t dyn Fn(&str) -> String,
}

/// What was decided for a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// Messages that end in a breakpoint, in order.
    pub(crate) marks: Vec<usize>,
    /// Texts that were cut for the first time.
    pub(crate) cut: Vec<usize>,
    /// Tokens that had to be written again for it.
    pub(crate) rewritten: f64,
    /// How the tokens divide, with this decision and without us.
    pub(crate) sent: Split,
    pub(crate) native: Split,
    /// Why the provider's cache has nothing of this session any more.
    pub(crate) miss: Option<Miss>,
}

/// A text that may be cut now.
struct Offer {
    text: usize,
    message: usize,
    tokens: f64,
}

impl SessionState {
    /// Follows the history of `body` and decides on the request that it is.
    pub(crate) fn follow(&mut self, body: &Body<'_>, terms: &Terms<'_>) -> Decision {
        let rewrote = self.sync(body, terms);
        let idle = terms.now.zip(self.saved.last).is_some_and(|(now, last)| now - last > terms.provider.life);
        let moved = self.saved.head != terms.head && !self.saved.seen.is_empty();
        let now = terms.now.unwrap_or_else(|| self.saved.last.unwrap_or(0.0) + PACE);
        if moved {
            self.saved.alive.clear();
            self.saved.native.moved();
        }
        let sent = self.saved.seen.len();
        while self.memory.messages.len() < terms.stay {
            let next = self.memory.messages.len();
            if next > sent && is_reply(body, next) {
                self.decide(body, terms, next, now, false);
            }
            self.learn(body, next >= terms.locked);
        }
        let alive = self.saved.alive.clone();
        self.saved.sent_before = if idle || moved { 0 } else { sent };
        let decision = self.decide(body, terms, terms.stay, now, idle || moved);
        let (sent, native) = self.splits(body, terms, &decision, &alive, now);
        (self.saved.last, self.saved.head) = (Some(now), terms.head);
        let miss = [(moved, Miss::Head), (idle, Miss::Idle), (rewrote, Miss::History)];
        Decision {
            sent,
            native,
            miss: miss.into_iter().find(|(is, _)| *is).map(|(_, miss)| miss),
            ..decision
        }
    }

    /// Brings the state to what `body` has in common with it; says whether the client changed what it had sent.
    fn sync(&mut self, body: &Body<'_>, terms: &Terms<'_>) -> bool {
        let places = body.messages[..terms.stay].iter();
        let same =
            |(seen, place): &(&(usize, u64), &crate::body::Place)| **seen == (place.span.len(), place.hash);
        let common = self.saved.seen.iter().zip(places).take_while(same).count();
        let rewrote = common < self.saved.seen.len();
        if rewrote {
            self.saved.seen.truncate(common);
            self.saved.alive.retain(|message, _| *message < common);
            self.saved.native.rewritten(common);
            self.saved.floor = self.saved.floor.min(common);
            self.saved.decided = self.saved.decided.min(common);
            if self.memory.messages.len() > common {
                self.memory = super::memory::Memory::default();
            }
        }
        while self.memory.messages.len() < common {
            self.learn(body, true);
        }
        let known = self.memory.texts.len();
        self.saved.frozen.retain(|text, _| *text < known);
        rewrote
    }

    /// Decides on the request of the first `count` messages.
    fn decide(&mut self, body: &Body<'_>, terms: &Terms<'_>, count: usize, now: f64, cold: bool) -> Decision {
        let life = terms.provider.life;
        self.saved.alive.retain(|message, used| *message < count && now - used.0 <= life);
        let mut decision = Decision::default();
        let offers = self.offers(body, terms, count);
        let start = self.worthwhile(terms, count, &offers, cold);
        if let Some((start, base, rewritten)) = start {
            for offer in offers.iter().filter(|offer| offer.message >= start) {
                if self.cut(body, terms, offer.text) {
                    decision.cut.push(offer.text);
                }
            }
            self.saved.alive.retain(|message, _| base.is_some_and(|base| *message <= base));
            self.saved.floor = start;
            decision.rewritten = rewritten;
        }
        self.saved.decided = count;
        if terms.provider.is_marked() {
            decision.marks = self.marks(terms, count, start.is_some());
            for mark in &decision.marks {
                self.saved.alive.insert(*mark, Use(now, count));
            }
            self.forget_places();
        }
        decision
    }

    /// The texts that a rule allows to cut in a request of `count` messages, in order.
    fn offers(&mut self, body: &Body<'_>, terms: &Terms<'_>, count: usize) -> Vec<Offer> {
        let mut offers = Vec::new();
        let replies = self.replies_before(count);
        let until = count.saturating_sub(RECENT);
        let from = count.saturating_sub(HORIZON).max(terms.locked);
        for text in self.texts_in(from, until) {
            let fact = &self.memory.texts[text];
            let known = &self.memory.messages[fact.message];
            let behind = replies - known.replies - usize::from(known.message.role == Role::Assistant);
            if fact.lossy
                || behind == 0
                || self.memory.pinned.contains(&text)
                || !self.may_go(terms, fact, Some(behind))
            {
                continue;
            }
            let message = fact.message;
            let bytes = match fact.offer {
                Some(bytes) => bytes,
                None => {
                    // Names that were used before this text: the same whenever it is asked.
                    let bytes = self.shortened(body, terms, text, message).map_or(0, |(_, bytes)| bytes);
                    self.memory.texts[text].offer = Some(bytes);
                    bytes
                }
            };
            let tokens = bytes as f64 / BYTES_PER_TOKEN;
            if tokens >= LEAST_TOKENS {
                offers.push(Offer { text, message, tokens });
            }
        }
        offers
    }

    /// Whether a text may be cut, now (`behind` replies follow it) or ever.
    fn may_go(&self, terms: &Terms<'_>, fact: &Fact, behind: Option<usize>) -> bool {
        let old = |after: usize| behind.is_none_or(|behind| behind >= after);
        let superseded = fact
            .path
            .and_then(|path| self.memory.touched.get(&path))
            .is_some_and(|last| *last > fact.message + 1);
        match fact.part {
            Part::Words => false,
            Part::Result(_) => terms
                .tier
                .rule(fact.kind, superseded || behind.is_none())
                .is_some_and(|rule| fact.now >= rule.least && old(rule.after)),
            Part::Call(_) => terms.tier.arguments.is_some_and(|rule| {
                fact.now >= LEAST_ARGUMENTS
                    && old(if superseded { rule.after_superseded } else { rule.after })
            }),
        }
    }

    /// What a text would be after its cut, and how many bytes that takes. Names count that were used before message `named`.
    fn shortened(
        &self,
        body: &Body<'_>,
        terms: &Terms<'_>,
        text: usize,
        named: usize,
    ) -> Option<(Edit, usize)> {
        let fact = &self.memory.texts[text];
        let known = &self.memory.messages[fact.message];
        let place = &body.messages[fact.message];
        let original = decoded(body.bytes, place.span.start, known.message.texts.get(fact.index)?)?;
        let edit = match self.saved.frozen.get(&text) {
            Some(frozen) => frozen.edit.clone(),
            None => Edit::nothing(original.text.len()),
        };
        let now = edit.text(&original.text);
        let name = self.memory.name(fact);
        let note = |bytes: usize| format!("[... {bytes} bytes cut{} ...]", (terms.recall)(&name));
        let holes: Vec<Hole> = match fact.part {
            Part::Call(_) => arguments::shorten(&now, note),
            _ => {
                let rule = terms.tier.rule(fact.kind, true)?;
                shorten::shorten(
                    &now,
                    rule,
                    |name| self.memory.named.get(&name).is_some_and(|first| *first < named),
                    note,
                )?
            }
        };
        let cut = edit.without(&holes);
        let bytes = now.len().saturating_sub(cut.len());
        (bytes > 0).then_some((cut, bytes))
    }

    /// Cuts a text for good.
    fn cut(&mut self, body: &Body<'_>, terms: &Terms<'_>, text: usize) -> bool {
        let Some((edit, _)) = self.shortened(body, terms, text, usize::MAX) else { return false };
        let fact = &self.memory.texts[text];
        let known = &self.memory.messages[fact.message];
        let inner = &known.message.texts[fact.index];
        let Some(original) = decoded(body.bytes, body.messages[fact.message].span.start, inner) else {
            return false;
        };
        let (rendered, now) = (edit.render(body.bytes, &original, inner.form), edit.len());
        let fact = &mut self.memory.texts[text];
        (fact.rendered, fact.now, fact.lossy) = (Some(rendered.into()), now, true);
        self.saved.frozen.insert(text, Frozen { edit, lossy: true });
        true
    }

    /// The message from which on cutting all offers pays best, the last living place in front of it, and the tokens that are then
    /// written again.
    fn worthwhile(
        &self,
        terms: &Terms<'_>,
        count: usize,
        offers: &[Offer],
        cold: bool,
    ) -> Option<(usize, Option<usize>, f64)> {
        let first = offers.first()?.message;
        let provider = &terms.provider;
        let requests = self.replies_before(count) as f64 + 1.0;
        let left = (requests * terms.tier.horizon).clamp(REQUESTS_LEFT.0, REQUESTS_LEFT.1);
        // Tokens from message `first + n` to the end.
        let mut behind = vec![0.0; count - first + 1];
        for message in (first..count).rev() {
            behind[message - first] = behind[message + 1 - first] + self.tokens(message);
        }
        let fresh = behind[self.saved.decided.clamp(first, count) - first];
        let mut best: Option<(f64, usize, Option<usize>, f64)> = None;
        let mut gain = 0.0;
        for offer in offers.iter().rev() {
            gain += offer.tokens;
            let (base, behind_base) = match provider.is_marked() {
                true => {
                    let base =
                        self.saved.alive.range(..offer.message).next_back().map(|(message, _)| *message);
                    let from = base.map_or(0, |base| base + 1);
                    let before: f64 = (from..first).map(|message| self.tokens(message)).sum();
                    (base, if from <= first { before + behind[0] } else { behind[from - first] })
                }
                false => (None, behind[offer.message - first]),
            };
            let rewritten = if cold { 0.0 } else { (behind_base - gain - fresh).max(0.0) };
            let earned = gain * (provider.read * left + if cold { provider.write } else { 0.0 });
            let value = earned - rewritten * (provider.write - provider.read) * MARGIN;
            if value > 0.0 && best.is_none_or(|(most, ..)| value > most) {
                best = Some((value, offer.message, base, rewritten));
            }
        }
        best.map(|(_, message, base, rewritten)| (message, base, rewritten))
    }

    /// Bounds what is remembered of the cache: the place that was used longest ago goes first.
    fn forget_places(&mut self) {
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
        let mut tokens = terms.head_bytes as f64 / BYTES_PER_TOKEN;
        (0..=until).any(|message| {
            tokens += self.tokens(message);
            tokens >= f64::from(minimum)
        })
    }

    /// The last system message in front of everything else, if it may carry a breakpoint.
    pub(crate) fn head_mark(&self, terms: &Terms<'_>) -> Option<usize> {
        let system = |known: &&super::memory::Known| known.message.role == Role::System;
        let last = self.memory.messages.iter().take(terms.stay).take_while(system).count().checked_sub(1)?;
        let able = self.memory.messages[last].message.site.is_some();
        (able && last >= terms.locked && self.reaches_minimum(terms, last)).then_some(last)
    }

    /// Where breakpoints go in a request of `count` messages: the frozen boundary, the previous tail, the tail.
    fn marks(&self, terms: &Terms<'_>, count: usize, cut: bool) -> Vec<usize> {
        let able = |message: &usize| self.memory.messages[*message].message.site.is_some();
        let Some(tail) = (terms.locked..count).rev().find(able) else { return Vec::new() };
        let first_open = self
            .texts_in(self.saved.floor.min(count), count)
            .find(|text| {
                let fact = &self.memory.texts[*text];
                !fact.lossy && !self.memory.pinned.contains(text) && self.may_go(terms, fact, None)
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

    /// How the tokens of this request divide as it is sent, and as it would have been without us.
    fn splits(
        &mut self,
        body: &Body<'_>,
        terms: &Terms<'_>,
        decision: &Decision,
        alive: &BTreeMap<usize, Use>,
        now: f64,
    ) -> (Split, Split) {
        let head = terms.head_bytes as f64 / BYTES_PER_TOKEN;
        let (mut ours, mut theirs) = (Sums::default(), Sums::default());
        let (mut sent, mut whole, mut blocks) = (head, head, 0);
        for (number, place) in body.messages.iter().enumerate() {
            let (now, len) = match self.memory.messages.get(number) {
                Some(known) => {
                    blocks += known.message.blocks;
                    self.texts_in(number, number + 1)
                        .map(|text| &self.memory.texts[text])
                        .fold((0, 0), |(now, len), fact| (now + fact.now, len + fact.len))
                }
                None => {
                    blocks += 1;
                    (place.span.len(), place.span.len())
                }
            };
            sent += now as f64 / BYTES_PER_TOKEN;
            whole += len as f64 / BYTES_PER_TOKEN;
            let around = blocks as f64 * BLOCK_TOKENS;
            ours.tokens.push(sent + around);
            theirs.tokens.push(whole + around);
            theirs.blocks.push(blocks);
        }
        let native = self.saved.native.follow(&terms.provider, &theirs, terms.stay, &terms.own_marks, now);
        (self.expected(terms, decision, alive, &ours, now), native)
    }

    /// How the tokens of this request should divide: what was alive in front of the first new edit is read.
    fn expected(
        &self,
        terms: &Terms<'_>,
        decision: &Decision,
        alive: &BTreeMap<usize, Use>,
        ours: &Sums,
        now: f64,
    ) -> Split {
        let total = ours.tokens.last().copied().unwrap_or(0.0);
        let first_cut = decision.cut.first().map_or(usize::MAX, |text| self.memory.texts[*text].message);
        let lives =
            |(message, used): &(&usize, &Use)| **message < first_cut && now - used.0 <= terms.provider.life;
        let marks = if terms.own_marks.is_empty() { &decision.marks } else { &terms.own_marks };
        let (read, written) = match terms.provider.cache {
            Cache::None => (0.0, 0.0),
            Cache::Marked { .. } => {
                let hit = alive.iter().rev().find(lives).map_or(0.0, |(message, _)| ours.tokens[*message]);
                (hit, marks.last().map_or(0.0, |mark| ours.tokens[*mark]))
            }
            Cache::Prefix => {
                let until = first_cut.min(self.saved.sent_before).min(ours.tokens.len());
                (until.checked_sub(1).map_or(0.0, |last| ours.tokens[last]), total)
            }
        };
        let written = written.max(read);
        Split { read, write: written - read, plain: total - written }
    }

    fn texts_in(&self, from: usize, until: usize) -> std::ops::Range<usize> {
        let start = |message: usize| {
            self.memory.messages.get(message).map_or(self.memory.texts.len(), |known| known.texts)
        };
        start(from)..start(until.max(from))
    }

    fn replies_before(&self, count: usize) -> usize {
        match self.memory.messages.get(count) {
            Some(known) => known.replies,
            None => self.memory.replies(),
        }
    }

    /// Tokens (estimated) that the edits in force keep out of the request.
    pub(crate) fn tokens_cut(&self) -> f64 {
        let bytes: usize = self.memory.texts.iter().map(|fact| fact.len.saturating_sub(fact.now)).sum();
        bytes as f64 / BYTES_PER_TOKEN
    }

    /// Tokens of a message as it stands there now.
    fn tokens(&self, message: usize) -> f64 {
        let bytes: usize = self.texts_in(message, message + 1).map(|text| self.memory.texts[text].now).sum();
        bytes as f64 / BYTES_PER_TOKEN
    }
}

fn is_reply(body: &Body<'_>, message: usize) -> bool {
    let bytes = &body.bytes[body.messages[message].span.clone()];
    crate::json::members(bytes, 0)
        .flatten()
        .any(|(key, value)| &bytes[key] == b"\"role\"" && &bytes[value] == b"\"assistant\"")
}
