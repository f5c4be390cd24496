//! How hard the model thinks: less on small tasks, where the client did not say.

use serde_json::{Map, Value};

use super::{Lever, Work};
use crate::classify::TaskClass;

/// Routine tasks think less from this dial on. From the TypeScript package.
const FROM_DIAL: f64 = 0.2;

/// Routine tasks think least, and standard tasks less, from this dial on. From the TypeScript package.
const HARD_FROM_DIAL: f64 = 0.6;

/// Only Claude models take the field. What the client said wins, also in the OpenAI shape (T5).
pub(super) fn apply(work: &mut Work<'_>) {
    if !work.model.is_anthropic() || work.request.contains_key("reasoning_effort") {
        return;
    }
    let class = work.plan.class;
    let effort = match class {
        TaskClass::Routine if work.dial >= HARD_FROM_DIAL => "low",
        TaskClass::Standard if work.dial >= HARD_FROM_DIAL => "medium",
        TaskClass::Routine if work.dial >= FROM_DIAL => "medium",
        TaskClass::Routine | TaskClass::Standard | TaskClass::Complex | TaskClass::Agentic => return,
    };
    let field = work.request.entry("output_config").or_insert(Value::Null);
    if field.is_null() {
        *field = Value::Object(Map::new());
    }
    match field.as_object_mut() {
        Some(config) if !config.contains_key("effort") => {
            drop(config.insert("effort".to_owned(), effort.into()))
        }
        _ => return,
    }
    let dial = work.dial;
    work.plan.levers.push(Lever::EffortDowngrade);
    work.plan.note(Lever::EffortDowngrade, format!("effort={effort} for {class} task at dial {dial}"));
}
