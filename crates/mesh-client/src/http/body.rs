//! Bodies both ways: segments, a channel or another body out, bounded reads with an idle deadline in.
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::error::{BoxError, HttpError, Phase, from_body};
use super::relay::Passing;

/// A body to send: a list of byte segments that are never copied, a channel that is filled while it travels, or a body that
/// arrives and is passed on.
///
/// Segments are announced with `content-length`, a channel travels in chunks, a body that is passed on as it was announced.
#[derive(Default)]
pub struct Body {
    source: Source,
    progress: Option<Arc<AtomicU64>>,
}

enum Source {
    Segments { rest: VecDeque<Bytes>, length: u64 },
    Channel(mpsc::Receiver<Result<Bytes, BoxError>>),
    Passing(Box<Passing>),
}

impl Default for Source {
    fn default() -> Source {
        Source::Segments { rest: VecDeque::new(), length: 0 }
    }
}

impl Body {
    /// Returns a body without bytes.
    pub fn empty() -> Body {
        Body::default()
    }

    /// Returns a body of these segments, in order.
    pub fn from_segments(segments: impl IntoIterator<Item = Bytes>) -> Body {
        let rest: VecDeque<Bytes> = segments.into_iter().filter(|segment| !segment.is_empty()).collect();
        let length = rest.iter().map(|segment| segment.len() as u64).sum();
        Body { source: Source::Segments { rest, length }, progress: None }
    }

    /// Returns a body that holds `value` as JSON.
    ///
    /// # Errors
    /// A value that has no JSON form, such as a map with keys that are not text.
    pub fn json(value: &impl serde::Serialize) -> Result<Body, HttpError> {
        Ok(serde_json::to_vec(value)?.into())
    }

    /// Returns a body and the end that fills it. `bound` pieces wait at most; then the sender waits,
    /// so a slow reader slows the writer instead of filling memory.
    pub fn channel(bound: usize) -> (BodySender, Body) {
        let (sender, receiver) = mpsc::channel(bound.max(1));
        (BodySender(sender), Body { source: Source::Channel(receiver), progress: None })
    }

    /// Returns a body that passes on what arrives: `first`, which was read of it already, then the rest. `watch` sees each piece
    /// and is dropped with the body: at its end, when it breaks, or when nobody reads it any more. Trailers do not travel on.
    pub fn passing(
        first: impl IntoIterator<Item = Result<Bytes, HttpError>>,
        reader: BodyReader,
        watch: impl FnMut(&[u8]) + Send + 'static,
    ) -> Body {
        let passing = Passing::new(first, reader, Box::new(watch));
        Body { source: Source::Passing(Box::new(passing)), progress: None }
    }

    /// Counts the bytes handed to the connection into `counter`, to tell a slow upload from a silent peer.
    pub(super) fn counted(mut self, counter: Arc<AtomicU64>) -> Body {
        self.progress = Some(counter);
        self
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::from_segments([bytes])
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::from(Bytes::from(bytes))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body::from(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        Body::from(Bytes::from_static(text.as_bytes()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Segments { length, .. } => write!(f, "Body({length} bytes)"),
            Source::Channel(_) => f.write_str("Body(channel)"),
            Source::Passing(_) => f.write_str("Body(passing)"),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = match &mut self.source {
            Source::Segments { rest, length } => {
                let piece = rest.pop_front();
                *length -= piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
                piece.map(Ok)
            }
            Source::Channel(receiver) => match receiver.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => piece,
            },
            Source::Passing(passing) => match passing.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => piece,
            },
        };
        if let (Some(counter), Some(Ok(bytes))) = (&self.progress, &piece) {
            counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Segments { length, .. } => *length == 0,
            Source::Channel(_) => false,
            Source::Passing(passing) => passing.is_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Segments { length, .. } => SizeHint::with_exact(*length),
            Source::Channel(_) => SizeHint::default(),
            Source::Passing(passing) => passing.size_hint(),
        }
    }
}

/// The filling end of [`Body::channel`]; dropping it ends the body.
#[derive(Clone, Debug)]
pub struct BodySender(mpsc::Sender<Result<Bytes, BoxError>>);

impl BodySender {
    /// Sends the next piece, waiting while the peer is slow. Returns `false` when nobody reads any more.
    ///
    /// # Cancel safety
    /// The piece is sent whole or not at all.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Ok(bytes.into())).await.is_ok()
    }

