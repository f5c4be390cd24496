//! Prices from the gateway: what it billed for a request, and its price list. Asked only when a reply did not say its own price.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use mesh_client::{Catalog, MeshClient, Usd};

use crate::cost::{PriceFuture, Prices};

/// Longest wait for billed amounts at the end of a turn: the user is looking at the answer already.
const BILLED_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the price list (2.8 MB), once a session.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(10);
/// Clocks differ: look this much further back than the turn began.
const CLOCK_SLACK: Duration = Duration::from_secs(300);
/// Rows that are asked for. As observed on the wire.
const ROWS: u32 = 200;

/// Looks prices up at the gateway.
#[derive(Debug)]
pub struct GatewayPrices {
    client: MeshClient,
    catalog: Mutex<Looked>,
}

#[derive(Clone, Debug)]
enum Looked {
    NotYet,
    Done(Option<Arc<Catalog>>),
}

impl GatewayPrices {
    /// Asks this gateway.
    pub fn new(client: MeshClient) -> GatewayPrices {
        GatewayPrices { client, catalog: Mutex::new(Looked::NotYet) }
    }
}

impl Prices for GatewayPrices {
    fn billed<'a>(&'a self, ids: &'a [String], since: SystemTime) -> PriceFuture<'a, HashMap<String, Usd>> {
        Box::pin(async move {
            let since = since.checked_sub(CLOCK_SLACK).unwrap_or(since);
            let Ok(since) = jiff::Timestamp::try_from(since) else { return HashMap::new() };
            let events = tokio::time::timeout(BILLED_TIMEOUT, self.client.usage_events(since, ROWS)).await;
            let events = events.ok().and_then(Result::ok).unwrap_or_default();
            events
                .into_iter()
                .filter(|e| ids.contains(&e.request_id))
                .filter_map(|e| Some((e.request_id, e.cost?)))
                .collect()
        })
    }

    fn catalog(&self) -> PriceFuture<'_, Option<Arc<Catalog>>> {
        Box::pin(async move {
            if let Looked::Done(catalog) = &*self.catalog.lock().unwrap_or_else(PoisonError::into_inner) {
                return catalog.clone();
            }
            let catalog = tokio::time::timeout(CATALOG_TIMEOUT, self.client.models()).await;
            let catalog = catalog.ok().and_then(Result::ok).map(Arc::new);
            *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = Looked::Done(catalog.clone());
            catalog
        })
    }
}
