//! Requests in, answers out: which requests get the levers, and what is written down of each.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mesh_client::{
    ApiKey, BaseUrl, Catalog, MeshClient,
    http::{
        Body, BodyReader, BodySender, Deadlines, HeaderMap, HttpClient, HttpError, Method, Request, Response,
        StatusCode, header,
    },
};
use mesh_optimize::{Config, Dial, Filter, Optimizer, Plan, Prices, Provider, SessionState, Untouched};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    books::{Books, Caps},
    door::{Door, TOKEN},
    page,
    tap::Tap,
};
use crate::wiring;

/// Longest request that gets the levers; no gateway takes a longer one.
const MAX_BODY: usize = 64 << 20;
/// How long the first request waits for prices that a cap needs.
const PRICES_WITHIN: Duration = Duration::from_secs(10);
/// How soon a gateway that did not tell its prices is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// Pieces of an answer that wait for a slow reader.
const PIECES: usize = 16;
/// About so many bytes of a body are a token, where nothing better is known: 2.77 characters (see mesh-optimize).
const BYTES_PER_TOKEN: f64 = 2.77;

/// Headers that belong to one connection and not to what it carries.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The proxy.
#[derive(Clone)]
pub(super) struct Relay(Arc<Parts>);

struct Parts {
    start: Instant,
    http: HttpClient,
    upstream: BaseUrl,
    dial: Dial,
    caps: Caps,
    door: Door,
    filter: Mutex<Filter>,
    books: Mutex<Books>,
    /// Models whose gateway refused an optimised request and took it as it was.
    off: Mutex<HashSet<String>>,
    prices: OnceLock<Catalog>,
    /// When the gateway was asked for them.
    asked: Mutex<Option<Instant>>,
    changed: watch::Sender<u64>,
}

/// A request that gets a receipt.
struct Job {
    session: String,
    plan: Plan,
    body: bytes::Bytes,
    /// What it may cost, in USD, where there is a price.
    about: Option<f64>,
}

impl Relay {
    pub(super) fn new(upstream: BaseUrl, dial: Dial, caps: Caps, door: Door) -> Relay {
        let patient = Deadlines { first_byte: None, idle: None };
        Relay(Arc::new(Parts {
            start: Instant::now(),
            http: HttpClient::builder().deadlines(patient).build(),
            upstream,
            dial,
            caps,
            door,
            filter: Mutex::new(Filter::new(Config { dial, ..Config::default() }).by_prefix()),
            books: Mutex::default(),
            off: Mutex::default(),
            prices: OnceLock::new(),
            asked: Mutex::default(),
            changed: watch::Sender::new(0),
        }))
    }

    /// Answers a request.
    pub(super) async fn answer(&self, request: Request<BodyReader>) -> Response<Body> {
        if let Some(why) = self.0.door.refuses(request.headers()) {
            return problem(StatusCode::FORBIDDEN, why);
        }
        if request.method() == Method::GET {
            match request.uri().path() {
                "/" => {
                    let page =
                        page::html(&lock(&self.0.books), &self.0.upstream.to_string(), self.0.dial.value());
                    return own("text/html; charset=utf-8", page);
                }
                "/stats" => {
                    let stats = serde_json::to_string_pretty(&*lock(&self.0.books)).unwrap_or_default();
                    return own("application/json", stats + "\n");
                }
                "/metrics" => return own("text/plain; version=0.0.4", page::metrics(&lock(&self.0.books))),
                "/events" => return self.events(),
                _ => {}
            }
        }
        let answered = match Kind::of(&request) {
            Kind::Other => self.pass(request).await,
            kind => self.relay(request, kind).await,
        };
        answered.unwrap_or_else(|error| problem(StatusCode::BAD_GATEWAY, &error.to_string()))
    }

