//! What a gateway offers besides completions: models, balance, usage events, web search, routing preview.
use std::time::Duration;

use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};

use crate::client::{MeshClient, network};
use crate::cost::Usd;
use crate::error::ClientError;
use crate::http::Body;
use crate::wire::{Catalog, EncodedMessage};

/// Deadline of a web search.
pub const WEB_SEARCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Price of one web search in USD. From the wire's observed facts.
pub const WEB_SEARCH_PRICE: Usd = Usd(0.005);

/// Deadline of the catalogue, which is 2.8 MB.
const MODELS_TIMEOUT: Duration = Duration::from_secs(60);
/// Deadline of the small ones.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of the catalogue: ten times what was observed.
const MAX_MODELS_BYTES: usize = 32 * 1024 * 1024;
/// Most bytes of any other answer.
const MAX_SERVICE_BYTES: usize = 8 * 1024 * 1024;

/// A web search to make.
#[derive(Clone, Debug, Serialize)]
pub struct WebSearch {
    /// What to look for, 1 to 2,000 characters.
    pub query: String,
    /// Most results, 1 to 20.
    pub max_results: u8,
    /// How thorough to be.
    pub search_depth: SearchDepth,
    /// Only pages of these domains; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_domains: Vec<String>,
    /// No pages of these domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_domains: Vec<String>,
    /// Whether the gateway should write an answer from the results.
    pub include_answer: bool,
}

/// How thorough a web search is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchDepth {
    /// Quick.
    #[default]
    Basic,
    /// Slower, with longer excerpts.
    Advanced,
}

impl WebSearch {
    /// Returns a search with the gateway's defaults: five results, basic, no answer.
    pub fn new(query: impl Into<String>) -> WebSearch {
        WebSearch {
            query: query.into(),
            max_results: 5,
            search_depth: SearchDepth::Basic,
            include_domains: Vec::new(),
            exclude_domains: Vec::new(),
            include_answer: false,
        }
    }
}

/// What a web search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchResults {
    /// The answer that the gateway wrote, when it was asked for.
    pub answer: Option<String>,
    /// The pages, best first.
    pub results: Vec<SearchResult>,
}

/// One page of a web search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchResult {
    /// Title of the page.
    pub title: String,
    /// Address of the page.
    pub url: String,
    /// The excerpt (`content`, else `snippet`, else `description`).
    pub content: String,
    /// When the page says that it was published.
    pub published_date: Option<String>,
}

/// One billed request.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageEvent {
    /// The `x-request-id` of the request.
    pub request_id: String,
    /// What it cost; `None` when the row has no readable amount.
    pub cost: Option<Usd>,
    /// The row as it came.
    pub raw: Value,
}

/// What the account may still spend.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    /// `available_usd`; `None` when the answer has no readable amount.
    pub available: Option<Usd>,
    /// The answer as it came.
    pub raw: Value,
}

