//! What models and people read: request bodies and error texts, as snapshots.
#![expect(clippy::unwrap_used, reason = "what a test sets up either stands or the test is wrong")]
use mesh_client::error::{classify_inband, classify_status};
use mesh_client::{
    ClientError, CompletionRequest, EncodedMessage, Message, NetworkKind, ResponseHeaders, ToolCall,
};
use serde_json::{Value, json};

fn body(request: &CompletionRequest, stream: bool) -> String {
    String::from_utf8(request.encode(stream).to_bytes().to_vec()).unwrap()
}

fn conversation() -> Vec<EncodedMessage> {
    let call = ToolCall {
        id: "call_0".to_owned(),
        name: "read_file".to_owned(),
        arguments: r#"{"path":"a.txt"}"#.to_owned(),
    };
    let silent = Message::assistant(" \n");
    [
        Message::system("Be brief."),
        Message::user("What does a.txt say?\n\"é\""),
        Message::assistant_calls(None, vec![call.clone()]),
        Message::tool_result("call_0", "hello"),
        silent,
        Message::assistant_calls(Some("Again.".to_owned()), vec![call]),
        Message::tool_result("call_0", ""),
    ]
    .iter()
    .map(EncodedMessage::from)
    .collect()
}

#[test]
fn a_plain_request() {
    let request = CompletionRequest {
        model: "anthropic/claude-sonnet-4.5".to_owned(),
        messages: conversation(),
        ..CompletionRequest::default()
    };
    let body = body(&request, true);
    insta::assert_snapshot!(body);
}

#[test]
fn a_request_with_everything() {
    let as_it_came =
        r#"{"content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}], "role":"user"}"#;
    let Value::Object(extra) = json!({"temperature": 0.5, "model": "not this one", "session_id": "s"}) else {
        unreachable!("an object is an object");
    };
    let request = CompletionRequest {
        model: "auto".to_owned(),
        messages: vec![
            EncodedMessage::from_json(as_it_came).unwrap(),
            EncodedMessage::from_json(r#"{"role":"developer","content":"unknown roles survive"}"#).unwrap(),
        ],
        tools: Some(r#"[{"type":"function","function":{"name":"f","parameters":{}}}]"#.into()),
        fallback_models: vec!["a/b".to_owned(), "c/d".to_owned()],
        route: Some("cheapest".to_owned()),
        reasoning_effort: Some("none".to_owned()),
        max_tokens: Some(4096),
        extra,
    };
    let body = body(&request, false);
    insta::assert_snapshot!(body);
}

fn status(status: u16, body: &str) -> ClientError {
    let headers = ResponseHeaders::from_pairs([("x-request-id", "req_1"), ("retry-after", "7")]);
    classify_status(status, &headers, body.as_bytes(), 0.0)
}

/// Kind, whether it passes, and the line that a person reads.
fn lines(errors: impl IntoIterator<Item = ClientError>) -> String {
    let line = |error: ClientError| {
        let passes = if error.is_retryable() { "passes" } else { "stays" };
        format!("{} ({passes})\n    {error}\n", error.kind().as_str())
    };
    errors.into_iter().map(line).collect()
}

#[test]
fn errors_with_a_status() {
    let of = |code: &str, message: &str| json!({"error": {"code": code, "message": message}}).to_string();
    let lines = lines([
        status(400, &of("invalid_request", "messages must not be empty")),
        status(400, &of("context_length_exceeded", "This model's maximum context length is 8192 tokens.")),
        status(400, &of("unsupported_parameter", "Unsupported parameter: 'reasoning_effort'")),
        status(400, "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000"),
        status(401, r#"{"detail":"Invalid key rsk_0123456789abcdef"}"#),
        status(402, ""),
        status(403, &of("forbidden", "This key may not use a/b.")),
        status(404, &of("model_not_found", "There is no model a/z.")),
        status(413, "<html><head><title>413</title></head><body>Request Entity Too Large</body></html>"),
        status(
            422,
            r#"{"detail":[{"loc":["body","reasoning_effort"],"msg":"must be high, medium, low or none"}]}"#,
        ),
        status(429, &of("rate_limit_exceeded", "Slow down.")),
        status(500, "{}"),
        status(502, "<html><h1>502 Bad Gateway</h1></html>"),
        status(
            503,
            &json!({"error": {"code": "upstream_error", "message": "Provider failed.",
            "provider_error": "prompt is too long: 210000 tokens > 200000 maximum"}})
            .to_string(),
        ),
        status(529, &of("overloaded_error", "Overloaded")),
        status(302, ""),
    ]);
    insta::assert_snapshot!(lines);
}

#[test]
fn errors_inside_a_stream() {
    let of = |error: Value| classify_inband(&error, Some("req_1"));
    let lines = lines([
        of(json!("Rate limit reached, try again in 2s")),
        of(json!({"message": "context deadline exceeded"})),
        of(json!({"code": 429, "message": "too fast", "retry_after_seconds": 3})),
        of(json!({"code": 400, "message": "ValidationException: content is empty"})),
        of(json!({"type": "insufficient_quota", "message": "You exceeded your current quota."})),
        of(json!({"code": 5})),
        of(json!("two\nlines\u{1b}[31m and \u{202e}tricks")),
    ]);
    insta::assert_snapshot!(lines);
}

#[test]
fn errors_of_the_connection_and_of_the_answer() {
    let network = |kind, detail: &str| ClientError::network(kind, detail, None);
    let lines = lines([
        network(NetworkKind::Connect, "localhost:9 refuses the connection"),
        network(NetworkKind::Tls, "the certificate of example.com has expired"),
        network(NetworkKind::Timeout, "no byte for 120 s"),
        network(NetworkKind::Reset, "connection reset by peer"),
        ClientError::network(
            NetworkKind::Truncated,
            "the stream ended in the middle of the answer",
            Some("req_1".to_owned()),
        ),
        ClientError::malformed("<html>", Some("req_1".to_owned())),
        ClientError::Empty { finish_reason: Some("length".to_owned()), request_id: None },
    ]);
    insta::assert_snapshot!(lines);
}
