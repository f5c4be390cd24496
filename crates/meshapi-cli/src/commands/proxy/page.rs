//! Pure: the books as a page, and as text for Prometheus.

use std::fmt::Write as _;

use super::books::{Books, Session, Sum};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222;background:#fff}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#16161c}td,th{border-color:#333!important}}\
small{opacity:.7;white-space:nowrap}table{border-collapse:collapse;width:100%;margin:1em 0}td,th{text-align:right;padding:.3em .6em;border-bottom:1px solid #ddd}\
td:first-child,th:first-child{text-align:left;overflow-wrap:anywhere;min-width:16em}svg{vertical-align:middle}h1{font-size:1.4em}h2{font-size:1.1em;margin:.8em 0 0}th h2{text-align:left}";

/// Fetches the page anew when the proxy says that something happened.
const SCRIPT: &str = "new EventSource('/events').onmessage=async()=>{const t=await(await fetch('/')).text();\
document.querySelector('main').innerHTML=new DOMParser().parseFromString(t,'text/html').querySelector('main').innerHTML}";

/// The page.
pub(super) fn html(books: &Books, upstream: &str, dial: f64) -> String {
    let mut main = String::new();
    let _ = write!(main, "<p>Dial {dial}, to {}.</p>", escape(upstream));
    main.push_str(
        "<table><tr><th></th><th>requests</th><th>billed</th><th>saved against plain caching</th>\
         <th>against no cache</th><th>prompt tokens</th><th>cached</th><th></th></tr>",
    );
    row(&mut main, "all", &books.sum, None);
    heading(&mut main, "Models");
    for (name, sum) in &books.models {
        row(&mut main, name, sum, None);
    }
    heading(&mut main, "Sessions");
    for (id, shown) in &books.sessions {
        row(&mut main, id, &shown.sum, Some(shown));
    }
    main.push_str("</table>");
    for (title, counts) in [("Levers", &books.levers), ("Cache misses", &books.misses)] {
        let _ = write!(main, "<h2>{title}</h2>");
        let words: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{} {count}", escape(&name.replace('_', " "))))
            .collect();
        let _ =
            write!(main, "<p>{}</p>", if words.is_empty() { "none".to_owned() } else { words.join(", ") });
    }
    let _ = write!(
        main,
        "<p>Unpriced: without a known price, or without a report of its tokens. {} sent as they were after a refusal, {} refused by a cap, ${:.4} spent today (UTC).</p>",
        books.sent_raw, books.refused, books.spent_today_usd
    );
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>meshapi proxy</title><style>{STYLE}</style><h1>meshapi proxy</h1><main>{main}</main><script>{SCRIPT}</script></html>\n"
    )
}

fn heading(page: &mut String, title: &str) {
    let _ = write!(page, "<tr><th colspan=8><h2>{title}</h2></th></tr>");
}

fn row(page: &mut String, name: &str, sum: &Sum, shown: Option<&Session>) {
    let cached = 100.0 * sum.cache_read_tokens as f64 / sum.input_tokens.max(1) as f64;
    let unpriced = if sum.unpriced > 0 {
        format!("<br><small>and {} unpriced</small>", sum.unpriced)
    } else {
        String::new()
    };
    let model = shown.map_or(String::new(), |shown| format!("<br><small>{}</small>", escape(&shown.model)));
    let _ = write!(
        page,
        "<tr><td>{}{model}</td><td>{}</td><td>${:.4}{unpriced}</td><td>${:.4}</td><td>${:.4}</td><td>{}</td><td>{cached:.0} %</td><td>{}</td></tr>",
        escape(name),
        sum.requests,
        sum.billed_usd,
        sum.saved_vs_native_usd,
        sum.saved_vs_uncached_usd,
        sum.input_tokens,
        shown.map_or(String::new(), spark)
    );
}

/// What the last requests of a session cost, as a line.
fn spark(session: &Session) -> String {
    let most = session.line.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let points: Vec<String> = session
        .line
        .iter()
        .enumerate()
        .map(|(at, cost)| format!("{},{:.1}", at * 3, 18.0 - 16.0 * cost / most))
        .collect();
    format!(
        "<svg width=120 height=20 role=img aria-label=\"cost of the last requests\"><polyline fill=none stroke=currentColor points=\"{}\"/></svg>",
        points.join(" ")
    )
}

/// The sums as Prometheus reads them.
pub(super) fn metrics(books: &Books) -> String {
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
            "# HELP meshapi_proxy_{name} {help}\n# TYPE meshapi_proxy_{name} {kind}\nmeshapi_proxy_{name} {value}"
        );
    }
    text
}

/// Text of others, as text.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
        safe
    })
}
