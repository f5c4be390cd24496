//! Names and lists of peers as the reference implementations read them; what the rows mean stands in `fixtures/README.md`.

use mesh_mailbox::{MailboxError, PeerName, Registry};
use serde_json::{Value, json};

fn rows(text: &str) -> Vec<Value> {
    let rows: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect();
    assert!(!rows.is_empty());
    rows
}

/// An error in the words of the fixtures.
fn word(error: &MailboxError) -> &'static str {
    match error {
        MailboxError::InvalidName { .. } => "invalid_name",
        MailboxError::NotRegistered { .. } => "not_registered",
        MailboxError::Malformed { .. } => "malformed",
        other => panic!("{other:?}"),
    }
}

/// A name's way to the wire: the format, then the registry if there is one.
fn admitted(name: &str, registry: &Value) -> Result<PeerName, MailboxError> {
    let name = PeerName::parse(name)?;
    if !registry.is_null() {
        Registry::from_json(registry)?.admit(&name)?;
    }
    Ok(name)
}

#[test]
fn names_are_taken_and_refused_as_in_the_references() {
    for row in rows(include_str!("fixtures/names.jsonl")) {
        let found = match admitted(row["name"].as_str().unwrap(), &row["registry"]) {
            Ok(name) => json!({"canonical": name.as_str()}),
            Err(error) => json!({"error": word(&error)}),
        };
        let (field, value) = found.as_object().unwrap().iter().next().unwrap();
        assert_eq!(row.get(field), Some(value), "{row}");
    }
}

#[test]
fn lists_of_peers_are_read_as_in_the_references() {
    for row in rows(include_str!("fixtures/peers.jsonl")) {
        match Registry::from_json(&row["answer"]) {
            Ok(registry) => assert_eq!(json!(registry.names().collect::<Vec<_>>()), row["names"], "{row}"),
            Err(error) => assert_eq!(word(&error), row["error"], "{row}"),
        }
    }
}
