//! Whether a gateway takes a request: its status, or what its answer says first.

use std::time::Duration;

use crate::error::classify_inband;
use crate::http::{BodyReader, HttpError, Response, header, sse};
use crate::wire::Chunk;
use bytes::{Bytes, BytesMut};

/// What was read of an answer: pieces, and at the end how it broke.
pub type Read = Vec<Result<Bytes, HttpError>>;

/// So much of an answer is looked at. A refusal is the first thing that is said.
const LOOKED_AT: usize = 64 << 10;

/// So long after its head. Who thinks first and sends signs of life meanwhile did not refuse: they pass.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads an answer up to the first thing that it says. Returns it with what was read and whether it says that the request is
/// rejected for what it is: by a status, or in a stream that began well.
///
/// Statuses that another body would not change are no rejection.
pub async fn peek(mut answer: Response<BodyReader>) -> (Response<BodyReader>, Read, bool) {
    let status = answer.status();
    if !status.is_success() {
        let is_rejected = status.is_client_error() && !matches!(status.as_u16(), 401 | 402 | 408 | 429);
        return (answer, Read::new(), is_rejected);
    }
    let is_stream = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.contains("event-stream"));
    let (mut read, mut text, mut said) = (Read::new(), BytesMut::new(), None);
    let mut decoder = sse::Decoder::with_max_line(LOOKED_AT);
    let patience = tokio::time::sleep(PATIENCE);
    let mut patience = std::pin::pin!(patience);
    while said.is_none() && text.len() < LOOKED_AT {
        let next = tokio::select! {
            next = answer.body_mut().read() => next,
            () = &mut patience => break,
        };
        let piece = match next {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => {
                read.push(Err(error));
                break;
            }
        };
        read.push(Ok(piece.clone()));
        text.extend_from_slice(&piece);
        if is_stream {
            let fed = decoder.feed(&piece, |event| {
                said.get_or_insert_with(|| is_rejection(&event.data));
            });
            if fed.is_err() {
                break;
            }
        } else if !text.trim_ascii_start().starts_with(b"{\"error\"") {
            break;
        }
    }
    let is_rejected = match is_stream {
        true => said.unwrap_or(false),
        false => std::str::from_utf8(&text).is_ok_and(is_rejection),
    };
    (answer, read, is_rejected)
}

fn is_rejection(json: &str) -> bool {
    let error = Chunk::parse(json).and_then(|chunk| chunk.error);
    error.is_some_and(|error| classify_inband(&error, None).is_rejection())
}
