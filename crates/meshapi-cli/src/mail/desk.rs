//! The agent's mailbox on top of the client: sends through the outbox, takes by lease, settles when the turn has ended.
//!
//! The order at the end of a message's turn: what goes out is on the disk, then the journal says that the message is dealt with, then it
//! is acknowledged. A crash between any two of these brings the message back and finds what was done; before the first, the turn runs
//! again and its messages go out under the same keys.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mesh_agent::mail::{
    CareFuture, Letter, Mail, MailError, MailFuture, Mailroom, News, Outcome, Peer, Posted,
};
use mesh_mailbox::{ClientError, Envelope, Look, Mailbox, Outbox};
use serde_json::Value;

use super::{Account, account::MailValues, hold::Hold, journal::Journal, watch};
use crate::exit::with_causes;

/// For how long a message is held before it is held anew. Our choice: a crash delays a message by at most so much.
pub const LEASE: Duration = Duration::from_secs(60);
/// How often a message is tried before it is left in the outbox, and an acknowledgement before it is left to the journal.
pub(super) const TRIES: u32 = 3;

/// Called when what waits has changed.
pub type Bell = Arc<dyn Fn() + Send + Sync>;

/// The mailbox of a session.
pub struct Desk {
    pub(super) account: Account,
    pub(super) mailbox: Mailbox,
    pub(super) outbox: Outbox,
    pub(super) journal: Journal,
    pub(super) values: MailValues,
    /// Values that go into no message, whatever they look like.
    pub(super) secrets: Vec<String>,
    pub(super) lease: Duration,
    /// Keys of messages that an earlier process wrote down and did not send: whoever looks for mail sends them at once.
    pub(super) left: BTreeSet<String>,
    pub(super) shared: Arc<Shared>,
    _watch: watch::Watch,
}

/// What the desk and those who look for new mail have in common.
pub(super) struct Shared {
    hold: Mutex<Hold>,
    bell: Mutex<Option<Bell>>,
    is_live: Mutex<bool>,
    /// Something has changed since it was looked for mail that may start a turn.
    is_due: AtomicBool,
}

impl Shared {
    pub(super) fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is worth looking for mail that may start a turn.
    pub(super) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Relaxed)
    }

    pub(super) fn set_due(&self, is_due: bool) {
        self.is_due.store(is_due, Ordering::Relaxed);
    }

    /// Tells whoever wants to know that what waits has changed.
    pub(super) fn ring(&self) {
        self.set_due(true);
        let bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(bell) = bell {
            bell();
        }
    }
}

impl Desk {
    /// Opens the mailbox of an account and begins to look for mail. Nothing is waited for.
    ///
    /// # Errors
    /// The address is none, or the journal cannot be read.
    pub fn open(
        account: Account,
        values: MailValues,
        secrets: Vec<String>,
        lease: Duration,
    ) -> Result<Desk, String> {
        let mailbox = account.mailbox().map_err(|error| with_causes(&error))?;
        let journal = Journal::open(&account.folder)
            .map_err(|error| format!("the journal of your mail cannot be read: {error}"))?;
        let shared = Arc::new(Shared {
            hold: Mutex::default(),
            bell: Mutex::default(),
            is_live: Mutex::new(true),
            is_due: AtomicBool::new(true),
        });
        let outbox = Outbox::in_folder(&account.folder);
        let left = outbox.entries().map_err(|error| with_causes(&error))?;
        let left = left.iter().map(|entry| entry.key().to_owned()).collect();
        let watch =
            watch::begin(&account, Arc::clone(&shared), lease).map_err(|error| with_causes(&error))?;
        Ok(Desk { account, mailbox, outbox, journal, values, secrets, lease, left, shared, _watch: watch })
    }

    /// The own name.
    pub fn node(&self) -> &str {
        self.mailbox.node()
    }

    /// The gateway's address.
    pub fn gateway(&self) -> &str {
        self.mailbox.gateway_url()
    }

    /// How long a message is held at a time.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// What is unread, for the user's own look: nothing is taken or marked.
    ///
    /// # Errors
    /// The gateway cannot be asked.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn unread_mail(&self, limit: u32) -> Result<Vec<Envelope>, String> {
        let look = Look { limit: Some(limit), ..Look::unread() };
        self.mailbox.fetch(&look).await.map(|inbox| inbox.envelopes).map_err(|error| with_causes(&error))
    }

    /// One message, for the same; `None` where there is none.
    ///
    /// # Errors
    /// The gateway cannot be asked.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn one_mail(&self, id: i64) -> Result<Option<Envelope>, String> {
        self.mailbox.message(id).await.map_err(|error| with_causes(&error))
    }

    /// Unread messages that are known of.
    pub fn unread(&self) -> usize {
        self.shared.hold().waiting().count()
    }

    /// Has `bell` called when what waits has changed.
    pub fn on_change(&self, bell: Option<Bell>) {
        *self.shared.bell.lock().unwrap_or_else(PoisonError::into_inner) = bell;
    }

    /// Whether the user is told of mail as it comes.
    pub fn is_live(&self) -> bool {
        *self.shared.is_live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the user of mail as it comes, or does not.
    pub fn set_live(&self, live: bool) {
        *self.shared.is_live.lock().unwrap_or_else(PoisonError::into_inner) = live;
    }
}

