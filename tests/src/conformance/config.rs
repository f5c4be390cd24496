//! The set `config`: settings, key, servers and prompt history below a home of the record's own.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use mesh_agent::builtin::{RecordFile, ServerRecord};
use meshapi_cli::{
    config::{
        Config, Environment, Folder, Overrides,
        history::{self, HISTORY},
        key,
    },
    exit::Failure,
    sys::HOME_VARIABLE,
};
use serde_json::{Map, Value, json};

use super::{Outcome, list, object, output, text};

/// The umask is the process's: one record at a time.
static UMASK: Mutex<()> = Mutex::new(());

pub(super) fn answer(op: &str, input: &Value) -> Outcome {
    let (_, home) = super::folders(input)?;
    let _one = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    let _umask = input["umask"].as_str().and_then(|mask| u32::from_str_radix(mask, 8).ok()).map(Umask::set);
    if op == "history" { store_history(&home, input) } else { steps(&home, input) }
}

fn store_history(home: &Path, input: &Value) -> Outcome {
    let folder = Folder::of(home);
    for entry in list(input, "entries") {
        history::append(&folder, entry.as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
    }
    let kept = history::load(&folder).map_err(|error| error.to_string())?;
    output(json!({"kept": kept, "mode": mode(&folder.file(HISTORY))}))
}

fn steps(home: &Path, input: &Value) -> Outcome {
    let folder = Folder::of(home);
    let mut run = Run { home, input, folder: folder.clone(), config: None };
    let steps: Vec<Value> = list(input, "steps").iter().map(|step| run.step(step)).collect();
    output(json!({"steps": steps, "files": files(&folder), "dir_mode": mode(folder.path())}))
}

/// One run of the program, step by step.
struct Run<'r> {
    home: &'r Path,
    input: &'r Value,
    folder: Folder,
    config: Option<Config>,
}

/// What a step shows beside its name, and whether it warned; or all that it shows when it failed.
type Shown = Result<(Map<String, Value>, bool), Value>;

impl Run<'_> {
    fn servers(&self) -> RecordFile {
        RecordFile::in_folder(self.folder.path().to_owned())
    }

    fn step(&mut self, step: &Value) -> Value {
        let name = text(step, "do");
        let shown = match name.as_str() {
            "load" => self.load(),
            "save" => self.save(&object(&step["set"])),
            "save_key" => self.save_key(&text(step, "key")),
            "load_key" => self.load_key(),
            "save_servers" => silent(self.folder.ensure().map(|()| self.servers().write(&records(step)))),
            "load_servers" => Ok((one("servers", json!(self.servers().read())), false)),
            "clear_servers" => {
                self.servers().write(&[]);
                silent(Ok(()))
            }
            _ => Err(json!({"error": "unknown step", "warned": false})),
        };
        let mut said = match shown {
            Ok((mut shown, warned)) => {
                shown.insert("warned".to_owned(), json!(warned));
                Value::Object(shown)
            }
            Err(said) => said,
        };
        said["do"] = json!(name);
        said
    }

    /// A start. The notice about the old name of the key's variable is no warning.
    fn load(&mut self) -> Shown {
        self.config = None;
        let env = Environment::from_lookup(|name| match self.input["env"][name].as_str() {
            None if name == HOME_VARIABLE => Some(self.home.into()),
            value => value.map(Into::into),
        });
        let config = Config::load(self.home, &env, Overrides::default())
            .map_err(|error| json!({"exit": Failure::from(error).exit.code(), "warned": true}))?;
        let shown = (one("cfg", acting(&config)), !config.warnings().is_empty());
        self.config = Some(config);
        Ok(shown)
    }

    fn save(&mut self, changes: &Map<String, Value>) -> Shown {
        if self.config.is_none() {
            self.load()?;
        }
        let Some(config) = &mut self.config else { return Err(json!({"error": "no settings"})) };
        let before = config.warnings().len();
        config.store(changes.iter().map(|(key, value)| (key.as_str(), value))).map_err(|e| fault(&e))?;
        Ok((Map::new(), config.warnings().len() > before))
    }

    fn save_key(&self, text: &str) -> Shown {
        let key = text.parse().map_err(|error: mesh_client::ApiKeyError| fault(&error))?;
        silent(key::save(&self.folder, &key))
    }

    fn load_key(&self) -> Shown {
        let found = key::load(&self.folder).map_err(|error| fault(&error))?.unwrap_or_default();
        Ok((one("key", json!(found.trim())), false))
    }
}

fn one(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

/// The rows of a step that a server could have; the file keeps no others.
fn records(step: &Value) -> Vec<ServerRecord> {
    let rows = list(step, "servers").iter();
    rows.filter_map(|row| serde_json::from_value(row.clone()).ok()).collect()
}

fn silent(done: std::io::Result<()>) -> Shown {
    done.map(|()| (Map::new(), false)).map_err(|error| fault(&error))
}

fn fault(error: &impl std::fmt::Display) -> Value {
    json!({"error": error.to_string(), "warned": true})
}

/// The stored settings, and in place of those that the program acts on what it acts on.
fn acting(config: &Config) -> Value {
    let values = config.values();
    let mut cfg = config.stored().to_map();
    let key = config.key().map_or("", |found| found.key.expose());
    for (name, value) in [
        ("base_url", json!(config.base_url().as_str())),
        ("api_key", json!(key)),
        ("model", json!(values.model)),
        ("route", json!(values.route)),
        ("fallback_models", json!(values.fallback_models)),
        ("optimize", json!(values.optimize)),
    ] {
        cfg.insert(name.to_owned(), value);
    }
    Value::Object(cfg)
}

/// The files of the folder: mode and content, as JSON where it is.
fn files(folder: &Folder) -> Map<String, Value> {
    let mut files = Map::new();
    for entry in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
        let Ok(bytes) = std::fs::read(entry.path()) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut file = json!({"mode": mode(&entry.path())});
        match serde_json::from_str::<Value>(&text) {
            Ok(json) if name.ends_with(".json") => file["json"] = json,
            _ => file["text"] = json!(text),
        }
        files.insert(name, file);
    }
    files
}

/// Permissions as four octal digits; null where there is nothing, or no such thing as permissions.
#[cfg(unix)]
fn mode(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    Some(format!("{:04o}", std::fs::metadata(path).ok()?.mode() & 0o7777))
}

#[cfg(not(unix))]
fn mode(_: &Path) -> Option<String> {
    None
}

/// Another umask until it is dropped.
#[cfg(unix)]
struct Umask(rustix::fs::Mode);

#[cfg(unix)]
impl Umask {
    fn set(mask: u32) -> Umask {
        let mask = rustix::fs::RawMode::try_from(mask & 0o777).unwrap_or_default();
        Umask(rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask)))
    }
}

#[cfg(unix)]
impl Drop for Umask {
    fn drop(&mut self) {
        rustix::process::umask(self.0);
    }
}

#[cfg(not(unix))]
struct Umask;

#[cfg(not(unix))]
impl Umask {
    fn set(_: u32) -> Umask {
        Umask
    }
}
