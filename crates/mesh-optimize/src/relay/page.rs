//! The books as a page, which works without scripts and is live where they run.

use std::fmt::Write as _;

use super::books::{Books, Session, Sum};

const STYLE: &str = include_str!("page.css");
/// Fetches the page anew when the proxy says that something happened.
const SCRIPT: &str = include_str!("page.js");

/// The page: HTML, with what is passed on to `upstream` at this dial under this title. It listens to `/events` for changes.
pub fn html(books: &Books, title: &str, upstream: &str, dial: f64) -> String {
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
    let title = escape(title);
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1><main>{main}</main><script>{SCRIPT}</script></html>\n"
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
