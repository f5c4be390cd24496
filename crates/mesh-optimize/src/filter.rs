//! Many sessions through one optimiser: bodies in, bodies out, each to the session it names.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::body::Body;
use crate::helpers::{Helpers, Retain};
use crate::optimizer::{Config, Hints, Optimizer, Prepared};
use crate::plan::{Plan, Untouched};
use crate::receipt::{Prices, Receipt, Usage};
use crate::request::session_of;
use crate::session::{SessionState, is_reply};
use crate::trial::is_held_out;

/// Bytes of memory that the sessions of a filter may take together before the one used longest ago is forgotten.
const MEMORY: usize = 1 << 30;

/// A session as it is saved: its state, and the plan of its last request, which may not be settled yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Session {
    /// What the optimiser remembers.
    pub state: SessionState,
    /// What was done to the last request.
    pub plan: Option<Plan>,
}

/// An optimiser with its sessions.
#[derive(Debug, Default)]
pub struct Filter {
    optimizer: Optimizer,
    hold_out: f64,
    /// Bytes that what was learned of the sessions may take together.
    learned: Option<usize>,
    now: Option<f64>,
    /// Where the sessions without a name of their own stand: the hash of what was sent, to the session. `None`: nobody looks.
    prefixes: Option<HashMap<u64, String>>,
    sessions: HashMap<String, Held>,
    /// The session of the last body: its messages are the likeliest to come again.
    last: String,
    clock: u64,
}

#[derive(Debug)]
struct Held {
    session: Session,
    used: u64,
    /// The prefixes that lead here.
    prefixes: Vec<u64>,
}

/// So many messages at the end of a request may be others in the next one (a reminder, a plan): the session is found all the same.
const LOOSE: usize = 2;

impl Filter {
    /// Returns a filter without sessions.
    pub fn new(config: Config) -> Filter {
        Filter { optimizer: Optimizer::new(config), ..Filter::default() }
    }

    /// Leaves this share of the sessions (0 to 1) as they are, for comparison.
    pub fn holding_out(self, share: f64) -> Filter {
        Filter { hold_out: share, ..self }
    }

    /// Takes a body that names no session for the next request of the one whose last request it begins with.
    pub fn by_prefix(self) -> Filter {
        Filter { prefixes: Some(HashMap::new()), ..self }
    }

    /// Lets what was learned of the sessions take so many bytes together: those used longest ago learn it again when they go on.
    pub fn learning_at_most(self, bytes: usize) -> Filter {
        Filter { learned: Some(bytes), ..self }
    }

    /// Says what time it is, in seconds of any clock that runs on, for bodies that do not say it themselves.
    pub fn at(&mut self, now: f64) {
        self.now = Some(now);
    }

