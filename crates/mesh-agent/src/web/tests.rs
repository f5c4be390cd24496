use std::{
    io::Write,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use mesh_safety::rules::Rule;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TEXT: &[u8] = b"some text";

/// Text of at most 1000 bytes.
const WANTED: Wanted =
    Wanted { accept: "text/plain", takes: |kind| kind == "text/plain", max_bytes: 1000, is_answered: false };

type Asked = Arc<Mutex<Vec<String>>>;

/// Over a resolver that gives these answers in turn, the last one again and again; tells which names it was asked for.
fn resolving(answers: Vec<Vec<IpAddr>>) -> (Web, Asked) {
    let asked = Asked::default();
    let told = Arc::clone(&asked);
    let web = Web::resolving(move |host, _| {
        let mut told = told.lock().unwrap();
        let answer = answers[told.len().min(answers.len() - 1)].clone();
        told.push(host);
        Box::pin(async move { Ok(answer) })
    });
    (web, asked)
}

fn rules(rules: &[(Effect, &str)]) -> SharedRules {
    let rules = rules.iter().map(|(effect, text)| Rule::parse(*effect, text).unwrap());
    SharedRules::new(rules.collect())
}

/// All names lead here, and the user lets these hosts be reached wherever they are.
pub(crate) fn lenient(hosts: &[&str]) -> (Web, Asked) {
    let (web, asked) = resolving(vec![vec![LOOPBACK]]);
    let lines: Vec<String> = hosts.iter().map(|host| format!("host {host}")).collect();
    let allowed: Vec<_> = lines.iter().map(|line| (Effect::Allow, line.as_str())).collect();
    (web.with_rules(rules(&allowed)), asked)
}

/// Answers one request after the other with these bytes, and then refuses; `PORT` in them is its port.
pub(crate) async fn serve(answers: Vec<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let text = String::from_utf8_lossy(&answer).replace("PORT", &port.to_string());
            let bytes = if answer.windows(4).any(|w| w == b"PORT") { text.into_bytes() } else { answer };
            let _ = stream.write_all(&bytes).await;
        }
    });
    port
}

pub(crate) fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn kind(error: &WebError) -> &'static str {
    match error {
        WebError::Refused(_) => "refused",
        WebError::OtherType { .. } => "type",
        WebError::TooLarge { .. } => "too large",
        WebError::Failed(_) => "failed",
    }
}

async fn fetched(answers: Vec<Vec<u8>>) -> (Result<Fetched, &'static str>, Vec<String>) {
    let port = serve(answers).await;
    let (web, asked) = lenient(&["pages.example", "other.example"]);
    let fetched = web.fetch(&format!("http://pages.example:{port}/dir/a?x"), &WANTED).await;
    (fetched.map_err(|error| kind(&error)), asked.lock().unwrap().clone())
}

#[tokio::test]
async fn the_judged_address_is_the_one_that_is_reached() {
    let (came, asked) = fetched(vec![answer("200 OK\r\nContent-Type: text/plain; x=y", TEXT)]).await;
    let came = came.unwrap();
    assert_eq!((&came.bytes[..], came.content_type.as_deref()), (TEXT, Some("text/plain; x=y")));
    assert_eq!(came.target.url().path(), "/dir/a");
    assert_eq!(asked, ["pages.example"]);
}

#[tokio::test]
async fn nothing_of_the_user_goes_along() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).await.unwrap();
        stream.write_all(&answer("200 OK", TEXT)).await.unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    });
    let (web, _) = lenient(&["pages.example"]);
    web.fetch(&format!("http://pages.example:{port}/a#part"), &WANTED).await.unwrap();
    let request = heard.await.unwrap().replace(&port.to_string(), "PORT");
    let request = request.replace(env!("CARGO_PKG_VERSION"), "VERSION").replace('\r', "");
    insta::assert_snapshot!(request.trim(), @r"
    GET /a HTTP/1.1
    accept: text/plain
    accept-encoding: gzip
    user-agent: meshapi/VERSION
    host: pages.example:PORT
    ");
}

