//! One pooled HTTPS client: roots, deadlines, proxy, user agent.
//!
//! Nothing is built before it is needed: no TLS for `http://`, no proxy rules for loopback, no thread at all
//! while addresses are literal. Redirects are never followed: the caller sees them as answers.
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::body::{Body, BodyReader};
use super::connect::{Connector, is_loopback};
use super::error::{HttpError, Phase, from_exchange};

/// Deadline for name resolution, TCP, proxy and TLS together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Deadline from the sent request to the head of the answer. From the seed's single 120 s.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(120);
/// Deadline between two pieces of an answer. From the seed's single 120 s.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a busy HTTP/2 connection is asked whether it still lives: a laptop that slept finds out soon.
const H2_PING_EVERY: Duration = Duration::from_secs(20);
/// How long an unused connection is kept. Longer than most tools run, shorter than most servers wait.
const POOL_IDLE: Duration = Duration::from_secs(90);

/// Where connections to other machines go through. Loopback is always reached directly.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Proxy {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, upper or lower case, as curl reads them.
    #[default]
    Environment,
    /// No proxy, whatever the environment says.
    Direct,
    /// This proxy for all but the hosts in `except` (in the form of `NO_PROXY`).
    Fixed {
        /// Address, `http://[user:password@]host:port`.
        address: String,
        /// Hosts, domains and networks that are reached directly, separated by commas.
        except: String,
    },
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proxy::Environment => "Environment",
            Proxy::Direct => "Direct",
            // The address may hold a password.
            Proxy::Fixed { .. } => "Fixed(..)",
        })
    }
}

/// How long the parts of one exchange may take; `None` is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the sent request to the head of the answer.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the answer.
    pub idle: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { first_byte: Some(FIRST_BYTE_TIMEOUT), idle: Some(IDLE_TIMEOUT) }
    }
}

/// Sends requests over kept connections. Cheap to clone; clones share the connections.
///
/// ```no_run
/// use mesh_client::http::{Body, HttpClient, Request};
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = HttpClient::builder().build();
/// let answer = client.send(Request::get("https://example.com/").body(Body::empty())?).await?;
/// let text = answer.into_body().collect(1 << 20).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct HttpClient {
    pool: Client<Connector, Body>,
    connector: Connector,
    user_agent: Option<HeaderValue>,
    deadlines: Deadlines,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("deadlines", &self.deadlines).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// Returns a builder with the defaults of this module.
    pub fn builder() -> HttpClientBuilder {
        HttpClientBuilder::default()
    }

    /// Sends a request and returns the head of the answer, whatever its status, with the body still to be read.
    ///
    /// A kept connection that the peer has closed is replaced and the request sent again if none of it had left.
    ///
    /// # Errors
    /// See [`HttpError`]; statuses are no errors here.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request; over HTTP/1.1 its connection is closed.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<BodyReader>, HttpError> {
        self.send_within(request, self.deadlines).await
    }

    /// Like [`HttpClient::send`], with other deadlines.
    ///
    /// # Errors
    /// Those of [`HttpClient::send`].
    ///
    /// # Cancel safety
    /// That of [`HttpClient::send`].
    pub async fn send_within(
        &self,
        mut request: Request<Body>,
        deadlines: Deadlines,
    ) -> Result<Response<BodyReader>, HttpError> {
        let host: Arc<str> = host_of(request.uri())?.into();
        let headers = request.headers_mut();
        if let Some(user_agent) = &self.user_agent {
            headers.entry(USER_AGENT).or_insert_with(|| user_agent.clone());
        }
        headers.remove(HOST);
        if let Some(auth) = self.connector.plain_proxy_auth(request.uri()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, auth);
        }
        let sent = Arc::new(AtomicU64::new(0));
        let request = request.map(|body| body.counted(Arc::clone(&sent)));
        // Lets the runtime look at its sockets once: a kept connection that was closed while nobody polled
        // is then found closed before the request is put on it, not after.
        tokio::task::yield_now().await;
        let exchange = self.pool.request(request);
        let answer = match deadlines.first_byte {
            Some(limit) => first_byte_within(limit, &host, &sent, exchange).await?,
            None => exchange.await.map_err(|error| from_exchange(&host, error))?,
        };
        Ok(answer.map(|body| BodyReader::new(body, host, deadlines.idle)))
    }
}

