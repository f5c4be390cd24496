//! A peer's way to a gateway: this project's or the Python one.
//!
//! - `call`: one request and its answer
//! - `error`: how it can fail
//! - `names`: the gateway's list of peers, kept for a while
//! - `tokens`: the tokens that gateways gave us, on disk
mod call;
mod error;
mod names;
mod tokens;

use std::time::Duration;

use mesh_client::http::{HttpClient, Proxy};
use serde_json::{Map, Value, json};

use crate::envelope::{Envelope, IdempotencyKey, Inbox, ThreadId};
use crate::error::MailboxError;
use crate::guard;
use crate::kind::Kind;
use crate::name::PeerName;
use call::{Call, Caller, base_url};
pub use error::ClientError;
pub use tokens::TokenFile;

/// Deadline of each part of a call. From the Python client.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Variable that names the gateway.
pub const GATEWAY_URL_VARIABLE: &str = "MESH_GATEWAY_URL";
/// Variable that holds the token.
pub const TOKEN_VARIABLE: &str = "MESH_GATEWAY_TOKEN";

/// How to reach a gateway, and as whom.
#[derive(Clone, Debug, Default)]
pub struct MailboxBuilder {
    node: String,
    gateway_url: Option<String>,
    token: Option<String>,
    timeout: Option<Duration>,
}

/// One peer's mailbox at one gateway.
///
/// ```no_run
/// use mesh_mailbox::{Kind, Look, Mailbox};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let alice = Mailbox::builder("alice").gateway_url("http://127.0.0.1:8788").token("...").build()?;
/// let message = alice.compose("bob", Kind::Question, "ready?")?;
/// alice.send(&message).await?;
/// for envelope in alice.fetch(&Look::unread()).await?.envelopes {
///     println!("{}: {}", envelope.from_node, envelope.content.unwrap_or_default());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Mailbox {
    node: String,
    caller: Caller,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox")
            .field("node", &self.node)
            .field("gateway", &self.caller.base)
            .finish_non_exhaustive()
    }
}

/// A message to be sent, checked: it can go out again and again under its key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outgoing {
    /// To whom.
    pub to: PeerName,
    /// What for.
    pub kind: Kind,
    /// What it says.
    pub content: String,
    /// Its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// The task that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related_task_id: Option<String>,
    /// The key under which it goes out, the same at every try.
    pub key: IdempotencyKey,
}

/// What the gateway said of a message that it stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Its number there.
    pub id: Option<i64>,
    /// Whether the gateway had stored it before.
    pub is_replay: bool,
    /// The whole answer.
    pub answer: Value,
}

/// What to fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Another inbox than the own one.
    pub of: Option<String>,
    /// Only what is unread.
    pub unread_only: bool,
    /// Most messages.
    pub limit: Option<u32>,
    /// Only after this place of the inbox; the Python gateway does not know it.
    pub after: Option<i64>,
    /// The oldest first; the Python gateway does not know it.
    pub oldest_first: bool,
    /// How long to wait for a first message; the Python gateway does not wait.
    pub wait: Duration,
    /// Only this thread.
    pub thread_id: Option<String>,
    /// Only from this peer.
    pub from: Option<String>,
    /// Only this kind.
    pub kind: Option<Kind>,
}

impl Look {
    /// What is unread in the own inbox.
    pub fn unread() -> Look {
        Look { unread_only: true, ..Look::default() }
    }
}

/// What registering gave.
#[derive(Clone, PartialEq)]
pub struct Registered {
    /// The name.
    pub name: String,
    /// The token, which is shown only once.
    pub token: Option<String>,
    /// The answer, without the token.
    pub answer: Value,
}

impl MailboxBuilder {
    /// Sets the gateway's address.
    #[must_use]
    pub fn gateway_url(mut self, url: impl Into<String>) -> MailboxBuilder {
        self.gateway_url = Some(url.into());
        self
    }

