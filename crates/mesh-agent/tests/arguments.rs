//! Argument repair and checks against the recorded vectors in `fixtures/arguments.jsonl`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use mesh_agent::{
    builtin::{ReadFile, WriteFile},
    tool::{
        Tool, ToolSpec,
        args::{self, RepairError},
    },
};
use serde_json::{Value, json};

/// Tools whose home is elsewhere; the vectors only need their arguments.
const OTHERS: &[ToolSpec] = &[
    other(
        "run_bash",
        &["command"],
        r#"{"type":"object","properties":{"command":{"type":"string"},"timeout":{"type":"integer"}},"required":["command"]}"#,
    ),
    other(
        "start_server",
        &["command"],
        r#"{"type":"object","properties":{"command":{"type":"string"},"port":{"type":"integer"},"cwd":{"type":"string"},"wait_seconds":{"type":"integer"}},"required":["command"]}"#,
    ),
    other(
        "web_search",
        &["query"],
        r#"{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}"#,
    ),
    other(
        "create_plan",
        &[],
        r#"{"type":"object","properties":{"steps":{"type":"array","items":{"type":"string"}}},"required":["steps"]}"#,
    ),
    other(
        "update_step",
        &[],
        r#"{"type":"object","properties":{"index":{"type":"integer"},"status":{"type":"string","enum":["in_progress","completed","blocked"]}},"required":["index","status"]}"#,
    ),
];

const fn other(name: &'static str, required: &'static [&'static str], parameters: &'static str) -> ToolSpec {
    ToolSpec { name, description: "", parameters, required }
}

fn spec(name: &str) -> Option<ToolSpec> {
    let ours = [*ReadFile.spec(), *WriteFile.spec()];
    ours.iter().chain(OTHERS).find(|spec| spec.name == name).copied()
}

fn answer(input: &Value) -> Value {
    let text = |name: &str| input[name].as_str().unwrap();
    let number = |name: &str| input[name].as_u64().and_then(|number| usize::try_from(number).ok());
    match text("op") {
        "repair" => match args::repair(text("raw")) {
            Ok(repaired) => json!({"repaired": repaired, "reason": null}),
            Err(RepairError::Truncated) => json!({"repaired": null, "reason": "truncated"}),
            Err(RepairError::Unrepairable) => json!({"repaired": null, "reason": "unrepairable"}),
        },
        "prepare_call" => {
            let prepared = args::prepare_call(spec(text("name")).as_ref(), text("arguments"));
            json!({"kind": prepared.kind.as_str(), "args": prepared.args, "history_args": prepared.history_args, "pos": prepared.pos})
        }
        "validate" => {
            let given = input["arguments"].as_object().unwrap();
            json!({"ok": spec(text("name")).is_none_or(|spec| args::validate(&spec, given).is_ok())})
        }
        "err_ctx" => {
            let radius = number("radius").unwrap_or(args::WINDOW_CHARS);
            json!({"text": args::error_window(text("raw"), number("pos").unwrap(), radius)})
        }
        "hint" => json!({"text": spec(text("name")).map_or_else(String::new, |spec| args::hint(&spec))}),
        other => panic!("unknown operation {other}"),
    }
}

fn accepts(want: &Value, got: &Value) -> bool {
    match (want, got) {
        (Value::Object(want), _) if want.contains_key("$any") => true,
        (Value::Object(want), Value::Object(got)) => {
            want.len() == got.len()
                && want.iter().all(|(name, want)| got.get(name).is_some_and(|got| accepts(want, got)))
        }
        (Value::Number(want), Value::Number(got)) => want.as_f64() == got.as_f64(),
        _ => want == got,
    }
}

#[test]
fn every_vector_is_met() {
    let mut count = 0;
    for line in include_str!("fixtures/arguments.jsonl").lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let got = answer(&record["input"]);
        let accepted = record["want"].as_array().unwrap().iter().any(|want| accepts(want, &got));
        assert!(accepted, "{}\n got {got}\nwant {}", record["input"], record["want"]);
        count += 1;
    }
    assert!(count > 400, "only {count} vectors were read");
}