/// Waits for the head of the answer; as long as the request itself still moves, the clock starts anew.
async fn first_byte_within(
    limit: Duration,
    host: &str,
    sent: &AtomicU64,
    exchange: ResponseFuture,
) -> Result<Response<hyper::body::Incoming>, HttpError> {
    let mut exchange = pin!(exchange);
    loop {
        let before = sent.load(Ordering::Relaxed);
        match tokio::time::timeout(limit, exchange.as_mut()).await {
            Ok(answer) => return answer.map_err(|error| from_exchange(host, error)),
            Err(_) if sent.load(Ordering::Relaxed) > before => {}
            Err(_) => {
                let host = host.to_owned();
                return Err(HttpError::Timeout { host, phase: Phase::FirstByte, after: limit });
            }
        }
    }
}

fn host_of(uri: &Uri) -> Result<&str, HttpError> {
    uri.host().ok_or_else(|| HttpError::Invalid { reason: "the address has no host".to_owned() })
}

/// Settings of an [`HttpClient`]; every one has a default.
#[derive(Clone, Debug)]
pub struct HttpClientBuilder {
    user_agent: Option<HeaderValue>,
    proxy: Proxy,
    certificates: Option<PathBuf>,
    connect_timeout: Duration,
    deadlines: Deadlines,
    pinned: Option<Arc<[IpAddr]>>,
    gather: Option<Duration>,
}

impl Default for HttpClientBuilder {
    fn default() -> HttpClientBuilder {
        HttpClientBuilder {
            user_agent: Some(HeaderValue::from_static(concat!("meshapi/", env!("CARGO_PKG_VERSION")))),
            proxy: Proxy::default(),
            certificates: None,
            connect_timeout: CONNECT_TIMEOUT,
            deadlines: Deadlines::default(),
            pinned: None,
            gather: None,
        }
    }
}

impl HttpClientBuilder {
    /// Sets the `User-Agent` that is sent when a request has none, or that none is; default `meshapi/VERSION`.
    #[must_use]
    pub fn user_agent(mut self, value: impl Into<Option<HeaderValue>>) -> HttpClientBuilder {
        self.user_agent = value.into();
        self
    }

    /// Sets where connections go through; default [`Proxy::Environment`].
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> HttpClientBuilder {
        self.proxy = proxy;
        self
    }

    /// Trusts the certificates of this PEM file besides the public ones; default the file named by
    /// `SSL_CERT_FILE`, if any. It is read when the first `https://` connection is made.
    #[must_use]
    pub fn certificates(mut self, file: PathBuf) -> HttpClientBuilder {
        self.certificates = Some(file);
        self
    }

    /// Sets the deadline for making a connection; default [`CONNECT_TIMEOUT`].
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> HttpClientBuilder {
        self.connect_timeout = limit;
        self
    }

    /// Sets the deadlines of an exchange; default [`FIRST_BYTE_TIMEOUT`] and [`IDLE_TIMEOUT`].
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> HttpClientBuilder {
        self.deadlines = deadlines;
        self
    }

    /// Connects every name to one of these addresses and asks no resolver, so that what was judged is what is reached;
    /// TLS still checks the name. Goes with [`Proxy::Direct`]: a proxy would look the name up itself.
    #[must_use]
    pub fn pin(mut self, addresses: impl Into<Arc<[IpAddr]>>) -> HttpClientBuilder {
        self.pinned = Some(addresses.into());
        self
    }

    /// Reads a connection whose bytes come in more than 250 pieces a second only once in so long, which spares the work of
    /// waking up for each; default at once. Transfers of more than 32 KiB in that time are not held up.
    #[must_use]
    pub fn gather(mut self, rest: Duration) -> HttpClientBuilder {
        self.gather = Some(rest).filter(|rest| !rest.is_zero());
        self
    }

    /// Returns the client. Nothing is opened, read or resolved yet.
    pub fn build(self) -> HttpClient {
        let HttpClientBuilder { proxy, certificates, connect_timeout, pinned, gather, .. } = self;
        let connector = Connector::new(proxy, certificates, connect_timeout, pinned, gather);
        let pool = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(H2_PING_EVERY)
            .http2_adaptive_window(true)
            .build(connector.clone());
        HttpClient { pool, connector, user_agent: self.user_agent, deadlines: self.deadlines }
    }
}

/// Says whether an address leads to this very machine by name or literal, without asking a resolver.
pub fn is_loopback_host(uri: &Uri) -> bool {
    uri.host().is_some_and(is_loopback)
}
