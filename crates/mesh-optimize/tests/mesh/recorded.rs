//! Recorded sessions as the requests that were made for them.

use std::path::PathBuf;

use serde_json::{Value, json};

/// A recorded session.
pub(crate) struct Session {
    pub(crate) id: String,
    messages: Vec<Value>,
    times: Option<Vec<f64>>,
}

/// A request of a session, and when it was made.
pub(crate) struct Request {
    pub(crate) body: Vec<u8>,
    pub(crate) now: f64,
}

/// The sessions of the fixtures, or of the folder that `MESH_TRAJECTORIES` names.
pub(crate) fn sessions() -> Vec<Session> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sessions");
    let folder = std::env::var_os("MESH_TRAJECTORIES").map_or(here, PathBuf::from);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    files.iter().map(|path| read(&std::fs::read_to_string(path).unwrap())).collect()
}

fn read(text: &str) -> Session {
    let value: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let messages = value["messages"].as_array().unwrap().clone();
    let times = value["t"].as_array().map(|times| times.iter().map(|time| time.as_f64().unwrap()).collect());
    Session { id: value["id"].as_str().unwrap().to_owned(), messages, times }
}

impl Session {
    /// One request for each reply, at most 200.
    pub(crate) fn requests(&self, dial: f64, model: &str) -> Vec<Request> {
        let system = json!({"role": "system", "content": format!("You are a coding agent.\n{}", "Keep to the rules of the house. ".repeat(500))});
        let mut now = 0.0;
        let mut requests = Vec::new();
        for (number, message) in self.messages.iter().enumerate().skip(1) {
            if message["role"] != "assistant" || requests.len() == 200 {
                continue;
            }
            now = self.times.as_ref().map_or(now + 15.0, |times| f64::max(now, times[number - 1]));
            let mut messages = vec![system.clone()];
            messages.extend_from_slice(&self.messages[..number]);
            let body = json!({
                "model": model,
                "messages": messages,
                "tools": [{"type": "function", "function": {"name": "run", "parameters": {"type": "object"}}}],
                "mesh_optimize": dial,
                "mesh_hints": {"session_id": self.id, "now": now},
            });
            requests.push(Request { body: body.to_string().into_bytes(), now });
        }
        requests
    }
}
