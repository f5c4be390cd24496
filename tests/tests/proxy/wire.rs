//! What passes: byte for byte, and whatever goes wrong.

use crate::*;

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

/// Headers of one connection, and those that name it.
const OF_THE_CONNECTION: [&str; 5] = ["connection", "transfer-encoding", "host", "date", "keep-alive"];

fn travelling(headers: &[(String, String)]) -> Vec<(String, String)> {
    headers.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str())).cloned().collect()
}

fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: r1\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(size.max(1)) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Bodies of requests and of answers that were recorded, each request with an answer.
fn exchanges() -> Vec<(Vec<u8>, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let session = std::fs::read_to_string(
        folder.join("../crates/mesh-optimize/tests/fixtures/sessions/smith-95280573-53856.jsonl"),
    )
    .unwrap();
    let session: Value = serde_json::from_str(session.lines().next().unwrap()).unwrap();
    let messages = session["messages"].as_array().unwrap();
    let streams = std::fs::read_to_string(folder.join("fixtures/conformance/stream.jsonl")).unwrap();
    let answers = streams.lines().filter_map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        let pieces = record["input"]["responses"][0]["body"].as_array()?.clone();
        Some(pieces.iter().filter_map(Value::as_str).collect::<String>().into_bytes())
    });
    let mut requests = (1..messages.len()).step_by(3).cycle();
    answers
        .filter(|answer| !answer.is_empty())
        .step_by(4)
        .map(|answer| {
            let messages = &messages[..requests.next().unwrap()];
            (
                format!("{{\"model\":\"m\" , \"stream\":true,\n\"messages\":{}}}", json!(messages))
                    .into_bytes(),
                answer,
            )
        })
        .collect()
}

#[test]
fn recorded_exchanges_pass_byte_for_byte_at_dial_0() {
    let lab = Lab::new(Script::new(|_| says("unused")));
    // Any numbers do; they are the same in each run.
    let mut number = 88_172_645_463_325_252_u64;
    let mut next = move |below: usize| {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        usize::try_from(number % below.max(1) as u64).unwrap()
    };
    for (at, (sent, said)) in exchanges().into_iter().enumerate().take(24) {
        let (framing, framed) = match at % 3 {
            0 => (format!("content-length: {}\r\nconnection: close\r\n", said.len()), said.clone()),
            1 => (
                "transfer-encoding: chunked\r\nconnection: close\r\n".to_owned(),
                chunked(&said, 1 + next(300)),
            ),
            _ => ("connection: close\r\n".to_owned(), said.clone()),
        };
        let played = answer(&framing, &framed);
        let mut ends: Vec<usize> = (0..next(12)).map(|_| next(played.len())).collect();
        ends.sort_unstable();
        let upstream = Upstream::new(Play::Pieces(played, ends));
        let proxy = Proxy::start(&lab, &["--dial", "0", "--upstream", &upstream.url()]);
        let path =
            ["/v1/chat/completions?a=b%20c", "/v1/messages", "/v1/responses", "/v1/anything/else"][at % 4];
        let asked = request(path, "x-api-key: k\r\nX-Extra: Kept as it is\r\naccept-encoding: br\r\n", &sent);
        let direct = ask(&upstream.address, &asked).unwrap();
        let through = ask(&proxy.address, &asked).unwrap();
        assert_eq!((through.status, &through.body, through.is_whole), (200, &said, true), "{at}");
        assert_eq!(travelling(&direct.headers), travelling(&through.headers), "{at}");
        // The proxy itself asks for prices.
        let posts: Vec<_> =
            upstream.requests().into_iter().filter(|request| request.starts_with(b"POST")).collect();
        let [plain, passed] = &posts[..] else { panic!("two requests") };
        let head = |bytes: &[u8]| {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            let text = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let (first, rest) = text.split_once("\r\n").unwrap();
            let mut headers: Vec<(String, String)> = rest
                .split("\r\n")
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            headers.sort();
            (first.to_owned(), travelling(&headers), bytes[end + 4..].to_vec())
        };
        assert_eq!(head(plain), head(passed), "{at}");
    }
}

#[test]
fn a_broken_answer_is_seen_as_broken() {
    let lab = Lab::new(Script::new(|_| says("unused")));
    let text = b"data: {\"choices\":[]}\n\n".repeat(20);
    let (half, length) = (&text[..200], text.len());
    let cut_chunk = [&chunked(half, 50)[..100], b"ff\r\nabc"].concat();
    for (name, played) in [
        ("too little", answer(&format!("content-length: {length}\r\n"), half)),
        ("too much", answer("content-length: 100\r\n", &text)),
        ("a chunk that breaks off", answer("transfer-encoding: chunked\r\n", &cut_chunk)),
        ("no last chunk", answer("transfer-encoding: chunked\r\n", &chunked(half, 50)[..150])),
        ("nothing behind the head", answer("transfer-encoding: chunked\r\n", b"")),
    ] {
        let upstream = Upstream::new(Play::Bytes(played));
        for dial in ["0", "0.3"] {
            let proxy = Proxy::start(&lab, &["--dial", dial, "--upstream", &upstream.url()]);
            for path in ["/v1/chat/completions", "/v1/other"] {
                let asked = request(path, "", &body(2));
                let direct = ask(&upstream.address, &asked).unwrap();
                let Some(through) = ask(&proxy.address, &asked) else {
                    // It broke before anything was passed on.
                    assert!(!direct.is_whole, "{name} at {dial}");
                    continue;
                };
                assert_eq!(through.is_whole, direct.is_whole, "{name} at {dial}");
                assert!(direct.body.starts_with(&through.body), "{name} at {dial}");
            }
        }
    }
    for garbage in [&b""[..], b"SSH-2.0-none\r\n\r\n", b"HTTP/1.1 999999 odd\r\n\r\n", b"\0\0\0"] {
        let upstream = Upstream::new(Play::Bytes(garbage.to_vec()));
        let proxy = Proxy::start(&lab, &["--upstream", &upstream.url()]);
        let through = ask(&proxy.address, &request("/v1/chat/completions", "", &body(0))).unwrap();
        assert_eq!(through.status, 502, "{garbage:?}");
    }
}

