//! What a request cost, and what it would have cost: an honest receipt.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::Split;
use crate::plan::{Miss, Plan};
use crate::provider::{Cache, Provider};

/// What a provider reported for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the whole prompt, those from the cache included.
    pub input: u64,
    /// Of these, read from the cache.
    pub cache_read: u64,
    /// Of these, written to the cache.
    pub cache_write: u64,
    /// Tokens of the completion.
    pub output: u64,
}

impl Usage {
    /// Reads the usage object of a reply: OpenAI's names (`prompt_tokens` counts cached tokens too) or Anthropic's (`input_tokens`
    /// does not). `None` when it names neither.
    pub fn from_json(usage: &Value) -> Option<Usage> {
        let number = |object: &Value, name: &str| object.get(name).and_then(Value::as_u64);
        let output =
            number(usage, "completion_tokens").or_else(|| number(usage, "output_tokens")).unwrap_or(0);
        if let Some(plain) = number(usage, "input_tokens") {
            let cache_read = number(usage, "cache_read_input_tokens").unwrap_or(0);
            let cache_write = number(usage, "cache_creation_input_tokens").unwrap_or(0);
            let input = plain.saturating_add(cache_read).saturating_add(cache_write);
            return Some(Usage { input, cache_read, cache_write, output });
        }
        let details = usage.get("prompt_tokens_details").unwrap_or(&Value::Null);
        let either = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| number(details, name))
                .or_else(|| names.iter().find_map(|name| number(usage, name)))
        };
        Some(Usage {
            input: number(usage, "prompt_tokens")?,
            cache_read: either(["cached_tokens", "cache_read_input_tokens"]).unwrap_or(0),
            cache_write: either(["cache_write_tokens", "cache_creation_input_tokens"]).unwrap_or(0),
            output,
        })
    }
}

/// What the caller pays, in USD per token. Unknown prices make no receipt of money.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// A plain input token.
    pub input: f64,
    /// An output token.
    pub output: f64,
    /// A token read from the cache; without it the provider's multiple of the input price counts.
    pub cache_read: Option<f64>,
    /// A token written to the cache; likewise.
    pub cache_write: Option<f64>,
}

/// Estimated tokens from which on a session's own weight of a token counts. A few results: less would be chance.
const CALIBRATED: f64 = 1000.0;

/// Where the figures of a receipt come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The provider reported them.
    Usage,
    /// Nobody did: they are reckoned from the bytes.
    Estimate,
}

/// Sums over the settled requests of a session. They may be negative and are never clamped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// Requests.
    pub requests: u64,
    /// USD.
    pub billed_usd: f64,
    /// USD.
    pub saved_vs_native_usd: f64,
    /// USD.
    pub saved_vs_uncached_usd: f64,
    /// Plain input tokens.
    pub saved_vs_native_units: f64,
    /// Requests without a known price: they are in none of the sums.
    pub unpriced: u64,
}

/// What is kept of a session's receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) sum: Sum,
    /// Tokens that were new in a request and nothing else, as the provider counted them and as they were estimated: what a text of
    /// this session weighs, without the system text and the tools, which weigh otherwise.
    counted: f64,
    estimated: f64,
}

/// What a request cost and saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The model that was asked for.
    pub model: String,
    /// The dial in force.
    pub dial: f64,
    /// Where the figures come from.
    pub basis: Basis,
    /// What the request cost, in USD; `None` where the price is not known.
    pub billed_usd: Option<f64>,
    /// What it would have cost without us under the client's own caching, less what it cost. Negative where a cut was paid for that
    /// later requests earn back.
    pub saved_vs_native_usd: Option<f64>,
    /// The same against a provider without a cache.
    pub saved_vs_uncached_usd: Option<f64>,
    /// The same three in plain input tokens of the model, for a caller without prices; output left out.
    pub billed_units: f64,
    /// See [`Receipt::billed_units`].
    pub saved_vs_native_units: f64,
    /// See [`Receipt::billed_units`].
    pub saved_vs_uncached_units: f64,
    /// Tokens that were not sent.
    pub tokens_cut: u64,
    /// Tokens of notes that were added, so that the prefix is cached.
    pub tokens_added: u64,
    /// Tokens that had to be written to the cache again because of a cut.
    pub tokens_rewritten: u64,
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
    /// Tokens written to the cache.
    pub cache_write: u64,
    /// Why nothing was read from the cache.
    pub miss: Option<Miss>,
    /// All requests of the session up to this one.
    pub sum: Sum,
}

