//! What `GET /messages` asks for, read from the query of its address.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Value, json};

use super::draft::{MAX_ID_CHARS, MAX_NAME_CHARS};
use super::fault::{Faults, LengthFault, length_fault};

/// Rows that are answered when no limit is given. From the Python gateway.
const DEFAULT_LIMIT: i64 = 100;
/// Most rows of an answer. From the Python gateway.
const MAX_LIMIT: i64 = 1000;
/// Longest wait for mail; a longer one is cut to it. From the mailbox's design.
const MAX_WAIT: f64 = 60.0;

/// In which order rows are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first, as the Python gateway has it.
    #[default]
    Descending,
    /// The oldest first.
    Ascending,
}

/// A look at messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Whose inbox.
    pub to: Option<String>,
    /// Only what this peer wrote.
    pub from: Option<String>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this thread.
    pub thread_id: Option<String>,
    /// A channel was asked for, of which there are none here.
    pub channel: Option<String>,
    /// Only what is unread.
    pub unread_only: bool,
    /// Only what was stored after this, compared as text.
    pub since: Option<String>,
    /// Only what stands after this place of the inbox.
    pub after: Option<i64>,
    /// The order.
    pub order: Order,
    /// Most rows.
    pub limit: i64,
    /// What was given up, instead of what can be read.
    pub dead: bool,
    /// How long to wait for a first row.
    pub wait: Duration,
}

/// The pairs of a query, decoded.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    url::form_urlencoded::parse(query.as_bytes())
}

impl Look {
    /// Reads a query; the last of several values of one name counts, unknown names are ignored.
    ///
    /// # Errors
    /// Values that are no such thing.
    pub fn parse(query: &str) -> Result<Look, Faults> {
        let mut look = Look { limit: DEFAULT_LIMIT, ..Look::default() };
        let mut faults = Faults::default();
        for (name, value) in pairs(query) {
            let place: &[&str] = &["query", name.as_ref()];
            let mut text = |limit: usize| bounded(&value, limit, place, &mut faults);
            match name.as_ref() {
                "to" | "to_node" => look.to = text(MAX_NAME_CHARS),
                "from" | "from_node" => look.from = text(MAX_NAME_CHARS),
                "kind" => look.kind = text(MAX_NAME_CHARS),
                "thread_id" => look.thread_id = text(MAX_ID_CHARS),
                "channel" => look.channel = text(MAX_ID_CHARS),
                "since" => look.since = Some(value.replace(' ', "+")),
                "unread_only" => look.unread_only = boolean(&value, place, &mut faults),
                "dead" => look.dead = boolean(&value, place, &mut faults),
                "limit" => {
                    look.limit = integer(&value, 1, MAX_LIMIT, place, &mut faults).unwrap_or(DEFAULT_LIMIT);
                }
                "after" => look.after = integer(&value, 0, i64::MAX, place, &mut faults),
                "wait" => look.wait = seconds(&value, place, &mut faults),
                "order" => match value.as_ref() {
                    "asc" => look.order = Order::Ascending,
                    "desc" => look.order = Order::Descending,
                    other => {
                        let ctx = json!({"expected": "'asc' or 'desc'"});
                        let message = "Input should be 'asc' or 'desc'";
                        faults.add("literal_error", place, message, &other.into(), Some(ctx));
                    }
                },
                _ => {}
            }
        }
        if faults.is_empty() { Ok(look) } else { Err(faults) }
    }
}

/// An empty value counts as absent, as the Python client never sends one.
fn bounded(text: &str, limit: usize, place: &[&str], faults: &mut Faults) -> Option<String> {
    match length_fault(text, limit) {
        Some(LengthFault::Short) => None,
        None => Some(text.to_owned()),
        Some(LengthFault::Long) => {
            let message = format!("String should have at most {limit} characters");
            faults.add("string_too_long", place, &message, &text.into(), Some(json!({"max_length": limit})));
            None
        }
    }
}

/// A truth value in the words that the Python gateway takes.
pub fn boolean(text: &str, place: &[&str], faults: &mut Faults) -> bool {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => true,
        "0" | "false" | "f" | "no" | "n" | "off" => false,
        _ => {
            let message = "Input should be a valid boolean, unable to interpret input";
            faults.add("bool_parsing", place, message, &text.into(), None);
            false
        }
    }
}

/// A whole number between two bounds.
pub fn integer(text: &str, least: i64, most: i64, place: &[&str], faults: &mut Faults) -> Option<i64> {
    let input = Value::from(text);
    match text.trim().parse::<i64>() {
        Err(_) => {
            let message = "Input should be a valid integer, unable to parse string as an integer";
            faults.add("int_parsing", place, message, &input, None);
            None
        }
        Ok(number) if number < least => {
            let message = format!("Input should be greater than or equal to {least}");
            faults.add("greater_than_equal", place, &message, &input, Some(json!({ "ge": least })));
            None
        }
        Ok(number) if number > most => {
            let message = format!("Input should be less than or equal to {most}");
            faults.add("less_than_equal", place, &message, &input, Some(json!({ "le": most })));
            None
        }
        Ok(number) => Some(number),
    }
}

fn seconds(text: &str, place: &[&str], faults: &mut Faults) -> Duration {
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => Duration::from_secs_f64(seconds.min(MAX_WAIT)),
        _ => {
            let message = "Input should be a number of seconds, 0 or more";
            faults.add("float_parsing", place, message, &text.into(), None);
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_is_read() {
        let look = Look::parse(
            "to=wire-bo&from=wire-al&kind=question&unread_only=true&after=3&order=asc&wait=99&x=1",
        );
        let want = Look {
            to: Some("wire-bo".into()),
            from: Some("wire-al".into()),
            kind: Some("question".into()),
            unread_only: true,
            after: Some(3),
            order: Order::Ascending,
            limit: 100,
            wait: Duration::from_secs(60),
            ..Look::default()
        };
        assert_eq!(look, Ok(want));
        let since = Look::parse("since=2026-11-20T21:43:18.286978+00:00").unwrap().since;
        assert_eq!(since.as_deref(), Some("2026-11-20T21:43:18.286978+00:00"));
    }

    #[test]
    fn wrong_values_are_named() {
        for (query, kind) in [
            ("limit=0", "greater_than_equal"),
            ("limit=1001", "less_than_equal"),
            ("limit=abc", "int_parsing"),
            ("unread_only=banana", "bool_parsing"),
            ("after=-1", "greater_than_equal"),
            ("after=99999999999999999999", "int_parsing"),
            ("wait=NaN", "float_parsing"),
            ("order=up", "literal_error"),
        ] {
            let body = Look::parse(query).unwrap_err().into_body();
            assert_eq!(body["detail"][0]["type"], kind, "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_gets_an_answer(query in "([a-z_]{0,8}=[^&]{0,8}&?){0,4}|\\PC{0,40}") {
            let _ = Look::parse(&query);
        }
    }
}
