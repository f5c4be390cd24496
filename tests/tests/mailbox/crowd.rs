//! A thousand connections at once: some wait, some say half of what they want, and those who send are answered.

use mesh_mailbox::Kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::program::{Program, TOKEN};

const CONNECTIONS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_held_and_answered() {
    meshapi_cli::sys::raise_open_files();
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let (alice, bob) = (program.mailbox("alice"), program.mailbox("bob"));
    for peer in [&alice, &bob] {
        peer.register(None, None).await.unwrap();
    }
    let address = program.url.strip_prefix("http://").unwrap();
    let waiting = format!(
        "GET /messages?to=bob&wait=60 HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    let (mut waiters, mut idle) = (Vec::new(), Vec::new());
    for number in 0..CONNECTIONS {
        let mut socket = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            socket.write_all(waiting.as_bytes()).await.unwrap();
            waiters.push(socket);
        } else {
            socket.write_all(&waiting.as_bytes()[..number % 60]).await.unwrap();
            idle.push(socket);
        }
    }
    let message = alice.compose("bob", Kind::Fyi, "here I am").unwrap();
    alice.send(&message).await.unwrap();
    for mut socket in waiters {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("here I am"), "{answer}");
    }
    drop(idle);
    assert_eq!(bob.fetch(&mesh_mailbox::Look::unread()).await.unwrap().envelopes.len(), 1);
}
