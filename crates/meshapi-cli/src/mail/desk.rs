//! The agent's mailbox on top of the client: sends through the outbox, takes by lease, settles when the turn has ended.
//!
//! The order at the end of a message's turn: what goes out is on the disk, then the journal says that the message is dealt with, then it
//! is acknowledged. A crash between any two of these brings the message back and finds what was done; before the first, the turn runs
//! again and its messages go out under the same keys.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesh_agent::mail::{
    CareFuture, Letter, Mail, MailError, MailFuture, Mailroom, News, Outcome, Peer, Posted,
};
use mesh_mailbox::{
    Attempt, ClientError, Envelope, IdempotencyKey, Inbox, Kind, Look, Mailbox, Outbox, Outgoing, ThreadId,
    guard,
    outbox::{pause, random},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Account, Allowance,
    account::MailValues,
    hold::{Held, Hold, Waiting, Work, answer_key, parent_of, thread_of},
    journal::Journal,
    watch,
};
use crate::exit::with_causes;

/// For how long a message is held before it is held anew. Our choice: a crash delays a message by at most so much.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long one request waits for mail: a gateway's longest is 60 s.
const POLL: Duration = Duration::from_secs(20);
/// How often a message is tried before it is left in the outbox, and an acknowledgement before it is left to the journal.
const TRIES: u32 = 3;
/// Most bytes of text that an acknowledgement carries. From the gateway's limits, in characters.
const NOTE_CHARS: usize = 2_000;
/// Most characters of a message. From the gateway's limits.
const CONTENT_CHARS: usize = 200_000;

/// Called when what waits has changed.
pub type Bell = Arc<dyn Fn() + Send + Sync>;

/// The mailbox of a session.
pub struct Desk {
    account: Account,
    mailbox: Mailbox,
    outbox: Outbox,
    pub(super) journal: Journal,
    values: MailValues,
    /// Values that go into no message, whatever they look like.
    secrets: Vec<String>,
    lease: Duration,
    /// Keys of messages that an earlier process wrote down and did not send: whoever looks for mail sends them at once.
    left: BTreeSet<String>,
    pub(super) shared: Arc<Shared>,
    _watch: watch::Watch,
}

/// What the desk and those who look for new mail have in common.
pub(super) struct Shared {
    hold: Mutex<Hold>,
    bell: Mutex<Option<Bell>>,
    is_live: Mutex<bool>,
}

/// A message that a run works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The message.
    pub mail: Mail,
}

