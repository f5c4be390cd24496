//! Journeys with the dial turned up: what is sent, what is told, what is kept.
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

use mesh_client::scripted::{Reply, Script, ScriptedRequest, StreamReply};
use mesh_tests::lab::{Lab, Run};
use serde_json::{Value, json};

const MODEL: &str = "anthropic/claude-sonnet-4.5";

/// What a terminal program prints: colours, and one line over and over.
const NOISY: &str =
    r"i=0; while [ $i -lt 60 ]; do printf '\033[31mwaiting for the server\033[0m\n'; i=$((i+1)); done";

/// A gateway that names its prices.
fn gateway(chat: impl Fn(&ScriptedRequest) -> Reply + Send + Sync + 'static) -> Script {
    Script::new(chat).route("/models", |_| {
        let pricing = json!({"prompt_usd_per_1m": "3", "completion_usd_per_1m": "15"});
        Reply::json(json!({"data": [{"id": MODEL, "pricing": pricing}]}))
    })
}

/// Usage as Claude's provider reports it: all of the last request was read.
fn usage(reply: StreamReply, hop: u64) -> Reply {
    let (prompt, read) = (4000 + 300 * hop, if hop == 0 { 0 } else { 4000 + 300 * (hop - 1) });
    let usage = json!({
        "prompt_tokens": prompt, "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": read}, "cache_creation_input_tokens": prompt - read,
    });
    reply.event(&json!({"choices": [], "usage": usage})).cost("0.001").done()
}

/// A reply of the model that is asked.
fn stream() -> StreamReply {
    Reply::stream().model(MODEL)
}

fn call(id: usize, name: &str, arguments: &Value) -> StreamReply {
    stream().tool_call(&format!("call_{id}"), name, &arguments.to_string(), 90)
}

/// Six hops: a noisy command, file reads, and an end.
fn task(request: &ScriptedRequest) -> Reply {
    let hop = request.hop();
    let reply = match hop {
        0 => call(hop, "run_bash", &json!({"command": NOISY})),
        1..=5 => call(hop, "read_file", &json!({"path": format!("{hop}.txt")})),
        _ => stream().text("all done"),
    };
    usage(reply, hop as u64)
}

fn lab(chat: impl Fn(&ScriptedRequest) -> Reply + Send + Sync + 'static) -> Lab {
    let lab = Lab::new(gateway(chat));
    for number in 1..=5 {
        std::fs::write(lab.work().join(format!("{number}.txt")), format!("file {number}\n")).unwrap();
    }
    lab
}

fn run(lab: &Lab, more: &[&str]) -> Run {
    lab.run(&[&["-p", "go", "--mode", "bypass"], more].concat())
}

/// The bodies of the requests for completions.
fn bodies(lab: &Lab) -> Vec<Value> {
    lab.requests().into_iter().filter(|r| r.path == "/chat/completions").map(|r| r.json).collect()
}

fn messages(body: &Value) -> &Vec<Value> {
    body["messages"].as_array().unwrap()
}

fn is_marked(value: &Value) -> bool {
    value.to_string().contains("\"cache_control\"")
}

/// A message without our breakpoints, its text as a string.
fn plain(message: &Value) -> Value {
    let mut message = message.clone();
    if let Some(text) = message["content"][0]["text"].as_str() {
        message["content"] = text.into();
    }
    message
}