    /// Says that something happened, as often as it does.
    fn events(&self) -> Response<Body> {
        let (sender, body) = Body::channel(1);
        let mut changed = self.0.changed.subscribe();
        tokio::spawn(async move {
            while changed.changed().await.is_ok() {
                let count = *changed.borrow_and_update();
                if !sender.send(format!("data: {count}\n\n")).await {
                    return;
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
        let mut headers = carried(&head.headers);
        let body = if has_body {
            if let Some(length) = head.headers.get(header::CONTENT_LENGTH) {
                headers.insert(header::CONTENT_LENGTH, length.clone());
            }
            let (sender, body) = Body::channel(PIECES);
            tokio::spawn(pump(reader, sender, |_| ()));
            body
        } else {
            Body::empty()
        };
        let answer = self.send(
            &head.method,
            head.uri.path_and_query().map_or("/", |path| path.as_str()),
            headers,
            body,
        );
        Ok(self.pour(answer.await?, None))
    }

    /// Passes on a request that gets a receipt, and the levers if `kind` allows.
    async fn relay(&self, request: Request<BodyReader>, kind: Kind) -> Result<Response<Body>, HttpError> {
        let (head, reader) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let raw = match reader.collect(MAX_BODY).await {
            Ok(raw) => raw,
            Err(HttpError::TooLarge { .. }) => {
                return Ok(problem(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 64 MiB"));
            }
            Err(error) => return Ok(problem(StatusCode::BAD_REQUEST, &error.to_string())),
        };
        let mut headers = carried(&head.headers);
        self.learn_prices(&headers).await;
        let mut job = self.prepare(raw.clone(), kind);
        let prices = self.prices(&job.plan.model);
        let units = match job.plan.untouched {
            Some(_) => raw.len() as f64 / BYTES_PER_TOKEN,
            None => job.plan.sent.units(&job.plan.provider.unwrap_or(Provider::NONE)),
        };
        job.about = prices.map(|prices| units * prices.input);
        let allowed = lock(&self.0.books).may_spend(&self.0.caps, today(), &job.session, job.about);
        if let Err(why) = allowed {
            return Ok(problem(StatusCode::PAYMENT_REQUIRED, &why));
        }
        let is_changed = job.body != raw;
        if job.plan.untouched.is_none() {
            // A packed answer would hide its report.
            headers.remove(header::ACCEPT_ENCODING);
        }
        let sent = self.send(&Method::POST, &path, headers.clone(), job.body.clone().into()).await?;
        let refused =
            sent.status().is_client_error() && !matches!(sent.status().as_u16(), 401 | 402 | 408 | 429);
        if !is_changed || !refused {
            return Ok(self.pour(sent, Some(job)));
        }
        drop(sent);
        lock(&self.0.books).sent_raw += 1;
        job.plan.untouched = Some(Untouched::Off);
        let sent = self.send(&Method::POST, &path, headers, raw.into()).await?;
        if sent.status().is_success() {
            lock(&self.0.off).insert(job.plan.model.clone());
        }
        Ok(self.pour(sent, Some(job)))
    }

    fn prepare(&self, raw: bytes::Bytes, kind: Kind) -> Job {
        let (session, mut plan, body) = {
            let mut filter = lock(&self.0.filter);
            filter.at(self.0.start.elapsed().as_secs_f64());
            // Of the responses API the history may lie on the other side: what is in the body is not all of it.
            let (session, prepared) = match kind {
                Kind::Levers => filter.prepare(&raw, |_| None, None),
                _ => filter.prepare(b"", |_| None, None),
            };
            let body = match prepared.body() {
                _ if prepared.plan.untouched.is_some() => raw.clone(),
                std::borrow::Cow::Borrowed(_) => raw.clone(),
                std::borrow::Cow::Owned(body) => body.into(),
            };
            (session, prepared.plan, body)
        };
        let is_off = lock(&self.0.off).contains(&plan.model);
        let body = if is_off { raw.clone() } else { body };
        if is_off {
            plan.untouched = Some(Untouched::Off);
        }
        if plan.model.is_empty() {
            let model = serde_json::from_slice::<Model>(&raw).map(|body| body.model).unwrap_or_default();
            plan.provider = Some(Provider::of_model(&model));
            plan.model = model;
        }
        Job { session: session.unwrap_or_else(|| "without a history".to_owned()), plan, body, about: None }
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
    fn pour(&self, answer: Response<BodyReader>, job: Option<Job>) -> Response<Body> {
        let (head, reader) = answer.into_parts();
        let mut headers = carried(&head.headers);
        if let Some(length) = head.headers.get(header::CONTENT_LENGTH) {
            headers.insert(header::CONTENT_LENGTH, length.clone());
        }
        let (sender, body) = Body::channel(PIECES);
        let (relay, mut tap) = (self.clone(), Tap::new(&head.headers));
        let job = job.filter(|_| head.status.is_success());
        tokio::spawn(async move {
            // The answer ends before its receipt is written: nobody waits for our books.
            pump(reader, sender, |piece| {
                if job.is_some() {
                    tap.feed(piece);
                }
            })
            .await;
            if let Some(job) = job {
                relay.settle(&job, tap);
            }
        });
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        response
    }

    fn settle(&self, job: &Job, tap: Tap) {
        let (usage, cost) = tap.end();
        let prices = self.prices(&job.plan.model);
        let mut receipt = match job.plan.untouched {
            None => {
                lock(&self.0.filter).settle_plan(&job.session, &job.plan, usage.as_ref(), prices.as_ref())
            }
            Some(_) => {
                let optimizer = Optimizer::new(Config::default());
                let mut receipt = optimizer.settle(
                    &job.plan,
                    usage.as_ref(),
                    prices.as_ref(),
                    &mut SessionState::default(),
                );
                // It went out as it came: nothing was saved, and nothing is claimed.
                (receipt.saved_vs_native_usd, receipt.saved_vs_uncached_usd) = (None, None);
                receipt
            }
        };
        if usage.is_none() {
            // Nobody reported what it was: a sum of what is only reckoned would be taken for a bill.
            receipt.billed_usd = None;
            (receipt.saved_vs_native_usd, receipt.saved_vs_uncached_usd) = (None, None);
        }
        lock(&self.0.books).enter(today(), &job.session, &job.plan, &receipt, cost, job.about);
        self.0.changed.send_modify(|count| *count += 1);
    }

    fn prices(&self, model: &str) -> Option<Prices> {
        self.0.prices.get()?.lookup(model).and_then(wiring::prices)
    }

    /// Asks the gateway for its prices with the key of a caller, until it has told them. Only where there is a cap somebody waits.
    async fn learn_prices(&self, headers: &HeaderMap) {
        if self.0.prices.get().is_some() {
            return;
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let key = text("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .or_else(|| text("x-api-key"));
        let Some(key) = key.and_then(|key| key.parse::<ApiKey>().ok()) else { return };
        {
            let mut asked = lock(&self.0.asked);
            if asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN) {
                return;
            }
            *asked = Some(Instant::now());
        }
        let relay = self.clone();
        let ask = async move {
            let client = MeshClient::builder(relay.0.upstream.clone(), key).build();
            // Without prices a receipt says tokens and no money.
            if let Ok(catalog) = client.models().await {
                let _ = relay.0.prices.set(catalog);
            }
        };
        if self.0.caps.day.or(self.0.caps.session).is_some() {
            let _ = tokio::time::timeout(PRICES_WITHIN, ask).await;
        } else {
            tokio::spawn(ask);
        }
    }
}

/// Passes pieces on as they come; a fault on one side becomes one on the other.
async fn pump(mut reader: BodyReader, sender: BodySender, mut see: impl FnMut(&[u8])) {
    loop {
        match reader.read().await {
            Ok(Some(piece)) => {
                see(&piece);
                if !sender.send(piece).await {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => return sender.abort(error).await,
        }
    }
}

/// What is read of a body that goes out untouched.
#[derive(serde::Deserialize)]
struct Model {
    model: String,
}

/// What is done with a request.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// The levers, and a receipt.
    Levers,
    /// A receipt.
    Receipt,
    /// Nothing.
    Other,
}

impl Kind {
    fn of(request: &Request<BodyReader>) -> Kind {
        let path = request.uri().path();
        let is_packed = request.headers().contains_key(header::CONTENT_ENCODING);
        match request.method() == Method::POST {
            true if path.ends_with("/chat/completions") || path.ends_with("/messages") => match is_packed {
                true => Kind::Receipt,
                false => Kind::Levers,
            },
            true if path.ends_with("/responses") => Kind::Receipt,
            _ => Kind::Other,
        }
    }
}

/// The headers that travel on.
fn carried(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let stays = |name: &str| {
        OF_THE_CONNECTION.contains(&name)
            || matches!(name, "host" | "content-length" | "expect" | TOKEN)
            || named.iter().any(|own| own == name)
    };
    headers
        .iter()
        .filter(|(name, _)| !stays(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
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

/// A refusal of our own, in the form in which gateways tell theirs.
fn problem(status: StatusCode, why: &str) -> Response<Body> {
    let text: Value = json!({"error": {"message": format!("meshapi proxy: {why}"), "type": "proxy_error", "code": status.as_u16()}});
    let mut response = own("application/json", text.to_string());
    *response.status_mut() = status;
    response
}

/// Days since 1970, UTC.
fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
