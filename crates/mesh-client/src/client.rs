//! MeshClient and its builder: one attempt at a time, streaming or whole.
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};

use crate::completion::{Completion, ResponseHeaders};
use crate::endpoint::{ApiKey, BaseUrl};
use crate::error::{ClientError, GatewayReport, NetworkKind, classify_status};
use crate::http::{
    Body, BodyReader, ConnectFailure, Deadlines, HttpClient, HttpClientBuilder, HttpError, Phase, Proxy,
};
use crate::stream::CompletionStream;
use crate::wire::RequestBody;

/// Deadline of a whole (non-streaming) completion. The gateway's own default for `timeout`: 300 s.
pub const WHOLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Most bytes of an error body that are read.
const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// Most bytes of a whole completion. The bound of one line of a stream, so that both ways carry the same.
pub(crate) const MAX_WHOLE_BYTES: usize = crate::http::sse::MAX_LINE_BYTES;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Talks to one gateway with one key. Cheap to clone; clones share the connections.
///
/// For a gateway to try this on without a key or a network see the `scripted` module.
///
/// ```no_run
/// use mesh_client::{BaseUrl, CompletionRequest, EncodedMessage, MeshClient, Message, RetryPolicy, StreamEvent};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = MeshClient::builder(BaseUrl::default(), std::env::var("MESHAPI_API_KEY")?.parse()?).build();
/// let mut request = CompletionRequest { model: "auto".into(), ..Default::default() };
/// request.messages.push(EncodedMessage::from(&Message::user("Name three rivers.")));
/// let completion = client
///     .complete(&request, &RetryPolicy::default(), &mut |event| {
///         if let StreamEvent::Text(text) = event {
///             print!("{text}");
///         }
///     })
///     .await?;
/// println!("\n{:?}", completion.usage);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MeshClient {
    http: HttpClient,
    settings: Arc<Settings>,
}

struct Settings {
    base: BaseUrl,
    /// Replaced when the user gives another key.
    bearer: RwLock<HeaderValue>,
    mesh_version: Option<HeaderValue>,
    deadlines: Deadlines,
    whole_timeout: Duration,
}

impl fmt::Debug for MeshClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshClient").field("base", &self.settings.base).finish_non_exhaustive()
    }
}

impl MeshClient {
    /// Returns a builder for the gateway at `base` and the account of `key`.
    pub fn builder(base: BaseUrl, key: ApiKey) -> MeshClientBuilder {
        MeshClientBuilder {
            base,
            key,
            http: HttpClient::builder(),
            mesh_version: None,
            deadlines: Deadlines::default(),
            whole_timeout: WHOLE_TIMEOUT,
        }
    }

    /// Returns the gateway's address.
    pub fn base_url(&self) -> &BaseUrl {
        &self.settings.base
    }

    /// Uses another key from the next request on, in all clones.
    pub fn set_key(&self, key: &ApiKey) {
        *self.settings.bearer.write().unwrap_or_else(PoisonError::into_inner) = key.bearer();
    }

    /// Sends one streaming request and returns the answer once its head is there.
    ///
    /// # Errors
    /// The gateway refused, or there was no connection. What goes wrong later is told by the stream.
    ///
    /// # Cancel safety
    /// Dropping the future, and later the stream, drops the request.
    pub async fn stream(&self, body: RequestBody) -> Result<CompletionStream, ClientError> {
        let mut request = self.request(Method::POST, "chat/completions", carried(&body));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let answer = self.exchange(request, self.settings.deadlines).await?;
        Ok(CompletionStream::new(answer))
    }

    /// Sends one non-streaming request and returns the whole answer; the body must not ask for a stream.
    /// The gateway itself retries and falls back on such requests.
    ///
    /// # Errors
    /// The gateway refused, the connection failed, or the answer says nothing.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn whole(&self, body: RequestBody) -> Result<Completion, ClientError> {
        let request = self.request(Method::POST, "chat/completions", carried(&body));
        let (headers, body) = self.fetch(request, self.settings.whole_timeout, MAX_WHOLE_BYTES).await?;
        Completion::from_whole(&body, headers)
    }

    /// Makes a request with the headers that all of ours carry.
    pub(crate) fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.address(path);
        let headers = request.headers_mut();
        let bearer = self.settings.bearer.read().unwrap_or_else(PoisonError::into_inner).clone();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ACCEPT, JSON);
        if let Some(version) = &self.settings.mesh_version {
            headers.insert("x-mesh-version", version.clone());
        }
        request
    }

    fn address(&self, path: &str) -> Uri {
        self.settings.base.join(path).expect("a checked base and one of our own paths make an address")
    }

    /// Sends a request and returns the answer if its status is a success.
    pub(crate) async fn exchange(
        &self,
        request: Request<Body>,
        deadlines: Deadlines,
    ) -> Result<Response<BodyReader>, ClientError> {
        let answer = self.http.send_within(request, deadlines).await.map_err(|error| network(error, None))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let headers = kept_headers(answer.headers());
        let body = answer.into_body().collect_prefix(MAX_ERROR_BYTES).await;
        Err(classify_status(status.as_u16(), &headers, &body, now_epoch()))
    }

    /// Sends a request and reads the whole answer, all within `limit`.
    pub(crate) async fn fetch(
        &self,
        request: Request<Body>,
        limit: Duration,
        max_bytes: usize,
    ) -> Result<(ResponseHeaders, bytes::Bytes), ClientError> {
        let unlimited = Deadlines { first_byte: None, idle: None };
        let whole = async {
            let answer = self.exchange(request, unlimited).await?;
            let headers = kept_headers(answer.headers());
            match answer.into_body().collect(max_bytes).await {
                Ok(body) => Ok((headers, body)),
                Err(error) => Err(network(error, headers.request_id)),
            }
        };
        tokio::time::timeout(limit, whole).await.unwrap_or_else(|_| {
            let detail = format!("{} took longer than {} s", self.settings.base, limit.as_secs_f64());
            Err(ClientError::network(NetworkKind::Timeout, detail, None))
        })
    }
}

