//! Requests and answers over a scripted gateway: what the caller sees, what the gateway saw.
#![expect(clippy::unwrap_used, reason = "what a test sets up either stands or the test is wrong")]
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mesh_client::http::Deadlines;
use mesh_client::scripted::{Gate, Outcome, Reply, Script, ScriptedGateway, StreamReply};
use mesh_client::{
    ClientError, Completion, CompletionRequest, EncodedMessage, ErrorKind, Flow, MeshClient, Message,
    NetworkKind, RetryPolicy, StreamEvent,
};
use serde_json::{Value, json};

/// Nothing here takes that long; a test that hangs says so.
const HANG: Duration = Duration::from_secs(60);

fn client(gateway: &ScriptedGateway) -> MeshClient {
    MeshClient::builder(gateway.base_url(), "rsk_test".parse().unwrap()).build()
}

fn request(prompt: &str) -> CompletionRequest {
    let messages = vec![EncodedMessage::from(&Message::user(prompt))];
    CompletionRequest { model: "demo/one".into(), messages, ..Default::default() }
}

/// Five attempts as usual, without the waits.
fn quick() -> RetryPolicy {
    RetryPolicy { backoff_base: Duration::from_millis(1), ..RetryPolicy::default() }
}

/// Runs one completion and writes down its events, a line each.
async fn run(
    client: &MeshClient,
    request: &CompletionRequest,
    policy: &RetryPolicy,
) -> (Vec<String>, Result<Completion, ClientError>) {
    let mut events = Vec::new();
    let mut sink = |event: StreamEvent<'_>| events.push(line(&event));
    let outcome = tokio::time::timeout(HANG, client.complete(request, policy, &mut sink)).await;
    (events, outcome.expect("no journey hangs"))
}

fn line(event: &StreamEvent<'_>) -> String {
    match event {
        StreamEvent::Started { request_id } => format!("started {}", request_id.unwrap_or("-")),
        StreamEvent::Text(text) => format!("text {text}"),
        StreamEvent::Reasoning(text) => format!("reasoning {text}"),
        StreamEvent::Refusal(text) => format!("refusal {text}"),
        StreamEvent::ToolArguments { name, chars } => format!("arguments {name} {chars}"),
        StreamEvent::Retry { attempt, of, error, text_shown, .. } => {
            format!("retry {attempt}/{of} {} shown={text_shown}", error.kind().as_str())
        }
        StreamEvent::WholeRequest { error, text_shown } => {
            format!("whole {} shown={text_shown}", error.kind().as_str())
        }
        other => format!("{other:?}"),
    }
}

fn good() -> Reply {
    Reply::stream().text("All is ").text("well").usage(7, 3).done()
}

#[tokio::test]
async fn a_request_carries_what_the_wire_wants() {
    let gateway = ScriptedGateway::start(Script::in_order([good().header("x-cache", "HIT")])).await.unwrap();
    let mut request = request("Hi");
    request.tools = Some(r#"[{"type":"function","function":{"name":"run_bash"}}]"#.into());
    request.route = Some("cheapest".into());
    let (_, completion) = run(&client(&gateway), &request, &quick()).await;
    let completion = completion.unwrap();
    assert_eq!(completion.text, "All is well");
    assert_eq!(completion.usage.as_ref().unwrap().prompt_tokens, Some(7));
    assert_eq!(completion.headers.request_id.as_deref(), Some("req_0"));
    assert_eq!(completion.headers.cache.as_deref(), Some("HIT"));
    let seen = &gateway.requests()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/chat/completions"));
    assert_eq!(seen.header("authorization"), "Bearer rsk_test");
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("user-agent"), concat!("meshapi/", env!("CARGO_PKG_VERSION")));
    assert_eq!(seen.header("content-length"), seen.body.len().to_string());
    assert_eq!(seen.header("x-mesh-version"), "");
    assert_eq!(seen.json["stream"], true);
    assert_eq!(seen.json["route"], "cheapest");
    assert_eq!(seen.json["tool_choice"], "auto");
    assert!(!format!("{seen:?}").contains("rsk_test"), "a key must not print");
}

