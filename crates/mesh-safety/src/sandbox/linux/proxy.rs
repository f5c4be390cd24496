//! The ways out: a proxy to the network, and ports of the session's servers, on sockets that were made inside and are served outside.
//!
//! A host is judged by the user's list, looked up once, and the address that was judged is the one that is dialled.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::super::{
    Denial, Rule,
    hosts::{Asked, Hosts, Reach, asked},
    policy::Neighbour,
    relay::{knock, relay},
};

/// Longest head of a request.
const LONGEST_HEAD: usize = 16 * 1024;

/// How long a client may take for its head, and a host to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Hosts that are told at most: a command may ask for thousands.
const TOLD: usize = 16;

/// What was refused, each once; shared with the threads that refuse.
pub(super) type Refused = Arc<Mutex<Refusals>>;

/// What was refused.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// In words, with the reason.
    pub(super) notes: Vec<String>,
    /// What the list does not name, and a person may.
    pub(super) denials: Vec<Denial>,
}

/// Why a host is not dialled.
enum Refusal {
    Unlisted,
    Other(String),
}

impl Refusal {
    fn says(&self) -> &str {
        match self {
            Refusal::Unlisted => Rule::Host.says(),
            Refusal::Other(why) => why,
        }
    }
}

/// Sockets that are sent at most: the proxy's, and one for each server of the session.
pub(super) const MOST: usize = 32;

/// Sends listening sockets through a pair of sockets.
pub(super) fn send(listeners: &[TcpListener], to: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(to, &[IoSlice::new(b"s")], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Takes them on the other side, in their order.
pub(super) fn receive(from: &OwnedFd) -> io::Result<Vec<TcpListener>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut listeners = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            listeners.extend(fds.map(TcpListener::from));
        }
    }
    Ok(listeners)
}

/// Leads a port in here to the same port of a server that lives behind a door.
pub(super) fn lead(listener: TcpListener, neighbour: Neighbour) {
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let neighbour = neighbour.clone();
            let _ = thread::Builder::new().spawn(move || -> io::Result<()> {
                match knock(&neighbour.door, neighbour.port)? {
                    Some(server) => relay(client, server, Shutdown::Write),
                    None => Ok(()),
                }
            });
        }
    });
}

/// Serves until the process ends.
pub(super) fn serve(listener: TcpListener, hosts: Hosts, refused: Refused) {
    let hosts = Arc::new(hosts);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (hosts, refused) = (hosts.clone(), refused.clone());
            // A machine without room for another thread refuses the connection by dropping it.
            let _ = thread::Builder::new().spawn(move || answer(client, &hosts, &refused));
        }
    });
}

fn answer(mut client: TcpStream, hosts: &Hosts, refused: &Refused) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let (head, rest) = read_head(&mut client)?;
    let dialled = asked(&head).map_err(|why| Refusal::Other(why.to_owned())).and_then(|asked| {
        let server = dial(&asked, hosts).inspect_err(|why| remember(refused, &asked, why))?;
        Ok((asked, server))
    });
    let (asked, mut server) = match dialled {
        Ok(both) => both,
        Err(why) => {
            let text = format!("meshapi sandbox: {}\n", why.says());
            return write!(
                client,
                "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
        }
    };
    if asked.head.is_empty() {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        server.write_all(&asked.head)?;
    }
    server.write_all(&rest)?;
    client.set_read_timeout(None)?;
    relay(client, server, Shutdown::Write)
}

fn remember(refused: &Refused, asked: &Asked, why: &Refusal) {
    let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
    let Asked { host, port, .. } = asked;
    let line = format!("the network was refused: {host}:{port} ({})", why.says());
    if refused.notes.len() < TOLD && !refused.notes.contains(&line) {
        refused.notes.push(line);
        if matches!(why, Refusal::Unlisted) {
            refused.denials.push(Denial::host(host, *port));
        }
    }
}

/// The head up to its empty line, and what came after it.
fn read_head(client: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return Ok((head, rest));
        }
        let count = client.read(&mut buffer)?;
        if count == 0 || head.len() > LONGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&buffer[..count]);
    }
}

/// Judges, looks up once, and dials what was judged.
fn dial(asked: &Asked, hosts: &Hosts) -> Result<TcpStream, Refusal> {
    let reach = hosts.reach(&asked.host, asked.port);
    if reach == Reach::Nothing {
        return Err(Refusal::Unlisted);
    }
    let name = asked.host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = (name, asked.port)
        .to_socket_addrs()
        .map_err(|error| Refusal::Other(format!("no address: {error}")))?
        .collect();
    if reach == Reach::Public {
        let is_public = |address: IpAddr| crate::judge_address(address).is_allow();
        if let Some(address) = addresses.iter().find(|address| !is_public(address.ip())) {
            let address = address.ip();
            return Err(Refusal::Other(format!("its address {address} is not one of the public internet")));
        }
    }
    let mut last = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(server) => return Ok(server),
            Err(error) => last = format!("it does not answer: {error}"),
        }
    }
    Err(Refusal::Other(last))
}
