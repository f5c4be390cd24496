//! Commands that store messages, and what a batch writes.

use super::batch::{Answer, Batch, Sent};
use super::error::Failure;
use super::step::Step;
use super::text::Text;
use crate::gateway::lease::Outcome;
use crate::gateway::stamp::Stamp;
use crate::gateway::store::row::{self, Stored};
use crate::gateway::store::{Command, Done, Imported, NewMessage, Refusal, SendKey};

/// Messages that are to be inserted, a column each.
#[derive(Default)]
pub(super) struct NewRows {
    id: Vec<i64>,
    inbox: Vec<Text<'static>>,
    seq: Vec<i64>,
    read_at: Vec<Option<Text<'static>>>,
    expires_at: Vec<Option<i64>>,
    priority: Vec<i64>,
    verified: Vec<i64>,
    sender: Vec<Text<'static>>,
    kind: Vec<&'static str>,
    thread: Vec<Option<Text<'static>>>,
    created_at: Vec<Text<'static>>,
    head: Vec<String>,
    /// The size of all heads.
    pub(super) bytes: usize,
}

impl NewRows {
    fn into_step(self) -> Step<'static> {
        Step::new(
            "INSERT INTO mesh_messages (id, inbox, seq, read_at, expires_at, priority, verified, sender, kind, thread, \
             created_at, head) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], \
             $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])",
        )
        .with(self.id)
        .with(self.inbox)
        .with(self.seq)
        .with(self.read_at)
        .with(self.expires_at)
        .with(self.priority)
        .with(self.verified)
        .with(self.sender)
        .with(self.kind)
        .with(self.thread)
        .with(self.created_at)
        .with(self.head)
    }
}

