//! Whole bodies: the gateway's services and non-streaming completions, against wiremock.
#![expect(clippy::unwrap_used, reason = "what a test sets up either stands or the test is wrong")]
use std::time::Duration;

use mesh_client::{
    ClientError, CompletionRequest, EncodedMessage, ErrorKind, MeshClient, Message, NetworkKind, SearchDepth,
    Usd, WebSearch,
};
use serde_json::{Value, json};
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn serve(verb: &str, at: &str, answer: ResponseTemplate) -> (MockServer, MeshClient) {
    let server = MockServer::start().await;
    let mock = Mock::given(method(verb)).and(path(at)).and(header("authorization", "Bearer rsk_test"));
    mock.respond_with(answer).expect(1).mount(&server).await;
    let base = format!("{}/v1", server.uri()).parse().unwrap();
    (server, MeshClient::builder(base, "rsk_test".parse().unwrap()).build())
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

#[tokio::test]
async fn the_catalogue_comes_in_both_shapes() {
    let rows = json!([
        {"id": "a/one", "context_length": 8000, "pricing": {"prompt_usd_per_1m": "1.5"}},
        {"id": ""}, "odd", {"id": "b/two", "context_window": 16000},
    ]);
    for body in [rows.clone(), json!({"data": rows})] {
        let (_server, client) = serve("GET", "/v1/models", ok(body)).await;
        let catalog = client.models().await.unwrap();
        assert_eq!(catalog.models().len(), 2);
        assert_eq!(catalog.context_tokens("b/two"), Some(16000));
    }
    let (_server, client) = serve("GET", "/v1/models", ok(json!({"object": "list"}))).await;
    assert_eq!(client.models().await.unwrap_err().kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn a_catalogue_of_megabytes_is_read() {
    let rows: Vec<Value> = (0..950)
        .map(|number| json!({"id": format!("vendor/model-{number}"), "description": "d".repeat(3000)}))
        .collect();
    let (_server, client) = serve("GET", "/v1/models", ok(json!(rows))).await;
    assert_eq!(client.models().await.unwrap().models().len(), 950);
}

#[tokio::test]
async fn balance() {
    let answer = json!({"available_usd": "12.50", "currency": "USD"});
    let (_server, client) = serve("GET", "/v1/balance", ok(answer)).await;
    let balance = client.balance().await.unwrap();
    assert_eq!((balance.available, &balance.raw["currency"]), (Some(Usd(12.5)), &json!("USD")));
    let (_server, client) = serve("GET", "/v1/balance", ok(json!({}))).await;
    assert_eq!(client.balance().await.unwrap().available, None);
}

#[tokio::test]
async fn usage_events_price_requests() {
    let events = json!({"events": [
        {"request_id": "req_1", "cost_usd": 0.001},
        {"request_id": "req_2", "cost_usd": "0.0005"},
        {"request_id": "req_3", "cost_usd": null},
        {"cost_usd": 1}, "odd",
    ]});
    let (server, client) = serve("POST", "/v1/usage/events", ok(events.clone())).await;
    let since: jiff::Timestamp = "2026-08-19T10:00:00Z".parse().unwrap();
    let rows = client.usage_events(since, 200).await.unwrap();
    assert_eq!(rows.len(), 3);
    let second = &rows[1];
    assert_eq!((second.request_id.as_str(), second.cost, rows[2].cost), ("req_2", Some(Usd(0.0005)), None));
    let body: Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    assert_eq!(body, json!({"org_id": "", "since": "2026-08-19T10:00:00Z", "limit": 200}));
    let sums = [(&["req_1", "req_2"][..], Some(0.0015)), (&["req_3"], None), (&["req_9"], None), (&[], None)];
    for (ids, wanted) in sums {
        let (_server, client) = serve("POST", "/v1/usage/events", ok(events.clone())).await;
        assert_eq!(client.billed(ids, since).await.unwrap(), wanted.map(Usd), "{ids:?}");
    }
}

#[tokio::test]
async fn web_search() {
    let answer = json!({"query": "q", "answer": "42", "provider": "p", "results": [
        {"title": "T", "url": "https://a.example/", "content": "C", "score": 0.9, "published_date": "2026-01-01"},
        {"url": "https://b.example/", "snippet": "S"},
        {"title": "no address"},
    ]});
    let server = MockServer::start().await;
    let wanted = json!({
        "query": "q", "max_results": 3, "search_depth": "advanced",
        "include_domains": ["a.example"], "include_answer": true,
    });
    let mock = Mock::given(method("POST")).and(path("/v1/web/search")).and(body_json(wanted));
    mock.respond_with(ok(answer)).expect(1).mount(&server).await;
    let base = format!("{}/v1", server.uri()).parse().unwrap();
    let client = MeshClient::builder(base, "rsk_test".parse().unwrap()).build();
    let search = WebSearch {
        max_results: 3,
        search_depth: SearchDepth::Advanced,
        include_domains: vec!["a.example".into()],
        include_answer: true,
        ..WebSearch::new("q")
    };
    let found = client.web_search(&search).await.unwrap();
    assert_eq!(found.answer.as_deref(), Some("42"));
    let contents: Vec<&str> = found.results.iter().map(|result| result.content.as_str()).collect();
    assert_eq!(contents, ["C", "S"]);
}

#[tokio::test]
async fn a_gateway_without_search_says_so() {
    let (_server, client) = serve("POST", "/v1/web/search", ResponseTemplate::new(404)).await;
    let error = client.web_search(&WebSearch::new("q")).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::NotFound, Some(404)));
}

#[tokio::test]
async fn the_routing_preview_names_a_model() {
    let answer = ok(json!({"resolved_model_id": "a/one", "tier": "small"}));
    let (server, client) = serve("POST", "/v1/router/select", answer).await;
    let messages: Vec<EncodedMessage> =
        [Message::system("s"), Message::user("u")].iter().map(EncodedMessage::from).collect();
    assert_eq!(client.router_select(&messages).await.unwrap().as_deref(), Some("a/one"));
    let body: Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    let sent = json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]});
    assert_eq!(body, sent);
}

