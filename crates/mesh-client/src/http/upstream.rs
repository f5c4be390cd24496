//! An API to which a proxy passes requests on.
use bytes::Bytes;
use hyper::{HeaderMap, Method, Request, Response, header};

use super::body::{Body, BodyReader};
use super::client::HttpClient;
use super::error::HttpError;
use super::relay::end_to_end;

/// An API to which requests are passed on, under their own paths, by their own methods, with their own headers.
#[derive(Clone, Debug)]
pub struct Upstream {
    http: HttpClient,
    base: String,
    own_headers: &'static [&'static str],
}

impl Upstream {
    /// `base`: what stands in front of a request's path, such as `https://api.example.com`. `own_headers`: what is meant for
    /// the proxy, and does not travel on.
    pub fn new(http: HttpClient, base: impl Into<String>, own_headers: &'static [&'static str]) -> Upstream {
        Upstream { http, base: base.into(), own_headers }
    }

    /// The headers of a request that travel on.
    pub fn carried(&self, headers: &HeaderMap) -> HeaderMap {
        let mut headers = end_to_end(headers);
        for name in ["host", "content-length", "expect"].iter().chain(self.own_headers) {
            headers.remove(*name);
        }
        headers
    }

    /// Sends a request with these headers and no others.
    ///
    /// # Errors
    /// The API cannot be reached, or the path is none.
    pub async fn send(
        &self,
        method: &Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<BodyReader>, HttpError> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base)).body(body);
        let mut request = request.map_err(|error| HttpError::Invalid { reason: error.to_string() })?;
        *request.headers_mut() = headers;
        self.http.send(request).await
    }

    /// Passes a request on piece by piece as it comes, and its answer back.
    ///
    /// # Errors
    /// Those of [`Upstream::send`].
    pub async fn pass(&self, request: Request<BodyReader>) -> Result<Response<Body>, HttpError> {
        let (head, reader) = request.into_parts();
        let has_body = head.headers.contains_key(header::CONTENT_LENGTH)
            || head.headers.contains_key(header::TRANSFER_ENCODING);
        let body = if has_body { Body::passing([], reader, |_| ()) } else { Body::empty() };
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let answer = self.send(&head.method, path, self.carried(&head.headers), body).await?;
        Ok(pour(answer, [], |_| ()))
    }
}

/// An answer passed back with its own status and headers: what was read of it already, then the rest as it comes. `watch` sees
/// each piece.
pub fn pour(
    answer: Response<BodyReader>,
    first: impl IntoIterator<Item = Result<Bytes, HttpError>>,
    watch: impl FnMut(&[u8]) + Send + 'static,
) -> Response<Body> {
    let (head, reader) = answer.into_parts();
    let mut response = Response::new(Body::passing(first, reader, watch));
    *response.status_mut() = head.status;
    *response.headers_mut() = end_to_end(&head.headers);
    response
}
