//! The gateway's prices, asked for with the key of a caller.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use mesh_client::{ApiKey, BaseUrl, Catalog, MeshClient, http::HeaderMap};
use mesh_optimize::Prices;

use super::lock;
use crate::wiring;

/// How long a request waits for prices that a cap needs.
const WITHIN: Duration = Duration::from_secs(10);
/// How soon a gateway that did not tell its prices is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What tokens cost at the gateway.
pub(super) struct PriceBook {
    upstream: BaseUrl,
    catalog: Arc<OnceLock<Catalog>>,
    /// When the gateway was asked for them.
    asked: Mutex<Option<Instant>>,
}

impl PriceBook {
    pub(super) fn new(upstream: BaseUrl) -> PriceBook {
        PriceBook { upstream, catalog: Arc::default(), asked: Mutex::default() }
    }

    /// What a model costs, if that is known.
    pub(super) fn of(&self, model: &str) -> Option<Prices> {
        self.catalog.get()?.lookup(model).and_then(wiring::prices)
    }

    /// Asks for the prices, until they were told; nobody waits.
    pub(super) fn learn(&self, headers: &HeaderMap) {
        if let Some(ask) = self.ask(headers) {
            tokio::spawn(ask);
        }
    }

    /// Asks for the prices, until they were told, and waits a while.
    pub(super) async fn learn_now(&self, headers: &HeaderMap) {
        if let Some(ask) = self.ask(headers) {
            // Without prices a request that a cap would have to judge is refused.
            let _ = tokio::time::timeout(WITHIN, ask).await;
        }
    }

    fn ask(&self, headers: &HeaderMap) -> Option<impl Future<Output = ()> + Send + 'static> {
        if self.catalog.get().is_some() {
            return None;
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let key = text("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .or_else(|| text("x-api-key"));
        let key = key?.parse::<ApiKey>().ok()?;
        let mut asked = lock(&self.asked);
        if asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN) {
            return None;
        }
        *asked = Some(Instant::now());
        let (upstream, catalog) = (self.upstream.clone(), Arc::clone(&self.catalog));
        Some(async move {
            // Without prices a receipt says tokens and no money.
            if let Ok(told) = MeshClient::builder(upstream, key).build().models().await {
                let _ = catalog.set(told);
            }
        })
    }
}
