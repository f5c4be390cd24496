//! Caps: what may not be spent is not sent.

use crate::*;

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
    drop(proxy);
    let again = Proxy::start(&lab, &["--max-cost", "0.3"]);
    let (code, answer) = again.post("/v1/chat/completions", &body(2));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(code == 402 && answer.contains("$0.5000 is spent"), "a restart gives nothing back: {answer}");
    drop(again);
    let kept = lab.home().join(".meshapi/proxy-spent.json");
    std::fs::write(&kept, "{").unwrap();
    let run = lab.run(&["proxy", "--listen", "127.0.0.1:0", "--max-cost", "0.3"]);
    assert!(run.code == Some(1) && run.err.contains("proxy-spent.json cannot be read"), "{}", run.err);
}

#[test]
fn requests_at_the_same_moment_do_not_pass_a_cap_together() {
    let price = || json!({"prompt_usd_per_1m": "3000", "completion_usd_per_1m": "15"});
    let gate = Gate::new();
    let held = gate.clone();
    let script = Script::new(move |_| Reply::stream().text("a").gate(&held).usage(2000, 34).cost("6").done())
        .route("/models", move |_| {
            Reply::json(json!({"data": [{"id": "anthropic/claude-sonnet-4.5", "pricing": price()}]}))
        });
    let lab = Lab::new(script);
    // One of them is about 6 dollars.
    let proxy = Proxy::start(&lab, &["--dial", "0", "--max-cost", "10"]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| proxy.post("/v1/chat/completions", &body(0)).0);
        let begin = Instant::now();
        while chat(&lab).is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(30));
            std::thread::yield_now();
        }
        let (code, why) = proxy.post("/v1/chat/completions", &body(0));
        assert!(code == 402 && String::from_utf8_lossy(&why).contains("under way"), "{code}");
        gate.open();
        assert_eq!(first.join().unwrap(), 200);
    });
    let stats = proxy.stats(1);
    assert_eq!((&stats["spent_today_usd"], &stats["held_usd"]), (&json!(6.0), &json!(0.0)));
    assert_eq!(chat(&lab).len(), 1);
}

#[test]
fn what_was_refused_behind_it_is_given_back() {
    let price = || json!({"prompt_usd_per_1m": "3000", "completion_usd_per_1m": "15"});
    let script = Script::new(|_| Reply::error(503, "overloaded", "later")).route("/models", move |_| {
        Reply::json(json!({"data": [{"id": "anthropic/claude-sonnet-4.5", "pricing": price()}]}))
    });
    let lab = Lab::new(script);
    let proxy = Proxy::start(&lab, &["--dial", "0", "--max-cost", "10"]);
    for _ in 0..3 {
        assert_eq!(proxy.post("/v1/chat/completions", &body(0)).0, 503);
    }
    let stats = proxy.stats(0);
    assert_eq!(
        (&stats["spent_today_usd"], &stats["held_usd"], &stats["refused"]),
        (&json!(0.0), &json!(0.0), &json!(0))
    );
}

#[test]
fn a_cap_of_a_session_is_one_for_each_at_dial_0_too() {
    let price = || json!({"prompt_usd_per_1m": "3", "completion_usd_per_1m": "15"});
    let script = Script::new(|_| says("hello")).route("/models", move |_| {
        Reply::json(json!({"data": [{"id": "anthropic/claude-sonnet-4.5", "pricing": price()}]}))
    });
    let lab = Lab::new(script);
    let proxy = Proxy::start(&lab, &["--dial", "0", "--max-session-cost", "0.3"]);
    let other = String::from_utf8(body(0)).unwrap().replace("Be brief", "Be long");
    for (number, sent) in (1..).zip([body(0), body(1), other.into_bytes()]) {
        assert_eq!(proxy.post("/v1/chat/completions", &sent).0, 200, "request {number}");
        proxy.stats(number);
    }
    assert_eq!(proxy.post("/v1/chat/completions", &body(2)).0, 402);
    assert_eq!(proxy.stats(3)["sessions"].as_object().unwrap().len(), 2);
}

#[test]
fn two_proxies_of_one_home_share_the_day() {
    let price = || json!({"prompt_usd_per_1m": "3", "completion_usd_per_1m": "15"});
    let script = Script::new(|_| says("hello")).route("/models", move |_| {
        Reply::json(json!({"data": [{"id": "anthropic/claude-sonnet-4.5", "pricing": price()}]}))
    });
    let lab = Lab::new(script);
    let one = Proxy::start(&lab, &["--max-cost", "0.6"]);
    let other = Proxy::start(&lab, &["--max-cost", "0.6"]);
    for (proxy, spent) in [(&one, 0.25), (&other, 0.5)] {
        assert_eq!(proxy.post("/v1/chat/completions", &body(0)).0, 200);
        assert_eq!(proxy.stats(1)["spent_today_usd"], spent);
    }
    assert_eq!(
        one.post("/v1/chat/completions", &body(1)).0,
        200,
        "what the other spent is learned with a receipt"
    );
    one.stats(2);
    let (code, answer) = one.post("/v1/chat/completions", &body(2));
    assert_eq!(code, 402, "{}", String::from_utf8_lossy(&answer));
}
