//! Who is known, by which token, and what each may do. Pure: a picture of what the store holds, kept in memory.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};

use super::stamp::Stamp;
use super::store::{Digest, GroupRow, InviteRow, Known, PeerRow, Scope, Seen};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Who runs the gateway; may speak, read and mark as any registered name.
    Operator,
    /// A peer with its own token.
    Peer(String),
    /// Somebody with an invitation, which is good for registering and nothing else.
    Invited(Digest),
}

/// Why a caller is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// No token came along.
    Missing,
    /// A token that is none of ours.
    Bad,
}

/// Why a caller may not do something. The texts say nothing of what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is not the caller's.
    NotYours {
        /// What was asked for, such as `send as bob`.
        what: String,
    },
    /// Only the operator may.
    OperatorOnly,
    /// An invitation is good for registering only.
    InviteOnly,
    /// No such name.
    NotRegistered {
        /// The name.
        name: String,
        /// Names that were perhaps meant.
        near: Vec<String>,
    },
}

/// The digest under which a token is stored and looked up.
pub fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Directory {
    operators: Vec<Digest>,
    peers: BTreeMap<String, PeerRow>,
    tokens: HashMap<Digest, String>,
    invites: HashMap<Digest, InviteRow>,
    groups: BTreeMap<String, GroupRow>,
    changes: u64,
    /// Whether names that nobody registered may send and receive.
    pub allows_unregistered: bool,
}

impl Directory {
    /// A picture of what a store knows.
    pub fn new(operators: Vec<Digest>, known: Known) -> Directory {
        let mut directory = Directory { operators, ..Directory::default() };
        directory.replace(known);
        directory
    }

    /// Takes a newer picture in the old one's place.
    pub fn replace(&mut self, known: Known) {
        let by_token = |peer: &PeerRow| peer.token.map(|token| (token, peer.name.clone()));
        self.tokens = known.peers.iter().filter_map(by_token).collect();
        // Signs of life are written down later than they are heard.
        let before = std::mem::take(&mut self.peers);
        let kept = |mut peer: PeerRow| {
            if let Some(before) = before.get(&peer.name) {
                peer.online_until = peer.online_until.max(before.online_until);
                peer.last_seen = peer.last_seen.max(before.last_seen.clone());
            }
            (peer.name.clone(), peer)
        };
        self.peers = known.peers.into_iter().map(kept).collect();
        self.groups = known.groups.into_iter().map(|group| (group.name.clone(), group)).collect();
        self.invites = known.invites.into_iter().map(|invite| (invite.token, invite)).collect();
    }

    /// How often something was taken over since the start, other than by [`Directory::replace`].
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Says who calls, from the value of the header `Authorization`.
    ///
    /// # Errors
    /// Nobody whom we know. A peer that is disabled is not known.
    pub fn caller(&self, authorization: Option<&str>, now: Stamp) -> Result<Caller, Unknown> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Unknown::Missing)?;
        let digest = digest(token);
        if self.operators.contains(&digest) {
            return Ok(Caller::Operator);
        }
        if let Some(name) = self.tokens.get(&digest) {
            let is_enabled = self.peers.get(name).is_some_and(|peer| peer.is_enabled);
            return if is_enabled { Ok(Caller::Peer(name.clone())) } else { Err(Unknown::Bad) };
        }
        let invite = self.invites.get(&digest).filter(|invite| now < invite.expires_at);
        invite.map(|invite| Caller::Invited(invite.token)).ok_or(Unknown::Bad)
    }

    /// Lets a caller speak, read or mark as a name: its own, or for the operator any registered one.
    ///
    /// # Errors
    /// Another's name, or one that is not registered.
    pub fn may_act_as(&self, caller: &Caller, name: &str, doing: &str) -> Result<(), Denied> {
        match caller {
            Caller::Operator => self.is_registered(name),
            Caller::Peer(own) if own == name => Ok(()),
            Caller::Peer(_) => Err(Denied::NotYours { what: format!("{doing} {name}") }),
            Caller::Invited(_) => Err(Denied::InviteOnly),
        }
    }

    /// Lets only the operator pass.
    ///
    /// # Errors
    /// Anybody else.
    pub fn operator_only(&self, caller: &Caller) -> Result<(), Denied> {
        if *caller == Caller::Operator { Ok(()) } else { Err(Denied::OperatorOnly) }
    }

    /// Lets a name pass that is registered.
    ///
    /// # Errors
    /// It is not; with the names that were perhaps meant.
    pub fn is_registered(&self, name: &str) -> Result<(), Denied> {
        if self.allows_unregistered || self.peers.get(name).is_some_and(|peer| peer.is_enabled) {
            return Ok(());
        }
        let names = self.peers.values().filter(|peer| peer.is_enabled).map(|peer| peer.name.as_str());
        Err(Denied::NotRegistered { name: name.to_owned(), near: crate::registry::near(name, names) })
    }

    /// A peer.
    pub fn peer(&self, name: &str) -> Option<&PeerRow> {
        self.peers.get(name)
    }

    /// All peers by name.
    pub fn peers(&self) -> impl Iterator<Item = &PeerRow> {
        self.peers.values()
    }

    /// A group.
    pub fn group(&self, name: &str) -> Option<&GroupRow> {
        self.groups.get(name)
    }

    /// All groups by name.
    pub fn groups(&self) -> impl Iterator<Item = &GroupRow> {
        self.groups.values()
    }

    /// Takes over what was stored of a peer.
    pub fn put_peer(&mut self, peer: PeerRow) {
        self.changes += 1;
        if let Some(old) = self.peers.get(&peer.name).and_then(|before| before.token) {
            self.tokens.remove(&old);
        }
        if let Some(token) = peer.token {
            self.tokens.insert(token, peer.name.clone());
        }
        self.peers.insert(peer.name.clone(), peer);
    }

    /// Takes over what was stored of a group.
    pub fn put_group(&mut self, group: GroupRow) {
        self.changes += 1;
        self.groups.insert(group.name.clone(), group);
    }

    /// Forgets a group.
    pub fn drop_group(&mut self, name: &str) {
        self.changes += 1;
        self.groups.remove(name);
    }

    /// Takes over an invitation.
    pub fn put_invite(&mut self, invite: InviteRow) {
        self.changes += 1;
        self.invites.insert(invite.token, invite);
    }

    /// Forgets an invitation, which was used.
    pub fn drop_invite(&mut self, token: &Digest) {
        self.changes += 1;
        self.invites.remove(token);
    }

    /// Notes when peers were heard of.
    pub fn seen(&mut self, seen: &[Seen]) {
        for Seen { name, at, online_until } in seen {
            if let Some(peer) = self.peers.get_mut(name) {
                peer.last_seen = Some(at.to_string());
                peer.online_until = online_until.or(peer.online_until);
            }
        }
    }
}