/// What was billed, in tokens.
struct Billed {
    split: Split,
    output: f64,
    basis: Basis,
}

/// Writes the receipt of a request that was prepared by `plan`, and adds it to `tally`.
pub(crate) fn settle(
    plan: &Plan,
    usage: Option<&Usage>,
    prices: Option<&Prices>,
    tally: &mut Tally,
) -> Receipt {
    let provider = plan.provider.unwrap_or(Provider::NONE);
    let billed = billed(plan, usage);
    let ratio = ratio(plan, &billed, tally);
    let tokens_cut = plan.tokens_cut * ratio;
    // A prefix that was lost without a cause of ours would have been lost without us too.
    let lost = billed.basis == Basis::Usage && billed.split.read == 0.0 && plan.sent.read > 0.0;
    let lost = lost && plan.tokens_rewritten == 0.0;
    let tokens_added = plan.tokens_added * ratio;
    let native = native(plan, &billed, tokens_cut - tokens_added, ratio, lost, &provider);
    let uncached = Split { plain: billed.split.total() + tokens_cut - tokens_added, ..Split::default() };
    let paid = billed.split.units(&provider) + plan.summary_units;
    let mut receipt = Receipt {
        model: plan.model.clone(),
        dial: plan.dial,
        basis: billed.basis,
        billed_usd: None,
        saved_vs_native_usd: None,
        saved_vs_uncached_usd: None,
        billed_units: paid,
        saved_vs_native_units: native.units(&provider) - paid,
        saved_vs_uncached_units: uncached.units(&provider) - paid,
        tokens_cut: round(tokens_cut),
        tokens_added: round(tokens_added),
        tokens_rewritten: round(plan.tokens_rewritten * ratio),
        input: round(billed.split.total()),
        cache_read: round(billed.split.read),
        cache_write: round(billed.split.write),
        miss: plan.miss.or(lost.then_some(Miss::Unexplained)),
        sum: tally.sum,
    };
    let sum = &mut tally.sum;
    sum.requests += 1;
    sum.saved_vs_native_units += receipt.saved_vs_native_units;
    match prices {
        Some(prices) => {
            let cost = |split: &Split| cost(split, prices, &provider);
            let ours = cost(&billed.split) + plan.summary_units * prices.input;
            let (native, uncached) = (cost(&native) - ours, cost(&uncached) - ours);
            let paid = ours + billed.output * prices.output;
            receipt.billed_usd = Some(paid);
            receipt.saved_vs_native_usd = Some(native);
            receipt.saved_vs_uncached_usd = Some(uncached);
            sum.billed_usd += paid;
            sum.saved_vs_native_usd += native;
            sum.saved_vs_uncached_usd += uncached;
        }
        None => sum.unpriced += 1,
    }
    receipt.sum = *sum;
    receipt
}

fn billed(plan: &Plan, usage: Option<&Usage>) -> Billed {
    let Some(usage) = usage.filter(|usage| usage.input > 0) else {
        return Billed { split: plan.sent, output: 0.0, basis: Basis::Estimate };
    };
    let input = usage.input as f64;
    let read = (usage.cache_read as f64).min(input);
    let write = (usage.cache_write as f64).min(input - read);
    let split = Split { read, write, plain: input - read - write };
    Billed { split, output: usage.output as f64, basis: Basis::Usage }
}

/// The provider's tokens for one estimated token of what is cut.
fn ratio(plan: &Plan, billed: &Billed, tally: &mut Tally) -> f64 {
    if billed.basis == Basis::Estimate || plan.sent.total() <= 0.0 {
        return 1.0;
    }
    // Only the new messages of a warm request: nothing of its prefix, nothing written again.
    if billed.split.read > 0.0 && plan.sent.read > 0.0 && plan.tokens_rewritten == 0.0 {
        tally.counted += billed.split.total() - billed.split.read;
        tally.estimated += plan.sent.total() - plan.sent.read;
    }
    match tally.estimated >= CALIBRATED {
        true => (tally.counted / tally.estimated).clamp(0.2, 5.0),
        false => billed.split.total() / plan.sent.total(),
    }
}

