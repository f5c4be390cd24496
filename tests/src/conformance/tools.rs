//! The set `tools`: calls of the built-in tools, their schemas, and the plan.

use std::{collections::BTreeMap, path::Path, time::Duration};

use mesh_agent::{
    ToolOutput,
    builtin::{RunBash, Servers},
    plan::{self, Plan},
    tool::{
        Args,
        args::{Prepared, prepare_call},
        output::COMMAND_OUTPUT_CHARS,
    },
};
use serde_json::{Map, Value, json};

use super::{
    Outcome, folders, list, object, output, text,
    toolbox::{REFERENCE, Toolbox, context},
};

/// What stands for a file that is no text.
const NO_TEXT: &str = "!UnicodeDecodeError";

pub(super) async fn execute(input: &Value) -> Outcome {
    let (cwd, home) = folders(input)?;
    let (name, patch) = (text(input, "name"), &input["patch"]["BASH_TIMEOUT"]);
    let limit = patch.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let servers = Servers::new(Some(home.join(".meshapi")));
    let toolbox = Toolbox::with_servers(&servers);
    let before = files(&cwd);
    let Some(tool) = toolbox.tool(&name, limit) else {
        return output(failed("unknown_tool"));
    };
    let Prepared { args, feedback, .. } = prepare_call(toolbox.spec(&name), &text(input, "arguments"));
    let result = match feedback {
        Some(text) => ToolOutput { text, is_error: true, ..ToolOutput::default() },
        None => tool.run(&args, &context(&cwd, &home)).await,
    };
    servers.kill_all().await;
    let mut said = described(&result);
    if said["why"] == "timeout" {
        let run = limit.map_or_else(RunBash::new, RunBash::with_default_limit);
        said["limit_s"] = json!(run.limit(&args).as_secs());
    }
    let after = files(&cwd).into_iter().filter(|(path, bytes)| before.get(path) != Some(bytes));
    said["files"] = shown(after);
    output(said)
}

fn failed(why: &str) -> Value {
    json!({"kind": "error", "text": null, "why": why, "files": {}})
}

/// A result by kinds and figures: the words of errors and notices are ours alone.
fn described(result: &ToolOutput) -> Value {
    let text = result.text.as_str();
    if result.is_error {
        return failed(reason(text));
    }
    // The notice on what is not there is the last line of a cut file, and a line in the midst of cut output.
    if let Some(chars) = text.lines().last().and_then(cut_after) {
        return json!({"kind": "ok", "text": null, "truncated": true, "body_chars": chars});
    }
    let mut said = json!({"kind": "ok", "text": text, "chars": text.chars().count()});
    if result.exit_code.is_some() && text.lines().any(is_gap) {
        said["truncated"] = json!(true);
    }
    said
}

fn reason(text: &str) -> &'static str {
    let rules = [
        ("requires a `", "missing_argument"),
        ("was not executed", "bad_argument"),
        ("is an image file", "image"),
        ("timed out after", "timeout"),
    ];
    rules.iter().find(|(words, _)| text.contains(words)).map_or("io", |(_, why)| why)
}

/// `[lines 1-4 of 9 (..): cut after 80000 characters; ..]`
fn cut_after(line: &str) -> Option<u64> {
    let rest = line.strip_prefix('[')?.split_once(": cut after ")?.1;
    rest.split_once(" characters")?.0.parse().ok()
}

/// `[... 12345 characters left out ...]`
fn is_gap(line: &str) -> bool {
    line.starts_with("[... ") && line.ends_with(" characters left out ...]")
}

/// All files below a folder by their path in it.
pub(super) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                waiting.push(path);
            } else if path.is_file()
                && let (Ok(bytes), Ok(name)) = (std::fs::read(&path), path.strip_prefix(folder))
            {
                found.insert(name.to_string_lossy().replace('\\', "/"), bytes);
            }
        }
    }
    found
}

/// Files as the records show them.
pub(super) fn shown(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Value {
    let text = |bytes| String::from_utf8(bytes).unwrap_or_else(|_| NO_TEXT.to_owned());
    files.into_iter().map(|(path, bytes)| (path, Value::from(text(bytes)))).collect::<Map<_, _>>().into()
}

/// The tools as the model sees them, as far as the reference has them, without descriptions.
pub(super) fn schema(toolbox: &Toolbox) -> Outcome {
    let specs = toolbox.set().specs().filter_map(|spec| {
        let (_, known) = REFERENCE.iter().find(|(name, _)| *name == spec.name)?;
        let mut parameters: Value = serde_json::from_str(spec.parameters).ok()?;
        without_descriptions(&mut parameters);
        if let Some(properties) = parameters["properties"].as_object_mut() {
            properties.retain(|name, _| known.contains(&name.as_str()));
        }
        Some((spec.name, json!({"name": spec.name, "parameters": parameters})))
    });
    let specs: Vec<(&str, Value)> = specs.collect();
    let plan_tools = specs.iter().map(|(name, _)| *name).filter(|name| plan::is_plan_tool(name));
    output(json!({
        "plan_tools": plan_tools.collect::<Vec<_>>(),
        "tools": specs.iter().map(|(_, f)| json!({"type": "function", "function": f})).collect::<Vec<_>>(),
        "output_limit": COMMAND_OUTPUT_CHARS,
        "bash_timeout": RunBash::new().limit(&Args::new()).as_secs(),
    }))
}

fn without_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // A property may be called so; then it is a schema and no text.
            members.retain(|name, value| name != "description" || value.is_object());
            members.values_mut().for_each(without_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_descriptions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Calls of the plan's tools, one after the other.
pub(super) fn plan(input: &Value) -> Outcome {
    let mut plan = None;
    let calls = list(input, "calls").iter().map(|call| {
        let name = call[0].as_str().unwrap_or_default();
        let result = plan::answer(&mut plan, name, &object(&call[1]));
        let is_update = !result.is_error && name == plan::UPDATE_STEP.name;
        json!({
            "result": if result.is_error { "error" } else { "ok" },
            "text": is_update.then_some(result.text),
            "steps": plan.as_ref().map(steps),
        })
    });
    let calls: Vec<Value> = calls.collect();
    output(json!({ "calls": calls }))
}

/// Steps as pairs of title and status.
pub(super) fn steps(plan: &Plan) -> Vec<Value> {
    plan.steps().iter().map(|step| json!([step.title, step.status.as_str()])).collect()
}
