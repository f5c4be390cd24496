//! Names of machines to addresses: by the system, or pinned to one that was judged before.
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// Who says where a name leads.
#[derive(Clone)]
pub(super) enum Names {
    /// The system.
    System(GaiResolver),
    /// Nobody is asked: every name is this address, so that what was judged is what is connected to.
    Pinned(IpAddr),
}

impl Names {
    pub(super) fn new(pinned: Option<IpAddr>) -> Names {
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
            Names::Pinned(address) => {
                let found = vec![SocketAddr::new(*address, 0)].into_iter();
                Box::pin(std::future::ready(Ok(found)))
            }
            Names::System(resolver) => {
                let asked = resolver.call(name);
                Box::pin(async move { Ok(asked.await?.collect::<Vec<_>>().into_iter()) })
            }
        }
    }
}
