//! A database of a test, in a private PostgreSQL server.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::private_postgres::{PASSWORD, Server, shared};

/// A database; its server runs as long as anybody has one.
pub(crate) struct Database {
    server: Arc<Server>,
    /// Its address.
    pub(crate) url: String,
}

/// A new database; none, and a line that says so, where PostgreSQL is not installed.
pub(crate) fn database() -> Option<Database> {
    let server = shared()?;
    let url = server.database();
    Some(Database { server, url })
}

impl Database {
    /// Where its server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.server.port()).into()
    }

    /// Its address by way of somebody who passes everything on.
    pub(crate) fn through(&self, line: SocketAddr) -> String {
        let address = self.server.by_loopback(&self.url, "postgres", PASSWORD);
        address.replace(&self.address().to_string(), &line.to_string())
    }
}
