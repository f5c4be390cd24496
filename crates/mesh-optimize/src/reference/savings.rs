//! What the originals say that they saved: a receipt in the response, and a status line.
//!
//! Both take an uncached bill for what would have been paid otherwise, which overstates the saving wherever the provider caches
//! anyway. The honest figures are those of [`Receipt`](crate::Receipt).

use serde::Serialize;
use serde_json::{Number, Value, json};

use super::{ESTIMATE_METHOD, Lever, Model, Plan};
use crate::dialect::Dialect;

/// A token read from the cache is credited with this share of its price. From the TypeScript package.
const READ_DISCOUNT: f64 = 0.9;

/// A token written to the cache is debited with this share of its price. From the TypeScript package.
const WRITE_PREMIUM: f64 = 0.25;

/// Prices are per so many tokens.
const PRICE_TOKENS: f64 = 1_000_000.0;

/// Money is rounded to 1 over this. From the TypeScript package: four places.
const ROUNDING: f64 = 10_000.0;

/// The receipt of the TypeScript package, as `mesh_savings` of a response.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Savings {
    /// Tokens that were not sent, estimated.
    pub tokens_saved: u64,
    /// Money against an uncached bill, negative where only a cache was filled; `None` for a price without figures.
    pub cost_saved_usd: Option<f64>,
    /// The levers that changed the request.
    pub levers_applied: Vec<Lever>,
    /// How the tokens were counted.
    pub baseline_estimate_method: &'static str,
}

/// Reckons what a request saved, by its plan and the `usage` of its response.
pub fn savings(plan: &Plan, response: &Value) -> Savings {
    let usage = response.get("usage").unwrap_or(&Value::Null);
    let count = |name: &str| usage.get(name).and_then(Value::as_f64);
    // T8: the OpenAI shape counts where the explicit field is absent.
    let read = count("cache_read_input_tokens")
        .or_else(|| cached_tokens(usage).and_then(Value::as_f64))
        .unwrap_or(0.0);
    let write = count("cache_creation_input_tokens").unwrap_or(0.0);
    let name = plan.model.as_ref().and_then(Value::as_str).unwrap_or_default();
    let cost = Model::new(name).price().and_then(|price| price.input).map(|input| {
        let token = input / PRICE_TOKENS;
        let cache = read * token * READ_DISCOUNT - write * token * WRITE_PREMIUM;
        round(plan.tokens_removed as f64 * token + cache)
    });
    Savings {
        tokens_saved: plan.tokens_removed,
        cost_saved_usd: cost,
        levers_applied: plan.levers.clone(),
        baseline_estimate_method: ESTIMATE_METHOD,
    }
}

/// Returns a copy of a response with its receipt in `mesh_savings`; what is no object has no place for one.
pub fn attach_savings(plan: &Plan, response: &Value) -> Value {
    let mut response = response.clone();
    let savings = savings(plan, &response);
    if let Some(fields) = response.as_object_mut() {
        fields.insert("mesh_savings".to_owned(), json!(savings));
    }
    response
}

fn cached_tokens(usage: &Value) -> Option<&Value> {
    usage.get("prompt_tokens_details")?.get("cached_tokens")
}

/// As JavaScript rounds: halves go up, also below zero.
fn round(usd: f64) -> f64 {
    let scaled = usd * ROUNDING;
    let floor = scaled.floor();
    let whole = if scaled - floor >= 0.5 { floor + 1.0 } else { floor };
    // Adding positive zero turns -0.0 into 0.0.
    whole / ROUNDING + 0.0
}

/// Returns the line that the Python releases print after a turn; empty where no lever ran.
///
/// It says "90% off" whatever the provider's real price for cached tokens is.
pub fn savings_line(plan: &Plan, usage: &Value) -> String {
    if plan.levers.is_empty() {
        return String::new();
    }
    let mut parts = Vec::new();
    if plan.tokens_removed > 0 {
        parts.push(format!("~{} tok pruned", plan.tokens_removed));
    }
    let explicit = usage.get("cache_read_input_tokens");
    let read = explicit.and_then(positive).or_else(|| cached_tokens(usage).and_then(positive));
    if let Some(read) = read {
        parts.push(format!("{} tok from cache (90% off)", printed(Some(read))));
    } else if plan.levers.contains(&Lever::CacheInjection) {
        parts.push("cache breakpoints set".to_owned());
    }
    if parts.is_empty() {
        parts = plan.levers.iter().map(|lever| lever.as_str().to_owned()).collect();
    }
    format!("⚡ optimize beta (dial {}): {}", printed(plan.dial.as_ref()), parts.join(", "))
}

/// A number that is not zero.
fn positive(value: &Value) -> Option<&Number> {
    value.as_number().filter(|number| number.as_f64() != Some(0.0))
}

/// A number as Python prints it.
fn printed(number: Option<&Number>) -> String {
    let Some(number) = number else { return "None".to_owned() };
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = Dialect::CodePoints.write_json(&Value::Number(number.clone()), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_rounded_upwards_at_halves() {
        for (usd, want) in [(0.00005, 0.0001), (-0.00005, 0.0), (-0.00006, -0.0001), (1.0, 1.0)] {
            assert_eq!(round(usd), want, "{usd}");
        }
        assert!(round(-0.00001).is_sign_positive());
    }

    #[test]
    fn a_cold_write_costs_and_a_read_is_credited() {
        let plan = Plan { model: Some(json!("claude-fable-5")), ..Plan::new(Dialect::Utf16) };
        let saved = |usage: Value| savings(&plan, &json!({"usage": usage})).cost_saved_usd;
        assert_eq!(saved(json!({"cache_creation_input_tokens": 120_000})), Some(-0.3));
        assert_eq!(saved(json!({"cache_read_input_tokens": 100_000})), Some(0.9));
        assert_eq!(saved(json!({"prompt_tokens_details": {"cached_tokens": 100_000}})), Some(0.9));
        assert_eq!(
            saved(json!({"cache_read_input_tokens": 0, "prompt_tokens_details": {"cached_tokens": 9}})),
            Some(0.0)
        );
        assert_eq!(saved(json!("none")), Some(0.0));
    }

    #[test]
    fn a_receipt_takes_its_place_in_the_response() {
        let plan = Plan::new(Dialect::Utf16);
        let attached = attach_savings(&plan, &json!({"mesh_savings": 1, "id": "r"}));
        assert_eq!(attached["mesh_savings"]["tokens_saved"], 0);
        assert_eq!(attach_savings(&plan, &json!([1])), json!([1]));
    }

    #[test]
    fn the_line_says_what_can_be_measured() {
        let plan = Plan {
            dial: Number::from_f64(0.3),
            levers: vec![Lever::CacheInjection, Lever::MaxTokensDefault],
            tokens_removed: 12,
            ..Plan::new(Dialect::CodePoints)
        };
        assert_eq!(
            savings_line(&plan, &Value::Null),
            "⚡ optimize beta (dial 0.3): ~12 tok pruned, cache breakpoints set"
        );
        assert_eq!(
            savings_line(&plan, &json!({"cache_read_input_tokens": 5})),
            "⚡ optimize beta (dial 0.3): ~12 tok pruned, 5 tok from cache (90% off)"
        );
        assert_eq!(savings_line(&Plan::new(Dialect::CodePoints), &Value::Null), "");
    }
}