/// Settings of a [`MeshClient`]; every one has a default.
#[derive(Clone, Debug)]
pub struct MeshClientBuilder {
    base: BaseUrl,
    key: ApiKey,
    http: HttpClientBuilder,
    mesh_version: Option<HeaderValue>,
    deadlines: Deadlines,
    whole_timeout: Duration,
}

impl MeshClientBuilder {
    /// Sets the `User-Agent`; default `meshapi/VERSION`.
    #[must_use]
    pub fn user_agent(mut self, value: HeaderValue) -> MeshClientBuilder {
        self.http = self.http.user_agent(value);
        self
    }

    /// Pins a dated version of the API (`YYYY-MM`) by `X-Mesh-Version`; default none, the oldest supported.
    #[must_use]
    pub fn mesh_version(mut self, value: HeaderValue) -> MeshClientBuilder {
        self.mesh_version = Some(value).filter(|value| !value.is_empty());
        self
    }

    /// Sets where connections go through; default what the environment says.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> MeshClientBuilder {
        self.http = self.http.proxy(proxy);
        self
    }

    /// Trusts the certificates of this PEM file too; default the file named by `SSL_CERT_FILE`.
    #[must_use]
    pub fn certificates(mut self, file: std::path::PathBuf) -> MeshClientBuilder {
        self.http = self.http.certificates(file);
        self
    }

    /// Sets the deadline for making a connection; default 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> MeshClientBuilder {
        self.http = self.http.connect_timeout(limit);
        self
    }

    /// Sets the deadlines of a stream; default 120 s each for the first byte and between two pieces.
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> MeshClientBuilder {
        self.deadlines = deadlines;
        self
    }

    /// Sets the deadline of a non-streaming completion; default [`WHOLE_TIMEOUT`].
    #[must_use]
    pub fn whole_timeout(mut self, limit: Duration) -> MeshClientBuilder {
        self.whole_timeout = limit;
        self
    }

    /// Hands a stream that runs faster than 250 pieces a second on in steps so far apart, as
    /// [`HttpClientBuilder::gather`] does; default at once. For a reader that draws so often and no oftener.
    #[must_use]
    pub fn gather(mut self, rest: Duration) -> MeshClientBuilder {
        self.http = self.http.gather(rest);
        self
    }

    /// Returns the client. Nothing is opened, read or resolved yet.
    pub fn build(self) -> MeshClient {
        let settings = Settings {
            bearer: RwLock::new(self.key.bearer()),
            base: self.base,
            mesh_version: self.mesh_version,
            deadlines: self.deadlines,
            whole_timeout: self.whole_timeout,
        };
        MeshClient { http: self.http.build(), settings: Arc::new(settings) }
    }
}

/// The segments of a body, shared and not copied.
fn carried(body: &RequestBody) -> Body {
    Body::from_segments(body.segments().iter().cloned())
}

/// Picks the headers worth keeping out of an answer's.
pub(crate) fn kept_headers(headers: &HeaderMap) -> ResponseHeaders {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let pairs: Vec<_> =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), text(value)?))).collect();
    ResponseHeaders::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
}

fn now_epoch() -> f64 {
    // A clock before 1970 is a broken clock: a Retry-After date then counts as far away and is not waited for.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Turns a failure of carrying bytes into the crate's error.
pub(crate) fn network(error: HttpError, request_id: Option<String>) -> ClientError {
    let kind = match &error {
        HttpError::Connect {
            source: ConnectFailure::Tls(_) | ConnectFailure::Certificates { .. }, ..
        } => NetworkKind::Tls,
        HttpError::Connect { .. } | HttpError::Timeout { phase: Phase::Connect, .. } => NetworkKind::Connect,
        HttpError::Timeout { .. } => NetworkKind::Timeout,
        HttpError::Closed { .. } | HttpError::Reset { .. } => NetworkKind::Reset,
        HttpError::Truncated { .. } => NetworkKind::Truncated,
        HttpError::Protocol { .. } | HttpError::TooLarge { .. } | HttpError::Json(_) => {
            return ClientError::malformed(&error, request_id);
        }
        HttpError::Invalid { .. } => {
            let mut report = GatewayReport::default();
            report.message = error.to_string();
            return ClientError::InvalidRequest { report: Box::new(report) };
        }
    };
    match error {
        // Its message gives the advice that ours ends with: only its cause is worth a place below ours.
        HttpError::Connect { host, source } => {
            let detail = format!("{host}: {source}");
            ClientError::network(kind, detail, request_id).with_source(source)
        }
        other => ClientError::network(kind, &other, request_id).with_source(other),
    }
}
