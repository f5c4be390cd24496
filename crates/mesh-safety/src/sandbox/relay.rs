//! Bytes between two connections, both ways, until both have ended; and the knock at a server's door that comes before.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::Duration,
};

/// How long the other side of a door may take to say whether somebody listens.
const PATIENCE: Duration = Duration::from_millis(500);

/// A connection of either kind.
pub trait Connection: Read + Write + Send + Sized + 'static {
    /// The same connection once more.
    ///
    /// # Errors
    /// There are no more descriptors.
    fn twin(&self) -> io::Result<Self>;

    /// Ends one direction or both. What has ended already stays so.
    fn end(&self, which: Shutdown);
}

impl Connection for TcpStream {
    fn twin(&self) -> io::Result<TcpStream> {
        self.try_clone()
    }

    fn end(&self, which: Shutdown) {
        let _ = self.shutdown(which);
    }
}

impl Connection for UnixStream {
    fn twin(&self) -> io::Result<UnixStream> {
        self.try_clone()
    }

    fn end(&self, which: Shutdown) {
        let _ = self.shutdown(which);
    }
}

/// Carries bytes both ways. When the server has said all, `then` is ended of the client.
///
/// # Errors
/// There is no room for another descriptor or thread.
pub fn relay(client: impl Connection, server: impl Connection, then: Shutdown) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.twin()?, server.twin()?);
    let up = thread::Builder::new().spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        to_server.end(Shutdown::Write);
    })?;
    let (mut from_server, mut to_client) = (server, client);
    let _ = io::copy(&mut from_server, &mut to_client);
    to_client.end(then);
    let _ = up.join();
    Ok(())
}

/// A connection to a port behind the door of a server, if somebody listens there.
///
/// # Errors
/// There is no door, or nobody answers at it.
pub fn knock(door: &Path, port: u16) -> io::Result<Option<UnixStream>> {
    let mut stream = UnixStream::connect(door)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&port.to_be_bytes())?;
    let mut answer = [1];
    stream.read_exact(&mut answer)?;
    stream.set_read_timeout(None)?;
    Ok((answer == [0]).then_some(stream))
}
