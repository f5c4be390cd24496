//! What may be read of the web: judged, resolved once, judged again, and fetched from the very addresses that were judged; every
//! redirect anew (D-12), by the user's own rules on hosts too. No proxy is used: it would look the name up itself, after the judging.
//! Nothing of the user goes along: no cookie, no credential.
//!
//! - `page`: what came as text, in its character set; `html` (pure): a page as text with its links
mod html;
mod page;

use std::{fmt, io, io::Read, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use mesh_client::http::{Body, HttpClient, HttpError, Proxy, Request, StatusCode, Uri, has_proxy, header};
use mesh_safety::{
    Decision, UrlError, WebTarget,
    rules::{Effect, Rules},
};

use crate::SharedRules;

pub(crate) use page::{PAGE, Page};

/// How long a fetch may take, redirects and all. Seed 15.2.
const LIMIT: Duration = Duration::from_secs(30);

/// Characters of a content type in an error: more is no type.
const TYPE_CHARS: usize = 100;

/// The addresses of a host, or why there are none.
pub type Answers = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
/// Says which addresses a host has; asked once for each step.
type Lookup = dyn Fn(String, u16) -> Answers + Send + Sync;

/// The web as far as it may be read. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    lookup: Arc<Lookup>,
    rules: SharedRules,
    limit: Duration,
}

/// What is taken from the web.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Content types, for a server that negotiates.
    pub accept: &'static str,
    /// Whether a content type, lower case and without parameters, is taken. An answer that names none is.
    pub takes: fn(&str) -> bool,
    /// Most bytes, on the wire and unpacked.
    pub max_bytes: usize,
    /// The user said yes to the host of the address: a rule of theirs that asks has been answered.
    pub is_answered: bool,
}

/// What came.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Where it came from at last.
    pub target: WebTarget,
    /// Its content type with its parameters, as the server says.
    pub content_type: Option<String>,
    /// Its bytes, unpacked.
    pub bytes: Bytes,
}

/// Why nothing came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address must not be fetched.
    #[error("{0}")]
    Refused(String),
    /// The server says that it is something else than is wanted.
    #[error("it is {kind}{}", size.map(|size| format!(" of {size} bytes")).unwrap_or_default())]
    OtherType {
        /// The content type without parameters.
        kind: String,
        /// Its bytes, where the server says so.
        size: Option<u64>,
    },
    /// More bytes than are taken.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// How many are taken.
        limit: usize,
    },
    /// It did not come.
    #[error("{0}")]
    Failed(String),
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Default for Web {
    /// Public addresses only, as the system resolves them.
    fn default() -> Web {
        Web::resolving(|host, port| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host.as_str(), port)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        })
    }
}

/// What one step of a fetch gave.
enum Step {
    Arrived(Fetched),
    Redirected(WebTarget),
}

impl Web {
    /// Public addresses only, as `lookup` resolves them. It is asked once for each step.
    pub fn resolving(lookup: impl Fn(String, u16) -> Answers + Send + Sync + 'static) -> Web {
        Web { lookup: Arc::new(lookup), rules: SharedRules::default(), limit: LIMIT }
    }

    /// The same with the user's rules on hosts. They may change meanwhile.
    #[must_use]
    pub fn with_rules(self, rules: SharedRules) -> Web {
        Web { rules, ..self }
    }

