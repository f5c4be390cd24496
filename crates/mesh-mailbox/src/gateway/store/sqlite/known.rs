//! Peers, groups and invitations.

use rusqlite::Connection;

use crate::gateway::stamp::Stamp;
use crate::gateway::store::{GroupRow, InviteRow, Known, PeerRow};

/// Reads them.
pub(super) fn known(db: &Connection) -> rusqlite::Result<Known> {
    let mut known = Known::default();
    let mut statement = db.prepare(
        "SELECT name, url, capabilities, registered_at, last_seen, enabled, token FROM peers ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let capabilities: String = row.get(2)?;
        known.peers.push(PeerRow {
            name: row.get(0)?,
            url: row.get(1)?,
            capabilities: serde_json::from_str(&capabilities).unwrap_or_default(),
            registered_at: row.get(3)?,
            last_seen: row.get(4)?,
            is_enabled: row.get(5)?,
            token: row.get(6)?,
        });
    }
    let mut statement =
        db.prepare("SELECT name, description, created_by, created_at, members FROM groups ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let members: String = row.get(4)?;
        known.groups.push(GroupRow {
            name: row.get(0)?,
            description: row.get(1)?,
            created_by: row.get(2)?,
            created_at: row.get(3)?,
            members: serde_json::from_str(&members).unwrap_or_default(),
        });
    }
    let mut statement = db.prepare("SELECT token, name, expires_at FROM invites")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let expires_at = Stamp::from_micros(row.get(2)?);
        known.invites.push(InviteRow { token: row.get(0)?, name: row.get(1)?, expires_at });
    }
    Ok(known)
}
