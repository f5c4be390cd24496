//! The HTTP part: a pooled client, bodies, server-sent events and a server loop. It names nothing of the
//! model protocol and can be used alone (`default-features = false, features = ["http"]`).
mod body;
mod chunks;
mod client;
mod connect;
#[cfg(feature = "server")]
mod door;
mod error;
mod link;
mod names;
mod pace;
mod relay;
#[cfg(feature = "server")]
mod reply;
#[cfg(feature = "server")]
mod server;
mod socket;
pub mod sse;
mod upstream;

pub use body::{Body, BodyReader, BodySender};
pub use client::{
    CONNECT_TIMEOUT, Deadlines, FIRST_BYTE_TIMEOUT, HttpClient, HttpClientBuilder, IDLE_TIMEOUT, Proxy,
    is_loopback_host,
};
pub use connect::{has_proxy, trusted_roots};
#[cfg(feature = "server")]
pub use door::{Door, Refused};
pub use error::{ConnectFailure, HttpError, Phase};
pub use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
pub use relay::end_to_end;
#[cfg(feature = "server")]
pub use reply::{changes, reply};
#[cfg(feature = "server")]
pub use server::{Peer, ServerOptions, serve, serve_with};
pub use upstream::{Upstream, pour};