    /// Breaks the body off, so that the peer sees a cut answer and not a short one.
    ///
    /// # Cancel safety
    /// Dropped before the end, the body is not broken off yet.
    pub async fn abort(&self, cause: impl Into<BoxError>) {
        // Nobody reading means that the body has ended already.
        let _ = self.0.send(Err(cause.into())).await;
    }

    /// Waits until the reader has gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// A body that arrives: pieces as the network cuts them, with a deadline between two of them.
pub struct BodyReader {
    inner: Incoming,
    host: Arc<str>,
    idle: Option<Idle>,
    ended: bool,
}

/// The deadline between two pieces, counted in ticks of a timer that runs on by itself: a piece only leaves a mark,
/// so it costs neither a look at the clock nor timer work. Silence is noticed after the limit, at most a tick late.
struct Idle {
    limit: Duration,
    has_moved: bool,
    silent_ticks: u32,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Ticks in a limit.
const IDLE_TICKS: u32 = 8;

impl BodyReader {
    pub(super) fn new(inner: Incoming, host: Arc<str>, idle: Option<Duration>) -> BodyReader {
        let ended = inner.is_end_stream();
        let idle = idle.map(|limit| Idle { limit, has_moved: false, silent_ticks: 0, timer: None });
        BodyReader { inner, host, idle, ended }
    }

    /// Returns the next piece as it came from the network, or `None` at the end.
    ///
    /// # Errors
    /// [`HttpError::Timeout`] when nothing came for the idle limit, [`HttpError::Truncated`] or
    /// [`HttpError::Reset`] when the connection broke.
    ///
    /// # Cancel safety
    /// Nothing is lost: a piece that was not returned comes with the next call.
    pub async fn read(&mut self) -> Result<Option<Bytes>, HttpError> {
        poll_fn(|cx| self.poll_read(cx)).await
    }

    /// The poll form of [`BodyReader::read`].
    ///
    /// # Errors
    /// Those of [`BodyReader::read`].
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, HttpError>> {
        match self.poll_piece(cx) {
            Poll::Pending => self.poll_idle(cx).map(Err),
            ready => ready,
        }
    }

    /// Like [`BodyReader::poll_read`] without the deadline, for a look at what is already there.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, HttpError>> {
        while !self.ended {
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(idle) = &mut self.idle {
                        idle.has_moved = true;
                    }
                    match frame.into_data() {
                        Ok(bytes) if !bytes.is_empty() => return Poll::Ready(Ok(Some(bytes))),
                        // Trailers and empty pieces say nothing that we use.
                        _ => continue,
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.ended = true;
                    return Poll::Ready(Err(from_body(&self.host, error)));
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(None))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<HttpError> {
        let Some(idle) = &mut self.idle else { return Poll::Pending };
        let tick = idle.limit / IDLE_TICKS;
        let timer = idle.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(tick)));
        while timer.as_mut().poll(cx).is_ready() {
            idle.silent_ticks = if idle.has_moved { 0 } else { idle.silent_ticks + 1 };
            idle.has_moved = false;
            if idle.silent_ticks >= IDLE_TICKS {
                self.ended = true;
                let (host, after) = (self.host.to_string(), idle.limit);
                return Poll::Ready(HttpError::Timeout { host, phase: Phase::Idle, after });
            }
            timer.as_mut().reset(Instant::now() + tick);
        }
        Poll::Pending
    }

    /// Lowers the limit between two pieces, when little more is expected.
    #[cfg(feature = "chat")]
    pub(crate) fn shorten_idle(&mut self, limit: Duration) {
        if let Some(idle) = &mut self.idle {
            idle.limit = idle.limit.min(limit);
            idle.silent_ticks = 0;
            idle.timer = None;
        }
    }

    /// Bytes that are still to come, where they were announced.
    pub fn length(&self) -> Option<u64> {
        if self.ended { Some(0) } else { self.inner.size_hint().exact() }
    }

