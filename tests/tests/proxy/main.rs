//! Journeys through `meshapi proxy`: a client that knows nothing of it, the proxy, and a gateway that notes what it gets.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a journey that cannot go on has failed")]

mod caps;
mod door;
#[cfg(target_os = "linux")]
mod page;
mod receipts;
mod upstream;
mod wire;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use mesh_client::scripted::{Gate, Reply, Script, ScriptedRequest};
use mesh_tests::lab::Lab;
use serde_json::{Value, json};
use upstream::{Play, Upstream, ask};

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
