//! Token counts of one completion, as the gateway reports them.
use serde_json::Value;

/// Token counts of one completion. Odd types (text, negative numbers, null) count as "not given".
///
/// `prompt_tokens` includes the cached ones, as in the OpenAI shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Tokens of the request, cached ones included.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: Option<u64>,
    /// Sum as the gateway gives it.
    pub total_tokens: Option<u64>,
    /// The object as it came, every field kept.
    pub raw: Value,
}

impl Usage {
    /// Reads the object of a chunk's or a body's `usage` field; anything but an object gives `None`.
    pub fn from_value(raw: Value) -> Option<Usage> {
        let object = raw.as_object()?;
        let prompt_tokens = object.get("prompt_tokens").and_then(tokens);
        let completion_tokens = object.get("completion_tokens").and_then(tokens);
        let total_tokens = object.get("total_tokens").and_then(tokens);
        Some(Usage { prompt_tokens, completion_tokens, total_tokens, raw })
    }

    /// Prompt tokens that came from the provider's cache, never more than the prompt has.
    ///
    /// Read from `prompt_tokens_details.cached_tokens`, else from `cache_read_input_tokens`.
    pub fn cached_tokens(&self) -> u64 {
        let cached = self
            .nested("prompt_tokens_details", "cached_tokens")
            .or_else(|| self.field("cache_read_input_tokens"))
            .unwrap_or(0);
        cached.min(self.prompt_tokens.unwrap_or(0))
    }

    /// Prompt tokens that were written to the provider's cache (`cache_creation_input_tokens`).
    pub fn cache_creation_tokens(&self) -> u64 {
        self.field("cache_creation_input_tokens")
            .or_else(|| self.nested("prompt_tokens_details", "cache_creation_tokens"))
            .unwrap_or(0)
    }

    /// Tokens of the answer that were reasoning (`completion_tokens_details.reasoning_tokens`).
    pub fn reasoning_tokens(&self) -> u64 {
        self.nested("completion_tokens_details", "reasoning_tokens").unwrap_or(0)
    }

    /// Prompt tokens of the auto-router's own model call, billed like the rest.
    pub fn classifier_prompt_tokens(&self) -> u64 {
        self.field("classifier_prompt_tokens").unwrap_or(0)
    }

    /// Completion tokens of the auto-router's own model call, billed like the rest.
    pub fn classifier_completion_tokens(&self) -> u64 {
        self.field("classifier_completion_tokens").unwrap_or(0)
    }

    fn field(&self, name: &str) -> Option<u64> {
        self.raw.get(name).and_then(tokens)
    }

    fn nested(&self, outer: &str, inner: &str) -> Option<u64> {
        self.raw.get(outer)?.get(inner).and_then(tokens)
    }
}

/// A count of tokens: a number that is finite and not negative, cut to its whole part.
fn tokens(value: &Value) -> Option<u64> {
    if let Some(whole) = value.as_u64() {
        return Some(whole);
    }
    let number = value.as_f64()?;
    // The cast saturates, so that 1e300 tokens are "a great many" and not undefined.
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}
