//! Tokens to money: what each request cost, what a turn and a session came to. Billed and estimated never mix unseen.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc, time::SystemTime};

use mesh_client::{
    cost::{Cost, Usd, estimate},
    wire::{Catalog, Usage},
};

/// A sum of money with its provenance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spend {
    /// USD that the gateway says it billed.
    pub billed: f64,
    /// USD that we reckon from usage and catalogue prices.
    pub estimated: f64,
    /// Requests that may have cost something but could not be priced.
    pub unpriced: u32,
}

impl Spend {
    /// The sum, or `None` when nothing could be priced. It counts as an estimate as soon as any part of it is one, or
    /// some request is missing from it.
    pub fn total(&self) -> Option<Cost> {
        let sum = Usd(self.billed + self.estimated);
        match sum.0 > 0.0 {
            false => None,
            true if self.estimated > 0.0 || self.unpriced > 0 => Some(Cost::Estimated(sum)),
            true => Some(Cost::Billed(sum)),
        }
    }

    fn add(&mut self, other: Spend) {
        self.billed += other.billed;
        self.estimated += other.estimated;
        self.unpriced += other.unpriced;
    }
}

/// One request that reached the gateway, successful or not.
#[derive(Clone, Debug)]
struct Attempt {
    request_id: Option<String>,
    model: String,
    usage: Option<Usage>,
    billed: Option<Usd>,
}

impl Attempt {
    fn spend(&self, catalog: Option<&Catalog>) -> Spend {
        let estimated = || estimate(self.usage.as_ref()?, catalog?.lookup(&self.model)?);
        match self.billed.map_or_else(|| estimated().map(Err), |usd| Some(Ok(usd))) {
            Some(Ok(usd)) => Spend { billed: usd.0, ..Spend::default() },
            Some(Err(usd)) => Spend { estimated: usd.0, ..Spend::default() },
            None => Spend { unpriced: 1, ..Spend::default() },
        }
    }
}

/// Keeps the books. Attempts are booked when they start, so an interrupted or failed one is not forgotten (D-8).
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    open: Vec<Attempt>,
    session: Spend,
}

impl Ledger {
    /// Books a request that a model has begun to answer.
    pub fn started(&mut self, request_id: Option<&str>, model: &str) {
        let request_id = request_id.map(str::to_owned);
        self.open.push(Attempt { request_id, model: model.to_owned(), usage: None, billed: None });
    }

    /// Books what the reply to the latest request said of its tokens and its price.
    pub fn completed(&mut self, model: Option<&str>, usage: Option<&Usage>, billed: Option<Usd>) {
        let Some(attempt) = self.open.last_mut() else { return };
        if let Some(model) = model {
            attempt.model = model.to_owned();
        }
        attempt.usage = usage.cloned();
        attempt.billed = billed;
    }

    /// What the session has cost, settled turns only.
    pub fn session(&self) -> Spend {
        self.session
    }

    /// Starts the session's books afresh.
    pub fn reset(&mut self) {
        *self = Ledger::default();
    }

    /// Request ids whose price is not known yet.
    pub fn unsettled(&self) -> Vec<String> {
        self.open.iter().filter(|a| a.billed.is_none()).filter_map(|a| a.request_id.clone()).collect()
    }

    /// Takes billed amounts by request id.
    pub fn bill(&mut self, amounts: &HashMap<String, Usd>) {
        for attempt in self.open.iter_mut().filter(|a| a.billed.is_none()) {
            attempt.billed = attempt.request_id.as_ref().and_then(|id| amounts.get(id)).copied();
        }
    }

    /// Would a price list help?
    pub fn wants_prices(&self) -> bool {
        self.open.iter().any(|a| a.billed.is_none() && a.usage.is_some())
    }

    /// What the turn has come to so far, as far as it can be told.
    pub fn so_far(&self, catalog: Option<&Catalog>) -> Spend {
        let mut turn = Spend::default();
        for attempt in &self.open {
            turn.add(attempt.spend(catalog));
        }
        turn
    }

    /// Closes the turn: what is not billed is estimated, what cannot be estimated is counted. Returns the turn's sum.
    pub fn settle(&mut self, catalog: Option<&Catalog>) -> Spend {
        let turn = self.so_far(catalog);
        self.open.clear();
        self.session.add(turn);
        turn
    }
}

/// A boxed look-up.
pub type PriceFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where prices come from when a reply does not say its own.
pub trait Prices: Send + Sync {
    /// What the gateway billed for these requests, as far as it says; `since` is a moment before the first of them.
    fn billed<'a>(&'a self, ids: &'a [String], since: SystemTime) -> PriceFuture<'a, HashMap<String, Usd>>;

    /// The gateway's price list, if it can be had.
    fn catalog(&self) -> PriceFuture<'_, Option<Arc<Catalog>>>;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usage() -> Option<Usage> {
        Usage::from_value(json!({"prompt_tokens": 1_000_000, "completion_tokens": 100_000}))
    }

    fn catalog() -> Catalog {
        let pricing = json!({"prompt_usd_per_1m": "3", "completion_usd_per_1m": "15"});
        Catalog::from_value(&json!([{"id": "a/b", "pricing": pricing}])).unwrap()
    }

    #[test]
    fn a_price_in_the_reply_is_billed() {
        let mut ledger = Ledger::default();
        ledger.started(Some("r1"), "a/b");
        ledger.completed(None, usage().as_ref(), Some(Usd(0.25)));
        assert!(ledger.unsettled().is_empty() && !ledger.wants_prices());
        let turn = ledger.settle(None);
        assert_eq!(turn.total(), Some(Cost::Billed(Usd(0.25))));
        assert_eq!(ledger.session(), turn);
    }

    #[test]
    fn billed_amounts_come_by_request_id() {
        let mut ledger = Ledger::default();
        for id in ["r1", "r2"] {
            ledger.started(Some(id), "a/b");
            ledger.completed(None, usage().as_ref(), None);
        }
        assert_eq!(ledger.unsettled(), ["r1", "r2"]);
        ledger.bill(&HashMap::from([("r1".to_owned(), Usd(1.0))]));
        assert_eq!(ledger.unsettled(), ["r2"]);
        let turn = ledger.settle(Some(&catalog()));
        assert_eq!((turn.billed, turn.estimated, turn.unpriced), (1.0, 4.5, 0));
        assert_eq!(turn.total(), Some(Cost::Estimated(Usd(5.5))));
    }

    #[test]
    fn what_cannot_be_priced_is_counted_and_never_zero() {
        let mut ledger = Ledger::default();
        ledger.started(None, "unknown/model");
        let turn = ledger.settle(Some(&catalog()));
        assert_eq!((turn.total(), turn.unpriced), (None, 1));
    }

    #[test]
    fn an_attempt_that_failed_makes_the_sum_an_estimate() {
        let mut ledger = Ledger::default();
        ledger.started(Some("r1"), "a/b");
        ledger.started(Some("r2"), "a/b");
        ledger.completed(None, None, Some(Usd(0.1)));
        assert_eq!(ledger.settle(None).total(), Some(Cost::Estimated(Usd(0.1))));
    }
}
