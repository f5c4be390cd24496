//! Commands, in batches: one transaction, one sync.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Place, failed, known, read::SqliteReader};
use crate::gateway::stamp::Stamp;
use crate::gateway::store::row::{self, Stored, answer};
use crate::gateway::store::{
    Command, Digest, Done, GroupRow, Imported, InviteRow, NewMessage, PeerRow, Refusal, Seen, SendKey, Store,
    StoreError, ThreadRow,
};

/// What a command came to: `Err` breaks the whole batch.
pub(super) type Answer = Result<Result<Done, Refusal>, rusqlite::Error>;

/// The writing end of a database. It alone writes, so what it counts in memory is true.
#[derive(Debug)]
pub struct Sqlite {
    place: Place,
    connection: Connection,
    /// `None` after a batch that failed: read anew before the next.
    tally: Option<Tally>,
}

/// What would otherwise be asked of the database again and again.
#[derive(Debug, Default)]
pub(super) struct Tally {
    next_id: i64,
    last_stamp: Stamp,
    inboxes: HashMap<String, InboxTally>,
    touched: HashSet<String>,
    /// How far the sweep through all messages has come.
    pub(super) swept_to: i64,
}

/// One inbox's counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InboxTally {
    pub(super) last_seq: i64,
    pub(super) unread: u64,
}

/// A batch at work.
pub(super) struct Batch<'s> {
    pub(super) db: &'s Connection,
    pub(super) tally: &'s mut Tally,
    pub(super) now: Stamp,
}

impl Sqlite {
    /// Opens a database, and makes one that is not there. The caller holds its [`StoreLock`](super::StoreLock).
    ///
    /// # Errors
    /// It is none of ours, of a newer version, damaged, or cannot be opened.
    pub fn open(place: Place) -> Result<Sqlite, StoreError> {
        let connection = place.open_writer()?;
        let tally = Tally::load(&connection).map_err(failed)?;
        Ok(Sqlite { place, connection, tally: Some(tally) })
    }

    fn run(
        &mut self,
        now: Stamp,
        commands: &[Command],
    ) -> Result<Vec<Result<Done, Refusal>>, rusqlite::Error> {
        let mut tally = match self.tally.take() {
            Some(tally) => tally,
            None => Tally::load(&self.connection)?,
        };
        let db = &self.connection;
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut batch = Batch { db, tally: &mut tally, now };
        let worked = commands.iter().map(|command| batch.command(command)).collect::<Result<Vec<_>, _>>();
        let ended = worked.and_then(|answers| {
            batch.save_tally()?;
            db.prepare_cached("COMMIT")?.execute([])?;
            Ok(answers)
        });
        match ended {
            Ok(answers) => {
                self.tally = Some(tally);
                Ok(answers)
            }
            Err(error) => {
                if !db.is_autocommit() {
                    // The failure itself is told; a rollback that fails too is found by the next BEGIN.
                    let _ = db.execute_batch("ROLLBACK");
                }
                Err(error)
            }
        }
    }
}

impl Store for Sqlite {
    type Reader = SqliteReader;

    fn apply(&mut self, now: Stamp, batch: &[Command]) -> Result<Vec<Result<Done, Refusal>>, StoreError> {
        self.run(now, batch).map_err(failed)
    }

    fn reader(&self) -> Result<SqliteReader, StoreError> {
        SqliteReader::open(&self.place)
    }
}

