//! The permission mode of a session, shared between the turn that reads it and the key that changes it.

use std::sync::{Arc, Mutex, PoisonError};

use mesh_safety::PermissionMode;

/// A mode that may change while a turn runs: it is read anew for every call.
#[derive(Clone, Debug, Default)]
pub struct SharedMode(Arc<Mutex<PermissionMode>>);

impl SharedMode {
    /// Starts with this mode.
    pub fn new(mode: PermissionMode) -> SharedMode {
        SharedMode(Arc::new(Mutex::new(mode)))
    }

    /// The mode now.
    pub fn get(&self) -> PermissionMode {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it.
    pub fn set(&self, mode: PermissionMode) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}
