//! Commands about peers, groups, invitations and threads.

use super::batch::{Answer, Batch};
use super::error::Failure;
use super::read::{self, GROUP, PEER};
use super::step::Step;
use super::text::Text;
use crate::gateway::stamp::Stamp;
use crate::gateway::store::{Digest, Done, GroupRow, InviteRow, PeerRow, Refusal, Seen, ThreadRow};

impl Batch<'_> {
    /// Has a change of what gateways keep in memory sent; the others learn of it by a counter.
    fn note(&mut self, step: Step<'static>) -> Answer {
        self.then(step);
        self.is_directory_changed = true;
        Ok(Done::Stored)
    }

    /// Changes a peer that is still what it was. Two who make one name at once: the second finds it made.
    pub(super) async fn change_peer(
        &mut self,
        peer: &PeerRow,
        was: Option<&PeerRow>,
    ) -> Result<Answer, Failure> {
        let sql = format!("SELECT {PEER} FROM mesh_peers WHERE name = $1 FOR UPDATE");
        let rows = self.ask(Step::new(sql).with(Text::owned(&peer.name))).await?;
        let there = rows.first().map(read::peer).transpose()?;
        let is_still = match (&there, was) {
            (None, None) => true,
            (Some(there), Some(was)) => there.is_still(was),
            _ => false,
        };
        Ok(if is_still { self.put_peer(peer, there.is_none()) } else { Err(Refusal::Changed) })
    }

    fn put_peer(&mut self, peer: &PeerRow, is_new: bool) -> Answer {
        let capabilities = serde_json::to_string(&peer.capabilities).unwrap_or_else(|_| "{}".to_owned());
        let sql = if is_new {
            "INSERT INTO mesh_peers (name, url, capabilities, registered_at, last_seen, enabled, token) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        } else {
            "UPDATE mesh_peers SET url = $2, capabilities = $3, registered_at = $4, \
             last_seen = greatest(last_seen, $5), enabled = $6, token = $7 WHERE name = $1"
        };
        self.note(
            Step::new(sql)
                .with(Text::owned(&peer.name))
                .with(Text::owned(&peer.url))
                .with(capabilities)
                .with(Text::owned(&peer.registered_at))
                .with(peer.last_seen.as_deref().map(Text::owned))
                .with(peer.is_enabled)
                .with(peer.token.map(|token| token.to_vec())),
        )
    }

    pub(super) async fn join(&mut self, peer: &PeerRow, invite: &Digest) -> Result<Answer, Failure> {
        let sql = "DELETE FROM mesh_invites WHERE token = $1 AND (name IS NULL OR name = $2) AND expires_at > $3 \
                   RETURNING token";
        let step = Step::new(sql).with(invite.to_vec()).with(Text::owned(&peer.name)).with(self.now.micros());
        if self.ask(step).await?.is_empty() {
            return Ok(Err(Refusal::BadInvite));
        }
        let there = "SELECT 1 FROM mesh_peers WHERE name = $1 FOR UPDATE";
        let there = self.ask(Step::new(there).with(Text::owned(&peer.name))).await?;
        Ok(self.put_peer(peer, there.is_empty()))
    }

    pub(super) fn invite(&mut self, invite: &InviteRow) -> Answer {
        let sql = "INSERT INTO mesh_invites (token, name, expires_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (token) DO UPDATE SET name = excluded.name, expires_at = excluded.expires_at";
        self.note(
            Step::new(sql)
                .with(invite.token.to_vec())
                .with(invite.name.as_deref().map(Text::owned))
                .with(invite.expires_at.micros()),
        )
    }

    /// No change that others have to hear of: each gateway knows whom it heard of itself.
    pub(super) fn seen(&mut self, peers: &[Seen]) -> Answer {
        let names: Vec<_> = peers.iter().map(|seen| Text::owned(&seen.name)).collect();
        let moments: Vec<_> = peers.iter().map(|seen| seen.at.to_string()).collect();
        let ends: Vec<_> = peers.iter().map(|seen| seen.online_until.map(Stamp::micros)).collect();
        let sql = "WITH l AS (SELECT name FROM mesh_peers WHERE name = ANY($1::text[]) ORDER BY name FOR UPDATE) \
                   UPDATE mesh_peers p SET last_seen = greatest(p.last_seen, w.at), \
                   online_until = coalesce(w.online_until, p.online_until) \
                   FROM l, unnest($1::text[], $2::text[], $3::bigint[]) AS w (name, at, online_until) \
                   WHERE p.name = l.name AND w.name = l.name";
        self.then(Step::new(sql).with(names).with(moments).with(ends));
        Ok(Done::Stored)
    }

    pub(super) async fn thread(
        &mut self,
        name: &str,
        uuid: &str,
        session_id: Option<&str>,
    ) -> Result<Answer, Failure> {
        let now = self.now.to_string();
        let make = "INSERT INTO mesh_threads (uuid, name, session_id, created_at, last_used_at) \
                    VALUES ($1, $2, $3, $4, $4) ON CONFLICT (name) DO NOTHING RETURNING uuid";
        let step = Step::new(make)
            .with(Text::owned(uuid))
            .with(Text::owned(name))
            .with(session_id.map(Text::owned))
            .with(now.clone());
        if !self.ask(step).await?.is_empty() {
            let (uuid, name) = (uuid.to_owned(), name.to_owned());
            let session_id = session_id.map(str::to_owned);
            let thread = ThreadRow { uuid, name, session_id, created_at: now.clone(), last_used_at: now };
            return Ok(Ok(Done::Thread { thread, is_new: true }));
        }
        let find = "UPDATE mesh_threads SET last_used_at = $2 WHERE name = $1 \
                    RETURNING uuid, name, session_id, created_at, last_used_at";
        let rows = self.ask(Step::new(find).with(Text::owned(name)).with(now)).await?;
        match rows.first() {
            Some(row) => Ok(Ok(Done::Thread { thread: read::thread(row)?, is_new: false })),
            None => Ok(Err(Refusal::NotFound)),
        }
    }

    pub(super) fn put_thread(&mut self, thread: &ThreadRow) -> Answer {
        let sql = "INSERT INTO mesh_threads (uuid, name, session_id, created_at, last_used_at) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        self.then(
            Step::new(sql)
                .with(Text::owned(&thread.uuid))
                .with(Text::owned(&thread.name))
                .with(thread.session_id.as_deref().map(Text::owned))
                .with(Text::owned(&thread.created_at))
                .with(Text::owned(&thread.last_used_at)),
        );
        Ok(Done::Stored)
    }

    /// Changes a group that is still what it was.
    pub(super) async fn change_group(
        &mut self,
        group: &GroupRow,
        was: Option<&GroupRow>,
    ) -> Result<Answer, Failure> {
        let sql = format!("SELECT {GROUP} FROM mesh_groups WHERE name = $1 FOR UPDATE");
        let rows = self.ask(Step::new(sql).with(Text::owned(&group.name))).await?;
        let there = rows.first().map(read::group).transpose()?;
        if there.as_ref() != was {
            return Ok(Err(Refusal::Changed));
        }
        let members = serde_json::to_string(&group.members).unwrap_or_else(|_| "[]".to_owned());
        let step = match there {
            None => Step::new(
                "INSERT INTO mesh_groups (name, description, members, created_by, created_at) \
                 VALUES ($1, $2, $3, $4, $5)",
            ),
            Some(_) => Step::new("UPDATE mesh_groups SET description = $2, members = $3 WHERE name = $1"),
        };
        let is_new = there.is_none();
        let step = step.with(Text::owned(&group.name)).with(Text::owned(&group.description)).with(members);
        let made = || [Text::owned(&group.created_by), Text::owned(&group.created_at)];
        Ok(self.note(if is_new { made().into_iter().fold(step, Step::with) } else { step }))
    }

    pub(super) fn drop_group(&mut self, name: &str) -> Answer {
        self.note(Step::new("DELETE FROM mesh_groups WHERE name = $1").with(Text::owned(name)))
    }
}
