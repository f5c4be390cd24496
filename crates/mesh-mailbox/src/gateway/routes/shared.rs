//! What several peers share: threads with names, and groups.

use serde_json::{Value, json};

use super::{Call, Shared};
use crate::gateway::directory::{Caller, Denied};
use crate::gateway::draft::{MAX_ID_CHARS, MAX_NAME_CHARS, MAX_RECIPIENTS};
use crate::gateway::fault::Fields;
use crate::gateway::reply::{Problem, Reply};
use crate::gateway::stamp::Stamp;
use crate::gateway::store::{Command, Done, GroupRow, Reader as _, Store, ThreadRow};

/// Most characters of what a group is for.
const MAX_DESCRIPTION: usize = 1000;

/// A thread as the Python gateway answers it: `PAIR:TOPIC` in its name is told apart.
fn thread_row(thread: &ThreadRow) -> Value {
    let (pair, topic) = thread.name.split_once(':').unwrap_or((&thread.name, ""));
    json!({
        "thread_uuid": thread.uuid,
        "thread_name": thread.name,
        "peer_pair": pair,
        "topic": topic,
        "session_id": thread.session_id,
        "created_at": thread.created_at,
        "last_used_at": thread.last_used_at,
    })
}

impl<S: Store> Shared<S> {
    pub(super) async fn mint_thread(&self, call: &Call, body: &[u8]) -> Result<Reply, Problem> {
        call.caller.scope()?;
        let mut fields = Fields::of(body)?;
        let name = fields.text("thread_name", MAX_ID_CHARS);
        let session_id = fields.optional_text("session_id", MAX_ID_CHARS);
        fields.end()?;
        let uuid = uuid::Uuid::new_v4().to_string();
        match self.done(Command::Thread { name, uuid, session_id }).await? {
            Done::Thread { thread, is_new } => {
                let mut row = thread_row(&thread);
                row["created"] = is_new.into();
                Ok(Reply::json(&row))
            }
            _ => Err(Problem::busy()),
        }
    }

    pub(super) async fn threads(&self, call: &Call) -> Result<Reply, Problem> {
        call.caller.scope()?;
        let threads = self.engine.look(|reader| reader.threads(None)).await?;
        Ok(Reply::json(&json!({ "threads": threads.iter().map(thread_row).collect::<Vec<_>>() })))
    }

    pub(super) async fn thread(&self, call: &Call, uuid: &str) -> Result<Reply, Problem> {
        call.caller.scope()?;
        let uuid = uuid.to_owned();
        let threads = self.engine.look(move |reader| reader.threads(Some(&uuid))).await?;
        match threads.first() {
            Some(thread) => Ok(Reply::json(&thread_row(thread))),
            None => Err(Problem::new(404, "thread not found")),
        }
    }

    pub(super) fn groups(&self) -> Reply {
        let rows: Vec<Value> = self
            .directory()
            .groups()
            .map(|group| {
                json!({
                    "name": group.name,
                    "description": group.description,
                    "kind": "role",
                    "created_by": group.created_by,
                    "created_at": group.created_at,
                    "member_count": group.members.len(),
                })
            })
            .collect();
        Reply::json(&json!({ "groups": rows }))
    }

    pub(super) async fn put_group(&self, call: &Call, body: &[u8]) -> Result<Reply, Problem> {
        let by = self.speaker(&call.caller)?;
        let mut fields = Fields::of(body)?;
        let name = fields.text("name", MAX_NAME_CHARS);
        let description = fields.optional_text("description", MAX_DESCRIPTION);
        let members = fields.optional_texts("members", MAX_NAME_CHARS, MAX_RECIPIENTS);
        fields.end()?;
        let before = self.directory().group(&name).cloned();
        if let Some(before) = &before {
            may_change(&call.caller, before)?;
        }
        let mut group = before.clone().unwrap_or_else(|| GroupRow {
            name,
            description: String::new(),
            created_by: by,
            created_at: Stamp::now().to_string(),
            members: Vec::new(),
        });
        group.description = description.unwrap_or(group.description);
        if let Some(members) = members {
            group.members = members;
        }
        self.store_group(group, before).await
    }

    /// The name under which a caller makes something.
    fn speaker(&self, caller: &Caller) -> Result<String, Problem> {
        caller.scope()?;
        Ok(caller.name().unwrap_or("operator").to_owned())
    }

    async fn store_group(&self, mut group: GroupRow, was: Option<GroupRow>) -> Result<Reply, Problem> {
        group.members.sort();
        group.members.dedup();
        if group.members.len() > MAX_RECIPIENTS {
            return Err(Problem::new(400, format!("a group has at most {MAX_RECIPIENTS} members")));
        }
        for member in &group.members {
            self.directory().is_registered(member)?;
        }
        self.done(Command::PutGroup { group: group.clone(), was }).await?;
        self.directory_mut().put_group(group.clone());
        Ok(Reply::json(&json!({"name": group.name, "members": group.members})))
    }

    fn group(&self, name: &str) -> Result<GroupRow, Problem> {
        self.directory()
            .group(name)
            .cloned()
            .ok_or_else(|| Problem::unknown(format!("group '{name}' does not exist")))
    }

    pub(super) fn members(&self, name: &str) -> Result<Reply, Problem> {
        let group = self.group(name)?;
        Ok(Reply::json(&json!({"name": group.name, "members": group.members})))
    }

    pub(super) async fn drop_group(&self, call: &Call, name: &str) -> Result<Reply, Problem> {
        may_change(&call.caller, &self.group(name)?)?;
        self.done(Command::DropGroup(name.to_owned())).await?;
        self.directory_mut().drop_group(name);
        Ok(Reply::json(&json!({"name": name, "status": "deleted"})))
    }

    pub(super) async fn add_member(&self, call: &Call, name: &str, body: &[u8]) -> Result<Reply, Problem> {
        let mut fields = Fields::of(body)?;
        let peer = fields.text("peer", MAX_NAME_CHARS);
        fields.end()?;
        let was = self.group(name)?;
        may_change(&call.caller, &was)?;
        let mut group = was.clone();
        group.members.push(peer);
        self.store_group(group, Some(was)).await
    }

    pub(super) async fn remove_member(&self, call: &Call, name: &str, peer: &str) -> Result<Reply, Problem> {
        let was = self.group(name)?;
        // Whoever is in a group may leave it.
        if call.caller.name() != Some(peer) {
            may_change(&call.caller, &was)?;
        }
        let mut group = was.clone();
        group.members.retain(|member| member != peer);
        self.store_group(group, Some(was)).await
    }
}

/// Lets a group be changed by who made it, and by the operator.
fn may_change(caller: &Caller, group: &GroupRow) -> Result<(), Problem> {
    let is_theirs = match caller {
        Caller::Operator => true,
        Caller::Peer(own) => *own == group.created_by,
        Caller::Invited(_) => false,
    };
    if is_theirs {
        Ok(())
    } else {
        Err(Denied::NotYours { what: format!("change group {}", group.name) }.into())
    }
}
