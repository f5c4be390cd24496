//! Requests in, answers out: which requests get the levers, and which way they go.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use mesh_client::{
    BaseUrl,
    http::{
        Body, BodyReader, Deadlines, HeaderMap, HttpClient, HttpError, Method, Request, Response, StatusCode,
        end_to_end, header,
    },
    wire::RequestBody,
};
use mesh_optimize::{Config, Dial, Filter};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    books::{Books, Caps},
    door::{Door, TOKEN},
    job::{Hold, Job},
    lock, page,
    peek::{Read, peek},
    prices::PriceBook,
    spent::Spent,
    tap::Tap,
};

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
    http: HttpClient,
    upstream: BaseUrl,
    dial: Dial,
    caps: Caps,
    door: Door,
    pub(super) filter: Mutex<Filter>,
    pub(super) books: Mutex<Books>,
    /// Where there is a cap on a day.
    pub(super) spent: Option<Spent>,
    /// Models whose gateway refused an optimised request and took it as it was.
    pub(super) off: Mutex<HashSet<String>>,
    pub(super) prices: PriceBook,
    pub(super) changed: watch::Sender<u64>,
}

impl Relay {
    pub(super) fn new(
        upstream: BaseUrl,
        dial: Dial,
        caps: Caps,
        door: Door,
        books: Books,
        spent: Option<Spent>,
    ) -> Relay {
        let patient = Deadlines { first_byte: None, idle: None };
        Relay(Arc::new(Parts {
            start: Instant::now(),
            http: HttpClient::builder().deadlines(patient).user_agent(None).build(),
            prices: PriceBook::new(upstream.clone()),
            upstream,
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
        if let Some(cookie) = self.0.door.lets_in(request.uri()).filter(|_| is_own) {
            return Ok(enter(&cookie));
        }
        if let Some(why) = self.0.door.refuses(request.headers(), is_own) {
            return Ok(problem(StatusCode::FORBIDDEN, why));
        }
        if is_own {
            return Ok(self.own_page(path));
        }
        let answered = match has_levers(&request) {
            true => self.relay(request).await,
            false => self.pass(request).await,
        };
        Ok(answered.unwrap_or_else(|error| problem(StatusCode::BAD_GATEWAY, &error.to_string())))
    }

    fn own_page(&self, path: &str) -> Response<Body> {
        let books = || lock(&self.0.books);
        match path {
            "/stats" => {
                own("application/json", serde_json::to_string_pretty(&*books()).unwrap_or_default() + "\n")
            }
            "/metrics" => own("text/plain; version=0.0.4", page::metrics(&books())),
            "/events" => self.events(),
            _ => {
                let page = page::html(&books(), &self.0.upstream.to_string(), self.0.dial.value());
                own("text/html; charset=utf-8", page)
            }
        }
    }

    /// Says that something happened, as often as it does.
    fn events(&self) -> Response<Body> {
        let (sender, body) = Body::channel(1);
        let mut changed = self.0.changed.subscribe();
        tokio::spawn(async move {
            let mut count = *changed.borrow_and_update();
            while sender.send(format!("data: {count}\n\n")).await {
                tokio::select! {
                    told = changed.changed() => match told {
                        Ok(()) => count = *changed.borrow_and_update(),
                        Err(_) => return,
                    },
                    () = sender.closed() => return,
                }
            }
        });
        with_type("text/event-stream", body)
    }

    /// Passes a request on as it comes.
    async fn pass(&self, request: Request<BodyReader>) -> Result<Response<Body>, HttpError> {
        let (head, reader) = request.into_parts();
        let has_body = head.headers.contains_key(header::CONTENT_LENGTH)
            || head.headers.contains_key(header::TRANSFER_ENCODING);
        let body = match has_body {
            true => Body::passing([], reader, |_| ()),
            false => Body::empty(),
        };
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let answer = self.send(&head.method, path, carried(&head.headers), body).await?;
        Ok(pour(answer, Vec::new(), |_| ()))
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
        let mut headers = carried(&head.headers);
        if self.0.caps.any() {
            self.0.prices.learn_now(&headers).await;
        } else {
            self.0.prices.learn(&headers);
        }
        let (mut job, body) = self.prepare(raw.clone(), headers.get(header::CONTENT_ENCODING).cloned()).await;
        let about = self.0.prices.of(&job.plan.model).map(|prices| job.units * prices.input);
        let allowed = lock(&self.0.books).reserve(&self.0.caps, today(), &job.session, about);
        if let Err(why) = allowed {
            return Ok(problem(StatusCode::PAYMENT_REQUIRED, &why));
        }
        job.hold = Some(Hold { relay: self.clone(), session: job.session.clone(), about });
        let Some(body) = body else {
            let sent = self.send(&Method::POST, path, headers, raw.into()).await?;
            return Ok(self.pour(sent, Vec::new(), job));
        };
        // A packed answer would hide its report, and a refusal.
        headers.remove(header::ACCEPT_ENCODING);
        let body = Body::from_segments(body.segments().iter().cloned());
        let sent = self.send(&Method::POST, path, headers.clone(), body).await?;
        let (sent, first, is_rejected) = peek(sent).await;
        if !is_rejected {
            return Ok(self.pour(sent, first, job));
        }
        drop(sent);
        lock(&self.0.books).sent_raw += 1;
        job.give_up();
        let sent = self.send(&Method::POST, path, headers, raw.into()).await?;
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

    async fn send(
        &self,
        method: &Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<BodyReader>, HttpError> {
        let base = self.0.upstream.to_string();
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let request = Request::builder().method(method).uri(format!("{base}{path}")).body(body);
        let mut request = request.map_err(|error| HttpError::Invalid { reason: error.to_string() })?;
        *request.headers_mut() = headers;
        self.0.http.send(request).await
    }

    /// The answer, piece by piece as it comes; at its end the receipt is written.
    fn pour(&self, answer: Response<BodyReader>, first: Read, job: Job) -> Response<Body> {
        if !answer.status().is_success() {
            return pour(answer, first, |_| ());
        }
        let mut watched = Watched { tap: Some(Tap::new(answer.headers())), job: Some(job) };
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

/// An answer with its own headers.
fn pour(
    answer: Response<BodyReader>,
    first: Read,
    watch: impl FnMut(&[u8]) + Send + 'static,
) -> Response<Body> {
    let (head, reader) = answer.into_parts();
    let mut response = Response::new(Body::passing(first, reader, watch));
    *response.status_mut() = head.status;
    *response.headers_mut() = end_to_end(&head.headers);
    response
}

/// Whether a request is one of the three whose shape is known.
fn has_levers(request: &Request<BodyReader>) -> bool {
    let path = request.uri().path();
    let known = ["/chat/completions", "/messages", "/responses"];
    request.method() == Method::POST && known.iter().any(|end| path.ends_with(end))
}

/// The headers that travel on to the gateway.
fn carried(headers: &HeaderMap) -> HeaderMap {
    let mut headers = end_to_end(headers);
    for own in ["host", "content-length", "expect", TOKEN] {
        headers.remove(own);
    }
    headers
}

fn own(kind: &'static str, text: String) -> Response<Body> {
    with_type(kind, text.into())
}

fn with_type(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// To the page, with the token in a cookie from now on.
fn enter(cookie: &str) -> Response<Body> {
    let mut response = own("text/plain", String::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
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
    let mut response = own("application/json", text.to_string());
    *response.status_mut() = status;
    response
}

/// Days since 1970, UTC.
pub(super) fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400)
}
