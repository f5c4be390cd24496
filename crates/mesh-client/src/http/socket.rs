//! The TCP socket under everything else. In a run of quick pieces it is not even watched until the rest is over: the
//! system gathers what comes, and no piece wakes the program.
use std::future::Future;
use std::io;
use std::net;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tower_service::Service;

use super::error::BoxError;
use super::names::Names;
use super::pace::Pace;

/// Opens sockets.
#[derive(Clone)]
pub(super) struct Tcp {
    connector: HttpConnector<Names>,
    rest: Option<Duration>,
}

impl Tcp {
    /// Sockets that rest for so long at a time while their bytes come in a run, or never.
    pub(super) fn new(connector: HttpConnector<Names>, rest: Option<Duration>) -> Tcp {
        Tcp { connector, rest }
    }
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<Socket>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Socket>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let pace = self.rest.map(Pace::new);
        let connecting = self.connector.call(uri);
        Box::pin(async move {
            let stream = State::Watched(connecting.await?.into_inner());
            Ok(TokioIo::new(Socket { state: stream, pace }))
        })
    }
}

/// A connected socket.
pub(super) struct Socket {
    state: State,
    pace: Option<Pace>,
}

enum State {
    Watched(TcpStream),
    /// Not registered with the runtime, until the timer has run out.
    Resting(net::TcpStream, Pin<Box<Sleep>>),
    /// Could not be registered any more.
    Lost,
}

impl Socket {
    /// The socket as the runtime knows it, watched again if it rested.
    fn watched(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Resting(stream, _) => State::Watched(TcpStream::from_std(stream)?),
            state => state,
        };
        match &mut self.state {
            State::Watched(stream) => Ok(Pin::new(stream)),
            State::Resting(..) | State::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn rest(&mut self, rest: Duration) -> io::Result<()> {
        if let State::Watched(stream) = std::mem::replace(&mut self.state, State::Lost) {
            self.state = State::Resting(stream.into_std()?, Box::pin(tokio::time::sleep(rest)));
        }
        Ok(())
    }

    /// The socket for sending: what comes next answers what is sent now, and is waited for.
    fn sending(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if let Some(pace) = &mut self.pace {
            pace.stop();
        }
        self.watched()
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        match &self.state {
            State::Watched(stream) => stream.connected(),
            State::Resting(..) | State::Lost => Connected::new(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if let State::Resting(_, timer) = &mut socket.state {
            ready!(timer.as_mut().poll(cx));
        }
        let (before, room) = (buf.filled().len(), buf.remaining());
        ready!(socket.watched()?.poll_read(cx, buf))?;
        let count = buf.filled().len() - before;
        let Some(pace) = &mut socket.pace else { return Poll::Ready(Ok(())) };
        if count > 0 && pace.piece(Instant::now(), count, count < room) {
            let rest = pace.rest();
            socket.rest(rest)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().sending()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().sending()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is held back above the system.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().sending()?.poll_shutdown(cx)
    }
}