/// What the client's own request would have been divided into. Only the difference between the two requests is estimated: the cut
/// tokens, and what was written again for a cut; all else is what was billed.
fn native(
    plan: &Plan,
    billed: &Billed,
    tokens_cut: f64,
    ratio: f64,
    lost: bool,
    provider: &Provider,
) -> Split {
    let total = billed.split.total() + tokens_cut;
    let unread = (billed.split.total() - billed.split.read)
        + (plan.native.write + plan.native.plain - plan.sent.write - plan.sent.plain) * ratio;
    let read = if lost || plan.native.read == 0.0 { 0.0 } else { (total - unread).clamp(0.0, total) };
    match provider.cache {
        Cache::None => Split { plain: total, ..Split::default() },
        _ => {
            let plain = (plan.native.plain * ratio).min(total - read);
            Split { read, write: total - read - plain, plain }
        }
    }
}

fn cost(split: &Split, prices: &Prices, provider: &Provider) -> f64 {
    let read = prices.cache_read.unwrap_or(prices.input * provider.read);
    let write = match provider.cache {
        Cache::None => prices.input,
        _ => prices.cache_write.unwrap_or(prices.input * provider.write),
    };
    split.read * read + split.write * write + split.plain * prices.input
}

fn round(tokens: f64) -> u64 {
    tokens.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usage_is_read_in_both_shapes() {
        let want = Usage { input: 100, cache_read: 60, cache_write: 30, output: 5 };
        for usage in [
            json!({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}}),
            json!({"input_tokens": 10, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30, "output_tokens": 5}),
            json!({"prompt_tokens": 100, "completion_tokens": 5, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30}),
        ] {
            assert_eq!(Usage::from_json(&usage), Some(want), "{usage}");
        }
        assert_eq!(Usage::from_json(&json!({"total": 1})), None);
        assert_eq!(Usage::from_json(&json!("x")), None);
    }

    fn plan(sent: Split, native: Split, cut: f64, rewritten: f64) -> Plan {
        let provider = Some(Provider::ANTHROPIC);
        Plan {
            provider,
            untouched: None,
            sent,
            native,
            tokens_cut: cut,
            tokens_rewritten: rewritten,
            ..Plan::untouched(crate::Dial::MAX, crate::Untouched::Off)
        }
    }

    #[test]
    fn a_cut_is_paid_before_it_earns() {
        let split = |read, write| Split { read, write, plain: 0.0 };
        let prices = Prices { input: 1e-6, output: 5e-6, cache_read: None, cache_write: None };
        let mut sum = Tally::default();
        // 2,000 tokens go from the middle: 3,000 behind them are written again.
        let cut = plan(split(5000.0, 3000.0), split(9500.0, 500.0), 2000.0, 2500.0);
        let usage = Usage { input: 8000, cache_read: 5000, cache_write: 3000, output: 100 };
        let first = settle(&cut, Some(&usage), Some(&prices), &mut sum);
        assert_eq!(first.saved_vs_native_units, (9500.0 * 0.1 + 500.0 * 1.25) - (500.0 + 3750.0));
        assert!(first.saved_vs_native_usd.unwrap() < 0.0);
        assert_eq!(first.saved_vs_uncached_units, 10_000.0 - 4250.0);
        let later = plan(split(8000.0, 500.0), split(10_000.0, 500.0), 2000.0, 0.0);
        let usage = Usage { input: 8500, cache_read: 8000, cache_write: 500, output: 100 };
        let second = settle(&later, Some(&usage), Some(&prices), &mut sum);
        assert!((second.saved_vs_native_units - 200.0).abs() < 1e-9);
        assert!((second.sum.saved_vs_native_units - (200.0 - 2675.0)).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_known_is_not_claimed() {
        let split = Split { read: 0.0, write: 1000.0, plain: 0.0 };
        let receipt = settle(&plan(split, split, 0.0, 0.0), None, None, &mut Tally::default());
        assert_eq!(
            (receipt.basis, receipt.billed_usd, receipt.saved_vs_native_usd),
            (Basis::Estimate, None, None)
        );
        let warm = plan(
            Split { read: 900.0, write: 100.0, plain: 0.0 },
            Split { read: 900.0, write: 100.0, plain: 0.0 },
            0.0,
            0.0,
        );
        let usage = Usage { input: 1000, cache_read: 0, cache_write: 1000, output: 1 };
        let lost = settle(&warm, Some(&usage), None, &mut Tally::default());
        assert_eq!(lost.miss, Some(Miss::Unexplained));
        assert_eq!(lost.saved_vs_native_units, 0.0, "it would have been lost without us too");
    }
}