#[tokio::test]
async fn every_redirect_is_judged() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let there = answer(&format!("{status}\r\nLocation: http://other.example:PORT/b"), b"");
        let (came, asked) = fetched(vec![there, answer("200 OK", TEXT)]).await;
        assert_eq!(came.unwrap().target.host(), "other.example");
        assert_eq!(asked, ["pages.example", "other.example"]);
    }
    let again = answer("302 Found\r\nLocation: /again", b"");
    let (came, asked) = fetched(vec![again; 12]).await;
    assert_eq!((came.unwrap_err(), asked.len()), ("refused", 6));
    for (head, want) in [
        ("302 Found\r\nLocation: file:///etc/hosts", "refused"),
        ("302 Found\r\nLocation: http://localhost:PORT/", "refused"),
        ("302 Found\r\nLocation: http://127.0.0.1:PORT/", "refused"),
        ("302 Found\r\nLocation: http://third.example:PORT/", "refused"),
        ("302 Found\r\nLocation: http://user:pw@other.example/", "refused"),
        ("302 Found", "failed"),
        ("304 Not Modified\r\nLocation: /b", "failed"),
    ] {
        assert_eq!(
            fetched(vec![answer(head, b""), answer("200 OK", TEXT)]).await.0.unwrap_err(),
            want,
            "{head}"
        );
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_is_not_wanted_is_not_taken() {
    let sized = |length: usize| format!("200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}");
    let packed = |how: &str| format!("200 OK\r\nContent-Encoding: {how}");
    let chunked = [b"3e8\r\n".as_slice(), &[b'.'; 1000], b"\r\n1\r\n.\r\n0\r\n\r\n"].concat();
    for (head, body, want) in [
        ("200 OK\r\nContent-Type: image/png", TEXT.to_vec(), "type"),
        (&sized(1001), vec![b'.'; 1001], "too large"),
        // Refused by its head, without a byte of it; and by what comes, when the head says nothing.
        (&sized(1 << 40), Vec::new(), "too large"),
        ("200 OK", vec![b'.'; 1001], "too large"),
        ("200 OK\r\nTransfer-Encoding: chunked", chunked, "too large"),
        (&sized(1000), vec![b'.'; 999], "failed"),
        ("404 Not Found", TEXT.to_vec(), "failed"),
        ("\0", Vec::new(), "failed"),
        (&packed("gzip"), gzip(&[b'.'; 1001]), "too large"),
        (&packed("gzip"), TEXT.to_vec(), "failed"),
        (&packed("gzip"), gzip(TEXT)[..12].to_vec(), "failed"),
        (&packed("br"), TEXT.to_vec(), "failed"),
    ] {
        assert_eq!(fetched(vec![answer(head, &body)]).await.0.unwrap_err(), want, "{head}");
    }
    let whole = fetched(vec![answer(&sized(1000), &[b'.'; 1000])]).await.0.unwrap();
    assert_eq!(whole.bytes.len(), 1000);
    let whole = fetched(vec![answer(&packed("GZIP"), &gzip(&[b'.'; 1000]))]).await.0.unwrap();
    assert_eq!(whole.bytes, [b'.'; 1000].as_slice());
    assert_eq!(fetched(vec![]).await.0.unwrap_err(), "failed");
}

#[tokio::test]
async fn an_error_names_type_and_size() {
    let head = "200 OK\r\nContent-Type: Application/PDF; x=y\r\nContent-Length: 12345";
    let port = serve(vec![answer(head, b"%PDF")]).await;
    let (web, _) = lenient(&["pages.example"]);
    let error = web.fetch(&format!("http://pages.example:{port}/"), &WANTED).await.unwrap_err();
    assert_eq!(error.to_string(), "it is application/pdf of 12345 bytes");
}

#[tokio::test]
async fn what_does_not_come_or_does_not_end_is_not_waited_for() {
    for begun in [b"".as_slice(), b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nso far"] {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let held = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(begun).await.unwrap();
            // From here on nothing comes, and the clock runs ahead.
            tokio::time::pause();
            std::future::pending::<()>().await;
        });
        let (web, _) = lenient(&["pages.example"]);
        let error = web.fetch(&format!("http://pages.example:{port}/a"), &WANTED).await.unwrap_err();
        assert_eq!(error.to_string(), "it did not come within 30 s");
        held.abort();
        tokio::time::resume();
    }
}

