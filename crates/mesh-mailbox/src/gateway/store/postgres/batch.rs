//! A batch at work: one transaction, in two journeys to the server wherever its commands allow it.
//!
//! The first locks and reads all that the commands name, the second writes what came of them and commits. Between the two the
//! rules work in memory. The order of locks is the same in every gateway: messages by id, inboxes by name, keys by sender.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::delivery::Found;
use super::error::Failure;
use super::first::{Named, find, lock_inboxes, make_inboxes, more_ids};
use super::place::Clock;
use super::session::Session;
use super::step::Step;
use super::text::{Text, plain};
use super::write::NewRows;
use crate::gateway::stamp::Stamp;
use crate::gateway::store::{Command, Digest, Done, Refusal, StoreError};

/// What a command came to.
pub(super) type Answer = Result<Done, Refusal>;

/// Bytes of new messages after which they are sent on, before the batch is through.
const SEND_ON: usize = 8 << 20;

/// Inboxes of which something is remembered from batch to batch.
const REMEMBERED: usize = 100_000;

/// What is remembered from batch to batch. It may be out of date: nothing depends on it but the number of statements.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Inboxes that have a row.
    known: HashSet<String>,
    /// How many unread messages an inbox held when its last sequence was so high. With each number given out since, by whichever
    /// gateway, it can have become one more, and not more than that.
    pub(super) unread: HashMap<String, (u64, i64)>,
    /// How far the sweep through all messages has come.
    pub(super) swept_to: i64,
}

impl Tally {
    /// Forgets what may not be true any more.
    pub(super) fn forget(&mut self) {
        *self = Tally { swept_to: self.swept_to, ..Tally::default() };
    }
}

/// An inbox whose row is locked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inbox {
    pub(super) last_seq: i64,
    pub(super) last_stamp: Stamp,
}

/// What was sent under a key.
pub(super) struct Sent {
    pub(super) digest: Digest,
    pub(super) answer: String,
}

/// A batch at work.
pub(super) struct Batch<'s> {
    pub(super) session: &'s mut Session,
    pub(super) tally: &'s mut Tally,
    pub(super) now: Stamp,
    /// Inboxes whose rows are locked.
    pub(super) inboxes: HashMap<String, Inbox>,
    /// Ids that were given out to this batch, and are not used yet.
    pub(super) ids: VecDeque<i64>,
    pub(super) keys: HashMap<(String, String), Sent>,
    /// Messages of other gateways that have the id of one to be imported: sender and moment.
    pub(super) taken: HashMap<i64, (String, String)>,
    /// Messages that are locked, as they are after the commands so far.
    pub(super) found: HashMap<i64, Found>,
    looked: HashSet<i64>,
    /// Messages that this batch stores.
    pub(super) made: HashSet<i64>,
    /// What is not sent yet.
    pub(super) new: NewRows,
    pub(super) new_keys: BTreeMap<(String, String), Digest>,
    pub(super) changed: BTreeSet<i64>,
    pub(super) moved: BTreeSet<String>,
    pub(super) woken: BTreeSet<String>,
    pub(super) is_directory_changed: bool,
    steps: Vec<Step<'static>>,
    /// Which steps are claims, and whose answers they are.
    claims: Vec<(usize, usize)>,
    claimed: HashSet<String>,
    answers: Vec<Answer>,
}

/// What a batch came to.
pub(super) struct Outcome {
    pub(super) answers: Vec<Answer>,
    pub(super) is_directory_changed: bool,
}

/// Does the commands, and commits.
///
/// # Errors
/// Nothing was done, or, when the session says that it is committing, may have been.
pub(super) async fn run(
    session: &mut Session,
    tally: &mut Tally,
    (clock, now): (Clock, Stamp),
    commands: &[Command],
) -> Result<Outcome, Failure> {
    if tally.known.len().max(tally.unread.len()) > REMEMBERED {
        tally.forget();
    }
    let mut batch = Batch {
        session,
        tally,
        now,
        inboxes: HashMap::new(),
        ids: VecDeque::new(),
        keys: HashMap::new(),
        taken: HashMap::new(),
        found: HashMap::new(),
        looked: HashSet::new(),
        made: HashSet::new(),
        new: NewRows::default(),
        new_keys: BTreeMap::new(),
        changed: BTreeSet::new(),
        moved: BTreeSet::new(),
        woken: BTreeSet::new(),
        is_directory_changed: false,
        steps: Vec::new(),
        claims: Vec::new(),
        claimed: HashSet::new(),
        answers: Vec::with_capacity(commands.len()),
    };
    batch.begin(&Named::of(commands), clock).await?;
    for command in commands {
        batch.command(command).await?;
        if batch.new.bytes > SEND_ON {
            batch.barrier().await?;
        }
    }
    batch.commit().await
}

