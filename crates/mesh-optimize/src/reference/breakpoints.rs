//! Breakpoints for the provider's cache: behind the system text, and behind all messages but the last.

use serde_json::{Value, json};

use super::{Lever, Work};
use crate::dialect::Dialect;
use crate::estimate::{estimate, estimate_conversation};

/// A request with fewer messages has no history to cache. The seed's 16.5.
const LEAST_MESSAGES: usize = 3;

/// The mark that a provider's cache understands.
fn mark() -> Value {
    json!({"type": "ephemeral"})
}

/// Whether the client set a breakpoint anywhere: on a message, a block, a block inside a result, a system text or a tool.
///
/// The originals look at fewer places (T3, P1). A `null` is no breakpoint.
pub(super) fn is_marked(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| (name == "cache_control" && !value.is_null()) || is_marked(value)),
        Value::Array(items) => items.iter().any(is_marked),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

pub(super) fn apply(work: &mut Work<'_>) {
    match work.dialect {
        Dialect::Utf16 if work.is_marked => {
            work.plan.note(Lever::CacheInjection, "skipped: client already set cache_control");
            return;
        }
        // To the Python releases a message's mark counts whatever its value.
        Dialect::CodePoints
            if work.is_marked || work.messages().iter().any(|m| m.get("cache_control").is_some()) =>
        {
            return;
        }
        Dialect::Utf16 | Dialect::CodePoints => {}
    }
    let least = work.model.cache_minimum();
    let system = match work.dialect {
        Dialect::Utf16 => {
            work.request.get("system").map_or(0, |system| estimate(system, Dialect::Utf16).tokens)
        }
        Dialect::CodePoints => 0,
    };
    let on_system = system >= least && mark_system(work, system) || mark_first(work, least);
    let on_history = mark_history(work, system, least);
    if on_system || on_history {
        work.plan.levers.push(Lever::CacheInjection);
    }
}

/// Marks the `system` field: a text becomes a list of one block, of a list the last block is marked.
fn mark_system(work: &mut Work<'_>, tokens: u64) -> bool {
    let place = match work.request.get_mut("system") {
        Some(system @ Value::String(_)) => {
            *system = json!([{"type": "text", "text": system.take(), "cache_control": mark()}]);
            "after system prompt"
        }
        Some(Value::Array(blocks)) => match blocks.last_mut() {
            Some(Value::Object(last)) => {
                last.insert("cache_control".to_owned(), mark());
                "on last system block"
            }
            _ => return false,
        },
        _ => return false,
    };
    work.plan.note(Lever::CacheInjection, format!("breakpoint {place} (~{tokens} tokens)"));
    true
}

/// Marks the first message where it is the system text.
fn mark_first(work: &mut Work<'_>, least: u64) -> bool {
    let dialect = work.dialect;
    let Some(first) =
        work.message_mut(0).filter(|first| first.get("role").is_some_and(|role| role == "system"))
    else {
        return false;
    };
    let tokens = first.get("content").map_or(0, |content| estimate(content, dialect).tokens);
    if tokens < least {
        return false;
    }
    first.insert("cache_control".to_owned(), mark());
    let unit = unit(dialect);
    work.plan.note(Lever::CacheInjection, format!("breakpoint on system message (~{tokens} {unit})"));
    true
}

/// Marks the last message but one.
fn mark_history(work: &mut Work<'_>, system: u64, least: u64) -> bool {
    let Some((_, history)) = work.messages().split_last().filter(|_| work.messages().len() >= LEAST_MESSAGES)
    else {
        return false;
    };
    let (tokens, anchor) = (system + estimate_conversation(history, work.dialect).tokens, history.len() - 1);
    if tokens < least {
        return false;
    }
    let Some(anchor) = work.message_mut(anchor) else { return false };
    anchor.insert("cache_control".to_owned(), mark());
    let action = match work.dialect {
        Dialect::Utf16 => format!("breakpoint on conversation history (~{tokens} token prefix)"),
        Dialect::CodePoints => format!("breakpoint on history (~{tokens} tok prefix)"),
    };
    work.plan.note(Lever::CacheInjection, action);
    true
}

fn unit(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Utf16 => "tokens",
        Dialect::CodePoints => "tok",
    }
}