#[tokio::test]
async fn agent_and_version_can_be_set() {
    let gateway = ScriptedGateway::start(Script::in_order([good()])).await.unwrap();
    let client = MeshClient::builder(gateway.base_url(), "k".parse().unwrap())
        .user_agent("other/1".parse().unwrap())
        .mesh_version("2026-08".parse().unwrap())
        .build();
    run(&client, &request("Hi"), &quick()).await.1.unwrap();
    let seen = &gateway.requests()[0];
    assert_eq!((seen.header("user-agent"), seen.header("x-mesh-version")), ("other/1", "2026-08"));
}

#[tokio::test]
async fn twenty_hops_travel_on_one_connection() {
    let script = Script::new(|request| match request.hop() {
        20 => Reply::stream().text("done").done(),
        hop => Reply::stream().tool_call(&format!("call_{hop}"), "read_file", r#"{"path":"a"}"#, 3).done(),
    });
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let client = client(&gateway);
    let mut request = request("read");
    for _ in 0..20 {
        let completion = run(&client, &request, &quick()).await.1.unwrap();
        let call = &completion.tool_calls[0];
        assert_eq!((call.name.as_str(), call.arguments.as_str()), ("read_file", r#"{"path":"a"}"#));
        let said = Message::assistant_calls(None, completion.tool_calls.clone());
        request.messages.push(EncodedMessage::from(&said));
        request.messages.push(EncodedMessage::from(&Message::tool_result(&call.id, "contents")));
    }
    assert_eq!(run(&client, &request, &quick()).await.1.unwrap().text, "done");
    assert_eq!((gateway.requests().len(), gateway.connections()), (21, 1));
}

#[tokio::test]
async fn connections_survive_errors_and_whole_answers_too() {
    let script = Script::in_order([
        Reply::error(500, "upstream_error", "boom"),
        Reply::stream().text("part ").error(json!({"code": 503, "message": "overloaded"})),
        Reply::completion("whole"),
    ]);
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let completion = run(&client(&gateway), &request("Hi"), &quick()).await.1.unwrap();
    assert_eq!(completion.text, "whole");
    assert_eq!((gateway.requests().len(), gateway.connections()), (3, 1));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_replaced() {
    let script = Script::in_order([good().header("connection", "close"), good()]);
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let client = client(&gateway);
    let never = RetryPolicy::never();
    run(&client, &request("1"), &never).await.1.unwrap();
    run(&client, &request("2"), &never).await.1.unwrap();
    assert_eq!(gateway.connections(), 2);
}

#[tokio::test]
async fn text_is_handed_on_while_the_answer_comes() {
    let gate = Gate::new();
    let reply = Reply::stream().text("first").gate(&gate).text(" second").done();
    let gateway = ScriptedGateway::start(Script::in_order([reply])).await.unwrap();
    let mut events = Vec::new();
    let mut sink = |event: StreamEvent<'_>| {
        events.push(line(&event));
        if let StreamEvent::Text("first") = event {
            gate.open();
        }
    };
    // Without the first text the gate stays shut, and the journey would hang.
    let request = request("Hi");
    let (client, policy) = (client(&gateway), quick());
    let outcome = tokio::time::timeout(HANG, client.complete(&request, &policy, &mut sink)).await.unwrap();
    assert_eq!(outcome.unwrap().text, "first second");
    assert_eq!(events, ["started req_0", "text first", "text  second"]);
}

#[tokio::test]
async fn texts_of_one_network_read_are_one_event() {
    let mut burst = Vec::new();
    for word in ["one ", "two ", "three"] {
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": word}}]});
        burst.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
    }
    let script = Script::in_order([Reply::stream().raw(burst).done()]);
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let (events, completion) = run(&client(&gateway), &request("Hi"), &quick()).await;
    completion.unwrap();
    assert_eq!(events, ["started req_0", "text one two three"]);
}

#[tokio::test]
async fn the_kinds_of_text_keep_their_order() {
    let reply = Reply::stream().reasoning("hm").text("a").refusal("no").text("b");
    let reply = reply.tool_call("c1", "grep", "{}", 9).done();
    let gateway = ScriptedGateway::start(Script::in_order([reply])).await.unwrap();
    let (events, completion) = run(&client(&gateway), &request("Hi"), &quick()).await;
    assert_eq!(completion.unwrap().finish_reason.as_deref(), Some("tool_calls"));
    let wanted = [
        "started req_0",
        "reasoning hm",
        "text a",
        "refusal no",
        "text b",
        "arguments grep 0",
        "arguments grep 2",
    ];
    assert_eq!(events, wanted);
}

/// One row of what can go wrong: the faulty reply, then a good one.
#[track_caller]
fn check(fault: Reply, wanted: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = std::panic::Location::caller();
    runtime.block_on(async {
        let gateway = ScriptedGateway::start(Script::in_order([fault, good()])).await.unwrap();
        let (events, completion) = run(&client(&gateway), &request("Hi"), &quick()).await;
        assert_eq!(events, wanted, "{place}");
        assert_eq!(completion.unwrap().text, "All is well", "{place}");
        assert_eq!(gateway.requests().len(), 2, "{place}");
        let bodies: Vec<_> = gateway.requests().into_iter().map(|request| request.body).collect();
        assert_eq!(bodies[0], bodies[1], "{place}: a retry sends the same bytes");
    });
}

const AGAIN: [&str; 2] = ["started req_1", "text All is well"];

#[test]
fn refusals_that_pass_are_tried_again() {
    let seconds = r#"{"error":{"message":"wait","retry_after_seconds":0}}"#;
    let rows = [
        (Reply::error(429, "rate_limit_exceeded", "slow down").header("retry-after", "0"), "rate_limited"),
        (Reply::status(429, "application/json", seconds), "rate_limited"),
        (Reply::error(500, "upstream_error", "boom"), "upstream"),
        (Reply::status(502, "text/html", "<html><body>502 Bad Gateway</body></html>"), "upstream"),
        (Reply::status(503, "application/json", r#"{"detail":"busy"}"#), "upstream"),
        (Reply::status(529, "text/plain", ""), "upstream"),
        (Reply::status(408, "text/plain", "late"), "upstream"),
    ];
    for (fault, kind) in rows {
        check(fault, &[&format!("retry 2/5 {kind} shown=false"), AGAIN[0], AGAIN[1]]);
    }
}

#[test]
fn broken_connections_are_tried_again() {
    check(Reply::close(), &["retry 2/5 network shown=false", AGAIN[0], AGAIN[1]]);
    let garbage = Reply::garbage("SSH-2.0-OpenSSH_9\r\n");
    check(garbage, &["retry 2/5 malformed shown=false", AGAIN[0], AGAIN[1]]);
    let wanted = ["started req_0", "text partial ", "retry 2/5 network shown=true", AGAIN[0], AGAIN[1]];
    check(Reply::stream().text("partial ").truncate(), &wanted);
    check(Reply::stream().text("partial ").raw("data: {\"choi").truncate(), &wanted);
}

#[test]
fn empty_answers_are_tried_again() {
    let retried = ["started req_0", "retry 2/5 empty shown=false", AGAIN[0], AGAIN[1]];
    check(Reply::stream().done(), &retried);
    check(Reply::stream().end(), &retried);
    check(Reply::status(200, "text/event-stream", ""), &retried);
    check(Reply::status(204, "text/event-stream", ""), &retried);
    check(Reply::completion(""), &retried);
}

#[test]
fn errors_inside_a_stream_that_pass_are_tried_again() {
    let inband = Reply::stream().text("so ").error(json!({"message": "overloaded, try again", "code": 529}));
    let wanted = ["started req_0", "text so ", "retry 2/5 upstream shown=true", AGAIN[0], AGAIN[1]];
    check(inband, &wanted);
    check(
        Reply::stream().error(json!("rate limit reached")),
        &["started req_0", "retry 2/5 rate_limited shown=false", AGAIN[0], AGAIN[1]],
    );
}

#[tokio::test]
async fn a_reset_in_the_middle_is_tried_again() {
    let gate = Gate::new();
    let fault = Reply::stream().text("partial ").gate(&gate).reset();
    let gateway = ScriptedGateway::start(Script::in_order([fault, good()])).await.unwrap();
    let mut events = Vec::new();
    let mut sink = |event: StreamEvent<'_>| {
        if let StreamEvent::Retry { error, .. } = event {
            assert!(matches!(error, ClientError::Network { kind: NetworkKind::Reset, .. }), "{error:?}");
            assert_eq!(error.request_id(), Some("req_0"));
        }
        events.push(line(&event));
        if let StreamEvent::Text(_) = event {
            gate.open();
        }
    };
    let request = request("Hi");
    let (client, policy) = (client(&gateway), quick());
    let outcome = tokio::time::timeout(HANG, client.complete(&request, &policy, &mut sink)).await.unwrap();
    assert_eq!(outcome.unwrap().text, "All is well");
    let wanted = ["started req_0", "text partial ", "retry 2/5 network shown=true", AGAIN[0], AGAIN[1]];
    assert_eq!(events, wanted);
}

/// An error that stays: one request, and the error with its kind.
#[track_caller]
fn check_permanent(fault: Reply, kind: ErrorKind) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = std::panic::Location::caller();
    runtime.block_on(async {
        let gateway = ScriptedGateway::start(Script::in_order([fault, good()])).await.unwrap();
        let error = run(&client(&gateway), &request("Hi"), &quick()).await.1.unwrap_err();
        assert_eq!(error.kind(), kind, "{place}: {error}");
        assert_eq!(gateway.requests().len(), 1, "{place}");
        assert!(!error.to_string().contains("rsk_"), "{place}");
    });
}

#[test]
fn permanent_errors_are_told_at_once() {
    check_permanent(Reply::error(401, "unauthorized", "bad key"), ErrorKind::Unauthorized);
    check_permanent(Reply::error(402, "spend_limit_exceeded", "no money"), ErrorKind::SpendLimit);
    check_permanent(
        Reply::error(400, "invalid_request_error", "prompt is too long: context length exceeded"),
        ErrorKind::ContextOverflow,
    );
    check_permanent(Reply::error(422, "validation_error", "no"), ErrorKind::InvalidRequest);
    let refused = json!({"message": "ValidationException: mock", "type": "api_error", "code": 400});
    check_permanent(Reply::stream().text("so ").error(refused), ErrorKind::InvalidRequest);
    let moved = Reply::status(302, "text/html", "").header("location", "http://127.0.0.1:1/");
    check_permanent(moved, ErrorKind::Unexpected);
    let asked = Reply::error(429, "rate_limit_exceeded", "tomorrow").header("retry-after", "3600");
    check_permanent(asked, ErrorKind::RateLimited);
}

#[tokio::test]
async fn used_up_attempts_end_in_one_whole_request() {
    let script = Script::new(|request| match request.wants_stream() {
        true => Reply::error(500, "upstream_error", "boom"),
        false => Reply::completion("whole at last"),
    });
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let (events, completion) = run(&client(&gateway), &request("Hi"), &quick()).await;
    let completion = completion.unwrap();
    assert_eq!((completion.text.as_str(), completion.done), ("whole at last", true));
    let last = ["whole upstream shown=false", "started req_5", "text whole at last"];
    assert_eq!(events[events.len() - 3..], last);
    let streamed: Vec<Value> = gateway.requests().iter().map(|seen| seen.json["stream"].clone()).collect();
    assert_eq!(streamed, [json!(true), json!(true), json!(true), json!(true), json!(true), json!(false)]);
}

#[tokio::test]
async fn nothing_hangs_when_all_attempts_fail() {
    let faults = [
        Reply::close(),
        Reply::error(500, "x", "boom"),
        Reply::stream().text("p").truncate(),
        Reply::stream().done(),
    ];
    for fault in faults {
        let gateway = ScriptedGateway::start(Script::new(move |_| fault.clone())).await.unwrap();
        let (events, outcome) = run(&client(&gateway), &request("Hi"), &quick()).await;
        let error = outcome.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(events.iter().any(|event| event.starts_with("retry")), "{events:?}");
    }
}

#[tokio::test]
async fn refused_connections_are_an_error_of_the_network() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let base = format!("http://{closed}/v1").parse().unwrap();
    let client = MeshClient::builder(base, "rsk_test".parse().unwrap()).build();
    let error = run(&client, &request("Hi"), &quick()).await.1.unwrap_err();
    assert!(matches!(error, ClientError::Network { kind: NetworkKind::Connect, .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_refused_field_is_left_out_and_a_large_limit_lowered() {
    let script = Script::new(|request| {
        if request.json.get("reasoning_effort").is_some() {
            return Reply::error(400, "invalid_request", "reasoning_effort is not supported with this model");
        }
        match request.json["max_tokens"].as_u64() {
            Some(64_000) => Reply::error(
                400,
                "invalid_request",
                "input length and `max_tokens` exceed context limit: 150000 + 64000 > 200000",
            ),
            _ => good(),
        }
    });
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let mut request = request("Hi");
    request.reasoning_effort = Some("high".into());
    request.max_tokens = Some(64_000);
    let (events, completion) = run(&client(&gateway), &request, &quick()).await;
    completion.unwrap();
    assert_eq!(gateway.requests()[2].json["max_tokens"], 49_744);
    assert_eq!(events.iter().filter(|event| event.starts_with("retry")).count(), 2, "{events:?}");
}

#[tokio::test]
async fn odd_chunks_are_counted_and_passed_over() {
    let mut reply =
        Reply::stream().text("before ").data("{\"id\":\"x\",\"choices\":[{\"ind").data("not json");
    for odd in ["null", "[]", "3", "\"s\"", "{\"choices\":null}", "{\"choices\":[{\"delta\":null}]}"] {
        reply = reply.data(odd);
    }
    let gateway = ScriptedGateway::start(Script::in_order([reply.text("after").done()])).await.unwrap();
    let completion = run(&client(&gateway), &request("Hi"), &quick()).await.1.unwrap();
    assert_eq!((completion.text.as_str(), completion.malformed), ("before after", 6));
}

#[tokio::test]
async fn legal_but_unusual_streams_read_the_same() {
    let plain = || Reply::stream().text("h\u{e9}\u{4e2d}\u{1f980} ").text("end");
    let large = "abcdefgh ".repeat(230_000);
    let rows = [
        (plain().line_end("\r\n").text("!").done(), "h\u{e9}\u{4e2d}\u{1f980} end!"),
        (Reply::stream().line_end("\r").text("cr").text(" only").done(), "cr only"),
        (plain().cut(1).done(), "h\u{e9}\u{4e2d}\u{1f980} end"),
        (plain().cut(7).done(), "h\u{e9}\u{4e2d}\u{1f980} end"),
        (Reply::stream().raw("\u{feff}").text("bom").done(), "bom"),
        (Reply::stream().raw(": keep-alive\n\nid: 7\nretry: 3000\n").text("comments").done(), "comments"),
        (
            Reply::stream().raw("data:{\"choices\":[{\"delta\":{\"content\":\"nospace\"}}]}\n\n").done(),
            "nospace",
        ),
        (
            Reply::stream()
                .raw("data: {\"choices\":\ndata: [{\"delta\":{\"content\":\"lines\"}}]}\n\n")
                .done(),
            "lines",
        ),
        (plain().finish("stop").end(), "h\u{e9}\u{4e2d}\u{1f980} end"),
        (plain().end(), "h\u{e9}\u{4e2d}\u{1f980} end"),
        (Reply::stream().text(&large).done(), large.as_str()),
    ];
    for (row, (reply, wanted)) in rows.into_iter().enumerate() {
        let gateway = ScriptedGateway::start(Script::in_order([reply])).await.unwrap();
        let completion = run(&client(&gateway), &request("Hi"), &RetryPolicy::never()).await.1.unwrap();
        assert!(completion.text == wanted, "row {row}: {:.80?} != {wanted:.80?}", completion.text);
    }
}

#[tokio::test]
async fn a_whole_answer_to_a_streaming_request_is_taken() {
    for content_type in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        let body = r#"  {"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]}"#;
        let script = Script::in_order([Reply::status(200, content_type, body)]);
        let gateway = ScriptedGateway::start(script).await.unwrap();
        let (events, completion) = run(&client(&gateway), &request("Hi"), &RetryPolicy::never()).await;
        assert_eq!(completion.unwrap().text, "whole");
        assert_eq!(events, ["started req_0", "text whole"]);
    }
    let mislabelled = good().header("content-type", "application/json");
    let gateway = ScriptedGateway::start(Script::in_order([mislabelled])).await.unwrap();
    assert_eq!(run(&client(&gateway), &request("Hi"), &quick()).await.1.unwrap().text, "All is well");
}

#[tokio::test]
async fn what_breaks_after_the_model_has_finished_is_no_loss() {
    let rows = [
        Reply::stream().text("All is well").finish("stop").truncate(),
        Reply::stream().text("All is well").finish("stop").data("[DONE]").truncate(),
    ];
    for reply in rows {
        let gateway = ScriptedGateway::start(Script::in_order([reply])).await.unwrap();
        let (events, completion) = run(&client(&gateway), &request("Hi"), &quick()).await;
        assert_eq!(completion.unwrap().text, "All is well", "{events:?}");
    }
}

#[tokio::test]
async fn silence_ends_an_attempt() {
    let fault = Reply::stream().text("partial ").stall();
    let gateway = ScriptedGateway::start(Script::in_order([fault, good()])).await.unwrap();
    let request = request("Hi");
    let (client, policy) = (client(&gateway), quick());
    let mut events = Vec::new();
    let mut sink = |event: StreamEvent<'_>| {
        // The clock runs on its own once nothing is left to do but to wait: 120 s pass at once.
        match event {
            StreamEvent::Text("partial ") => tokio::time::pause(),
            StreamEvent::Retry { error, .. } => {
                tokio::time::resume();
                assert!(
                    matches!(error, ClientError::Network { kind: NetworkKind::Timeout, .. }),
                    "{error:?}"
                );
                assert!(error.to_string().contains("120 s"), "{error}");
            }
            _ => {}
        }
        events.push(line(&event));
    };
    client.complete(&request, &policy, &mut sink).await.unwrap();
    let wanted = ["started req_0", "text partial ", "retry 2/5 network shown=true", AGAIN[0], AGAIN[1]];
    assert_eq!(events, wanted);
    tokio::time::timeout(HANG, gateway.outcome(0, Outcome::ClientLeft)).await.unwrap();
}

#[tokio::test]
async fn a_missing_first_byte_ends_an_attempt() {
    let gate = Gate::new();
    let script = Script::in_order([good().behind(&gate), good()]);
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let deadlines = Deadlines { first_byte: Some(Duration::from_millis(100)), ..Deadlines::default() };
    let client = MeshClient::builder(gateway.base_url(), "k".parse().unwrap()).deadlines(deadlines).build();
    let (events, completion) = run(&client, &request("Hi"), &quick()).await;
    assert_eq!(completion.unwrap().text, "All is well");
    assert_eq!(events[0], "retry 2/5 network shown=false");
    tokio::time::timeout(HANG, gateway.outcome(0, Outcome::ClientLeft)).await.unwrap();
}

#[tokio::test]
async fn dropping_the_future_drops_the_request() {
    let reply = Reply::stream().text("partial ").stall();
    let gateway = ScriptedGateway::start(Script::in_order([reply])).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (client, log) = (client(&gateway), Arc::clone(&seen));
    let (shown, was_shown) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut shown = Some(shown);
        let mut sink = |event: StreamEvent<'_>| {
            log.lock().unwrap().push(line(&event));
            if let StreamEvent::Text(_) = event {
                let _ = shown.take().unwrap().send(());
            }
        };
        client.complete(&request("Hi"), &RetryPolicy::default(), &mut sink).await
    });
    was_shown.await.unwrap();
    task.abort();
    tokio::time::timeout(HANG, gateway.outcome(0, Outcome::ClientLeft)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["started req_0", "text partial "]);
    assert_eq!(gateway.requests().len(), 1);
}

#[tokio::test]
async fn a_wait_is_told_before_it_begins_and_ends_when_dropped() {
    let busy = || Reply::error(429, "rate_limit_exceeded", "x").header("retry-after", "60");
    let gateway = ScriptedGateway::start(Script::new(move |_| busy())).await.unwrap();
    let (told, was_told) = tokio::sync::oneshot::channel();
    let client = client(&gateway);
    let task = tokio::spawn(async move {
        let mut told = Some(told);
        let mut sink = |event: StreamEvent<'_>| {
            if let StreamEvent::Retry { wait, attempt, of, .. } = event {
                let _ = told.take().unwrap().send((wait, attempt, of));
            }
        };
        client.complete(&request("Hi"), &RetryPolicy::default(), &mut sink).await
    });
    assert_eq!(was_told.await.unwrap(), (Duration::from_secs(60), 2, 5));
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(gateway.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_can_be_left_between_two_steps_without_loss() {
    let gate = Gate::new();
    let reply = Reply::stream().text("a").gate(&gate).text("b").done();
    let gateway = ScriptedGateway::start(Script::in_order([reply])).await.unwrap();
    let mut stream = client(&gateway).stream(request("Hi").encode(true)).await.unwrap();
    let mut text = String::new();
    let mut sink = |delta: mesh_client::Delta<'_>| {
        if let mesh_client::Delta::Text(piece) = delta {
            text.push_str(piece);
        }
    };
    assert_eq!(stream.next(&mut sink).await, Flow::Continue);
    // A step that is polled and dropped takes nothing with it.
    for _ in 0..3 {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(pin!(stream.next(&mut sink)).poll(&mut cx), Poll::Pending));
    }
    gate.open();
    while stream.next(&mut sink).await == Flow::Continue {}
    let completion = stream.finish().await.unwrap();
    assert_eq!((completion.text.as_str(), text.as_str()), ("ab", "ab"));
}

