//! What the user always allows, asks or denies in a session, and the last decision, for whoever asks why.

use std::sync::{Arc, Mutex, PoisonError};

use mesh_safety::{Decision, PermissionMode, rules::Rules};

use crate::Approval;

/// Rules that may change while a turn runs: they are read anew for every call.
#[derive(Clone, Debug, Default)]
pub struct SharedRules(Arc<Mutex<Rules>>);

impl SharedRules {
    /// Starts with these rules.
    pub fn new(rules: Rules) -> SharedRules {
        SharedRules(Arc::new(Mutex::new(rules)))
    }

    /// The rules now.
    pub fn get(&self) -> Rules {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes them; the next call sees it.
    pub fn set(&self, rules: Rules) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }
}

/// How a call was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The call in one line. Text of the model is in it.
    pub summary: String,
    /// The mode that was in force.
    pub mode: PermissionMode,
    /// What the judgement said.
    pub decision: Decision,
    /// The user's own rule without which it would not have been allowed.
    pub rule: Option<String>,
    /// What came of a question; `None` where nobody was asked.
    pub answer: Option<Approval>,
}

/// The last decision of a session; empty before the first.
#[derive(Clone, Debug, Default)]
pub struct LastDecision(Arc<Mutex<Option<Decided>>>);

impl LastDecision {
    /// The last one.
    pub fn get(&self) -> Option<Decided> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, decided: Decided) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(decided);
    }
}
