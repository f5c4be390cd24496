//! The profile `reference` does what the reference implementations do; what the rows mean stands in `fixtures/README.md`.

mod rows;

use mesh_optimize::{
    Dial, Dialect,
    reference::{self, Caps, Lever, Model, Plan},
};
use rows::{dialect, rows};
use serde_json::{Value, json};

/// The JSON text, in which a number has one spelling whatever its Rust type.
fn text(value: &Value) -> String {
    fn spelt(value: &Value) -> Value {
        match value {
            Value::Number(number) => json!(number.as_f64()),
            Value::Array(items) => items.iter().map(spelt).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), spelt(value))).collect()
            }
            other => other.clone(),
        }
    }
    spelt(value).to_string()
}

#[test]
fn requests_are_prepared_as_the_references_do() {
    for row in rows(include_str!("fixtures/prepare.jsonl")) {
        let caps = if row["caps"] == "early" { Caps::EARLY } else { Caps::newest(dialect(&row)) };
        let default = row.get("default_dial").map(Dial::from_json);
        let mut body = row["request"].clone();
        let plan = reference::prepare_in_place(&mut body, default, dialect(&row), caps);
        match row.get("untouched") {
            Some(why) => {
                assert_eq!(
                    (json!(plan.untouched), &body),
                    (why.clone(), &row["request"]),
                    "{}",
                    row["about"]
                );
            }
            None => {
                assert_eq!(text(&body), text(&row["body"]), "{}: {}", row["about"], row["request"]);
                assert_eq!(text(&plan.to_json()), text(&row["plan"]), "{}: {}", row["about"], row["request"]);
            }
        }
    }
}

#[test]
fn receipts_are_the_references() {
    for row in rows(include_str!("fixtures/savings.jsonl")) {
        let plan = Plan {
            model: row["plan"].get("model").cloned(),
            levers: levers(&row["plan"]["leversApplied"]),
            tokens_removed: row["plan"]["estimatedTokensRemoved"].as_u64().unwrap(),
            ..Plan::new(Dialect::Utf16)
        };
        let attached = reference::attach_savings(&plan, &row["response"]);
        assert_eq!(text(&attached["mesh_savings"]), text(&row["savings"]), "{row}");
    }
}

#[test]
fn lines_are_the_references() {
    for row in rows(include_str!("fixtures/line.jsonl")) {
        let plan = Plan {
            dial: row["plan"]["dial"].as_number().cloned(),
            levers: levers(&row["plan"]["levers_applied"]),
            tokens_removed: row["plan"]["tokens_pruned_est"].as_u64().unwrap_or(0),
            ..Plan::new(Dialect::CodePoints)
        };
        assert_eq!(reference::savings_line(&plan, &row["usage"]), row["line"], "{row}");
    }
}

fn levers(names: &Value) -> Vec<Lever> {
    serde_json::from_value(names.clone()).expect("levers have their names")
}

#[test]
fn models_are_known_as_in_the_references() {
    for row in rows(include_str!("fixtures/models.jsonl")) {
        let model = Model::new(row["model"].as_str().unwrap());
        assert_eq!(model.as_str(), row["normalized"], "{row}");
        assert_eq!(model.cache_minimum(), row["cache_minimum"], "{row}");
        assert_eq!(
            (json!(model.is_anthropic()), json!(model.is_fable())),
            (row["anthropic"].clone(), row["fable"].clone())
        );
        assert_eq!(model.price().map(|price| text(&json!(price))), row.get("pricing").map(text), "{row}");
    }
}

#[test]
fn old_results_survive_when_they_are_short_or_the_dial_is_low() {
    for (units, dial, survives) in
        [(800, 0.95, true), (801, 0.2, false), (801, 0.19, true), (1_000_000, 0.0, true), (0, 0.95, true)]
    {
        assert_eq!(reference::survives_pruning(units, dial), survives, "{units} {dial}");
    }
}
