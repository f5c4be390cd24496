//! How requests are made: settings that may change while a turn runs.

use std::sync::{Arc, Mutex, PoisonError};

/// How requests are made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Model id, `provider/name` or `auto`.
    pub model: String,
    /// Sent as `route` when set.
    pub route: Option<String>,
    /// Sent as `models` when not empty.
    pub fallback_models: Vec<String>,
    /// Sent as `reasoning_effort` when set.
    pub reasoning_effort: Option<String>,
    /// How hard to work on a cheaper request, 0 to 0.95; at 0 the bytes stay as they are.
    pub optimize: f64,
    /// Who does that work.
    pub optimize_at: OptimizeAt,
}

/// Who makes requests cheaper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OptimizeAt {
    /// We do, before a request goes out.
    #[default]
    Client,
    /// The gateway does: it is told how hard to work, and what it cannot see.
    Gateway {
        /// Tells it which requests belong together.
        session_id: Arc<str>,
    },
}

/// Settings that are read anew for every request. Cheap to clone; clones are one.
#[derive(Clone, Debug, Default)]
pub struct SharedSettings(Arc<Mutex<Settings>>);

impl SharedSettings {
    /// Starts with these settings.
    pub fn new(settings: Settings) -> SharedSettings {
        SharedSettings(Arc::new(Mutex::new(settings)))
    }

    /// The settings now.
    pub fn get(&self) -> Settings {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes them; the next request sees it.
    pub fn update(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
