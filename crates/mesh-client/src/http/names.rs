//! Names of machines to addresses: by the system, or pinned to those that were judged before.
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// Who says where a name leads.
#[derive(Clone)]
pub(super) enum Names {
    /// The system.
    System(GaiResolver),
    /// Nobody is asked: every name has these addresses, so that what was judged is what is connected to.
    Pinned(Arc<[IpAddr]>),
}

impl Names {
    pub(super) fn new(pinned: Option<Arc<[IpAddr]>>) -> Names {
        pinned.map_or_else(|| Names::System(GaiResolver::new()), Names::Pinned)
    }
}

impl Service<Name> for Names {
    type Response = IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<IntoIter<SocketAddr>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Names::Pinned(addresses) => {
                // The connector puts the port of the address bar in place of the 0.
                let found: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect();
                Box::pin(std::future::ready(Ok(found.into_iter())))
            }
            Names::System(resolver) => {
                let asked = resolver.call(name);
                Box::pin(async move { Ok(asked.await?.collect::<Vec<_>>().into_iter()) })
            }
        }
    }
}
