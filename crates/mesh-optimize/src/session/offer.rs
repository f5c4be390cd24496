//! Which texts may be cut in a request, and what a cut text becomes.

use std::borrow::Cow;
use std::ops::Range;

use super::decide::Terms;
use super::learn::decoded;
use super::memory::Fact;
use super::state::{Frozen, SessionState};
use crate::body::{Body, Part, Role};
use crate::edit::{Edit, Hole};
use crate::levers::CUT;
use crate::levers::clean::rows;
use crate::levers::{arguments, shorten};
use crate::weight::weigh;

/// The last messages that stay are not touched. Section 6.
pub(crate) const RECENT: usize = 4;

/// Results further back than this are left as they are: bounds the work on histories of hundreds of thousands of messages.
const HORIZON: usize = 4000;

/// Arguments of a message are looked at from so many bytes on. From the prototypes of section 4.
const LEAST_ARGUMENTS: usize = 1000;

/// A cut saves at least this many tokens. Section 6.
const LEAST_TOKENS: f64 = 50.0;

/// A text that may be cut now.
pub(crate) struct Offer {
    pub(crate) text: usize,
    pub(crate) message: usize,
    pub(crate) tokens: f64,
}

impl SessionState {
    /// The texts that a rule allows to cut in a request of `count` messages, in order.
    pub(crate) fn offers(&mut self, body: &Body<'_>, terms: &Terms<'_>, count: usize) -> Vec<Offer> {
        let mut offers = Vec::new();
        let from = count.saturating_sub(HORIZON).max(terms.locked);
        for text in self.memory.texts_in(from, count.saturating_sub(RECENT)) {
            let fact = &self.memory.texts[text];
            let age = self.age(fact, count);
            let pinned_call = matches!(fact.part, Part::Call(_)) && self.memory.pinned.contains_key(&text);
            if fact.lossy || age == 0 || pinned_call || !self.may_go(terms, fact, Some(age)) {
                continue;
            }
            let message = fact.message;
            let tokens = match fact.offer {
                Some(tokens) => tokens,
                None => {
                    // Names that were used before this text: the same whenever it is asked.
                    let tokens = self.shortened(body, terms, text, message).map_or(0.0, |(_, tokens)| tokens);
                    self.memory.texts[text].offer = Some(tokens);
                    tokens
                }
            };
            if tokens >= LEAST_TOKENS {
                offers.push(Offer { text, message, tokens });
            }
        }
        offers
    }

    /// The texts that a fold may take, in order.
    pub(crate) fn foldable(&self, body: &Body<'_>, terms: &Terms<'_>, count: usize) -> Vec<Offer> {
        let replies = self.memory.replies_before(count);
        let from = count.saturating_sub(HORIZON).max(terms.locked);
        let texts = self.memory.texts_in(from, count.saturating_sub(RECENT));
        texts
            .filter_map(|text| {
                let fact = &self.memory.texts[text];
                let pinned = matches!(fact.part, Part::Call(_)) && self.memory.pinned.contains_key(&text);
                let age = replies.saturating_sub(self.memory.messages[fact.message].replies);
                if fact.lossy || pinned || age == 0 || !self.may_go(terms, fact, Some(age)) {
                    return None;
                }
                let (_, tokens) = self.shortened(body, terms, text, fact.message)?;
                (tokens >= LEAST_TOKENS).then_some(Offer { text, message: fact.message, tokens })
            })
            .collect()
    }

    /// Replies that follow a text, counted from the last one that still used a name which only this text holds.
    ///
    /// What an assistant goes on naming is in use, whatever its age: of the evidence that recorded replies needed, nearly all that
    /// plain ageing hid was of this sort (a plan or a file of its own, written long before).
    fn age(&self, fact: &Fact, count: usize) -> usize {
        let replies = self.memory.replies_before(count);
        let until = |message: usize| {
            let known = &self.memory.messages[message];
            known.replies + usize::from(known.message.role == Role::Assistant)
        };
        let behind = replies - until(fact.message).min(replies);
        // A reply that used it follows it: the age is never back at 0.
        (replies - until(fact.used).min(replies)).max(usize::from(behind > 0))
    }