impl Tally {
    fn load(db: &Connection) -> rusqlite::Result<Tally> {
        let counter = "SELECT value FROM counters WHERE name = 'next_id'";
        let next_id = db.query_row(counter, [], |row| row.get(0)).optional()?.unwrap_or(1);
        let newest = "SELECT created_at FROM messages ORDER BY id DESC LIMIT 1";
        let newest: Option<String> = db.query_row(newest, [], |row| row.get(0)).optional()?;
        let mut inboxes: HashMap<String, InboxTally> = HashMap::new();
        let mut statement = db.prepare("SELECT name, last_seq FROM inboxes")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            inboxes.insert(row.get(0)?, InboxTally { last_seq: row.get(1)?, unread: 0 });
        }
        let unread =
            "SELECT inbox, count(*) FROM messages WHERE read_at IS NULL AND dead_at IS NULL GROUP BY inbox";
        let mut statement = db.prepare(unread)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            inboxes.entry(row.get(0)?).or_default().unread = row.get::<_, i64>(1)?.unsigned_abs();
        }
        let last_stamp = newest.and_then(|text| Stamp::parse(&text)).unwrap_or_default();
        Ok(Tally { next_id, last_stamp, inboxes, touched: HashSet::new(), swept_to: 0 })
    }

    /// One message less that waits to be read.
    pub(super) fn settle(&mut self, inbox: &str) {
        if let Some(tally) = self.inboxes.get_mut(inbox) {
            tally.unread = tally.unread.saturating_sub(1);
        }
    }

    /// One more.
    pub(super) fn reopen(&mut self, inbox: &str) {
        self.inboxes.entry(inbox.to_owned()).or_default().unread += 1;
    }

    /// Moments that rise with the ids, also when the clock goes back: `since` finds whatever came later.
    fn stamp(&mut self, now: Stamp) -> Stamp {
        self.last_stamp = now.max(self.last_stamp.plus(std::time::Duration::from_micros(1)));
        self.last_stamp
    }
}

