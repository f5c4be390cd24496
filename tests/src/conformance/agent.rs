//! The set `agent`: pure rules of the turn and of the client.

use mesh_agent::{
    builtin::{FIRST_AUTO_PORT, port_in_command},
    history::seal_messages,
    tool::args::{self, WINDOW_CHARS},
};
use mesh_client::{
    Catalog, Message, ResponseHeaders, RetryPolicy, ToolCallAccumulator, Usage, cost,
    error::{classify_inband, classify_status, parse_max_tokens_overflow},
    retry,
    wire::ToolCallDelta,
};
use serde_json::{Value, json};

use super::{Answer, NOT_BUILT, Outcome, list, object, output, stream, text, toolbox::Toolbox};

/// Stands in for the words on a call that got no result.
const STUB: &str = "<stub>";

pub(super) fn answer(toolbox: &Toolbox, op: &str, input: &Value) -> Outcome {
    match op {
        "accum" => accumulate(input),
        "repair" => repair(input),
        "prepare_call" | "validate" | "hint" if toolbox.lacks(&text(input, "name")) => {
            Ok(Answer::Skip("no such tool yet"))
        }
        "prepare_call" => prepare_call(toolbox, input),
        "validate" => validate(toolbox, input),
        "hint" => {
            let spec = toolbox.spec(&text(input, "name"));
            output(json!({"text": spec.map(args::hint).unwrap_or_default()}))
        }
        "err_ctx" => error_window(input),
        "inband" => inband(input),
        "status" => status(input),
        "retry_after" => retry_after(input),
        "overflow" => overflow(input),
        "backoff" => backoff(input),
        "seal" => seal(input),
        "cost" => price(input),
        "payload" => payload(input),
        "port" => port(input),
        _ => Ok(Answer::Skip(NOT_BUILT)),
    }
}

fn accumulate(input: &Value) -> Outcome {
    let mut calls = ToolCallAccumulator::new();
    for delta in list(input, "deltas").iter().filter_map(ToolCallDelta::from_value) {
        calls.push(&delta);
    }
    let (calls, dropped) = calls.finish();
    output(json!({"calls": stream::calls(&calls), "dropped": dropped}))
}

fn repair(input: &Value) -> Outcome {
    output(match args::repair(&text(input, "raw")) {
        Ok(repaired) => json!({"repaired": repaired, "reason": null}),
        Err(args::RepairError::Truncated) => json!({"repaired": null, "reason": "truncated"}),
        Err(args::RepairError::Unrepairable) => json!({"repaired": null, "reason": "unrepairable"}),
    })
}

fn prepare_call(toolbox: &Toolbox, input: &Value) -> Outcome {
    let call = args::prepare_call(toolbox.spec(&text(input, "name")), &text(input, "arguments"));
    output(json!({
        "kind": call.kind.as_str(),
        "args": call.args,
        "history_args": call.history_args,
        "pos": call.pos,
    }))
}

fn validate(toolbox: &Toolbox, input: &Value) -> Outcome {
    let args = object(&input["arguments"]);
    let spec = toolbox.spec(&text(input, "name"));
    output(json!({"ok": spec.is_none_or(|spec| args::validate(spec, &args).is_ok())}))
}

fn error_window(input: &Value) -> Outcome {
    let count = |key: &str| input[key].as_i64().map(|number| usize::try_from(number).unwrap_or(0));
    let (pos, radius) = (count("pos").unwrap_or(0), count("radius").unwrap_or(WINDOW_CHARS));
    output(json!({"text": args::error_window(&text(input, "raw"), pos, radius)}))
}

fn inband(input: &Value) -> Outcome {
    let error = classify_inband(&json!({"message": text(input, "message")}), None);
    let class = match error {
        _ if error.is_context_overflow() => "context",
        _ if error.is_retryable() => "transient",
        _ => "fatal",
    };
    output(json!({ "class": class }))
}

fn status(input: &Value) -> Outcome {
    let status = input["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.ok_or("`status` is no HTTP status")?;
    let error = classify_status(status, &ResponseHeaders::default(), b"", 0.0);
    output(json!({"retryable": error.is_retryable()}))
}

fn retry_after(input: &Value) -> Outcome {
    let asked = retry::parse_retry_after(&text(input, "header"), input["now"].as_f64().unwrap_or(0.0));
    let seconds = RetryPolicy::default().accept(asked).map(|wait| wait.as_secs_f64());
    output(json!({ "seconds": seconds }))
}

fn overflow(input: &Value) -> Outcome {
    let found = parse_max_tokens_overflow(&text(input, "message"));
    let figures = found.as_ref().map(|found| {
        json!({
            "input_tokens": found.input_tokens,
            "max_tokens": found.max_tokens,
            "context_limit": found.context_limit,
        })
    });
    output(json!({"overflow": figures, "adjusted": found.and_then(|found| found.adjusted())}))
}

fn backoff(input: &Value) -> Outcome {
    let attempt = input["attempt"].as_i64().unwrap_or(0).clamp(0, i64::from(u32::MAX));
    let wait = retry::backoff(attempt as u32, input["rng"].as_f64().unwrap_or(0.0));
    output(json!({"delay": wait.as_secs_f64()}))
}

/// What stood there is reported as it came: sealing only adds behind it.
fn seal(input: &Value) -> Outcome {
    let given = list(input, "messages");
    let read = |message: &Value| serde_json::from_value::<Message>(message.clone());
    let mut messages = given.iter().map(read).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    let sealed = seal_messages(&mut messages, STUB);
    let mut all = given.to_vec();
    all.extend(messages.iter().skip(given.len()).map(|message| json!(message)));
    output(json!({"added": sealed.added, "messages": all, "completed": sealed.completed}))
}

fn price(input: &Value) -> Outcome {
    let catalog = Catalog::from_value(&input["models"]).unwrap_or_default();
    let row = catalog.lookup(&text(input, "model"));
    let usage = Usage::from_value(input["usage"].clone());
    let cost = row.zip(usage).and_then(|(row, usage)| cost::estimate(&usage, row));
    output(json!({"row": row.map(|row| &row.id), "cost": cost.map(|cost| cost.0)}))
}

fn payload(input: &Value) -> Outcome {
    let body = stream::request(input)?.encode(true).to_bytes();
    let payload: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    output(json!({ "payload": payload }))
}

fn port(input: &Value) -> Outcome {
    let found = port_in_command(&text(input, "command"), FIRST_AUTO_PORT);
    output(json!({"port": found.port, "command": found.command, "appended": found.appended}))
}