    /// Prepares a body in the session that its `mesh_hints.session_id` names, or that its beginning tells where that was asked for;
    /// without either it is a session of one request.
    ///
    /// `load` is asked for what was saved of a session that is not in memory; `retain` is given what is cut. Returns the session's name with what was prepared.
    pub fn prepare<'a>(
        &mut self,
        bytes: &'a [u8],
        load: impl FnOnce(&str) -> Option<Session>,
        retain: Option<&mut dyn Retain>,
    ) -> (Option<String>, Prepared<'a>) {
        let guess = self.sessions.get(&self.last).map_or(&[][..], |held| &held.session.state.saved.seen);
        let body = match Body::read(bytes, guess) {
            Ok(body) => body,
            Err(why) => {
                let why = Untouched::Unreadable(why);
                return (None, Prepared::untouched(bytes, self.optimizer.dial(), why));
            }
        };
        let found = session_of(&body).map(|id| (id, Vec::new())).or_else(|| self.found(&body));
        let Some((id, prefixes)) = found else {
            return (
                None,
                self.optimizer.prepare_read(
                    &body,
                    &mut SessionState::default(),
                    Hints::default(),
                    Helpers { retain, summarize: None },
                ),
            );
        };
        let optimizer = self.optimizer.clone();
        let held_out = is_held_out(&id, self.hold_out);
        let hints = Hints { held_out, now: self.now, ..Hints::default() };
        let session = self.session(&id, load);
        let helpers = Helpers { retain, summarize: None };
        let prepared = optimizer.prepare_read(&body, &mut session.state, hints, helpers);
        session.plan = Some(prepared.plan.clone());
        self.lead(&id, prefixes);
        self.bound();
        (Some(id), prepared)
    }

    /// Settles the last request of a session; `None` when there is none.
    pub fn settle(
        &mut self,
        id: &str,
        usage: Option<&Usage>,
        prices: Option<&Prices>,
        load: impl FnOnce(&str) -> Option<Session>,
    ) -> Option<Receipt> {
        let optimizer = self.optimizer.clone();
        let session = self.session(id, load);
        let plan = session.plan.take()?;
        Some(optimizer.settle(&plan, usage, prices, &mut session.state))
    }

    /// Settles one request of a session by its own plan, where several of them may be under way.
    pub fn settle_plan(
        &mut self,
        id: &str,
        plan: &Plan,
        usage: Option<&Usage>,
        prices: Option<&Prices>,
    ) -> Receipt {
        let optimizer = self.optimizer.clone();
        let session = self.session(id, |_| None);
        optimizer.settle(plan, usage, prices, &mut session.state)
    }

    /// Returns a session that is in memory.
    pub fn get(&self, id: &str) -> Option<&Session> {
        self.sessions.get(id).map(|held| &held.session)
    }

    fn session(&mut self, id: &str, load: impl FnOnce(&str) -> Option<Session>) -> &mut Session {
        self.clock += 1;
        if self.last != id {
            id.clone_into(&mut self.last);
        }
        let held = self.sessions.entry(id.to_owned()).or_insert_with(|| Held {
            session: load(id).unwrap_or_default(),
            used: 0,
            prefixes: Vec::new(),
        });
        held.used = self.clock;
        &mut held.session
    }

    /// The session whose last request `body` begins with, or a new one; and the prefixes that lead to it from now on.
    fn found(&self, body: &Body<'_>) -> Option<(String, Vec<u64>)> {
        let all = self.prefixes.as_ref()?;
        let head = ["model", "system", "instructions"]
            .map(|name| xxh3_64(body.raw(name).unwrap_or_default()).to_le_bytes());
        let mut hash = xxh3_64(&head.concat());
        let mut chain: Vec<u64> = Vec::with_capacity(body.messages.len());
        for place in &body.messages {
            hash = xxh3_64(&[hash.to_le_bytes(), place.hash.to_le_bytes()].concat());
            chain.push(hash);
        }
        let known = chain.iter().rev().find_map(|prefix| all.get(prefix));
        let id = known.cloned().unwrap_or_else(|| format!("prefix-{:016x}-{}", hash, self.clock));
        // What stands in front of the first reply is the same in many sessions.
        let first = (0..body.messages.len()).find(|message| is_reply(body, *message));
        let end = chain.len().saturating_sub(1);
        let shared = first.map_or(end, |first| first.max(end.saturating_sub(LOOSE)));
        Some((id, chain.split_off(shared.min(end))))
    }

    /// From now on these prefixes lead to a session, and those of its last request do not.
    fn lead(&mut self, id: &str, prefixes: Vec<u64>) {
        let Some((all, held)) = self.prefixes.as_mut().zip(self.sessions.get_mut(id)) else { return };
        for prefix in std::mem::replace(&mut held.prefixes, prefixes) {
            all.remove(&prefix);
        }
        for prefix in &held.prefixes {
            all.insert(*prefix, id.to_owned());
        }
    }

    /// Forgets the sessions used longest ago until the others fit; the last one stays whatever it takes.
    fn bound(&mut self) {
        let mut total: usize = self.sessions.values().map(|held| held.session.state.weight()).sum();
        if self.learned.is_some_and(|most| total > most) {
            let mut all: Vec<&mut Held> = self.sessions.values_mut().collect();
            all.sort_unstable_by_key(|held| held.used);
            all.pop();
            for held in all {
                if self.learned.is_none_or(|most| total <= most) {
                    break;
                }
                let before = held.session.state.weight();
                held.session.state.rest();
                total -= before - held.session.state.weight();
            }
        }
        while total > MEMORY && self.sessions.len() > 1 {
            let oldest = self.sessions.iter().min_by_key(|(_, held)| held.used).map(|(id, _)| id.clone());
            let Some(held) = oldest.and_then(|id| self.sessions.remove(&id)) else { return };
            total -= held.session.state.weight();
            if let Some(all) = &mut self.prefixes {
                held.prefixes.iter().for_each(|prefix| drop(all.remove(prefix)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::plan::Miss;

    fn body(session: &str, messages: usize) -> Vec<u8> {
        let messages: Vec<Value> =
            (0..messages).map(|n| serde_json::json!({"role": if n % 2 == 0 { "user" } else { "assistant" }, "content": format!("{n} {}", "word ".repeat(900))})).collect();
        serde_json::json!({"model": "claude-x", "messages": messages, "mesh_hints": {"session_id": session}})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn sessions_are_told_apart_and_settled() {
        let mut filter = Filter::new(Config { dial: "0.3".parse().unwrap(), ..Config::default() });
        for (session, messages) in [("a", 1), ("b", 1), ("a", 3), ("b", 5)] {
            let body = body(session, messages);
            let (id, prepared) = filter.prepare(&body, |_| None, None);
            assert_eq!(id.as_deref(), Some(session));
            assert_eq!(prepared.plan.breakpoints.last(), Some(&(messages - 1)));
        }
        assert_eq!(filter.get("a").unwrap().state.messages(), 3);
        let usage = Usage { input: 5000, cache_read: 1000, cache_write: 3900, output: 10 };
        let receipt = filter.settle("b", Some(&usage), None, |_| None).unwrap();
        assert_eq!((receipt.input, receipt.billed_usd, receipt.sum.unpriced), (5000, None, 1));
        assert!(filter.settle("b", Some(&usage), None, |_| None).is_none(), "settled once");
        assert!(filter.settle("c", Some(&usage), None, |_| None).is_none());
    }

    #[test]
    fn a_clock_tells_what_the_cache_has_lost() {
        let mut filter = Filter::new(Config { dial: "0.1".parse().unwrap(), ..Config::default() });
        let mut miss = |now, messages| {
            filter.at(now);
            filter.prepare(&body("a", messages), |_| None, None).1.plan.miss
        };
        assert_eq!(miss(0.0, 1), Some(Miss::First));
        assert_eq!(miss(200.0, 3), None);
        assert_eq!(miss(900.0, 5), Some(Miss::Idle));
    }

    #[test]
    fn a_saved_session_goes_on_where_it_was() {
        let config = Config { dial: "0.3".parse().unwrap(), ..Config::default() };
        let (mut one, mut two) = (Filter::new(config.clone()), Filter::new(config));
        one.prepare(&body("a", 3), |_| None, None);
        let saved = serde_json::to_vec(one.get("a").unwrap()).unwrap();
        let next = body("a", 5);
        let (_, there) = two.prepare(&next, |_| serde_json::from_slice(&saved).ok(), None);
        let (_, here) = one.prepare(&next, |_| None, None);
        assert_eq!(here.body(), there.body());
    }

    #[test]
    fn sessions_without_a_name_are_found_by_how_they_begin() {
        let say = |role: &str, text: &str| serde_json::json!({"role": role, "content": text});
        let make =
            |messages: &[Value]| serde_json::json!({"model": "claude-x", "messages": messages}).to_string();
        let (system, user) = (say("system", "help"), say("user", "go"));
        let mut filter =
            Filter::new(Config { dial: "0.1".parse().unwrap(), ..Config::default() }).by_prefix();
        let mut id =
            |messages: &[Value]| filter.prepare(make(messages).as_bytes(), |_| None, None).0.unwrap();
        let first = id(&[system.clone(), user.clone()]);
        let one = [system.clone(), user.clone(), say("assistant", "one"), say("user", "on")];
        assert_eq!(id(&one), first);
        let other = id(&[system.clone(), user.clone()]);
        assert_ne!(other, first, "the first one has gone on");
        let two = [system.clone(), user.clone(), say("assistant", "two"), say("user", "on")];
        assert_eq!(id(&two), other);
        // A reminder at the end that is another each time.
        let tail =
            |text: &str| [&one[..], &[say("assistant", "x"), say("user", "y"), say("system", text)]].concat();
        assert_eq!(id(&tail("1 of 3")), first);
        assert_eq!(id(&tail("2 of 3")), first);
        assert_ne!(id(&[say("system", "other"), user]), first);
    }
}
