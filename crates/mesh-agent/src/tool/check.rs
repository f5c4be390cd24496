//! Pure: checks arguments against what a tool needs, and takes them out as tools want them.

use serde_json::Value;

use super::{Args, ToolSpec};

/// Arguments for which an empty string says something: an empty file.
const MAY_BE_EMPTY: &[&str] = &["content"];

/// Arguments that choose a part of the result. No call fails for want of them, so the hint leaves them out.
const WINDOW_ARGS: &[&str] = &["offset", "limit"];

/// Whole numbers for which any other value means the default (seed 13.2).
const DEFAULTED_ARGS: &[&str] = &["wait_seconds"];

/// Checks arguments against what the tool needs: required ones there, each of its type.
///
/// A tool without required arguments checks for itself.
///
/// # Errors
/// Says in one sentence what is missing or wrong.
pub fn validate(spec: &ToolSpec, args: &Args) -> Result<(), String> {
    if spec.required.is_empty() {
        return Ok(());
    }
    for name in spec.required {
        let missing = match args.get(*name) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty() && !MAY_BE_EMPTY.contains(name),
            Some(_) => false,
        };
        if missing {
            return Err(missing_argument(spec.name, name));
        }
    }
    let schema = schema(spec);
    for (name, value) in args {
        if let Some(property) = schema.get("properties").and_then(|properties| properties.get(name))
            && !DEFAULTED_ARGS.contains(&name.as_str())
        {
            check_type(value, property, name)?;
        }
    }
    Ok(())
}

/// Says that a tool lacks an argument; the words are the seed's.
pub fn missing_argument(tool: &str, name: &str) -> String {
    let advice = if MAY_BE_EMPTY.contains(&name) { " Use \"\" for an empty file." } else { "" };
    format!("{tool} requires a `{name}` argument.{advice}")
}

/// Shows what a tool takes: `write_file expects {"path": "...", "content": "..."}`.
pub fn hint(spec: &ToolSpec) -> String {
    let schema = schema(spec);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let type_of = |name: &str| properties.and_then(|all| all.get(name)?.get("type")?.as_str());
    let shown: Vec<String> = required
        .iter()
        .map(|name| {
            let sample = match type_of(name) {
                Some("integer" | "number") => "123",
                Some("array") => "[...]",
                Some("object") => "{...}",
                Some("boolean") => "true",
                _ => "\"...\"",
            };
            format!("\"{name}\": {sample}")
        })
        .collect();
    let optional: Vec<&str> = properties
        .into_iter()
        .flat_map(|all| all.keys())
        .map(String::as_str)
        .filter(|name| !required.contains(name) && !WINDOW_ARGS.contains(name))
        .collect();
    let rest =
        if optional.is_empty() { String::new() } else { format!(" (optional: {})", optional.join(", ")) };
    format!("{} expects {{{}}}{rest}", spec.name, shown.join(", "))
}

/// The text of an argument; `None` if it is not there, null, or no string.
pub fn text<'a>(args: &'a Args, name: &str) -> Option<&'a str> {
    args.get(name).and_then(Value::as_str)
}

/// A whole number, also where the model wrote it as a string or with a fraction; `None` if not there or null.
///
/// # Errors
/// Says that the argument is no whole number.
pub fn integer(args: &Args, name: &str) -> Result<Option<i64>, String> {
    let value = match args.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    as_integer(value).map(Some).ok_or_else(|| format!("`{name}` must be a whole number"))
}

/// A yes or no, also where the model wrote it as a string; no if it is not there.
pub fn flag(args: &Args, name: &str) -> bool {
    args.get(name).and_then(as_flag).unwrap_or(false)
}

fn schema(spec: &ToolSpec) -> Value {
    serde_json::from_str(spec.parameters).unwrap_or(Value::Null)
}

/// Checks one value against the few words of JSON schema that our tools use. Depth is the schema's own.
fn check_type(value: &Value, schema: &Value, name: &str) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    let wrong = |what: &str| Err(format!("`{name}` must be {what}, and it is {}.", type_name(value)));
    match schema.get("type").and_then(Value::as_str) {
        Some("string") if !value.is_string() => wrong("a string"),
        Some("integer") if as_integer(value).is_none() => wrong("a whole number"),
        Some("boolean") if as_flag(value).is_none() => wrong("true or false"),
        Some("array") => match value.as_array() {
            None => wrong("an array"),
            Some(items) => check_items(items, schema, name),
        },
        Some("object") => match value.as_object() {
            None => wrong("an object"),
            Some(object) => check_members(object, schema, name),
        },
        _ => Ok(()),
    }
}

