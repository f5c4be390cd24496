//! The page in a browser: Chromium without a window, led by its driver. Skipped visibly where it is not installed.

use std::{path::Path, process::Command};

use crate::*;

/// Where Debian has them.
const BROWSER: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped() {
    eprintln!("skipped: {BROWSER} or {DRIVER} is not installed");
}

/// A browser with one page.
struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// `None` where there is none.
    fn start(with_scripts: bool) -> Option<Browser> {
        if !Path::new(BROWSER).exists() || !Path::new(DRIVER).exists() {
            skipped();
            return None;
        }
        let mut driver = Command::new(DRIVER).arg("--port=0").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            line.split("successfully on port ").nth(1).map(|port| port.trim_end_matches('.').to_owned())
        });
        let address = format!("127.0.0.1:{}", port.unwrap());
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--window-size=1100,800".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        // 2 blocks scripts.
        let scripts = if with_scripts { 1 } else { 2 };
        let options = json!({"binary": BROWSER, "args": arguments, "prefs": {"profile.managed_default_content_settings.javascript": scripts}});
        let mut browser = Browser { driver, address, session: String::new(), _profile: profile };
        let asked = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}});
        let made = browser.call("POST", "/session", &asked);
        browser.session = made["sessionId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        Some(browser)
    }

    /// A command of the WebDriver protocol; returns its `value`.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).unwrap();
        let (mut answer, mut piece) = (Vec::new(), [0; 65536]);
        // The driver keeps its connections open.
        let seen = loop {
            let count = socket.read(&mut piece).unwrap();
            answer.extend_from_slice(&piece[..count]);
            match upstream::seen(&answer).filter(|seen| seen.is_whole) {
                Some(seen) => break seen,
                None => assert!(count > 0, "{}", String::from_utf8_lossy(&answer)),
            }
        };
        let told: Value = serde_json::from_slice(&seen.body).unwrap_or_else(|error| {
            panic!("{error}: {:?} {}", seen.headers, String::from_utf8_lossy(&seen.body))
        });
        told["value"].clone()
    }

    fn open(&self, url: &str) {
        self.call("POST", &format!("/session/{}/url", self.session), &json!({"url": url}));
    }

    /// What a person reads on the page.
    fn text(&self) -> String {
        let element = self.call(
            "POST",
            &format!("/session/{}/element", self.session),
            &json!({"using": "css selector", "value": "body"}),
        );
        let Some(id) = element.as_object().and_then(|element| element.values().next()?.as_str()) else {
            return String::new();
        };
        let text = self.call("GET", &format!("/session/{}/element/{id}/text", self.session), &Value::Null);
        text.as_str().unwrap_or_default().to_owned()
    }

    fn wait_for(&self, text: &str) -> String {
        let begin = Instant::now();
        loop {
            let seen = self.text();
            if seen.contains(text) {
                return seen;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "no {text} in: {seen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.call("DELETE", &format!("/session/{}", self.session), &json!({}));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn the_page_goes_on_by_itself_in_a_browser() {
    let Some(browser) = Browser::start(true) else { return };
    let lab = Lab::new(Script::new(|_| says("hello")));
    let proxy = Proxy::start(&lab, &["--dial", "0.1", "--token", "s3cret"]);
    browser.open(&format!("http://{}/", proxy.address));
    assert!(browser.text().contains("x-proxy-token is missing"), "{}", browser.text());
    browser.open(&format!("http://{}/?token=s3cret", proxy.address));
    browser.wait_for("$0.0000 spent today");
    let address = browser.call("GET", &format!("/session/{}/url", browser.session), &Value::Null);
    assert!(!address.to_string().contains("s3cret"), "the token is not in the address any more: {address}");
    for turns in 0..4 {
        let asked = body(turns);
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nx-proxy-token: s3cret\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            proxy.address,
            asked.len()
        );
        proxy.raw(&[head.as_bytes(), &asked].concat());
        browser.wait_for(&format!("${:.4} spent today", 0.25 * f64::from(turns as u32 + 1)));
    }
    let text = browser.wait_for("$1.0000");
    for want in ["anthropic/claude-sonnet-4.5", "Sessions", "Models", "breakpoints 4", "first 1"] {
        assert!(text.contains(want), "no {want} in: {text}");
    }
    // To look at it: the picture goes to the file that this names.
    if let Some(file) = std::env::var_os("MESHAPI_PICTURE") {
        let picture = browser.call("GET", &format!("/session/{}/screenshot", browser.session), &Value::Null);
        let picture =
            base64::Engine::decode(&base64::prelude::BASE64_STANDARD, picture.as_str().unwrap()).unwrap();
        std::fs::write(file, picture).unwrap();
    }
}

#[test]
fn the_page_is_read_without_scripts_too() {
    let Some(browser) = Browser::start(false) else { return };
    let lab = Lab::new(Script::new(|_| says("hello")));
    let proxy = Proxy::start(&lab, &["--dial", "0.1"]);
    proxy.post("/v1/chat/completions", &body(0));
    proxy.stats(1);
    browser.open(&format!("http://{}/", proxy.address));
    browser.wait_for("$0.2500");
}
