//! Parameters that a model rejects: taken out, so that the optimiser is never the reason that a request fails.
//!
//! Only the Fable family is known to reject any. From the TypeScript package.

use serde_json::Value;

use super::{Lever, Work};

pub(super) fn apply(work: &mut Work<'_>) {
    if !work.model.is_fable() {
        return;
    }
    let is_one = |value: &Value| value.as_f64() == Some(1.0);
    remove(work, "temperature", |value| !is_one(value), "removed temperature (fable requires 1.0 or unset)");
    remove(work, "top_k", |_| true, "removed top_k (unsupported on fable)");
    remove(
        work,
        "thinking",
        |value| value.get("type").is_some_and(|kind| kind == "disabled"),
        "removed thinking:disabled (fable rejects it; omitted instead)",
    );
}

fn remove(work: &mut Work<'_>, field: &str, is_rejected: impl Fn(&Value) -> bool, action: &str) {
    if work.request.get(field).is_some_and(is_rejected) {
        work.request.shift_remove(field);
        work.plan.note(Lever::ParamGuard, action);
    }
}
