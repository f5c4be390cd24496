//! The price list of a turn, fetched beside what the turn waits for anyway.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use mesh_client::wire::Catalog;

use crate::cost::{PriceFuture, Prices};

/// A price list that may be under way.
pub(crate) struct PriceList<'a> {
    prices: Option<&'a dyn Prices>,
    under_way: Option<PriceFuture<'a, Option<Arc<Catalog>>>>,
    known: Option<Arc<Catalog>>,
}

impl<'a> PriceList<'a> {
    /// A list that nobody has asked for.
    pub(crate) fn new(prices: Option<&'a dyn Prices>) -> PriceList<'a> {
        PriceList { prices, under_way: None, known: None }
    }

    /// Asks for it; it comes in while something else is waited for.
    pub(crate) fn want(&mut self) {
        if self.known.is_none() && self.under_way.is_none() {
            self.under_way = self.prices.take().map(Prices::catalog);
        }
    }

    /// The list, if it has come.
    pub(crate) fn known(&self) -> Option<&Arc<Catalog>> {
        self.known.as_ref()
    }

    /// Whether it will still come.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Waits for it if it is under way.
    pub(crate) async fn arrive(&mut self) {
        if let Some(under_way) = self.under_way.take() {
            self.known = under_way.await;
        }
    }

    /// Waits for `work`, and takes the list in if it comes meanwhile.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let done = work.as_mut().poll(context);
            if done.is_pending() {
                self.poll(context);
            }
            done
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        let ready = self.under_way.as_mut().map(|list| list.as_mut().poll(context));
        if let Some(Poll::Ready(catalog)) = ready {
            (self.known, self.under_way) = (catalog, None);
        }
    }
}
