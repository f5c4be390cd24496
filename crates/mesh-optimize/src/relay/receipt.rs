//! Receipts of what was not changed, and of what nobody reported.

use crate::optimizer::{Config, Optimizer};
use crate::plan::Plan;
use crate::receipt::{Prices, Receipt, Usage};
use crate::session::SessionState;

/// The receipt of a request that went out as it came: nothing was saved, and nothing is claimed.
pub fn unchanged(plan: &Plan, usage: Option<&Usage>, prices: Option<&Prices>) -> Receipt {
    let (optimizer, mut state) = (Optimizer::new(Config::default()), SessionState::default());
    unclaimed(optimizer.settle(plan, usage, prices, &mut state))
}

/// The receipt of a request whose usage nobody reported: a sum of what is only reckoned would be taken for a bill.
pub fn unreported(mut receipt: Receipt) -> Receipt {
    receipt.billed_usd = None;
    unclaimed(receipt)
}

fn unclaimed(mut receipt: Receipt) -> Receipt {
    (receipt.saved_vs_native_usd, receipt.saved_vs_uncached_usd) = (None, None);
    receipt
}
