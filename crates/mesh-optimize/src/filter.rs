//! Many sessions through one optimiser: bodies in, bodies out, each to the session it names.

use std::collections::HashMap;

use serde_json::Value;

use crate::body::Body;
use crate::optimizer::{Config, Hints, Optimizer, Prepared};
use crate::plan::Untouched;
use crate::session::SessionState;

/// Bytes of memory that the sessions of a filter may take together before the one used longest ago is forgotten.
const MEMORY: usize = 1 << 30;

/// An optimiser with its sessions.
#[derive(Debug, Default)]
pub struct Filter {
    optimizer: Optimizer,
    sessions: HashMap<String, Held>,
    /// The session of the last body: its messages are the likeliest to come again.
    last: String,
    clock: u64,
}

#[derive(Debug, Default)]
struct Held {
    state: SessionState,
    used: u64,
}

impl Filter {
    /// Returns a filter without sessions.
    pub fn new(config: Config) -> Filter {
        Filter { optimizer: Optimizer::new(config), ..Filter::default() }
    }

    /// Prepares a body in the session that its `mesh_hints.session_id` names; without one it is a session of one request.
    ///
    /// `load` is asked for the saved state of a session that is not in memory. Returns the session's name with what was prepared.
    pub fn prepare<'a>(
        &mut self,
        bytes: &'a [u8],
        load: impl FnOnce(&str) -> Option<SessionState>,
    ) -> (Option<String>, Prepared<'a>) {
        let guess = self.sessions.get(&self.last).map_or(&[][..], |held| &held.state.saved.seen);
        let body = match Body::read(bytes, guess) {
            Ok(body) => body,
            Err(why) => {
                return (None, Prepared::untouched(bytes, self.optimizer.dial(), Untouched::Unreadable(why)));
            }
        };
        let Some(id) = session_of(&body) else {
            return (
                None,
                self.optimizer.prepare_read(&body, &mut SessionState::default(), Hints::default()),
            );
        };
        self.clock += 1;
        let clock = self.clock;
        let held = self
            .sessions
            .entry(id.clone())
            .or_insert_with(|| Held { state: load(&id).unwrap_or_default(), used: clock });
        held.used = clock;
        let prepared = self.optimizer.prepare_read(&body, &mut held.state, Hints::default());
        self.last.clone_from(&id);
        self.bound();
        (Some(id), prepared)
    }

    /// Returns the state of a session.
    pub fn state(&self, session: &str) -> Option<&SessionState> {
        self.sessions.get(session).map(|held| &held.state)
    }

    /// Forgets the sessions used longest ago until the others fit; the last one stays whatever it takes.
    fn bound(&mut self) {
        if self.sessions.len() < 2 {
            return;
        }
        let mut total: usize = self.sessions.values().map(|held| held.state.weight()).sum();
        while total > MEMORY && self.sessions.len() > 1 {
            let Some(oldest) =
                self.sessions.iter().min_by_key(|(_, held)| held.used).map(|(id, _)| id.clone())
            else {
                return;
            };
            total -= self.sessions.remove(&oldest).map_or(0, |held| held.state.weight());
        }
    }
}

fn session_of(body: &Body<'_>) -> Option<String> {
    match body.value("mesh_hints")?.get("session_id")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}
