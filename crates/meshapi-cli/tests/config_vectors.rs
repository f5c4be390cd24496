//! The recorded behaviour of the shared files, against the functions that the program calls.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a recorded vector that does not read is a failed test")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use meshapi_cli::{
    config::{Config, Environment, Folder, Overrides, history},
    sys,
};
use serde_json::{Map, Value, json};

#[test]
fn recorded_vectors_hold() {
    let mut failed = Vec::new();
    // One test, because the umask belongs to the whole process.
    for line in include_str!("fixtures/config.jsonl").lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let home = tempfile::tempdir().unwrap();
        lay_out(home.path(), &record["input"]["home_fs"]);
        let umask = u32::from_str_radix(record["input"]["umask"].as_str().unwrap_or("022"), 8).unwrap();
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let answer = match record["input"]["op"].as_str() {
            Some("config") => run_config(home.path(), &record["input"]),
            Some("history") => run_history(home.path(), &record["input"]),
            other => panic!("{other:?}"),
        };
        rustix::process::umask(before);
        let accepted = std::iter::once(&record["want"]).chain(record["also_ok"].as_array().unwrap());
        if !accepted.into_iter().any(|want| matches(want, &answer)) {
            failed.push(format!("{}\n  want {}\n  got  {answer}", record["id"], record["want"]));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn lay_out(home: &Path, files: &Value) {
    for (name, file) in files.as_object().unwrap() {
        let path = home.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match file["text"].as_str() {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::create_dir_all(&path).unwrap(),
        }
        if let Some(mode) = file["mode"].as_str() {
            let mode = u32::from_str_radix(mode, 8).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn run_history(home: &Path, input: &Value) -> Value {
    let folder = Folder::of(home);
    for entry in input["entries"].as_array().unwrap() {
        history::append(&folder, entry.as_str().unwrap()).unwrap();
    }
    json!({"kept": history::load(&folder).unwrap(), "mode": mode(&folder.file(history::HISTORY))})
}

fn run_config(home: &Path, input: &Value) -> Value {
    let env = Environment::from_lookup(|name| input["env"][name].as_str().map(Into::into));
    let folder = Folder::of(home);
    let mut config = None;
    let steps = input["steps"].as_array().unwrap();
    let steps: Vec<Value> =
        steps.iter().map(|step| run_step(step, home, &env, &folder, &mut config)).collect();

    let mut files = Map::new();
    for name in ["config.json", "credentials", "servers.json"] {
        let Ok(text) = fs::read_to_string(folder.file(name)) else { continue };
        let mut file = json!({"mode": mode(&folder.file(name)), "text": text});
        if name != "credentials"
            && let Ok(value) = serde_json::from_str::<Value>(&text)
        {
            file["json"] = value;
        }
        files.insert(name.to_owned(), file);
    }
    json!({"steps": steps, "files": files, "dir_mode": mode(folder.path())})
}

fn run_step(
    step: &Value,
    home: &Path,
    env: &Environment,
    folder: &Folder,
    config: &mut Option<Config>,
) -> Value {
    let mut warned = false;
    let mut answer = Map::new();
    match step["do"].as_str() {
        Some("load") => match Config::load(home, env, Overrides::default()) {
            Ok(loaded) => {
                warned = !loaded.warnings().is_empty();
                let mut stored = loaded.stored().clone();
                stored.fill();
                let mut shown = stored.to_map();
                shown.insert("base_url".into(), loaded.base_url().as_str().into());
                shown.insert("api_key".into(), loaded.key().map_or("", |found| found.key.expose()).into());
                answer.insert("cfg".into(), Value::Object(shown));
                *config = Some(loaded);
            }
            Err(_) => {
                warned = true;
                answer.insert("exit".into(), 2.into());
            }
        },
        Some("save") => {
            let config = config.as_mut().expect("recorded saves follow a load");
            let known = config.warnings().len();
            let set = step["set"].as_object().cloned().unwrap_or_default();
            config.store(set.iter().map(|(name, value)| (name.as_str(), value))).unwrap();
            warned = config.warnings().len() > known;
        }
        Some("save_servers") => {
            folder.ensure().unwrap();
            let rows = step["servers"].as_array().unwrap().iter();
            let rows: Vec<_> = rows.filter_map(|row| serde_json::from_value(row.clone()).ok()).collect();
            servers(folder).write(&rows);
        }
        Some("load_servers") => {
            answer.insert("servers".into(), json!(servers(folder).read()));
        }
        Some("clear_servers") => servers(folder).write(&[]),
        other => panic!("{other:?}"),
    }
    answer.insert("do".into(), step["do"].clone());
    answer.insert("warned".into(), warned.into());
    Value::Object(answer)
}

fn mode(path: &Path) -> Option<String> {
    sys::mode(path).ok().flatten().map(|mode| format!("{mode:04o}"))
}

/// Whether `got` is what was recorded; objects may hold more keys.
fn matches(want: &Value, got: &Value) -> bool {
    match (want, got) {
        (Value::Object(want), _) if want.contains_key("$any") => true,
        (Value::Object(want), Value::String(got)) if want.contains_key("$re") => {
            let pattern = format!("^(?s:{})$", want["$re"].as_str().unwrap());
            regex::Regex::new(&pattern).unwrap().is_match(got)
        }
        (Value::Object(want), Value::Object(got)) => want.iter().all(|(name, want)| {
            let found = got.get(name);
            match want.get("$absent") {
                Some(_) => found.is_none_or(|value| value.is_null() || value == ""),
                None => found.is_some_and(|value| matches(want, value)),
            }
        }),
        (Value::Array(want), Value::Array(got)) => {
            want.len() == got.len() && want.iter().zip(got).all(|(want, got)| matches(want, got))
        }
        (Value::Number(want), Value::Number(got)) => want.as_f64() == got.as_f64(),
        _ => want == got,
    }
}

fn servers(folder: &Folder) -> mesh_agent::builtin::RecordFile {
    mesh_agent::builtin::RecordFile::in_folder(folder.path().to_owned())
}
