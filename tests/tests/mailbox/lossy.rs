//! Answers that get lost: between the program and its gateway stands somebody who passes requests on and hangs up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_mailbox::{Attempt, Kind, Mailbox, Outbox};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::history::{End, History};
use crate::program::{Program, TOKEN, all_mail};

/// Passes connections on. Two of three are cut when the answer begins: the work is done and its answer lost.
async fn cutting(target: SocketAddr) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cuts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&cuts);
    tokio::spawn(async move {
        for number in 0usize.. {
            let Ok((mut near, _)) = listener.accept().await else { return };
            let mut far = TcpStream::connect(target).await.unwrap();
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                if number % 3 == 2 {
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                    return;
                }
                let mut request = vec![0; 64 << 10];
                let length = near.read(&mut request).await.unwrap_or(0);
                let _ = far.write_all(&request[..length]).await;
                let _ = far.read(&mut request).await;
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    (url, cuts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    for node in ["writer", "reader"] {
        program.mailbox(node).register(None, None).await.unwrap();
    }
    let (url, cuts) = cutting(program.url.strip_prefix("http://").unwrap().parse().unwrap()).await;
    let outbox = Outbox::in_folder(&folder.path().join("out"));
    let history = History::default();
    for number in 0..40 {
        // A connection each: a kept one would be cut only once.
        let mailbox = Mailbox::builder("writer").gateway_url(&url).token(TOKEN).build().unwrap();
        let content = format!("m{number}");
        let message = mailbox.compose("reader", Kind::Fyi, content.clone()).unwrap();
        match outbox.send(&mailbox, &message, 1).await.unwrap() {
            Attempt::Sent(receipt) => history.ended(0, &content, End::Ok(receipt.id.unwrap())),
            Attempt::Queued(_) => history.ended(0, &content, End::Unknown),
            Attempt::Refused(error) => panic!("{error}"),
        }
    }
    while !outbox.entries().unwrap().is_empty() {
        let mailbox = Mailbox::builder("writer").gateway_url(&url).token(TOKEN).build().unwrap();
        outbox.drain(&mailbox).await.unwrap();
    }
    let found = all_mail(&program.mailbox("reader")).await;
    assert_eq!(found.len(), 40);
    let complaints = history.complaints(&found);
    assert!(complaints.is_empty(), "{complaints:#?}\n{}", history.lines());
    assert!(cuts.load(Ordering::Relaxed) > 20, "answers were lost");
}
