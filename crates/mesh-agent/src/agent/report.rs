//! The report of a turn: what it used, and what it cost once the prices are known.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use mesh_client::wire::{Catalog, Usage};

use super::Agent;
use crate::{
    event::{Event, Listener, RefusedCall, TurnReport, TurnUsage},
    price_list::PriceList,
    saver::{Saving, Savings},
    turn::TurnEnd,
};

/// What a turn has seen so far, for its report.
pub(super) struct Tally {
    pub(super) started: Instant,
    pub(super) wall: SystemTime,
    pub(super) hops: u32,
    pub(super) model: String,
    pub(super) last: Option<Usage>,
    pub(super) usage: TurnUsage,
    pub(super) model_time: Duration,
    pub(super) refused: Vec<RefusedCall>,
    pub(super) savings: Savings,
    /// Requests that were sent in their prepared form and wait for a price list.
    pub(super) unsettled: Vec<Unsettled>,
}

/// A request that was answered in its prepared form.
pub(super) struct Unsettled {
    pub(super) saving: Box<dyn Saving>,
    pub(super) model: Option<String>,
    pub(super) usage: Option<Usage>,
}

impl Agent {
    pub(super) async fn report(
        &mut self,
        end: TurnEnd,
        mut tally: Tally,
        mut list: PriceList<'_>,
        listener: &mut dyn Listener,
    ) -> TurnReport {
        // Whoever interrupted waits for the prompt, not for a price.
        let catalog = match end {
            TurnEnd::Interrupted { .. } => list.known().cloned(),
            TurnEnd::Finished { .. } | TurnEnd::HopLimit { .. } | TurnEnd::Failed { .. } => {
                self.look_up(&tally, &mut list).await
            }
        };
        tally.settle_all(catalog.as_deref());
        let turn_cost = self.ledger.settle(catalog.as_deref());
        let report = TurnReport {
            end,
            hops: tally.hops,
            model: tally.model,
            prompt_tokens: tally.last.as_ref().and_then(|u| u.prompt_tokens),
            completion_tokens: tally.last.as_ref().and_then(|u| u.completion_tokens),
            usage: tally.usage,
            savings: tally.savings,
            turn_cost,
            session_cost: self.ledger.session(),
            model_time: tally.model_time,
            wall_time: tally.started.elapsed(),
            refused: tally.refused,
        };
        listener.event(Event::TurnEnded(&report));
        report
    }

    /// Asks for what the replies did not say of their price: billed amounts first, then the price list.
    async fn look_up(&mut self, tally: &Tally, list: &mut PriceList<'_>) -> Option<Arc<Catalog>> {
        let prices = self.prices.clone()?;
        let ids = self.ledger.unsettled();
        if !ids.is_empty() {
            let amounts = list.beside(prices.billed(&ids, tally.wall)).await;
            self.ledger.bill(&amounts);
        }
        if self.ledger.wants_prices() || !tally.unsettled.is_empty() {
            list.want();
            list.arrive().await;
        }
        list.known().cloned()
    }
}

impl Tally {
    /// Begins a turn with this model.
    pub(super) fn begin(model: String) -> Tally {
        Tally {
            started: Instant::now(),
            wall: SystemTime::now(),
            hops: 0,
            model,
            last: None,
            usage: TurnUsage::default(),
            model_time: Duration::ZERO,
            refused: Vec::new(),
            savings: Savings::default(),
            unsettled: Vec::new(),
        }
    }

    /// Writes the receipts that wait, in the order of their requests, once it is known whether there are prices.
    pub(super) fn settle(&mut self, list: &PriceList<'_>) {
        if !list.is_under_way() {
            self.settle_all(list.known().map(|catalog| &**catalog));
        }
    }

    fn settle_all(&mut self, catalog: Option<&Catalog>) {
        for Unsettled { saving, model, usage } in self.unsettled.drain(..) {
            let receipt = saving.settled(model.as_deref(), usage.as_ref(), catalog);
            self.savings.receipts.push(receipt);
        }
    }
}
