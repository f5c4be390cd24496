//! Token estimates: a quarter of the text's length, rounded up, with the name of the method.
//!
//! Integers all the way: no estimate depends on how a float was rounded. Tool-call arguments are not counted (the seed's
//! 16.2), so a conversation full of large edits is larger than its estimate.

use std::fmt;

use serde_json::Value;

use crate::dialect::Dialect;

/// Units of text that count as one token. The seed's 16.2.
const UNITS_PER_TOKEN: u64 = 4;

/// Tokens for a message's role and frame, on top of its content. The seed's 16.2.
const TOKENS_PER_MESSAGE: u64 = 4;

/// A number of tokens that was estimated, not reported by a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Estimate {
    /// The figure, in tokens.
    pub tokens: u64,
    /// The rule of counting that it came from.
    pub dialect: Dialect,
}

impl Estimate {
    /// Returns the name of the method, for receipts and status lines.
    pub fn method(&self) -> &'static str {
        match self.dialect {
            Dialect::Utf16 => "utf16/4",
            Dialect::CodePoints => "codepoints/4",
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {} tokens ({})", self.tokens, self.method())
    }
}

/// Estimates one value: a string by its length, null as nothing, anything else by the length of its JSON text.
///
/// ```
/// use mesh_optimize::{Dialect, estimate};
/// use serde_json::json;
///
/// assert_eq!(estimate(&json!("abcde"), Dialect::Utf16).tokens, 2);
/// assert_eq!(estimate(&json!({"x": null}), Dialect::Utf16).tokens, 3);
/// ```
pub fn estimate(value: &Value, dialect: Dialect) -> Estimate {
    Estimate { tokens: value_tokens(value, dialect), dialect }
}

/// Estimates one chat message: its `content`, and a fixed price for its frame.
pub fn estimate_message(message: &Value, dialect: Dialect) -> Estimate {
    Estimate { tokens: message_tokens(message, dialect), dialect }
}

/// Estimates the messages of a request, one by one.
pub fn estimate_conversation(messages: &[Value], dialect: Dialect) -> Estimate {
    let tokens = messages.iter().map(|message| message_tokens(message, dialect)).sum();
    Estimate { tokens, dialect }
}

fn message_tokens(message: &Value, dialect: Dialect) -> u64 {
    let content = message.get("content").unwrap_or(&Value::Null);
    value_tokens(content, dialect) + TOKENS_PER_MESSAGE
}

fn value_tokens(value: &Value, dialect: Dialect) -> u64 {
    let units = match value {
        Value::Null => 0,
        Value::String(text) => dialect.length(text),
        other => {
            let mut counter = Counter { dialect, units: 0 };
            // The counter never refuses a piece, and writing does not fail by itself.
            let _ = dialect.write_json(other, &mut counter);
            counter.units
        }
    };
    (units as u64).div_ceil(UNITS_PER_TOKEN)
}

/// Counts what is written to it.
struct Counter {
    dialect: Dialect,
    units: usize,
}

impl fmt::Write for Counter {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.units += self.dialect.length(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_its_content_and_a_frame() {
        let tokens = |message: Value| estimate_message(&message, Dialect::Utf16).tokens;
        assert_eq!(tokens(json!({"role": "user", "content": "abcd"})), 5);
        assert_eq!(tokens(json!({"role": "assistant", "content": null})), 4);
        assert_eq!(tokens(json!({"role": "assistant"})), 4);
        assert_eq!(tokens(json!("not a message")), 4);
    }

    #[test]
    fn each_message_is_rounded_up_by_itself() {
        let messages = [json!({"content": "a"}), json!({"content": "b"})];
        assert_eq!(estimate_conversation(&messages, Dialect::Utf16).tokens, 10);
        assert_eq!(estimate_conversation(&[], Dialect::Utf16).tokens, 0);
    }
}
