//! What this crate says to the input of a record: one function an operation.
use mesh_client::cost::{estimate, fmt_usd_value};
use mesh_client::error::{classify_inband, classify_status, parse_max_tokens_overflow};
use mesh_client::http::sse::Decoder;
use mesh_client::retry::{backoff, parse_retry_after};
use mesh_client::wire::ToolCallDelta;
use mesh_client::{
    Assembler, Catalog, ClientError, Completion, CompletionRequest, EncodedMessage, EndOfStream, ErrorKind,
    ResponseHeaders, RetryPolicy, ToolCall, ToolCallAccumulator, Usage,
};
use serde_json::{Value, json};

/// Bytes of an empty stretch are not fed; `splits` are the places where the stream was cut.
fn stream(input: &Value) -> Value {
    let response = &input["responses"][0];
    let headers = response["headers"].as_object().into_iter().flatten();
    let headers = ResponseHeaders::from_pairs(
        headers.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))),
    );
    let body: Vec<u8> = response["body"].as_array().into_iter().flatten().flat_map(bytes).collect();
    let status = response["status"].as_u64().unwrap_or(200) as u16;
    if status >= 400 {
        let error = classify_status(status, &headers, &body, 0.0);
        return json!({"status": status, "error": message(&error)});
    }
    let mut end = EndOfStream::Clean;
    let mut sent = body.as_slice();
    match response["framing"].as_str() {
        Some("chunked-abort") => end = EndOfStream::Cut,
        Some("length-short") => end = EndOfStream::Cut,
        _ => {}
    }
    let mut decoder = Decoder::new();
    let mut assembler = Assembler::new(headers.clone());
    let mut seen = String::new();
    let mut offset = 0;
    let splits = response["splits"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    for split in splits.map(|split| split as usize).chain([body.len()]) {
        let (piece, rest) = sent.split_at(split.saturating_sub(offset).min(sent.len()));
        (sent, offset) = (rest, offset.max(split));
        feed(&mut decoder, &mut assembler, &mut seen, Some(piece));
    }
    feed(&mut decoder, &mut assembler, &mut seen, None);
    let (completion, error) = assembler.conclude(end);
    assert_eq!(seen, completion.text, "the deltas are the text");
    finished(&completion, error.as_ref(), status)
}

fn feed(decoder: &mut Decoder, assembler: &mut Assembler, seen: &mut String, piece: Option<&[u8]>) {
    let on_event = |event: mesh_client::http::sse::Event<'_>| {
        assembler.event(&event, &mut |delta| {
            if let mesh_client::Delta::Text(text) = delta {
                seen.push_str(text);
            }
        });
    };
    match piece {
        Some(piece) => decoder.feed(piece, on_event).unwrap(),
        None => decoder.finish(on_event).unwrap(),
    }
}

fn finished(completion: &Completion, error: Option<&ClientError>, status: u16) -> Value {
    // To the records an answer that says nothing, but came to its end, is no error.
    let has_ended = completion.done || completion.finish_reason.is_some() || completion.malformed > 0;
    let error =
        error.filter(|error| !has_ended || !matches!(error.kind(), ErrorKind::Empty | ErrorKind::Malformed));
    let is_network = error.is_some_and(|error| error.kind() == ErrorKind::Network);
    json!({
        "text": completion.text,
        "tool_calls": calls(&completion.tool_calls),
        "usage": completion.usage.as_ref().map(|usage| &usage.raw),
        "cost": completion.cost.as_ref().map(|cost| &cost.raw),
        "model": completion.model,
        "error": error.filter(|_| !is_network).map(message),
        "finish_reason": completion.finish_reason,
        "refusal": completion.refusal,
        "reasoning": completion.reasoning,
        "malformed": completion.malformed,
        "done": completion.done,
        "transport_error": is_network,
        "request_id": completion.headers.request_id,
        "status": status,
    })
}

fn message(error: &ClientError) -> String {
    error.report().map_or_else(|| error.to_string(), |report| report.message.clone())
}

fn calls(calls: &[ToolCall]) -> Value {
    calls.iter().map(|call| json!({"id": call.id, "name": call.name, "arguments": call.arguments})).collect()
}

