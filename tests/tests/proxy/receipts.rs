//! Sessions, their levers, and what is written down of each request.

use crate::*;

#[test]
fn at_dial_0_bytes_pass_in_both_directions() {
    let lab = Lab::new(Script::new(|_| says("hello")));
    let proxy = Proxy::start(&lab, &["--dial", "0"]);
    let sent = body(2);
    let (code, answer) = proxy.post("/v1/chat/completions?a=b%20c", &sent);
    let seen = &chat(&lab)[0];
    assert_eq!((code, &seen.body[..]), (200, &sent[..]));
    assert_eq!((seen.header("x-extra"), seen.header("authorization")), ("kept", "Bearer k"));
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("hello") && text.contains("data: [DONE]"), "{text}");
    let stats = proxy.stats(1);
    assert_eq!((&stats["sum"]["billed_usd"], &stats["sum"]["input_tokens"]), (&json!(0.25), &json!(2000)));
    assert_eq!(stats["sum"]["saved_vs_native_usd"], 0.0, "nothing was done, nothing is claimed");
}

#[test]
fn a_session_gets_the_levers_and_its_receipts() {
    let lab = Lab::new(Script::new(|_| says("hello")));
    let proxy = Proxy::start(&lab, &["--dial", "0.1"]);
    for turns in 0..3 {
        assert_eq!(proxy.post("/v1/chat/completions", &body(turns)).0, 200);
        proxy.stats(turns as u64 + 1);
    }
    let requests = chat(&lab);
    assert!(requests.iter().all(|request| request.json.to_string().contains("cache_control")));
    assert_eq!(requests[2].json["x"], 1.0);
    let stats = proxy.stats(3);
    let sessions = stats["sessions"].as_object().unwrap();
    assert_eq!(sessions.len(), 1, "found by how it begins: {stats:#}");
    assert_eq!(sessions.values().next().unwrap()["line"], json!([0.25, 0.25, 0.25]));
    assert_eq!((&stats["levers"]["breakpoints"], &stats["misses"]["first"]), (&json!(3), &json!(1)));
    let (code, page) = proxy.get("/", &format!("host: {}\r\n", proxy.address));
    assert!(code == 200 && page.contains("$0.7500") && page.contains("<svg"), "{page}");
    let (_, metrics) = proxy.get("/metrics", &format!("host: {}\r\n", proxy.address));
    assert!(metrics.contains("\nmeshapi_proxy_billed_usd_total 0.75\n"), "{metrics}");
}

#[test]
fn a_refused_request_goes_out_as_it_came() {
    let lab = Lab::new(Script::new(|request| match request.json.to_string().contains("cache_control") {
        true => Reply::error(400, "invalid_request_error", "unknown field cache_control"),
        false => says("hello"),
    }));
    let proxy = Proxy::start(&lab, &["--dial", "0.1"]);
    let sent = body(0);
    let (code, answer) = proxy.post("/v1/chat/completions", &sent);
    assert!(code == 200 && String::from_utf8_lossy(&answer).contains("hello"));
    assert_eq!(&chat(&lab)[1].body[..], &sent[..]);
    assert_eq!(proxy.stats(1)["sent_raw"], 1);
    assert_eq!(proxy.post("/v1/chat/completions", &body(1)).0, 200);
    assert_eq!(proxy.stats(2)["sent_raw"], 1, "what was refused is not tried with each request");
    assert_eq!(chat(&lab).len(), 3);
}

#[test]
fn requests_of_one_session_at_once_get_a_receipt_each() {
    let gate = Gate::new();
    let held = gate.clone();
    let lab = Lab::new(Script::new(move |_| {
        Reply::stream().text("a").gate(&held).text("b").usage(2000, 34).cost("0.25").done()
    }));
    let proxy = Proxy::start(&lab, &["--dial", "0.1"]);
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| proxy.post("/v1/chat/completions", &body(1)).0));
        let begin = Instant::now();
        while chat(&lab).len() < 2 {
            assert!(begin.elapsed() < Duration::from_secs(30), "both are sent before one is answered");
            std::thread::yield_now();
        }
        gate.open();
        for one in both {
            assert_eq!(one.join().unwrap(), 200);
        }
    });
    assert_eq!(proxy.stats(2)["sum"]["billed_usd"], 0.5);
}

