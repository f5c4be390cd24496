//! Journeys through `meshapi proxy`: a client that knows nothing of it, the proxy, and a gateway that notes what it gets.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use mesh_client::scripted::{Gate, Reply, Script, ScriptedRequest};
use mesh_tests::lab::Lab;
use serde_json::{Value, json};

/// A proxy in front of a lab's gateway.
struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    fn start(lab: &Lab, arguments: &[&str]) -> Proxy {
        let arguments = [&["proxy", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut child = lab.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        Proxy { address: address.unwrap_or_else(|| panic!("{line}")).to_owned(), child }
    }

    /// Sends bytes as they are and reads all that comes back: head and body.
    fn raw(&self, request: &[u8]) -> (String, Vec<u8>) {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.write_all(request).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
    }

    fn post(&self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer k\r\ncontent-type: application/json\r\nx-extra: kept\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        let (head, body) = self.raw(&[head.as_bytes(), body].concat());
        (status(&head), body)
    }

    fn get(&self, path: &str, headers: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        let (head, body) = self.raw(request.as_bytes());
        (status(&head), String::from_utf8_lossy(&body).into_owned())
    }

    /// The books, once so many requests are entered: a receipt is written after the answer has ended.
    fn stats(&self, requests: u64) -> Value {
        let begin = Instant::now();
        loop {
            let (_, text) = self.get("/stats", &format!("host: {}\r\n", self.address));
            let stats: Value =
                serde_json::from_str(&text[text.find('{').unwrap()..=text.rfind('}').unwrap()]).unwrap();
            if stats["sum"]["requests"] == requests {
                return stats;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{stats:#}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn says(text: &str) -> Reply {
    Reply::stream().text(text).usage(2000, 34).cost("0.25").done()
}

/// A body with a long system prompt, spaced as no serialiser of ours would.
fn body(turns: usize) -> Vec<u8> {
    let words = "Be brief and exact. ".repeat(400);
    let mut messages =
        vec![json!({"role": "system", "content": words}), json!({"role": "user", "content": "go"})];
    for turn in 0..turns {
        messages.push(json!({"role": "assistant", "content": format!("did {turn}")}));
        messages.push(json!({"role": "user", "content": "on"}));
    }
    format!(
        "{{ \"stream\":true,\"model\" :\"anthropic/claude-sonnet-4.5\",\n \"messages\": {} , \"x\":1.0}}",
        Value::from(messages)
    )
    .into_bytes()
}

fn chat(lab: &Lab) -> Vec<ScriptedRequest> {
    lab.requests().into_iter().filter(|request| request.path == "/chat/completions").collect()
}

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
fn what_nobody_reports_is_no_bill_and_counts_against_the_cap() {
    let price = || json!({"prompt_usd_per_1m": "3000", "completion_usd_per_1m": "15"});
    let script = Script::new(|_| Reply::stream().text("hello").done()).route("/models", move |_| {
        Reply::json(json!({"data": [{"id": "anthropic/claude-sonnet-4.5", "pricing": price()}]}))
    });
    let lab = Lab::new(script);
    let proxy = Proxy::start(&lab, &["--dial", "0", "--max-cost", "10"]);
    assert_eq!(proxy.post("/v1/chat/completions", &body(0)).0, 200);
    let stats = proxy.stats(1);
    assert_eq!((&stats["sum"]["billed_usd"], &stats["sum"]["unpriced"]), (&json!(0.0), &json!(1)));
    assert!(stats["spent_today_usd"].as_f64().unwrap() > 5.0, "{stats:#}");
    assert_eq!(proxy.post("/v1/chat/completions", &body(0)).0, 402);
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
fn a_cap_says_no_before_anything_is_spent() {
    let price = || json!({"prompt_usd_per_1m": "3", "completion_usd_per_1m": "15"});
    let script = Script::new(|_| says("hello")).route("/models", move |_| {
        Reply::json(json!({"data": [{"id": "anthropic/claude-sonnet-4.5", "pricing": price()}]}))
    });
    let lab = Lab::new(script);
    let proxy = Proxy::start(&lab, &["--max-cost", "0.3"]);
    assert_eq!(proxy.post("/v1/chat/completions", &body(0)).0, 200);
    assert_eq!(proxy.stats(1)["spent_today_usd"], 0.25);
    assert_eq!(proxy.post("/v1/chat/completions", &body(1)).0, 200, "what it costs stands at its end");
    proxy.stats(2);
    for (sent, why) in [
        (body(2), "$0.5000 is spent"),
        (br#"{"model": "no/such", "messages": []}"#.to_vec(), "no price is known"),
    ] {
        let (code, answer) = proxy.post("/v1/chat/completions", &sent);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(code == 402 && answer.contains(why) && answer.contains("--max-cost 0.3"), "{answer}");
    }
    assert_eq!(chat(&lab).len(), 2);
    assert_eq!(proxy.stats(2)["refused"], 2);
}

#[test]
fn strangers_stay_outside() {
    let lab = Lab::new(Script::new(|_| says("hello")));
    let proxy = Proxy::start(&lab, &["--token", "s3cret"]);
    let host = format!("host: {}\r\n", proxy.address);
    for (headers, code) in [
        ("host: example.com\r\nx-proxy-token: s3cret\r\n".to_owned(), 403),
        (format!("{host}origin: https://example.com\r\nx-proxy-token: s3cret\r\n"), 403),
        (format!("{host}origin: null\r\nx-proxy-token: s3cret\r\n"), 403),
        (host.clone(), 403),
        (format!("{host}x-proxy-token: wrong\r\n"), 403),
        (format!("{host}x-proxy-token: s3cret\r\n"), 200),
        ("host: localhost\r\norigin: http://localhost:99\r\nx-proxy-token: s3cret\r\n".to_owned(), 200),
    ] {
        assert_eq!(proxy.get("/stats", &headers).0, code, "{headers}");
    }
    let run = lab.run(&["proxy", "--listen", "0.0.0.0:0"]);
    assert!(run.code == Some(2) && run.err.contains("--token"), "{}", run.err);
}

#[test]
fn what_goes_wrong_behind_it_is_told() {
    let lab = Lab::new(Script::new(|_| Reply::error(429, "rate_limit_error", "slow down")));
    let proxy = Proxy::start(&lab, &["--dial", "0.1"]);
    let (code, answer) = proxy.post("/v1/chat/completions", &body(0));
    assert!(code == 429 && String::from_utf8_lossy(&answer).contains("slow down"));
    assert_eq!(chat(&lab).len(), 1, "who is refused for its pace is not sent again");
    for odd in [&b"not json"[..], b"{}", b"[1]", b"\xff\xfe"] {
        assert_eq!(proxy.post("/v1/chat/completions", odd).0, 429);
        assert_eq!(&chat(&lab).last().unwrap().body[..], odd, "what is not understood passes as it is");
    }
    let nobody = Proxy::start(&lab, &["--upstream", "http://127.0.0.1:1/v1"]);
    let (code, answer) = nobody.post("/v1/chat/completions", &body(0));
    assert!(code == 502 && String::from_utf8_lossy(&answer).contains("127.0.0.1"), "{code}");
}
