//! What is wrong with a request, in the shape that clients of the Python gateway know: `{"detail": [{type, loc, msg, input, ctx}]}`.

use serde_json::{Map, Value, json};

/// Characters of an offending input that are echoed. The Python gateway echoes all of it, 200 001 characters too.
const ECHO_CHARS: usize = 256;

/// Faults that are named of one request; the rest of a long list says nothing new.
const MAX_FAULTS: usize = 32;

/// The faults of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults(Vec<Value>);

/// Where in a request something stands: `body` or `query` or `path`, then the field.
pub type Place<'a> = &'a [&'a str];

impl Faults {
    /// One fault.
    pub fn one(kind: &str, place: Place<'_>, message: &str, input: &Value) -> Faults {
        let mut faults = Faults::default();
        faults.add(kind, place, message, input, None);
        faults
    }

    /// The body is no JSON.
    pub fn no_json(error: &serde_json::Error) -> Faults {
        let fault = json!({"type": "json_invalid", "loc": ["body", error.column()], "msg": "JSON decode error",
                           "input": {}, "ctx": {"error": error.to_string()}});
        Faults(vec![fault])
    }

    /// Adds a fault.
    pub fn add(&mut self, kind: &str, place: Place<'_>, message: &str, input: &Value, ctx: Option<Value>) {
        if self.0.len() == MAX_FAULTS {
            return;
        }
        let mut fault = Map::new();
        fault.insert("type".into(), kind.into());
        fault.insert("loc".into(), place.iter().map(|step| Value::from(*step)).collect());
        fault.insert("msg".into(), message.into());
        fault.insert("input".into(), echo(input));
        if let Some(ctx) = ctx {
            fault.insert("ctx".into(), ctx);
        }
        self.0.push(fault.into());
    }

    /// Adds that a field is not there.
    pub fn missing(&mut self, place: Place<'_>, input: &Value) {
        self.add("missing", place, "Field required", input, None);
    }

    /// Whether all was well.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The answer's body.
    pub fn into_body(self) -> Value {
        json!({ "detail": self.0 })
    }
}

/// An input as it may stand in an answer: whole when it is short.
fn echo(input: &Value) -> Value {
    match input {
        Value::String(text) => match text.char_indices().nth(ECHO_CHARS) {
            Some((end, _)) => format!("{}…", &text[..end]).into(),
            None => text.as_str().into(),
        },
        Value::Array(items) if items.len() > 8 => Value::Array(items.iter().take(8).map(echo).collect()),
        Value::Array(items) => Value::Array(items.iter().map(echo).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().take(16).map(|(key, value)| (key.clone(), echo(value))).collect())
        }
        other => other.clone(),
    }
}

