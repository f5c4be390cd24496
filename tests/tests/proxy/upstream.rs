//! A gateway made of bytes: what it gets is kept as it came, what it answers is played as it stands.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

/// What is played after a request.
#[derive(Clone)]
pub(crate) enum Play {
    /// These bytes go out, then the connection ends in order.
    Bytes(Vec<u8>),
    /// These bytes go out in pieces that end at these places.
    Pieces(Vec<u8>, Vec<usize>),
    /// These bytes go out, and nothing more until the other side goes.
    Hang(Vec<u8>),
    /// These bytes go out, as often as anybody reads them.
    Flood(Vec<u8>, usize),
}

pub(crate) struct Upstream {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Connections that the other side ended while something was still to come.
    left: Arc<Mutex<usize>>,
}

impl Upstream {
    /// Plays the same after each request.
    pub(crate) fn new(play: Play) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (requests, left) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (kept, gone) = (Arc::clone(&requests), Arc::clone(&left));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (kept, gone, play) = (Arc::clone(&kept), Arc::clone(&gone), play.clone());
                std::thread::spawn(move || {
                    let Some(request) = request(&socket) else { return };
                    kept.lock().unwrap().push(request);
                    if !played(&socket, &play) {
                        *gone.lock().unwrap() += 1;
                    }
                });
            }
        });
        Upstream { address, requests, left }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until so many connections were left before their end.
    pub(crate) fn wait_left(&self, count: usize) {
        let begin = Instant::now();
        while *self.left.lock().unwrap() < count {
            assert!(begin.elapsed() < Duration::from_secs(30), "nobody left");
            sleep(Duration::from_millis(5));
        }
    }
}

/// One request with its body; `None` where it does not come whole.
fn request(mut socket: &TcpStream) -> Option<Vec<u8>> {
    let (mut all, mut piece) = (Vec::new(), [0; 65536]);
    loop {
        if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let is_whole = match length {
                Some(length) => all.len() >= end + 4 + length.parse::<usize>().unwrap(),
                None if head.contains("transfer-encoding: chunked") => all.ends_with(b"0\r\n\r\n"),
                None => true,
            };
            if is_whole {
                return Some(all);
            }
        }
        match socket.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(count) => all.extend_from_slice(&piece[..count]),
        }
    }
}

/// Plays; says whether the other side stayed to the end.
fn played(mut socket: &TcpStream, play: &Play) -> bool {
    let done = match play {
        Play::Bytes(bytes) => socket.write_all(bytes).is_ok(),
        Play::Pieces(bytes, ends) => {
            let _ = socket.set_nodelay(true);
            let mut from = 0;
            ends.iter().chain([&bytes.len()]).all(|end| {
                let sent = socket.write_all(&bytes[from..*end]).is_ok();
                from = *end;
                sent
            })
        }
        Play::Hang(bytes) => {
            let sent = socket.write_all(bytes).is_ok();
            // Returns when the other side ends the connection.
            let _ = socket.read(&mut [0]);
            !sent
        }
        Play::Flood(bytes, times) => (0..*times).all(|_| socket.write_all(bytes).is_ok()),
    };
    let _ = socket.shutdown(Shutdown::Both);
    done
}

/// An answer as a client sees it.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// It ended as it was announced.
    pub(crate) is_whole: bool,
}

/// Sends a request and reads all that comes back.
pub(crate) fn ask(address: &str, request: &[u8]) -> Option<Seen> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.write_all(request).unwrap();
    let mut all = Vec::new();
    // A reset ends it as well; what came before counts.
    let _ = socket.read_to_end(&mut all);
    seen(&all)
}

pub(crate) fn seen(all: &[u8]) -> Option<Seen> {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(all[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    let mut headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(":"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    headers.sort();
    let rest = &all[end + 4..];
    let value = |name: &str| headers.iter().find(|header| header.0 == name).map(|header| header.1.clone());
    let (body, is_whole) = match (value("transfer-encoding"), value("content-length")) {
        (Some(_), _) => unchunked(rest),
        (None, Some(length)) => {
            let length: usize = length.parse().ok()?;
            (rest[..rest.len().min(length)].to_vec(), rest.len() >= length)
        }
        (None, None) => (rest.to_vec(), true),
    };
    Some(Seen { status, headers, body, is_whole })
}

fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return (body, false) };
        let length =
            std::str::from_utf8(&rest[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(length) = length else { return (body, false) };
        rest = &rest[end + 2..];
        if length == 0 {
            return (body, rest.starts_with(b"\r\n"));
        }
        let here = rest.len().min(length);
        body.extend_from_slice(&rest[..here]);
        if here < length || rest.len() < length + 2 {
            return (body, false);
        }
        rest = &rest[length + 2..];
    }
}