    /// Says whether the body has been read to its end (or broke).
    pub fn is_ended(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    /// Reads the whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`HttpError::TooLarge`] beyond the limit, and those of [`BodyReader::read`].
    ///
    /// # Cancel safety
    /// What was read is lost.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, HttpError> {
        let announced = self.inner.size_hint().lower();
        if announced > limit as u64 {
            return Err(HttpError::TooLarge { limit });
        }
        let Some(first) = self.read().await? else { return Ok(Bytes::new()) };
        if first.len() as u64 >= announced && self.is_ended() && first.len() <= limit {
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(limit).max(first.len()));
        let mut next = Some(first);
        while let Some(piece) = next {
            if whole.len() + piece.len() > limit {
                return Err(HttpError::TooLarge { limit });
            }
            whole.extend_from_slice(&piece);
            next = self.read().await?;
        }
        Ok(whole.freeze())
    }

    /// Reads at most `limit` bytes of the body and leaves the rest: for error texts, where a part is enough.
    /// A break on the way ends it silently, for what came is all there is to show.
    ///
    /// # Cancel safety
    /// What was read is lost.
    pub async fn collect_prefix(mut self, limit: usize) -> Bytes {
        let mut whole = BytesMut::new();
        while let Ok(Some(piece)) = self.read().await {
            let room = limit - whole.len();
            whole.extend_from_slice(&piece[..piece.len().min(room)]);
            if whole.len() == limit {
                break;
            }
        }
        whole.freeze()
    }

    /// Reads and drops what is left, so that the connection can carry the next request; gives up after
    /// `max_bytes` or `max_wait`. Returns whether the end was reached.
    ///
    /// # Cancel safety
    /// Nothing that matters is lost.
    pub async fn drain(&mut self, max_bytes: usize, max_wait: Duration) -> bool {
        let mut left = max_bytes;
        let mut rest = pin!(async {
            while let Ok(Some(piece)) = self.read().await {
                match left.checked_sub(piece.len()) {
                    Some(rest) => left = rest,
                    None => return false,
                }
            }
            true
        });
        // The end is nearly always there already: no timer for that.
        let ready = poll_fn(|cx| match rest.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => Poll::Ready(None),
        });
        match ready.await {
            Some(ended) => ended,
            None => tokio::time::timeout(max_wait, rest).await.unwrap_or(false),
        }
    }
}

impl fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyReader")
            .field("host", &self.host)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pieces(mut body: Body) -> Vec<Result<Bytes, String>> {
        let mut all = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            all.push(frame.map(|f| f.into_data().unwrap()).map_err(|e| e.to_string()));
        }
        all
    }

    #[tokio::test]
    async fn segments_travel_uncopied_with_their_length() {
        let large = Bytes::from(vec![b'x'; 1000]);
        let body = Body::from_segments([Bytes::from_static(b"{"), large.clone(), Bytes::new()]);
        assert_eq!(body.size_hint().exact(), Some(1001));
        assert!(!body.is_end_stream());
        let sent = pieces(body).await;
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[1].as_ref().unwrap().as_ptr(), large.as_ptr());
    }

    #[tokio::test]
    async fn empty_bodies_say_so() {
        assert!(Body::empty().is_end_stream());
        assert_eq!(Body::empty().size_hint().exact(), Some(0));
        assert!(Body::from("").is_end_stream());
    }

    #[tokio::test]
    async fn a_channel_ends_or_breaks() {
        let (sender, body) = Body::channel(4);
        assert!(sender.send("a").await);
        assert!(sender.send("b").await);
        drop(sender);
        assert_eq!(pieces(body).await, [Ok(Bytes::from("a")), Ok(Bytes::from("b"))]);
        let (sender, body) = Body::channel(4);
        assert!(sender.send("a").await);
        sender.abort("stop").await;
        drop(sender);
        assert_eq!(pieces(body).await, [Ok(Bytes::from("a")), Err("stop".into())]);
    }

    #[tokio::test]
    async fn sent_bytes_are_counted() {
        let counter = Arc::new(AtomicU64::new(0));
        pieces(Body::from("hello").counted(Arc::clone(&counter))).await;
        assert_eq!(counter.load(Ordering::Relaxed), 5);
    }
}