    /// Sets the token; an empty one is none, and no other is looked for.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> MailboxBuilder {
        self.token = Some(token.into());
        self
    }

    /// Sets the deadline of each part of a call; default [`TIMEOUT`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> MailboxBuilder {
        self.timeout = Some(timeout);
        self
    }

    /// Takes from the environment what was not set.
    #[must_use]
    pub fn or_env(mut self, lookup: impl Fn(&str) -> Option<String>) -> MailboxBuilder {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        self.gateway_url = filled(self.gateway_url).or_else(|| lookup(GATEWAY_URL_VARIABLE));
        self.token = self.token.or_else(|| lookup(TOKEN_VARIABLE));
        self
    }

    /// Returns the mailbox. Nothing is connected or resolved yet.
    ///
    /// # Errors
    /// There is no gateway's address, or it is none.
    pub fn build(self) -> Result<Mailbox, ClientError> {
        let base = base_url(self.gateway_url.as_deref().unwrap_or_default())?;
        let timeout = self.timeout.unwrap_or(TIMEOUT);
        let http = HttpClient::builder().proxy(Proxy::Environment).connect_timeout(timeout).build();
        // A name that is none is kept as it is: the gateway may know it. An old name becomes the new one.
        let node = PeerName::parse(&self.node).map_or(self.node, |name| name.as_str().to_owned());
        Ok(Mailbox { node, caller: Caller { http, base, token: self.token, timeout } })
    }
}

impl Mailbox {
    /// Begins a mailbox of this node.
    pub fn builder(node: impl Into<String>) -> MailboxBuilder {
        MailboxBuilder { node: node.into(), ..MailboxBuilder::default() }
    }

    /// The own name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The gateway's address.
    pub fn gateway_url(&self) -> &str {
        &self.caller.base
    }

    /// Makes a message, with all checks that need no gateway: the recipient's name, the kind by its type, credentials.
    ///
    /// # Errors
    /// A name that is none, or a content that holds what looks like a credential.
    pub fn compose(&self, to: &str, kind: Kind, content: impl Into<String>) -> Result<Outgoing, ClientError> {
        let content = content.into();
        let to = PeerName::parse(to)?;
        self.check(&content, guard::find)?;
        Outgoing::new(to, kind, content)
    }

    /// The same for somebody who was asked and says that this is no credential. A token in use does not pass either way.
    ///
    /// # Errors
    /// A name that is none, or a content that holds the token in use.
    pub fn compose_unchecked(
        &self,
        to: &str,
        kind: Kind,
        content: impl Into<String>,
    ) -> Result<Outgoing, ClientError> {
        let content = content.into();
        let to = PeerName::parse(to)?;
        self.check(&content, guard::live)?;
        if let Some(leak) = guard::find(&content, &[]) {
            tracing::warn!(target: "mesh_mailbox", label = leak.label, %to, "sent by an explicit override of the credential guard");
        }
        Outgoing::new(to, kind, content)
    }

    fn check(
        &self,
        content: &str,
        look: fn(&str, &[&str]) -> Option<guard::Leak>,
    ) -> Result<(), ClientError> {
        let live: Vec<&str> = self.caller.token.as_deref().into_iter().collect();
        match look(content, &live) {
            Some(leak) => Err(ClientError::SecretInContent { label: leak.label }),
            None => Ok(()),
        }
    }

    /// Sends a message to a peer that the gateway knows. Sending it again stores it once.
    ///
    /// # Errors
    /// The recipient is unknown, or the call failed. Where [`ClientError::is_transient`], it may be stored all the same.
    ///
    /// # Cancel safety
    /// Dropped before its end, the message may be stored or not; the same call again finds out.
    pub async fn send(&self, message: &Outgoing) -> Result<Receipt, ClientError> {
        names::check(&self.caller, &message.to).await?;
        self.post(message).await
    }

