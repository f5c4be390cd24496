//! The way to a server in the sandbox: a loopback port of this machine leads to one of its own.
//!
//! Threads, not tasks: a browser is answered while the prompt waits for a line and no event loop turns.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    path::Path,
    thread,
};

pub(super) use mesh_safety::sandbox::knock;
use mesh_safety::sandbox::relay;

/// A port that leads inside. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Forward {
    listener: TcpListener,
    /// The port on this machine.
    pub(super) port: u16,
}

impl Forward {
    /// Opens the server's own port on this machine, or `otherwise` where somebody has it already.
    ///
    /// # Errors
    /// Both are taken.
    pub(super) fn open(door: &Path, port: u16, otherwise: u16) -> io::Result<Forward> {
        let here = Ipv4Addr::LOCALHOST;
        let listener = TcpListener::bind((here, port)).or_else(|_| TcpListener::bind((here, otherwise)))?;
        let outer = listener.local_addr()?.port();
        let (accepting, door) = (listener.try_clone()?, door.to_owned());
        thread::Builder::new()
            .name(format!("port {outer}"))
            .spawn(move || accept(&accepting, &door, port))?;
        Ok(Forward { listener, port: outer })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // Wakes the thread that accepts: it hears that nobody will come any more.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, door: &Path, port: u16) {
    while let Ok((client, _)) = listener.accept() {
        let door = door.to_owned();
        // Without room for a thread the connection is dropped, and the browser tries again.
        let _ = thread::Builder::new().spawn(move || carry(client, &door, port));
    }
}

fn carry(client: TcpStream, door: &Path, port: u16) -> io::Result<()> {
    let Some(server) = knock(door, port)? else { return Ok(()) };
    relay(client, server, Shutdown::Both)
}
