//! Pure: what the sessions cost and saved, and whether a cap still lets one spend.

use std::collections::{BTreeMap, VecDeque};

use mesh_optimize::{Lever, Miss, Plan, Receipt};
use serde::Serialize;

use super::spent::Day;

/// Sessions that are shown; the ones used longest ago go first. The sums keep them.
const SESSIONS: usize = 200;
/// Requests of a session whose costs are shown as a line.
const LINE: usize = 40;

/// What was billed and saved, in USD; requests without a known price or a report are counted apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sum {
    pub(super) requests: u64,
    pub(super) unpriced: u64,
    pub(super) billed_usd: f64,
    pub(super) saved_vs_native_usd: f64,
    pub(super) saved_vs_uncached_usd: f64,
    pub(super) input_tokens: u64,
    pub(super) cache_read_tokens: u64,
}

impl Sum {
    fn add(&mut self, receipt: &Receipt, cost: Option<f64>) {
        self.requests += 1;
        self.input_tokens += receipt.input;
        self.cache_read_tokens += receipt.cache_read;
        match cost.or(receipt.billed_usd) {
            Some(billed) => self.billed_usd += billed,
            None => self.unpriced += 1,
        }
        self.saved_vs_native_usd += receipt.saved_vs_native_usd.unwrap_or(0.0);
        self.saved_vs_uncached_usd += receipt.saved_vs_uncached_usd.unwrap_or(0.0);
    }
}

/// A session as it is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Session {
    pub(super) model: String,
    #[serde(flatten)]
    pub(super) sum: Sum,
    /// What the last requests cost, in USD.
    pub(super) line: VecDeque<f64>,
    /// Counts against the cap: what was billed, or what it may have cost where nobody said.
    spent_usd: f64,
    #[serde(skip)]
    used: u64,
}

/// Most that may be spent, in USD.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caps {
    pub(super) day: Option<f64>,
    pub(super) session: Option<f64>,
}

impl Caps {
    /// Whether there is one.
    pub(super) fn any(&self) -> bool {
        self.day.or(self.session).is_some()
    }
}

/// The books of a proxy.
#[derive(Debug, Default, Serialize)]
pub(super) struct Books {
    pub(super) sum: Sum,
    pub(super) models: BTreeMap<String, Sum>,
    pub(super) sessions: BTreeMap<String, Session>,
    /// Texts that a lever changed.
    pub(super) levers: BTreeMap<String, u64>,
    pub(super) misses: BTreeMap<String, u64>,
    /// Requests that went out as they were, because the optimised one was refused.
    pub(super) sent_raw: u64,
    /// Requests that a cap refused.
    pub(super) refused: u64,
    pub(super) spent_today_usd: f64,
    /// What requests under way may cost.
    held_usd: f64,
    #[serde(skip)]
    held: BTreeMap<String, f64>,
    #[serde(skip)]
    day: u64,
    #[serde(skip)]
    clock: u64,
}

impl Books {
    /// Empty books on a day on which something may have been spent already.
    pub(super) fn begin(today: Day) -> Books {
        Books { day: today.day, spent_today_usd: today.usd, ..Books::default() }
    }

    /// What was spent on this day.
    pub(super) fn today(&self) -> Day {
        Day { day: self.day, usd: self.spent_today_usd }
    }

    /// Holds back what a request costs about (`None`: nobody knows), if it may be sent on this day; if not, what to say.
    pub(super) fn reserve(
        &mut self,
        caps: &Caps,
        day: u64,
        session: &str,
        about: Option<f64>,
    ) -> Result<(), String> {
        self.turn_to(day);
        let held = self.held.get(session).copied().unwrap_or(0.0);
        let in_session = self.sessions.get(session).map_or(0.0, |session| session.spent_usd) + held;
        let spent = [
            ("--max-cost", caps.day, self.spent_today_usd + self.held_usd),
            ("--max-session-cost", caps.session, in_session),
        ];
        for (name, cap, spent) in spent {
            let Some(cap) = cap else { continue };
            let Some(about) = about else {
                self.refused += 1;
                return Err(format!(
                    "no price is known for this model, so {name} {cap} cannot be kept; use another model or no cap"
                ));
            };
            if spent + about > cap {
                self.refused += 1;
                return Err(format!(
                    "{name} {cap}: ${spent:.4} is spent or under way, and this request would cost about ${about:.4}; raise the cap to go on"
                ));
            }
        }
        if let Some(about) = about {
            self.held_usd += about;
            *self.held.entry(session.to_owned()).or_default() += about;
        }
        Ok(())
    }

    /// Gives back what was held: the request has its receipt, or costs nothing.
    pub(super) fn release(&mut self, session: &str, about: Option<f64>) {
        let Some(about) = about else { return };
        // What is left of sums of fractions is no money.
        self.held_usd = (self.held_usd - about).max(0.0);
        if let Some(held) = self.held.get_mut(session) {
            *held -= about;
            if *held < 1e-9 {
                self.held.remove(session);
            }
        }
        if self.held.is_empty() {
            self.held_usd = 0.0;
        }
    }

    /// Enters a request that was answered. `cost` is what the gateway says that it billed; where nothing is said, `about` counts
    /// against the caps and is in no sum.
    pub(super) fn enter(
        &mut self,
        day: u64,
        session: &str,
        plan: &Plan,
        receipt: &Receipt,
        cost: Option<f64>,
        about: Option<f64>,
    ) {
        self.turn_to(day);
        self.clock += 1;
        let billed = cost.or(receipt.billed_usd);
        let spent = billed.or(about).unwrap_or(0.0);
        self.spent_today_usd += spent;
        self.sum.add(receipt, cost);
        self.models.entry(receipt.model.clone()).or_default().add(receipt, cost);
        for cut in &plan.cuts {
            *self.levers.entry(word(&cut.lever)).or_default() += 1;
        }
        if !plan.breakpoints.is_empty() {
            *self.levers.entry(word(&Lever::Breakpoints)).or_default() += 1;
        }
        if let Some(miss) = &receipt.miss {
            *self.misses.entry(word::<Miss>(miss)).or_default() += 1;
        }
        let shown = self.sessions.entry(session.to_owned()).or_default();
        shown.model.clone_from(&receipt.model);
        shown.used = self.clock;
        shown.sum.add(receipt, cost);
        shown.spent_usd += spent;
        shown.line.push_back(billed.unwrap_or(0.0));
        if shown.line.len() > LINE {
            shown.line.pop_front();
        }
        if self.sessions.len() > SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, shown)| shown.used).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.sessions.remove(&id));
        }
    }

    fn turn_to(&mut self, day: u64) {
        if self.day != day {
            (self.day, self.spent_today_usd) = (day, 0.0);
        }
    }
}

/// The name of a value in JSON.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