#[tokio::test]
async fn services_tell_errors_as_completions_do() {
    let said = json!({"error": {"code": "unauthorized", "message": "bad key"}});
    let (_server, client) = serve("GET", "/v1/balance", ResponseTemplate::new(401).set_body_json(said)).await;
    assert_eq!(client.balance().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    let page = ResponseTemplate::new(200).set_body_raw("<html>login</html>", "text/html");
    let (_server, client) = serve("GET", "/v1/balance", page).await;
    let error = client.balance().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("<html>login"), "{error}");
}

fn question() -> CompletionRequest {
    let messages = vec![EncodedMessage::from(&Message::user("Hi"))];
    CompletionRequest { model: "demo/one".into(), messages, ..Default::default() }
}

#[tokio::test]
async fn a_whole_completion() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "grep", "arguments": "{}"}});
    let message = json!({"role": "assistant", "content": "Hello", "tool_calls": [call]});
    let body = json!({
        "model": "a/one-2026", "cost": "0.01",
        "choices": [{"message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    });
    let answer =
        ok(body).insert_header("x-request-id", "req_7").insert_header("x-mesh-routing-attempts", "2");
    let (server, client) = serve("POST", "/v1/chat/completions", answer).await;
    let completion = client.whole(question().encode(false)).await.unwrap();
    assert_eq!((completion.text.as_str(), completion.tool_calls[0].name.as_str()), ("Hello", "grep"));
    assert_eq!(completion.model.as_deref(), Some("a/one-2026"));
    assert_eq!(completion.headers.request_id.as_deref(), Some("req_7"));
    assert_eq!(completion.headers.routing_attempts.as_deref(), Some("2"));
    assert_eq!(completion.billed().map(|cost| cost.usd()), Some(Usd(0.01)));
    let body: Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    assert_eq!(body["stream"], false);
}

#[tokio::test]
async fn a_whole_completion_has_a_deadline_of_its_own() {
    let slow = ok(json!({})).set_delay(Duration::from_secs(600));
    let (server, _) = serve("POST", "/v1/chat/completions", slow).await;
    let base = format!("{}/v1", server.uri()).parse().unwrap();
    let client = MeshClient::builder(base, "rsk_test".parse().unwrap())
        .whole_timeout(Duration::from_millis(50))
        .build();
    let error = client.whole(question().encode(false)).await.unwrap_err();
    assert!(matches!(error, ClientError::Network { kind: NetworkKind::Timeout, .. }), "{error:?}");
}
