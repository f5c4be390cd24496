//! kill -9 under load, round after round. Writers try a message again under its key until it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use mesh_mailbox::{ClientError, Kind, Mailbox};
use tokio::sync::watch;

use crate::history::{End, History};
use crate::program::{Program, all_mail};

/// Rounds of a usual run; `MAILBOX_CRASH_ROUNDS` sets another number.
const ROUNDS: usize = 5;
const WRITERS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_doubled() {
    let rounds =
        std::env::var("MAILBOX_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    let history = Arc::new(History::default());
    let mut program = Program::start(folder.path());
    for node in ["writer", "reader"] {
        program.mailbox(node).register(None, None).await.unwrap();
    }
    let (tell, told) = watch::channel((program.url.clone(), false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|process| tokio::spawn(write(process, told.clone(), Arc::clone(&history))))
        .collect();
    for round in 0..rounds {
        let before = history.acknowledged();
        // Not by the clock: each round is killed in the middle of its work.
        while history.acknowledged() < before + 20 + 13 * (round % 4) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        program.kill();
        program = Program::start(folder.path());
        tell.send((program.url.clone(), false)).unwrap();
    }
    tell.send((program.url.clone(), true)).unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    let found = all_mail(&program.mailbox("reader")).await;
    let complaints = history.complaints(&found);
    assert!(complaints.is_empty(), "{complaints:#?}\n{}", history.lines());
    assert!(found.len() >= rounds * 20);
}

/// Sends one message after the other to whichever gateway there is, until told that it is enough.
async fn write(process: usize, told: watch::Receiver<(String, bool)>, history: Arc<History>) {
    let gateway = || told.borrow().clone();
    for number in 0.. {
        let (mut url, is_enough) = gateway();
        if is_enough {
            return;
        }
        let content = format!("{process}-{number}");
        let mut mailbox = connect(&url);
        let message = mailbox.compose("reader", Kind::Fyi, content.clone()).unwrap();
        loop {
            match mailbox.post(&message).await {
                Ok(receipt) => {
                    history.ended(process, &content, End::Ok(receipt.id.unwrap()));
                    break;
                }
                Err(error) => {
                    let is_lost = matches!(error, ClientError::Transport { .. });
                    assert!(is_lost, "{error}");
                    history.ended(process, &content, End::Unknown);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            let (next, _) = gateway();
            if next != url {
                (mailbox, url) = (connect(&next), next);
            }
        }
    }
}

fn connect(url: &str) -> Mailbox {
    Mailbox::builder("writer").gateway_url(url).token(crate::program::TOKEN).build().unwrap()
}
