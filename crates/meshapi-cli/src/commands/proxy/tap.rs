//! Pure: finds the usage report in an answer that passes by.

use mesh_client::http::{HeaderMap, header, sse};
use mesh_optimize::Usage;
use serde_json::{Map, Value};

/// Longest answer in one piece that is looked into.
const MAX_WHOLE: usize = 16 << 20;
/// Longest event of a stream that is looked into.
const MAX_LINE: usize = 4 << 20;

/// Reads along.
pub(super) enum Tap {
    /// Events: their reports are added up, the later field over the earlier.
    Stream { decoder: Box<sse::Decoder>, found: Map<String, Value>, cost: Option<f64> },
    /// One JSON value.
    Whole(Vec<u8>),
    /// It cannot be read.
    Blind,
}

impl Tap {
    /// One for an answer with these headers.
    pub(super) fn new(headers: &HeaderMap) -> Tap {
        let is = |name, text: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(text))
        };
        if headers.contains_key(header::CONTENT_ENCODING) && !is(header::CONTENT_ENCODING, "identity") {
            Tap::Blind
        } else if is(header::CONTENT_TYPE, "event-stream") {
            Tap::Stream {
                decoder: Box::new(sse::Decoder::with_max_line(MAX_LINE)),
                found: Map::new(),
                cost: None,
            }
        } else if is(header::CONTENT_TYPE, "json") {
            Tap::Whole(Vec::new())
        } else {
            Tap::Blind
        }
    }

    /// Reads a piece.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        match self {
            Tap::Stream { decoder, found, cost } => {
                let read = decoder.feed(piece, |event| {
                    // Most events are text and hold no report: they are not taken apart.
                    let may_report = event.data.contains("\"usage\"") || event.data.contains("\"cost\"");
                    if let Some(value) = may_report.then(|| serde_json::from_str(&event.data).ok()).flatten()
                    {
                        report(&value, found, cost);
                    }
                });
                if read.is_err() {
                    *self = Tap::Blind;
                }
            }
            Tap::Whole(bytes) if bytes.len() + piece.len() <= MAX_WHOLE => bytes.extend_from_slice(piece),
            _ => *self = Tap::Blind,
        }
    }

    /// What was reported: tokens, and what it cost in USD.
    pub(super) fn end(self) -> (Option<Usage>, Option<f64>) {
        let (mut all, mut billed) = (Map::new(), None);
        match self {
            Tap::Stream { found, cost, .. } => (all, billed) = (found, cost),
            Tap::Whole(bytes) => {
                if let Ok(value) = serde_json::from_slice(&bytes) {
                    report(&value, &mut all, &mut billed);
                }
            }
            Tap::Blind => {}
        }
        (usage(all), billed)
    }
}

/// Adds what an event or an answer reports. The responses API puts it into `response`, the messages API at first into `message`.
fn report(value: &Value, found: &mut Map<String, Value>, cost: &mut Option<f64>) {
    for place in [Some(value), value.get("message"), value.get("response")].into_iter().flatten() {
        if let Some(Value::Object(usage)) = place.get("usage") {
            let told = usage.iter().filter(|(_, value)| !value.is_null());
            found.extend(told.map(|(name, value)| (name.clone(), value.clone())));
        }
        *cost = place.get("cost").and_then(dollars).or(*cost);
    }
}

/// An amount as a number or as a decimal text.
fn dollars(value: &Value) -> Option<f64> {
    let amount = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    Some(amount).filter(|amount| amount.is_finite() && *amount >= 0.0)
}

/// The report in one form. The responses API counts cached tokens as input, unlike the messages API with the same names.
fn usage(mut found: Map<String, Value>) -> Option<Usage> {
    if let Some(details) = found.remove("input_tokens_details") {
        let renamed = [("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")];
        for (to, from) in renamed {
            if let Some(value) = found.remove(from) {
                found.insert(to.to_owned(), value);
            }
        }
        found.insert("prompt_tokens_details".to_owned(), details);
    }
    Usage::from_json(&Value::Object(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, pieces: &[&str]) -> (Option<Usage>, Option<f64>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        let mut tap = Tap::new(&headers);
        pieces.iter().for_each(|piece| tap.feed(piece.as_bytes()));
        tap.end()
    }

    #[test]
    fn reports_are_found_in_each_shape() {
        let chat = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":4}},\"cost\":\"0.01\"}\n\ndata: [DONE]\n\n";
        let want = Usage { input: 9, cache_read: 4, cache_write: 0, output: 2 };
        let (start, rest) = chat.split_at(31);
        assert_eq!(read("text/event-stream", &[start, rest]), (Some(want), Some(0.01)));
        let messages = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}\n\n";
        let want = Usage { input: 9, cache_read: 4, cache_write: 2, output: 7 };
        assert_eq!(read("text/event-stream; charset=utf-8", &[messages]), (Some(want), None));
        let responses =
            r#"{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":2}}"#;
        let want = Usage { input: 9, cache_read: 4, cache_write: 0, output: 2 };
        assert_eq!(read("application/json", &[responses]), (Some(want), None));
    }

    #[test]
    fn what_cannot_be_read_reports_nothing() {
        for (kind, text) in [
            ("text/plain", "{\"usage\":{\"prompt_tokens\":1}}"),
            ("application/json", "{\"usage\":"),
            ("text/event-stream", "data: {\"usage\": 3}\n\n"),
            ("application/json", "{\"cost\": -1}"),
        ] {
            assert_eq!(read(kind, &[text]), (None, None), "{text}");
        }
    }
}
