//! `servers.json`: background servers that may have outlived the run which started them. Seed 3.6.
//!
//! A list of `{"pid", "port", "cmd", "url"}`, shared with the Python releases.

use std::io;

use serde_json::{Map, Value};

use crate::config::file::{Durability, Folder};

/// Name of the file.
pub const SERVERS: &str = "servers.json";
/// The fields of a record, in order.
const FIELDS: [&str; 4] = ["pid", "port", "cmd", "url"];

/// Pure: the records of the file's text. What is no list, or no object in it, is left out.
pub fn parse(text: &[u8]) -> Vec<Map<String, Value>> {
    match serde_json::from_slice(text) {
        Ok(Value::Array(records)) => records.iter().filter_map(record).collect(),
        _ => Vec::new(),
    }
}

/// The records of the file; none if it is missing or unreadable. Touches nothing.
pub fn load(folder: &Folder) -> Vec<Map<String, Value>> {
    folder.read(SERVERS).ok().flatten().map(|text| parse(&text)).unwrap_or_default()
}

/// Replaces the records.
///
/// # Errors
/// The folder cannot be written.
pub fn save(folder: &Folder, records: &[Value]) -> io::Result<()> {
    let kept: Vec<Value> = records.iter().filter_map(record).map(Value::Object).collect();
    folder.write(SERVERS, format!("{:#}\n", Value::Array(kept)).as_bytes(), Durability::Synced)
}

/// Removes the file.
///
/// # Errors
/// It is there and cannot be removed.
pub fn clear(folder: &Folder) -> io::Result<()> {
    folder.remove(SERVERS)
}

fn record(value: &Value) -> Option<Map<String, Value>> {
    let fields = value.as_object()?;
    Some(
        FIELDS
            .iter()
            .map(|&name| (name.to_owned(), fields.get(name).cloned().unwrap_or(Value::Null)))
            .collect(),
    )
}
