//! CompletionStream: bytes to deltas, cancel-safe, as few hand-overs as the network allows.
use std::future::poll_fn;
use std::mem;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::header::CONTENT_TYPE;
use hyper::{Response, Version};

use crate::client::{MAX_WHOLE_BYTES, kept_headers, network};
use crate::completion::{Assembler, Completion, Delta, EndOfStream, Flow, ResponseHeaders};
use crate::error::ClientError;
use crate::http::sse::{Decoder, Event};
use crate::http::{BodyReader, HttpError};

/// Most pieces handed on in one step, so that a fast sender cannot keep the screen waiting.
const MAX_BATCH: usize = 256;

/// How long to wait for what may still follow once the model has said why it stopped: usage, cost, `[DONE]`.
const TAIL_IDLE: Duration = Duration::from_secs(10);

/// Bounds for reading what follows `[DONE]`, so that the connection can carry the next request.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_WAIT: Duration = Duration::from_millis(100);

/// The answer to one streaming request while it comes.
///
/// Call [`CompletionStream::next`] until it says [`Flow::Done`], then [`CompletionStream::finish`]. Dropping it
/// drops the request.
#[derive(Debug)]
pub struct CompletionStream {
    body: BodyReader,
    shape: Shape,
    decoder: Decoder,
    assembler: Assembler,
    deltas: Pending,
    keeps_connection: bool,
    is_over: bool,
    error: Option<ClientError>,
    whole: Option<Completion>,
}

/// What the body turns out to be.
#[derive(Debug)]
enum Shape {
    /// Announced as JSON, and nothing seen yet: some gateways mislabel their streams.
    Unknown,
    Events,
    /// One JSON body in answer to a streaming request.
    Whole(BytesMut),
}

/// Deltas of one step: neighbouring texts are one.
#[derive(Debug, Default)]
struct Pending {
    text: String,
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Refusal,
}

impl CompletionStream {
    pub(crate) fn new(answer: Response<BodyReader>) -> CompletionStream {
        let content_type = answer.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        let is_json = essence.trim_ascii().eq_ignore_ascii_case(b"application/json");
        CompletionStream {
            shape: if is_json || essence.is_empty() { Shape::Unknown } else { Shape::Events },
            decoder: Decoder::new(),
            assembler: Assembler::new(kept_headers(answer.headers())),
            deltas: Pending::default(),
            keeps_connection: answer.version() == Version::HTTP_11,
            is_over: false,
            error: None,
            whole: None,
            body: answer.into_body(),
        }
    }

    /// Returns what the headers of the answer say.
    pub fn headers(&self) -> &ResponseHeaders {
        &self.assembler.partial().headers
    }

