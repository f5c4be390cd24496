//! What a request may wait for, and what the originals only announce.

use super::{Lever, Work};

/// Levers that the originals announce from a dial on, and do not have. From the TypeScript package.
const LATER: [(f64, Lever, &str); 3] = [
    (0.4, Lever::ContextCompaction, "skipped: ships in phase two"),
    (0.4, Lever::SubagentCaps, "skipped: ships in phase two"),
    (0.6, Lever::ModelRouting, "skipped: ships in phase three"),
];

/// A client that is in no hurry says so; the dial does not matter.
pub(super) fn apply(work: &mut Work<'_>) {
    if work.hints.get("latency").is_some_and(|latency| latency == "flexible") {
        work.plan.is_batch_eligible = true;
        work.plan.levers.push(Lever::BatchEligible);
        work.plan.note(Lever::BatchRouting, "marked batch eligible via latency:flexible hint");
    }
}

pub(super) fn later(work: &mut Work<'_>) {
    for (_, lever, action) in LATER.iter().filter(|(from, ..)| work.dial >= *from) {
        work.plan.note(*lever, *action);
    }
}