    /// Whether a text may be cut, now (`age` replies follow it) or ever.
    pub(crate) fn may_go(&self, terms: &Terms<'_>, fact: &Fact, age: Option<usize>) -> bool {
        let old = |after: usize| age.is_none_or(|age| age >= after);
        let again = fact.path.and_then(|path| self.memory.touched.get(&path));
        let superseded = again.is_some_and(|last| *last > fact.message + 1);
        match fact.part {
            Part::Words => false,
            Part::Result(_) => terms
                .tier
                .rule(fact.kind, superseded || age.is_none())
                .is_some_and(|rule| fact.now >= rule.least && old(rule.after)),
            Part::Call(_) => terms.tier.arguments.is_some_and(|rule| {
                fact.now >= LEAST_ARGUMENTS
                    && old(if superseded { rule.after_superseded } else { rule.after })
            }),
        }
    }

    /// What a text would be after its cut, and how many tokens that takes. Names count that were used before message `named`.
    fn shortened(
        &self,
        body: &Body<'_>,
        terms: &Terms<'_>,
        text: usize,
        named: usize,
    ) -> Option<(Edit, f64)> {
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
        let note = |bytes: usize| format!("[... {bytes}{CUT}{} ...]", (terms.recall)(&name));
        let holes: Vec<Hole> = match fact.part {
            Part::Call(_) => arguments::shorten(&now, note),
            _ => {
                let rule = terms.tier.rule(fact.kind, true)?;
                let named = |name| self.memory.named.get(&name).is_some_and(|first| *first < named);
                let stay = self.pinned(text, &original.text, &edit);
                shorten::shorten(&now, rule, &stay, named, note)?
            }
        };
        let cut = edit.without(&holes);
        let tokens = fact.sent - weigh(&cut.text(&original.text));
        (tokens > 0.0).then_some((cut, tokens))
    }

    /// The places of a text, as it stands there now, that hold lines which other texts refer to; in order.
    fn pinned(&self, text: usize, original: &str, edit: &Edit) -> Vec<Range<usize>> {
        let Some(pins) = self.memory.pinned.get(&text) else { return Vec::new() };
        let rows = rows(original);
        let place = |(line, count): &(usize, usize)| {
            let (first, last) = (rows.get(line.checked_sub(1)?)?, rows.get(line + count - 2)?);
            Some(edit.current(first.start)..edit.current(last.end))
        };
        let mut places: Vec<Range<usize>> = pins.iter().filter_map(place).collect();
        places.sort_by_key(|place| place.start);
        places
    }

    /// Cuts a text for good.
    pub(crate) fn cut(&mut self, body: &Body<'_>, terms: &Terms<'_>, text: usize, fold: bool) -> bool {
        let Some((edit, _)) = self.shortened(body, terms, text, usize::MAX) else { return false };
        let done = self.replace(body, text, edit);
        if let Some(frozen) = self.saved.frozen.get_mut(&text).filter(|_| done) {
            frozen.fold = fold;
        }
        done
    }

    /// Puts `edit` in the place of a text, for good.
    pub(crate) fn replace(&mut self, body: &Body<'_>, text: usize, edit: Edit) -> bool {
        let fact = &self.memory.texts[text];
        let inner = &self.memory.messages[fact.message].message.texts[fact.index];
        let start = body.messages[fact.message].span.start;
        let Some(original) = decoded(body.bytes, start, inner) else { return false };
        let (rendered, now) = (edit.render(body.bytes, &original, inner.form), edit.len());
        let sent = weigh(&edit.text(&original.text));
        let fact = &mut self.memory.texts[text];
        (fact.rendered, fact.now, fact.lossy, fact.sent) = (Some(rendered.into()), now, true, sent);
        let runs = self.saved.frozen.remove(&text).map_or(Vec::new(), |frozen| frozen.runs);
        self.saved.frozen.insert(text, Frozen { edit, lossy: true, fold: false, runs });
        true
    }

    /// A text as the client sent it.
    pub(crate) fn original<'b>(&self, body: &Body<'b>, text: usize) -> Option<Cow<'b, str>> {
        let fact = self.memory.texts.get(text)?;
        let inner = self.memory.messages[fact.message].message.texts.get(fact.index)?;
        Some(decoded(body.bytes, body.messages.get(fact.message)?.span.start, inner)?.text)
    }
}
