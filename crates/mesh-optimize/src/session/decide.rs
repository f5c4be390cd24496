//! At each request: what else goes, and where the breakpoints stand.
//!
//! A history is followed request by request. Requests that this state has not seen (a resumed session, a lost state) are decided
//! again as they must have been: every reply of the assistant answered a request of all that stands in front of it.

use super::memory::Memory;
use super::state::{SessionState, Use};
use super::worth::Worth;
use crate::body::{Body, Place, Shape, is_of_reply};
use crate::helpers::Summarize;
use crate::ledger::Split;
use crate::plan::Miss;
use crate::provider::Provider;
use crate::tier::Tier;

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
    /// Anything may be done at all; a session that is held out is only followed.
    pub(crate) optimise: bool,
    /// Tokens that the model can take, where the caller knows it.
    pub(crate) window: Option<f64>,
    /// What may be added behind the system prompt, line by line.
    pub(crate) notes: Option<&'t str>,
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
    /// What a summary cost, in plain input tokens.
    pub(crate) summary_units: f64,
    /// Tokens of the caller's notes that stand behind the system prompt.
    pub(crate) added: f64,
}

/// When a request is made, and what the cache has of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: f64,
    /// Nothing of the session is in the cache.
    pub(crate) cold: bool,
}

impl SessionState {
    /// Follows the history of `body` and decides on the request that it is.
    pub(crate) fn follow(
        &mut self,
        body: &Body<'_>,
        terms: &Terms<'_>,
        summarize: Option<&mut (dyn Summarize + '_)>,
    ) -> Decision {
        let rewrote = self.sync(body, terms);
        let idle = terms.now.zip(self.saved.last).is_some_and(|(now, last)| now - last > terms.provider.life);
        let moved = self.saved.head != terms.head && !self.saved.seen.is_empty();
        // Requests that this state has not seen are taken to have been made at that pace.
        let sent = self.saved.seen.len();
        let mut unseen = (sent + 1..terms.stay).filter(|next| is_reply(body, *next)).count() as f64;
        let now = terms.now.unwrap_or_else(|| self.saved.last.unwrap_or(0.0) + PACE * (unseen + 1.0));
        if moved {
            self.saved.alive.clear();
            self.saved.native.moved();
        }
        while self.memory.messages.len() < terms.stay {
            let next = self.memory.messages.len();
            if next > sent && is_reply(body, next) {
                let then = now - PACE * unseen;
                unseen -= 1.0;
                self.decide(body, terms, next, Moment { now: then, cold: false }, None);
            }
            self.learn(body, terms.optimise && next >= terms.locked);
        }
        let mut decision =
            self.decide(body, terms, terms.stay, Moment { now, cold: idle || moved }, summarize);
        if !terms.optimise {
            decision.sent = decision.native;
        }
        (self.saved.last, self.saved.head) = (Some(now), terms.head);
        let miss = [(moved, Miss::Head), (idle, Miss::Idle), (rewrote, Miss::History)];
        Decision { miss: miss.into_iter().find(|(is, _)| *is).map(|(_, miss)| miss), ..decision }
    }

    /// Brings the state to what `body` has in common with it; says whether the client changed what it had sent.
    fn sync(&mut self, body: &Body<'_>, terms: &Terms<'_>) -> bool {
        let places = body.messages[..terms.stay].iter();
        let same = |(seen, place): &(&(usize, u64), &Place)| **seen == (place.span.len(), place.hash);
        let common = self.saved.seen.iter().zip(places).take_while(same).count();
        let rewrote = common < self.saved.seen.len();
        if rewrote {
            self.saved.seen.truncate(common);
            self.saved.alive.retain(|message, _| *message < common);
            self.saved.native.rewritten(common);
            self.saved.floor = self.saved.floor.min(common);
            self.saved.decided = self.saved.decided.min(common);
            if self.memory.messages.len() > common {
                self.memory = Memory::default();
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
    fn decide(
        &mut self,
        body: &Body<'_>,
        terms: &Terms<'_>,
        count: usize,
        moment: Moment,
        summarize: Option<&mut (dyn Summarize + '_)>,
    ) -> Decision {
        let life = terms.provider.life;
        self.saved.alive.retain(|message, used| *message < count && moment.now - used.0 <= life);
        self.fill(body, terms, count, moment.cold);
        let mut decision = Decision { added: self.notes_tokens(terms), ..Decision::default() };
        let offers = self.offers(body, terms, count);
        let mut readable = self.readable(terms, moment);
        if let Some(worth) = self.worthwhile(terms, count, &offers, moment.cold) {
            let worthy = offers.iter().filter(|offer| offer.message >= worth.start);
            let texts = worthy.map(|offer| offer.text).collect();
            self.carry_out(body, terms, &worth, texts, false, &mut decision);
            readable = worth.readable(terms).min(readable);
        }
        if let Some((worth, texts)) = self.fold(body, terms, count, moment.cold) {
            self.carry_out(body, &terms.folding(), &worth, texts, true, &mut decision);
            readable = worth.readable(terms).min(readable);
        }
        if let Some((worth, texts)) =
            summarize.and_then(|by| self.sum_talk_up(body, terms, count, moment, by))
        {
            decision.summary_units = worth.paid;
            self.carry_out(body, terms, &worth, Vec::new(), false, &mut decision);
            decision.cut.extend(texts);
            readable = worth.readable(terms).min(readable);
        }
        if terms.provider.is_marked() && terms.optimise {
            decision.marks = self.marks(terms, count, !decision.cut.is_empty());
            for mark in &decision.marks {
                self.saved.alive.insert(*mark, Use(moment.now, count));
            }
            self.forget_places();
        }
        self.account(body, terms, count, moment, readable, &mut decision);
        self.saved.decided = count;
        decision
    }

    /// Cuts `texts`, all of them in messages from `worth.start` on.
    fn carry_out(
        &mut self,
        body: &Body<'_>,
        terms: &Terms<'_>,
        worth: &Worth,
        texts: Vec<usize>,
        fold: bool,
        decision: &mut Decision,
    ) {
        for text in texts {
            if self.cut(body, terms, text, fold) {
                decision.cut.push(text);
            }
        }
        self.memory.sum_up(worth.start);
        self.saved.alive.retain(|message, _| worth.base.is_some_and(|base| *message <= base));
        self.saved.floor = worth.start;
        decision.rewritten += worth.rewritten;
    }
}

/// Whether a message is a reply of the assistant.
pub(crate) fn is_reply(body: &Body<'_>, message: usize) -> bool {
    let bytes = &body.bytes[body.messages[message].span.clone()];
    if body.shape == Shape::Items {
        return is_of_reply(bytes);
    }
    crate::json::members(bytes, 0)
        .flatten()
        .any(|(key, value)| &bytes[key] == b"\"role\"" && &bytes[value] == b"\"assistant\"")
}