    /// Waits for more and hands it on: all that has arrived by then in one step, neighbouring texts as one delta.
    ///
    /// An error ends the stream too; [`CompletionStream::finish`] tells it.
    ///
    /// # Cancel safety
    /// Nothing is lost: what was read and not handed on comes with the next call.
    pub async fn next(&mut self, sink: &mut (dyn FnMut(Delta<'_>) + Send)) -> Flow {
        // Something waits already when the last call was dropped while it looked for more.
        if !self.is_over && self.deltas.is_empty() {
            let first = self.body.read().await;
            self.take(first, sink);
            for _ in 1..MAX_BATCH {
                if self.is_over {
                    break;
                }
                let Some(more) = self.ready().await else { break };
                self.take(more, sink);
            }
        }
        self.deltas.flush(sink);
        if self.is_over { Flow::Done } else { Flow::Continue }
    }

    /// Returns the next piece if it is there, or comes as soon as the connection gets its turn.
    async fn ready(&mut self) -> Option<Result<Option<Bytes>, HttpError>> {
        let mut gave_way = false;
        poll_fn(|cx| match self.body.poll_piece(cx) {
            Poll::Ready(piece) => Poll::Ready(Some(piece)),
            Poll::Pending if gave_way => Poll::Ready(None),
            Poll::Pending => {
                gave_way = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }

    fn take(&mut self, piece: Result<Option<Bytes>, HttpError>, sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
        match piece {
            Ok(Some(bytes)) => self.feed(&bytes, sink),
            Ok(None) => self.end(sink),
            Err(error) => {
                self.is_over = true;
                if !self.assembler.is_complete() {
                    self.error = Some(network(error, self.headers().request_id.clone()));
                }
            }
        }
    }

    fn feed(&mut self, bytes: &[u8], sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
        if matches!(self.shape, Shape::Unknown) {
            match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None => {}
                Some(b'{') => self.shape = Shape::Whole(BytesMut::new()),
                Some(_) => self.shape = Shape::Events,
            }
        }
        if let Shape::Whole(whole) = &mut self.shape {
            if whole.len() + bytes.len() > MAX_WHOLE_BYTES {
                self.fail(HttpError::TooLarge { limit: MAX_WHOLE_BYTES });
            } else {
                whole.extend_from_slice(bytes);
            }
            return;
        }
        let was_complete = self.assembler.is_complete();
        let (assembler, deltas) = (&mut self.assembler, &mut self.deltas);
        let fed = self.decoder.feed(bytes, |event| assemble(assembler, deltas, &event, sink));
        if let Err(error) = fed {
            self.error = Some(ClientError::malformed(error, self.headers().request_id.clone()));
            self.is_over = true;
        }
        self.is_over |= self.assembler.is_over();
        if !was_complete && self.assembler.is_complete() {
            self.body.shorten_idle(TAIL_IDLE);
        }
    }

    /// The body has come to its proper end.
    fn end(&mut self, sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
        self.is_over = true;
        if let Shape::Whole(body) = &mut self.shape {
            let body = mem::take(body);
            match Completion::from_whole(&body, self.headers().clone()) {
                Ok(whole) => {
                    hand_on(&whole, sink);
                    self.whole = Some(whole);
                }
                Err(error) => self.error = Some(error),
            }
            return;
        }
        let (assembler, deltas) = (&mut self.assembler, &mut self.deltas);
        if let Err(error) = self.decoder.finish(|event| assemble(assembler, deltas, &event, sink)) {
            self.error = Some(ClientError::malformed(error, self.headers().request_id.clone()));
        }
    }

    fn fail(&mut self, error: HttpError) {
        self.error = Some(network(error, self.headers().request_id.clone()));
        self.is_over = true;
    }

    /// Returns what has come so far; tool calls are filled in by [`CompletionStream::finish`].
    pub fn partial(&self) -> &Completion {
        self.whole.as_ref().unwrap_or_else(|| self.assembler.partial())
    }

    /// Ends the stream and returns the completion.
    ///
    /// # Errors
    /// The gateway reported an error, the connection broke or was silent for too long before the model was done,
    /// or the answer says nothing.
    ///
    /// # Cancel safety
    /// The completion is lost.
    pub async fn finish(self) -> Result<Completion, ClientError> {
        match self.conclude().await {
            (completion, None) => Ok(completion),
            (_, Some(error)) => Err(error),
        }
    }

    /// Ends the stream like [`CompletionStream::finish`], and returns what had come beside the error too.
    ///
    /// # Cancel safety
    /// The completion is lost.
    pub async fn conclude(mut self) -> (Completion, Option<ClientError>) {
        if self.keeps_connection && self.error.is_none() && self.is_over {
            self.body.drain(DRAIN_BYTES, DRAIN_WAIT).await;
        }
        if let Some(whole) = self.whole {
            return (whole, None);
        }
        let is_cut = self.error.is_some() || !self.is_over || self.decoder.is_mid_line();
        let end = if is_cut { EndOfStream::Cut } else { EndOfStream::Clean };
        // An error that the gateway told before the connection broke says more than the break.
        let told = self.assembler.error().is_some();
        let (completion, fault) = self.assembler.conclude(end);
        let error = if told { fault } else { self.error.or(fault) };
        (completion, error)
    }
}

fn assemble(
    assembler: &mut Assembler,
    deltas: &mut Pending,
    event: &Event<'_>,
    sink: &mut (dyn FnMut(Delta<'_>) + Send),
) {
    assembler.event(event, &mut |delta| deltas.add(delta, sink));
}

/// Hands on a whole completion as the deltas that a stream would have brought.
pub(crate) fn hand_on(whole: &Completion, sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
    let parts =
        [(Kind::Reasoning, &whole.reasoning), (Kind::Text, &whole.text), (Kind::Refusal, &whole.refusal)];
    for (kind, text) in parts {
        if !text.is_empty() {
            sink(kind.delta(text));
        }
    }
    for call in &whole.tool_calls {
        sink(Delta::ToolArguments { name: &call.name, chars: call.arguments.chars().count() });
    }
}

impl Kind {
    fn delta(self, text: &str) -> Delta<'_> {
        match self {
            Kind::Text => Delta::Text(text),
            Kind::Reasoning => Delta::Reasoning(text),
            Kind::Refusal => Delta::Refusal(text),
        }
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.kind.is_none()
    }

    fn add(&mut self, delta: Delta<'_>, sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
        let (kind, text) = match delta {
            Delta::Text(text) => (Kind::Text, text),
            Delta::Reasoning(text) => (Kind::Reasoning, text),
            Delta::Refusal(text) => (Kind::Refusal, text),
            Delta::ToolArguments { .. } => {
                self.flush(sink);
                sink(delta);
                return;
            }
        };
        if self.kind != Some(kind) {
            self.flush(sink);
            self.kind = Some(kind);
        }
        self.text.push_str(text);
    }

    fn flush(&mut self, sink: &mut (dyn FnMut(Delta<'_>) + Send)) {
        if let Some(kind) = self.kind.take() {
            sink(kind.delta(&self.text));
            self.text.clear();
        }
    }
}
