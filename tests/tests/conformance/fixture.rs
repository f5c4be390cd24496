//! The files of a record in a throw-away folder, and its input with real paths in it.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::compare::unpacked;

/// Folders of a record, and what stands for them in its texts.
pub(crate) struct Fixture {
    input: Value,
    /// Marks and real paths, the longest path first.
    paths: Vec<(&'static str, String)>,
    _root: Option<TempDir>,
}

impl Fixture {
    /// Makes the files that the input asks for. An input without files gets no folders.
    pub(crate) fn of(input: &Value) -> Fixture {
        if input.get("fs").is_none() && input.get("home_fs").is_none() {
            return Fixture { input: expanded(input, &[]), paths: Vec::new(), _root: None };
        }
        let root = tempfile::tempdir().expect("a folder");
        let top = root.path().canonicalize().expect("the folder is there");
        let (work, home) = (top.join("w"), top.join("h"));
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let paths = vec![("${CWD}", text(&work)), ("${HOME}", text(&home)), ("${TMP}", text(&top))];
        for (key, folder) in [("fs", &work), ("home_fs", &home)] {
            fs::create_dir(folder).expect("a folder in an empty one");
            for (name, spec) in input[key].as_object().into_iter().flatten() {
                make(&folder.join(name), spec, &paths);
            }
        }
        let mut input = expanded(input, &paths);
        if let Some(input) = input.as_object_mut() {
            input.retain(|key, _| key != "fs" && key != "home_fs");
            input.insert("cwd".to_owned(), json!(work));
            input.insert("home".to_owned(), json!(home));
        }
        Fixture { input, paths, _root: Some(root) }
    }

    /// The input as the adapter gets it.
    pub(crate) fn input(&self) -> &Value {
        &self.input
    }

    /// An output with the marks in place of the real paths.
    pub(crate) fn portable(&self, output: &Value) -> Value {
        let swaps: Vec<_> = self.paths.iter().map(|(mark, path)| (path.as_str(), *mark)).collect();
        replaced(output, &swaps)
    }
}

fn make(path: &Path, spec: &Value, paths: &[(&'static str, String)]) {
    if spec["dir"] == true {
        fs::create_dir_all(path).expect("a folder");
    } else {
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        if let Some(target) = spec["symlink"].as_str() {
            return link(&expanded(&json!(target), paths), path);
        }
        let bytes = match spec["b64"].as_str() {
            Some(bytes) => STANDARD.decode(bytes).expect("base64"),
            None => expanded(&spec["text"], &[]).as_str().unwrap_or_default().as_bytes().to_vec(),
        };
        fs::write(path, bytes).expect("a file");
        if let Some(size) = spec["size"].as_u64() {
            let file = fs::OpenOptions::new().write(true).open(path);
            file.and_then(|file| file.set_len(size)).expect("a longer file");
        }
    }
    if let Some(mode) = spec["mode"].as_str().and_then(|mode| u32::from_str_radix(mode, 8).ok()) {
        set_mode(path, mode);
    }
}

#[cfg(unix)]
fn link(target: &Value, path: &Path) {
    std::os::unix::fs::symlink(target.as_str().unwrap_or_default(), path).expect("a link");
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}

#[cfg(not(unix))]
fn link(_: &Value, _: &Path) {}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

/// Packed texts written out, marks turned into paths.
fn expanded(value: &Value, paths: &[(&'static str, String)]) -> Value {
    let swaps: Vec<_> = paths.iter().map(|(mark, path)| (*mark, path.as_str())).collect();
    replaced(value, &swaps)
}

fn replaced(value: &Value, swaps: &[(&str, &str)]) -> Value {
    let swap = |text: &str| swaps.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    match value {
        Value::String(text) => swap(text).into(),
        Value::Array(items) => items.iter().map(|item| replaced(item, swaps)).collect(),
        Value::Object(members) => match members.get("$s").filter(|_| members.len() == 1) {
            Some(runs) => swap(&unpacked(runs)).into(),
            None => {
                let member = |(key, value): (&String, &Value)| (swap(key), replaced(value, swaps));
                Value::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
        },
        other => other.clone(),
    }
}