/// The fields of a JSON body, read one by one; what is wrong with them is gathered.
#[derive(Debug)]
pub struct Fields {
    body: Value,
    faults: Faults,
}

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    /// It is missing, no JSON, or no object.
    pub fn of(body: &[u8]) -> Result<Fields, Faults> {
        if body.is_empty() {
            return Err(Faults::one("missing", &["body"], "Field required", &Value::Null));
        }
        let body: Value = serde_json::from_slice(body).map_err(|error| Faults::no_json(&error))?;
        Fields::of_value(body)
    }

    /// The same for a body that may be left out.
    ///
    /// # Errors
    /// It is no JSON, or no object.
    pub fn of_optional(body: &[u8]) -> Result<Fields, Faults> {
        if body.is_empty() { Fields::of_value(json!({})) } else { Fields::of(body) }
    }

    /// The same for a value.
    ///
    /// # Errors
    /// It is no object.
    pub fn of_value(body: Value) -> Result<Fields, Faults> {
        if body.is_object() {
            return Ok(Fields { body, faults: Faults::default() });
        }
        let message = "Input should be a valid dictionary or object to extract fields from";
        Err(Faults::one("model_attributes_type", &["body"], message, &body))
    }

    /// A field's value; `null` counts as absent.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.body.get(field).filter(|value| !value.is_null())
    }

    /// A text that has to be there.
    pub fn text(&mut self, field: &str, limit: usize) -> String {
        match self.body.get(field) {
            None => {
                self.faults.missing(&["body", field], &self.body);
                String::new()
            }
            Some(_) => self.check_text(field, limit).unwrap_or_default(),
        }
    }

    /// A text that may be left out.
    pub fn optional_text(&mut self, field: &str, limit: usize) -> Option<String> {
        self.get(field)?;
        self.check_text(field, limit)
    }

    fn check_text(&mut self, field: &str, limit: usize) -> Option<String> {
        let value = self.body.get(field)?;
        let place = &["body", field];
        let Some(text) = value.as_str() else {
            self.faults.add("string_type", place, "Input should be a valid string", value, None);
            return None;
        };
        match length_fault(text, limit) {
            None => return Some(text.to_owned()),
            Some(LengthFault::Short) => {
                let ctx = json!({"min_length": 1});
                let message = "String should have at least 1 character";
                self.faults.add("string_too_short", place, message, value, Some(ctx));
            }
            Some(LengthFault::Long) => {
                let message = format!("String should have at most {limit} characters");
                let ctx = json!({"max_length": limit});
                self.faults.add("string_too_long", place, &message, value, Some(ctx));
            }
        }
        None
    }

    /// A text, or a whole number that is taken as its digits.
    pub fn text_or_number(&mut self, field: &str, limit: usize) -> Option<String> {
        match self.get(field)? {
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            _ => self.check_text(field, limit),
        }
    }

    /// A whole number between two bounds that may be left out.
    pub fn optional_integer(&mut self, field: &str, least: i64, most: i64) -> Option<i64> {
        let value = self.get(field)?;
        let place = &["body", field];
        match value.as_i64() {
            Some(number) if (least..=most).contains(&number) => return Some(number),
            Some(_) => {
                let message = format!("Input should be from {least} to {most}");
                let value = value.clone();
                self.faults.add(
                    "out_of_range",
                    place,
                    &message,
                    &value,
                    Some(json!({"ge": least, "le": most})),
                );
            }
            None => {
                let value = value.clone();
                self.faults.add("int_type", place, "Input should be a valid integer", &value, None);
            }
        }
        None
    }

    /// A number of seconds between two bounds that may be left out.
    pub fn optional_seconds(&mut self, field: &str, least: f64, most: f64) -> Option<std::time::Duration> {
        let value = self.get(field)?;
        match value.as_f64() {
            Some(seconds) if (least..=most).contains(&seconds) => {
                Some(std::time::Duration::from_secs_f64(seconds))
            }
            _ => {
                let message = format!("Input should be a number of seconds from {least} to {most}");
                let value = value.clone();
                self.faults.add("out_of_range", &["body", field], &message, &value, None);
                None
            }
        }
    }

    /// Yes or no; left out is no.
    pub fn flag(&mut self, field: &str) -> bool {
        match self.get(field) {
            None => false,
            Some(Value::Bool(value)) => *value,
            Some(other) => {
                let other = other.clone();
                self.faults.add(
                    "bool_type",
                    &["body", field],
                    "Input should be a valid boolean",
                    &other,
                    None,
                );
                false
            }
        }
    }

    /// A list of texts that may be left out.
    pub fn optional_texts(&mut self, field: &str, limit: usize, most: usize) -> Option<Vec<String>> {
        let value = self.get(field)?.clone();
        let texts: Option<Vec<String>> =
            value.as_array().filter(|list| list.len() <= most).and_then(|list| {
                let text = |item: &Value| {
                    item.as_str().filter(|text| length_fault(text, limit).is_none()).map(str::to_owned)
                };
                list.iter().map(text).collect()
            });
        if texts.is_none() {
            let message =
                format!("Input should be a list of at most {most} strings of 1 to {limit} characters");
            self.faults.add("list_type", &["body", field], &message, &value, None);
        }
        texts
    }

    /// Adds a fault of a field that only its reader can see.
    pub fn refuse(&mut self, field: &str, message: &str) {
        let value = self.body.get(field).cloned().unwrap_or(Value::Null);
        self.faults.add("value_error", &["body", field], message, &value, None);
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// What was wrong.
    pub fn end(self) -> Result<(), Faults> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }
}

/// How a text's length is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthFault {
    /// It is empty.
    Short,
    /// It has more characters than the limit.
    Long,
}

/// Looks at a text's length in characters, without counting those of a text whose bytes already fit.
pub fn length_fault(text: &str, limit: usize) -> Option<LengthFault> {
    match text.len() {
        0 => Some(LengthFault::Short),
        bytes if bytes <= limit => None,
        bytes if bytes > limit * 4 => Some(LengthFault::Long),
        _ => (text.chars().count() > limit).then_some(LengthFault::Long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_input_is_not_echoed_whole() {
        let faults = Faults::one("t", &["body", "content"], "m", &json!("é".repeat(200_001)));
        assert!(faults.into_body().to_string().len() < 1000);
    }

    #[test]
    fn all_faults_are_gathered() {
        let mut fields = Fields::of(br#"{"a": 5, "b": "", "c": "xyz", "d": 7.5, "g": [1]}"#).unwrap();
        fields.text("a", 9);
        fields.text("b", 9);
        fields.text("c", 2);
        fields.text_or_number("d", 9);
        fields.text("e", 9);
        fields.optional_texts("g", 9, 9);
        let body = fields.end().unwrap_err().into_body();
        let kinds: Vec<&str> =
            body["detail"].as_array().unwrap().iter().filter_map(|fault| fault["type"].as_str()).collect();
        assert_eq!(
            kinds,
            ["string_type", "string_too_short", "string_too_long", "string_type", "missing", "list_type"]
        );
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        for (text, fault) in [
            ("", Some(LengthFault::Short)),
            ("ab", None),
            ("éé", None),
            ("ééé", Some(LengthFault::Long)),
            ("abcdefghi", Some(LengthFault::Long)),
        ] {
            assert_eq!(length_fault(text, 2), fault, "{text}");
        }
    }
}
