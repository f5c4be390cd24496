//! What a request cost, and what it would have cost: an honest receipt.

use serde::{Deserialize, Serialize};

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
    /// Requests without a known price: they are in none of the sums.
    pub unpriced: u64,
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
    /// Tokens that were not sent.
    pub tokens_cut: u64,
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
    /// Provider's tokens per estimated token.
    ratio: f64,
}

/// Writes the receipt of a request that was prepared by `plan`, and adds it to `sum`.
pub(crate) fn settle(plan: &Plan, usage: Option<&Usage>, prices: Option<&Prices>, sum: &mut Sum) -> Receipt {
    let provider = plan.provider.unwrap_or(Provider::NONE);
    let billed = billed(plan, usage);
    let tokens_cut = plan.tokens_cut * billed.ratio;
    // A prefix that was lost without a cause of ours would have been lost without us too.
    let lost =
        usage.is_some() && billed.split.read == 0.0 && plan.sent.read > 0.0 && plan.tokens_rewritten == 0.0;
    let native = native(plan, &billed, tokens_cut, lost, &provider);
    let uncached = Split { plain: billed.split.total() + tokens_cut, ..Split::default() };
    let mut receipt = Receipt {
        model: plan.model.clone(),
        dial: plan.dial,
        basis: billed.basis,
        billed_usd: None,
        saved_vs_native_usd: None,
        saved_vs_uncached_usd: None,
        tokens_cut: round(tokens_cut),
        tokens_rewritten: round(plan.tokens_rewritten * billed.ratio),
        input: round(billed.split.total()),
        cache_read: round(billed.split.read),
        cache_write: round(billed.split.write),
        miss: plan.miss.or(lost.then_some(Miss::Unexplained)),
        sum: *sum,
    };
    sum.requests += 1;
    match prices {
        Some(prices) => {
            let cost = |split: &Split| cost(split, prices, &provider);
            let paid = cost(&billed.split) + billed.output * prices.output;
            let (native, uncached) =
                (cost(&native) - cost(&billed.split), cost(&uncached) - cost(&billed.split));
            (receipt.billed_usd, receipt.saved_vs_native_usd, receipt.saved_vs_uncached_usd) =
                (Some(paid), Some(native), Some(uncached));
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
        return Billed { split: plan.sent, output: 0.0, basis: Basis::Estimate, ratio: 1.0 };
    };
    let input = usage.input as f64;
    let read = (usage.cache_read as f64).min(input);
    let write = (usage.cache_write as f64).min(input - read);
    let ratio = if plan.sent.total() > 0.0 { input / plan.sent.total() } else { 1.0 };
    let split = Split { read, write, plain: input - read - write };
    Billed { split, output: usage.output as f64, basis: Basis::Usage, ratio }
}

/// What the client's own request would have been divided into: the billed tokens and the cut ones, less what its cache holds.
fn native(plan: &Plan, billed: &Billed, tokens_cut: f64, lost: bool, provider: &Provider) -> Split {
    let total = billed.split.total() + tokens_cut;
    let plain = (plan.native.plain * billed.ratio).min(total);
    let fresh = if lost { total - plain } else { (plan.native.write * billed.ratio).min(total - plain) };
    match provider.cache {
        Cache::None => Split { plain: total, ..Split::default() },
        _ if plan.native.read == 0.0 => Split { write: total - plain, plain, read: 0.0 },
        _ => Split { read: total - plain - fresh, write: fresh, plain },
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
