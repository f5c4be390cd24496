//! Who uses the gateways of a fleet, going on at another when one fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_mailbox::{ClientError, Kind, Look, Mailbox};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::fleet::{Fleet, Urls};
use crate::history::{End, Found, History};
use crate::program::all_mail;

/// How long one that found nobody waits until it asks elsewhere.
const PAUSE: Duration = Duration::from_millis(5);
/// Lease of a worker: short, so that what is lost with a gateway comes back within the test.
const LEASE_S: f64 = 2.0;

/// Writers, a follower and workers, until told that it is enough.
pub(crate) struct Load {
    pub(crate) history: Arc<History>,
    urls: Urls,
    /// Writers begin nothing new.
    is_enough: Arc<AtomicBool>,
    /// Nothing more will come.
    is_over: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    follower: JoinHandle<Vec<Found>>,
    workers: Vec<JoinHandle<()>>,
    worked: Arc<Worked>,
}

/// What workers did: under which leases the acknowledgement of a message was taken.
#[derive(Debug, Default)]
pub(crate) struct Worked {
    leases: Mutex<BTreeMap<i64, Vec<String>>>,
    sent: AtomicUsize,
}

/// What came of it all.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) acknowledged: usize,
    pub(crate) worked: usize,
    pub(crate) complaints: Vec<String>,
}

impl Load {
    /// Registers who takes part, and begins.
    pub(crate) async fn start(fleet: &Fleet, writers: usize) -> Load {
        for (number, node) in ["writer", "reader", "worker"].into_iter().enumerate() {
            fleet.mailbox(number, node).register(None, None).await.unwrap();
        }
        let (urls, history) = (fleet.urls(), Arc::default());
        let (is_enough, is_over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let worked = Arc::new(Worked::default());
        let writers = (0..writers)
            .map(|process| {
                let write = write(
                    process,
                    urls.clone(),
                    Arc::clone(&history),
                    Arc::clone(&worked),
                    Arc::clone(&is_enough),
                );
                tokio::spawn(write)
            })
            .collect();
        let workers = (0..2).map(|at| tokio::spawn(work(at, urls.clone(), Arc::clone(&worked)))).collect();
        let follower = tokio::spawn(follow(urls.clone(), Arc::clone(&is_over)));
        Load { history, urls, is_enough, is_over, writers, follower, workers, worked }
    }

    /// Waits until so many more are acknowledged.
    pub(crate) async fn more(&self, count: usize) {
        let before = self.history.acknowledged();
        while self.history.acknowledged() < before + count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends it, and judges what is there against what was promised.
    pub(crate) async fn end(self) -> Sum {
        self.is_enough.store(true, Ordering::SeqCst);
        for writer in self.writers {
            writer.await.unwrap();
        }
        self.is_over.store(true, Ordering::SeqCst);
        let followed = self.follower.await.unwrap();
        let found = all_mail(&self.urls.mailbox(0, "reader")).await;
        let mut complaints = self.history.complaints(&found);
        if followed != found {
            let at = followed.iter().zip(&found).take_while(|(a, b)| a == b).count();
            let (saw, all) = (followed.len(), found.len());
            complaints.push(format!("the follower saw {saw} of {all}, at {at}: {:?}", followed.get(at)));
        }
        while self.worked.leases.lock().unwrap().len() < self.worked.sent.load(Ordering::SeqCst) {
            tokio::time::sleep(PAUSE).await;
        }
        self.workers.iter().for_each(JoinHandle::abort);
        let leases = self.worked.leases.lock().unwrap();
        for (id, leases) in leases.iter().filter(|(_, leases)| leases.len() > 1) {
            complaints.push(format!("message {id} was acknowledged under {leases:?}"));
        }
        Sum { acknowledged: self.history.acknowledged(), worked: leases.len(), complaints }
    }
}

impl Sum {
    /// Fails with all that is wrong.
    pub(crate) fn is_clean(&self, history: &History) {
        assert!(self.complaints.is_empty(), "{:#?}\n{}", self.complaints, history.lines());
    }
}

/// Sends one message after the other, each under its key until it is acknowledged; every third also to the workers.
async fn write(
    process: usize,
    urls: Urls,
    history: Arc<History>,
    worked: Arc<Worked>,
    is_enough: Arc<AtomicBool>,
) {
    let mut at = process;
    for number in 0.. {
        if is_enough.load(Ordering::SeqCst) {
            return;
        }
        let content = format!("{process}-{number}");
        send(&urls, &mut at, "reader", &content, |end| history.ended(process, &content, end)).await;
        if number % 3 == 0 {
            send(&urls, &mut at, "worker", &content, |_| ()).await;
            worked.sent.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn send(urls: &Urls, at: &mut usize, to: &str, content: &str, mut ended: impl FnMut(End)) {
    let message = urls.mailbox(*at, "writer").compose(to, Kind::Fyi, content).unwrap();
    loop {
        match urls.mailbox(*at, "writer").post(&message).await {
            Ok(receipt) => return ended(End::Ok(receipt.id.unwrap())),
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                ended(End::Unknown);
                *at += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Follows an inbox by its cursor, from gateway to gateway; ends at the first empty page after all is sent.
async fn follow(urls: Urls, is_over: Arc<AtomicBool>) -> Vec<Found> {
    let (mut all, mut after) = (Vec::new(), 0);
    for at in 0.. {
        let was_over = is_over.load(Ordering::SeqCst);
        let reader = urls.mailbox(at, "reader");
        let look = Look {
            after: Some(after),
            of: Some("reader".to_owned()),
            oldest_first: true,
            limit: Some(200),
            wait: if was_over { Duration::ZERO } else { Duration::from_secs(1) },
            ..Look::default()
        };
        match reader.fetch_page(&look).await {
            Ok((inbox, _)) if inbox.envelopes.is_empty() && was_over => break,
            Ok((inbox, next)) => {
                let row = |row: mesh_mailbox::Envelope| {
                    (row.id.0, row.extra["seq"].as_i64().unwrap(), row.content.unwrap())
                };
                all.extend(inbox.envelopes.into_iter().map(row));
                after = next.unwrap();
            }
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    all
}

/// Claims messages and acknowledges them, for ever. Whose lease has ended leaves the message to its new holder.
async fn work(mut at: usize, urls: Urls, worked: Arc<Worked>) {
    loop {
        let mailbox = urls.mailbox(at, "worker");
        let claim = json!({"to": "worker", "max": 5, "lease_s": LEASE_S, "wait": 1});
        let Ok(claimed) = call(&mailbox, "/messages/claim", &claim).await else {
            at += 1;
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        for row in claimed["messages"].as_array().unwrap() {
            let (id, lease) = (row["id"].as_i64().unwrap(), row["lease_id"].as_str().unwrap());
            let ack = json!({"lease_id": lease, "outcome": "done"});
            loop {
                match call(&urls.mailbox(at, "worker"), &format!("/messages/{id}/ack"), &ack).await {
                    Ok(_) => {
                        worked.leases.lock().unwrap().entry(id).or_default().push(lease.to_owned());
                        break;
                    }
                    Err(error) if error.is_transient() => {
                        at += 1;
                        tokio::time::sleep(PAUSE).await;
                    }
                    // Another holds it by now.
                    Err(error) => {
                        assert!(matches!(error, ClientError::Refused { status: 409, .. }), "{error}");
                        break;
                    }
                }
            }
        }
    }
}

async fn call(mailbox: &Mailbox, path: &str, body: &Value) -> Result<Value, ClientError> {
    mailbox.call("POST", path, Some(body), Duration::from_secs(1)).await
}