fn accumulate(input: &Value) -> Value {
    let mut accumulator = ToolCallAccumulator::new();
    for delta in input["deltas"].as_array().into_iter().flatten() {
        if let Some(delta) = ToolCallDelta::from_value(delta) {
            accumulator.push(&delta);
        }
    }
    let (tool_calls, dropped) = accumulator.finish();
    json!({"calls": calls(&tool_calls), "dropped": dropped})
}

fn inband(input: &Value) -> Value {
    let error = classify_inband(&input["message"], None);
    json!({"class": match error.kind() {
        ErrorKind::ContextOverflow | ErrorKind::MaxTokensOverflow => "context",
        _ if error.is_retryable() => "transient",
        _ => "fatal",
    }})
}

fn status(input: &Value) -> Value {
    let status = input["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
    let error = classify_status(status, &ResponseHeaders::default(), b"", 0.0);
    json!({"retryable": error.is_retryable()})
}

fn retry_after(input: &Value) -> Value {
    let now = input["now"].as_f64().unwrap_or(0.0);
    let wait = input["header"].as_str().and_then(|header| parse_retry_after(header, now));
    json!({"seconds": RetryPolicy::default().accept(wait).map(|wait| wait.as_secs_f64())})
}

fn overflow(input: &Value) -> Value {
    let overflow = parse_max_tokens_overflow(input["message"].as_str().unwrap_or_default());
    json!({
        "overflow": overflow.map(|overflow| json!({
            "input_tokens": overflow.input_tokens,
            "max_tokens": overflow.max_tokens,
            "context_limit": overflow.context_limit,
        })),
        "adjusted": overflow.and_then(|overflow| overflow.adjusted()),
    })
}

fn wait(input: &Value) -> Value {
    let attempt = input["attempt"].as_u64().and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(0);
    json!({"delay": backoff(attempt, input["rng"].as_f64().unwrap_or(0.0)).as_secs_f64()})
}

fn cost(input: &Value) -> Value {
    let catalog = Catalog::from_value(&input["models"]).unwrap_or_default();
    let row = catalog.lookup(input["model"].as_str().unwrap_or_default());
    let usage = Usage::from_value(input["usage"].clone());
    let cost = row.zip(usage).and_then(|(row, usage)| estimate(&usage, row));
    json!({"row": row.map(|row| &row.id), "cost": cost.map(|cost| cost.0)})
}

fn payload(input: &Value) -> Value {
    let cfg = &input["cfg"];
    let text = |key: &str| cfg[key].as_str().map(str::to_owned);
    let is_auto = cfg["auto_route"].as_bool().unwrap_or(false);
    let request = CompletionRequest {
        model: if is_auto { "auto".to_owned() } else { text("model").unwrap_or_default() },
        messages: input["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|message| EncodedMessage::from_value(message).unwrap())
            .collect(),
        tools: input["tools"].as_array().map(|_| input["tools"].to_string().into()),
        fallback_models: serde_json::from_value(cfg["fallback_models"].clone()).unwrap_or_default(),
        route: text("route"),
        reasoning_effort: text("reasoning_effort"),
        max_tokens: cfg["max_tokens"].as_u64(),
        ..CompletionRequest::default()
    };
    json!({"payload": serde_json::from_slice::<Value>(&request.encode(true).to_bytes()).unwrap()})
}

/// The output for the input of a record; `None` for an operation that is not this crate's.
pub(crate) fn answer(input: &Value) -> Option<Value> {
    Some(match input["op"].as_str()? {
        "stream" => stream(input),
        "accum" => accumulate(input),
        "inband" => inband(input),
        "status" => status(input),
        "retry_after" => retry_after(input),
        "overflow" => overflow(input),
        "backoff" => wait(input),
        "cost" => cost(input),
        "payload" => payload(input),
        "fmt_usd" => json!({"text": fmt_usd_value(&input["value"])}),
        _ => return None,
    })
}

/// The bytes of one element of `body`: text, or `{"b64"}`.
fn bytes(piece: &Value) -> Vec<u8> {
    match piece {
        Value::String(text) => text.clone().into_bytes(),
        piece => from_base64(piece["b64"].as_str().unwrap_or_default()),
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let bits: Vec<u8> =
        digits.flat_map(|digit| (0..6).rev().map(move |bit| (digit >> bit & 1) as u8)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
}