    /// Sends a message without asking whether its recipient is known.
    ///
    /// # Errors
    /// The call failed.
    ///
    /// # Cancel safety
    /// That of [`Mailbox::send`].
    pub async fn post(&self, message: &Outgoing) -> Result<Receipt, ClientError> {
        let body = message.body(&self.node);
        let call = Call::new("POST", "/messages").body(&body);
        let answer = self.caller.answer(call).await?;
        let is_replay = answer.headers().get("idempotency-replayed").is_some_and(|value| value == "true");
        let (method, path) = ("POST".to_owned(), "/messages".to_owned());
        let read = answer.into_body().collect(1 << 20).await;
        let bytes = read.map_err(|source| ClientError::Transport {
            method: method.clone(),
            path: path.clone(),
            source,
        })?;
        if bytes.is_empty() {
            return Err(ClientError::Empty { method, path });
        }
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| ClientError::NotJson {
            method,
            path,
            body: String::from_utf8_lossy(&bytes).chars().take(200).collect(),
        })?;
        Ok(Receipt { id: answer["id"].as_i64(), is_replay, answer })
    }

    /// Fetches messages; the own inbox without what this node wrote itself. Nothing is marked read.
    ///
    /// # Errors
    /// The call failed, or its answer is no list of messages.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn fetch(&self, look: &Look) -> Result<Inbox, ClientError> {
        Ok(self.fetch_page(look).await?.0)
    }

    /// The same with the place from which to go on, where the gateway tells one.
    ///
    /// # Errors
    /// Those of [`Mailbox::fetch`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn fetch_page(&self, look: &Look) -> Result<(Inbox, Option<i64>), ClientError> {
        let of = look.of.as_deref().filter(|of| !of.is_empty());
        let mut call = Call::new("GET", "/messages");
        call.query.push(("to", of.unwrap_or(&self.node).to_owned()));
        if look.unread_only {
            call.query.push(("unread_only", "true".to_owned()));
        }
        call.query.extend(look.limit.map(|limit| ("limit", limit.to_string())));
        call.query.extend(look.from.clone().map(|from| ("from", from)));
        call.query.extend(look.kind.map(|kind| ("kind", kind.to_string())));
        call.query.extend(look.thread_id.clone().map(|thread_id| ("thread_id", thread_id)));
        call.query.extend(look.after.map(|after| ("after", after.to_string())));
        if look.oldest_first {
            call.query.push(("order", "asc".to_owned()));
        }
        if !look.wait.is_zero() {
            call.query.push(("wait", look.wait.as_secs_f64().to_string()));
            call.wait = look.wait;
        }
        let answer = self.caller.json(call).await?.unwrap_or(Value::Null);
        let inbox = Inbox::from_json(&answer)?;
        let next = answer["next"].as_i64();
        // Another inbox is shown as it is.
        let inbox = if of.is_none_or(|of| of == self.node) && look.of.is_none() {
            inbox.without_own(&self.node)
        } else {
            inbox
        };
        Ok((inbox, next))
    }

    /// Fetches one message; `None` where the gateway has no such route or no such message.
    ///
    /// # Errors
    /// The call failed.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn message(&self, id: i64) -> Result<Option<Envelope>, ClientError> {
        match self.caller.json(Call::new("GET", format!("/messages/{id}"))).await {
            Ok(Some(row)) => Ok(Envelope::from_json(&row).ok()),
            Ok(None) => Ok(None),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Marks a message read. The Python gateway answers 404 for one that was marked before: the caller knows whether it was there.
    ///
    /// # Errors
    /// The call failed.
    ///
    /// # Cancel safety
    /// Dropped before its end, it may be marked or not; the same call again does no harm.
    pub async fn mark_read(&self, id: i64) -> Result<(), ClientError> {
        self.caller.json(Call::new("POST", format!("/messages/{id}/read"))).await?;
        Ok(())
    }

    /// The rows of all peers, as the gateway sent them.
    ///
    /// # Errors
    /// The call failed, or its answer is no list.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn list_peers(&self) -> Result<Vec<Value>, ClientError> {
        let answer = self.caller.json(Call::new("GET", "/peers")).await?;
        match answer {
            Some(Value::Array(rows)) => Ok(rows),
            Some(Value::Object(mut fields)) => match fields.remove("peers") {
                Some(Value::Array(rows)) => Ok(rows),
                _ => Err(MailboxError::Malformed { wanted: "a list of peers" }.into()),
            },
            _ => Err(MailboxError::Malformed { wanted: "a list of peers" }.into()),
        }
    }

    /// Registers the own name.
    ///
    /// # Errors
    /// The call failed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the name may be registered, and its token lost; the operator can rotate it.
    pub async fn register(
        &self,
        url: Option<&str>,
        capabilities: Option<&Map<String, Value>>,
    ) -> Result<Registered, ClientError> {
        let mut body = json!({ "name": self.node });
        if let Some(url) = url {
            body["url"] = url.into();
        }
        if let Some(capabilities) = capabilities {
            body["capabilities"] = capabilities.clone().into();
        }
        let answer = self.caller.json(Call::new("POST", "/peers/register").body(&body)).await?;
        let mut answer = answer.unwrap_or_else(|| json!({}));
        let token = answer.get_mut("peer_token").map(Value::take);
        let token = token.and_then(|token| token.as_str().map(str::to_owned));
        Ok(Registered { name: self.node.clone(), token, answer })
    }

    /// Calls one of the gateway's routes that only this project's gateway has, such as `POST /messages/claim`.
    ///
    /// # Errors
    /// The call failed.
    ///
    /// # Cancel safety
    /// What the route does may be done or not.
    pub async fn call(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
        wait: Duration,
    ) -> Result<Value, ClientError> {
        let mut call = Call::new(method, path);
        call.body = body;
        call.wait = wait;
        Ok(self.caller.json(call).await?.unwrap_or(Value::Null))
    }
}

