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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_are_found_in_both_shapes() {
        let openai = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}});
        let usage = Usage::from_value(openai.clone()).unwrap();
        assert_eq!((usage.cached_tokens(), usage.reasoning_tokens()), (4, 2));
        assert_eq!(usage.raw, openai);
        let anthropic = json!({"prompt_tokens": 10, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 2,
            "classifier_prompt_tokens": 3, "classifier_completion_tokens": 1});
        let usage = Usage::from_value(anthropic).unwrap();
        assert_eq!((usage.cached_tokens(), usage.cache_creation_tokens()), (7, 2));
        assert_eq!((usage.classifier_prompt_tokens(), usage.classifier_completion_tokens()), (3, 1));
    }

    #[test]
    fn odd_counts_are_not_given() {
        for odd in [json!(null), json!("7"), json!(-1), json!([7]), json!({})] {
            let usage = Usage::from_value(json!({"prompt_tokens": odd})).unwrap();
            assert_eq!(usage.prompt_tokens, None, "{odd}");
        }
        let usage = Usage::from_value(json!({"prompt_tokens": 7.9, "completion_tokens": 1e300})).unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (Some(7), Some(u64::MAX)));
        assert_eq!(Usage::from_value(json!([])), None);
    }

    #[test]
    fn no_more_is_cached_than_there_is() {
        let usage = json!({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 99}});
        assert_eq!(Usage::from_value(usage).unwrap().cached_tokens(), 10);
    }
}
