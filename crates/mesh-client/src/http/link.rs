//! A made connection of any kind, as hyper sees it.
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

use super::chunks::Joiner;

/// How much is read at once while chunks are joined: the chunks of so many bytes become one. A read that fills all of it is
/// followed by one of twice as much, up to the second: what comes as fast as it can is moved in few system calls.
const READ_BYTES: (usize, usize) = (32 * 1024, 256 * 1024);

/// A connection, plain or under TLS. One dynamic call a read: nothing next to the system call behind it.
pub(super) struct Link {
    io: Box<dyn Io>,
    absolute_form: bool,
    joiner: Joiner,
    /// Where the socket is read into; allocated with the first answer.
    raw: Vec<u8>,
    /// What hyper has not taken yet, from `taken` on.
    ready: Vec<u8>,
    taken: usize,
}

/// What a connection must be able to do.
pub(super) trait Io: Connection + Read + Write + Send + Unpin {}
impl<T: Connection + Read + Write + Send + Unpin> Io for T {}

impl Link {
    /// A connection to the server itself, or a tunnel to it.
    pub(super) fn direct(io: impl Io + 'static) -> Link {
        let joiner = Joiner::new(!io.connected().is_negotiated_h2());
        let (raw, ready) = (Vec::new(), Vec::new());
        Link { io: Box::new(io), absolute_form: false, joiner, raw, ready, taken: 0 }
    }

    /// A connection to a proxy that wants the whole address in the request.
    pub(super) fn absolute_form(io: impl Io + 'static) -> Link {
        Link { absolute_form: true, ..Link::direct(io) }
    }

    /// Reads from the socket until there is something for hyper, or the end.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ready.clear();
        self.taken = 0;
        if self.raw.is_empty() {
            self.raw.resize(READ_BYTES.0, 0);
        }
        while self.ready.is_empty() {
            let mut buffer = ReadBuf::new(&mut self.raw);
            ready!(Pin::new(&mut self.io).poll_read(cx, buffer.unfilled()))?;
            if buffer.filled().is_empty() {
                self.joiner.finish(&mut self.ready);
                break;
            }
            self.joiner.push(buffer.filled(), &mut self.ready);
            let is_full = buffer.filled().len() == self.raw.len();
            if is_full && self.raw.len() < READ_BYTES.1 {
                self.raw.resize(self.raw.len() * 2, 0);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        let connected = self.io.connected();
        if self.absolute_form { connected.proxy(true) } else { connected }
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let link = &mut *self;
        if link.taken == link.ready.len() {
            if link.joiner.is_through() {
                return Pin::new(&mut link.io).poll_read(cx, buf);
            }
            ready!(link.fill(cx))?;
        }
        let count = buf.remaining().min(link.ready.len() - link.taken);
        buf.put_slice(&link.ready[link.taken..link.taken + count]);
        link.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl Write for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.joiner.sent(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        if let Some(first) = bufs.iter().find(|part| !part.is_empty()) {
            self.joiner.sent(&first[..count.min(first.len())]);
        }
        Poll::Ready(Ok(count))
    }
}
