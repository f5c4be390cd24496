//! What passes from one connection to another: headers that travel on, and bodies that are seen as they pass.
use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::SizeHint;
use hyper::{HeaderMap, header};

use super::body::BodyReader;
use super::error::{BoxError, HttpError};

/// Headers that belong to one connection and not to what it carries. RFC 9110, section 7.6.1.
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

/// Returns the headers that travel on: all but those of the connection and those that `connection` names.
pub fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let stays = |name: &str| OF_THE_CONNECTION.contains(&name) || named.iter().any(|own| own == name);
    headers
        .iter()
        .filter(|(name, _)| !stays(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Sees the pieces of a body.
pub(super) type Watch = Box<dyn FnMut(&[u8]) + Send>;

/// A body that passes by. Nothing is kept: a slow reader slows whoever writes.
pub(super) struct Passing {
    first: VecDeque<Result<Bytes, HttpError>>,
    reader: BodyReader,
    watch: Watch,
}

impl Passing {
    pub(super) fn new(
        first: impl IntoIterator<Item = Result<Bytes, HttpError>>,
        reader: BodyReader,
        watch: Watch,
    ) -> Passing {
        Passing { first: first.into_iter().collect(), reader, watch }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let piece = match self.first.pop_front() {
            Some(first) => Poll::Ready(first.map(Some)),
            None => self.reader.poll_read(cx),
        };
        piece.map(|piece| match piece {
            Ok(piece) => piece.map(|piece| {
                (self.watch)(&piece);
                Ok(piece)
            }),
            Err(error) => Some(Err(error.into())),
        })
    }

    pub(super) fn is_ended(&self) -> bool {
        self.first.is_empty() && self.reader.is_ended()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let first: Option<u64> =
            self.first.iter().map(|first| first.as_ref().ok().map(|first| first.len() as u64)).sum();
        first
            .zip(self.reader.length())
            .map_or_else(SizeHint::default, |(first, rest)| SizeHint::with_exact(first + rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-two", "a"),
            ("x-two", "b"),
            ("authorization", "Bearer k"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let carried = end_to_end(&headers);
        let names: Vec<_> =
            carried.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(names, [("x-two", "a"), ("x-two", "b"), ("authorization", "Bearer k")]);
    }
}
