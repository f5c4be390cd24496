//! The books as text for Prometheus.

use std::fmt::Write as _;

use super::books::Books;

/// The sums as Prometheus reads them; each name begins with `prefix`.
pub fn metrics(books: &Books, prefix: &str) -> String {
    let mut text = String::new();
    let sum = &books.sum;
    let rows = [
        ("requests_total", "counter", "Requests that were answered.", sum.requests as f64),
        ("unpriced_total", "counter", "Requests without a known price or a report.", sum.unpriced as f64),
        ("billed_usd_total", "counter", "What was billed, in USD.", sum.billed_usd),
        (
            "saved_vs_native_usd",
            "gauge",
            "Saved against plain caching, in USD; may be negative.",
            sum.saved_vs_native_usd,
        ),
        (
            "saved_vs_uncached_usd",
            "gauge",
            "Saved against no cache, in USD; may be negative.",
            sum.saved_vs_uncached_usd,
        ),
        ("input_tokens_total", "counter", "Tokens of prompts.", sum.input_tokens as f64),
        (
            "cache_read_tokens_total",
            "counter",
            "Tokens read from the provider's cache.",
            sum.cache_read_tokens as f64,
        ),
        ("sent_raw_total", "counter", "Requests sent as they were after a refusal.", books.sent_raw as f64),
        ("refused_total", "counter", "Requests refused by a cap.", books.refused as f64),
        ("spent_today_usd", "gauge", "Spent on this day (UTC), in USD.", books.spent_today_usd),
        ("sessions", "gauge", "Sessions that are shown.", books.sessions.len() as f64),
    ];
    for (name, kind, help, value) in rows {
        let _ = writeln!(
            text,
            "# HELP {prefix}_{name} {help}\n# TYPE {prefix}_{name} {kind}\n{prefix}_{name} {value}"
        );
    }
    text
}