impl Mailroom for Desk {
    fn post<'a>(&'a self, letter: &'a Letter) -> MailFuture<'a, Posted> {
        Box::pin(self.send(letter))
    }

    fn take(&self, limit: usize, wait: Duration) -> MailFuture<'_, Vec<Mail>> {
        Box::pin(async move {
            let taken = self.claim_within(limit, wait).await.map_err(|error| refusal(&error))?;
            Ok(taken.into_iter().map(|held| held.mail).collect())
        })
    }

    fn look(&self, limit: usize) -> MailFuture<'_, Vec<Mail>> {
        Box::pin(async move {
            let look = Look { limit: u32::try_from(limit).ok(), ..Look::default() };
            let inbox = self.mailbox.fetch(&look).await.map_err(|error| refusal(&error))?;
            let held: Vec<i64> = self.shared.hold().held.iter().map(|held| held.mail.id).collect();
            let shown = |envelope: Envelope| {
                let is_shown = !envelope.is_unread() || held.contains(&envelope.id.0);
                mail(envelope, is_shown)
            };
            Ok(inbox.envelopes.into_iter().map(shown).collect())
        })
    }

    fn message(&self, id: i64) -> MailFuture<'_, Option<Mail>> {
        Box::pin(async move {
            let held =
                self.shared.hold().held.iter().find(|held| held.mail.id == id).map(|held| held.mail.clone());
            if held.is_some() {
                return Ok(held);
            }
            let found = self.mailbox.message(id).await.map_err(|error| refusal(&error))?;
            let is_own = |envelope: &Envelope| envelope.to_node == self.node();
            Ok(found.filter(is_own).map(|envelope| {
                let is_read = !envelope.is_unread();
                mail(envelope, is_read)
            }))
        })
    }

    fn decide(&self, id: i64, outcome: Outcome, note: Option<&str>) -> Result<(), MailError> {
        let mut hold = self.shared.hold();
        let held = hold.held.iter_mut().find(|held| held.mail.id == id);
        let held = held.ok_or_else(|| MailError::Wrong(format!("#{id} was not read in this turn")))?;
        held.decided = Some((outcome, note.map(str::to_owned)));
        Ok(())
    }

    fn sender(&self, id: i64) -> Option<String> {
        self.shared.hold().held.iter().find(|held| held.mail.id == id).map(|held| held.mail.from.clone())
    }

    fn peers(&self) -> MailFuture<'_, Vec<Peer>> {
        Box::pin(async move {
            let rows = self.mailbox.list_peers().await.map_err(|error| refusal(&error))?;
            let text = |row: &Value, field: &str| row[field].as_str().map(str::to_owned);
            let peer = |row: Value| {
                Some(Peer {
                    name: text(&row, "name").or_else(|| row.as_str().map(str::to_owned))?,
                    capabilities: row["capabilities"].to_string(),
                    last_seen: text(&row, "last_seen"),
                })
            };
            Ok(rows.into_iter().filter_map(peer).filter(|peer| peer.name != self.node()).collect())
        })
    }

    fn has_written_to(&self, to: &str) -> bool {
        let to = mesh_mailbox::PeerName::parse(to).map_or_else(|_| to.to_owned(), |name| name.to_string());
        self.journal.wrote(&to)
    }

    fn news(&self) -> Option<News> {
        self.shared.hold().news()
    }

    fn untold(&self) -> Option<News> {
        if self.is_live() { self.shared.hold().untold() } else { None }
    }

    fn turn_ended(&self, went_well: bool) -> CareFuture<'_> {
        Box::pin(async move {
            // Whoever gave the turn this work ends it, when the answer is written down.
            if self.shared.hold().work.is_some() {
                return;
            }
            let held = self.shared.hold().release(!went_well);
            if !went_well {
                for held in &held {
                    self.give_back(held, Duration::ZERO).await;
                }
                return;
            }
            if let Err(error) = self.note_all(&held) {
                tracing::warn!(%error, "the mail's journal cannot be written");
            }
            self.acknowledge_all(&held).await;
        })
    }
}

/// What a gateway's refusal is to the model: what we found wrong ourselves is said as it is.
pub(super) fn refusal(error: &ClientError) -> MailError {
    match error {
        ClientError::Invalid(_) | ClientError::SecretInContent { .. } | ClientError::NoGateway => {
            MailError::Wrong(error.to_string())
        }
        _ => MailError::Gateway(with_causes(error)),
    }
}

pub(super) fn mail(envelope: Envelope, is_shown: bool) -> Mail {
    let flag = |field: &str| envelope.extra.get(field) == Some(&Value::Bool(true));
    Mail {
        id: envelope.id.0,
        is_verified: flag("verified"),
        is_notice: flag("notice"),
        attempt: envelope.extra.get("attempt").and_then(Value::as_u64).unwrap_or(0),
        from: envelope.from_node,
        kind: envelope.kind,
        thread: envelope.thread_id,
        at: envelope.created_at,
        content: envelope.content.filter(|_| is_shown),
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("account", &self.account).finish_non_exhaustive()
    }
}
