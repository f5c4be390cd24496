//! A gateway that is cut off from the database: it acknowledges nothing meanwhile, and nothing is lost afterwards.
//!
//! Once by somebody between them who passes nothing on and closes nothing, as a network does that loses all packets; and once by
//! a network that really does, where such networks may be made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_mailbox::{ClientError, Kind, Mailbox};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::fleet::Fleet;
use super::load::Load;
use super::network::Network;
use super::server;
use crate::history::{End, History};
use crate::program::say;

/// Stands between a gateway and the database.
struct Line {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Line {
    async fn between(near: SocketAddr, target: SocketAddr) -> Line {
        let listener = TcpListener::bind(near).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_cut, cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let cut = cut.clone();
                tokio::spawn(async move {
                    whole(cut.clone()).await;
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::spawn(pass(near_in, far_out, cut.clone()));
                    pass(far_in, near_out, cut).await;
                });
            }
        });
        Line { address, is_cut }
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.send(is_cut).unwrap();
    }
}

/// Waits until the line is whole.
async fn whole(mut cut: watch::Receiver<bool>) {
    // Its end is that of the test.
    let _ = cut.wait_for(|is_cut| !is_cut).await;
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        whole(cut.clone()).await;
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

/// Sends through a gateway that is cut off: it must say that it cannot, and never that it did.
async fn ask_in_vain(mailbox: &Mailbox, history: &History, times: usize) {
    for number in 0..times {
        let content = format!("cut-{number}-{}", history.acknowledged());
        let message = mailbox.compose("reader", Kind::Fyi, content.clone()).unwrap();
        let error = mailbox.post(&message).await.expect_err("nothing can be stored");
        assert!(matches!(error, ClientError::Refused { status: 503, .. }), "{error}");
        // Under its key it may still be stored later: the database may have got it.
        history.ended(99, &content, End::Unknown);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_acknowledges_nothing() {
    let Some(database) = server::database() else { return };
    let line = Line::between(([127, 0, 0, 1], 0).into(), database.address()).await;
    let mut fleet = Fleet::start(&database.url, 1);
    fleet.add(|command| {
        command.env("MESH_GATEWAY_DB", database.through(line.address));
    });
    cut_twice(&fleet, |is_cut| line.cut(is_cut)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_loses_everything_loses_no_mail() {
    let Some(database) = server::database() else { return };
    let Some(network) = Network::new() else {
        say("SKIPPED: no network namespace may be made here");
        return;
    };
    let line = Line::between(network.near(), database.address()).await;
    let mut fleet = Fleet::start(&database.url, 1);
    fleet.add_in(network.command(), network.far(), |command| {
        command.arg("--insecure").env("MESH_GATEWAY_DB", database.through(line.address));
    });
    cut_twice(&fleet, |is_cut| network.cut(is_cut)).await;
}

/// Cuts the second gateway off from the database, twice, under load.
async fn cut_twice(fleet: &Fleet, cut: impl Fn(bool)) {
    let load = Load::start(fleet, 4).await;
    load.more(40).await;
    for _ in 0..2 {
        cut(true);
        // What the database had answered before may still arrive.
        tokio::time::sleep(Duration::from_millis(50)).await;
        ask_in_vain(&fleet.patient_mailbox(1, "writer"), &load.history, 2).await;
        cut(false);
        load.more(40).await;
    }
    let history = Arc::clone(&load.history);
    let sum = load.end().await;
    say(&format!("cut off twice: {} acknowledged, {} worked", sum.acknowledged, sum.worked));
    sum.is_clean(&history);
}
