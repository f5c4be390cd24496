//! The gateway: a durable mailbox behind HTTP, on one SQLite file, or with others on a PostgreSQL database.
//!
//! A send is answered after its transaction is synced, and not before. The rules are pure and take the moment as an argument:
//! `lease` (who holds a message), `limits` (how much one may ask for), `directory` (who may do what), `draft`, `query` and
//! `fault` (what a request says, and what is wrong with it). Around them:
//!
//! - `store`: the trait with its laws, SQLite and PostgreSQL
//! - `engine`: one thread that writes batches, a few that read
//! - `hub`: who waits for mail
//! - `news`: what other gateways do to a store that is shared
//! - `routes`: from a request to an answer
//! - `socket`: plain or TLS
//! - `import`: mail of a swarph gateway; `migrate`: from SQLite to PostgreSQL
pub mod directory;
pub mod draft;
pub mod engine;
pub mod fault;
pub mod hub;
pub mod import;
pub mod lease;
pub mod limits;
pub mod metrics;
#[cfg(feature = "postgres")]
pub mod migrate;
mod news;
pub mod query;
pub mod reply;
mod routes;
mod socket;
pub mod stamp;
pub mod store;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mesh_client::http::{ServerOptions, serve_with};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use directory::{Directory, digest};
use engine::{Answering, Engine, Threads};
use hub::Hub;
use limits::{Limits, Rates};
use metrics::Metrics;
use news::Looked;
use routes::{Shared, held};
use store::{Command, Done, News, Reader as _, Retention, Seen, Store, StoreError};

/// How long a client may take for the head of a request. From the mailbox's design.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Most bytes of the head of a request.
const HEAD_BYTES: usize = 32 << 10;
/// How long requests may still take when the gateway stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How often it is written down who was heard of. From the mailbox's design.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether leases have ended for good.
const LEASES_EVERY: Duration = Duration::from_secs(1);
/// How often old mail is dropped.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Memory for answers. Large fetches wait for each other rather than filling memory.
const ANSWER_BYTES: usize = 16 << 20;

/// How a gateway is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The operator's token.
    pub operator_token: String,
    /// What is allowed.
    pub limits: Limits,
    /// What is kept.
    pub retention: Retention,
    /// Whether names that nobody registered may send and receive.
    pub allow_unregistered: bool,
    /// Speaks TLS with this; plain HTTP without.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Options {
    /// The defaults, with an operator's token.
    pub fn new(operator_token: impl Into<String>) -> Options {
        Options {
            operator_token: operator_token.into(),
            limits: Limits::default(),
            retention: Retention::default(),
            allow_unregistered: false,
            tls: None,
        }
    }
}

/// A gateway over a store, not yet serving.
pub struct Gateway<S: Store> {
    shared: Arc<Shared<S>>,
    news: Option<Box<dyn News>>,
    answering: Answering,
    threads: Threads,
    stop: watch::Sender<bool>,
    options: Options,
}

