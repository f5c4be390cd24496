//! Mail of a swarph gateway, read from its database and put into ours.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};

use super::stamp::Stamp;
use super::store::sqlite::failed;
use super::store::{
    Command, Digest, Imported, NewMessage, PeerRow, Reader as _, Store, StoreError, ThreadRow, Voucher,
};
use crate::kind::Kind;

/// Rows of one transaction.
const PORTION: usize = 200;

/// What was copied, and what was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// Messages copied, or there already under their ids.
    pub messages: usize,
    /// Names copied; one that is there already keeps its own token.
    pub peers: usize,
    /// Threads copied.
    pub threads: usize,
    /// Posts in channels, which there are none of here.
    pub left_out_posts: usize,
    /// Messages of kinds that nobody knows.
    pub left_out_kinds: usize,
}

/// Copies names, threads and messages. Ids, read marks and the digests of tokens stay what they are. Doing it twice changes nothing.
///
/// # Errors
/// The other database cannot be read, or the store not be written; what was copied until then is there.
pub fn import<S: Store>(from: &Path, store: &mut S) -> Result<Import, StoreError> {
    if !from.exists() {
        return Err(StoreError::Failed(format!("{} is not there", from.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let other = Connection::open_with_flags(from, flags).map_err(failed)?;
    other.pragma_update(None, "query_only", 1).map_err(failed)?;
    let is_swarph = other
        .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'claude_messages'")
        .and_then(|mut statement| statement.exists([]))
        .map_err(failed)?;
    if !is_swarph {
        return Err(StoreError::Foreign {
            path: from.display().to_string(),
            hint: "; swarph's was expected",
        });
    }
    let mut import = Import::default();
    let known = store.reader()?.known()?;
    let mut commands = Vec::new();
    for peer in peers(&other).map_err(failed)? {
        import.peers += 1;
        if !known.peers.iter().any(|ours| ours.name == peer.name) {
            commands.push(Command::PutPeer { peer: Box::new(peer), was: None });
        }
    }
    for thread in threads(&other).map_err(failed)? {
        import.threads += 1;
        commands.push(Command::PutThread(thread));
    }
    write(store, &mut commands)?;
    let sql = "SELECT id, from_node, to_node, kind, content, thread_id, related_task_id, created_at, read_at, channel \
               FROM claude_messages ORDER BY id";
    let mut statement = other.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        match message(row).map_err(failed)? {
            Found::Message(message) => {
                import.messages += 1;
                commands.push(Command::Import(message));
            }
            Found::Post => import.left_out_posts += 1,
            Found::UnknownKind => import.left_out_kinds += 1,
        }
        if commands.len() >= PORTION {
            write(store, &mut commands)?;
        }
    }
    write(store, &mut commands)?;
    Ok(import)
}

fn write<S: Store>(store: &mut S, commands: &mut Vec<Command>) -> Result<(), StoreError> {
    if !commands.is_empty() {
        // None of these commands is ever refused.
        store.apply(Stamp::now(), commands)?;
        commands.clear();
    }
    Ok(())
}

enum Found {
    Message(Box<Imported>),
    Post,
    UnknownKind,
}

fn message(row: &Row<'_>) -> rusqlite::Result<Found> {
    let channel: Option<String> = row.get(9)?;
    if channel.is_some() {
        return Ok(Found::Post);
    }
    let kind: String = row.get(3)?;
    let Ok(kind) = kind.parse::<Kind>() else { return Ok(Found::UnknownKind) };
    let content: String = row.get(4)?;
    let message = NewMessage {
        from_node: row.get(1)?,
        to_nodes: vec![row.get(2)?],
        is_fan_out: false,
        kind,
        content_json: serde_json::Value::from(content).to_string(),
        thread_id: row.get(5)?,
        related_task_id: row.get::<_, Option<i64>>(6)?.map(|task| task.to_string()),
        expires_at: None,
        reply_to: None,
        ack_required: false,
        priority: 0,
        // Whoever sent it there: this gateway has not seen the token.
        voucher: Voucher::Operator,
        key: None,
        max_depth: None,
    };
    Ok(Found::Message(Box::new(Imported {
        id: row.get(0)?,
        created_at: row.get(7)?,
        read_at: row.get(8)?,
        message,
    })))
}

/// All names, each with the digest of its last token unless that was revoked.
fn peers(other: &Connection) -> rusqlite::Result<Vec<PeerRow>> {
    let sql = "SELECT p.name, p.url, p.capabilities, p.registered_at, p.last_seen, p.enabled, \
               (SELECT t.token_sha256 FROM peer_tokens t WHERE t.peer = p.name \
                AND coalesce((SELECT r.action FROM peer_token_revocations r WHERE r.peer = t.peer \
                              AND r.key_generation = t.key_generation ORDER BY r.id DESC LIMIT 1), '') != 'revoke' \
                ORDER BY t.key_generation DESC LIMIT 1) \
               FROM claude_peers p ORDER BY p.name";
    let mut statement = other.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let capabilities: String = row.get(2)?;
        let token: Option<String> = row.get(6)?;
        Ok(PeerRow {
            name: row.get(0)?,
            url: row.get(1)?,
            capabilities: serde_json::from_str(&capabilities).unwrap_or_default(),
            registered_at: row.get(3)?,
            last_seen: row.get(4)?,
            is_enabled: row.get(5)?,
            token: token.as_deref().and_then(from_hex),
            online_until: None,
        })
    })?;
    rows.collect()
}

fn threads(other: &Connection) -> rusqlite::Result<Vec<ThreadRow>> {
    let sql = "SELECT thread_uuid, thread_name, session_id, created_at, coalesce(last_used_at, created_at) FROM claude_threads";
    let mut statement = other.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(ThreadRow {
            uuid: row.get(0)?,
            name: row.get(1)?,
            session_id: row.get(2)?,
            created_at: row.get(3)?,
            last_used_at: row.get(4)?,
        })
    })?;
    rows.collect()
}

fn from_hex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(digest)
}
