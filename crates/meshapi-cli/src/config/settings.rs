//! Pure: the text of `config.json` to settings and back. What we do not know survives, byte for byte and in order.
//!
//! The file is shared with meshapi-code 0.4.5 and 0.5.10. Each value is kept as the JSON text that stood there;
//! the ones we understand are read from it, and a value of the wrong type counts as the default, with a warning.

use std::fmt;

use mesh_safety::WorkspaceReads;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use crate::mail::account::MailValues;

/// The model of a fresh file. Seed 3.1.
pub const DEFAULT_MODEL: &str = "anthropic/claude-sonnet-4.5";
/// The base prompt of a fresh file. Seed 3.1.
pub const DEFAULT_SYSTEM: &str = "You are a helpful coding assistant. Be concise.";
/// The key that older releases read from this file and that is never written to it. Seed 3.2.
const API_KEY: &str = "api_key";
/// Levels of `reasoning_effort` that the gateway takes.
const EFFORTS: [&str; 4] = ["high", "medium", "low", "none"];

/// The stored settings: an object of JSON values, in the order of the file.
#[derive(Clone, Default)]
pub struct Settings {
    entries: Vec<(String, Box<RawValue>)>,
}

/// A stored value that was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongType {
    /// Name of the setting.
    pub key: &'static str,
    /// What it should have been.
    pub expected: &'static str,
}

impl fmt::Display for WrongType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in config.json is not {}; the default is used", self.key, self.expected)
    }
}

/// The settings we act on, as the file has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// Address of the gateway; `None` if what stands there is not even text.
    pub base_url: Option<String>,
    /// Model that is asked for; never blank.
    pub model: String,
    /// Base prompt.
    pub system: String,
    /// Routing wish, passed through to the gateway.
    pub route: Option<String>,
    /// The gateway picks the model.
    pub auto_route: bool,
    /// Models to fall back to, in order.
    pub fallback_models: Vec<String>,
    /// `high`, `medium`, `low` or `none`.
    pub reasoning_effort: Option<String>,
    /// Optimise dial, 0.0 to 0.95.
    pub optimize: f64,
    /// Hops after which a turn pauses; `None` leaves it to the turn's own caps.
    pub max_hops: Option<u32>,
    /// May files inside the workspace be read unasked? `seed` keeps the matrix of the Python releases.
    pub workspace_reads: WorkspaceReads,
    /// Name, gateway and allowances of the user's mailbox.
    pub mail: MailValues,
}

impl Values {
    /// The model that a request names: the gateway's own choice under automatic routing.
    pub fn asked_model(&self) -> &str {
        if self.auto_route { "auto" } else { &self.model }
    }
}

impl Settings {
    /// The settings of a fresh file.
    pub fn fresh() -> Settings {
        let mut settings = Settings::default();
        settings.fill();
        settings
    }

