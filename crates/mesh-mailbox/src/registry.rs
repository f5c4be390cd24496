//! Who is known to a gateway, and who was perhaps meant.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::MailboxError;
use crate::name::PeerName;

/// Fields that may hold a peer's name, the first non-empty one counts. From the Python client.
const NAME_FIELDS: [&str; 4] = ["node_name", "name", "id", "peer_name"];

/// Most names that an error suggests.
const MAX_SUGGESTIONS: usize = 3;

/// The names that a gateway lists. They are kept as they were sent: a gateway may hold peers whose names are no [`PeerName`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    names: BTreeSet<String>,
    nameless: usize,
}

impl Registry {
    /// Reads the answer to `GET /peers`: `{"peers": [...]}` or a bare list, each entry a text or an object.
    ///
    /// # Errors
    /// [`MailboxError::Malformed`] when there is no list, or not one name in a list that is not empty.
    pub fn from_json(answer: &Value) -> Result<Registry, MailboxError> {
        let malformed = MailboxError::Malformed { wanted: "a list of peers" };
        let entries = match answer {
            Value::Array(entries) => entries,
            Value::Object(fields) => match fields.get("peers") {
                Some(Value::Array(entries)) => entries,
                _ => return Err(malformed),
            },
            _ => return Err(malformed),
        };
        let mut registry = Registry::default();
        for entry in entries {
            match entry_name(entry) {
                Some(name) => {
                    registry.names.insert(name.to_owned());
                }
                None => registry.nameless += 1,
            }
        }
        if registry.names.is_empty() && registry.nameless > 0 { Err(malformed) } else { Ok(registry) }
    }

    /// Lets a name pass that the gateway knows.
    ///
    /// # Errors
    /// [`MailboxError::NotRegistered`] with the names that were perhaps meant.
    pub fn admit(&self, name: &PeerName) -> Result<(), MailboxError> {
        if self.names.contains(name.as_str()) {
            return Ok(());
        }
        Err(MailboxError::NotRegistered { name: name.clone(), near: self.near(name) })
    }

    /// Returns the names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Returns how many entries had no name and were left out.
    pub fn nameless(&self) -> usize {
        self.nameless
    }

    /// Well-formed names that look like this one or are a few keystrokes away, nearest first.
    fn near(&self, name: &PeerName) -> Vec<String> {
        near(name.as_str(), self.names())
    }
}

/// Well-formed ones of the known names that look like this one or are a few keystrokes away, nearest first; none for what is no
/// name at all.
pub(crate) fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let Ok(name) = PeerName::parse(name) else { return Vec::new() };
    // One slip in a short name, one more for each four characters, but never so many that all names are near.
    let reach = (name.as_str().len() / 4).clamp(1, 3);
    let mut near: Vec<(usize, &str)> = known
        .filter_map(|known| {
            // A name that is an old one itself would be sent somewhere else.
            let other = PeerName::parse(known).ok().filter(|parsed| parsed.as_str() == known)?;
            let distance = distance(&name, &other);
            (distance <= reach).then_some((distance, known))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(MAX_SUGGESTIONS).map(|(_, known)| known.to_owned()).collect()
}

/// 0 for names that look alike, 1 where one goes on after a dash, and single changes otherwise.
fn distance(one: &PeerName, other: &PeerName) -> usize {
    let goes_on = |long: &PeerName, short: &PeerName| {
        long.as_str().strip_prefix(short.as_str()).is_some_and(|rest| rest.starts_with('-'))
    };
    if one.looks_like(other) {
        0
    } else if goes_on(one, other) || goes_on(other, one) {
        1
    } else {
        edit_distance(one.as_str(), other.as_str())
    }
}

fn entry_name(entry: &Value) -> Option<&str> {
    match entry {
        Value::String(name) => Some(name),
        Value::Object(fields) => {
            NAME_FIELDS.iter().filter_map(|field| fields.get(*field)?.as_str()).find(|name| !name.is_empty())
        }
        _ => None,
    }
}

/// How many characters to insert, drop or replace to get from one name to the other. Names are ASCII and at most 64 long.
fn edit_distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn near(asked: &str) -> Vec<String> {
        let known = json!(["alice", "bob-2", "droplet", "lab-ovh", "workstation-lc", "Bad Name!", "ab\n"]);
        let registry = Registry::from_json(&known).unwrap();
        match registry.admit(&PeerName::parse(asked).unwrap()) {
            Err(MailboxError::NotRegistered { near, .. }) => near,
            other => panic!("{asked}: {other:?}"),
        }
    }

    #[test]
    fn an_unknown_name_brings_its_neighbours() {
        assert_eq!(near("a1ice"), ["alice"]);
        assert_eq!(near("lab-ovn"), ["lab-ovh"]);
        assert_eq!(near("workstation"), ["workstation-lc"]);
        assert_eq!(near("zebra"), [""; 0]);
        let error = Registry::from_json(&json!(["alice"])).unwrap().admit(&PeerName::parse("alise").unwrap());
        assert_eq!(error.unwrap_err().to_string(), "`alise` is not registered; did you mean alice?");
    }

    #[test]
    fn entries_without_a_name_are_counted() {
        let registry =
            Registry::from_json(&json!({"peers": [{"foo": 1}, 7, null, {"name": 5}, {"name": "ok"}]}))
                .unwrap();
        assert_eq!((registry.names().collect::<Vec<_>>(), registry.nameless()), (vec!["ok"], 4));
        for answer in [json!(null), json!("x"), json!({}), json!({"peers": null}), json!([7])] {
            assert!(Registry::from_json(&answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn distance_counts_single_changes() {
        assert_eq!(edit_distance("", ""), 0);
        assert_eq!(edit_distance("abc", ""), 3);
        assert_eq!(edit_distance("abc", "axc"), 1);
        assert_eq!(edit_distance("abc", "bc"), 1);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
