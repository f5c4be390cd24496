//! The sets `optimize-ts` and `optimize-py`: the published optimisers, as the `reference` profile of mesh-optimize has them.
//!
//! Inputs are borrowed there, so that they cannot change: `input_unchanged` needs no look.

use mesh_optimize::{
    Dial, Dialect, TaskClass, estimate, estimate_conversation,
    reference::{self, Lever, Model, Plan, Untouched},
};
use serde_json::{Value, json};

use super::{Answer, NOT_BUILT, Outcome, list, object, output};

/// The TypeScript package.
pub(super) fn typescript(op: &str, input: &Value) -> Outcome {
    const DIALECT: Dialect = Dialect::Utf16;
    match op {
        "prepare" => {
            let request = &input["request"];
            let default = input.get("default_dial").map(Dial::from_json);
            let (body, plan) = reference::prepare(request, default, DIALECT);
            understood(&plan)?;
            let (body_again, plan_again) = reference::prepare(request, default, DIALECT);
            let is_same = (plan_again, body_again.to_string()) == (plan.clone(), body.to_string());
            output(json!({
                "request": body, "plan": plan.to_json(), "input_unchanged": true, "deterministic": is_same,
            }))
        }
        "savings" => output(json!({"savings": reference::savings(&plan_of(input)?, &input["response"])})),
        "attach" => {
            let response = reference::attach_savings(&plan_of(input)?, &input["response"]);
            output(json!({"response": response, "input_unchanged": true}))
        }
        "classify" => output(json!({"class": TaskClass::of_request(&input["request"], DIALECT)})),
        "estimate" => output(json!({"tokens": estimate(&input["value"], DIALECT).tokens})),
        "estimate_conversation" => {
            output(json!({"tokens": estimate_conversation(list(input, "messages"), DIALECT).tokens}))
        }
        "pricing" => {
            let model = model_of(input);
            let mut found = object(&json!({"normalized": model.as_str()}));
            if let Some(price) = model.price() {
                found.insert("pricing".to_owned(), json!(price));
            }
            found.insert("cache_minimum".to_owned(), json!(model.cache_minimum()));
            found.insert("anthropic".to_owned(), json!(model.is_anthropic()));
            found.insert("fable".to_owned(), json!(model.is_fable()));
            output(Value::Object(found))
        }
        _ => Ok(Answer::Skip(NOT_BUILT)),
    }
}

/// The Python releases.
pub(super) fn python(op: &str, input: &Value) -> Outcome {
    const DIALECT: Dialect = Dialect::CodePoints;
    let has_tools = input["has_tools"] == true;
    match op {
        "prepare" => prepare_messages(input, has_tools),
        "savings_line" => output(json!({"line": reference::savings_line(&plan_of(input)?, &input["usage"])})),
        "classify" => {
            output(json!({"class": TaskClass::of_messages(list(input, "messages"), has_tools, DIALECT)}))
        }
        "model" => {
            let model = model_of(input);
            output(json!({"normalized": model.as_str(), "cache_minimum": model.cache_minimum()}))
        }
        "est" => output(json!({"tokens": estimate(&input["value"], DIALECT).tokens})),
        "survives" => {
            let units = input["chars"].as_u64().ok_or("`chars` is no length")?;
            let dial = input["dial"].as_f64().ok_or("`dial` is no number")?;
            let units = usize::try_from(units).map_err(|error| error.to_string())?;
            output(json!({"survives": reference::survives_pruning(units, dial)}))
        }
        _ => Ok(Answer::Skip(NOT_BUILT)),
    }
}

/// The Python releases prepare messages, and say apart which fields the request gets besides.
fn prepare_messages(input: &Value, has_tools: bool) -> Outcome {
    let tools: &[Value] = if has_tools { &[json!({})] } else { &[] };
    let request = json!({
        "model": input["model"], "messages": input["messages"], "tools": tools, "mesh_optimize": input["dial"],
    });
    let (body, plan) = reference::prepare(&request, None, Dialect::CodePoints);
    understood(&plan)?;
    let mut extra = object(&body);
    extra.retain(|field, _| request.get(field).is_none());
    output(json!({
        "messages": body["messages"], "extra": extra, "plan": plan.to_json(), "input_unchanged": true,
    }))
}

/// The originals fail on what we pass on untouched.
fn understood(plan: &Plan) -> Result<(), String> {
    match plan.untouched {
        None | Some(Untouched::Off) => Ok(()),
        Some(why) => Err(json!(why).to_string()),
    }
}

fn model_of(input: &Value) -> Model {
    Model::new(input["model"].as_str().unwrap_or_default())
}

/// Reads a plan in either shape.
fn plan_of(input: &Value) -> Result<Plan, String> {
    let field = |names: [&str; 2]| names.iter().find_map(|name| input["plan"].get(*name));
    let levers = field(["leversApplied", "levers_applied"]).cloned().unwrap_or_else(|| json!([]));
    let levers: Vec<Lever> = serde_json::from_value(levers).map_err(|error| error.to_string())?;
    Ok(Plan {
        dial: input["plan"]["dial"].as_number().cloned(),
        model: input["plan"].get("model").cloned(),
        levers,
        tokens_removed: field(["estimatedTokensRemoved", "tokens_pruned_est"])
            .and_then(Value::as_u64)
            .unwrap_or(0),
        ..Plan::new(Dialect::default())
    })
}
