//! One request to a gateway and its answer: headers, deadlines, statuses. Redirects are never followed.

use std::time::Duration;

use bytes::Bytes;
use mesh_client::http::{Body, BodyReader, Deadlines, HttpClient, Request, Response, header};
use serde_json::Value;
use url::Url;

use super::error::ClientError;

/// Longest answer that is read: a page of the Python gateway may hold 1000 messages of 200 000 characters.
const MAX_ANSWER: usize = 1 << 30;
/// Characters of a refusal's body in its error. From the Python client.
const REFUSAL_CHARS: usize = 500;
/// Characters of an answer that is no JSON in its error. From the Python client.
const NOT_JSON_CHARS: usize = 200;

/// How calls are made.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) http: HttpClient,
    pub(super) base: String,
    pub(super) token: Option<String>,
    pub(super) timeout: Duration,
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<&'a Value>,
    /// How much longer the gateway may take on purpose.
    pub(super) wait: Duration,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> Call<'a> {
        let (query, headers) = (Vec::new(), Vec::new());
        Call { method, path: path.into(), query, body: None, wait: Duration::ZERO, headers }
    }

    pub(super) fn body(mut self, body: &'a Value) -> Call<'a> {
        self.body = Some(body);
        self
    }
}

/// The address of a gateway, without the slash at its end.
///
/// # Errors
/// It is none, or is not spoken here.
pub(super) fn base_url(text: &str) -> Result<String, ClientError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ClientError::NoGateway);
    }
    let bad = |shown: &str, reason: &str| ClientError::BadUrl {
        url: crate::error::printable(shown),
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| bad("it", &error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(url.scheme(), "it has to begin with http:// or https://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad(text, "it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(url.host_str().unwrap_or_default(), "name and password do not belong in it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad(url.host_str().unwrap_or_default(), "it has a query"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl Caller {
    /// Makes a call; `None` is an empty answer.
    ///
    /// # Errors
    /// Those of the Python client, as values; also a redirect.
    pub(super) async fn json(&self, call: Call<'_>) -> Result<Option<Value>, ClientError> {
        let (method, path) = (call.method.to_owned(), call.path.clone());
        let answer = self.answer(call).await?;
        let body = answer.into_body().collect(MAX_ANSWER).await;
        let body = body.map_err(|source| ClientError::Transport {
            method: method.clone(),
            path: path.clone(),
            source,
        })?;
        if body.is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(&body) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(ClientError::NotJson { method, path, body: beginning(&body, NOT_JSON_CHARS) }),
        }
    }

    /// Makes a call and gives the answer with its body still to be read.
    ///
    /// # Errors
    /// Those of [`Caller::json`].
    pub(super) async fn answer(&self, call: Call<'_>) -> Result<Response<BodyReader>, ClientError> {
        let (method, path) = (call.method.to_owned(), call.path.clone());
        let transport =
            |source| ClientError::Transport { method: method.clone(), path: path.clone(), source };
        let mut uri = format!("{}{}", self.base, call.path);
        for (index, (name, value)) in call.query.iter().enumerate() {
            let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            uri.push_str(&format!("{}{name}={value}", if index == 0 { '?' } else { '&' }));
        }
        let mut request =
            Request::builder().method(call.method).uri(uri).header(header::ACCEPT, "application/json");
        if let Some(token) = self.token.as_deref().filter(|token| !token.is_empty()) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let body = match call.body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|error| ClientError::BadUrl {
            url: crate::error::printable(&self.base),
            reason: error.to_string(),
        })?;
        let limit = Some(self.timeout + call.wait);
        let deadlines = Deadlines { first_byte: limit, idle: limit };
        let answer = self.http.send_within(request, deadlines).await.map_err(transport)?;
        let status = answer.status().as_u16();
        match status {
            401 | 403 => Err(ClientError::Auth { method, path, status }),
            // A redirect is not followed: the token is for this gateway.
            300.. => {
                let retry_after = answer
                    .headers()
                    .get(header::RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                let body = answer.into_body().collect_prefix(REFUSAL_CHARS * 4).await;
                let body = beginning(&body, REFUSAL_CHARS);
                Err(ClientError::Refused { method, path, status, body, retry_after })
            }
            _ => Ok(answer),
        }
    }
}

/// The first characters of a body, as they may stand in an error.
fn beginning(body: &Bytes, chars: usize) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().take(chars).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked() {
        assert_eq!(base_url(" http://a:1/ ").unwrap(), "http://a:1");
        assert_eq!(base_url("https://h/mesh/").unwrap(), "https://h/mesh");
        for bad in ["", "  ", "a:1", "ftp://h", "http://", "http://u:p@h", "http://h?x=1", "/path"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
        assert!(!base_url("http://u:hunter2@h").unwrap_err().to_string().contains("hunter2"));
    }
}
