//! The model catalogue: context sizes and prices, and how an echoed model name finds its row.
use serde_json::Value;

/// A body that is no catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model list is neither an array nor an object with `data`; check the base URL")]
pub struct CatalogError;

/// Prices in USD for one million tokens; `None` where the catalogue has no readable number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pricing {
    /// Fresh prompt tokens.
    pub prompt_per_million: Option<f64>,
    /// Completion tokens.
    pub completion_per_million: Option<f64>,
    /// Prompt tokens read from the provider's cache.
    pub cache_read_per_million: Option<f64>,
    /// Percentage off, 0 to 100.
    pub discount_percent: f64,
}

/// One row of the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Name to ask for, mostly `provider/name`.
    pub id: String,
    /// Name for people, when the catalogue has one.
    pub name: Option<String>,
    /// Size of the context in tokens (`context_length`, else `context_window`).
    pub context_tokens: Option<u64>,
    /// Whether the row says that it costs nothing.
    pub is_free: bool,
    /// Whether the row says that it takes tools; known to be wrong for several models, so never a gate.
    pub supports_tools: Option<bool>,
    /// Whether the row says that it thinks; known to be wrong for several models, so never a gate.
    pub supports_thinking: Option<bool>,
    /// Kinds of input (`text`, `image`, ..).
    pub input_modalities: Vec<String>,
    /// Prices.
    pub pricing: Pricing,
}

/// The rows of `GET /models`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    models: Vec<Model>,
}

impl Model {
    /// Reads one row; a value without a non-empty `id` gives `None`, odd fields count as not given.
    pub fn from_value(row: &Value) -> Option<Model> {
        let id = row.get("id")?.as_str().filter(|id| !id.is_empty())?.to_owned();
        let name = row.get("name").and_then(Value::as_str).map(str::to_owned);
        let context_tokens = ["context_length", "context_window"]
            .iter()
            .find_map(|key| row.get(*key).and_then(number).filter(|n| *n >= 1.0))
            .map(|n| n as u64);
        let input_modalities = row
            .get("input_modalities")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        Some(Model {
            id,
            name,
            context_tokens,
            is_free: row.get("is_free").and_then(Value::as_bool).unwrap_or(false),
            supports_tools: row.get("supports_tools").and_then(Value::as_bool),
            supports_thinking: row.get("supports_thinking").and_then(Value::as_bool),
            input_modalities,
            pricing: row.get("pricing").map(Pricing::from_value).unwrap_or_default(),
        })
    }
}

impl Pricing {
    /// Reads the `pricing` object: decimal strings or numbers, per million or (times 1,000) per thousand tokens.
    pub fn from_value(pricing: &Value) -> Pricing {
        let price = |stem: &str| {
            let per = |unit: &str| pricing.get(format!("{stem}_usd_per_{unit}")).and_then(number);
            per("1m").or_else(|| per("1k").map(|n| n * 1_000.0))
        };
        Pricing {
            prompt_per_million: price("prompt"),
            completion_per_million: price("completion"),
            cache_read_per_million: price("cache_read_input"),
            discount_percent: pricing.get("discount_pct").and_then(number).unwrap_or(0.0).clamp(0.0, 100.0),
        }
    }
}

impl Catalog {
    /// Takes rows that were read before.
    pub fn new(models: Vec<Model>) -> Catalog {
        Catalog { models }
    }

    /// Reads an array of rows, or an object with the array under `data`; rows without an id are left out.
    ///
    /// # Errors
    /// Neither of the two shapes.
    pub fn from_value(body: &Value) -> Result<Catalog, CatalogError> {
        let rows = body.as_array().or_else(|| body.get("data")?.as_array()).ok_or(CatalogError)?;
        Ok(Catalog { models: rows.iter().filter_map(Model::from_value).collect() })
    }