    /// Reads the text of a file; a byte order mark in front is skipped.
    ///
    /// # Errors
    /// The text is not a JSON object.
    pub fn parse(text: &str) -> Result<Settings, serde_json::Error> {
        serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// The text of the file: two-space JSON in ASCII, as the Python releases write it, without `api_key`.
    pub fn to_text(&self) -> String {
        if self.entries.iter().all(|(key, _)| key == API_KEY) {
            return "{}".to_owned();
        }
        let mut text = String::from("{\n");
        let mut first = true;
        for (key, raw) in self.entries.iter().filter(|(key, _)| key != API_KEY) {
            if !first {
                text.push_str(",\n");
            }
            first = false;
            text.push_str("  ");
            push_ascii(&mut text, &Value::from(key.as_str()).to_string());
            text.push_str(": ");
            push_ascii(&mut text, raw.get());
        }
        text.push_str("\n}");
        text
    }

    /// The settings as a plain object, for showing. What is valid only as text becomes `null`.
    pub fn to_map(&self) -> Map<String, Value> {
        self.entries
            .iter()
            .map(|(key, raw)| (key.clone(), serde_json::from_str(raw.get()).unwrap_or(Value::Null)))
            .collect()
    }

    /// Stores one setting; it keeps its place, a new one goes to the end.
    pub fn set(&mut self, key: &str, value: &Value) {
        // A `Value` has string keys and finite numbers only, so it always has a JSON text.
        let Ok(raw) = serde_json::value::to_raw_value(value) else { return };
        self.put(key.to_owned(), raw);
    }

    /// Adds the defaults of what is missing, and puts them where a value has the wrong type.
    pub fn fill(&mut self) {
        let (_, complaints) = self.values();
        let defaults = [
            ("base_url", Value::from(mesh_client::BaseUrl::default().as_str())),
            ("model", Value::from(DEFAULT_MODEL)),
            ("system", Value::from(DEFAULT_SYSTEM)),
            ("route", Value::Null),
            ("fallback_models", Value::Array(Vec::new())),
            ("optimize", Value::from(0.0)),
        ];
        for (key, default) in defaults {
            if self.get(key).is_none() || complaints.iter().any(|c| c.key == key) {
                self.set(key, &default);
            }
        }
        // Not among the defaults: absent means the same and older releases do not know them.
        let unused: Vec<&str> = complaints.iter().map(|c| c.key).collect();
        self.entries.retain(|(key, _)| {
            !["auto_route", "reasoning_effort", "max_hops", "workspace_reads", "mail"].contains(&key.as_str())
                || !unused.contains(&key.as_str())
        });
    }

    /// The settings we act on, and a complaint for each value that is not used.
    pub fn values(&self) -> (Values, Vec<WrongType>) {
        let mut complaints = Vec::new();
        let values = Values {
            base_url: match self.get("base_url") {
                None => Some(mesh_client::BaseUrl::default().to_string()),
                Some(raw) => serde_json::from_str(raw).ok(),
            },
            model: self
                .read(&mut complaints, "model", "a text", text)
                .filter(|model| !model.trim().is_empty())
                .unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
            system: self
                .read(&mut complaints, "system", "a text", text)
                .unwrap_or_else(|| DEFAULT_SYSTEM.to_owned()),
            route: self
                .read(&mut complaints, "route", "a text or null", optional_text)
                .flatten()
                .filter(|r| !r.is_empty()),
            auto_route: self
                .read(&mut complaints, "auto_route", "true or false", |value| value.as_bool())
                .unwrap_or(false),
            fallback_models: self
                .read(&mut complaints, "fallback_models", "a list of texts", |value| {
                    value.as_array()?.iter().map(text).collect()
                })
                .unwrap_or_default(),
            reasoning_effort: self
                .read(&mut complaints, "reasoning_effort", "high, medium, low, none or null", effort)
                .flatten(),
            optimize: self
                .read(&mut complaints, "optimize", "a number", Value::as_f64)
                .map_or(0.0, |dial| dial.clamp(0.0, 0.95)),
            max_hops: self.read(&mut complaints, "max_hops", "a whole number", hops).flatten(),
            workspace_reads: self
                .read(&mut complaints, "workspace_reads", "free or seed", workspace_reads)
                .unwrap_or_default(),
            mail: self
                .read(&mut complaints, "mail", "an object with node, gateway, auto_reply", MailValues::read)
                .unwrap_or_default(),
        };
        let _ = self.read(&mut complaints, API_KEY, "a text", optional_text);
        (values, complaints)
    }

    /// A key that an older release stored here. It stands apart from [`Values`] because it must not be shown.
    pub fn legacy_key(&self) -> Option<String> {
        self.get(API_KEY).and_then(|raw| serde_json::from_str(raw).ok())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, raw)| raw.get())
    }

    fn put(&mut self, key: String, raw: Box<RawValue>) {
        match self.entries.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = raw,
            None => self.entries.push((key, raw)),
        }
    }

    fn read<T>(
        &self,
        complaints: &mut Vec<WrongType>,
        key: &'static str,
        expected: &'static str,
        pick: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let raw = self.get(key)?;
        let value = serde_json::from_str::<Value>(raw).ok().and_then(|value| pick(&value));
        if value.is_none() {
            complaints.push(WrongType { key, expected });
        }
        value
    }
}

impl fmt::Debug for Settings {
    /// Names only: the values may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.iter().map(|(key, _)| key)).finish()
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Settings, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Settings;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
                let mut settings = Settings::default();
                while let Some((key, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Of a name that stands twice the last value counts, as in Python.
                    settings.put(key, raw);
                }
                Ok(settings)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl Serialize for Settings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_map().serialize(serializer)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn optional_text(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        _ => None,
    }
}

fn effort(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::String(level) if EFFORTS.contains(&level.as_str()) => Some(Some(level.clone())),
        _ => None,
    }
}

/// 0 means "no pause of its own", as 0.5.10 stores it.
fn workspace_reads(value: &Value) -> Option<WorkspaceReads> {
    match value.as_str()? {
        "free" => Some(WorkspaceReads::Free),
        "seed" => Some(WorkspaceReads::Seed),
        _ => None,
    }
}

fn hops(value: &Value) -> Option<Option<u32>> {
    match value {
        Value::Null => Some(None),
        _ => value.as_u64().map(|n| u32::try_from(n).unwrap_or(u32::MAX)).map(|n| (n > 0).then_some(n)),
    }
}

