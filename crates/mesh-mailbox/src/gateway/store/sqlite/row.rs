//! A message as JSON: what never changes is written once and stored as it will be sent.

use std::io::Write as _;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::gateway::lease::Delivery;
use crate::gateway::stamp::Stamp;
use crate::gateway::store::{NewMessage, Voucher};

/// The columns that [`write_row`] reads, in its order.
pub(super) const COLUMNS: &str =
    "seq, read_at, leased_until, attempts, outcome, note, dead_at, verified, lease, head";

/// Writing into memory cannot fail, and a text has a JSON form.
pub(super) fn json(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

fn optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => json(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// The unchanging part of a row, up to the value of `read_at`; the fields and their order are the Python gateway's.
pub(super) fn head(id: i64, to_node: &str, created_at: &str, message: &NewMessage) -> String {
    let mut out = Vec::with_capacity(message.content_json.len() + 320);
    let _ = write!(out, "{{\"id\":{id},\"thread_id\":");
    optional(&mut out, message.thread_id.as_deref());
    out.extend_from_slice(b",\"from_node\":");
    json(&mut out, &message.from_node);
    out.extend_from_slice(b",\"to_node\":");
    json(&mut out, to_node);
    let _ = write!(out, ",\"channel\":null,\"mentions\":null,\"kind\":\"{}\",\"content\":", message.kind);
    out.extend_from_slice(message.content_json.as_bytes());
    out.extend_from_slice(b",\"related_task_id\":");
    optional(&mut out, message.related_task_id.as_deref());
    if let Some(reply_to) = message.reply_to {
        let _ = write!(out, ",\"reply_to\":{reply_to}");
    }
    if let Some(expires_at) = message.expires_at {
        let _ = write!(out, ",\"expires_at\":\"{expires_at}\"");
    }
    if message.ack_required {
        out.extend_from_slice(b",\"ack_required\":true");
    }
    if message.priority != 0 {
        let _ = write!(out, ",\"priority\":{}", message.priority);
    }
    out.extend_from_slice(b",\"created_at\":");
    json(&mut out, created_at);
    out.extend_from_slice(b",\"read_at\":");
    // Every part was text before.
    String::from_utf8(out).unwrap_or_default()
}

/// How a voucher is stored.
pub(super) fn voucher_number(voucher: Voucher) -> i64 {
    match voucher {
        Voucher::Operator => 0,
        Voucher::Peer => 1,
        Voucher::Gateway => 2,
    }
}

/// Whether a stored number is that of a notice.
pub(super) fn is_notice(verified: i64) -> bool {
    verified == voucher_number(Voucher::Gateway)
}

/// Writes a whole row. `with_lease` tells the lease's id, which only its holder may know.
pub(super) fn write_row(
    row: &Row<'_>,
    now: Stamp,
    with_lease: bool,
    out: &mut Vec<u8>,
) -> rusqlite::Result<i64> {
    let seq: i64 = row.get(0)?;
    out.extend_from_slice(text(row.get_ref(9)?));
    match row.get_ref(1)? {
        ValueRef::Text(read_at) => quoted(out, read_at),
        _ => out.extend_from_slice(b"null"),
    }
    let verified: i64 = row.get(7)?;
    let _ = write!(out, ",\"seq\":{seq},\"verified\":{}", verified == voucher_number(Voucher::Peer));
    if is_notice(verified) {
        out.extend_from_slice(b",\"notice\":true");
    }
    let attempts: i64 = row.get(3)?;
    if attempts > 0 {
        let _ = write!(out, ",\"attempt\":{attempts}");
    }
    if let ValueRef::Integer(until) = row.get_ref(2)? {
        let until = Stamp::from_micros(until);
        if now < until {
            let _ = write!(out, ",\"claimed_until\":\"{until}\"");
        }
        if with_lease {
            out.extend_from_slice(b",\"lease_id\":");
            quoted(out, text(row.get_ref(8)?));
        }
    }
    if let ValueRef::Text(outcome) = row.get_ref(4)? {
        out.extend_from_slice(b",\"outcome\":");
        quoted(out, outcome);
        if let ValueRef::Text(note) = row.get_ref(5)? {
            out.extend_from_slice(b",\"note\":");
            json(out, &String::from_utf8_lossy(note));
        }
    }
    if let ValueRef::Integer(dead_at) = row.get_ref(6)? {
        let _ = write!(out, ",\"dead_at\":\"{}\"", Stamp::from_micros(dead_at));
    }
    out.push(b'}');
    Ok(seq)
}

fn text(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) => bytes,
        _ => b"",
    }
}

/// For texts of our own making, which hold nothing that JSON escapes; imported ones are escaped.
fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\');
    if text.iter().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    } else {
        json(out, &String::from_utf8_lossy(text));
    }
}

/// The columns of a [`Delivery`], in its order.
pub(super) const DELIVERY: &str =
    "read_at, lease, leased_until, attempts, available_at, outcome, dead_at, expires_at";

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
