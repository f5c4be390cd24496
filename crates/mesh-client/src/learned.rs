//! A gateway's catalogue, asked for with the key of whoever calls: for those who pass requests on and have no key of their own.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::http::HeaderMap;
use crate::{ApiKey, BaseUrl, Catalog, MeshClient};

/// How long a request waits for a catalogue that it needs.
const WITHIN: Duration = Duration::from_secs(10);
/// How soon a gateway that did not tell its catalogue is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The catalogue of a gateway, once somebody's key has opened it. No key is kept.
#[derive(Debug)]
pub struct LearnedCatalog {
    upstream: BaseUrl,
    catalog: Arc<OnceLock<Catalog>>,
    /// When the gateway was asked for it.
    asked: Mutex<Option<Instant>>,
}

impl LearnedCatalog {
    /// That of the gateway at this address, not known yet.
    pub fn new(upstream: BaseUrl) -> LearnedCatalog {
        LearnedCatalog { upstream, catalog: Arc::default(), asked: Mutex::default() }
    }

    /// The catalogue, if it is known.
    pub fn get(&self) -> Option<&Catalog> {
        self.catalog.get()
    }

    /// Asks for it with the key in a request's headers, until it was told; nobody waits.
    pub fn learn(&self, headers: &HeaderMap) {
        if let Some(ask) = self.ask(headers) {
            tokio::spawn(ask);
        }
    }

    /// The same, and waits a while.
    pub async fn learn_now(&self, headers: &HeaderMap) {
        if let Some(ask) = self.ask(headers) {
            // Who has to know it sees that it is not known.
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
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN) {
            return None;
        }
        *asked = Some(Instant::now());
        let (upstream, catalog) = (self.upstream.clone(), Arc::clone(&self.catalog));
        Some(async move {
            // It is asked for again with a later request.
            if let Ok(told) = MeshClient::builder(upstream, key).build().models().await {
                let _ = catalog.set(told);
            }
        })
    }
}