#[tokio::test]
async fn private_addresses_are_refused() {
    let public = IpAddr::from([93, 184, 216, 34]);
    for (address, answers) in [
        ("http://127.0.0.1:9/a", vec![public]),
        ("http://2130706433/a", vec![public]),
        ("http://localhost/a", vec![public]),
        ("http://[::ffff:10.0.0.1]/a", vec![public]),
        ("http://user@pages.example/a", vec![public]),
        ("http://pages.example/a", vec![LOOPBACK]),
        ("http://pages.example/a", vec![public, LOOPBACK]),
        ("http://pages.example/a", vec![]),
    ] {
        for is_answered in [false, true] {
            let wanted = Wanted { is_answered, ..WANTED };
            let error = resolving(vec![answers.clone()]).0.fetch(address, &wanted).await.unwrap_err();
            assert_eq!(kind(&error), "refused", "{address}: {error}");
        }
    }
}

#[tokio::test]
async fn hosts_that_the_user_rules_out_are_not_reached() {
    let shared = rules(&[
        (Effect::Deny, "host *.evil.example"),
        (Effect::Ask, "host odd.example"),
        (Effect::Allow, "host pages.example"),
    ]);
    let to = |host: &str| answer(&format!("302 Found\r\nLocation: http://{host}/x"), b"");
    let port = serve(vec![answer("200 OK", TEXT), to("a.evil.example"), to("odd.example")]).await;
    let (web, asked) = resolving(vec![vec![LOOPBACK]]);
    let web = web.with_rules(shared.clone());
    let answered = Wanted { is_answered: true, ..WANTED };
    // A host that is named is reached wherever it is; where it leads is judged anew, whatever the user said yes to.
    let page = format!("http://pages.example:{port}/a");
    assert_eq!(web.fetch(&page, &WANTED).await.unwrap().bytes, TEXT);
    for rule in ["deny `host *.evil.example`", "ask `host odd.example`"] {
        let led = web.fetch(&page, &answered).await.unwrap_err();
        assert!(kind(&led) == "refused" && led.to_string().contains(rule), "{led}");
    }
    for address in ["http://odd.example/a", "https://b.evil.example/a"] {
        let error = web.fetch(address, &WANTED).await.unwrap_err();
        assert!(kind(&error) == "refused" && error.to_string().contains("your rule"), "{error}");
    }
    // What is ruled out is not even looked up.
    assert_eq!(*asked.lock().unwrap(), ["pages.example"; 3]);
    // A yes lets it be looked up, and nothing but what is public be reached.
    let error = web.fetch("http://odd.example/a", &answered).await.unwrap_err();
    assert!(error.to_string().contains("this machine"), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 4);
    shared.set(Rules::default());
    assert_eq!(kind(&web.fetch(&page, &WANTED).await.unwrap_err()), "refused", "the rules of now count");
}

/// A name that changes its answer after the judging is asked for only once, so the change is never seen.
#[tokio::test]
async fn a_name_is_looked_up_once_for_each_step() {
    let port = serve(vec![answer("302 Found\r\nLocation: /b", b""), answer("200 OK", TEXT)]).await;
    let public = IpAddr::from([93, 184, 216, 34]);
    for (answers, lookups) in [
        // Judged as public, it would be this machine if anybody asked again.
        (vec![vec![public, LOOPBACK], vec![LOOPBACK]], 1),
        (vec![vec![LOOPBACK], vec![public]], 1),
    ] {
        let (web, asked) = resolving(answers);
        let error = web.fetch(&format!("http://a.example:{port}/a"), &WANTED).await.unwrap_err();
        assert_eq!((kind(&error), asked.lock().unwrap().len()), ("refused", lookups));
    }
    let (web, asked) = resolving(vec![vec![LOOPBACK], vec![LOOPBACK], vec![public]]);
    let web = web.with_rules(rules(&[(Effect::Allow, "host a.example")]));
    let came = web.fetch(&format!("http://a.example:{port}/a"), &WANTED).await.unwrap();
    assert_eq!((&came.bytes[..], asked.lock().unwrap().len()), (TEXT, 2));
}
