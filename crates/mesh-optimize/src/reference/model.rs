//! Models by name: what they cost, and how long a prefix must be to be cached.
//!
//! The figures are those of the originals, and out of date: see [`Provider`](crate::Provider) for today's.

use serde::Serialize;
use serde_json::Value;

/// Smallest prefix that is cached, in tokens, by a part of the name; the first that fits counts. The seed's 16.5.
const CACHE_MINIMUMS: [(&str, u64); 4] =
    [("fable", 2048), ("sonnet-4-6", 2048), ("opus", 4096), ("haiku-4-5", 4096)];

/// For every other model. The seed's 16.5.
const OTHER_CACHE_MINIMUM: u64 = 2048;

/// A model's name without provider, in lower case, with `-` for each `.`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Model(String);

impl Model {
    /// Reads a name: `anthropic/claude-opus-4.8` is `claude-opus-4-8`.
    pub fn new(name: &str) -> Model {
        let lower = name.to_lowercase();
        Model(lower.rsplit('/').next().unwrap_or_default().replace('.', "-"))
    }

    /// Reads a request's `model`. One that is missing or no text is an unknown model (T2).
    pub(super) fn of_request(body: &Value) -> Model {
        Model::new(body.get("model").and_then(Value::as_str).unwrap_or_default())
    }

    /// Returns the bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the smallest prefix that is cached, in tokens.
    pub fn cache_minimum(&self) -> u64 {
        let row = CACHE_MINIMUMS.iter().find(|(part, _)| self.0.contains(part));
        row.map_or(OTHER_CACHE_MINIMUM, |(_, tokens)| *tokens)
    }

    /// Whether it is one of the Claude models.
    pub fn is_anthropic(&self) -> bool {
        self.0.starts_with("claude")
    }

    /// Whether it is one of the Fable models, which reject some parameters.
    pub fn is_fable(&self) -> bool {
        self.0.contains("fable")
    }

    /// Looks up the price.
    pub fn price(&self) -> Option<Price> {
        match PRICES.iter().find(|(name, ..)| *name == self.0) {
            Some((_, price)) => *price,
            None => Some(OTHER_PRICE),
        }
    }
}

/// What a model costs, in USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Price {
    /// Input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<f64>,
    /// Output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<f64>,
}

const fn price(input: f64, output: f64) -> Option<Price> {
    Some(Price { input: Some(input), output: Some(output) })
}

/// An unknown model counts as one of middling price, which overstates what was saved on a cheap one.
const OTHER_PRICE: Price = Price { input: Some(3.0), output: Some(15.0) };

/// The TypeScript package's price list. The last two rows are no models but names that every JavaScript object knows: looked up there,
/// one is no price and the other a price without figures, so that nothing is reckoned from either.
const PRICES: [(&str, Option<Price>); 15] = [
    ("claude-fable-5", price(10.0, 50.0)),
    ("claude-opus-4-8", price(5.0, 25.0)),
    ("claude-opus-4-7", price(5.0, 25.0)),
    ("claude-opus-4-6", price(15.0, 75.0)),
    ("claude-opus-4-5", price(15.0, 75.0)),
    ("claude-opus-4-1", price(15.0, 75.0)),
    ("claude-opus-4", price(15.0, 75.0)),
    ("claude-sonnet-4-6", price(3.0, 15.0)),
    ("claude-sonnet-4-5", price(3.0, 15.0)),
    ("claude-sonnet-4", price(3.0, 15.0)),
    ("claude-haiku-4-5", price(0.8, 4.0)),
    ("claude-3-5-haiku", price(0.8, 4.0)),
    ("claude-3-haiku", price(0.25, 1.25)),
    ("constructor", None),
    ("__proto__", Some(Price { input: None, output: None })),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bare() {
        for (name, bare) in [
            ("anthropic/claude-opus-4.8", "claude-opus-4-8"),
            ("a/b/C.D", "c-d"),
            ("a/", ""),
            ("", ""),
            ("\u{130}/Claude", "claude"),
        ] {
            assert_eq!(Model::new(name).as_str(), bare, "{name}");
        }
    }

    #[test]
    fn figures_go_by_the_name() {
        for (name, least, is_anthropic, is_fable, input) in [
            ("mesh/Claude-Fable-5", 2048, true, true, 10.0),
            ("claude-opus-4.6", 4096, true, false, 15.0),
            ("my-opus-model", 4096, false, false, 3.0),
            ("claude-haiku-4.5", 4096, true, false, 0.8),
            ("openai/gpt-4o-mini", 2048, false, false, 3.0),
        ] {
            let model = Model::new(name);
            let found = (model.cache_minimum(), model.is_anthropic(), model.is_fable());
            assert_eq!(found, (least, is_anthropic, is_fable), "{name}");
            assert_eq!(model.price().and_then(|price| price.input), Some(input), "{name}");
        }
    }
}
