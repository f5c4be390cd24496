//! How a scripted reply gets onto the socket: by the ordinary server, or past it for faults.
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::reply::{Framing, Reply, Step};
use crate::http::{Body, BodySender};

/// Tells the server to close the connection without an answer of its own.
#[derive(Debug, thiserror::Error)]
#[error("the script hangs up")]
pub(super) struct HungUp;

/// A socket that the server reads and writes, and that a fault may write to behind its back.
#[derive(Clone)]
pub(super) struct SharedSocket(Arc<TcpStream>);

impl SharedSocket {
    pub(super) fn new(stream: TcpStream) -> SharedSocket {
        SharedSocket(Arc::new(stream))
    }

    /// Returns the server's end of it.
    pub(super) fn io(&self) -> TokioIo<SharedSocket> {
        TokioIo::new(self.clone())
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl AsyncRead for SharedSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The socket closes when its last holder lets go, which is at once.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Makes the response of a proper reply, and the future that feeds its body: `true` when all of it was taken.
pub(super) fn through_server(reply: Reply) -> (Response<Body>, impl Future<Output = bool> + Send + 'static) {
    // One piece waits at most: a pause then lies between two pieces on the wire too.
    let (sender, body) = Body::channel(1);
    let mut response = Response::new(body);
    *response.status_mut() = reply.status.try_into().unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in &reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    if reply.framing == Framing::Length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(reply.length()));
    }
    (response, feed(sender, reply.steps))
}

async fn feed(sender: BodySender, steps: Vec<Step>) -> bool {
    let gone = sender.clone();
    let all = async {
        for step in steps {
            match step {
                Step::Bytes(bytes) if bytes.is_empty() => {}
                Step::Bytes(bytes) => {
                    if !sender.send(bytes).await {
                        return false;
                    }
                }
                other => wait(other).await,
            }
        }
        drop(sender);
        true
    };
    tokio::select! {
        biased;
        all_taken = all => all_taken,
        () = gone.closed() => false,
    }
}

async fn wait(step: Step) {
    match step {
        Step::Pause(pause) => tokio::time::sleep(pause).await,
        Step::Gate(gate) => gate.opened().await,
        Step::Stall => std::future::pending().await,
        Step::Bytes(_) | Step::Reset => {}
    }
}

/// Writes a reply that no proper server would give, head and all; the caller then closes the connection.
pub(super) async fn raw(socket: &SharedSocket, reply: Reply) -> io::Result<()> {
    let is_chunked = matches!(reply.framing, Framing::Chunked | Framing::ChunkedAbort);
    let mut head = Some(if reply.headless { Bytes::new() } else { head_of(&reply) });
    for step in reply.steps {
        match step {
            Step::Bytes(bytes) => {
                if let Some(head) = head.take() {
                    socket.write(&head).await?;
                }
                write_piece(socket, &bytes, is_chunked && !reply.headless).await?;
                // Lets the reader run, so that pieces of one process do not melt into one read.
                tokio::task::yield_now().await;
            }
            Step::Reset => {
                socket.0.set_zero_linger()?;
                return Ok(());
            }
            other => wait(other).await,
        }
    }
    if reply.framing == Framing::Chunked && !reply.headless {
        socket.write(b"0\r\n\r\n").await?;
    }
    Ok(())
}

async fn write_piece(socket: &SharedSocket, bytes: &[u8], is_chunked: bool) -> io::Result<()> {
    if !is_chunked {
        return socket.write(bytes).await;
    }
    if bytes.is_empty() {
        return Ok(());
    }
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    socket.write(&chunk).await
}

/// How much more than its body a [`Framing::LengthShort`] announces. From the description of the stream records.
const MISSING_BYTES: usize = 100;

fn head_of(reply: &Reply) -> Bytes {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match reply.framing {
        Framing::Chunked | Framing::ChunkedAbort => head.push_str("transfer-encoding: chunked\r\n"),
        Framing::Length => head.push_str(&format!("content-length: {}\r\n", reply.length())),
        Framing::LengthShort => {
            head.push_str(&format!("content-length: {}\r\n", reply.length() + MISSING_BYTES));
        }
        Framing::Close => head.push_str("connection: close\r\n"),
    }
    head.push_str("\r\n");
    head.into()
}
