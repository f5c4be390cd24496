//! Sending and fetching.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Call, Shared, held, reserve};
use crate::gateway::directory::{Caller, Denied};
use crate::gateway::draft::{Draft, MAX_ID_CHARS, Target};
use crate::gateway::fault::{Faults, Fields, length_fault};
use crate::gateway::metrics::count;
use crate::gateway::query::{Look, integer};
use crate::gateway::reply::{Picture, Problem, Reply};
use crate::gateway::stamp::Stamp;
use crate::gateway::store::{Command, Digest, Done, NewMessage, Page, Reader as _, SendKey, Store, Voucher};

/// Most messages of a batch. From the mailbox's design.
const MAX_BATCH: usize = 100;

impl<S: Store> Shared<S> {
    pub(super) async fn send(&self, call: &Call, body: &[u8]) -> Result<Reply, Problem> {
        let mut draft = Draft::parse(body)?;
        draft.key = one_key(draft.key, call.idempotency_key.as_ref())?;
        let message = self.admitted(&call.caller, draft).await?;
        self.admit_rate(&call.caller, 1)?;
        match self.done(Command::Append(Box::new(message))).await? {
            Done::Appended { answer, is_replay, .. } => Ok(self.sent(answer, is_replay)),
            _ => Err(Problem::busy()),
        }
    }

    fn sent(&self, answer: String, is_replay: bool) -> Reply {
        count(if is_replay { &self.metrics.replays } else { &self.metrics.sends });
        let reply = Reply::raw(answer);
        if is_replay { reply.with("idempotency-replayed", "true") } else { reply }
    }

    fn admit_rate(&self, caller: &Caller, sends: usize) -> Result<(), Problem> {
        match caller.name() {
            None => Ok(()),
            Some(peer) => {
                let admitted = held(&self.rates).admit(peer, sends, Stamp::now(), &self.limits);
                admitted.map_err(Problem::too_fast)
            }
        }
    }

    /// Into whose inboxes a draft goes: its sender is the caller, its receivers are known.
    fn receivers(&self, caller: &Caller, draft: &Draft) -> Result<Vec<String>, Problem> {
        let directory = self.directory();
        directory.may_act_as(caller, &draft.from_node, "send as")?;
        let nodes = match &draft.to {
            Target::Node(node) => vec![node.clone()],
            Target::Nodes(nodes) => nodes.clone(),
            Target::Channel => return Err(Problem::not_here("a channel")),
            Target::Group(name) => {
                let group = directory
                    .group(name)
                    .ok_or_else(|| Problem::unknown(format!("group '{name}' does not exist")))?;
                let is_inside = group.members.contains(&draft.from_node);
                if caller.name().is_some_and(|own| !is_inside && own != group.created_by) {
                    let what = format!("write to group {name}, to which it does not belong");
                    return Err(Denied::NotYours { what }.into());
                }
                let others: Vec<String> =
                    group.members.iter().filter(|member| **member != draft.from_node).cloned().collect();
                if others.is_empty() {
                    return Err(Problem::new(400, format!("group '{name}' has no other members")));
                }
                others
            }
        };
        for node in &nodes {
            directory.is_registered(node)?;
        }
        Ok(nodes)
    }

    /// A draft as it may be stored.
    async fn admitted(&self, caller: &Caller, draft: Draft) -> Result<NewMessage, Problem> {
        let mut to_nodes = self.receivers(caller, &draft);
        if to_nodes.as_ref().is_err_and(|problem| problem.picture == Picture::PerhapsOld)
            && self.learn().await?
        {
            to_nodes = self.receivers(caller, &draft);
        }
        let to_nodes = to_nodes?;
        let digest = draft.key.is_some().then(|| digest_of(&draft));
        let is_fan_out = !matches!(draft.to, Target::Node(_));
        self.note_seen(&draft.from_node);
        if holds(&draft.content, &self.operator_token) {
            return Err(Problem::new(
                400,
                "the content holds the gateway's own token; send secrets by another way, and rotate this one",
            ));
        }
        let is_operator = *caller == Caller::Operator;
        let key = draft.key.zip(digest).map(|(key, digest)| SendKey {
            sender: draft.from_node.clone(),
            key,
            digest,
        });
        Ok(NewMessage {
            from_node: draft.from_node,
            to_nodes,
            is_fan_out,
            kind: draft.kind,
            content_json: Value::from(draft.content).to_string(),
            thread_id: draft.thread_id,
            related_task_id: draft.related_task_id,
            expires_at: draft.expires_at,
            reply_to: draft.reply_to,
            ack_required: draft.ack_required,
            priority: draft.priority,
            voucher: if is_operator { Voucher::Operator } else { Voucher::Peer },
            key,
            max_depth: (!is_operator).then_some(self.limits.inbox_depth),
        })
    }

