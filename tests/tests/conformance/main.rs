//! The adapter over a telling part of the shared vectors; `fixtures/README.md` says where they come from.
#![cfg(unix)]

mod compare;
mod fixture;
mod program;

use std::path::Path;

use serde_json::{Value, json};

use compare::{Mode, difference};
use fixture::Fixture;
use program::Program;

/// Has every record of a file answered and names those whose answer is none of the accepted ones.
#[track_caller]
fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/conformance").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut program = Program::start();
    let records = text.split('\n').filter(|line| !line.is_empty());
    let records: Vec<Value> = records.map(|line| serde_json::from_str(line).expect("a record")).collect();
    let wrong: Vec<String> = records.iter().filter_map(|record| wrong(&mut program, record)).collect();
    assert!(wrong.is_empty(), "{} of {} in {file}:\n{}", wrong.len(), records.len(), wrong.join("\n"));
}

/// What is wrong with the answer to a record.
fn wrong(program: &mut Program, record: &Value) -> Option<String> {
    let fixture = Fixture::of(&record["input"]);
    let answer = program.ask(&json!({"set": record["set"], "id": record["id"], "input": fixture.input()}));
    if answer.get("skip").is_some() {
        return Some(format!("{}: skipped: {}", record["id"], answer["skip"]));
    }
    let output = fixture.portable(&answer["output"]);
    let mode = if record["compare"] == "subset" { Mode::Subset } else { Mode::Exact };
    let first = difference(&record["want"], &output, mode)?;
    let mut others = record["also_ok"].as_array().into_iter().flatten();
    let fits_other = others.any(|other| difference(other, &output, mode).is_none());
    (!fits_other).then(|| format!("{}: {first}", record["id"]))
}

#[test]
fn agent() {
    check("agent.jsonl");
}

#[test]
fn commands() {
    check("commands.jsonl");
}

#[test]
fn config() {
    check("config.jsonl");
}

#[test]
fn loops() {
    check("loop.jsonl");
}

#[test]
fn mailbox() {
    check("mailbox.jsonl");
}

#[test]
fn optimize() {
    check("optimize.jsonl");
}

#[test]
fn permissions() {
    check("permissions.jsonl");
}

#[test]
fn render() {
    check("render.jsonl");
}

#[test]
fn stream() {
    check("stream.jsonl");
}

#[test]
fn attachments() {
    check("attachments.jsonl");
}

#[test]
fn tools() {
    check("tools.jsonl");
}

/// Odd input gets an answer: no operation panics or hangs on what its records never hold.
#[test]
fn odd_input_gets_an_answer() {
    let mut program = Program::start();
    let operations = [
        ("mailbox", "name"),
        ("mailbox", "peers_shape"),
        ("mailbox", "secret"),
        ("attachments", "find_images"),
        ("attachments", "load_image"),
        ("attachments", "loop"),
        ("stream", "stream"),
        ("commands", "command"),
        ("config", "config"),
        ("config", "history"),
        ("tools", "execute"),
        ("tools", "plan_tools"),
        ("loop", "loop"),
        ("agent", "accum"),
        ("agent", "repair"),
        ("agent", "prepare_call"),
        ("agent", "validate"),
        ("agent", "hint"),
        ("agent", "err_ctx"),
        ("agent", "inband"),
        ("agent", "status"),
        ("agent", "retry_after"),
        ("agent", "overflow"),
        ("agent", "backoff"),
        ("agent", "seal"),
        ("agent", "cost"),
        ("agent", "payload"),
        ("agent", "port"),
        ("optimize-ts", "prepare"),
        ("optimize-ts", "savings"),
        ("optimize-ts", "attach"),
        ("optimize-ts", "classify"),
        ("optimize-ts", "estimate"),
        ("optimize-ts", "estimate_conversation"),
        ("optimize-ts", "pricing"),
        ("optimize-py", "prepare"),
        ("optimize-py", "savings_line"),
        ("optimize-py", "classify"),
        ("optimize-py", "model"),
        ("optimize-py", "est"),
        ("optimize-py", "survives"),
        ("permissions", "mode_parse"),
        ("permissions", "cmd"),
        ("permissions", "url"),
        ("permissions", "read_safe"),
        ("permissions", "write_safe"),
        ("render", "fmt_usd"),
        ("render", "summarize"),
        ("render", "plan"),
        ("render", "toolbar"),
        ("render", "modeline"),
    ];
    let keys = [
        "source",
        "detail",
        "cols",
        "patch_safety",
        "responses",
        "commands",
        "session_cost",
        "pending",
        "models",
        "messages",
        "cfg",
        "tools",
        "steps",
        "entries",
        "env",
        "umask",
        "name",
        "arguments",
        "patch",
        "calls",
        "prompts",
        "script",
        "answers",
        "argv",
        "deltas",
        "raw",
        "pos",
        "radius",
        "message",
        "status",
        "header",
        "now",
        "attempt",
        "rng",
        "usage",
        "model",
        "command",
        "mode",
        "url",
        "dns",
        "path",
        "text",
        "value",
        "updates",
    ];
    let odd = [
        r#"null"#,
        r#"true"#,
        r#"-1"#,
        r#"1e300"#,
        r#""""#,
        r#""\u0000\ud7ff""#,
        r#"[]"#,
        r#"[null,[],{}]"#,
        r#"{}"#,
        r#"[[[]],[{"raise":5}]]"#,
        r#"{"a":{"b":[1]}}"#,
        r#"[{"body":[5,{"b64":"!"}],"status":70000,"splits":[-1]}]"#,
    ];
    for (set, op) in operations {
        let folder = tempfile::tempdir().expect("a folder");
        let mut odd_inputs =
            vec![json!({ "op": op }), json!({"op": op, "cwd": folder.path(), "home": folder.path()})];
        for value in odd {
            let value: Value = serde_json::from_str(value).expect("JSON");
            let mut input = odd_inputs[1].clone();
            for key in keys {
                input[key] = value.clone();
            }
            odd_inputs.push(input);
        }
        for input in odd_inputs {
            let answer = program.ask(&json!({"set": set, "id": "odd", "input": input}));
            let problem = answer["output"]["error"].as_str().unwrap_or_default();
            assert!(
                answer["id"] == "odd" && !problem.contains("fault inside"),
                "{set} {op} {input}: {answer}"
            );
        }
    }
}
