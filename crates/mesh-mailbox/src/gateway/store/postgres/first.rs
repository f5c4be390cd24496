//! What a batch needs before anything else: the names in its commands, and the statements that lock and read them.

use std::collections::BTreeSet;

use super::step::Step;
use super::text::Text;
use crate::gateway::store::{Command, SendKey};

/// The moment in microseconds, as the database has it.
pub(super) const CLOCK: &str = "(extract(epoch from clock_timestamp()) * 1000000)::bigint";

/// What the commands of a batch name.
#[derive(Default)]
pub(super) struct Named {
    pub(super) inboxes: BTreeSet<String>,
    pub(super) messages: BTreeSet<i64>,
    /// Messages whose inboxes will have news.
    pub(super) returned: BTreeSet<i64>,
    pub(super) keys: BTreeSet<(String, String)>,
    pub(super) imported: BTreeSet<i64>,
    pub(super) ids: usize,
}

impl Named {
    pub(super) fn of(commands: &[Command]) -> Named {
        let mut named = Named::default();
        for command in commands {
            match command {
                Command::Append(message) => {
                    named.inboxes.extend(message.to_nodes.iter().cloned());
                    named.ids += message.to_nodes.len();
                    let pair = |key: &SendKey| (key.sender.clone(), key.key.clone());
                    named.keys.extend(message.key.as_ref().map(pair));
                }
                Command::Import(imported) => {
                    named.inboxes.extend(imported.message.to_nodes.iter().cloned());
                    named.imported.insert(imported.id);
                }
                Command::Read { id, .. } | Command::Ack { id, .. } | Command::Extend { id, .. } => {
                    named.messages.insert(*id);
                }
                Command::Nack { id, .. } | Command::Requeue { id, .. } => {
                    named.messages.insert(*id);
                    named.returned.insert(*id);
                }
                Command::Claim { .. }
                | Command::PutPeer { .. }
                | Command::Join { .. }
                | Command::Invite(_)
                | Command::Seen(_)
                | Command::Thread { .. }
                | Command::PutThread(_)
                | Command::PutGroup { .. }
                | Command::DropGroup(_)
                | Command::Sweep(_) => {}
            }
        }
        named
    }
}

pub(super) fn find(ids: Vec<i64>) -> Step<'static> {
    let columns = super::delivery::FOUND;
    let sql =
        format!("SELECT {columns} FROM mesh_messages WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE");
    Step::new(sql).with(ids)
}

pub(super) fn make_inboxes(names: Vec<Text<'static>>) -> Step<'static> {
    let sql = "INSERT INTO mesh_inboxes (name) SELECT w.name FROM unnest($1::text[]) AS w (name) ORDER BY w.name \
               ON CONFLICT (name) DO NOTHING";
    Step::new(sql).with(names)
}

/// Locks inboxes by name: those named, those of returned messages, and those of senders who will be told that they are dead.
pub(super) fn lock_inboxes(names: Vec<Text<'static>>, returned: Vec<i64>) -> Step<'static> {
    if returned.is_empty() {
        let sql = "SELECT name, last_seq, last_stamp FROM mesh_inboxes WHERE name = ANY($1::text[]) ORDER BY name FOR UPDATE";
        return Step::new(sql).with(names);
    }
    let sql = format!(
        "SELECT name, last_seq, last_stamp FROM mesh_inboxes WHERE name = ANY($1::text[] \
         || ARRAY(SELECT inbox FROM mesh_messages WHERE id = ANY($2::bigint[])) \
         || ARRAY(SELECT sender FROM mesh_messages WHERE id = ANY($2::bigint[]) AND attempts >= {})) ORDER BY name FOR UPDATE",
        crate::gateway::lease::MAX_ATTEMPTS
    );
    Step::new(sql).with(names).with(returned)
}

/// Ids, and the moment; without ids only the moment.
pub(super) fn more_ids(count: usize) -> Step<'static> {
    if count == 0 {
        return Step::new(format!("SELECT NULL::bigint, {CLOCK}"));
    }
    let sql = format!("SELECT nextval('mesh_ids'), {CLOCK} FROM generate_series(1, $1::bigint)");
    Step::new(sql).with(i64::try_from(count).unwrap_or(i64::MAX))
}