    pub(super) async fn batch(&self, call: &Call, body: &[u8]) -> Result<Reply, Problem> {
        let mut whole: Value = serde_json::from_slice(body).map_err(|error| Faults::no_json(&error))?;
        let items = match whole.get_mut("messages").map(Value::take) {
            Some(Value::Array(items)) if (1..=MAX_BATCH).contains(&items.len()) => items,
            _ => {
                let mut fields = Fields::of_value(whole)?;
                fields.refuse("messages", "Input should be a list of 1 to 100 messages");
                fields.end()?;
                return Err(Problem::busy());
            }
        };
        self.admit_rate(&call.caller, items.len())?;
        // Those that can be stored go in one transaction; what comes of each stands at its place.
        let (mut commands, mut results) = (Vec::new(), Vec::new());
        for item in items {
            let message = match Draft::from_value(item) {
                Ok(draft) => self.admitted(&call.caller, draft).await,
                Err(error) => Err(error.into()),
            };
            results.push(match message {
                Ok(message) => {
                    commands.push(Command::Append(Box::new(message)));
                    Ok(())
                }
                Err(problem) => Err(problem),
            });
        }
        let mut answers =
            if commands.is_empty() { Vec::new() } else { self.engine.apply(commands).await? }.into_iter();
        let mut parts: Vec<String> = Vec::new();
        for result in results {
            let answered = match result {
                Err(problem) => Err(problem),
                Ok(()) => match answers.next() {
                    Some(Ok(Done::Appended { answer, is_replay, .. })) => Ok((answer, is_replay)),
                    Some(Err(refusal)) => Err(refusal.into()),
                    Some(Ok(_)) | None => Err(Problem::busy()),
                },
            };
            parts.push(match answered {
                Ok((answer, is_replay)) => {
                    count(if is_replay { &self.metrics.replays } else { &self.metrics.sends });
                    format!(r#"{{"status":200,"replayed":{is_replay},"body":{answer}}}"#)
                }
                Err(problem) => json!({"status": problem.status, "body": problem.body()}).to_string(),
            });
        }
        Ok(Reply::raw(format!(r#"{{"results":[{}],"n":{}}}"#, parts.join(","), parts.len())))
    }

    /// The look of a caller: its own inbox, what it sent itself, or for the operator anything.
    pub(super) fn allowed_look(&self, call: &Call) -> Result<Look, Problem> {
        let mut look = Look::parse(&call.query)?;
        if look.channel.is_some() {
            return Err(Problem::not_here("a channel"));
        }
        match &call.caller {
            Caller::Invited(_) => return Err(Denied::InviteOnly.into()),
            Caller::Operator => {}
            Caller::Peer(own) => match (&look.to, &look.from) {
                (Some(to), _) if to == own => {}
                (None, Some(from)) if from == own => {}
                (Some(to), _) => {
                    return Err(Denied::NotYours { what: format!("read the inbox of {to}") }.into());
                }
                (None, _) => look.to = Some(own.clone()),
            },
        }
        if look.to.is_none() && look.after.is_some() {
            let faults = Faults::one(
                "missing",
                &["query", "to"],
                "A cursor belongs to one inbox: name it",
                &Value::Null,
            );
            return Err(faults.into());
        }
        if let Some(to) = &look.to {
            self.note_seen(to);
        }
        Ok(look)
    }

    pub(super) async fn fetch(&self, call: &Call) -> Result<Reply, Problem> {
        let look = self.allowed_look(call)?;
        let deadline = Instant::now() + look.wait;
        let mut waiter = match &look.to {
            Some(inbox) if !look.wait.is_zero() => Some(self.hub.wait_for(inbox)),
            _ => None,
        };
        let mut stopping = self.stopping.clone();
        loop {
            if let Some(waiter) = &mut waiter {
                waiter.look();
            }
            let is_stopping = *stopping.borrow();
            let (page, body) = self.page(look.clone()).await?;
            let is_over = page.count > 0 || is_stopping || Instant::now() >= deadline;
            let Some(waiter) = waiter.as_mut().filter(|_| !is_over) else {
                let reply = Reply::raw(body);
                return Ok(if is_stopping { reply.with("connection", "close") } else { reply });
            };
            drop(body);
            tokio::select! {
                () = waiter.woken() => {}
                () = tokio::time::sleep_until(deadline) => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// One page as an answer's body. Its memory is given back when the last byte has left.
    async fn page(&self, look: Look) -> Result<(Page, Bytes), Problem> {
        let page_bytes = self.limits.page_bytes;
        let permit = reserve(&self.answers, page_bytes).await?;
        let found = self.engine.look(move |reader| {
            let mut out = Vec::with_capacity(4096);
            out.extend_from_slice(br#"{"messages":["#);
            let page = reader.page(Stamp::now(), &look, page_bytes, &mut out)?;
            let tail = match (look.to.is_some(), page.last.or(look.after)) {
                (true, next) => format!(r#"],"n":{},"next":{}}}"#, page.count, next.unwrap_or(0)),
                (false, _) => format!(r#"],"n":{}}}"#, page.count),
            };
            out.extend_from_slice(tail.as_bytes());
            Ok((page, out))
        });
        let (page, out) = found.await?;
        Ok((page, Bytes::from_owner(Held { bytes: out, _permit: permit })))
    }

    pub(super) async fn message(&self, call: &Call, id: &str) -> Result<Reply, Problem> {
        let scope = call.caller.scope()?;
        let id = message_id(id)?;
        let found = self.engine.look(move |reader| reader.message(id)).await?;
        let found = found.ok_or_else(|| Problem::new(404, "message not found"))?;
        if !scope.reaches(&found.to_node) && !scope.reaches(&found.from_node) {
            return Err(Problem::new(403, "this message is another's"));
        }
        Ok(Reply::raw(found.row))
    }
}

/// Bytes of an answer with their share of the memory.
struct Held {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The id in an address.
pub(super) fn message_id(text: &str) -> Result<i64, Problem> {
    let mut faults = Faults::default();
    match integer(text, i64::MIN, i64::MAX, &["path", "msg_id"], &mut faults) {
        Some(id) => Ok(id),
        None => Err(faults.into()),
    }
}

/// The key of a send, from its body or its header.
fn one_key(body: Option<String>, header: Option<&Result<String, ()>>) -> Result<Option<String>, Problem> {
    let Some(header) = header else { return Ok(body) };
    let header = header.as_ref().ok().filter(|key| length_fault(key, MAX_ID_CHARS).is_none());
    let header =
        header.ok_or_else(|| Problem::new(400, "Idempotency-Key has to be 1 to 128 printable characters"))?;
    match body {
        Some(body) if body != *header => {
            Err(Problem::new(400, "Idempotency-Key and idempotency_key name two keys"))
        }
        _ => Ok(Some(header.clone())),
    }
}

/// A digest of all that makes a message this message; each part with its length, so that no two texts run together.
fn digest_of(draft: &Draft) -> Digest {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    part(&draft.from_node);
    match &draft.to {
        Target::Node(node) => part(node),
        Target::Nodes(nodes) => part(&format!("nodes {nodes:?}")),
        Target::Group(group) => part(&format!("group {group:?}")),
        Target::Channel => part("channel"),
    }
    part(draft.kind.as_str());
    part(&draft.content);
    for optional in [&draft.thread_id, &draft.related_task_id] {
        part(if optional.is_some() { "some" } else { "none" });
        part(optional.as_deref().unwrap_or_default());
    }
    part(&format!("{:?} {:?} {} {}", draft.expires_at, draft.reply_to, draft.ack_required, draft.priority));
    hash.finalize().into()
}

/// Whether a text holds a token. A short one is no secret, and would be found everywhere.
fn holds(content: &str, token: &str) -> bool {
    /// From the Python client: a live token has at least so many characters.
    const MIN_TOKEN: usize = 16;
    token.len() >= MIN_TOKEN && memchr::memmem::find(content.as_bytes(), token.as_bytes()).is_some()
}

/// A wait in a body, at most so long as in a query.
pub(super) fn wait_of(fields: &mut Fields) -> Duration {
    fields.optional_seconds("wait", 0.0, 3600.0).unwrap_or_default().min(Duration::from_secs(60))
}

/// So that the stream can share them.
pub(super) type SharedRef<S> = Arc<Shared<S>>;
