//! The dial on the screen: the line after a turn, what was saved, what was cut.

use mesh_client::scripted::{Reply, Script, ScriptedRequest, StreamReply};
use mesh_tests::lab::Lab;
use serde_json::json;

use crate::{SMALL, USUAL, WIDE, at_prompt, screen};

/// A command whose output is mostly the same line, and an end; the gateway reports no cost.
fn task(request: &ScriptedRequest) -> Reply {
    let command = "i=0; while [ $i -lt 60 ]; do echo waiting for the server; i=$((i+1)); done";
    let (prompt, read) = if request.hop() == 0 { (4000, 0) } else { (4300, 4000) };
    let usage = json!({
        "prompt_tokens": prompt, "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": read}, "cache_creation_input_tokens": prompt - read,
    });
    let reply = match request.hop() {
        0 => stream().tool_call("call_1", "run_bash", &json!({"command": command}).to_string(), 90),
        _ => stream().text("It never came up."),
    };
    reply.event(&json!({"choices": [], "usage": usage})).done()
}

/// A reply of the model that is asked.
fn stream() -> StreamReply {
    Reply::stream().model("anthropic/claude-sonnet-4.5")
}

fn script() -> Script {
    Script::new(task).route("/models", |_| {
        let pricing = json!({"prompt_usd_per_1m": "3", "completion_usd_per_1m": "15"});
        Reply::json(json!({"data": [{"id": "anthropic/claude-sonnet-4.5", "pricing": pricing}]}))
    })
}

#[test]
fn a_turn_says_what_it_saved() {
    for (name, size) in [("savings-80", USUAL), ("savings-120", WIDE), ("savings-40", SMALL)] {
        let lab = Lab::new(script());
        let mut terminal = at_prompt(&lab, &["--optimize", "0.3", "--mode", "bypass"], size);
        terminal.keys("start it\r");
        terminal.wait_for("⚡ optimize");
        terminal.wait_for_prompt();
        terminal.keys("/savings\r");
        terminal.wait_for("cache misses");
        terminal.wait_for_prompt();
        terminal.keys("/savings audit\r");
        terminal.wait_for("All of them");
        terminal.wait_for_prompt();
        screen!(name, lab, terminal);
    }
}

#[test]
fn a_refusal_stands_on_the_screen() {
    let script = Script::new(|request| match request.json.to_string().contains("cache_control") {
        true => Reply::error(400, "invalid_request_error", "unknown field cache_control"),
        false => task(request),
    });
    let lab = Lab::new(script);
    let mut terminal = at_prompt(&lab, &["--optimize", "0.1", "--mode", "bypass"], WIDE);
    terminal.keys("start it\r");
    terminal.wait_for("no price is known");
    terminal.wait_for_prompt();
    screen!("savings-refused", lab, terminal);
}
