//! What the sessions cost and saved, and whether a cap still lets one spend.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::plan::{Lever, Miss, Plan};
use crate::receipt::Receipt;

/// Sessions that are shown; the ones used longest ago go first. The sums keep them.
const SESSIONS: usize = 200;
/// Requests of a session whose costs are shown as a line.
const LINE: usize = 40;

/// What was billed and saved, in USD; requests without a known price or a report are counted apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sum {
    /// Requests that were answered.
    pub requests: u64,
    /// Of these, those without a known price or without a report.
    pub unpriced: u64,
    /// What was billed.
    pub billed_usd: f64,
    /// What was saved against the client's own caching; may be negative.
    pub saved_vs_native_usd: f64,
    /// What was saved against no cache; may be negative.
    pub saved_vs_uncached_usd: f64,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Of these, those read from the provider's cache.
    pub cache_read_tokens: u64,
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
pub struct Session {
    /// The model that answered last.
    pub model: String,
    /// Its sums.
    #[serde(flatten)]
    pub sum: Sum,
    /// What the last requests cost, in USD.
    pub line: VecDeque<f64>,
    /// Counts against the cap: what was billed, or what it may have cost where nobody said.
    spent_usd: f64,
    #[serde(skip)]
    used: u64,
}

/// A day, counted from 1970 in UTC, and what was spent on it in USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// The day.
    pub day: u64,
    /// What was spent.
    pub usd: f64,
}

/// Most that may be spent, in USD.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caps {
    /// In a day.
    pub day: Option<f64>,
    /// In one session.
    pub session: Option<f64>,
}

/// For how long a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// A day, in UTC.
    Day,
    /// A session.
    Session,
}

/// A request that a cap does not let pass, in USD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capped {
    /// Whose cap.
    pub span: Span,
    /// The cap.
    pub cap: f64,
    /// What is spent or under way.
    pub spent: f64,
    /// What the request would cost, if a price is known.
    pub about: Option<f64>,
}

impl std::fmt::Display for Capped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Capped { cap, spent, .. } = self;
        match self.about {
            None => write!(
                f,
                "no price is known for this model, so the cap of {cap} USD cannot be kept; use another model or no cap"
            ),
            Some(about) => write!(
                f,
                "${spent:.4} is spent or under way, and this request would cost about ${about:.4}; raise the cap to go on"
            ),
        }
    }
}

impl Caps {
    /// Whether there is one.
    pub fn any(&self) -> bool {
        self.day.or(self.session).is_some()
    }
}

/// The books of one who passes requests on.
#[derive(Debug, Default, Serialize)]
pub struct Books {
    /// All requests.
    pub sum: Sum,
    /// By model.
    pub models: BTreeMap<String, Sum>,
    /// By session.
    pub sessions: BTreeMap<String, Session>,
    /// Texts that a lever changed.
    pub levers: BTreeMap<String, u64>,
    /// Cache misses by cause.
    pub misses: BTreeMap<String, u64>,
    /// Requests that went out as they were, because the optimised one was refused.
    pub sent_raw: u64,
    /// Requests that a cap refused.
    pub refused: u64,
    /// What counts against the cap of the day.
    pub spent_today_usd: f64,
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
    pub fn begin(today: Day) -> Books {
        Books { day: today.day, spent_today_usd: today.usd, ..Books::default() }
    }

    /// Takes over what others spent too on this day.
    pub fn learn(&mut self, sum: Day) {
        if sum.day == self.day {
            self.spent_today_usd = self.spent_today_usd.max(sum.usd);
        }
    }

