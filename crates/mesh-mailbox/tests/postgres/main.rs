//! What is particular to PostgreSQL: what can go wrong on the way to it, and how gateways hear of each other.
#![cfg(all(feature = "postgres", unix))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as loudly as tests")]

mod faults;
mod lost;
mod news;
#[path = "../private_postgres/mod.rs"]
mod private_postgres;
mod wire;

use std::time::Duration;

use mesh_mailbox::Kind;
use mesh_mailbox::gateway::query::{Look, Order};
use mesh_mailbox::gateway::stamp::Stamp;
use mesh_mailbox::gateway::store::postgres::{Postgres, PostgresPlace};
use mesh_mailbox::gateway::store::{
    Command, Done, NewMessage, Reader as _, SendKey, Store as _, StoreError, Voucher,
};
use serde_json::Value;

/// A limit that a test can wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(1200);

pub(crate) fn place(address: &str) -> PostgresPlace {
    PostgresPlace::parse(address).unwrap()
}

pub(crate) fn message(to: &str, text: &str) -> NewMessage {
    NewMessage {
        from_node: "alice".into(),
        to_nodes: vec![to.into()],
        is_fan_out: false,
        kind: Kind::Fyi,
        content_json: Value::from(text).to_string(),
        thread_id: None,
        related_task_id: None,
        expires_at: None,
        reply_to: None,
        ack_required: false,
        priority: 0,
        voucher: Voucher::Peer,
        key: None,
        max_depth: None,
    }
}

pub(crate) fn send(to: &str) -> Command {
    Command::Append(Box::new(message(to, "x")))
}

/// A send that is safe to repeat.
pub(crate) fn keyed(key: &str) -> Command {
    let key = SendKey { sender: "alice".into(), key: key.into(), digest: [1; 32] };
    Command::Append(Box::new(NewMessage { key: Some(key), ..message("bob", "x") }))
}

/// Applies one command: its answer's body, and whether it is a repeat.
pub(crate) fn sent(store: &mut Postgres, command: Command) -> Result<(String, bool), StoreError> {
    match store.apply(Stamp::now(), &[command])?.remove(0) {
        Ok(Done::Appended { answer, is_replay, .. }) => Ok((answer, is_replay)),
        other => panic!("{other:?}"),
    }
}

/// The sequences of an inbox.
pub(crate) fn sequences(store: &Postgres, inbox: &str) -> Vec<i64> {
    let look = Look { to: Some(inbox.into()), limit: 1000, order: Order::Ascending, ..Look::default() };
    let mut out = b"[".to_vec();
    store.reader().unwrap().page(Stamp::now(), &look, usize::MAX, &mut out).unwrap();
    out.push(b']');
    let rows: Vec<Value> = serde_json::from_slice(&out).unwrap();
    rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect()
}
