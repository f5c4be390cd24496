//! What the gateway said, in both of its shapes, made safe to show: bounded, without control characters, without keys.
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// Longest message, `details` or `provider_error` that is kept, in characters.
const REPORT_CHARS: usize = 4_000;

/// Longest message in one line for people, in characters.
const LINE_CHARS: usize = 600;

/// Shortest tail of a word that makes it look like a key and not like a prefix.
const KEY_TAIL_CHARS: usize = 6;

/// What the gateway said about a request that it did not serve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayReport {
    /// HTTP status; `None` inside a stream.
    pub status: Option<u16>,
    /// `code`, else `type`, as text.
    pub code: Option<String>,
    /// The message; the compact JSON when there is none.
    pub message: String,
    /// What the provider behind the gateway said.
    pub provider_error: Option<String>,
    /// `details`, as text.
    pub details: Option<String>,
    /// `param`: the field that the message is about.
    pub param: Option<String>,
    /// `x-request-id`.
    pub request_id: Option<String>,
    /// `retry_after_seconds` of the body.
    pub(super) retry_after: Option<Duration>,
    /// `type`, when there is a `code` too.
    pub(super) family: Option<String>,
}

impl GatewayReport {
    /// Reads an error value: an object, or text.
    pub(super) fn from_error(error: &Value) -> GatewayReport {
        let text = |key: &str| {
            error.get(key).filter(|value| !value.is_null()).map(|value| clean(&as_text(value), REPORT_CHARS))
        };
        let given = |key: &str| text(key).filter(|text| !text.is_empty());
        let message = match error {
            Value::String(message) => clean(message, REPORT_CHARS),
            _ => match error.get("message") {
                Some(Value::String(message)) if !message.is_empty() => clean(message, REPORT_CHARS),
                _ => clean(&error.to_string(), REPORT_CHARS),
            },
        };
        let family = given("type");
        GatewayReport {
            code: given("code").or_else(|| family.clone()).or_else(|| given("status")),
            message,
            provider_error: given("provider_error"),
            details: given("details"),
            param: given("param"),
            retry_after: error.get("retry_after_seconds").and_then(seconds),
            family,
            ..GatewayReport::default()
        }
    }

    /// Reads the body of a response with an error status: the gateway's JSON, another JSON, or text.
    pub(super) fn from_body(status: u16, body: &[u8]) -> GatewayReport {
        let text = String::from_utf8_lossy(body);
        let mut report = match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(object)) => {
                let error = ["error", "detail"]
                    .iter()
                    .find_map(|key| object.get(*key))
                    .filter(|error| !error.is_null());
                let mut report = match error {
                    Some(Value::Array(complaints)) => GatewayReport::from_complaints(complaints),
                    Some(error) => GatewayReport::from_error(error),
                    None => GatewayReport::from_error(&Value::Object(object.clone())),
                };
                report.request_id =
                    object.get("request_id").and_then(Value::as_str).map(|id| clean(id, LINE_CHARS));
                report
            }
            _ => {
                GatewayReport { message: clean(&without_tags(&text), LINE_CHARS), ..GatewayReport::default() }
            }
        };
        if report.message.is_empty() || report.message == "{}" {
            report.message = "no reason given".to_owned();
        }
        report.status = Some(status);
        report
    }

    /// The `detail` list of a validating server: `[{"loc":["body","field"],"msg":".."}]`.
    fn from_complaints(complaints: &[Value]) -> GatewayReport {
        let place = |complaint: &Value| -> String {
            let names = complaint["loc"].as_array().map(Vec::as_slice).unwrap_or_default();
            names
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| *name != "body")
                .collect::<Vec<_>>()
                .join(".")
        };
        let lines: Vec<String> = complaints
            .iter()
            .map(|complaint| match complaint["msg"].as_str() {
                Some(message) => format!("{}: {message}", place(complaint)),
                None => complaint.to_string(),
            })
            .collect();
        let param = complaints.first().map(place).filter(|place| !place.is_empty());
        GatewayReport { message: clean(&lines.join("; "), REPORT_CHARS), param, ..GatewayReport::default() }
    }
}

impl fmt::Display for GatewayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status {
            write!(f, "HTTP {status}, ")?;
        }
        let line = |text: &str| bounded(&text.split_whitespace().collect::<Vec<_>>().join(" "), LINE_CHARS);
        f.write_str(&line(&self.message))?;
        if let Some(provider) = self.provider_error.as_deref().filter(|text| !self.message.contains(*text)) {
            write!(f, "; the provider says: {}", line(provider))?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

/// Text that is safe to print: no control or direction characters but line feed and tab, no keys, not endless.
pub(super) fn clean(text: &str, max_chars: usize) -> String {
    let is_safe = |c: &char| {
        matches!(c, '\n' | '\t')
            || !(c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    let text: String = text.chars().filter(is_safe).take(max_chars + 1).collect();
    bounded(&without_keys(&text), max_chars)
}

fn bounded(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Some gateways repeat the key that they refuse. Words that begin like one keep their prefix only.
fn without_keys(text: &str) -> String {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_key_char) {
        let end = rest[start..].find(|c| !is_key_char(c)).map_or(rest.len(), |length| start + length);
        let word = &rest[start..end];
        out.push_str(&rest[..start]);
        match ["rsk_", "sk-", "sk_"].iter().find(|prefix| word.starts_with(**prefix)) {
            Some(prefix) if word.len() >= prefix.len() + KEY_TAIL_CHARS => {
                out.push_str(prefix);
                out.push('…');
            }
            _ => out.push_str(word),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The words of an HTML page; other text as it is.
fn without_tags(text: &str) -> String {
    if !text.trim_start().starts_with('<') {
        return text.trim().to_owned();
    }
    let mut words = String::new();
    for piece in text.split('<') {
        words.push_str(piece.split_once('>').map_or("", |(_, shown)| shown));
        words.push(' ');
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}
