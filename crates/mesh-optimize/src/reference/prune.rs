//! Old results of tools: all but the beginning goes.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{AuditEntry, Lever, Work};
use crate::dialect::Dialect;

/// The lever works from this dial on. The seed's 16.4.
const FROM_DIAL: f64 = 0.2;

/// So many of the last messages are never touched. The seed's 16.4.
const KEEP_RECENT: usize = 4;

/// Units of a long result that stay. The seed's 16.4.
const KEEP_UNITS: usize = 400;

/// A result of up to so many units stays whole. The seed's 16.4.
const LONGEST_WHOLE: usize = 2 * KEEP_UNITS;

/// Units that count as one token. The seed's 16.2.
const UNITS_PER_TOKEN: usize = 4;

/// Whether a tool's result of this length is never cut at this dial, however old it grows.
///
/// A client may then tell the model that the text still stands in its context.
pub fn survives_pruning(units: usize, dial: f64) -> bool {
    dial < FROM_DIAL || units <= LONGEST_WHOLE
}

/// Nothing is cut when the client set a breakpoint anywhere (T3, P1): what stands in front of it is cached as it is.
pub(super) fn apply(work: &mut Work<'_>) {
    if work.dial < FROM_DIAL || work.is_marked {
        return;
    }
    let (dialect, mut removed, mut entries) = (work.dialect, 0, Vec::new());
    let Some(messages) = work.request.get_mut("messages").and_then(Value::as_array_mut) else { return };
    let old = messages.len().saturating_sub(KEEP_RECENT);
    for (index, message) in messages.iter_mut().take(old).enumerate() {
        let is_tool = message.get("role").is_some_and(|role| role == "tool");
        let mut cut = |content: &mut Value, what: &str| {
            if let Some((units, entry)) =
                cut(content, dialect, format!("truncated {what} at message {index}"))
            {
                removed += units;
                entries.push(entry);
            }
        };
        match message.get_mut("content") {
            Some(content @ Value::String(_)) if is_tool => cut(content, "tool result"),
            // The Python releases know no blocks.
            Some(Value::Array(blocks)) if dialect == Dialect::Utf16 => {
                for block in
                    blocks.iter_mut().filter(|block| block.get("type").is_some_and(|t| t == "tool_result"))
                {
                    if let Some(content) = block.get_mut("content") {
                        cut(content, "tool_result block");
                    }
                }
            }
            _ => {}
        }
    }
    if removed > 0 {
        work.plan.tokens_removed = removed.div_ceil(UNITS_PER_TOKEN) as u64;
        work.plan.levers.push(Lever::ToolResultPruning);
        work.plan.audit.extend(entries);
    }
}

/// Cuts a long text, and returns how many units fewer it has.
///
/// No character is cut in two (T1): where the last unit would be half a pair, one unit fewer stays.
fn cut(content: &mut Value, dialect: Dialect, action: String) -> Option<(usize, AuditEntry)> {
    let text = content.as_str().filter(|text| text.len() > LONGEST_WHOLE)?;
    let units = dialect.length(text);
    if units <= LONGEST_WHOLE {
        return None;
    }
    let head = &text[..dialect.prefix(text, KEEP_UNITS)];
    let gone = units - dialect.length(head);
    let short = format!("{head}\n[mesh: pruned {gone} chars of consumed tool output]");
    let left = dialect.length(&short);
    let entry = AuditEntry {
        lever: Lever::ToolResultPruning,
        action,
        content_sha256: Some(format!("{:x}", Sha256::digest(text.as_bytes()))),
        detail: (dialect == Dialect::Utf16).then(|| format!("{units} chars to {left}")),
    };
    *content = Value::String(short);
    Some((units - left, entry))
}