impl Shared {
    pub(super) fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever wants to know that what waits has changed.
    pub(super) fn ring(&self) {
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
        let shared =
            Arc::new(Shared { hold: Mutex::default(), bell: Mutex::default(), is_live: Mutex::new(true) });
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

    /// The client, for looking without taking.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Unread messages that are known of.
    pub fn unread(&self) -> usize {
        self.shared.hold().news().map_or(0, |news| news.unread)
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

    /// What a peer's messages may start at the prompt: what was said there goes before the settings file.
    pub fn allowance(&self, peer: &str) -> Option<Allowance> {
        self.journal.auto(peer).unwrap_or_else(|| self.values.auto_reply.get(peer).copied())
    }

    /// Peers whose messages may start turns.
    pub fn allowances(&self) -> Vec<(String, Allowance)> {
        let stored = self.values.auto_reply.iter().map(|(peer, allowance)| (peer.clone(), Some(*allowance)));
        let mut all: std::collections::BTreeMap<String, Option<Allowance>> = stored.collect();
        all.extend(self.journal.autos());
        all.into_iter().filter_map(|(peer, allowance)| Some((peer, allowance?))).collect()
    }

    /// Lets a peer's messages start turns at the prompt, or takes that back.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn allow(&self, peer: &str, allowance: Option<Allowance>) -> std::io::Result<()> {
        self.journal.allow(peer, allowance)
    }

    /// Claims messages; what was dealt with before is acknowledged again and left out.
    async fn claim(
        &self,
        max: usize,
        wait: Duration,
        thread: Option<&str>,
    ) -> Result<Vec<Held>, ClientError> {
        loop {
            let envelopes = self.claim_rows(max, wait.min(POLL), thread).await?;
            let is_empty = envelopes.is_empty();
            let mut taken = Vec::new();
            for envelope in envelopes {
                let lease = envelope.extra.get("lease_id").and_then(Value::as_str).map(str::to_owned);
                let held = Held { mail: mail(envelope, true), lease, decided: None };
                let at = held.mail.at.as_deref().unwrap_or_default();
                match self.journal.answered(self.node(), held.mail.id, at) {
                    Some(outcome) => {
                        self.shared.hold().gone(held.mail.id);
                        self.acknowledge(&held, outcome, None).await;
                    }
                    None => taken.push(held),
                }
            }
            if is_empty || !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn claim_rows(
        &self,
        max: usize,
        wait: Duration,
        thread: Option<&str>,
    ) -> Result<Vec<Envelope>, ClientError> {
        let mut body = json!({
            "to": self.node(), "max": max, "lease_s": self.lease.as_secs_f64(), "wait": wait.as_secs_f64(),
        });
        if let Some(thread) = thread {
            body["thread_id"] = thread.into();
        }
        match self.mailbox.call("POST", "/messages/claim", Some(&body), wait).await {
            Ok(answer) => Ok(Inbox::from_json(&answer)?.envelopes),
            // The Python gateway knows no leases: what is unread is taken, and marked read at the end.
            Err(ClientError::Refused { status: 404 | 405 | 501, .. }) if thread.is_none() => {
                let limit = u32::try_from(max).ok();
                let look = Look { limit, oldest_first: true, wait, ..Look::unread() };
                let rows = self.mailbox.fetch(&look).await?.envelopes;
                let held: Vec<i64> = self.shared.hold().held.iter().map(|held| held.mail.id).collect();
                Ok(rows.into_iter().filter(|row| !held.contains(&row.id.0)).collect())
            }
            Err(error) => Err(error),
        }
    }

    /// The same until something came, the time is over, or it cannot be had.
    async fn claim_within(&self, max: usize, wait: Duration) -> Result<Vec<Held>, ClientError> {
        let deadline = Instant::now() + wait;
        let mut failures = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Work on one message takes only the answers to what it asked itself.
            let work = self.shared.hold().work.clone().filter(|work| work.is_alone);
            let claimed = match &work {
                None => self.claim(max, left, None).await,
                Some(work) if work.threads.is_empty() => Ok(Vec::new()),
                Some(work) => self.claim_of(&work.threads, max, left).await,
            };
            match claimed {
                Ok(held) if !held.is_empty() => {
                    let mut hold = self.shared.hold();
                    held.iter().for_each(|held| hold.hold(held.clone()));
                    drop(hold);
                    self.shared.ring();
                    return Ok(held);
                }
                Ok(_) if left.is_zero() || work.is_some_and(|work| work.threads.is_empty()) => {
                    return Ok(Vec::new());
                }
                Ok(_) => failures = 0,
                Err(error) if error.is_transient() && !left.is_zero() => {
                    failures += 1;
                    tracing::warn!(%error, "the gateway cannot be asked for mail");
                    tokio::time::sleep(pause(failures, None, random()).min(left)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Claims in any of these threads.
    async fn claim_of(
        &self,
        threads: &BTreeSet<String>,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Held>, ClientError> {
        /// A request waits in one thread: with several it goes round.
        const ROUND: Duration = Duration::from_secs(1);
        let wait = if threads.len() > 1 { wait.min(ROUND) } else { wait };
        for thread in threads {
            let held = self.claim(max, wait, Some(thread)).await?;
            if !held.is_empty() {
                return Ok(held);
            }
        }
        Ok(Vec::new())
    }

    /// The next message of the queue to work on by itself; `None` when none came in time.
    ///
    /// # Errors
    /// The gateway refuses.
    ///
    /// # Cancel safety
    /// A message that was just taken comes again when its lease has ended.
    pub async fn next_job(&self, wait: Duration) -> Result<Option<Job>, ClientError> {
        self.shared.hold().work = None;
        let taken = self.claim_within(1, wait).await?;
        Ok(taken.into_iter().next().map(|held| self.begin(held.mail, true)))
    }

    /// The next message that may start a turn at the prompt, with the tokens that it may use; or why one may not.
    ///
    /// # Errors
    /// The gateway refuses.
    ///
    /// # Cancel safety
    /// That of [`Desk::next_job`].
    pub async fn next_auto(&self) -> Result<Option<Job>, ClientError> {
        let (thread, is_any) = {
            let hold = self.shared.hold();
            let may = |waiting: &Waiting| waiting.is_verified && self.allowance(&waiting.from).is_some();
            let Some((_, first)) = hold.waiting().find(|(_, waiting)| may(waiting)) else { return Ok(None) };
            (first.thread.clone(), hold.waiting().all(|(_, waiting)| may(waiting)))
        };
        // A claim cannot name a sender: without a thread it might take what is not meant.
        if thread.is_none() && !is_any {
            return Ok(None);
        }
        let claimed = self.claim(1, Duration::ZERO, thread.as_deref()).await?;
        let Some(held) = claimed.into_iter().next() else { return Ok(None) };
        if !held.mail.is_verified || self.allowance(&held.mail.from).is_none() {
            self.give_back(&held, Duration::ZERO).await;
            return Ok(None);
        }
        self.shared.hold().hold(held.clone());
        Ok(Some(self.begin(held.mail, false)))
    }

    /// Whether mail waits that may start a turn.
    pub fn has_auto(&self) -> bool {
        let hold = self.shared.hold();
        let mut waiting = hold.waiting();
        waiting.any(|(_, waiting)| waiting.is_verified && self.allowance(&waiting.from).is_some())
    }

    fn begin(&self, mail: Mail, is_alone: bool) -> Job {
        let (id, from) = (mail.id, mail.from.clone());
        let threads = BTreeSet::new();
        self.shared.hold().work = Some(Work { id, from, threads, is_answered: false, is_alone });
        Job { mail }
    }

    /// What the message's thread may still use.
    ///
    /// # Errors
    /// Nothing; why.
    pub fn budget(&self, job: &Job, allowance: Allowance) -> Result<u64, String> {
        let (thread, has_thread) = self.account_of(job);
        let allowance = if has_thread { allowance } else { allowance.without_thread() };
        allowance.next(self.journal.used(self.node(), &job.mail.from, &thread))
    }

    /// What a thread may use of a worker.
    pub fn worker_allowance(&self) -> Allowance {
        self.values.thread
    }

    /// Notes what a message's turn has used.
    ///
    /// # Errors
    /// It cannot be kept: then no further turn may run.
    pub fn spend(&self, job: &Job, tokens: u64) -> std::io::Result<()> {
        self.journal.spend(self.node(), &job.mail.from, &self.account_of(job).0, tokens)
    }

    /// The thread whose books a message is in: messages without one count by the day.
    fn account_of(&self, job: &Job) -> (String, bool) {
        match &job.mail.thread {
            Some(thread) => (thread.clone(), true),
            None => {
                let day: String = job.mail.at.as_deref().unwrap_or_default().chars().take(10).collect();
                (format!("@{day}"), false)
            }
        }
    }

    /// Whether this message is the answer to a question of earlier work that is not done: it is that work's, which comes again.
    pub fn is_of_unfinished_work(&self, job: &Job) -> bool {
        let parent =
            job.mail.thread.as_deref().and_then(|thread| parent_of(thread, self.node(), &job.mail.from));
        parent.is_some_and(|parent| !self.journal.knows(self.node(), parent))
    }

    /// Whether the answer to this message was written before a crash.
    pub fn is_answer_written(&self, job: &Job) -> bool {
        let key = answer_key(&job.mail);
        self.left.contains(&key) || self.outbox.find(&key).is_ok()
    }

    /// Whether the model itself has given the sender an answer in this turn.
    pub fn is_answered(&self) -> bool {
        self.shared.hold().work.as_ref().is_some_and(|work| work.is_answered)
    }

    /// What the model said comes of a message that is held.
    pub fn decided(&self, job: &Job) -> Option<(Outcome, Option<String>)> {
        let hold = self.shared.hold();
        hold.held.iter().find(|held| held.mail.id == job.mail.id).and_then(|held| held.decided.clone())
    }

    /// Writes the answer to a message down, to be sent under its one key.
    ///
    /// # Errors
    /// It must not be sent, or cannot be kept.
    pub fn write_answer(&self, job: &Job, kind: Kind, text: &str) -> Result<(), MailError> {
        let text: String = text.chars().take(CONTENT_CHARS).collect();
        let mut message = self.composed(&job.mail.from, kind, &text)?;
        message.thread_id = ThreadId::new(thread_of(&job.mail)).ok();
        message.key = IdempotencyKey::new(answer_key(&job.mail))
            .map_err(|error| MailError::Wrong(error.to_string()))?;
        let put = self.outbox.put(self.gateway(), self.node(), &message);
        put.map_err(|error| MailError::Wrong(with_causes(&error)))
    }

    /// Ends the work on a message: the journal, then what waits in the outbox, then the acknowledgements.
    ///
    /// # Errors
    /// The journal cannot be written: the message comes again.
    pub async fn finish(&self, job: &Job, outcome: Outcome, note: Option<&str>) -> std::io::Result<()> {
        {
            let mut hold = self.shared.hold();
            for held in hold.held.iter_mut().filter(|held| held.mail.id == job.mail.id) {
                held.decided = Some((outcome, note.map(str::to_owned)));
            }
            hold.work = None;
        }
        let held = self.shared.hold().release(false);
        let done = self.note_all(&held);
        self.send_answer(job).await;
        self.acknowledge_all(&held).await;
        done
    }

    /// Gives a message back, and what was taken for it; it can be taken again after this delay.
    pub async fn hand_back(&self, delay: Duration) {
        self.shared.hold().work = None;
        let held = self.shared.hold().release(true);
        for held in &held {
            self.give_back(held, delay).await;
        }
    }

    /// Sends the answer that was written for a message, whichever gateway it was written for: the store behind them may be one.
    async fn send_answer(&self, job: &Job) {
        let key = answer_key(&job.mail);
        let Ok(entry) = self.outbox.find(&key) else { return };
        for attempt in 1..=TRIES {
            match self.mailbox.send(&entry.message).await {
                Ok(_) => break,
                // Another version of it is stored: it was answered.
                Err(ClientError::Refused { status: 409, .. }) => break,
                Err(error) if error.is_transient() && attempt < TRIES => {
                    tokio::time::sleep(pause(attempt, None, random())).await;
                }
                // It waits in the outbox, and goes out when the gateway answers.
                Err(error) if error.is_transient() => return,
                Err(error) => {
                    tracing::warn!(%error, "the answer to a message was refused");
                    break;
                }
            }
        }
        if let Err(error) = self.outbox.remove(entry.key()) {
            tracing::warn!(%error, "the outbox cannot be written; what is in it is sent again under its key");
        }
        let _ = self.journal.write_to(entry.message.to.as_str());
    }

    fn composed(&self, to: &str, kind: Kind, content: &str) -> Result<Outgoing, MailError> {
        let literals: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        if let Some(leak) = guard::live(content, &literals) {
            let error = ClientError::SecretInContent { label: leak.label };
            return Err(MailError::Wrong(error.to_string()));
        }
        self.mailbox.compose(to, kind, content).map_err(|error| MailError::Wrong(error.to_string()))
    }

    async fn send(&self, letter: &Letter) -> Result<Posted, MailError> {
        let kind: Kind = letter
            .kind
            .parse()
            .map_err(|error: mesh_mailbox::MailboxError| MailError::Wrong(error.to_string()))?;
        let mut message = self.composed(&letter.to, kind, &letter.content)?;
        let to = message.to.as_str().to_owned();
        let key = {
            let mut hold = self.shared.hold();
            let thread = letter.thread.clone().or_else(|| hold.thread_for(self.node(), &to));
            if let Some(thread) = &thread {
                message.thread_id =
                    Some(ThreadId::new(thread.clone()).map_err(|error| MailError::Wrong(error.to_string()))?);
            }
            let key = hold.key_for(&to);
            if let Some(work) = &mut hold.work {
                work.is_answered |= to == work.from && kind == Kind::Answer;
                work.threads
                    .extend(thread.filter(|thread| parent_of(thread, self.node(), &to) == Some(work.id)));
            }
            key
        };
        if let Some(key) = &key {
            message.key = IdempotencyKey::new(key).map_err(|error| MailError::Wrong(error.to_string()))?;
        }
        let attempt = self.outbox.send(&self.mailbox, &message, TRIES).await;
        let posted = match attempt.map_err(|error| MailError::Wrong(with_causes(&error)))? {
            Attempt::Sent(receipt) if receipt.is_replay && key.is_some() => Posted::Before,
            Attempt::Sent(receipt) => Posted::Stored { id: receipt.id },
            Attempt::Queued(cause) => Posted::Queued { cause: with_causes(&cause) },
            Attempt::Refused(ClientError::Refused { status: 409, .. }) if key.is_some() => Posted::Before,
            Attempt::Refused(error) => return Err(refusal(&error)),
        };
        if let Err(error) = self.journal.write_to(&to) {
            tracing::warn!(%error, "the mail's journal cannot be written");
        }
        Ok(posted)
    }

    /// Notes what is held as dealt with, before any of it is acknowledged.
    fn note_all(&self, held: &[Held]) -> std::io::Result<()> {
        for Held { mail, decided, .. } in held {
            let outcome = decided.as_ref().map_or(Outcome::Done, |(outcome, _)| *outcome);
            self.journal.answer(self.node(), mail.id, mail.at.as_deref().unwrap_or_default(), outcome)?;
        }
        Ok(())
    }

    async fn acknowledge_all(&self, held: &[Held]) {
        for held in held {
            let (outcome, note) = held.decided.clone().unwrap_or_default();
            self.acknowledge(held, outcome, note.as_deref()).await;
        }
    }

    /// Acknowledges a message. Where that is lost, the message comes again, and the journal knows it.
    async fn acknowledge(&self, held: &Held, outcome: Outcome, note: Option<&str>) {
        let path = format!("/messages/{}/ack", held.mail.id);
        for attempt in 1..=TRIES {
            let done = match &held.lease {
                None => self.mailbox.mark_read(held.mail.id).await,
                Some(lease) => {
                    let mut body = json!({ "lease_id": lease, "outcome": outcome.as_str() });
                    if let Some(note) = note {
                        body["note"] = note.chars().take(NOTE_CHARS).collect::<String>().into();
                    }
                    self.mailbox.call("POST", &path, Some(&body), Duration::ZERO).await.map(drop)
                }
            };
            match done {
                Err(error) if error.is_transient() && attempt < TRIES => {
                    tokio::time::sleep(pause(attempt, None, random())).await;
                }
                Err(error) => {
                    tracing::warn!(%error, id = held.mail.id, "a message cannot be acknowledged; it will come again and be known");
                    return;
                }
                Ok(()) => return,
            }
        }
    }

    async fn give_back(&self, held: &Held, delay: Duration) {
        let Some(lease) = &held.lease else { return };
        let body = json!({ "lease_id": lease, "delay_s": delay.as_secs_f64() });
        let path = format!("/messages/{}/nack", held.mail.id);
        if let Err(error) = self.mailbox.call("POST", &path, Some(&body), Duration::ZERO).await {
            tracing::warn!(%error, id = held.mail.id, "a message cannot be given back; it is free when its lease ends");
        }
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
fn refusal(error: &ClientError) -> MailError {
    match error {
        ClientError::Invalid(_) | ClientError::SecretInContent { .. } | ClientError::NoGateway => {
            MailError::Wrong(error.to_string())
        }
        _ => MailError::Gateway(with_causes(error)),
    }
}

fn mail(envelope: Envelope, is_shown: bool) -> Mail {
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
