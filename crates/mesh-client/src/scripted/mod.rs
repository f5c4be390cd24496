//! A scripted loopback gateway: chunk timing, faults and both error shapes, for tests, demonstrations and users of the library.
//!
//! A [`Script`] sees each request and gives a [`Reply`]; everything that came is recorded. Whole answers and
//! streams travel over the ordinary server of `http/server.rs`; faults take the socket away from it and write
//! exactly the bytes they are about.
//!
//! ```
//! use mesh_client::scripted::{Reply, Script, ScriptedGateway};
//! use mesh_client::wire::{CompletionRequest, EncodedMessage, Message};
//! use mesh_client::{MeshClient, RetryPolicy, StreamEvent};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let gateway = ScriptedGateway::start(Script::in_order([
//!     Reply::error(429, "rate_limit_exceeded", "slow down").header("retry-after", "0"),
//!     Reply::stream().text("Hello, ").text("world").usage(10, 2).done(),
//! ]))
//! .await?;
//! let client = MeshClient::builder(gateway.base_url(), "rsk_test".parse()?).build();
//! let mut request = CompletionRequest { model: "demo/one".into(), ..Default::default() };
//! request.messages.push(EncodedMessage::from(&Message::user("Hi")));
//! let mut shown = String::new();
//! let completion = client
//!     .complete(&request, &RetryPolicy::default(), &mut |event| {
//!         if let StreamEvent::Text(text) = event {
//!             shown.push_str(text);
//!         }
//!     })
//!     .await?;
//! assert_eq!((shown.as_str(), completion.text.as_str()), ("Hello, world", "Hello, world"));
//! assert_eq!(gateway.requests().len(), 2);
//! assert_eq!(gateway.connections(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod reply;
mod transmit;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Request, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::endpoint::BaseUrl;
use crate::http::{Body, BodyReader, Peer, ServerOptions, serve_with};

pub use reply::{Framing, Gate, Reply, StreamReply};
use transmit::{HungUp, SharedSocket};

/// Longest request body that is read: more than the 40 MB of history that our own bench sends.
const MAX_REQUEST_BYTES: usize = 256 * 1024 * 1024;

/// A request as the gateway got it.
#[derive(Clone, Debug)]
pub struct ScriptedRequest {
    /// Position among all requests, from 0.
    pub number: usize,
    /// Number of the connection it came on, from 1.
    pub connection: u64,
    /// The method, in capitals.
    pub method: String,
    /// The path below the base address, such as `/chat/completions`.
    pub path: String,
    /// The headers; the key in `authorization` does not print.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
    /// The body as JSON, or null.
    pub json: Value,
}

impl ScriptedRequest {
    /// Returns the number of tool results since the last message of a user: 0 for the first hop of a turn.
    pub fn hop(&self) -> usize {
        let messages = self.json["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let after_user = messages.iter().rev().take_while(|message| message["role"] != "user");
        after_user.filter(|message| message["role"] == "tool").count()
    }

    /// Says whether a streaming answer is asked for.
    pub fn wants_stream(&self) -> bool {
        self.json["stream"] == true
    }

    /// Returns the text of the last message with this role, or an empty one.
    pub fn last_text(&self, role: &str) -> &str {
        let messages = self.json["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let last = messages.iter().rev().find(|message| message["role"] == role);
        last.and_then(|message| message["content"].as_str()).unwrap_or_default()
    }

    /// Returns a header as text, or an empty one.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// How the answer to a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Being answered.
    Running,
    /// Everything scripted was written.
    Sent,
    /// The client went away before that.
    ClientLeft,
}

type Answer = Box<dyn Fn(&ScriptedRequest) -> Reply + Send + Sync>;

/// Says what each request is answered with.
pub struct Script {
    chat: Answer,
    routes: HashMap<String, Answer>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("routes", &self.routes.keys()).finish_non_exhaustive()
    }
}

impl Script {
    /// Returns a script that answers `POST /chat/completions` by a function of the request.
    pub fn new<R: Into<Reply>>(chat: impl Fn(&ScriptedRequest) -> R + Send + Sync + 'static) -> Script {
        Script { chat: Box::new(move |request| chat(request).into()), routes: HashMap::new() }
    }

    /// Returns a script that gives these replies one after the other; a request too many is a 400 that says so.
    pub fn in_order<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Script {
        let rest: Vec<Reply> = replies.into_iter().map(Into::into).collect();
        let rest = Mutex::new(rest.into_iter());
        Script::new(move |_| {
            let next = lock(&rest).next();
            next.unwrap_or_else(|| Reply::error(400, "script_ended", "the script has no more replies"))
        })
    }

    /// Answers another path, such as `/models`, `/balance`, `/usage/events` or `/web/search`, in the same way.
    #[must_use]
    pub fn route<R: Into<Reply>>(
        mut self,
        path: &str,
        answer: impl Fn(&ScriptedRequest) -> R + Send + Sync + 'static,
    ) -> Script {
        self.routes.insert(path.to_owned(), Box::new(move |request| answer(request).into()));
        self
    }