#[test]
fn a_refusal_inside_a_stream_is_one() {
    let lab = Lab::new(Script::new(|request| match request.json.to_string().contains("cache_control") {
        true => Reply::stream().error(json!({"code": 400, "message": "unknown field cache_control"})),
        false => says("hello"),
    }));
    let proxy = Proxy::start(&lab, &["--dial", "0.1"]);
    let sent = body(0);
    let (code, answer) = proxy.post("/v1/chat/completions", &sent);
    let answer = String::from_utf8_lossy(&answer);
    assert!(code == 200 && answer.contains("hello") && !answer.contains("unknown field"), "{answer}");
    assert_eq!(&chat(&lab)[1].body[..], &sent[..]);
    assert_eq!(proxy.stats(1)["sent_raw"], 1);
}

/// A session of a client of the responses API, with so many calls, each with a long result.
fn items(calls: usize) -> Vec<u8> {
    let mut input =
        vec![json!({"role": "user", "content": [{"type": "input_text", "text": "find the fault"}]})];
    for call in 0..calls {
        let lines: Vec<String> =
            (0..120).map(|line| format!("run {call}: test number {line} passed without a word")).collect();
        input.push(json!({"type": "reasoning", "encrypted_content": "AAAA", "summary": []}));
        input.push(json!({"type": "function_call", "call_id": format!("c{call}"), "name": "shell", "arguments": "{\"command\":\"make test\"}"}));
        input.push(json!({"type": "function_call_output", "call_id": format!("c{call}"), "output": lines.join("\n")}));
    }
    json!({"model": "openai/gpt-4.1", "stream": true, "store": false, "input": input})
        .to_string()
        .into_bytes()
}

#[test]
fn a_history_in_items_gets_the_levers_and_one_that_lies_elsewhere_does_not() {
    let report = json!({"type": "response.completed", "response": {"usage": {"input_tokens": 900, "input_tokens_details": {"cached_tokens": 400}, "output_tokens": 7}}});
    let script =
        Script::new(|_| says("unused")).route("/responses", move |_| Reply::stream().event(&report).end());
    let lab = Lab::new(script);
    let proxy = Proxy::start(&lab, &["--dial", "0.5"]);
    for calls in 0..12 {
        assert_eq!(proxy.post("/v1/responses", &items(calls)).0, 200);
        proxy.stats(calls as u64 + 1);
    }
    let seen = lab.requests();
    let whole = items(11);
    let last = seen.iter().rfind(|request| request.path == "/responses").unwrap();
    assert!(last.body.len() < whole.len() / 2, "{} of {}", last.body.len(), whole.len());
    let (sent, asked): (Value, Value) = (last.json.clone(), serde_json::from_slice(&whole).unwrap());
    let shapes = |body: &Value| -> Vec<(String, Value)> {
        body["input"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["type"].to_string(), item["call_id"].clone()))
            .collect()
    };
    assert_eq!(shapes(&sent), shapes(&asked));
    let stats = proxy.stats(12);
    assert_eq!(stats["sessions"].as_object().unwrap().len(), 1);
    assert_eq!(
        (&stats["sum"]["input_tokens"], &stats["sum"]["cache_read_tokens"]),
        (&json!(10_800), &json!(4_800))
    );
    let elsewhere = br#"{"model":"openai/gpt-4.1", "previous_response_id": "r1", "input": [{"role":"user","content":"on"}]}"#;
    assert_eq!(proxy.post("/v1/responses", elsewhere).0, 200);
    assert_eq!(&lab.requests().last().unwrap().body[..], &elsewhere[..]);
    assert_eq!(proxy.stats(13)["sum"]["input_tokens"], 11_700);
}

#[test]
fn a_restart_changes_no_byte() {
    let lab = Lab::new(Script::new(|_| says("unused")).route("/responses", |_| Reply::stream().done()));
    let sent = |restarts: bool| -> Vec<Vec<u8>> {
        let before = lab.requests().len();
        let mut proxy = Proxy::start(&lab, &["--dial", "0.5"]);
        for calls in 4..10 {
            if restarts && calls % 3 == 0 {
                proxy = Proxy::start(&lab, &["--dial", "0.5"]);
            }
            assert_eq!(proxy.post("/v1/responses", &items(calls)).0, 200);
        }
        let requests = lab.requests().into_iter().skip(before);
        requests.filter(|request| request.path == "/responses").map(|request| request.body.to_vec()).collect()
    };
    assert_eq!(sent(false), sent(true));
}
