//! Names: who is registered, by which token, who is invited, who is there.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{Call, Shared, held};
use crate::gateway::directory::{Caller, Denied, digest};
use crate::gateway::draft::MAX_NAME_CHARS;
use crate::gateway::fault::{Faults, Fields};
use crate::gateway::query::{boolean, pairs};
use crate::gateway::reply::{Problem, Reply};
use crate::gateway::stamp::Stamp;
use crate::gateway::store::{Command, InviteRow, PeerRow, Seen, Store};

/// Most characters of an address. From the Python gateway.
const MAX_URL_CHARS: usize = 256;
/// Most bytes of what a peer says it can do.
const MAX_CAPABILITY_BYTES: usize = 64 << 10;
/// How long an invitation is good, if it says nothing else.
const INVITE: Duration = Duration::from_secs(24 * 3600);
/// Oldest picture of who is there that is shown, where other gateways hear of it too.
const PICTURE_AGE: Duration = Duration::from_secs(1);
/// How long a peer counts as present, if it says nothing else.
const PRESENCE: Duration = Duration::from_secs(60);

/// A new token: 32 random bytes as 43 characters.
pub(in crate::gateway) fn new_token() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Problem::busy())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl<S: Store> Shared<S> {
    pub(super) async fn peers(&self, call: &Call) -> Result<Reply, Problem> {
        let mut faults = Faults::default();
        let mut enabled_only = true;
        for (name, value) in pairs(&call.query) {
            if name == "enabled_only" {
                enabled_only = boolean(&value, &["query", "enabled_only"], &mut faults);
            }
        }
        if !faults.is_empty() {
            return Err(faults.into());
        }
        self.is_recent(PICTURE_AGE).await?;
        let directory = self.directory();
        let rows: Vec<Value> = directory
            .peers()
            .filter(|peer| peer.is_enabled || !enabled_only)
            .map(|peer| self.peer_row(peer, true))
            .collect();
        Ok(Reply::json(&json!({ "peers": rows })))
    }

    pub(super) async fn peer(&self, name: &str) -> Result<Reply, Problem> {
        self.is_recent(PICTURE_AGE).await?;
        match self.directory().peer(name) {
            Some(peer) => Ok(Reply::json(&self.peer_row(peer, false))),
            None => Err(Problem::unknown(format!("peer '{name}' not registered"))),
        }
    }

    /// The row of a peer; in a list it has an owner as well.
    fn peer_row(&self, peer: &PeerRow, in_list: bool) -> Value {
        let seen = held(&self.seen).get(&peer.name).map(|seen| seen.at.to_string());
        let online_until = peer.online_until.filter(|until| Stamp::now() < *until);
        let mut row = json!({
            "name": peer.name,
            "url": Some(&peer.url).filter(|url| !url.is_empty()),
            "capabilities": peer.capabilities,
            "registered_at": peer.registered_at,
            "last_health": null,
            "last_seen": seen.or_else(|| peer.last_seen.clone()),
            "enabled": u8::from(peer.is_enabled),
            "ratified": false,
            "ratified_at": null,
            "ratified_by": null,
            "ratification_reason": null,
        });
        if in_list {
            row["owner"] = Value::Null;
        }
        row["online"] = online_until.is_some().into();
        if let Some(until) = online_until {
            row["online_until"] = until.to_string().into();
        }
        row
    }

    pub(super) async fn register(&self, call: &Call, body: &[u8]) -> Result<Reply, Problem> {
        let mut fields = Fields::of(body)?;
        let name = fields.text("name", MAX_NAME_CHARS);
        if name.chars().any(char::is_control) {
            fields.refuse("name", "A name has no control characters");
        }
        let url = fields.optional_text("url", MAX_URL_CHARS);
        let capabilities = match fields.get("capabilities") {
            None => Map::new(),
            Some(Value::Object(capabilities)) => capabilities.clone(),
            Some(_) => {
                fields.refuse("capabilities", "Input should be a valid dictionary");
                Map::new()
            }
        };
        let invite = fields.optional_text("invite", MAX_URL_CHARS);
        fields.end()?;
        let now = Stamp::now().to_string();
        let before = self.directory().peer(&name).cloned();
        let invite = match (&call.caller, invite) {
            (Caller::Operator, _) => None,
            (Caller::Peer(own), _) if *own == name => None,
            (Caller::Invited(invite), _) => Some(*invite),
            (Caller::Peer(_), Some(invite)) => Some(digest(&invite)),
            (Caller::Peer(_), None) => {
                return Err(Denied::NotYours { what: format!("register {name}") }.into());
            }
        };
        if invite.is_some() && before.is_some() {
            return Err(Problem::new(
                403,
                format!("'{name}' is registered already; an invitation is for a new name"),
            ));
        }
        let mut peer = before.clone().unwrap_or_else(|| PeerRow {
            name: name.clone(),
            registered_at: now.clone(),
            is_enabled: true,
            ..PeerRow::default()
        });
        // A key that is sent replaces that key, the others stay.
        peer.capabilities.extend(capabilities);
        if serde_json::to_vec(&peer.capabilities).map_or(0, |bytes| bytes.len()) > MAX_CAPABILITY_BYTES {
            return Err(Problem::too_large(MAX_CAPABILITY_BYTES));
        }
        peer.url = url.unwrap_or(peer.url);
        peer.last_seen = Some(now.clone());
        // The token of a name that has none, be it new or revoked, is only given out by who may give it.
        let token = if peer.token.is_none() { Some(new_token()?) } else { None };
        if let Some(token) = &token {
            peer.token = Some(digest(token));
        }
        let stored = Box::new(peer.clone());
        self.done(match invite {
            Some(invite) => Command::Join { peer: stored, invite },
            None => Command::PutPeer { peer: stored, was: before.map(Box::new) },
        })
        .await?;
        let mut directory = self.directory_mut();
        directory.put_peer(peer);
        if let Some(invite) = invite {
            directory.drop_invite(&invite);
        }
        drop(directory);
        Ok(Reply::json(&json!({
            "status": "registered",
            "name": name,
            "registered_at": now,
            "ratified": false,
            "registered_unratified": true,
            "token_status": if token.is_some() { "minted" } else { "existing" },
            "peer_token": token,
        })))
    }

    /// A peer that the caller may change: itself, or for the operator any.
    fn owned(&self, call: &Call, name: &str, doing: &str) -> Result<PeerRow, Problem> {
        let directory = self.directory();
        match &call.caller {
            Caller::Operator => {}
            other => directory.may_act_as(other, name, doing)?,
        }
        directory.peer(name).cloned().ok_or_else(|| Problem::unknown(format!("peer '{name}' not registered")))
    }

    async fn put(&self, peer: PeerRow, was: PeerRow) -> Result<(), Problem> {
        self.done(Command::PutPeer { peer: Box::new(peer.clone()), was: Some(Box::new(was)) }).await?;
        self.directory_mut().put_peer(peer);
        Ok(())
    }

    pub(super) async fn rotate(&self, call: &Call, name: &str) -> Result<Reply, Problem> {
        let peer = self.owned(call, name, "rotate the token of")?;
        let token = new_token()?;
        self.put(PeerRow { token: Some(digest(&token)), ..peer.clone() }, peer).await?;
        Ok(Reply::json(&json!({"name": name, "peer_token": token, "token_status": "rotated"})))
    }

    pub(super) async fn revoke(&self, call: &Call, name: &str) -> Result<Reply, Problem> {
        let peer = self.owned(call, name, "revoke the token of")?;
        self.put(PeerRow { token: None, ..peer.clone() }, peer).await?;
        Ok(Reply::json(&json!({"name": name, "token_status": "revoked"})))
    }

    pub(super) async fn enable(&self, call: &Call, name: &str, is_enabled: bool) -> Result<Reply, Problem> {
        if is_enabled {
            self.directory().operator_only(&call.caller)?;
        }
        let peer = self.owned(call, name, "disable")?;
        self.put(PeerRow { is_enabled, ..peer.clone() }, peer).await?;
        Ok(Reply::json(&json!({"name": name, "enabled": u8::from(is_enabled)})))
    }

    pub(super) async fn invite(&self, call: &Call, body: &[u8]) -> Result<Reply, Problem> {
        self.directory().operator_only(&call.caller)?;
        let mut fields = Fields::of_optional(body)?;
        let name = fields.optional_text("name", MAX_NAME_CHARS);
        let ttl = fields.optional_seconds("ttl_s", 1.0, 30.0 * 86_400.0).unwrap_or(INVITE);
        fields.end()?;
        if let Some(name) = name.as_deref().filter(|name| self.directory().peer(name).is_some()) {
            return Err(Problem::new(409, format!("'{name}' is registered already")));
        }
        let token = new_token()?;
        let expires_at = Stamp::now().plus(ttl);
        let invite = InviteRow { token: digest(&token), name: name.clone(), expires_at };
        self.done(Command::Invite(invite.clone())).await?;
        self.directory_mut().put_invite(invite);
        Ok(Reply::json(&json!({"invite": token, "name": name, "expires_at": expires_at.to_string()})))
    }

    pub(super) fn presence(&self, call: &Call, body: &[u8]) -> Result<Reply, Problem> {
        let mut fields = Fields::of_optional(body)?;
        let node = fields.optional_text("node", MAX_NAME_CHARS);
        let lease = fields.optional_seconds("lease_s", 0.0, 3600.0).unwrap_or(PRESENCE);
        fields.end()?;
        let node = match (node, call.caller.name()) {
            (Some(node), _) => node,
            (None, Some(own)) => own.to_owned(),
            (None, None) => {
                return Err(Faults::one("missing", &["body", "node"], "Field required", &json!({})).into());
            }
        };
        self.directory().may_act_as(&call.caller, &node, "be present as")?;
        let at = Stamp::now();
        let until = at.plus(lease);
        let seen = Seen { name: node.clone(), at, online_until: Some(until) };
        self.directory_mut().seen(std::slice::from_ref(&seen));
        held(&self.seen).insert(node.clone(), seen);
        Ok(Reply::json(&json!({"node": node, "online_until": until.to_string()})))
    }
}