    /// Fetches what is at an address.
    ///
    /// # Errors
    /// See [`WebError`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn fetch(&self, address: &str, wanted: &Wanted) -> Result<Fetched, WebError> {
        let late = |_| Err(WebError::Failed(format!("it did not come within {} s", self.limit.as_secs())));
        tokio::time::timeout(self.limit, self.follow(address, wanted)).await.unwrap_or_else(late)
    }

    async fn follow(&self, address: &str, wanted: &Wanted) -> Result<Fetched, WebError> {
        let mut target = WebTarget::parse(address).map_err(refused)?;
        let mut wanted = *wanted;
        loop {
            match self.step(&target, &wanted).await? {
                Step::Arrived(fetched) => return Ok(fetched),
                Step::Redirected(next) => {
                    // The yes was to the host that the user saw.
                    wanted.is_answered &= next.host() == target.host();
                    target = next;
                }
            }
        }
    }

    async fn step(&self, target: &WebTarget, wanted: &Wanted) -> Result<Step, WebError> {
        let addresses = self.addresses(target, wanted.is_answered).await?;
        // One client for each step: a pool must not lend a connection that was judged for another name.
        let client = HttpClient::builder().proxy(Proxy::Direct).pin(addresses).build();
        let request = Request::get(target.url().as_str())
            .header(header::ACCEPT, wanted.accept)
            .header(header::ACCEPT_ENCODING, "gzip")
            .body(Body::empty())
            .map_err(|error| WebError::Failed(error.to_string()))?;
        let uri = request.uri().clone();
        let answer = client.send(request).await.map_err(|error| failed(&uri, &error))?;
        let of = |name| {
            let value = answer.headers().get(name)?;
            std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
        };
        let status = answer.status();
        if is_redirect(status) {
            let location = of(header::LOCATION).ok_or_else(|| {
                WebError::Failed(format!("{} answered {status} and no Location", target.host()))
            })?;
            return target.redirect(&location).map(Step::Redirected).map_err(refused);
        }
        if !status.is_success() {
            return Err(WebError::Failed(format!("{} answered {status}", target.host())));
        }
        let content_type = of(header::CONTENT_TYPE);
        let size = of(header::CONTENT_LENGTH).and_then(|n| n.parse::<u64>().ok());
        if let Some(kind) = content_type.as_deref().map(essence).filter(|kind| !(wanted.takes)(kind)) {
            return Err(WebError::OtherType { kind, size });
        }
        let (limit, packed) = (wanted.max_bytes, of(header::CONTENT_ENCODING));
        if size.is_some_and(|size| size > limit as u64) {
            return Err(WebError::TooLarge { limit });
        }
        let bytes = answer.into_body().collect(limit).await.map_err(|error| match error {
            HttpError::TooLarge { .. } => WebError::TooLarge { limit },
            other => failed(&uri, &other),
        })?;
        let bytes = unpacked(bytes, packed.as_deref(), limit)?;
        Ok(Step::Arrived(Fetched { target: target.clone(), content_type, bytes }))
    }

    /// The addresses that may be connected to; all that the host has, or none.
    async fn addresses(&self, target: &WebTarget, is_answered: bool) -> Result<Vec<IpAddr>, WebError> {
        let host = target.host();
        let mut rules = self.rules.get();
        // A name that is ruled out is not even told to a name service.
        match rules.host(&host).map(|rule| (rule.effect(), Decision::by_rule(rule))) {
            None | Some((Effect::Allow, _)) => {}
            // Answered or not, it lets nothing but what is public be reached.
            Some((Effect::Ask, _)) if is_answered => rules = Rules::default(),
            Some((Effect::Ask | Effect::Deny, decision)) => return Err(not_allowed(&decision)),
        }
        let addresses = match host.parse() {
            Ok(literal) => vec![literal],
            Err(_) => (self.lookup)(host.clone(), target.port())
                .await
                .map_err(|error| WebError::Refused(format!("`{host}` does not resolve: {error}")))?,
        };
        match target.judge_by(&rules, &addresses) {
            Decision::Allow => Ok(addresses),
            decision @ (Decision::Ask(_) | Decision::Block(_)) => Err(not_allowed(&decision)),
        }
    }
}

fn not_allowed(decision: &Decision) -> WebError {
    let texts: Vec<&str> = decision.reasons().iter().map(|reason| reason.text.as_str()).collect();
    WebError::Refused(texts.join("; "))
}

fn refused(error: UrlError) -> WebError {
    WebError::Refused(error.to_string())
}

fn failed(uri: &Uri, error: &HttpError) -> WebError {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = error.source();
    }
    let is_behind_proxy = matches!(error, HttpError::Connect { .. }) && has_proxy(uri);
    WebError::Failed(match is_behind_proxy {
        true => format!("{said} (it is fetched directly, never through the proxy)"),
        false => said,
    })
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A content type without its parameters.
fn essence(value: &str) -> String {
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.chars().take(TYPE_CHARS).collect::<String>().to_ascii_lowercase()
}

/// A body as it was before the server packed it; never more than `limit`, however well it was packed.
fn unpacked(bytes: Bytes, packed: Option<&str>, limit: usize) -> Result<Bytes, WebError> {
    match packed.map(|how| how.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity") => Ok(bytes),
        Some("gzip" | "x-gzip") => {
            let mut whole = Vec::new();
            flate2::read::MultiGzDecoder::new(&bytes[..])
                .take(limit as u64 + 1)
                .read_to_end(&mut whole)
                .map_err(|error| WebError::Failed(format!("it does not unpack: {error}")))?;
            if whole.len() > limit { Err(WebError::TooLarge { limit }) } else { Ok(whole.into()) }
        }
        Some(other) => {
            let how: String = other.chars().take(TYPE_CHARS).collect();
            Err(WebError::Failed(format!("it is packed as `{how}`, which was not asked for")))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