    /// Holds back what a request costs about (`None`: nobody knows), if it may be sent on this day.
    ///
    /// # Errors
    /// It would pass a cap, or nobody can say whether it would.
    pub fn reserve(
        &mut self,
        caps: &Caps,
        day: u64,
        session: &str,
        about: Option<f64>,
    ) -> Result<(), Capped> {
        self.turn_to(day);
        let held = self.held.get(session).copied().unwrap_or(0.0);
        let in_session = self.sessions.get(session).map_or(0.0, |session| session.spent_usd) + held;
        let spent = [
            (Span::Day, caps.day, self.spent_today_usd + self.held_usd),
            (Span::Session, caps.session, in_session),
        ];
        for (span, cap, spent) in spent {
            let Some(cap) = cap else { continue };
            if about.is_none_or(|about| spent + about > cap) {
                self.refused += 1;
                return Err(Capped { span, cap, spent, about });
            }
        }
        if let Some(about) = about {
            self.held_usd += about;
            *self.held.entry(session.to_owned()).or_default() += about;
        }
        Ok(())
    }

    /// Gives back what was held: the request has its receipt, or costs nothing.
    pub fn release(&mut self, session: &str, about: Option<f64>) {
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

    /// What a request counts against the caps, in USD: what the gateway says that it billed, else by price and report, else what
    /// was held back for it.
    pub fn counts(receipt: &Receipt, cost: Option<f64>, about: Option<f64>) -> f64 {
        cost.or(receipt.billed_usd).or(about).unwrap_or(0.0)
    }

    /// Enters a request that was answered. `cost` is what the gateway says that it billed; where nothing is said, `about` counts
    /// against the caps and is in no sum.
    pub fn enter(
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
        let spent = Books::counts(receipt, cost, about);
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
        shown.line.push_back(cost.or(receipt.billed_usd).unwrap_or(0.0));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dial::Dial;
    use crate::plan::Untouched;
    use crate::relay::{unchanged, unreported};

    fn settled(books: &mut Books, session: &str, cost: Option<f64>, about: Option<f64>) -> f64 {
        let plan = Plan::untouched(Dial::OFF, Untouched::Off);
        let receipt = unreported(unchanged(&plan, None, None));
        books.release(session, about);
        books.enter(3, session, &plan, &receipt, cost, about);
        Books::counts(&receipt, cost, about)
    }

    #[test]
    fn what_is_under_way_counts_until_its_receipt_is_written() {
        let caps = Caps { day: Some(1.0), session: None };
        let mut books = Books::begin(Day { day: 3, usd: 0.5 });
        assert_eq!(books.reserve(&caps, 3, "a", Some(0.3)), Ok(()));
        let capped = books.reserve(&caps, 3, "b", Some(0.3)).unwrap_err();
        assert_eq!((capped.span, capped.about), (Span::Day, Some(0.3)));
        assert!(settled(&mut books, "a", Some(0.1), Some(0.3)) == 0.1);
        assert_eq!(books.reserve(&caps, 3, "b", Some(0.3)), Ok(()));
        // A new day begins with what is under way, and nothing else.
        assert_eq!(books.reserve(&caps, 4, "b", Some(0.6)), Ok(()));
    }

    #[test]
    fn without_a_price_no_cap_can_be_kept() {
        let caps = Caps { day: None, session: Some(1.0) };
        let mut books = Books::default();
        assert_eq!(books.reserve(&Caps::default(), 3, "a", None), Ok(()));
        let capped = books.reserve(&caps, 3, "a", None).unwrap_err();
        assert!(capped.to_string().starts_with("no price is known"), "{capped}");
    }

    #[test]
    fn what_nobody_reported_counts_against_the_caps_and_is_in_no_sum() {
        let mut books = Books::begin(Day { day: 3, usd: 0.0 });
        assert!(settled(&mut books, "a", None, Some(0.3)) == 0.3);
        assert_eq!((books.sum.billed_usd, books.sum.unpriced, books.spent_today_usd), (0.0, 1, 0.3));
        books.learn(Day { day: 3, usd: 0.9 });
        books.learn(Day { day: 2, usd: 5.0 });
        assert_eq!(books.spent_today_usd, 0.9);
    }
}