impl<S: Store> Gateway<S> {
    /// Starts the threads around a store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn new(store: S, options: Options) -> Result<Gateway<S>, StoreError> {
        let known = store.reader()?.known()?;
        let mut directory = Directory::new(vec![digest(&options.operator_token)], known);
        directory.allows_unregistered = options.allow_unregistered;
        let (hub, metrics) = (Arc::new(Hub::default()), Arc::new(Metrics::default()));
        let news = store.news()?;
        let (engine, answering, threads) = Engine::start(store, Arc::clone(&hub), Arc::clone(&metrics))?;
        let (stop, stopping) = watch::channel(false);
        let memory = |bytes: usize| Arc::new(Semaphore::new(bytes.div_ceil(1024)));
        let answers = memory(ANSWER_BYTES.max(options.limits.page_bytes));
        let shared = Arc::new(Shared {
            engine,
            directory: RwLock::new(directory),
            looked: news.is_some().then(Looked::default),
            hub,
            limits: options.limits,
            metrics,
            rates: Mutex::new(Rates::default()),
            seen: Mutex::new(HashMap::new()),
            bodies: memory(options.limits.memory_bytes.max(options.limits.batch_bytes)),
            answers,
            stopping,
            operator_token: options.operator_token.clone(),
        });
        Ok(Gateway { shared, news, answering, threads, stop, options })
    }

    /// Serves until `stop` is ready; then waiters are told to come again, writes under way are answered, and all is synced.
    ///
    /// # Errors
    /// The listener failed.
    ///
    /// # Cancel safety
    /// Dropping the future closes every connection at once; what was acknowledged is stored.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Gateway { shared, news, answering, threads, stop: stopping, options } = self;
        // Until the writer has ended, which is after this future.
        tokio::spawn(answering.run());
        let server = ServerOptions {
            head_timeout: HEAD_TIME,
            body_idle: HEAD_TIME,
            max_head_bytes: HEAD_BYTES,
            max_connections: options.limits.connections,
            drain: DRAIN,
            http1_only: true,
        };
        let told = async {
            stop.await;
            let _ = stopping.send(true);
        };
        let routes = Arc::clone(&shared);
        let serving = serve_with(listener, server, told, move |socket, _peer| {
            let routes = Arc::clone(&routes);
            let link = socket::Link::new(socket, options.tls.as_ref());
            (TokioIo::new(link), move |request| {
                let routes = Arc::clone(&routes);
                async move { Ok::<_, std::convert::Infallible>(routes.answer(request).await) }
            })
        });
        let chores = chores(Arc::clone(&shared), options.retention);
        let news = shared.follow(news);
        let served = tokio::select! {
            served = serving => served,
            () = chores => Ok(()),
            () = news => Ok(()),
        };
        flush_seen(&shared).await;
        drop(shared);
        // Streams hold the last ends of the engine; they end by themselves, told to stop.
        tokio::task::spawn_blocking(move || threads.join()).await.map_err(io::Error::other)?;
        served
    }
}

/// What a gateway does beside answering.
async fn chores<S: Store>(shared: Arc<Shared<S>>, retention: Retention) {
    let (mut flush, mut leases) = (tokio::time::interval(FLUSH_EVERY), tokio::time::interval(LEASES_EVERY));
    let mut sweep_at = Instant::now();
    loop {
        tokio::select! {
            _ = flush.tick() => flush_seen(&shared).await,
            _ = leases.tick() => drop(shared.engine.one(Command::Sweep(None)).await),
            () = tokio::time::sleep_until(sweep_at) => {
                let begun = Instant::now();
                let swept = shared.engine.one(Command::Sweep(Some(retention))).await;
                let is_partial = matches!(swept, Ok(Ok(Done::Swept { is_partial: true, .. })));
                // A portion at a time, and mail goes out in between: of the writer's time sweeping takes a third at most.
                sweep_at = Instant::now() + if is_partial { begun.elapsed() * 2 } else { SWEEP_EVERY };
            }
        }
    }
}

/// Writes down who was heard of.
async fn flush_seen<S: Store>(shared: &Shared<S>) {
    let seen: Vec<Seen> = held(&shared.seen).drain().map(|(_, seen)| seen).collect();
    if seen.is_empty() {
        return;
    }
    shared.directory_mut().seen(&seen);
    // When a peer was last seen is no loss.
    let _ = shared.engine.one(Command::Seen(seen)).await;
}

/// A new token for an operator: 32 random bytes as 43 characters.
///
/// # Errors
/// The system gives no random bytes.
pub fn new_operator_token() -> io::Result<String> {
    routes::new_token().map_err(|_| io::Error::other("the system gives no random bytes"))
}

/// TLS from PEM files.
///
/// # Errors
/// A file cannot be read or holds no such thing, or the key is not the certificate's.
pub fn tls_config(certificates: &Path, key: &Path) -> io::Result<Arc<rustls::ServerConfig>> {
    let bad = |path: &Path, error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(certificates, &error))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key_der))
        .map_err(|error| bad(key, &error))?;
    Ok(Arc::new(config))
}