impl Batch<'_> {
    fn command(&mut self, command: &Command) -> Answer {
        match command {
            Command::Append(message) => self.append(message),
            Command::Import(imported) => self.import(imported),
            Command::Read { id, by } => self.read(*id, by),
            Command::Claim { inbox, max, lease, kind, thread_id } => {
                self.claim(inbox, *max, *lease, *kind, thread_id.as_deref())
            }
            Command::Ack { id, by, lease, outcome, note } => {
                self.ack(*id, by, lease.as_deref(), *outcome, note.as_deref())
            }
            Command::Nack { id, by, lease, delay } => self.nack(*id, by, lease, *delay),
            Command::Extend { id, by, lease, time } => self.extend(*id, by, lease, *time),
            Command::Requeue { id, by } => self.requeue(*id, by),
            Command::PutPeer { peer, was } => {
                let there = known::peer(self.db, &peer.name)?;
                let is_still = match (&there, was) {
                    (None, None) => true,
                    (Some(there), Some(was)) => there.is_still(was),
                    _ => false,
                };
                if is_still { self.put_peer(peer) } else { Ok(Err(Refusal::Changed)) }
            }
            Command::Join { peer, invite } => self.join(peer, invite),
            Command::Invite(invite) => self.invite(invite),
            Command::Seen(peers) => self.seen(peers),
            Command::Thread { name, uuid, session_id } => self.thread(name, uuid, session_id.as_deref()),
            Command::PutThread(thread) => self.put_thread(thread),
            Command::PutGroup { group, was } => {
                let is_still = known::group(self.db, &group.name)? == *was;
                if is_still { self.put_group(group) } else { Ok(Err(Refusal::Changed)) }
            }
            Command::DropGroup(name) => {
                self.db.prepare_cached("DELETE FROM groups WHERE name = ?1")?.execute([name])?;
                Ok(Ok(Done::Stored))
            }
            Command::Sweep(retention) => self.sweep(retention.as_ref()),
        }
    }

    fn append(&mut self, message: &NewMessage) -> Answer {
        if let Some(key) = &message.key
            && let Some(before) = self.sent_before(key)?
        {
            return Ok(before);
        }
        if let Some(max) = message.max_depth {
            let unread = |inbox: &String| self.tally.inboxes.get(inbox).map_or(0, |tally| tally.unread);
            if let Some(full) = message.to_nodes.iter().find(|inbox| unread(inbox) >= max) {
                return Ok(Err(Refusal::Full { inbox: full.clone() }));
            }
        }
        let mut stored = Vec::with_capacity(message.to_nodes.len());
        for to_node in &message.to_nodes {
            stored.push((to_node, self.store(message, to_node)?));
        }
        let answer = answer(message, &stored);
        if let Some(SendKey { sender, key, digest }) = &message.key {
            self.db
                .prepare_cached("INSERT INTO send_keys (sender, key, digest, answer, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![sender, key, digest, answer, self.now.micros()])?;
        }
        Ok(Ok(Done::Appended { answer, is_replay: false, inboxes: message.to_nodes.clone() }))
    }

    fn sent_before(&self, key: &SendKey) -> rusqlite::Result<Option<Result<Done, Refusal>>> {
        let sql = "SELECT digest, answer FROM send_keys WHERE sender = ?1 AND key = ?2";
        let before = self
            .db
            .prepare_cached(sql)?
            .query_row([&key.sender, &key.key], |row| {
                Ok((row.get::<_, Digest>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        Ok(before.map(|(digest, answer)| {
            if digest == key.digest {
                Ok(Done::Appended { answer, is_replay: true, inboxes: Vec::new() })
            } else {
                Err(Refusal::KeyConflict)
            }
        }))
    }

    /// Puts one message into one inbox.
    pub(super) fn store(&mut self, message: &NewMessage, to_node: &str) -> rusqlite::Result<Stored> {
        let id = self.tally.next_id;
        let created_at = self.tally.stamp(self.now).to_string();
        let seq = self.insert(id, message, to_node, &created_at, None)?;
        Ok(Stored { id, seq, created_at })
    }

    fn insert(
        &mut self,
        id: i64,
        message: &NewMessage,
        to_node: &str,
        created_at: &str,
        read_at: Option<&str>,
    ) -> rusqlite::Result<i64> {
        // The name is copied only for an inbox that this process has not seen.
        if !self.tally.inboxes.contains_key(to_node) {
            self.tally.inboxes.insert(to_node.to_owned(), InboxTally::default());
        }
        let seq = match self.tally.inboxes.get_mut(to_node) {
            Some(inbox) => {
                inbox.last_seq += 1;
                inbox.unread += u64::from(read_at.is_none());
                inbox.last_seq
            }
            None => 1,
        };
        if !self.tally.touched.contains(to_node) {
            self.tally.touched.insert(to_node.to_owned());
        }
        self.tally.next_id = self.tally.next_id.max(id.saturating_add(1));
        self.db
            .prepare_cached(
                "INSERT INTO messages (id, inbox, seq, read_at, expires_at, priority, verified, sender, kind, thread, \
                 created_at, head) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                id,
                to_node,
                seq,
                read_at,
                message.expires_at.map(Stamp::micros),
                message.priority,
                row::voucher_number(message.voucher),
                message.from_node,
                message.kind.as_str(),
                message.thread_id,
                created_at,
                row::head(id, to_node, created_at, message),
            ])?;
        Ok(seq)
    }

    /// Keeps the id of an imported message, unless another message has it; the same message again is left alone.
    fn import(&mut self, imported: &Imported) -> Answer {
        let message = &imported.message;
        let there: Option<(String, String)> = self
            .db
            .prepare_cached("SELECT sender, created_at FROM messages WHERE id = ?1")?
            .query_row([imported.id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if there
            .as_ref()
            .is_some_and(|(sender, at)| (sender, at) == (&message.from_node, &imported.created_at))
        {
            return Ok(Ok(Done::Stored));
        }
        let same = "SELECT 1 FROM messages WHERE inbox = ?1 AND sender = ?2 AND created_at = ?3";
        let read_at = imported.read_at.as_deref();
        for to_node in &message.to_nodes {
            let key = [to_node, &message.from_node, &imported.created_at];
            if there.is_some() && self.db.prepare_cached(same)?.exists(key)? {
                continue;
            }
            let id = if there.is_some() { self.tally.next_id } else { imported.id };
            self.insert(id, message, to_node, &imported.created_at, read_at)?;
        }
        Ok(Ok(Done::Stored))
    }

    fn save_tally(&mut self) -> rusqlite::Result<()> {
        if self.tally.touched.is_empty() {
            return Ok(());
        }
        let mut save = self.db.prepare_cached(
            "INSERT INTO inboxes (name, last_seq) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET last_seq = ?2",
        )?;
        for inbox in self.tally.touched.drain() {
            let last_seq = self.tally.inboxes.get(&inbox).map_or(0, |tally| tally.last_seq);
            save.execute(params![inbox, last_seq])?;
        }
        self.db
            .prepare_cached(
                "INSERT INTO counters (name, value) VALUES ('next_id', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1",
            )?
            .execute([self.tally.next_id])?;
        Ok(())
    }

    fn put_peer(&mut self, peer: &PeerRow) -> Answer {
        let capabilities = serde_json::to_string(&peer.capabilities).unwrap_or_else(|_| "{}".to_owned());
        self.db
            .prepare_cached(
                "INSERT INTO peers (name, url, capabilities, registered_at, last_seen, enabled, token) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO UPDATE SET url = ?2, capabilities = ?3, \
                 registered_at = ?4, last_seen = ?5, enabled = ?6, token = ?7",
            )?
            .execute(params![
                peer.name,
                peer.url,
                capabilities,
                peer.registered_at,
                peer.last_seen,
                peer.is_enabled,
                peer.token
            ])?;
        Ok(Ok(Done::Stored))
    }

    fn join(&mut self, peer: &PeerRow, invite: &Digest) -> Answer {
        let found = self
            .db
            .prepare_cached("SELECT name, expires_at FROM invites WHERE token = ?1")?
            .query_row([invite], |row| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, i64>(1)?)))
            .optional()?;
        let is_good = found.is_some_and(|(name, expires_at)| {
            name.is_none_or(|name| name == peer.name) && self.now.micros() < expires_at
        });
        if !is_good {
            return Ok(Err(Refusal::BadInvite));
        }
        self.db.prepare_cached("DELETE FROM invites WHERE token = ?1")?.execute([invite])?;
        self.put_peer(peer)
    }

    fn invite(&mut self, invite: &InviteRow) -> Answer {
        self.db
            .prepare_cached("INSERT OR REPLACE INTO invites (token, name, expires_at) VALUES (?1, ?2, ?3)")?
            .execute(params![invite.token, invite.name, invite.expires_at.micros()])?;
        Ok(Ok(Done::Stored))
    }

    fn seen(&mut self, peers: &[Seen]) -> Answer {
        let mut note = self.db.prepare_cached(
            "UPDATE peers SET last_seen = ?2, online_until = coalesce(?3, online_until) WHERE name = ?1",
        )?;
        for Seen { name, at, online_until } in peers {
            note.execute(params![name, at.to_string(), online_until.map(Stamp::micros)])?;
        }
        Ok(Ok(Done::Stored))
    }

    fn thread(&mut self, name: &str, uuid: &str, session_id: Option<&str>) -> Answer {
        let now = self.now.to_string();
        let select = "SELECT uuid, name, session_id, created_at, last_used_at FROM threads WHERE name = ?1";
        let found = self.db.prepare_cached(select)?.query_row([name], super::read::thread).optional()?;
        let (thread, is_new) = match found {
            Some(found) => {
                self.db
                    .prepare_cached("UPDATE threads SET last_used_at = ?2 WHERE uuid = ?1")?
                    .execute(params![found.uuid, now])?;
                (ThreadRow { last_used_at: now, ..found }, false)
            }
            None => {
                self.db
                    .prepare_cached(
                        "INSERT INTO threads (uuid, name, session_id, created_at, last_used_at) VALUES (?1, ?2, ?3, ?4, ?4)",
                    )?
                    .execute(params![uuid, name, session_id, now])?;
                let (uuid, name) = (uuid.to_owned(), name.to_owned());
                let session_id = session_id.map(str::to_owned);
                (ThreadRow { uuid, name, session_id, created_at: now.clone(), last_used_at: now }, true)
            }
        };
        Ok(Ok(Done::Thread { thread, is_new }))
    }

    fn put_thread(&mut self, thread: &ThreadRow) -> Answer {
        self.db
            .prepare_cached(
                "INSERT OR IGNORE INTO threads (uuid, name, session_id, created_at, last_used_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                thread.uuid,
                thread.name,
                thread.session_id,
                thread.created_at,
                thread.last_used_at
            ])?;
        Ok(Ok(Done::Stored))
    }

    fn put_group(&mut self, group: &GroupRow) -> Answer {
        let members = serde_json::to_string(&group.members).unwrap_or_else(|_| "[]".to_owned());
        self.db
            .prepare_cached(
                "INSERT INTO groups (name, description, created_by, created_at, members) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (name) DO UPDATE SET description = ?2, members = ?5",
            )?
            .execute(params![group.name, group.description, group.created_by, group.created_at, members])?;
        Ok(Ok(Done::Stored))
    }
}
