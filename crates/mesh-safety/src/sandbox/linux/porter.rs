//! The way in to a server that lives inside: a process of ours in its namespaces carries connections from a socket of the parent
//! to a port of the inner loopback.
//!
//! Who connects says the port in two bytes, high one first, and hears one: 0 when somebody listens there.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::Duration,
};

use super::super::relay::relay;

/// How long somebody who connected may take to say the port.
const PATIENCE: Duration = Duration::from_secs(5);

/// Carries connections for ever: the process ends with init.
pub(super) fn carry(listener: &UnixListener) -> ! {
    loop {
        match listener.accept() {
            Ok((outer, _)) => drop(thread::Builder::new().spawn(move || let_in(outer))),
            // Out of descriptors for a moment.
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn let_in(mut outer: UnixStream) -> io::Result<()> {
    let mut port = [0; 2];
    outer.set_read_timeout(Some(PATIENCE))?;
    outer.read_exact(&mut port)?;
    outer.set_read_timeout(None)?;
    let port = u16::from_be_bytes(port);
    let inner = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .or_else(|_| TcpStream::connect((Ipv6Addr::LOCALHOST, port)));
    let inner = match inner {
        // A connection from the very port that was asked for is one to ourselves: nobody listens there.
        Ok(inner) if inner.local_addr()? != inner.peer_addr()? => inner,
        _ => return outer.write_all(&[1]),
    };
    outer.write_all(&[0])?;
    relay(outer, inner, Shutdown::Write)
}