#[test]
fn requests_carry_breakpoints_and_cleaned_results() {
    let lab = lab(task);
    let run = run(&lab, &["--optimize", "0.3", "--output-format", "json"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let bodies = bodies(&lab);
    assert_eq!(bodies.len(), 7);
    for body in &bodies[1..] {
        assert!(is_marked(body));
        let result = plain(&messages(body)[3])["content"].as_str().unwrap().to_owned();
        assert!(result.contains("[previous line x60]") && !result.contains('\u{1b}'), "{result}");
    }
    // What was sent once is sent the same way again.
    let tools = bodies[0]["tools"].to_string();
    for pair in bodies.windows(2) {
        let (before, after) = (messages(&pair[0]), messages(&pair[1]));
        for (old, new) in before.iter().zip(after) {
            assert_eq!(plain(old), plain(new));
        }
        assert_eq!(pair[1]["tools"].to_string(), tools);
    }
    let result: Value = serde_json::from_str(&run.out).unwrap();
    let savings = &result["mesh_savings"];
    assert_eq!(
        (&savings["dial"], &savings["requests"], &savings["basis"]),
        (&json!(0.3), &json!(7), &json!("usage"))
    );
    assert!(savings["billed_usd"].as_f64().unwrap() > 0.0, "{savings}");
    assert!(savings["saved_vs_uncached_usd"].as_f64().unwrap() > 0.0, "{savings}");
    assert!(savings["tokens_cut"].as_u64().unwrap() > 0, "{savings}");
    assert_eq!(savings["miss_causes"], json!(["first request"]));
}

#[test]
fn cuts_are_kept_in_a_private_file() {
    let lab = lab(task);
    run(&lab, &["--optimize", "0.1"]);
    let path = lab.home().join(".meshapi/optimize-audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let cut: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&cut["id"], &cut["message"], &cut["lossy"]), (&json!("r3"), &json!(3), &json!(false)));
    assert_eq!(cut["sha256"].as_str().unwrap().len(), 64);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }
    run(&lab, &["--optimize", "0.1"]);
    assert!(std::fs::read_to_string(&path).unwrap().starts_with(&text));
}

#[test]
fn at_zero_the_bytes_are_those_of_a_client_without_a_dial() {
    let with = |arguments: &[&str]| {
        let lab = lab(task);
        let ran = run(&lab, arguments);
        assert!(!ran.err.contains("optimize"), "{}", ran.err);
        assert!(!lab.requests().iter().any(|request| request.path == "/models"));
        bodies(&lab)
            .iter()
            .map(|body| body.to_string().replace(&lab.work().display().to_string(), "WORK"))
            .collect::<Vec<_>>()
    };
    let bodies = with(&["--optimize", "off"]);
    assert_eq!(bodies, with(&[]));
    assert!(!bodies.iter().any(|body| body.contains("cache_control") || body.contains("\"recall\"")));
}

#[test]
fn a_gateway_that_refuses_it_fails_no_turn() {
    let lab = lab(|request| match is_marked(&request.json) {
        true => Reply::error(400, "invalid_request_error", "cache_control is not supported"),
        false => task(request),
    });
    let run = lab.run_with_input(&["--optimize", "0.3", "--mode", "bypass"], "go\n/savings\n");
    assert_eq!((run.code, run.out.as_str()), (Some(0), "all done\n"), "{}", run.err);
    assert_eq!(
        run.err.matches("refused an optimised request and took it as it was").count(),
        2,
        "{}",
        run.err
    );
    assert!(run.err.contains("cache breakpoints are off for anthropic/claude-sonnet-4.5"), "{}", run.err);
    let bodies = bodies(&lab);
    assert_eq!(bodies.iter().filter(|body| is_marked(body)).count(), 1);
    assert_eq!(bodies.len(), 8);
    // The other levers go on.
    assert!(bodies.last().unwrap().to_string().contains("[previous line x60]"));
}

#[test]
fn a_gateway_that_refuses_every_change_gets_none_in_the_end() {
    let lab = lab(|request| {
        match request.json.to_string().contains("[previous line") || is_marked(&request.json) {
            true => Reply::error(422, "validation_error", "no"),
            false => task(request),
        }
    });
    let run = run(&lab, &["--optimize", "0.1"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "all done\n"), "{}", run.err);
    assert!(run.err.contains("the dial is off for anthropic/claude-sonnet-4.5"), "{}", run.err);
    assert_eq!(bodies(&lab).len(), 9);
}

#[test]
fn the_model_reads_again_what_was_cut() {
    let lab = lab(|request| match request.hop() {
        0 => task(request),
        1 => usage(call(1, "read_file", &json!({"path": "r3", "offset": 2, "limit": 1})), 1),
        _ => usage(stream().text("I see"), 2),
    });
    let run = run(&lab, &["--optimize", "0.3"]);
    assert!(run.err.contains("⚙ read_file: r3, cut before"), "{}", run.err);
    assert!(run.err.contains("⚡ optimize 0.3: ") && run.err.contains("1 read again"), "{}", run.err);
    let last = bodies(&lab).pop().unwrap();
    let result = messages(&last).iter().rfind(|message| message["role"] == "tool").unwrap().clone();
    let text = plain(&result)["content"].as_str().unwrap().to_owned();
    assert!(text.contains("waiting for the server") && text.contains("[line 2 of "), "{text}");
}

#[test]
fn a_note_does_not_get_into_a_file() {
    let content = "start\n[... 900 bytes cut; read them with read_file(\"r3\") ...]\nend\n";
    let lab = lab(move |request| match request.hop() {
        0 => usage(call(0, "write_file", &json!({"path": "new.txt", "content": content})), 0),
        _ => usage(stream().text("oh"), 1),
    });
    run(&lab, &["--optimize", "0.3"]);
    let body = bodies(&lab).pop().unwrap();
    assert!(body.to_string().contains("new.txt was not written"), "{body}");
    assert!(!lab.work().join("new.txt").exists());
}

#[test]
fn the_gateway_may_be_told_to_do_the_work() {
    let lab = lab(task);
    run(&lab, &["--optimize", "0.3", "--optimize-at", "gateway"]);
    for body in bodies(&lab) {
        assert_eq!(body["mesh_optimize"], 0.3);
        assert!(body["mesh_hints"]["session_id"].is_string());
        assert!(!is_marked(&body));
    }
}