impl Outgoing {
    fn new(to: PeerName, kind: Kind, content: String) -> Result<Outgoing, ClientError> {
        let key = IdempotencyKey::new(new_key())?;
        Ok(Outgoing { to, kind, content, thread_id: None, related_task_id: None, key })
    }

    /// The body of its send.
    pub fn body(&self, from_node: &str) -> Value {
        let mut body = json!({
            "from_node": from_node,
            "to_node": self.to,
            "kind": self.kind,
            "content": self.content,
            "idempotency_key": self.key,
        });
        if let Some(task) = &self.related_task_id {
            body["related_task_id"] = task.as_str().into();
        }
        if let Some(thread) = &self.thread_id {
            body["thread_id"] = thread.as_str().into();
        }
        body
    }
}

/// A key that no other message has: the moment and 80 random bits, as 26 characters that sort by time (a ULID).
fn new_key() -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 10];
    if getrandom::fill(&mut random).is_err() {
        // Keys have to be unlike each other, not unforeseeable.
        fastrand::fill(&mut random);
    }
    let millis = u128::from(u64::try_from(since.as_millis()).unwrap_or(u64::MAX) & ((1 << 48) - 1));
    let low = random.iter().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
    let value = millis << 80 | low;
    (0..26).rev().map(|place| char::from(DIGITS[(value >> (place * 5) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox() -> Mailbox {
        Mailbox::builder("alice")
            .gateway_url("http://127.0.0.1:1")
            .token("token-of-alice-0123")
            .build()
            .unwrap()
    }

    #[test]
    fn a_gateway_has_to_be_named() {
        let error = Mailbox::builder("alice").or_env(|_| None).build().unwrap_err().to_string();
        assert!(error.contains("MESH_GATEWAY_URL") && error.contains("http://lab-ovh:8788"), "{error}");
        let env = |name: &str| (name == GATEWAY_URL_VARIABLE).then(|| " http://h:1 ".to_owned());
        let mailbox = Mailbox::builder("drop").or_env(env).build().unwrap();
        assert_eq!((mailbox.node(), mailbox.gateway_url()), ("droplet", "http://h:1"));
        assert_eq!(Mailbox::builder("Bad Name!").or_env(env).build().unwrap().node(), "Bad Name!");
    }

    #[test]
    fn what_is_refused_never_leaves() {
        let mailbox = mailbox();
        assert!(matches!(
            mailbox.compose("Bob", Kind::Fyi, "x"),
            Err(ClientError::Invalid(MailboxError::InvalidName { .. }))
        ));
        for compose in [Mailbox::compose, Mailbox::compose_unchecked] {
            let error = compose(&mailbox, "bob", Kind::Fyi, "it is token-of-alice-0123").unwrap_err();
            assert!(!error.to_string().contains("0123"), "{error}");
            assert_eq!(error.kind(), "secret");
        }
    }

    #[test]
    fn optional_fields_are_sent_only_when_given() {
        let message = mailbox().compose("drop", Kind::Question, "ready?").unwrap();
        let body = message.body("alice");
        let fields: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["from_node", "to_node", "kind", "content", "idempotency_key"]);
        assert_eq!(body["to_node"], "droplet");
    }

    #[test]
    fn keys_differ_and_sort_by_time() {
        let (one, other) = (new_key(), new_key());
        assert_eq!(one.len(), 26);
        assert_ne!(one, other);
        assert!(one[..8] <= other[..8]);
    }
}
