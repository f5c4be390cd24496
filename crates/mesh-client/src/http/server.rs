//! Accept loop, connection tasks, graceful drain: HTTP/1.1 and HTTP/2 on one listener.
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::body::{Body, BodyReader};
use super::error::BoxError;

/// How long to wait when the system has no more file handles for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Limits of a server. What a request body may hold is said where it is read: [`BodyReader::collect`].
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// How long a client may take for the head of a request (HTTP/1.1); also how long an unused connection stays.
    pub head_timeout: Duration,
    /// Longest silence inside a request body.
    pub body_idle: Duration,
    /// About how many bytes the head of a request may have; it may be twice as many when they come in one go.
    pub max_head_bytes: usize,
    /// Most connections at a time; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long running requests may still take once the server was told to stop.
    pub drain: Duration,
    /// Speaks HTTP/1.1 only. The head's deadline then holds from a connection's first moment; otherwise it begins when the
    /// first bytes have told which version is spoken.
    pub http1_only: bool,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            head_timeout: Duration::from_secs(30),
            body_idle: Duration::from_secs(30),
            max_head_bytes: 64 * 1024,
            max_connections: 1024,
            drain: Duration::from_secs(10),
            http1_only: false,
        }
    }
}

/// Who a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Number of the connection on this listener, from 1: requests with one number share a connection.
    pub connection: u64,
}

/// Answers requests on `listener` until `stop` is ready, then lets running ones end within
/// [`ServerOptions::drain`].
///
/// The handler is called once a request; an error from it closes the connection without an answer.
///
/// ```no_run
/// use mesh_client::http::{Body, Peer, Request, Response, ServerOptions, serve};
/// # async fn run() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let stop = std::future::pending();
/// serve(listener, ServerOptions::default(), stop, |_request, peer: Peer| async move {
///     Ok::<_, std::convert::Infallible>(Response::new(Body::from(peer.address.to_string())))
/// })
/// .await
/// # }
/// ```
///
/// # Errors
/// The listener itself failed. A broken connection is no error: it ends alone.
///
/// # Cancel safety
/// Dropping the future closes the listener and every connection at once.
pub async fn serve<H, F, E>(
    listener: TcpListener,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
    handler: H,
) -> io::Result<()>
where
    H: Fn(Request<BodyReader>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, E>> + Send + 'static,
    E: Into<BoxError> + fmt::Debug + Send + 'static,
{
    serve_with(listener, options, stop, move |stream, peer| {
        let handler = handler.clone();
        (TokioIo::new(stream), move |request| handler(request, peer))
    })
    .await
}

/// Like [`serve`], with a say in what carries each connection: `accept` wraps the socket and gives the handler
/// of its requests.
///
/// # Errors
/// Those of [`serve`].
///
/// # Cancel safety
/// That of [`serve`].
pub async fn serve_with<A, I, H, F, E>(
    listener: TcpListener,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
    accept: A,
) -> io::Result<()>
where
    A: Fn(TcpStream, Peer) -> (I, H),
    I: Read + Write + Unpin + Send + 'static,
    H: Fn(Request<BodyReader>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, E>> + Send + 'static,
    E: Into<BoxError> + fmt::Debug + Send + 'static,
{
    let mut stop = pin!(stop);
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut count = 0;
    loop {
        while connections.try_join_next().is_some() {}
        let full = connections.len() >= options.max_connections;
        tokio::select! {
            () = &mut stop => break,
            _ = connections.join_next(), if full => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, address)) => {
                    count += 1;
                    // Only a hint to the system: a socket without it still works.
                    let _ = stream.set_nodelay(true);
                    let (io, handler) = accept(stream, Peer { address, connection: count });
                    connections.spawn(connection(io, handler, address, options, stopped.clone()));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) if is_exhaustion(&error) => tokio::time::sleep(ACCEPT_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    let all_done = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(options.drain, all_done).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

/// Serves one connection to its end; told to stop, it finishes the request at hand.
async fn connection<I, H, F, E>(
    io: I,
    handler: H,
    address: SocketAddr,
    options: ServerOptions,
    mut stopped: watch::Receiver<bool>,
) where
    I: Read + Write + Unpin + Send + 'static,
    H: Fn(Request<BodyReader>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, E>> + Send + 'static,
    E: Into<BoxError> + fmt::Debug + Send + 'static,
{
    let name: Arc<str> = address.ip().to_string().into();
    let service = service_fn(|request: Request<Incoming>| {
        handler(request.map(|body| BodyReader::new(body, Arc::clone(&name), Some(options.body_idle))))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if options.http1_only {
        builder = builder.http1_only();
    }
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(options.max_head_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(options.max_head_bytes).unwrap_or(u32::MAX));
    let mut running = pin!(builder.serve_connection(io, service));
    let told_to_stop = async { stopped.wait_for(|stop| *stop).await.is_ok() };
    let ended = tokio::select! {
        ended = running.as_mut() => ended,
        _ = told_to_stop => {
            running.as_mut().graceful_shutdown();
            running.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "mesh_client::server", %address, error = &*error, "connection ended early");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Says whether the process or the system is out of handles or memory, which passes (EMFILE, ENFILE, ENOBUFS, ENOMEM).
fn is_exhaustion(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || matches!(error.raw_os_error(), Some(23 | 24 | 55 | 105))
}
