//! Looking through a whole database.

use std::sync::Arc;

use super::link::{Link, Runner};
use super::place::PostgresPlace;
use super::session::Purpose;
use super::step::Step;
use crate::gateway::store::StoreError;

/// What must not be found, and how it is told.
const FAULTS: [(&str, &str); 2] = [
    (
        "SELECT count(*) FROM mesh_messages m LEFT JOIN mesh_inboxes i ON i.name = m.inbox \
         WHERE i.name IS NULL OR m.seq > i.last_seq",
        "messages have a sequence that their inbox never gave out",
    ),
    (
        "SELECT count(*) FROM mesh_messages WHERE id >= (SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END \
         FROM mesh_ids)",
        "messages have an id that is still to be given out",
    ),
];

/// Returns what is wrong with a database, nothing when it is sound. Its pages are the server's to check.
///
/// # Errors
/// It is none of ours, or cannot be read.
pub fn check(place: &PostgresPlace) -> Result<Vec<String>, StoreError> {
    let runner = Runner::new()?;
    let mut link = Link::new(Arc::new(place.clone()), Purpose::Looks);
    runner.run(async {
        let session = link.session().await?;
        // It reads all there is, however long that takes.
        session.script("SET statement_timeout = 0").await.map_err(|error| session.explain(&error))?;
        let mut faults = Vec::new();
        for (sql, text) in FAULTS {
            let rows = session.rows(Step::new(sql)).await.map_err(|error| session.explain(&error))?;
            let count: i64 =
                rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(|error| session.explain(&error))?;
            if count > 0 {
                faults.push(format!("{count} {text}"));
            }
        }
        Ok(faults)
    })
}