impl Batch<'_> {
    /// The first journey: everything that the commands name, locked.
    async fn begin(&mut self, named: &Named, clock: Clock) -> Result<(), Failure> {
        let mut steps = vec![Step::new("BEGIN ISOLATION LEVEL READ COMMITTED")];
        let mut reads = Vec::new();
        let mut read = |steps: &mut Vec<Step<'static>>, step, what| {
            reads.push((steps.len(), what));
            steps.push(step);
        };
        if !named.messages.is_empty() {
            read(&mut steps, find(named.messages.iter().copied().collect()), Read::Messages);
        }
        let unknown = named.inboxes.iter().filter(|name| !self.tally.known.contains(*name));
        let unknown: Vec<Text<'static>> = unknown.map(|name| Text::owned(name)).collect();
        if !unknown.is_empty() {
            steps.push(make_inboxes(unknown));
        }
        if !(named.inboxes.is_empty() && named.returned.is_empty()) {
            let names = named.inboxes.iter().map(|name| Text::owned(name)).collect();
            let returned = named.returned.iter().copied().collect();
            read(&mut steps, lock_inboxes(names, returned), Read::Inboxes);
        }
        // After the locks: whoever held them before has stored what can be found here.
        if !named.keys.is_empty() {
            let (senders, keys): (Vec<_>, Vec<_>) =
                named.keys.iter().map(|(sender, key)| (Text::owned(sender), Text::owned(key))).unzip();
            let sql = "SELECT k.sender, k.key, k.digest, k.answer FROM unnest($1::text[], $2::text[]) AS w (sender, key) \
                       JOIN mesh_keys k ON k.sender = w.sender AND k.key = w.key";
            read(&mut steps, Step::new(sql).with(senders).with(keys), Read::Keys);
        }
        if let Some(last) = named.imported.last() {
            let ids: Vec<i64> = named.imported.iter().copied().collect();
            let sql = "SELECT id, sender, created_at FROM mesh_messages WHERE id = ANY($1::bigint[])";
            read(&mut steps, Step::new(sql).with(ids), Read::Taken);
            let sql = "SELECT setval('mesh_ids', $1::bigint) FROM mesh_ids WHERE last_value <= $1::bigint";
            steps.push(Step::new(sql).with(*last));
        }
        if named.ids > 0 || clock == Clock::Database {
            read(&mut steps, more_ids(named.ids), Read::Ids);
        }
        let mut rows = self.session.together(steps).await?;
        self.looked.extend(&named.messages);
        for (at, what) in reads {
            let rows = rows.get_mut(at).map(std::mem::take).unwrap_or_default();
            match what {
                Read::Messages => self.take_found(&rows)?,
                Read::Inboxes => self.take_inboxes(&rows)?,
                Read::Keys => {
                    for row in &rows {
                        let pair = |at| row.try_get::<_, &str>(at).map(|text| plain(text).into_owned());
                        let digest = digest(row.try_get(2)?)?;
                        let sent = Sent { digest, answer: row.try_get(3)? };
                        self.keys.insert((pair(0)?, pair(1)?), sent);
                    }
                }
                Read::Taken => {
                    for row in &rows {
                        let text = |at| row.try_get::<_, &str>(at).map(|text| plain(text).into_owned());
                        self.taken.insert(row.try_get(0)?, (text(1)?, text(2)?));
                    }
                }
                Read::Ids => {
                    if let (Clock::Database, Some(row)) = (clock, rows.first()) {
                        self.now = Stamp::from_micros(row.try_get(1)?);
                    }
                    self.take_ids(&rows)?;
                }
            }
        }
        let missing: Vec<String> =
            named.inboxes.iter().filter(|name| !self.inboxes.contains_key(*name)).cloned().collect();
        self.lock(missing).await
    }

    /// Locks inboxes, new ones too, that are not locked yet.
    pub(super) async fn lock(&mut self, mut names: Vec<String>) -> Result<(), Failure> {
        names.retain(|name| !self.inboxes.contains_key(name));
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Ok(());
        }
        let texts = || names.iter().map(|name| Text::owned(name)).collect::<Vec<_>>();
        let steps = vec![make_inboxes(texts()), lock_inboxes(texts(), Vec::new())];
        let rows = self.session.together(steps).await?.pop().unwrap_or_default();
        self.take_inboxes(&rows)
    }

    fn take_inboxes(&mut self, rows: &[tokio_postgres::Row]) -> Result<(), Failure> {
        for row in rows {
            let name = plain(row.try_get(0)?).into_owned();
            let inbox = Inbox { last_seq: row.try_get(1)?, last_stamp: Stamp::from_micros(row.try_get(2)?) };
            self.inboxes.insert(name, inbox);
        }
        Ok(())
    }

    /// An id for a new message.
    pub(super) async fn next_id(&mut self) -> Result<i64, Failure> {
        if self.ids.is_empty() {
            let rows = self.session.rows(more_ids(1)).await?;
            self.take_ids(&rows)?;
        }
        Ok(self.ids.pop_front().ok_or_else(|| StoreError::Failed("no id was given out".to_owned()))?)
    }

    fn take_ids(&mut self, rows: &[tokio_postgres::Row]) -> Result<(), Failure> {
        for row in rows {
            self.ids.extend(row.try_get::<_, Option<i64>>(0)?);
        }
        self.ids.make_contiguous().sort_unstable();
        Ok(())
    }

    pub(super) fn take_found(&mut self, rows: &[tokio_postgres::Row]) -> Result<(), Failure> {
        for row in rows {
            let found = Found::of(row)?;
            self.looked.insert(found.id);
            self.found.insert(found.id, found);
        }
        Ok(())
    }

    /// The message as it is after the commands so far.
    pub(super) async fn message(&mut self, id: i64) -> Result<Option<Found>, Failure> {
        let found = self.found.get(&id);
        let is_claimed = found.is_some_and(|found| self.claimed.contains(&found.inbox));
        if is_claimed || found.is_none() && self.made.contains(&id) {
            self.barrier().await?;
        }
        if !self.looked.contains(&id) {
            let rows = self.ask(find(vec![id])).await?;
            self.looked.insert(id);
            self.take_found(&rows)?;
        }
        Ok(self.found.get(&id).cloned())
    }

    /// Has a statement sent after all that came before it.
    pub(super) fn then(&mut self, step: Step<'static>) {
        self.steps.push(step);
    }

    /// Has a claim sent; it answers the command that is next.
    pub(super) fn then_claim(&mut self, inbox: &str, step: Step<'static>) {
        self.write();
        self.claims.push((self.steps.len(), self.answers.len()));
        self.claimed.insert(inbox.to_owned());
        self.steps.push(step);
    }

    /// What a command came to.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// Sends what waits, so that the database knows what this knows, and forgets what claims may have changed.
    pub(super) async fn barrier(&mut self) -> Result<(), Failure> {
        self.write();
        self.send().await?;
        self.claimed.clear();
        self.found.clear();
        self.looked.clear();
        Ok(())
    }

    /// A statement of its own, after all that came before it.
    pub(super) async fn ask(&mut self, step: Step<'static>) -> Result<Vec<tokio_postgres::Row>, Failure> {
        self.write();
        self.send().await?;
        Ok(self.session.rows(step).await?)
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if self.steps.is_empty() {
            return Ok(());
        }
        let steps = std::mem::take(&mut self.steps);
        let mut rows = self.session.together(steps).await?;
        for (step, answer) in std::mem::take(&mut self.claims) {
            let rows = rows.get_mut(step).map(std::mem::take).unwrap_or_default();
            let claimed = super::delivery::claimed(&rows, self.now)?;
            if let Some(answer) = self.answers.get_mut(answer) {
                *answer = Ok(claimed);
            }
        }
        Ok(())
    }

    /// The last journey.
    async fn commit(mut self) -> Result<Outcome, Failure> {
        self.write();
        if !self.woken.is_empty() {
            let names: Vec<Text<'static>> =
                std::mem::take(&mut self.woken).iter().map(|name| Text::owned(name)).collect();
            self.steps.push(
                Step::new(
                    "WITH l AS (SELECT name FROM mesh_inboxes WHERE name = ANY($1::text[]) ORDER BY name FOR UPDATE) \
                     UPDATE mesh_inboxes i SET version = i.version + 1 FROM l WHERE i.name = l.name",
                )
                .with(names),
            );
        }
        if self.is_directory_changed {
            self.steps.push(Step::new("UPDATE mesh_counters SET value = value + 1 WHERE name = 'directory'"));
        }
        self.steps.push(Step::new("COMMIT"));
        let warnings = self.session.warnings();
        self.session.is_committing = true;
        self.send().await?;
        if self.session.warnings() != warnings {
            let cause = "the server warned while it committed: its standby may not have it".to_owned();
            return Err(StoreError::Unknown { place: self.session.shown.clone(), cause }.into());
        }
        self.session.is_committing = false;
        self.tally.known.extend(self.inboxes.into_keys());
        Ok(Outcome { answers: self.answers, is_directory_changed: self.is_directory_changed })
    }
}

/// What a statement of the first journey reads.
enum Read {
    Messages,
    Inboxes,
    Keys,
    Taken,
    Ids,
}

/// A digest as it is stored.
pub(super) fn digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    bytes.try_into().map_err(|_| StoreError::Damaged("a digest is not 32 bytes long".to_owned()))
}