#[tokio::test]
async fn the_partial_answer_stays_with_the_error() {
    let reply = Reply::stream().text("half ").tool_call("c", "grep", "{\"a\"", 9).truncate();
    let gateway = ScriptedGateway::start(Script::in_order([reply])).await.unwrap();
    let mut stream = client(&gateway).stream(request("Hi").encode(true)).await.unwrap();
    while stream.next(&mut |_| {}).await == Flow::Continue {}
    let (partial, error) = stream.conclude().await;
    assert_eq!(partial.text, "half ");
    assert_eq!(partial.tool_calls.len(), 1);
    assert!(matches!(error, Some(ClientError::Network { kind: NetworkKind::Truncated, .. })), "{error:?}");
}

/// A run: so many pieces, each a millisecond after the last.
fn running() -> StreamReply {
    (0..400).fold(Reply::stream(), |reply, n| reply.pause(Duration::from_millis(1)).text(&format!("{n} ")))
}

#[tokio::test]
async fn a_stream_that_is_gathered_says_the_same() {
    let whole: String = (0..400).map(|n| format!("{n} ")).collect();
    let reply = || running().usage(7, 3).done();
    let script = Script::in_order([reply(), reply(), running().truncate()]);
    let gateway = ScriptedGateway::start(script).await.unwrap();
    let client = MeshClient::builder(gateway.base_url(), "rsk_test".parse().unwrap());
    let client = client.gather(Duration::from_millis(20)).build();
    for _ in 0..2 {
        let (events, completion) = run(&client, &request("Hi"), &quick()).await;
        let handed_on: String = events.iter().filter_map(|event| event.strip_prefix("text ")).collect();
        assert_eq!((&handed_on, completion.unwrap().text), (&whole, whole.clone()));
    }
    assert_eq!(gateway.connections(), 1, "a connection that rested is kept like any other");
    let mut stream = client.stream(request("Hi").encode(true)).await.unwrap();
    while stream.next(&mut |_| {}).await == Flow::Continue {}
    let (partial, error) = stream.conclude().await;
    assert_eq!(partial.text, whole, "the end does not overtake what came before it");
    assert!(matches!(error, Some(ClientError::Network { kind: NetworkKind::Truncated, .. })), "{error:?}");
}