    fn reply(&self, request: &ScriptedRequest) -> Reply {
        match self.routes.get(&request.path) {
            Some(answer) => answer(request),
            None if request.path == "/chat/completions" => (self.chat)(request),
            None => Reply::error(404, "not_found", "the script has no such path"),
        }
    }
}

/// A gateway on a free port of 127.0.0.1 that answers by a script. It ends when it is dropped.
#[derive(Debug)]
pub struct ScriptedGateway {
    address: SocketAddr,
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    log: Mutex<Log>,
    /// Counts changes of the log, for those who wait for one.
    changes: watch::Sender<u64>,
    /// What feeds streams; a feeder ends with its stream, and all end with the gateway.
    feeders: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Log {
    requests: Vec<ScriptedRequest>,
    outcomes: Vec<Outcome>,
    connections: u64,
}

impl ScriptedGateway {
    /// Starts a gateway inside the current tokio runtime.
    ///
    /// # Errors
    /// No port on the loopback interface.
    ///
    /// # Cancel safety
    /// Nothing is left running.
    pub async fn start(script: Script) -> io::Result<ScriptedGateway> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (changes, changed) = watch::channel(0);
        let shared = Arc::new(Shared { script, log: Mutex::default(), changes, feeders: Mutex::default() });
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            serve_with(listener, ServerOptions::default(), stop, move |stream, peer| {
                let socket = SharedSocket::new(stream);
                serving.note(|log| log.connections = peer.connection);
                let (io, shared) = (socket.io(), Arc::clone(&serving));
                (io, move |request| answer(Arc::clone(&shared), socket.clone(), request, peer))
            })
            .await
        });
        Ok(ScriptedGateway { address, shared, changed, stop: Some(stop), server })
    }

    /// Returns the base address for a client, `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> BaseUrl {
        let text = format!("http://{}/v1", self.address);
        text.parse().expect("an address on 127.0.0.1 keeps the rule for base addresses")
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns all requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<ScriptedRequest> {
        lock(&self.shared.log).requests.clone()
    }

    /// Returns how the answers went so far, in the order of the requests.
    pub fn outcomes(&self) -> Vec<Outcome> {
        lock(&self.shared.log).outcomes.clone()
    }

    /// Returns the number of connections accepted so far.
    pub fn connections(&self) -> u64 {
        lock(&self.shared.log).connections
    }

    /// Waits until the answer to request `number` has come to this outcome.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn outcome(&self, number: usize, wanted: Outcome) {
        let reached = |_: &u64| lock(&self.shared.log).outcomes.get(number) == Some(&wanted);
        // The sender lives in `shared`, which we hold.
        let _ = self.changed.clone().wait_for(reached).await;
    }

    /// Ends the gateway and waits until running answers are written.
    ///
    /// # Cancel safety
    /// Dropped early, the gateway ends at once.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let _ = (&mut self.server).await;
    }
}

impl Drop for ScriptedGateway {
    fn drop(&mut self) {
        self.server.abort();
        lock(&self.shared.feeders).abort_all();
    }
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Log)) {
        change(&mut lock(&self.log));
        self.changes.send_modify(|count| *count += 1);
    }

    fn ended(&self, number: usize, outcome: Outcome) {
        self.note(|log| log.outcomes[number] = outcome);
    }
}

/// Answers one request; `Err` closes the connection.
async fn answer(
    shared: Arc<Shared>,
    socket: SharedSocket,
    request: Request<BodyReader>,
    peer: Peer,
) -> Result<Response<Body>, HungUp> {
    let (mut head, body) = request.into_parts();
    let body = body.collect(MAX_REQUEST_BYTES).await.map_err(|_| HungUp)?;
    if let Some(key) = head.headers.get_mut(AUTHORIZATION) {
        key.set_sensitive(true);
    }
    let path = head.uri.path();
    let mut request = ScriptedRequest {
        number: 0,
        connection: peer.connection,
        method: head.method.to_string(),
        path: path.strip_prefix("/v1").unwrap_or(path).to_owned(),
        headers: head.headers,
        json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        body,
    };
    shared.note(|log| {
        request.number = log.requests.len();
        log.requests.push(request.clone());
        log.outcomes.push(Outcome::Running);
    });
    let number = request.number;
    let reply = shared.script.reply(&request).prepared(&request);
    let mut guard = Watch { shared: &shared, number, armed: true };
    if let Some(gate) = &reply.gate {
        gate.opened().await;
    }
    if reply.needs_socket() {
        let sent = transmit::raw(&socket, reply).await;
        guard.armed = false;
        shared.ended(number, if sent.is_ok() { Outcome::Sent } else { Outcome::ClientLeft });
        return Err(HungUp);
    }
    guard.armed = false;
    drop(guard);
    let (response, feeder) = transmit::through_server(reply);
    let log = Arc::clone(&shared);
    let mut feeders = lock(&shared.feeders);
    while feeders.try_join_next().is_some() {}
    feeders.spawn(async move {
        let outcome = if feeder.await { Outcome::Sent } else { Outcome::ClientLeft };
        log.ended(number, outcome);
    });
    drop(feeders);
    Ok(response)
}

/// Notes that the client left when an answer is dropped half-way.
struct Watch<'s> {
    shared: &'s Shared,
    number: usize,
    armed: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.shared.ended(self.number, Outcome::ClientLeft);
        }
    }
}

/// A panic in a script leaves the log as it was, which is still worth reading.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