impl Caller {
    /// On whose mail the caller may work.
    ///
    /// # Errors
    /// On nobody's.
    pub fn scope(&self) -> Result<Scope, Denied> {
        match self {
            Caller::Operator => Ok(Scope::Any),
            Caller::Peer(name) => Ok(Scope::Peer(name.clone())),
            Caller::Invited(_) => Err(Denied::InviteOnly),
        }
    }

    /// The peer's name.
    pub fn name(&self) -> Option<&str> {
        match self {
            Caller::Peer(name) => Some(name),
            Caller::Operator | Caller::Invited(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, token: Option<&str>, is_enabled: bool) -> PeerRow {
        PeerRow { name: name.into(), token: token.map(digest), is_enabled, ..PeerRow::default() }
    }

    fn directory() -> Directory {
        let peers = vec![
            peer("alice", Some("token-a"), true),
            peer("bob", Some("token-b"), true),
            peer("carol", Some("token-c"), false),
        ];
        let invites =
            vec![InviteRow { token: digest("invite"), name: None, expires_at: Stamp::from_micros(100) }];
        Directory::new(vec![digest("operator")], Known { peers, invites, groups: Vec::new() })
    }

    #[test]
    fn a_token_names_its_caller() {
        let directory = directory();
        for (header, want) in [
            (None, Err(Unknown::Missing)),
            (Some("token-a"), Err(Unknown::Missing)),
            (Some("bearer token-a"), Err(Unknown::Missing)),
            (Some("Bearer "), Err(Unknown::Bad)),
            (Some("Bearer token-a "), Err(Unknown::Bad)),
            (Some("Bearer token-c"), Err(Unknown::Bad)),
            (Some("Bearer token-a"), Ok(Caller::Peer("alice".into()))),
            (Some("Bearer operator"), Ok(Caller::Operator)),
            (Some("Bearer invite"), Ok(Caller::Invited(digest("invite")))),
        ] {
            assert_eq!(directory.caller(header, Stamp::from_micros(1)), want, "{header:?}");
        }
        assert_eq!(directory.caller(Some("Bearer invite"), Stamp::from_micros(100)), Err(Unknown::Bad));
    }

    #[test]
    fn nobody_acts_as_another() {
        let directory = directory();
        let callers = [
            Caller::Operator,
            Caller::Peer("alice".into()),
            Caller::Peer("bob".into()),
            Caller::Invited(digest("invite")),
        ];
        let allowed: Vec<(usize, &str)> = callers
            .iter()
            .enumerate()
            .flat_map(|(at, caller)| ["alice", "bob", "carol", "dave"].map(|name| (at, caller, name)))
            .filter(|(_, caller, name)| directory.may_act_as(caller, name, "send as").is_ok())
            .map(|(at, _, name)| (at, name))
            .collect();
        assert_eq!(allowed, [(0, "alice"), (0, "bob"), (1, "alice"), (2, "bob")]);
    }

    #[test]
    fn a_rotated_token_is_worth_nothing() {
        let mut directory = directory();
        directory.put_peer(peer("alice", Some("token-2"), true));
        let now = Stamp::from_micros(1);
        assert_eq!(directory.caller(Some("Bearer token-a"), now), Err(Unknown::Bad));
        assert_eq!(directory.caller(Some("Bearer token-2"), now), Ok(Caller::Peer("alice".into())));
        directory.put_peer(peer("alice", None, true));
        assert_eq!(directory.caller(Some("Bearer token-2"), now), Err(Unknown::Bad));
    }
}