fn check_items(items: &[Value], schema: &Value, name: &str) -> Result<(), String> {
    let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
    let count = items.len() as u64;
    if let Some(least) = bound("minItems").filter(|least| count < *least) {
        return Err(format!("`{name}` must have at least {least} entries, and it has {count}."));
    }
    if let Some(most) = bound("maxItems").filter(|most| count > *most) {
        return Err(format!("`{name}` must have at most {most} entries, and it has {count}."));
    }
    let Some(item_schema) = schema.get("items") else { return Ok(()) };
    items
        .iter()
        .enumerate()
        .try_for_each(|(index, item)| check_type(item, item_schema, &format!("{name}[{index}]")))
}

fn check_members(object: &Args, schema: &Value, name: &str) -> Result<(), String> {
    for needed in
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if object.get(needed).is_none_or(Value::is_null) {
            return Err(format!("`{name}` lacks `{needed}`."));
        }
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    for (member, value) in object {
        if let Some(property) = properties.get(member) {
            check_type(value, property, &format!("{name}.{member}"))?;
        }
    }
    Ok(())
}

fn as_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => {
            // `as` saturates, so a number beyond 64 bits stays a very large one.
            number.as_i64().or_else(|| number.as_f64().map(|float| float as i64))
        }
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        Value::Number(number) => number.as_i64().map(|number| number != 0),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: ToolSpec = ToolSpec {
        name: "write_file",
        description: "",
        parameters: r#"{"type":"object","properties":{"path":{"type":"string"},"content":{"type":"string"}},"required":["path","content"]}"#,
        required: &["path", "content"],
    };
    const RUN: ToolSpec = ToolSpec {
        name: "run_bash",
        description: "",
        parameters: r#"{"type":"object","properties":{"command":{"type":"string"},"timeout":{"type":"integer"}},"required":["command"]}"#,
        required: &["command"],
    };
    const EDIT: ToolSpec = ToolSpec {
        name: "edit_file",
        description: "",
        parameters: r#"{"type":"object","properties":{"path":{"type":"string"},"edits":{"type":"array","minItems":1,"items":{"type":"object","properties":{"old":{"type":"string"},"new":{"type":"string"},"all":{"type":"boolean"}},"required":["old","new"]}}},"required":["path","edits"]}"#,
        required: &["path", "edits"],
    };

    #[track_caller]
    fn wrong(spec: &ToolSpec, args: &str, want: &str) {
        assert_eq!(validate(spec, &serde_json::from_str(args).unwrap()), Err(want.to_owned()), "{args}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        wrong(&WRITE, r#"{"content":""}"#, "write_file requires a `path` argument.");
        wrong(
            &WRITE,
            r#"{"path":"a","content":null}"#,
            "write_file requires a `content` argument. Use \"\" for an empty file.",
        );
        wrong(&WRITE, r#"{"path":"a","content":5}"#, "`content` must be a string, and it is a number.");
        wrong(
            &RUN,
            r#"{"command":"ls","timeout":"soon"}"#,
            "`timeout` must be a whole number, and it is a string.",
        );
        wrong(&EDIT, r#"{"path":"a","edits":[]}"#, "`edits` must have at least 1 entries, and it has 0.");
        wrong(&EDIT, r#"{"path":"a","edits":[{"old":"x"}]}"#, "`edits[0]` lacks `new`.");
        wrong(
            &EDIT,
            r#"{"path":"a","edits":[{"old":"x","new":1}]}"#,
            "`edits[0].new` must be a string, and it is a number.",
        );
    }

    #[test]
    fn numbers_and_flags_are_taken_as_models_write_them() {
        let args: Args =
            serde_json::from_str(r#"{"a":" 5 ","b":7.0,"c":null,"d":"x","e":"True","f":true}"#).unwrap();
        assert_eq!(integer(&args, "a"), Ok(Some(5)));
        assert_eq!(integer(&args, "b"), Ok(Some(7)));
        assert_eq!(integer(&args, "c"), Ok(None));
        assert_eq!(integer(&args, "missing"), Ok(None));
        assert!(integer(&args, "d").is_err());
        assert!(flag(&args, "e") && flag(&args, "f") && !flag(&args, "c"));
    }

    #[test]
    fn hints_show_what_is_needed_and_name_what_else_there_is() {
        assert_eq!(hint(&WRITE), r#"write_file expects {"path": "...", "content": "..."}"#);
        assert_eq!(hint(&RUN), r#"run_bash expects {"command": "..."} (optional: timeout)"#);
        assert_eq!(hint(&EDIT), r#"edit_file expects {"path": "...", "edits": [...]}"#);
    }
}