    /// All rows in the order of the catalogue.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Returns the row for a model name: exact id, else same last path segment, else the longest id that begins it. A dot counts
    /// as a dash where nothing is the same with it: makers write `claude-opus-4-8` of what gateways call `claude-opus-4.8`.
    ///
    /// The echoed `model` may be an upstream's build id: `gpt-4o-mini-2024-07-18` is `openai/gpt-4o-mini`. A prefix counts
    /// only up to a separator, so that `gpt-4` never prices `gpt-4o`.
    pub fn lookup(&self, name: &str) -> Option<&Model> {
        if name.is_empty() {
            return None;
        }
        let last = last_segment(name);
        self.models
            .iter()
            .find(|model| model.id == name)
            .or_else(|| self.models.iter().find(|model| last_segment(&model.id) == last))
            .or_else(|| {
                let last = dashed(last);
                self.models.iter().find(|model| dashed(last_segment(&model.id)) == last)
            })
            .or_else(|| {
                let last = dashed(last);
                let begins = |model: &&Model| {
                    let stem = dashed(last_segment(&model.id));
                    !stem.is_empty()
                        && last
                            .strip_prefix(&stem)
                            .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
                };
                // `max_by_key` would take the last of equals; the first row wins as in the steps above.
                self.models.iter().filter(begins).rev().max_by_key(|model| last_segment(&model.id).len())
            })
    }

    /// Size of a model's context in tokens, when the catalogue knows it.
    pub fn context_tokens(&self, name: &str) -> Option<u64> {
        self.lookup(name)?.context_tokens
    }
}

fn dashed(name: &str) -> String {
    name.replace('.', "-")
}

fn last_segment(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// A finite number, or a decimal string that holds one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn catalog(ids: &[&str]) -> Catalog {
        let rows: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
        Catalog::from_value(&json!({"data": rows})).unwrap()
    }

    #[track_caller]
    fn check(ids: &[&str], name: &str, want: Option<&str>) {
        assert_eq!(catalog(ids).lookup(name).map(|model| model.id.as_str()), want, "{name} in {ids:?}");
    }

    #[test]
    fn an_echoed_name_finds_its_row() {
        let ids = ["openai/gpt-4o", "openai/gpt-4o-mini", "other/gpt-4o-mini", "gpt-4"];
        check(&ids, "other/gpt-4o-mini", Some("other/gpt-4o-mini"));
        check(&ids, "gpt-4o-mini", Some("openai/gpt-4o-mini"));
        check(&ids, "elsewhere/gpt-4o", Some("openai/gpt-4o"));
        check(&ids, "gpt-4o-mini-2024-07-18", Some("openai/gpt-4o-mini"));
        check(&ids, "gpt-4o-2024-08-06", Some("openai/gpt-4o"));
        check(&ids, "gpt-4.1", Some("gpt-4"));
        check(&ids, "gpt-45", None);
        check(&ids, "", None);
        check(&["p/"], "x", None);
        let ids = ["anthropic/claude-opus-4", "anthropic/claude-opus-4.8"];
        check(&ids, "claude-opus-4-8", Some("anthropic/claude-opus-4.8"));
        check(&ids, "claude-opus-4-8-20260101", Some("anthropic/claude-opus-4.8"));
        check(&ids, "claude-opus-4-20250514", Some("anthropic/claude-opus-4"));
    }

    #[test]
    fn rows_with_odd_fields_are_read_as_far_as_they_go() {
        let row = json!({"id": "a/b", "context_length": "oops", "context_window": "32000", "is_free": "yes",
            "supports_tools": true, "input_modalities": ["text", 7, "image"], "name": null,
            "pricing": {"prompt_usd_per_1k": "0.003", "completion_usd_per_1m": 15, "discount_pct": 150,
                "cache_read_input_usd_per_1m": "nan"}});
        let model = Model::from_value(&row).unwrap();
        assert_eq!(model.context_tokens, Some(32_000));
        assert_eq!((model.is_free, model.supports_tools, model.supports_thinking), (false, Some(true), None));
        assert_eq!(model.input_modalities, ["text", "image"]);
        let want = Pricing {
            prompt_per_million: Some(3.0),
            completion_per_million: Some(15.0),
            cache_read_per_million: None,
            discount_percent: 100.0,
        };
        assert_eq!(model.pricing, want);
    }

    #[test]
    fn a_catalogue_is_a_list_or_has_one() {
        assert_eq!(Catalog::from_value(&json!([{"id": "a"}, {"id": ""}, 7, {}])).unwrap().models().len(), 1);
        for nonsense in [json!({}), json!(null), json!({"data": {}}), json!("a")] {
            assert_eq!(Catalog::from_value(&nonsense), Err(CatalogError), "{nonsense}");
        }
    }
}
