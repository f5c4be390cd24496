//! Tool calls from the fragments of a stream, however the provider cut and labelled them.
//!
//! Rules ("beyond the seed" C): an integer index names the call; else a known id goes on with its call; else a new id starts a
//! call at the next free index; else the fragment belongs to the call in flight. At the end arguments without a name go to the
//! nearest named call that still lacks some. A second call that reuses the index of one that is whole stays a call of its own.
use crate::wire::{ToolCall, ToolCallDelta};
use serde::de::IgnoredAny;

/// Folds fragments into whole calls. Arguments may still be broken JSON: the model wrote them.
#[derive(Clone, Debug, Default)]
pub struct ToolCallAccumulator {
    buckets: Vec<Bucket>,
    /// Position in `buckets` of the call that the last fragment went to.
    in_flight: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    index: i64,
    id: String,
    name: String,
    arguments: String,
    chars: usize,
}

/// How far the call that a fragment went to has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallProgress<'a> {
    /// Name of the tool; empty while it is not known.
    pub name: &'a str,
    /// Characters of arguments so far.
    pub chars: usize,
}

impl ToolCallAccumulator {
    /// An accumulator without calls.
    pub fn new() -> ToolCallAccumulator {
        ToolCallAccumulator::default()
    }

    /// Whether no fragment has come.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Takes the next fragment and says how far its call has come.
    pub fn push(&mut self, delta: &ToolCallDelta<'_>) -> CallProgress<'_> {
        let mut at = self.find(delta);
        if self.buckets[at].is_followed_by(delta) {
            let index = if delta.index.is_some() { self.buckets[at].index } else { self.next_index() };
            at = self.start(index);
        }
        self.in_flight = Some(at);
        let bucket = &mut self.buckets[at];
        if !delta.id.is_empty() {
            delta.id.as_ref().clone_into(&mut bucket.id);
        }
        if !delta.name.is_empty() {
            delta.name.as_ref().clone_into(&mut bucket.name);
        }
        bucket.arguments.push_str(&delta.arguments);
        bucket.chars += delta.arguments.chars().count();
        CallProgress { name: &bucket.name, chars: bucket.chars }
    }

    /// Gives the whole calls in the order of their indexes, and how many fragments belonged to none of them.
    pub fn finish(self) -> (Vec<ToolCall>, u32) {
        let mut buckets = self.buckets;
        // Stable: of two calls on one index the first stays first.
        buckets.sort_by_key(|bucket| bucket.index);
        let (mut named, orphans): (Vec<Bucket>, Vec<Bucket>) =
            buckets.into_iter().partition(|bucket| !bucket.name.is_empty());
        let mut dropped = 0;
        for orphan in
            orphans.into_iter().filter(|orphan| !orphan.arguments.is_empty() || !orphan.id.is_empty())
        {
            if !adopt(&mut named, &orphan) {
                dropped += 1;
            }
        }
        (with_ids(named), dropped)
    }

    fn find(&mut self, delta: &ToolCallDelta<'_>) -> usize {
        if let Some(index) = delta.index {
            // The newest of those that share the index.
            let known = self.buckets.iter().rposition(|bucket| bucket.index == index);
            return known.unwrap_or_else(|| self.start(index));
        }
        if !delta.id.is_empty() {
            let known = self.buckets.iter().rposition(|bucket| bucket.id == delta.id);
            return known.unwrap_or_else(|| self.start(self.next_index()));
        }
        self.in_flight.unwrap_or_else(|| self.start(0))
    }

    fn start(&mut self, index: i64) -> usize {
        self.buckets.push(Bucket { index, ..Bucket::default() });
        self.buckets.len() - 1
    }

    fn next_index(&self) -> i64 {
        self.buckets.iter().map(|bucket| bucket.index.saturating_add(1)).max().unwrap_or(0)
    }
}

impl Bucket {
    /// Whether the fragment opens another call although it is labelled like this one: a name of its own, no id that says
    /// "the same", and nothing left to add here.
    fn is_followed_by(&self, delta: &ToolCallDelta<'_>) -> bool {
        let is_other = delta.id.is_empty() || (!self.id.is_empty() && delta.id != self.id);
        is_other && !delta.name.is_empty() && !self.name.is_empty() && is_json_object(&self.arguments)
    }
}

/// Gives an orphan's arguments to the nearest call whose own do not parse yet; a call that parses is never touched.
fn adopt(named: &mut [Bucket], orphan: &Bucket) -> bool {
    let open = named.iter_mut().filter(|call| !is_json(&call.arguments));
    let Some(call) = open.min_by_key(|call| call.index.abs_diff(orphan.index)) else { return false };
    let after = format!("{}{}", call.arguments, orphan.arguments);
    let before = format!("{}{}", orphan.arguments, call.arguments);
    call.arguments = if !is_json(&after) && is_json(&before) { before } else { after };
    true
}

fn with_ids(named: Vec<Bucket>) -> Vec<ToolCall> {
    let given: Vec<String> =
        named.iter().map(|bucket| bucket.id.clone()).filter(|id| !id.is_empty()).collect();
    let mut calls: Vec<ToolCall> = Vec::with_capacity(named.len());
    for (position, bucket) in named.into_iter().enumerate() {
        let free = |id: &String| !given.contains(id) && calls.iter().all(|call| call.id != *id);
        let id = match bucket.id.is_empty() {
            true => (position..).map(|n| format!("call_{n}")).find(free).unwrap_or_default(),
            false => bucket.id,
        };
        calls.push(ToolCall { id, name: bucket.name, arguments: bucket.arguments });
    }
    calls
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn is_json_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && is_json(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Fragments as `[index, id, name, arguments]`, calls as `[id, name, arguments]`.
    #[track_caller]
    fn check(fragments: Value, want: Value, want_dropped: u32) {
        let mut accumulator = ToolCallAccumulator::new();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for fragment in fragments.as_array().unwrap() {
            accumulator.push(&ToolCallDelta {
                index: fragment[0].as_i64(),
                id: text(&fragment[1]).into(),
                name: text(&fragment[2]).into(),
                arguments: text(&fragment[3]).into(),
            });
        }
        let (calls, dropped) = accumulator.finish();
        let calls: Value = calls.iter().map(|call| json!([call.id, call.name, call.arguments])).collect();
        assert_eq!((calls, dropped), (want, want_dropped), "{fragments}");
    }

    #[test]
    fn an_index_names_the_call() {
        check(
            json!([[1, "b", "g", "{"], [0, "a", "f", "{"], [1, "", "", "}"], [0, "", "", "}"]]),
            json!([["a", "f", "{}"], ["b", "g", "{}"]]),
            0,
        );
    }

    #[test]
    fn without_an_index_the_id_names_it_and_without_both_the_call_in_flight() {
        check(
            json!([
                [null, "a", "f", "{"],
                [null, "b", "g", "{"],
                [null, "a", "", "}"],
                [null, "b", "", ""],
                [null, "", "", "}"]
            ]),
            json!([["a", "f", "{}"], ["b", "g", "{}"]]),
            0,
        );
        check(json!([[null, "", "f", "{"], [null, "", "", "}"]]), json!([["call_0", "f", "{}"]]), 0);
    }

    #[test]
    fn a_second_call_on_one_index_stays_a_call_of_its_own() {
        check(
            json!([[0, "a", "f", "{\"x\":1}"], [0, "b", "g", "{\"y\""], [0, "", "", ":2}"]]),
            json!([["a", "f", "{\"x\":1}"], ["b", "g", "{\"y\":2}"]]),
            0,
        );
        check(
            json!([[null, "", "f", "{}"], [null, "", "f", "{}"]]),
            json!([["call_0", "f", "{}"], ["call_1", "f", "{}"]]),
            0,
        );
        // The name repeated beside each fragment is still one call.
        check(json!([[0, "a", "f", "{"], [0, "a", "f", "}"]]), json!([["a", "f", "{}"]]), 0);
    }

    #[test]
    fn arguments_without_a_name_go_to_the_nearest_call_that_lacks_some() {
        check(json!([[0, "a", "f", ""], [3, "", "", "{}"]]), json!([["a", "f", "{}"]]), 0);
        check(json!([[0, "", "", "1}"], [1, "a", "f", "{\"x\":"]]), json!([["a", "f", "{\"x\":1}"]]), 0);
        check(json!([[0, "a", "f", "{}"], [1, "", "", "{}"]]), json!([["a", "f", "{}"]]), 1);
        check(json!([[0, "a", "", "{}"]]), json!([]), 1);
    }

    #[test]
    fn invented_ids_are_free() {
        check(
            json!([[0, "call_1", "f", "{}"], [1, "", "g", "{}"], [2, "", "h", "{}"]]),
            json!([["call_1", "f", "{}"], ["call_2", "g", "{}"], ["call_3", "h", "{}"]]),
            0,
        );
    }

    #[test]
    fn progress_counts_characters() {
        let mut accumulator = ToolCallAccumulator::new();
        let delta = |name: &'static str, arguments: &'static str| ToolCallDelta {
            name: name.into(),
            arguments: arguments.into(),
            ..ToolCallDelta::default()
        };
        assert_eq!(accumulator.push(&delta("f", "é")), CallProgress { name: "f", chars: 1 });
        assert_eq!(accumulator.push(&delta("", "日本")), CallProgress { name: "f", chars: 3 });
    }

    #[test]
    fn indexes_at_the_end_of_the_numbers_are_harmless() {
        check(
            json!([[i64::MAX, "", "f", "{}"], [null, "b", "g", "{}"], [i64::MIN, "", "h", "{}"]]),
            json!([["call_0", "h", "{}"], ["call_1", "f", "{}"], ["b", "g", "{}"]]),
            0,
        );
    }
}