#[test]
fn an_answer_that_hangs_is_shown_so_far_and_let_go_with_its_reader() {
    let lab = Lab::new(Script::new(|_| says("unused")));
    let first = answer("transfer-encoding: chunked\r\n", b"6\r\ndata: \r\n");
    let upstream = Upstream::new(Play::Hang(first));
    for (at, dial) in ["0", "0.3"].into_iter().enumerate() {
        let proxy = Proxy::start(&lab, &["--dial", dial, "--upstream", &upstream.url()]);
        // Where a lever was used, the first event is waited for; not for ever.
        let asked = request("/v1/chat/completions", "", &body(2));
        let mut socket = TcpStream::connect(&proxy.address).unwrap();
        socket.write_all(&asked).unwrap();
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&all).contains("data: ") {
            let count = socket.read(&mut piece).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&piece[..count]);
        }
        drop(socket);
        upstream.wait_left(at + 1);
    }
}

#[test]
fn packed_bodies_pass_as_they_are_and_their_reports_are_read() {
    let lab = Lab::new(Script::new(|_| says("unused")));
    // `gzip` of the report below; the tests hold no packer.
    let packed = packed_report();
    let headers =
        format!("content-encoding: gzip\r\ncontent-length: {}\r\nconnection: close\r\n", packed.len());
    let upstream = Upstream::new(Play::Bytes(answer(&headers, &packed)));
    let proxy = Proxy::start(&lab, &["--dial", "0.3", "--upstream", &upstream.url()]);
    let sent = [&packed[..], b"\x00\xff"].concat();
    let asked = request("/v1/chat/completions", "content-encoding: gzip\r\naccept-encoding: gzip\r\n", &sent);
    let through = ask(&proxy.address, &asked).unwrap();
    assert_eq!((&through.body, through.is_whole), (&packed, true));
    let posts: Vec<_> =
        upstream.requests().into_iter().filter(|request| request.starts_with(b"POST")).collect();
    let seen = &posts[0];
    assert!(seen.ends_with(&sent) && String::from_utf8_lossy(seen).contains("accept-encoding: gzip"));
    assert_eq!(proxy.stats(1)["sum"]["input_tokens"], 9);
}

/// `data: {"usage":{"prompt_tokens":9,"completion_tokens":2}}` and an empty line, stored by gzip without packing.
fn packed_report() -> Vec<u8> {
    let text = b"data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n";
    let mut crc = u32::MAX;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    let length = u16::try_from(text.len()).unwrap();
    [
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1][..],
        &length.to_le_bytes(),
        &(!length).to_le_bytes(),
        text,
        &(!crc).to_le_bytes(),
        &u32::from(length).to_le_bytes(),
    ]
    .concat()
}

#[test]
fn half_a_request_reaches_nobody() {
    let lab = Lab::new(Script::new(|_| says("hello")));
    let proxy = Proxy::start(&lab, &["--dial", "0.1"]);
    let whole = request("/v1/chat/completions", "authorization: Bearer k\r\n", &body(0));
    for part in [10, 120, whole.len() - 1] {
        let mut socket = TcpStream::connect(&proxy.address).unwrap();
        socket.write_all(&whole[..part]).unwrap();
    }
    for (odd, code) in [
        (&b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n"[..], 400),
        (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n",
            413,
        ),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
    ] {
        let seen = ask(&proxy.address, odd);
        assert!(seen.is_none_or(|seen| seen.status == code), "{}", String::from_utf8_lossy(odd));
    }
    assert_eq!(ask(&proxy.address, &whole).unwrap().status, 200);
    assert_eq!(chat(&lab).len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn slow_readers_take_no_memory() {
    const READERS: usize = 200;
    let lab = Lab::new(Script::new(|_| says("unused")));
    let piece = vec![b'x'; 64 << 10];
    let upstream = Upstream::new(Play::Flood(answer("connection: close\r\n", &piece), 64));
    let proxy = Proxy::start(&lab, &["--dial", "0", "--upstream", &upstream.url()]);
    let asked = request("/v1/chat/completions", "", b"{}");
    let readers: Vec<TcpStream> = (0..READERS)
        .map(|_| {
            let mut socket = TcpStream::connect(&proxy.address).unwrap();
            socket.write_all(&asked).unwrap();
            socket
        })
        .collect();
    let begin = Instant::now();
    while upstream.requests().len() < READERS {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} came through", upstream.requests().len());
        std::thread::sleep(Duration::from_millis(10));
    }
    // Each answer has begun.
    for mut reader in &readers {
        assert!(reader.read(&mut [0; 16]).unwrap() > 0);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    // 4 MiB are meant for each of them, 800 MiB in all.
    assert!(kib < 200 << 10, "{line}");
    assert_eq!(proxy.get("/stats", &format!("host: {}\r\n", proxy.address)).0, 200, "others are served");
}
