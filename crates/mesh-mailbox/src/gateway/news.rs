//! Several gateways on one store: waking those who wait here for mail that came in there, and knowing whom the others know.
//!
//! A gateway keeps names, tokens and groups in memory. What another changes arrives with the news; and before a gateway refuses
//! something for want of a name or a token, it looks once more, so that what was registered there is good here at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;

use super::engine::EngineError;
use super::hub::Hub;
use super::routes::Shared;
use super::store::{News, Reader as _, Store, Tidings};

/// Longest time until mail that another gateway took in is seen without a notification. The mailbox's design asks for 1 to 2 s.
const POLL: Duration = Duration::from_secs(1);
/// Shortest time between two looks that requests ask for: strangers cannot keep the store busy.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Tidings that wait to be told.
const TIDINGS: usize = 64;

/// When it was last looked who is known.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Held while looking: one look serves all who ask meanwhile.
    at: Mutex<Option<Instant>>,
}

impl<S: Store> Shared<S> {
    /// Passes on what other gateways did; never returns.
    pub(super) async fn follow(self: &Arc<Self>, news: Option<Box<dyn News>>) {
        let Some(news) = news else { return std::future::pending().await };
        let (tell, mut told) = mpsc::channel(TIDINGS);
        let (hub, stopping) = (Arc::clone(&self.hub), self.stopping.clone());
        // It ends by itself within one poll after the gateway stops, and holds nothing that anybody waits for.
        let thread = std::thread::Builder::new().name("mailbox-news".to_owned());
        if let Err(error) = thread.spawn(move || listen(news, &hub, &stopping, &tell)) {
            tracing::error!(target: "mesh_mailbox::gateway", %error, "no thread that listens to other gateways");
        }
        let mut is_stale = false;
        loop {
            let patience = if is_stale { POLL } else { Duration::MAX };
            if let Ok(tidings) = tokio::time::timeout(patience, told.recv()).await {
                let Some(Tidings { inboxes, is_directory_changed }) = tidings else { break };
                inboxes.iter().for_each(|inbox| self.hub.wake(inbox));
                is_stale |= is_directory_changed;
            }
            // What could not be read is tried again until it could.
            is_stale = is_stale && self.look_again().await.is_err();
        }
        std::future::pending().await
    }

    /// Looks once more who is known, if others can have changed it. False when nobody else can.
    ///
    /// # Errors
    /// The store cannot be read: then nobody can say who is unknown.
    pub(super) async fn learn(&self) -> Result<bool, EngineError> {
        let Some(looked) = &self.looked else { return Ok(false) };
        let asked = Instant::now();
        let mut looked = looked.at.lock().await;
        if let Some(at) = *looked {
            if at > asked {
                // Begun after this was asked.
                return Ok(true);
            }
            tokio::time::sleep_until(at + LOOK_PAUSE).await;
        }
        let begun = Instant::now();
        self.look_again().await?;
        *looked = Some(begun);
        Ok(true)
    }

    /// Sees to it that who is known was looked up lately, if others can have changed it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) async fn is_recent(&self, age: Duration) -> Result<(), EngineError> {
        let Some(looked) = &self.looked else { return Ok(()) };
        let mut at = looked.at.lock().await;
        if at.is_none_or(|at| at.elapsed() > age) {
            let begun = Instant::now();
            self.look_again().await?;
            *at = Some(begun);
        }
        Ok(())
    }

    /// Looks who is known.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) async fn look_again(&self) -> Result<(), EngineError> {
        loop {
            let changes = self.directory().changes();
            let known = self.engine.look(|reader| reader.known()).await?;
            let mut directory = self.directory_mut();
            // What was changed here meanwhile may be missing in what was read.
            if directory.changes() == changes {
                directory.replace(known);
                return Ok(());
            }
        }
    }
}

fn listen(
    mut news: Box<dyn News>,
    hub: &Hub,
    stopping: &watch::Receiver<bool>,
    tell: &mpsc::Sender<Tidings>,
) {
    let mut is_deaf = false;
    while !*stopping.borrow() && !tell.is_closed() {
        match news.next(&hub.awaited(), POLL) {
            Ok(tidings) => {
                if std::mem::take(&mut is_deaf) {
                    tracing::info!(target: "mesh_mailbox::gateway", "other gateways are heard again");
                }
                if tidings != Tidings::default() && tell.blocking_send(tidings).is_err() {
                    return;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_deaf, true) {
                    tracing::warn!(target: "mesh_mailbox::gateway", %error, "other gateways cannot be heard");
                }
                std::thread::sleep(POLL);
            }
        }
    }
}
