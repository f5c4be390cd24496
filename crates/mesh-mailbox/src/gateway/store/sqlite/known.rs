//! Peers, groups and invitations.

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::gateway::stamp::Stamp;
use crate::gateway::store::{GroupRow, InviteRow, Known, PeerRow};

const PEER: &str =
    "SELECT name, url, capabilities, registered_at, last_seen, enabled, token, online_until FROM peers";
const GROUP: &str = "SELECT name, description, created_by, created_at, members FROM groups";

/// Reads them.
pub(super) fn known(db: &Connection) -> rusqlite::Result<Known> {
    let mut invites = db.prepare("SELECT token, name, expires_at FROM invites")?;
    let invite = |row: &Row<'_>| {
        let expires_at = Stamp::from_micros(row.get(2)?);
        Ok(InviteRow { token: row.get(0)?, name: row.get(1)?, expires_at })
    };
    Ok(Known {
        peers: db
            .prepare(&format!("{PEER} ORDER BY name"))?
            .query_map([], peer_row)?
            .collect::<Result<_, _>>()?,
        groups: db
            .prepare(&format!("{GROUP} ORDER BY name"))?
            .query_map([], group_row)?
            .collect::<Result<_, _>>()?,
        invites: invites.query_map([], invite)?.collect::<Result<_, _>>()?,
    })
}

/// One peer.
pub(super) fn peer(db: &Connection, name: &str) -> rusqlite::Result<Option<PeerRow>> {
    db.prepare_cached(&format!("{PEER} WHERE name = ?1"))?.query_row([name], peer_row).optional()
}

/// One group.
pub(super) fn group(db: &Connection, name: &str) -> rusqlite::Result<Option<GroupRow>> {
    db.prepare_cached(&format!("{GROUP} WHERE name = ?1"))?.query_row([name], group_row).optional()
}

fn peer_row(row: &Row<'_>) -> rusqlite::Result<PeerRow> {
    let capabilities: String = row.get(2)?;
    Ok(PeerRow {
        name: row.get(0)?,
        url: row.get(1)?,
        capabilities: serde_json::from_str(&capabilities).unwrap_or_default(),
        registered_at: row.get(3)?,
        last_seen: row.get(4)?,
        is_enabled: row.get(5)?,
        token: row.get(6)?,
        online_until: row.get::<_, Option<i64>>(7)?.map(Stamp::from_micros),
    })
}

fn group_row(row: &Row<'_>) -> rusqlite::Result<GroupRow> {
    let members: String = row.get(4)?;
    Ok(GroupRow {
        name: row.get(0)?,
        description: row.get(1)?,
        created_by: row.get(2)?,
        created_at: row.get(3)?,
        members: serde_json::from_str(&members).unwrap_or_default(),
    })
}