impl Batch<'_> {
    /// Does one command, and notes its answer.
    pub(super) async fn command(&mut self, command: &Command) -> Result<(), Failure> {
        let answer = match command {
            Command::Append(message) => self.append(message).await?,
            Command::Import(imported) => self.import(imported).await?,
            Command::Read { id, by } => self.read(*id, by).await?,
            Command::Claim { inbox, max, lease, kind, thread_id } => {
                self.claim(inbox, *max, *lease, *kind, thread_id.as_deref())
            }
            Command::Ack { id, by, lease, outcome, note } => {
                self.ack(*id, by, lease.as_deref(), *outcome, note.as_deref()).await?
            }
            Command::Nack { id, by, lease, delay } => self.nack(*id, by, lease, *delay).await?,
            Command::Extend { id, by, lease, time } => self.extend(*id, by, lease, *time).await?,
            Command::Requeue { id, by } => self.requeue(*id, by).await?,
            Command::PutPeer { peer, was } => self.change_peer(peer, was.as_deref()).await?,
            Command::Join { peer, invite } => self.join(peer, invite).await?,
            Command::Invite(invite) => self.invite(invite),
            Command::Seen(peers) => self.seen(peers),
            Command::Thread { name, uuid, session_id } => {
                self.thread(name, uuid, session_id.as_deref()).await?
            }
            Command::PutThread(thread) => self.put_thread(thread),
            Command::PutGroup { group, was } => self.change_group(group, was.as_ref()).await?,
            Command::DropGroup(name) => self.drop_group(name),
            Command::Sweep(retention) => self.sweep(retention.as_ref()).await?,
        };
        self.answer(answer);
        Ok(())
    }

    async fn append(&mut self, message: &NewMessage) -> Result<Answer, Failure> {
        if let Some(before) = message.key.as_ref().and_then(|key| self.sent_before(key)) {
            return Ok(before);
        }
        if let Some(max) = message.max_depth {
            for inbox in &message.to_nodes {
                if self.is_full(inbox, max).await? {
                    return Ok(Err(Refusal::Full { inbox: inbox.clone() }));
                }
            }
        }
        let mut stored = Vec::with_capacity(message.to_nodes.len());
        for to_node in &message.to_nodes {
            stored.push((to_node, self.store(message, to_node).await?));
        }
        let answer = row::answer(message, &stored);
        if let Some(SendKey { sender, key, digest }) = &message.key {
            let pair = (sender.clone(), key.clone());
            self.new_keys.insert(pair.clone(), *digest);
            self.keys.insert(pair, Sent { digest: *digest, answer: answer.clone() });
        }
        Ok(Ok(Done::Appended { answer, is_replay: false, inboxes: message.to_nodes.clone() }))
    }

    fn sent_before(&self, key: &SendKey) -> Option<Answer> {
        let before = self.keys.get(&(key.sender.clone(), key.key.clone()))?;
        Some(if before.digest == key.digest {
            Ok(Done::Appended { answer: before.answer.clone(), is_replay: true, inboxes: Vec::new() })
        } else {
            Err(Refusal::KeyConflict)
        })
    }

    /// Whether an inbox holds so many unread messages. Counted only when it can: as many numbers as it gave out since it was
    /// last counted, so many more it may hold.
    async fn is_full(&mut self, inbox: &str, max: u64) -> Result<bool, Failure> {
        let last_seq = self.inboxes.get(inbox).map_or(0, |inbox| inbox.last_seq);
        let (counted, at) = self.tally.unread.get(inbox).copied().unwrap_or_default();
        if counted.saturating_add_signed(last_seq - at) < max {
            return Ok(false);
        }
        let sql =
            "SELECT count(*) FROM mesh_messages WHERE inbox = $1 AND read_at IS NULL AND dead_at IS NULL";
        let rows = self.ask(Step::new(sql).with(Text::owned(inbox))).await?;
        let counted: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        self.tally.unread.insert(inbox.to_owned(), (counted.unsigned_abs(), last_seq));
        Ok(counted.unsigned_abs() >= max)
    }

    /// Puts one message into one inbox.
    pub(super) async fn store(&mut self, message: &NewMessage, to_node: &str) -> Result<Stored, Failure> {
        let id = self.next_id().await?;
        let now = self.now;
        let created_at = match self.inboxes.get_mut(to_node) {
            Some(inbox) => {
                // Moments that rise with the sequence, also when the clock goes back: `since` finds whatever came later.
                inbox.last_stamp = now.max(inbox.last_stamp.plus(std::time::Duration::from_micros(1)));
                inbox.last_stamp.to_string()
            }
            None => now.to_string(),
        };
        let seq = self.insert(id, message, to_node, &created_at, None).await?;
        Ok(Stored { id, seq, created_at })
    }

    async fn insert(
        &mut self,
        id: i64,
        message: &NewMessage,
        to_node: &str,
        created_at: &str,
        read_at: Option<&str>,
    ) -> Result<i64, Failure> {
        if !self.inboxes.contains_key(to_node) {
            self.lock(vec![to_node.to_owned()]).await?;
        }
        let seq = match self.inboxes.get_mut(to_node) {
            Some(inbox) => {
                inbox.last_seq += 1;
                inbox.last_seq
            }
            None => 1,
        };
        if !self.moved.contains(to_node) {
            self.moved.insert(to_node.to_owned());
        }
        let head = row::head(id, to_node, created_at, message);
        self.made.insert(id);
        let new = &mut self.new;
        new.bytes += head.len();
        new.id.push(id);
        new.inbox.push(Text::owned(to_node));
        new.seq.push(seq);
        new.read_at.push(read_at.map(Text::owned));
        new.expires_at.push(message.expires_at.map(Stamp::micros));
        new.priority.push(message.priority);
        new.verified.push(row::voucher_number(message.voucher));
        new.sender.push(Text::owned(&message.from_node));
        new.kind.push(message.kind.as_str());
        new.thread.push(message.thread_id.as_deref().map(Text::owned));
        new.created_at.push(Text::owned(created_at));
        new.head.push(head);
        Ok(seq)
    }

    /// Keeps the id of an imported message, unless another message has it; the same message again is left alone.
    async fn import(&mut self, imported: &Imported) -> Result<Answer, Failure> {
        let message = &imported.message;
        let there = self.taken.get(&imported.id);
        let is_same =
            |(sender, at): &(String, String)| (sender, at) == (&message.from_node, &imported.created_at);
        if there.is_some_and(is_same) {
            return Ok(Ok(Done::Stored));
        }
        let is_taken = there.is_some();
        for (nth, to_node) in message.to_nodes.iter().enumerate() {
            if is_taken {
                let same = "SELECT 1 FROM mesh_messages WHERE inbox = $1 AND sender = $2 AND created_at = $3 LIMIT 1";
                let step = Step::new(same)
                    .with(Text::owned(to_node))
                    .with(Text::owned(&message.from_node))
                    .with(Text::owned(&imported.created_at));
                if !self.ask(step).await?.is_empty() {
                    continue;
                }
            }
            let id = if is_taken || nth > 0 { self.next_id().await? } else { imported.id };
            self.insert(id, message, to_node, &imported.created_at, imported.read_at.as_deref()).await?;
        }
        self.taken.entry(imported.id).or_insert((message.from_node.clone(), imported.created_at.clone()));
        Ok(Ok(Done::Stored))
    }

    /// Turns all that was decided into one statement: its parts touch different rows.
    pub(super) fn write(&mut self) {
        let mut parts = Vec::new();
        let new = std::mem::take(&mut self.new);
        if new.bytes > 0 {
            parts.push(new.into_step());
        }
        if !self.new_keys.is_empty() {
            parts.push(self.keys_step());
        }
        if !self.changed.is_empty() {
            parts.push(self.deliveries_step());
        }
        if !self.moved.is_empty() {
            parts.push(self.inboxes_step());
        }
        if let Some(step) = Step::all(parts) {
            self.then(step);
        }
    }

    fn keys_step(&mut self) -> Step<'static> {
        let (mut senders, mut keys, mut digests, mut answers) = (vec![], vec![], vec![], vec![]);
        for (pair, digest) in std::mem::take(&mut self.new_keys) {
            senders.push(Text::owned(&pair.0));
            keys.push(Text::owned(&pair.1));
            digests.push(digest.to_vec());
            answers.push(self.keys.get(&pair).map(|sent| sent.answer.clone()).unwrap_or_default());
        }
        let sql = "INSERT INTO mesh_keys (sender, key, digest, answer, created_at) \
                   SELECT w.*, $5::bigint FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[]) AS w";
        Step::new(sql).with(senders).with(keys).with(digests).with(answers).with(self.now.micros())
    }

    fn inboxes_step(&mut self) -> Step<'static> {
        let (mut names, mut sequences, mut stamps) = (vec![], vec![], vec![]);
        for name in std::mem::take(&mut self.moved) {
            let Some(inbox) = self.inboxes.get(&name) else { continue };
            names.push(Text::owned(&name));
            sequences.push(inbox.last_seq);
            stamps.push(inbox.last_stamp.micros());
            self.woken.remove(&name);
        }
        let sql = "UPDATE mesh_inboxes i SET last_seq = w.seq, last_stamp = w.stamp, version = i.version + 1 \
                   FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS w (name, seq, stamp) WHERE i.name = w.name";
        Step::new(sql).with(names).with(sequences).with(stamps)
    }

    fn deliveries_step(&mut self) -> Step<'static> {
        let changed: Vec<_> =
            std::mem::take(&mut self.changed).iter().filter_map(|id| self.found.get(id)).cloned().collect();
        let text = |text: Option<&String>| text.map(|text| Text::owned(text));
        let column = |get: fn(&super::delivery::Found) -> Option<&String>| {
            changed.iter().map(|found| text(get(found))).collect::<Vec<_>>()
        };
        let number = |get: fn(&super::delivery::Found) -> Option<Stamp>| {
            changed.iter().map(|found| get(found).map(Stamp::micros)).collect::<Vec<_>>()
        };
        let outcomes: Vec<Option<&'static str>> =
            changed.iter().map(|found| found.delivery.outcome.map(Outcome::as_str)).collect();
        let sql = "UPDATE mesh_messages m SET read_at = w.read_at, lease = w.lease, leased_until = w.leased_until, \
                   attempts = w.attempts, available_at = w.available_at, outcome = w.outcome, dead_at = w.dead_at, \
                   note = coalesce(w.note, m.note) FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], \
                   $5::bigint[], $6::bigint[], $7::text[], $8::bigint[], $9::text[]) AS w (id, read_at, lease, \
                   leased_until, attempts, available_at, outcome, dead_at, note) WHERE m.id = w.id";
        Step::new(sql)
            .with(changed.iter().map(|found| found.id).collect::<Vec<_>>())
            .with(column(|found| found.read_at.as_ref()))
            .with(column(|found| found.delivery.lease.as_ref().map(|lease| &lease.id)))
            .with(number(|found| found.delivery.lease.as_ref().map(|lease| lease.until)))
            .with(changed.iter().map(|found| i64::from(found.delivery.attempts)).collect::<Vec<_>>())
            .with(number(|found| Some(found.delivery.available_at)))
            .with(outcomes)
            .with(number(|found| found.delivery.dead_at))
            .with(column(|found| found.note.as_ref()))
    }
}
