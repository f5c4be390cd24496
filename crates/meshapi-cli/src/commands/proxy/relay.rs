//! Requests in, answers out: which requests get the levers, and which way they go.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use mesh_client::{
    BaseUrl, LearnedCatalog,
    http::{
        Body, BodyReader, Deadlines, Door, HttpClient, HttpError, Method, Request, Response, StatusCode,
        Upstream, changes, header, pour, reply,
    },
    peek::{Read, peek},
    wire::RequestBody,
};
use mesh_optimize::{
    Config, Dial, Filter, Prices, Untouched,
    relay::{Books, Caps, Span, Tap, html, metrics},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    job::{Hold, Job},
    lock,
    spent::Spent,
};
use crate::wiring;

/// The header in which callers say the token.
const TOKEN: &str = "x-proxy-token";
/// The cookie in which a browser brings it.
const COOKIE: &str = "meshapi_proxy";
/// Longest request that gets the levers; no gateway takes a longer one.
const MAX_BODY: usize = 64 << 20;
/// From which length on a request is prepared beside the thread that serves: 256 KiB take about a millisecond.
const LARGE: usize = 256 << 10;

/// Bytes that what was learned of the sessions may take: about five of 5 MB. Others are read through anew when they go on, in about
/// 15 ms a megabyte.
const LEARNED: usize = 12 << 20;

/// The proxy.
#[derive(Clone)]
pub(super) struct Relay(pub(super) Arc<Parts>);

pub(super) struct Parts {
    pub(super) start: Instant,
    upstream: Upstream,
    address: BaseUrl,
    dial: Dial,
    caps: Caps,
    door: Door,
    pub(super) filter: Mutex<Filter>,
    pub(super) books: Mutex<Books>,
    /// Where there is a cap on a day.
    pub(super) spent: Option<Spent>,
    /// Models whose gateway refused an optimised request and took it as it was.
    pub(super) off: Mutex<HashSet<String>>,
    catalog: LearnedCatalog,
    pub(super) changed: watch::Sender<u64>,
}

impl Parts {
    /// What a model costs, if that is known.
    pub(super) fn prices(&self, model: &str) -> Option<Prices> {
        self.catalog.get()?.lookup(model).and_then(wiring::prices)
    }
}

/// Who may come in.
pub(super) fn door(is_local: bool, token: Option<&str>) -> Door {
    let door = Door::new(is_local);
    match token {
        Some(token) => door.with_token(token, TOKEN, COOKIE),
        None => door,
    }
}

impl Relay {
    pub(super) fn new(
        address: BaseUrl,
        dial: Dial,
        caps: Caps,
        door: Door,
        books: Books,
        spent: Option<Spent>,
    ) -> Relay {
        let patient = Deadlines { first_byte: None, idle: None };
        let http = HttpClient::builder().deadlines(patient).user_agent(None).build();
        let base = address.to_string();
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        Relay(Arc::new(Parts {
            start: Instant::now(),
            upstream: Upstream::new(http, base, &[TOKEN]),
            catalog: LearnedCatalog::new(address.clone()),
            address,
            dial,
            caps,
            door,
            filter: Mutex::new(
                Filter::new(Config { dial, ..Config::default() }).by_prefix().learning_at_most(LEARNED),
            ),
            books: Mutex::new(books),
            spent,
            off: Mutex::default(),
            changed: watch::Sender::new(0),
        }))
    }

    /// Answers a request.
    pub(super) async fn answer(self, request: Request<BodyReader>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path();
        let is_get = request.method() == Method::GET;
        let is_own = is_get && matches!(path, "/" | "/stats" | "/metrics" | "/events");
        if let Some(cookie) = self.0.door.cookie(request.uri()).filter(|_| is_own) {
            return Ok(enter(&cookie));
        }
        if let Err(refused) = self.0.door.admit(request.headers(), is_own) {
            return Ok(problem(StatusCode::FORBIDDEN, &refused.to_string()));
        }
        if is_own {
            return Ok(self.own_page(path));
        }
        let answered = match has_levers(&request) {
            true => self.relay(request).await,
            false => self.0.upstream.pass(request).await,
        };
        Ok(answered.unwrap_or_else(|error| problem(StatusCode::BAD_GATEWAY, &error.to_string())))
    }

    fn own_page(&self, path: &str) -> Response<Body> {
        let books = || lock(&self.0.books);
        let own = |kind, text: String| reply(StatusCode::OK, kind, text);
        match path {
            "/stats" => {
                own("application/json", serde_json::to_string_pretty(&*books()).unwrap_or_default() + "\n")
            }
            "/metrics" => own("text/plain; version=0.0.4", metrics(&books(), "meshapi_proxy")),
            "/events" => changes(self.0.changed.subscribe()),
            _ => {
                let page = html(&books(), "meshapi proxy", &self.0.address.to_string(), self.0.dial.value());
                own("text/html; charset=utf-8", page)
            }
        }
    }

