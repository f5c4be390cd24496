//! The set `render`: amounts, summaries, the plan and the rows of the terminal.

use mesh_agent::plan::{self, Plan};
use mesh_client::cost::fmt_usd_value;
use mesh_safety::PermissionMode;
use meshapi_cli::{confine::Standing, ui::toolbar};
use serde_json::{Value, json};

use super::{Answer, NOT_BUILT, Outcome, list, object, output, text, toolbox::Toolbox, tools};

pub(super) fn answer(toolbox: &Toolbox, op: &str, input: &Value) -> Outcome {
    match op {
        "fmt_usd" => output(json!({"text": fmt_usd_value(&input["value"])})),
        "summarize" => summarize(toolbox, input),
        "plan" => steps(input),
        "toolbar" => {
            let columns = input["cols"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(80);
            output(
                json!({"text": format!("{}\n", toolbar::row(mode(input), Standing::Unknown, 0, columns).plain())}),
            )
        }
        "modeline" => {
            let line = toolbar::mode_line(mode(input)).map(|line| line.plain().into_owned());
            output(json!({"lines": Vec::from_iter(line)}))
        }
        _ => Ok(Answer::Skip(NOT_BUILT)),
    }
}

fn mode(input: &Value) -> PermissionMode {
    input["mode"].as_str().and_then(PermissionMode::parse).unwrap_or_default()
}

fn summarize(toolbox: &Toolbox, input: &Value) -> Outcome {
    match toolbox.tool(&text(input, "name"), None) {
        Some(tool) => output(json!({"text": tool.summary(&object(&input["arguments"]))})),
        None => Ok(Answer::Skip("no summary of this tool yet")),
    }
}

fn steps(input: &Value) -> Outcome {
    let mut made = None;
    plan::answer(&mut made, plan::CREATE_PLAN.name, &object(&json!({"steps": input["steps"]})));
    let results: Vec<Value> = list(input, "updates")
        .iter()
        .map(|update| {
            let args = object(&json!({"index": update[0], "status": update[1]}));
            let result = plan::answer(&mut made, plan::UPDATE_STEP.name, &args);
            if result.is_error { json!(kind(&result.text, &update[0])) } else { Value::Null }
        })
        .collect();
    let done = made.as_ref().map_or(0, Plan::done);
    let steps = made.as_ref().map(tools::steps).unwrap_or_default();
    let open: Vec<usize> = made.iter().flat_map(Plan::open).map(|(number, _)| number).collect();
    output(json!({
        "summary": format!("({done}/{} done)", steps.len()),
        "steps": steps,
        "results": results,
        "complete": made.as_ref().is_some_and(Plan::is_complete),
        "incomplete": open,
        "reminder": made.as_ref().map(Plan::remaining).unwrap_or_default(),
    }))
}

/// What kind of complaint it is. Without a plan every index is out of its range.
fn kind(complaint: &str, index: &Value) -> &'static str {
    match complaint {
        _ if complaint.contains("whole number") => "type",
        _ if complaint.contains("`status`") => "status",
        _ if complaint.contains("no plan") && !index.is_i64() && !index.is_u64() => "type",
        _ => "range",
    }
}
