//! The gateway's models: which there are, and which one is asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mesh_client::{Catalog, MeshClient};
use serde_json::json;

use super::{LiveControls, Outcome, settings::stored};

/// Longest wait for the catalogue where a person waits for a command. It is 2.8 MB.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(5);

/// The gateway's models, fetched once a session. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ModelList(Arc<Mutex<Option<Arc<Catalog>>>>);

impl ModelList {
    /// The models, if they are known yet.
    pub fn get(&self) -> Option<Arc<Catalog>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes models that were read elsewhere.
    pub fn set(&self, catalog: Catalog) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(catalog));
    }

    /// Fetches the models unless they are known. A failure leaves them unknown; the next call tries again.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn refresh(&self, client: &MeshClient) -> Option<Arc<Catalog>> {
        if self.get().is_none()
            && let Ok(Ok(catalog)) = tokio::time::timeout(CATALOG_TIMEOUT, client.models()).await
        {
            self.set(catalog);
        }
        self.get()
    }
}

pub(super) fn model(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    if argument.is_empty() {
        return Outcome::note(&format!("Current model: {}", controls.settings.get().model));
    }
    controls.settings.update(|settings| settings.model = argument.to_owned());
    controls.config.overrides_mut().model = None;
    stored(controls.config, "model", &json!(argument), &format!("Model set to {argument}"))
}
