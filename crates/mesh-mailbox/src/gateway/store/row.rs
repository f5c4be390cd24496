//! A message as JSON: what never changes is written once and stored as it will be sent.

use std::io::Write as _;

use super::{NewMessage, Voucher};
use crate::gateway::stamp::Stamp;
use crate::kind::Kind;

/// The columns of a [`Shown`], in its order.
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

/// What is shown of a message: the columns [`COLUMNS`] as an engine reads them.
pub(super) struct Shown<'r> {
    pub(super) seq: i64,
    pub(super) read_at: Option<&'r [u8]>,
    pub(super) leased_until: Option<i64>,
    pub(super) attempts: i64,
    pub(super) outcome: Option<&'r [u8]>,
    pub(super) note: Option<&'r [u8]>,
    pub(super) dead_at: Option<i64>,
    pub(super) verified: i64,
    pub(super) lease: Option<&'r [u8]>,
    pub(super) head: &'r [u8],
}

impl Shown<'_> {
    /// Writes a whole row. `with_lease` tells the lease's id, which only its holder may know.
    pub(super) fn write(&self, now: Stamp, with_lease: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        match self.read_at {
            Some(read_at) => quoted(out, read_at),
            None => out.extend_from_slice(b"null"),
        }
        let is_verified = self.verified == voucher_number(Voucher::Peer);
        let _ = write!(out, ",\"seq\":{},\"verified\":{is_verified}", self.seq);
        if is_notice(self.verified) {
            out.extend_from_slice(b",\"notice\":true");
        }
        if self.attempts > 0 {
            let _ = write!(out, ",\"attempt\":{}", self.attempts);
        }
        if let Some(until) = self.leased_until {
            let until = Stamp::from_micros(until);
            if now < until {
                let _ = write!(out, ",\"claimed_until\":\"{until}\"");
            }
            if with_lease {
                out.extend_from_slice(b",\"lease_id\":");
                quoted(out, self.lease.unwrap_or_default());
            }
        }
        if let Some(outcome) = self.outcome {
            out.extend_from_slice(b",\"outcome\":");
            quoted(out, outcome);
            if let Some(note) = self.note {
                out.extend_from_slice(b",\"note\":");
                json(out, &String::from_utf8_lossy(note));
            }
        }
        if let Some(dead_at) = self.dead_at {
            let _ = write!(out, ",\"dead_at\":\"{}\"", Stamp::from_micros(dead_at));
        }
        out.push(b'}');
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

/// The columns of a [`Delivery`](crate::gateway::lease::Delivery), in its order.
pub(super) const DELIVERY: &str =
    "read_at, lease, leased_until, attempts, available_at, outcome, dead_at, expires_at";

/// Where a message stands now.
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) seq: i64,
    pub(super) created_at: String,
}

/// The body that answers a send.
pub(super) fn answer(message: &NewMessage, stored: &[(&String, Stored)]) -> String {
    let mut out = Vec::with_capacity(256);
    let first = stored.first().map(|(_, stored)| stored);
    let _ = write!(out, "{{\"id\":{},\"from_node\":", first.map_or(0, |first| first.id));
    json(&mut out, &message.from_node);
    out.extend_from_slice(b",\"to_node\":");
    match (message.is_fan_out, stored.first()) {
        (false, Some((to_node, _))) => json(&mut out, to_node),
        _ => out.extend_from_slice(b"null"),
    }
    let _ = write!(out, ",\"kind\":\"{}\",\"thread_id\":", message.kind);
    match &message.thread_id {
        Some(thread_id) => json(&mut out, thread_id),
        None => out.extend_from_slice(b"null"),
    }
    let _ = write!(out, ",\"created_at\":\"{}\"", first.map_or("", |first| first.created_at.as_str()));
    if message.is_fan_out {
        out.extend_from_slice(b",\"messages\":[");
        for (index, (to_node, stored)) in stored.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(out, "{comma}{{\"id\":{},\"to_node\":", stored.id);
            json(&mut out, to_node);
            let _ = write!(out, ",\"seq\":{}}}", stored.seq);
        }
        let _ = write!(out, "],\"n\":{}}}", stored.len());
    } else {
        let _ = write!(out, ",\"seq\":{}}}", first.map_or(0, |first| first.seq));
    }
    // Every part was text before.
    String::from_utf8(out).unwrap_or_default()
}

/// What the sender of a dead message is told, in the receiver's name.
pub(super) fn notice(id: i64, inbox: &str, sender: &str, thread: Option<&str>, attempts: u32) -> NewMessage {
    let text =
        format!("message {id} to {inbox} was given up after {attempts} attempts; nobody acknowledged it");
    NewMessage {
        from_node: inbox.to_owned(),
        to_nodes: vec![sender.to_owned()],
        is_fan_out: false,
        kind: Kind::Status,
        content_json: serde_json::Value::from(text).to_string(),
        thread_id: thread.map(str::to_owned),
        related_task_id: None,
        expires_at: None,
        reply_to: Some(id),
        ack_required: false,
        priority: 0,
        voucher: Voucher::Gateway,
        key: None,
        max_depth: None,
    }
}
