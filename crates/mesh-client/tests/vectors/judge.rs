//! Whether an output is what a record wants. The notation is told in `fixtures/vectors/README.md`.
use serde_json::Value;

/// Numbers that differ by less than this part of themselves are equal.
const TOLERANCE: f64 = 1e-9;

/// One line of a file, its packed texts unpacked.
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) input: Value,
    accepted: Vec<Value>,
    is_subset: bool,
}

impl Record {
    pub(crate) fn new(record: &Value) -> Record {
        let others = record["also_ok"].as_array().into_iter().flatten();
        Record {
            id: format!("{} {}", record["id"], record["tags"]),
            input: unpacked(&record["input"]),
            accepted: std::iter::once(&record["want"]).chain(others).map(unpacked).collect(),
            is_subset: record["compare"] == "subset",
        }
    }
}

/// What differs from the first of the accepted outputs; `None` when one of them fits.
pub(crate) fn judge(record: &Record, output: &Value) -> Option<String> {
    let mut complaints = record.accepted.iter().map(|want| difference(want, output, record.is_subset, "$"));
    let first = complaints.next().expect("a record wants something")?;
    (!complaints.any(|complaint| complaint.is_none())).then_some(first)
}

fn difference(want: &Value, got: &Value, is_subset: bool, place: &str) -> Option<String> {
    if want.get("$any").is_some() {
        return None;
    }
    if want.get("$re").is_some_and(|pattern| pattern == ".+") {
        return got.as_str().is_none_or(str::is_empty).then(|| format!("{place}: no text"));
    }
    let is_equal =
        match (want, got) {
            (Value::Object(wanted), Value::Object(given)) => {
                if let Some(key) = given.keys().find(|key| !is_subset && !wanted.contains_key(*key)) {
                    return Some(format!("{place}.{key} is too much"));
                }
                return wanted.iter().find_map(|(key, want)| match given.get(key) {
                    Some(got) => difference(want, got, is_subset, &format!("{place}.{key}")),
                    None => Some(format!("{place}.{key} is missing")),
                });
            }
            (Value::Array(wanted), Value::Array(given)) if wanted.len() == given.len() => {
                return wanted.iter().zip(given).enumerate().find_map(|(at, (want, got))| {
                    difference(want, got, is_subset, &format!("{place}[{at}]"))
                });
            }
            (Value::Number(want), Value::Number(got)) => {
                let (want, got) = (want.as_f64().unwrap_or(f64::NAN), got.as_f64().unwrap_or(f64::NAN));
                want == got || (want - got).abs() <= TOLERANCE * want.abs().max(got.abs())
            }
            _ => want == got,
        };
    (!is_equal).then(|| format!("{place}: wanted {want}, got {got}"))
}

/// Writes out `{"$s":[[text, count], ..]}`.
fn unpacked(value: &Value) -> Value {
    match value {
        Value::Object(map) => match map.get("$s") {
            Some(Value::Array(runs)) => {
                let run = |run: &Value| run[0].as_str().unwrap().repeat(run[1].as_u64().unwrap() as usize);
                runs.iter().map(run).collect::<String>().into()
            }
            _ => map.iter().map(|(key, value)| (key.clone(), unpacked(value))).collect(),
        },
        Value::Array(list) => list.iter().map(unpacked).collect(),
        other => other.clone(),
    }
}
