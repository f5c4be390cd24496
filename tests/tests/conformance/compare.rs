//! Whether an output is what a record wants. The notation is told in `fixtures/README.md`.

use std::fmt::Write as _;

use regex::Regex;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Numbers that differ by less than this part of themselves are equal.
const TOLERANCE: f64 = 1e-9;

/// Characters of a value that a complaint shows.
const SHOWN_CHARS: usize = 300;

/// How objects are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The same keys.
    Exact,
    /// At least the wanted keys, at any depth.
    Subset,
}

/// The first place where the output is not what is wanted; `None` when it fits.
pub(crate) fn difference(want: &Value, got: &Value, mode: Mode) -> Option<String> {
    differs(want, Some(got), mode, "$")
}

fn differs(want: &Value, got: Option<&Value>, mode: Mode, place: &str) -> Option<String> {
    if let Some(fits) = want.as_object().and_then(|notation| special(notation, got, mode, place)) {
        return (!fits).then(|| complaint(want, got, place));
    }
    match (want, got) {
        (Value::Object(wanted), Some(Value::Object(given))) => members(wanted, given, mode, place),
        (Value::Array(wanted), Some(Value::Array(given))) if wanted.len() == given.len() => {
            let pairs = wanted.iter().zip(given).enumerate();
            pairs
                .into_iter()
                .find_map(|(at, (want, got))| differs(want, Some(got), mode, &format!("{place}[{at}]")))
        }
        (Value::Number(wanted), Some(Value::Number(given))) => {
            let (want_f, got_f) = (wanted.as_f64()?, given.as_f64()?);
            let is_equal =
                want_f == got_f || (want_f - got_f).abs() <= TOLERANCE * want_f.abs().max(got_f.abs());
            (!is_equal).then(|| complaint(want, got, place))
        }
        _ => (Some(want) != got).then(|| complaint(want, got, place)),
    }
}

fn members(
    wanted: &Map<String, Value>,
    given: &Map<String, Value>,
    mode: Mode,
    place: &str,
) -> Option<String> {
    if mode == Mode::Exact
        && let Some(key) = given.keys().find(|key| !wanted.contains_key(*key))
    {
        return Some(format!("{place}.{key} is too much"));
    }
    wanted.iter().find_map(|(key, want)| differs(want, given.get(key), mode, &format!("{place}.{key}")))
}

/// Whether a value fits the notation that `want` is; `None` when it is a plain object.
fn special(want: &Map<String, Value>, got: Option<&Value>, mode: Mode, place: &str) -> Option<bool> {
    let fits = |want: &Value, got: &Value| differs(want, Some(got), mode, place).is_none();
    if let Some(runs) = want.get("$s").filter(|_| want.len() == 1) {
        return Some(got.and_then(Value::as_str) == Some(unpacked(runs).as_str()));
    }
    if want.contains_key("$any") {
        return Some(got.is_some());
    }
    if want.contains_key("$absent") {
        return Some(got.is_none_or(|got| got.is_null() || got == ""));
    }
    if let Some(choices) = want.get("$one_of") {
        return Some(got.is_some_and(|got| items(choices).iter().any(|want| fits(want, got))));
    }
    if let Some(some) = want.get("$some_of") {
        let must = want.get("must").map(items).unwrap_or_default();
        return Some(got.and_then(Value::as_array).is_some_and(|list| {
            let mut left: Vec<&Value> = list.iter().collect();
            let mut take = |want: &Value| {
                let at = left.iter().position(|got| fits(want, got));
                at.map(|at| left.remove(at)).is_some()
            };
            let has_all = must.iter().all(&mut take);
            for want in items(some) {
                take(want);
            }
            has_all && left.is_empty()
        }));
    }
    if let Some(digest) = want.get("$sha256") {
        return Some(got.and_then(Value::as_str).is_some_and(|text| {
            want.get("bytes").and_then(Value::as_u64) == Some(text.len() as u64) && hex(text) == *digest
        }));
    }
    if let Some(pattern) = want.get("$re").and_then(Value::as_str) {
        let whole = Regex::new(&format!("(?s)^(?:{pattern})$")).expect("a pattern that this engine knows");
        return Some(got.and_then(Value::as_str).is_some_and(|text| whole.is_match(text)));
    }
    if want.contains_key("throws") && place == "$" {
        return Some(got.is_some_and(|got| got.get("throws").is_some() || got.get("error").is_some()));
    }
    None
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}

/// Writes out `[[text, count], ..]`.
pub(crate) fn unpacked(runs: &Value) -> String {
    let run = |run: &Value| {
        let count = run[1].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        run[0].as_str().unwrap_or_default().repeat(count)
    };
    items(runs).iter().map(run).collect()
}

fn complaint(want: &Value, got: Option<&Value>, place: &str) -> String {
    let short = |text: String| text.chars().take(SHOWN_CHARS).collect::<String>();
    let got = got.map_or_else(|| "nothing".to_owned(), Value::to_string);
    format!("{place}: wanted {}, got {}", short(want.to_string()), short(got))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(want: Value, got: Value, mode: Mode, fits: bool) {
        assert_eq!(difference(&want, &got, mode).is_none(), fits, "{want} {got}");
    }

    #[test]
    fn the_notation_is_read() {
        for (want, got, fits) in [
            (json!({"a": 1, "b": [1.0]}), json!({"b": [1], "a": 1.0}), true),
            (json!({"a": 1}), json!({"a": true}), false),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), false),
            (json!([1]), json!([1, 2]), false),
            (json!({"a": {"$any": true}}), json!({"a": null}), true),
            (json!({"a": {"$any": true}}), json!({}), false),
            (json!({"a": {"$absent": true}}), json!({}), true),
            (json!({"a": {"$absent": true}}), json!({"a": "x"}), false),
            (json!({"$s": [["ab", 2], ["c", 1]]}), json!("ababc"), true),
            (json!({"$re": "a.+b"}), json!("a\nb"), true),
            (json!({"$re": "a|ab"}), json!("abc"), false),
            (json!({"$one_of": [1, {"$re": "x"}]}), json!("x"), true),
            (json!({"$some_of": [1, 2], "must": [3]}), json!([3, 1]), true),
            (json!({"$some_of": [1, 2], "must": [3]}), json!([1]), false),
            (json!({"$some_of": [1], "must": []}), json!([1, 1]), false),
            (json!({"throws": "E"}), json!({"error": "x"}), true),
            (
                json!({"$sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "bytes": 3}),
                json!("abc"),
                true,
            ),
        ] {
            check(want, got, Mode::Exact, fits);
        }
        check(json!({"a": {"b": 1}}), json!({"a": {"b": 1, "c": 2}, "d": 3}), Mode::Subset, true);
        check(json!({"a": [{"b": 1}]}), json!({"a": [{"b": 1}, {}]}), Mode::Subset, false);
    }
}
