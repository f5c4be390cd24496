//! The columns of a message as SQLite gives them.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::gateway::lease::Delivery;
use crate::gateway::stamp::Stamp;
use crate::gateway::store::row::Shown;

/// Writes a whole row; returns its sequence. `with_lease` tells the lease's id, which only its holder may know.
pub(super) fn write_row(
    row: &Row<'_>,
    now: Stamp,
    with_lease: bool,
    out: &mut Vec<u8>,
) -> rusqlite::Result<i64> {
    let shown = Shown {
        seq: row.get(0)?,
        read_at: text(row.get_ref(1)?),
        leased_until: row.get(2)?,
        attempts: row.get(3)?,
        outcome: text(row.get_ref(4)?),
        note: text(row.get_ref(5)?),
        dead_at: row.get(6)?,
        verified: row.get(7)?,
        lease: text(row.get_ref(8)?),
        head: text(row.get_ref(9)?).unwrap_or_default(),
    };
    shown.write(now, with_lease, out);
    Ok(shown.seq)
}

fn text(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(bytes) => Some(bytes),
        _ => None,
    }
}

/// Reads a delivery from columns that begin at `at`.
pub(super) fn delivery(row: &Row<'_>, at: usize) -> rusqlite::Result<Delivery> {
    let stamp = |micros: Option<i64>| micros.map(Stamp::from_micros);
    let read_at: Option<String> = row.get(at)?;
    let lease: Option<String> = row.get(at + 1)?;
    let until: Option<i64> = row.get(at + 2)?;
    let outcome: Option<String> = row.get(at + 5)?;
    Ok(Delivery {
        // A mark that another gateway wrote in a way of its own is a mark all the same.
        read_at: read_at.map(|text| Stamp::parse(&text).unwrap_or_default()),
        lease: lease
            .zip(until)
            .map(|(id, until)| crate::gateway::lease::Lease { id, until: Stamp::from_micros(until) }),
        attempts: row.get(at + 3)?,
        available_at: Stamp::from_micros(row.get(at + 4)?),
        outcome: outcome.and_then(|word| crate::gateway::lease::Outcome::parse(&word)),
        dead_at: stamp(row.get(at + 6)?),
        expires_at: stamp(row.get(at + 7)?),
    })
}
