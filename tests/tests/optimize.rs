//! Journeys through `meshapi optimize`: bodies in, bodies out, and what is kept beside them.
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use mesh_client::scripted::{Reply, Script};
use mesh_tests::lab::Lab;
use serde_json::{Value, json};

/// The request after `calls` commands of a session, as a line.
fn line(session: &str, calls: usize, dial: Option<f64>) -> String {
    let mut messages =
        vec![json!({"role": "system", "content": "help"}), json!({"role": "user", "content": "go"})];
    for call in 0..calls {
        let id = format!("call_{call}");
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function",
            "function": {"name": "run_bash", "arguments": format!("{{\"command\":\"make part{call}\"}}")}}]}));
        let text: Vec<String> = (0..60).map(|line| format!("object {call:03}{line:04} was built")).collect();
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": text.join("\n")}));
    }
    let mut body = json!({"model": "claude-opus-4.8", "messages": messages,
        "mesh_hints": {"session_id": session, "now": calls as f64 * 10.0}});
    if let Some(dial) = dial {
        body["mesh_optimize"] = json!(dial);
    }
    body.to_string()
}

fn session(name: &str) -> Vec<String> {
    (1..30).map(|calls| line(name, calls, None)).collect()
}

fn optimized(lab: &Lab, arguments: &[&str], lines: &[String]) -> Vec<String> {
    let run = lab.run_with_input(&[&["optimize"], arguments].concat(), &(lines.join("\n") + "\n"));
    assert_eq!(run.code, Some(0), "{}", run.err);
    run.out.lines().map(str::to_owned).collect()
}

fn lab() -> Lab {
    Lab::new(Script::in_order::<Reply>([]))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn every_line_is_answered_by_a_line_of_its_own() {
    let lab = lab();
    let bad =
        ["", "not json", "[1]", "{}", r#"{"messages":null}"#, r#"{"messages":[{}],"mesh_optimize":"abc"}"#];
    let lines: Vec<String> = bad.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(
        optimized(&lab, &["--dial", "0.5"], &lines)[..5],
        lines[..5],
        "what is no request passes as it is"
    );
    let off = line("a", 9, Some(0.0));
    assert_eq!(optimized(&lab, &["--dial", "0.5"], std::slice::from_ref(&off)), [off.as_str()]);
    let on = optimized(&lab, &["--dial", "0"], &[line("a", 9, Some(0.1))]);
    let body: Value = serde_json::from_str(&on[0]).unwrap();
    assert!(body.get("mesh_optimize").is_none() && body.get("mesh_hints").is_none());
    assert!(on[0].contains("cache_control"));
}

#[test]
fn sessions_go_on_in_the_next_process() {
    let lab = lab();
    let lines = session("s");
    let whole = optimized(&lab, &["--dial", "0.5"], &lines);
    assert!(whole.last().unwrap().len() < lines.last().unwrap().len());
    let states = lab.work().join("states");
    let arguments = ["--dial", "0.5", "--state", states.to_str().unwrap()];
    let split: Vec<String> = lines.chunks(7).flat_map(|part| optimized(&lab, &arguments, part)).collect();
    assert_eq!(split, whole);
    let saved: Vec<_> = fs::read_dir(&states).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!((saved.len(), mode(&saved[0]), mode(&states)), (1, 0o600, 0o700));
}

#[test]
fn a_state_that_is_broken_is_none() {
    let lab = lab();
    let states = lab.work().join("states");
    let arguments = ["--state", states.to_str().unwrap()];
    let lines = session("s");
    let whole = optimized(&lab, &[], &lines);
    optimized(&lab, &arguments, &lines[..20]);
    let saved = fs::read_dir(&states).unwrap().next().unwrap().unwrap().path();
    fs::write(&saved, "{\"state\":7").unwrap();
    let after = optimized(&lab, &arguments, &lines[20..]);
    assert_eq!(after.last(), whole.last(), "the messages alone say it again");
}

#[test]
fn usage_is_settled_into_receipts() {
    let lab = lab();
    let receipts = lab.work().join("receipts.jsonl");
    let usage = json!({"mesh_usage": {"prompt_tokens": 5000, "completion_tokens": 10}, "session_id": "s"})
        .to_string();
    let lines: Vec<String> =
        session("s").into_iter().take(3).flat_map(|line| [line, usage.clone()]).collect();
    let out = optimized(&lab, &["--receipt", receipts.to_str().unwrap()], &lines);
    assert_eq!(out.len(), 3, "a line of usage prints nothing");
    let written = fs::read_to_string(&receipts).unwrap();
    let rows: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), mode(&receipts)), (3, 0o600));
    for row in &rows {
        assert_eq!(
            (&row["session_id"], &row["basis"], &row["input"]),
            (&json!("s"), &json!("usage"), &json!(5000))
        );
        assert_eq!(row["billed_usd"], Value::Null, "no price is known to a pipe");
    }
    assert_eq!(rows[2]["sum"]["requests"], 3);
}

#[test]
fn what_is_cut_is_kept_where_the_note_says() {
    let lab = lab();
    let kept = lab.work().join("kept");
    let lines = session("../s");
    let out = optimized(&lab, &["--dial", "0.5", "--retain", kept.to_str().unwrap()], &lines);
    let last: Value = serde_json::from_str(out.last().unwrap()).unwrap();
    let sent: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let mut found = 0;
    for (ours, theirs) in
        last["messages"].as_array().unwrap().iter().zip(sent["messages"].as_array().unwrap())
    {
        let Some((_, rest)) = ours["content"].as_str().and_then(|text| text.split_once("; all in ")) else {
            continue;
        };
        let (path, _) = rest.split_once(" ...]").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), theirs["content"].as_str().unwrap());
        assert!(Path::new(path).starts_with(&kept) && mode(Path::new(path)) == 0o600);
        found += 1;
    }
    assert!(found > 10, "{found}");
}

#[test]
fn a_share_of_the_sessions_is_held_out() {
    let lab = lab();
    let lines = session("s");
    let out = optimized(&lab, &["--dial", "0.5", "--hold-out", "1"], &lines);
    for (line, out) in lines.iter().zip(&out) {
        let mut sent: Value = serde_json::from_str(line).unwrap();
        sent.as_object_mut().unwrap().remove("mesh_hints");
        assert_eq!(*out, sent.to_string());
    }
    let run = lab.run_with_input(&["optimize", "--hold-out", "2"], "");
    assert_eq!(run.code, Some(2), "{}", run.err);
}