impl MeshClient {
    /// Returns the model catalogue; rows that cannot be read are left out.
    ///
    /// # Errors
    /// The gateway refused, the connection failed, or the answer is no catalogue.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn models(&self) -> Result<Catalog, ClientError> {
        let body = self.call(Method::GET, "models", None, MODELS_TIMEOUT, MAX_MODELS_BYTES).await?;
        Catalog::from_value(&body).map_err(|error| ClientError::malformed(error, None))
    }

    /// Returns the account's balance.
    ///
    /// # Errors
    /// The gateway refused, the connection failed, or the answer is not JSON.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn balance(&self) -> Result<Balance, ClientError> {
        let raw = self.call(Method::GET, "balance", None, SERVICE_TIMEOUT, MAX_SERVICE_BYTES).await?;
        Ok(Balance { available: raw.get("available_usd").and_then(Usd::from_value), raw })
    }

    /// Returns what was billed since a moment, at most `limit` rows (200 is the usual number).
    ///
    /// # Errors
    /// The gateway refused, the connection failed, or the answer is not JSON.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn usage_events(
        &self,
        since: jiff::Timestamp,
        limit: u32,
    ) -> Result<Vec<UsageEvent>, ClientError> {
        let wanted = json!({"org_id": "", "since": since.to_string(), "limit": limit});
        let answer = self.post("usage/events", &wanted, SERVICE_TIMEOUT).await?;
        let rows = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(rows.iter().filter_map(UsageEvent::from_row).collect())
    }

    /// Returns the sum billed for these requests since a moment; `None` when not one of them was found.
    ///
    /// # Errors
    /// Those of [`MeshClient::usage_events`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn billed(
        &self,
        request_ids: &[&str],
        since: jiff::Timestamp,
    ) -> Result<Option<Usd>, ClientError> {
        let events = self.usage_events(since, 200).await?;
        let ours = events.iter().filter(|event| request_ids.contains(&event.request_id.as_str()));
        Ok(ours.filter_map(|event| event.cost).reduce(|sum, cost| Usd(sum.0 + cost.0)))
    }

    /// Searches the web; costs [`WEB_SEARCH_PRICE`].
    ///
    /// # Errors
    /// The gateway refused (an older one without search answers [`ClientError::NotFound`]), the connection failed,
    /// or the answer is not JSON.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn web_search(&self, search: &WebSearch) -> Result<SearchResults, ClientError> {
        let answer = self.post("web/search", search, WEB_SEARCH_TIMEOUT).await?;
        let rows = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(SearchResults {
            answer: text(&answer, &["answer"]),
            results: rows.iter().filter_map(SearchResult::from_row).collect(),
        })
    }

    /// Returns the model that the gateway's own routing would pick for this conversation, without running it.
    ///
    /// # Errors
    /// The gateway refused, the connection failed, or the answer is not JSON.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    pub async fn router_select(&self, messages: &[EncodedMessage]) -> Result<Option<String>, ClientError> {
        let mut segments = vec![bytes::Bytes::from_static(b"{\"messages\":[")];
        for (at, message) in messages.iter().enumerate() {
            if at > 0 {
                segments.push(bytes::Bytes::from_static(b","));
            }
            segments.push(message.as_bytes().clone());
        }
        segments.push(bytes::Bytes::from_static(b"]}"));
        let body = Body::from_segments(segments);
        let path = "router/select";
        let answer = self.call(Method::POST, path, Some(body), SERVICE_TIMEOUT, MAX_SERVICE_BYTES).await?;
        Ok(text(&answer, &["resolved_model_id", "model"]))
    }

    async fn post(
        &self,
        path: &str,
        value: &(impl Serialize + Sync),
        limit: Duration,
    ) -> Result<Value, ClientError> {
        let body = Body::json(value).map_err(|error| network(error, None))?;
        self.call(Method::POST, path, Some(body), limit, MAX_SERVICE_BYTES).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
        limit: Duration,
        max_bytes: usize,
    ) -> Result<Value, ClientError> {
        let request = self.request(method, path, body.unwrap_or_default());
        let (headers, body) = self.fetch(request, limit, max_bytes).await?;
        serde_json::from_slice(&body).map_err(|_| {
            ClientError::malformed(String::from_utf8_lossy(&body[..body.len().min(200)]), headers.request_id)
        })
    }
}

impl UsageEvent {
    fn from_row(row: &Value) -> Option<UsageEvent> {
        let request_id = text(row, &["request_id"])?;
        Some(UsageEvent { request_id, cost: row.get("cost_usd").and_then(Usd::from_value), raw: row.clone() })
    }
}

impl SearchResult {
    fn from_row(row: &Value) -> Option<SearchResult> {
        Some(SearchResult {
            url: text(row, &["url"])?,
            title: text(row, &["title"]).unwrap_or_default(),
            content: text(row, &["content", "snippet", "description"]).unwrap_or_default(),
            published_date: text(row, &["published_date"]),
        })
    }
}

/// The first of these fields that holds text.
fn text(row: &Value, fields: &[&str]) -> Option<String> {
    fields.iter().find_map(|field| row.get(field)?.as_str()).map(str::to_owned)
}
