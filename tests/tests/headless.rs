//! Journeys through the headless run: prompts in, text or events out, exit codes, and what is left behind.
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

use mesh_client::scripted::{Reply, Script, ScriptedRequest};
use mesh_tests::lab::{KEY, Lab};
use serde_json::{Value, json};

fn says(text: &str) -> Reply {
    Reply::stream().text(text).usage(10, 3).cost("0.001").done()
}

fn calls(name: &str, arguments: &Value) -> Reply {
    Reply::stream().tool_call("call_1", name, &arguments.to_string(), 7).usage(10, 3).cost("0.001").done()
}

/// The tool results of a request, in order.
fn results(request: &ScriptedRequest) -> Vec<String> {
    let messages = request.json["messages"].as_array().unwrap();
    messages
        .iter()
        .filter(|m| m["role"] == "tool")
        .map(|m| m["content"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn text_goes_to_standard_output_and_progress_to_standard_error() {
    let lab = Lab::new(Script::in_order([
        calls("write_file", &json!({"path": "a.txt", "content": "hello\n"})),
        says("All \u{1b}[31mdone."),
    ]));
    let run = lab.run(&["-p", "write it", "--mode", "accept-edits"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "All ␛[31mdone.\n"));
    assert!(run.err.contains("⚙ write_file: a.txt (6 chars)"), "{}", run.err);
    assert!(run.err.contains("10→3 tok  •  $0.002000"), "{}", run.err);
    assert_eq!(std::fs::read_to_string(lab.work().join("a.txt")).unwrap(), "hello\n");
    assert_eq!(results(&lab.requests()[1]), ["OK — wrote 6 chars to a.txt"]);
}

#[test]
fn a_prompt_may_come_from_standard_input() {
    let lab = Lab::new(Script::in_order([says("ok")]));
    let run = lab.run_with_input(&["-p", "-"], "line one\nline two\n");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(lab.requests()[0].last_text("user"), "line one\nline two\n");
    let run = lab.run_with_input(&["-p", "-"], "  \n");
    assert_eq!(run.code, Some(2), "{}", run.err);
}

#[test]
fn each_line_is_a_prompt_of_one_session() {
    let lab = Lab::new(Script::in_order([says("one"), says("two")]));
    let run = lab.run_with_input(&[], "first\n\n/mode yolo\n/nope\nsecond\n/exit\nnever\n");
    assert_eq!((run.code, run.out.as_str()), (Some(0), "one\ntwo\n"));
    assert!(
        run.err.contains("Mode set to bypass") && run.err.contains("Unknown command: /nope"),
        "{}",
        run.err
    );
    let requests = lab.requests();
    let spoken = |role| requests[1].last_text(role);
    assert_eq!((requests.len(), spoken("assistant"), spoken("user")), (2, "one", "second"));
    assert_eq!(requests[0].connection, requests[1].connection);
}

#[test]
fn what_would_ask_is_refused_and_the_model_hears_why() {
    let call = calls("run_bash", &json!({"command": "touch x"}));
    let lab = Lab::new(Script::in_order([call, says("I could not.")]));
    let run = lab.run(&["-p", "go"]);
    assert_eq!(run.code, Some(3), "{}", run.err);
    assert!(results(&lab.requests()[1])[0].contains("needs approval"), "{:?}", results(&lab.requests()[1]));
    assert!(run.err.contains("⚙ run_bash: touch x\n  → denied: "), "{}", run.err);
    assert!(!lab.work().join("x").exists());
}

#[test]
fn reads_inside_the_workspace_run_unasked() {
    let lab = Lab::new(Script::in_order([
        calls("read_file", &json!({"path": "a.txt"})),
        calls("read_file", &json!({"path": "../home/secret"})),
        says("done"),
    ]));
    std::fs::write(lab.work().join("a.txt"), "inside").unwrap();
    std::fs::write(lab.home().join("secret"), "outside").unwrap();
    let run = lab.run(&["-p", "go"]);
    assert_eq!(run.code, Some(3), "{}", run.err);
    let results = results(&lab.requests()[2]);
    assert_eq!(results[0], "inside");
    assert!(results[1].contains("needs approval"), "{results:?}");
}

#[test]
fn the_hop_limit_is_a_pause() {
    let lab = Lab::new(Script::new(|_: &ScriptedRequest| calls("list_dir", &json!({}))));
    let run = lab.run(&["-p", "go", "--max-hops", "2"]);
    assert_eq!((run.code, lab.requests().len()), (Some(4), 2), "{}", run.err);
}

#[test]
fn a_permanent_error_is_said_at_once() {
    let lab = Lab::new(Script::new(|_: &ScriptedRequest| Reply::error(401, "unauthorized", "bad key")));
    let run = lab.run(&["-p", "go"]);
    assert_eq!((run.code, run.out.as_str(), lab.requests().len()), (Some(1), "", 1), "{}", run.err);
    assert!(run.err.contains("key") && !run.err.contains(KEY), "{}", run.err);
}

#[test]
fn usage_and_missing_key_have_their_codes() {
    let lab = Lab::new(Script::in_order([says("never")]));
    assert_eq!(lab.run(&["--mode", "yolo"]).code, Some(2));
    assert_eq!(lab.run(&["-p", " "]).code, Some(2));
    let mut bare = lab.command(&["-p", "go"]);
    let output = bare.env_remove("MESHAPI_API_KEY").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("MESHAPI_API_KEY"));
    let mut refused = lab.command(&["-p", "go"]);
    let output = refused.env("MESHAPI_BASE_URL", "http://localhost.evil.com/v1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(lab.requests().is_empty());
}

#[test]
fn a_stream_that_breaks_starts_again_and_says_so() {
    let lab =
        Lab::new(Script::in_order([Reply::stream().text("half an ans").truncate(), says("whole answer")]));
    let run = lab.run(&["-p", "go"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "half an ans\nwhole answer\n"), "{}", run.err);
    assert!(run.err.contains("retrying in") && run.err.contains("starts again"), "{}", run.err);
}

#[test]
fn finished_work_survives_a_failed_hop() {
    let lab = Lab::new(Script::new(|request: &ScriptedRequest| match request.number {
        0..3 => calls("list_dir", &json!({})),
        3 => Reply::error(401, "unauthorized", "no more"),
        _ => says("after"),
    }));
    let run = lab.run_with_input(&[], "go\nand now\n");
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert_eq!(results(lab.requests().last().unwrap()).len(), 3);
}

#[test]
fn the_key_reaches_no_child_and_no_trace() {
    let lab = Lab::new(Script::in_order([
        calls("run_bash", &json!({"command": "sh show.sh"})),
        says(&format!("it is {KEY}")),
    ]));
    std::fs::write(lab.work().join("show.sh"), "echo \"[$MESHAPI_API_KEY] $HOME\"\n").unwrap();
    let log = lab.home().join("trace.jsonl");
    let mut command = lab.command(&["-p", &format!("my key is {KEY}"), "--mode", "auto"]);
    let output = command.env("MESHAPI_LOG", &log).env("MESHAPI_LOG_LEVEL", "trace").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let shown = &results(&lab.requests()[1])[0];
    assert!(shown.starts_with("[] /"), "{shown}");
    let trace = std::fs::read_to_string(&log).unwrap();
    assert!(!trace.contains(KEY));
    for span in ["request", "hop", "tool"] {
        assert!(trace.contains(&format!("\"{span}\"")), "no span {span} in {trace}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn events_have_the_documented_shapes() {
    let lab = Lab::new(Script::in_order([
        Reply::error(503, "upstream_error", "busy").header("retry-after", "0"),
        calls("run_bash", &json!({"command": "echo hi; exit 3"})),
        Reply::stream().text("It ended ").text("with 3.").usage(40, 5).cost("0.002").done(),
    ]));
    let run = lab.run(&["-p", "go", "--mode", "auto", "--output-format", "stream-json"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let events: Vec<Value> =
        run.out.lines().map(|line| masked(serde_json::from_str(line).unwrap(), &lab)).collect();
    insta::assert_json_snapshot!(events);
    let whole = lab_of_one().run(&["-p", "go", "--output-format", "json"]);
    let result: Value = serde_json::from_str(&whole.out).unwrap();
    assert_eq!((result["type"].as_str(), result["result"].as_str()), (Some("result"), Some("ok")));
}

fn lab_of_one() -> Lab {
    Lab::new(Script::in_order([says("ok")]))
}

/// Takes out what differs from run to run.
fn masked(value: Value, lab: &Lab) -> Value {
    let work = lab.work().canonicalize().unwrap().to_string_lossy().into_owned();
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| {
                let varies = ["session_id", "id", "duration_ms", "duration_api_ms", "wait_ms"];
                let value = if varies.contains(&key.as_str()) {
                    json!(format!("[{key}]"))
                } else {
                    masked(value, lab)
                };
                (key, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| masked(item, lab)).collect(),
        Value::String(text) => {
            json!(text.replace(&work, "[work]").replace(env!("CARGO_PKG_VERSION"), "[version]"))
        }
        other => other,
    }
}

#[test]
fn the_demo_needs_nothing_and_does_what_it_says() {
    let lab = lab_of_one();
    let mut command = lab.command(&["demo", "--fast"]);
    command.env_remove("MESHAPI_API_KEY").env_remove("MESHAPI_BASE_URL").env("TMPDIR", lab.work());
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    for part in ["✗ exit 1", "ok: the sum is 12", "(3/3 done)", "demo/scripted  •"] {
        assert!(err.contains(part), "{part} is not in {err}");
    }
    assert!(!lab.home().join(".meshapi").exists(), "the demo leaves the user's settings alone");
    let folder = std::fs::read_dir(lab.work()).unwrap().next().unwrap().unwrap().path();
    assert!(folder.join("work/total.sh").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_ends_the_turn_and_its_children() {
    let call = calls("run_bash", &json!({"command": "echo $$ > pid; exec sleep 600"}));
    let lab = Lab::new(Script::in_order([call]));
    let child = lab.command(&["-p", "go", "--mode", "auto", "--output-format", "json"]).spawn().unwrap();
    let pid_file = lab.work().join("pid");
    let pid = loop {
        match std::fs::read_to_string(&pid_file) {
            Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
            _ => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    };
    let us = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(us, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["mesh"]["error"]["kind"], "interrupted");
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "the command still runs: {state}");
}

#[test]
fn the_matrix_of_the_python_releases_is_a_setting() {
    let read = calls("read_file", &json!({"path": "a.txt"}));
    let lab = Lab::new(Script::in_order([read, says("done")]));
    std::fs::write(lab.work().join("a.txt"), "inside").unwrap();
    std::fs::create_dir(lab.home().join(".meshapi")).unwrap();
    std::fs::write(lab.home().join(".meshapi/config.json"), r#"{"workspace_reads": "seed"}"#).unwrap();
    assert_eq!(lab.run(&["-p", "go", "--mode", "auto"]).code, Some(3));
}
