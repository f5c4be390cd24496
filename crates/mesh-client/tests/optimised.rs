//! Optimised bytes over a scripted gateway: what is sent when they fail, and what the caller learns of it.
#![expect(clippy::unwrap_used, reason = "what a test sets up either stands or the test is wrong")]
use std::time::Duration;

use mesh_client::scripted::{Reply, Script, ScriptedGateway};
use mesh_client::{
    Answer, ClientError, CompletionRequest, Delivery, EncodedMessage, MeshClient, Message, RequestBody,
    RetryPolicy, StreamEvent,
};
use serde_json::json;

/// Nothing here takes that long; a test that hangs says so.
const HANG: Duration = Duration::from_secs(60);

const OPTIMISED: &str = r#"{"model":"demo/one","messages":[],"stream":true,"shortened":true}"#;

/// Five attempts as usual, without the waits.
fn quick() -> RetryPolicy {
    RetryPolicy { backoff_base: Duration::from_millis(1), ..RetryPolicy::default() }
}

fn good() -> Reply {
    Reply::stream().text("well").done()
}

fn refused(status: u16) -> Reply {
    Reply::error(status, "some_code", "no")
}

/// Runs one completion of which both bodies are known. Gives what was sent (`o` optimised, `r` raw, `w` raw without streaming),
/// which retries were told, and the outcome.
async fn run(
    replies: Vec<Reply>,
    policy: RetryPolicy,
    effort: Option<&str>,
) -> (String, String, Result<Answer, ClientError>) {
    let gateway = ScriptedGateway::start(Script::in_order(replies)).await.unwrap();
    let client = MeshClient::builder(gateway.base_url(), "rsk_test".parse().unwrap()).build();
    let messages = vec![EncodedMessage::from(&Message::user("Hi"))];
    let reasoning_effort = effort.map(str::to_owned);
    let request =
        CompletionRequest { model: "demo/one".into(), messages, reasoning_effort, ..Default::default() };
    let mut told = String::new();
    let mut sink = |event: StreamEvent<'_>| match event {
        StreamEvent::Retry { wait, .. } => told.push(if wait.is_zero() { '0' } else { 'w' }),
        StreamEvent::WholeRequest { .. } => told.push('W'),
        _ => {}
    };
    let body = RequestBody::from_bytes(OPTIMISED);
    let outcome = client.complete_optimised(&request, body, &policy, &mut sink);
    let outcome = tokio::time::timeout(HANG, outcome).await.expect("no journey hangs");
    let sent = gateway.requests().into_iter().map(|request| {
        assert!(request.json["messages"].is_array());
        match (request.json["shortened"] == true, request.wants_stream()) {
            (true, true) => 'o',
            (false, true) => 'r',
            (false, false) => 'w',
            (true, false) => panic!("optimised bytes without streaming"),
        }
    });
    (sent.collect(), told, outcome)
}

#[track_caller]
fn check(replies: Vec<Reply>, want: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = std::panic::Location::caller();
    let (sent, told, outcome) = runtime.block_on(run(replies, quick(), Some("high")));
    let outcome = match outcome.map(|answer| answer.delivery) {
        Ok(Delivery::Optimised) => "optimised".to_owned(),
        Ok(Delivery::Raw) => "raw".to_owned(),
        Ok(Delivery::RawAfter(error)) => format!("raw after {}", error.kind().as_str()),
        Err(error) => format!("error {}", error.kind().as_str()),
    };
    assert_eq!(format!("{sent} {told}: {outcome}"), want, "{place}");
}

#[test]
fn refused_bytes_are_followed_by_raw_ones_at_once() {
    check(vec![good()], "o : optimised");
    check(vec![refused(400), good()], "or 0: raw after invalid_request");
    check(vec![refused(403), good()], "or 0: raw after forbidden");
    check(vec![refused(404), good()], "or 0: raw after not_found");
    check(vec![refused(413), good()], "or 0: raw after context_overflow");
    check(vec![refused(422), good()], "or 0: raw after invalid_request");
    let inband = |code: serde_json::Value| Reply::stream().error(json!({"code": code, "message": "no"}));
    check(vec![inband(json!(400)), good()], "or 0: raw after invalid_request");
    check(vec![inband(json!("invalid_request_error")), good()], "or 0: raw after invalid_request");
}

#[test]
fn refusals_that_no_other_bytes_would_mend_stay_what_they_are() {
    check(vec![refused(401)], "o : error unauthorized");
    check(vec![refused(402)], "o : error spend_limit");
    check(vec![refused(408), good()], "oo w: optimised");
    check(vec![refused(429), good()], "oo w: optimised");
    check(vec![Reply::stream().error(json!({"code": 402, "message": "no"}))], "o : error spend_limit");
}

#[test]
fn failures_that_pass_are_retried_with_the_same_bytes_and_end_raw() {
    check(vec![refused(500), good()], "oo w: optimised");
    check(vec![Reply::close(), refused(400), good()], "oor w0: raw after invalid_request");
    let five = |reply: fn() -> Reply| -> Vec<Reply> { (0..5).map(|_| reply()).collect() };
    let whole = |mut replies: Vec<Reply>| {
        replies.push(Reply::completion("well"));
        replies
    };
    check(whole(five(|| refused(500))), "ooooow wwwwW: raw after upstream");
    check(whole(five(Reply::close)), "ooooow wwwwW: raw");
    check(whole(five(|| refused(429))), "ooooow wwwwW: raw");
}

#[test]
fn bytes_are_blamed_only_for_what_raw_ones_do_not_meet() {
    let effort = || Reply::error(400, "unsupported_parameter", "reasoning_effort is not supported");
    check(vec![effort(), effort(), good()], "orr 00: raw");
    check(vec![effort(), good()], "or 0: raw after unsupported_field");
    check(vec![refused(400), refused(400)], "or 0: error invalid_request");
    check(vec![refused(400), refused(500), good()], "orr 0w: raw after invalid_request");
}

#[tokio::test]
async fn raw_bytes_follow_even_where_nothing_is_tried_again() {
    let (sent, _, outcome) = run(vec![refused(400), good()], RetryPolicy::never(), None).await;
    assert_eq!((sent.as_str(), outcome.unwrap().completion.text.as_str()), ("or", "well"));
    let (sent, _, outcome) = run(vec![refused(500), good()], RetryPolicy::never(), None).await;
    assert!(outcome.is_err());
    assert_eq!(sent, "o");
}
