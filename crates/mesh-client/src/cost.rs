//! Money: what was billed, what is only estimated, and how either is written.
use crate::wire::{Model, Usage};
use serde_json::Value;
use std::fmt;

/// An amount in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Usd(pub f64);

/// What a completion cost. The two are never added or shown alike: an estimate is not a bill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cost {
    /// The gateway said so, in the answer or in its usage events.
    Billed(Usd),
    /// Tokens times catalogue prices.
    Estimated(Usd),
}

/// The cost field of an answer, as it came and as an amount.
#[derive(Clone, Debug, PartialEq)]
pub struct BilledCost {
    /// The JSON value: a number, or a decimal as text.
    pub raw: Value,
}

impl Usd {
    /// The amount of a JSON number or of a decimal as text; anything else, NaN and the infinities too, is no amount.
    pub fn from_value(value: &Value) -> Option<Usd> {
        let amount: f64 = match value {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse().ok()?,
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        amount.is_finite().then_some(Usd(amount))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&fmt_usd(self.0))
    }
}

impl Cost {
    /// The amount, whichever way it was found.
    pub fn usd(self) -> Usd {
        match self {
            Cost::Billed(usd) | Cost::Estimated(usd) => usd,
        }
    }

    /// Whether the amount is only an estimate.
    pub fn is_estimate(self) -> bool {
        matches!(self, Cost::Estimated(_))
    }
}

impl fmt::Display for Cost {
    /// An estimate carries `~`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cost::Billed(usd) => usd.fmt(f),
            Cost::Estimated(usd) => write!(f, "~{usd}"),
        }
    }
}

impl BilledCost {
    /// The amount, when the field holds one.
    pub fn usd(&self) -> Option<Usd> {
        Usd::from_value(&self.raw)
    }
}

/// Estimates the cost of one completion from its tokens and the catalogue row; `None` when nothing can be priced, never 0 for want
/// of a price.
///
/// Fresh and cached prompt tokens count at their own rates (cached ones at the prompt rate when the row has no other), the
/// auto-router's own tokens at the same ones; the row's discount comes off the sum ("beyond the seed" M).
pub fn estimate(usage: &Usage, model: &Model) -> Option<Usd> {
    let pricing = &model.pricing;
    if pricing.prompt_per_million.is_none() && pricing.completion_per_million.is_none() {
        return None;
    }
    let prompt = usage.prompt_tokens.unwrap_or(0);
    let completion = usage.completion_tokens.unwrap_or(0);
    if prompt == 0 && completion == 0 {
        return None;
    }
    let prompt_rate = pricing.prompt_per_million.unwrap_or(0.0);
    let completion_rate = pricing.completion_per_million.unwrap_or(0.0);
    let cache_rate = pricing.cache_read_per_million.unwrap_or(prompt_rate);
    let cached = usage.cached_tokens();
    let fresh = prompt - cached + usage.classifier_prompt_tokens();
    let written = completion + usage.classifier_completion_tokens();
    let full = fresh as f64 * prompt_rate + cached as f64 * cache_rate + written as f64 * completion_rate;
    Some(Usd(full / 1e6 * (1.0 - pricing.discount_percent / 100.0)))
}

/// Writes an amount (seed 17.2): six decimals, from 1,000 on two decimals and `K`, from 1,000,000 on `M`. The minus sign stands
/// before the dollar; what is no number, and what rounds to nothing, is `$0.000000`.
pub fn fmt_usd(amount: f64) -> String {
    let size = if amount.is_finite() { amount.abs() } else { 0.0 };
    let figure = if size >= 1e6 {
        format!("${:.2}M", size / 1e6)
    } else if size >= 1e3 {
        format!("${:.2}K", size / 1e3)
    } else {
        format!("${size:.6}")
    };
    if amount < 0.0 && figure != "$0.000000" { format!("-{figure}") } else { figure }
}

/// Writes an amount that came as JSON, a number or a decimal as text; anything else is `$0.000000`.
pub fn fmt_usd_value(value: &Value) -> String {
    fmt_usd(Usd::from_value(value).unwrap_or_default().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn priced(usage: Value, pricing: Value) -> Option<f64> {
        let model = Model::from_value(&json!({"id": "m", "pricing": pricing})).unwrap();
        estimate(&Usage::from_value(usage).unwrap(), &model).map(|usd| usd.0)
    }

    #[test]
    fn cached_and_classifier_tokens_have_their_rates() {
        let usage = json!({"prompt_tokens": 1_000_000, "completion_tokens": 100_000, "classifier_prompt_tokens": 1_000,
            "classifier_completion_tokens": 1_000, "prompt_tokens_details": {"cached_tokens": 500_000}});
        let pricing = json!({"prompt_usd_per_1m": "2", "completion_usd_per_1m": "10", "cache_read_input_usd_per_1m": "0.2",
            "discount_pct": "10"});
        let want = (0.501 * 2.0 + 0.5 * 0.2 + 0.101 * 10.0) * 0.9;
        assert!((priced(usage, pricing).unwrap() - want).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_price_costs_nothing_that_we_know() {
        let usage = json!({"prompt_tokens": 10});
        assert_eq!(priced(usage.clone(), json!({})), None);
        assert_eq!(priced(usage.clone(), json!(null)), None);
        assert_eq!(priced(json!({}), json!({"prompt_usd_per_1m": "2"})), None);
        assert_eq!(priced(usage, json!({"prompt_usd_per_1m": "0"})), Some(0.0));
    }

    #[test]
    fn an_estimate_is_marked() {
        let usd = Usd(0.25);
        assert_eq!(Cost::Billed(usd).to_string(), "$0.250000");
        assert_eq!(Cost::Estimated(usd).to_string(), "~$0.250000");
    }

    #[test]
    fn a_bill_is_a_number_or_a_decimal() {
        let usd = |raw: Value| BilledCost { raw }.usd().map(|usd| usd.0);
        assert_eq!(usd(json!("0.002")), Some(0.002));
        assert_eq!(usd(json!(0)), Some(0.0));
        for nonsense in [json!("nan"), json!("inf"), json!("1_0"), json!(true), json!({}), json!("")] {
            assert_eq!(usd(nonsense.clone()), None, "{nonsense}");
        }
    }

    #[test]
    fn amounts_near_a_border() {
        for (amount, want) in [
            (999.999_999_6, "$1000.000000"),
            (999_999.99, "$1000.00K"),
            (1e6, "$1.00M"),
            (-5.0, "-$5.000000"),
            (-0.0, "$0.000000"),
            (-0.000_000_1, "$0.000000"),
            (f64::NAN, "$0.000000"),
            (f64::NEG_INFINITY, "$0.000000"),
        ] {
            assert_eq!(fmt_usd(amount), want, "{amount}");
        }
    }
}