/// Appends JSON text with everything outside ASCII escaped, so that no reader's locale matters.
fn push_ascii(out: &mut String, json: &str) {
    for character in json.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fresh_file() {
        insta::assert_snapshot!(Settings::fresh().to_text());
    }

    #[test]
    fn unknown_values_survive_byte_for_byte_and_in_order() {
        let text = "{\n  \"z\": 1e400,\n  \"a\": [1,  2.50, 123456789012345678901234567890],\n  \"s\": \"\\ud800\",\n  \"model\": \"x/y\"\n}";
        let mut settings = Settings::parse(text).unwrap();
        assert_eq!(settings.to_text(), text);
        settings.set("model", &json!("z"));
        settings.set("new", &json!({"k": "é😀"}));
        let changed = text
            .replace("\"x/y\"", "\"z\"")
            .replace("\n}", ",\n  \"new\": {\"k\":\"\\u00e9\\ud83d\\ude00\"}\n}");
        assert_eq!(settings.to_text(), changed);
        assert_eq!(Settings::parse(&changed).unwrap().to_map()["new"], json!({"k": "é😀"}));
    }

    #[test]
    fn the_key_is_read_and_never_written() {
        let settings = Settings::parse(r#"{"api_key": "rsk_secret", "model": "m"}"#).unwrap();
        assert_eq!(settings.legacy_key().as_deref(), Some("rsk_secret"));
        assert_eq!(settings.to_text(), "{\n  \"model\": \"m\"\n}");
        assert!(!format!("{settings:?}").contains("rsk_secret"));
        assert_eq!(Settings::parse(r#"{"api_key": ""}"#).unwrap().to_text(), "{}");
    }

    #[track_caller]
    fn complains(text: &str, want: &[&str]) {
        let (_, complaints) = Settings::parse(text).unwrap().values();
        assert_eq!(complaints.iter().map(|c| c.key).collect::<Vec<_>>(), want, "{text}");
    }

    #[test]
    fn wrong_types_are_named() {
        complains("{}", &[]);
        complains(r#"{"model": null, "optimize": "abc"}"#, &["model", "optimize"]);
        complains(
            r#"{"system": 5, "route": false, "auto_route": "yes"}"#,
            &["system", "route", "auto_route"],
        );
        complains(r#"{"fallback_models": ["a", 1], "optimize": true}"#, &["fallback_models", "optimize"]);
        complains(
            r#"{"reasoning_effort": "max", "max_hops": -1, "api_key": 5}"#,
            &["reasoning_effort", "max_hops", "api_key"],
        );
        complains(r#"{"reasoning_effort": null, "max_hops": 0, "api_key": null, "route": null}"#, &[]);
        complains(r#"{"optimize": 3, "custom": 5, "base_url": 5, "workspace_reads": "seed"}"#, &[]);
        complains(r#"{"workspace_reads": true}"#, &["workspace_reads"]);
    }

    #[test]
    fn values_as_they_act() {
        let text = r#"{"model": " ", "route": "", "optimize": 3, "max_hops": 40, "base_url": []}"#;
        let (values, _) = Settings::parse(text).unwrap().values();
        assert_eq!(values.model, DEFAULT_MODEL);
        assert_eq!((values.route, values.optimize, values.max_hops), (None, 0.95, Some(40)));
        assert_eq!(values.base_url, None);
    }

    #[test]
    fn filling_mends_wrong_types() {
        let text = r#"{"optimize": "abc", "max_hops": "x", "custom": 1, "base_url": 5}"#;
        let mut settings = Settings::parse(text).unwrap();
        settings.fill();
        let map = settings.to_map();
        assert_eq!(map["optimize"], json!(0.0));
        assert_eq!(map["base_url"], json!(5));
        assert!(!map.contains_key("max_hops"));
        assert_eq!(map.keys().take(2).collect::<Vec<_>>(), ["optimize", "custom"]);
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for text in ["", "not json", "[]", "null", "5", "\"s\"", "{\"model\":", "{} x"] {
            assert!(Settings::parse(text).is_err(), "{text}");
        }
        assert!(Settings::parse("\u{feff}{}").is_ok());
        let last = Settings::parse(r#"{"a": 1, "b": 2, "a": 3}"#).unwrap();
        assert_eq!(last.to_text(), "{\n  \"a\": 3,\n  \"b\": 2\n}");
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC{0,80}|\\{(\"[a-z_]{0,9}\": ?(null|1|\"x\"|\\[\\]),?){0,4}\\}") {
            if let Ok(mut settings) = Settings::parse(&text) {
                let _ = settings.values();
                settings.fill();
                let again = Settings::parse(&settings.to_text()).unwrap();
                prop_assert_eq!(again.to_text(), settings.to_text());
                prop_assert!(again.values().1.is_empty());
            }
        }
    }
}
