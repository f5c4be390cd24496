//! The seam to what makes requests cheaper: bytes in, cheaper bytes out, and afterwards an honest receipt.
//!
//! The agent knows no lever. It says which messages at the end are not kept, sends what it is given, and tells how that went.

use bytes::Bytes;
use mesh_client::{
    ClientError,
    wire::{Catalog, RequestBody, Usage},
};

/// A request that is about to go out.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Its body as it would be sent.
    pub body: Bytes,
    /// The model that it asks for.
    pub model: &'a str,
    /// How hard to work, above 0.
    pub dial: f64,
    /// So many messages at the end will not be in the next request: the plan's reminder.
    pub transient: usize,
    /// Tokens that the model can take, where the catalogue has come and says so.
    pub window: Option<u64>,
    /// Seconds since 1970.
    pub now: f64,
}

/// Makes the requests of one conversation cheaper.
pub trait Saver: Send + Sync {
    /// Prepares a request. `None`: it goes out as it is.
    fn prepare(&self, outgoing: Outgoing<'_>) -> Option<Box<dyn Saving>>;

    /// Requests of this conversation were prepared: texts may have been cut, and the model may ask for one by its name.
    fn is_in_use(&self) -> bool;

    /// The model read a text again that was cut.
    fn recalled(&self) {}

    /// The conversation starts afresh.
    fn cleared(&self);
}

/// A prepared request. Dropped when nothing is known of how it went.
pub trait Saving: Send + Sync {
    /// What to send.
    fn body(&self) -> RequestBody;

    /// The prepared bytes were answered, by `model` if it said its name: what that cost and saved. Without usage it is reckoned,
    /// without prices no money is named.
    fn settled(
        self: Box<Self>,
        model: Option<&str>,
        usage: Option<&Usage>,
        catalog: Option<&Catalog>,
    ) -> Receipt;

    /// The prepared bytes failed like this, and the request's own were answered. Returns what the user is told of what follows
    /// from it.
    fn rejected(self: Box<Self>, error: &ClientError) -> String;
}

/// What a request cost and saved. Savings may be negative: a cut is paid for first and earned back later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipt {
    /// The dial in force.
    pub dial: f64,
    /// The figures are reckoned from the bytes: the gateway reported none.
    pub is_estimate: bool,
    /// USD that it cost; `None` where the price is not known.
    pub billed_usd: Option<f64>,
    /// USD less than under the client's own caching.
    pub saved_vs_native_usd: Option<f64>,
    /// USD less than without any cache.
    pub saved_vs_uncached_usd: Option<f64>,
    /// Tokens that were not sent.
    pub tokens_cut: u64,
    /// Tokens that were written to the cache again because of a cut.
    pub tokens_rewritten: u64,
    /// Tokens of notes that were added, so that the prefix is cached.
    pub tokens_added: u64,
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
    /// Tokens written to the cache.
    pub cache_write: u64,
    /// Why nothing was read from the cache, in a word.
    pub miss: Option<&'static str>,
    /// The conversation's sums up to here.
    pub session: Sum,
}

/// Sums over requests. They may be negative and are never clamped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Requests.
    pub requests: u64,
    /// Requests without a known price: in none of the sums.
    pub unpriced: u64,
    /// USD.
    pub billed_usd: f64,
    /// USD.
    pub saved_vs_native_usd: f64,
    /// USD.
    pub saved_vs_uncached_usd: f64,
}

/// What a turn's requests cost and saved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Savings {
    /// A receipt for each request that was sent in its prepared form.
    pub receipts: Vec<Receipt>,
    /// Texts that the model read again after they had been cut.
    pub recalls: u32,
}

impl Savings {
    /// Nothing was prepared, so there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.receipts.is_empty() && self.recalls == 0
    }

    /// The turn's sums.
    pub fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for receipt in &self.receipts {
            sum.requests += 1;
            sum.unpriced += u64::from(receipt.billed_usd.is_none());
            sum.billed_usd += receipt.billed_usd.unwrap_or(0.0);
            sum.saved_vs_native_usd += receipt.saved_vs_native_usd.unwrap_or(0.0);
            sum.saved_vs_uncached_usd += receipt.saved_vs_uncached_usd.unwrap_or(0.0);
        }
        sum
    }

    /// The conversation's sums after the turn.
    pub fn session(&self) -> Sum {
        self.receipts.last().map(|receipt| receipt.session).unwrap_or_default()
    }
}