    /// Passes on a request that gets a receipt, and the levers where its body can be read.
    async fn relay(&self, request: Request<BodyReader>) -> Result<Response<Body>, HttpError> {
        let (head, reader) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let raw = match reader.collect(MAX_BODY).await {
            Ok(raw) => raw,
            Err(HttpError::TooLarge { .. }) => {
                return Ok(problem(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 64 MiB"));
            }
            Err(error) => return Ok(problem(StatusCode::BAD_REQUEST, &error.to_string())),
        };
        let upstream = &self.0.upstream;
        let mut headers = upstream.carried(&head.headers);
        if self.0.caps.any() {
            self.0.catalog.learn_now(&headers).await;
        } else {
            self.0.catalog.learn(&headers);
        }
        let (mut job, body) = self.prepare(raw.clone(), headers.get(header::CONTENT_ENCODING).cloned()).await;
        let about = self.0.prices(&job.plan.model).map(|prices| job.units * prices.input);
        let allowed = lock(&self.0.books).reserve(&self.0.caps, today(), &job.session, about);
        if let Err(capped) = allowed {
            let flag = match capped.span {
                Span::Day => "--max-cost",
                Span::Session => "--max-session-cost",
            };
            let why = format!("{flag} {}: {capped}", capped.cap);
            return Ok(problem(StatusCode::PAYMENT_REQUIRED, &why));
        }
        job.hold = Some(Hold { relay: self.clone(), session: job.session.clone(), about });
        let Some(body) = body else {
            let sent = upstream.send(&Method::POST, path, headers, raw.into()).await?;
            return Ok(self.pour(sent, Vec::new(), job));
        };
        // A packed answer would hide its report, and a refusal.
        headers.remove(header::ACCEPT_ENCODING);
        let body = Body::from_segments(body.segments().iter().cloned());
        let sent = upstream.send(&Method::POST, path, headers.clone(), body).await?;
        let (sent, first, is_rejected) = peek(sent).await;
        if !is_rejected {
            return Ok(self.pour(sent, first, job));
        }
        drop(sent);
        lock(&self.0.books).sent_raw += 1;
        // It goes out as it came after all.
        job.plan.untouched = Some(Untouched::Off);
        let sent = upstream.send(&Method::POST, path, headers, raw.into()).await?;
        let (sent, first, is_rejected) = peek(sent).await;
        if sent.status().is_success() && !is_rejected {
            lock(&self.0.off).insert(job.plan.model.clone());
        }
        Ok(self.pour(sent, first, job))
    }

    /// The body to send instead of `raw`, if there is one.
    async fn prepare(&self, raw: Bytes, packed: Option<header::HeaderValue>) -> (Job, Option<RequestBody>) {
        if raw.len() < LARGE {
            return Job::prepare(&self.0, &raw, packed.as_ref());
        }
        let (relay, body) = (self.clone(), raw.clone());
        let prepared = tokio::task::spawn_blocking(move || Job::prepare(&relay.0, &body, packed.as_ref()));
        // It is not cancelled, and a panic in it is no reason that a request fails.
        prepared.await.unwrap_or_else(|_| (Job::untouched(&raw), None))
    }

    /// The answer, piece by piece as it comes; at its end the receipt is written.
    fn pour(&self, answer: Response<BodyReader>, first: Read, job: Job) -> Response<Body> {
        if !answer.status().is_success() {
            return pour(answer, first, |_| ());
        }
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let tap = Tap::new(text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING));
        let mut watched = Watched { tap: Some(tap), job: Some(job) };
        pour(answer, first, move |piece| {
            if let Some(tap) = &mut watched.tap {
                tap.feed(piece);
            }
        })
    }
}

/// An answer that passes by. However it ends, its receipt is written.
struct Watched {
    tap: Option<Tap>,
    job: Option<Job>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((tap, job)) = self.tap.take().zip(self.job.take()) {
            // The answer has ended: nobody waits for our books, and the thread that serves does not wait for them either.
            tokio::task::spawn_blocking(move || job.settle(tap));
        }
    }
}

/// Whether a request is one of the three whose shape is known.
fn has_levers(request: &Request<BodyReader>) -> bool {
    let path = request.uri().path();
    let known = ["/chat/completions", "/messages", "/responses"];
    request.method() == Method::POST && known.iter().any(|end| path.ends_with(end))
}

/// To the page, with the token in a cookie from now on.
fn enter(cookie: &str) -> Response<Body> {
    let mut response = reply(StatusCode::SEE_OTHER, "text/plain", "");
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, header::HeaderValue::from_static("/"));
    if let Ok(cookie) = header::HeaderValue::from_str(cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// A refusal of our own, in the form in which gateways tell theirs.
fn problem(status: StatusCode, why: &str) -> Response<Body> {
    let text: Value = json!({"error": {"message": format!("meshapi proxy: {why}"), "type": "proxy_error", "code": status.as_u16()}});
    reply(status, "application/json", text.to_string())
}

/// Days since 1970, UTC.
pub(super) fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400)
}
