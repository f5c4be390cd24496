//! `edit_file`: exact replacements, all or none; a near miss is explained.

use std::path::Path;

use mesh_safety::{Action, Sighting};
use serde_json::Value;

use super::{
    edit::{self, Done, Edit, Refused},
    files::{self, Stop, path_arg, plural},
    near, notes,
};
use crate::tool::{Args, FileChange, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec, args};

/// Largest file that is edited: 16 MiB. What is larger is better changed by a program.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Largest file whose change is kept for the diff: 2 MiB.
const DIFF_BYTES: usize = 2 * 1024 * 1024;

/// Line numbers that are listed in one sentence.
const LISTED_LINES: usize = 10;

const SPEC: ToolSpec = ToolSpec {
    name: "edit_file",
    description: "Replace exact text; all edits or none. `old` must occur once unless `all`.",
    parameters: r#"{"type":"object","properties":{"path":{"type":"string"},"edits":{"type":"array","items":{"type":"object","properties":{"old":{"type":"string"},"new":{"type":"string"},"all":{"type":"boolean"}},"required":["old","new"]}}},"required":["path","edits"]}"#,
    required: &["path", "edits"],
};

/// Replaces text in a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct EditFile;

impl Tool for EditFile {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, ctx: &ToolContext) -> Action {
        match path_arg(args) {
            Some(path) => Action::Write { path: files::judged(path, ctx) },
            None => Action::Unknown { tool: SPEC.name.to_owned() },
        }
    }

    fn summary(&self, args: &Args) -> String {
        let count = args.get("edits").and_then(Value::as_array).map_or(0, Vec::len);
        let path = path_arg(args).unwrap_or("(missing path)");
        format!("edit_file: {path} ({})", plural(count as u64, "edit"))
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Some(path) = path_arg(args) else {
                return ToolOutput::error(args::missing_argument(SPEC.name, "path"));
            };
            let edits = match edits(args) {
                Ok(edits) => edits,
                Err(problem) => return ToolOutput::error(problem),
            };
            let name = path.to_owned();
            let seen = files::sighting(&files::resolve(path, ctx), ctx)
                .map_err(|problem| format!("cannot edit {name}: {problem}"));
            files::blocking(move |stop| match seen.and_then(|seen| edit_file(&name, &seen, &edits, stop)) {
                Ok(output) => output,
                Err(problem) => ToolOutput::error(problem),
            })
            .await
        })
    }
}

fn edits(args: &Args) -> Result<Vec<Edit>, String> {
    let list = match args.get("edits") {
        Some(Value::Array(list)) if !list.is_empty() => list,
        _ => {
            return Err(format!(
                "{} Each entry is {{\"old\": ..., \"new\": ...}}.",
                args::missing_argument(SPEC.name, "edits")
            ));
        }
    };
    let edit = |(index, entry): (usize, &Value)| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
        match (text("old"), text("new")) {
            (Some(old), Some(new)) => {
                Ok(Edit { old, new, all: entry.as_object().is_some_and(|e| args::flag(e, "all")) })
            }
            _ => Err(format!("edit {} needs the strings `old` and `new`; nothing was changed", index + 1)),
        }
    };
    list.iter().enumerate().map(edit).collect()
}

fn edit_file(name: &str, seen: &Sighting, edits: &[Edit], stop: &Stop) -> Result<ToolOutput, String> {
    let failed = |problem: String| format!("cannot edit {name}: {problem}");
    let place = seen.open_write().map_err(|error| failed(files::problem(&error)))?;
    let old = place.open_old().map_err(|error| failed(files::problem(&error)))?;
    let old = old.ok_or_else(|| failed("no such file".to_owned()))?;
    let before = files::read_whole(old, MAX_BYTES, stop).map_err(failed)?;
    for (argument, text) in edits.iter().flat_map(|edit| [("old", &edit.old), ("new", &edit.new)]) {
        if let Some(refusal) = notes::refusal(argument, text, &before) {
            return Err(format!("{refusal}\nNothing was changed."));
        }
    }
    let mut content = before.clone();
    let mut done = Vec::with_capacity(edits.len());
    for (index, edit) in edits.iter().enumerate() {
        if stop.is_set() {
            return Err("the call was cancelled".to_owned());
        }
        let (next, what) = edit::apply(&content, edit).map_err(|refused| {
            let which = if edits.len() == 1 {
                String::new()
            } else {
                format!("edit {} of {}: ", index + 1, edits.len())
            };
            format!("{which}{}\nNothing was changed.", explain(name, &content, edit, &refused))
        })?;
        content = next;
        done.push(what);
    }
    if content == before {
        return Ok(ToolOutput::ok(format!("Nothing to do in {name}: {}", report(&done))));
    }
    place
        .replace(&content, || stop.is_set())
        .map_err(|error| format!("cannot write {name}: {}", files::problem(&error)))?;
    let change = change(seen.written(), before, content);
    Ok(ToolOutput { change, ..ToolOutput::ok(format!("OK — edited {name}: {}", report(&done))) })
}

/// What was done in one sentence: `replaced at lines 3, 9; edit 2 was already applied (line 4)`.
fn report(done: &[Done]) -> String {
    let replaced: Vec<usize> = done
        .iter()
        .flat_map(|done| match done {
            Done::Replaced { lines } => lines.as_slice(),
            Done::Already { .. } => &[],
        })
        .copied()
        .collect();
    let mut parts = Vec::new();
    if !replaced.is_empty() {
        parts.push(format!("replaced at {}", listed(&replaced)));
    }
    for (index, done) in done.iter().enumerate() {
        if let Done::Already { line } = done {
            parts.push(format!("edit {} was already applied (line {line})", index + 1));
        }
    }
    parts.join("; ")
}

fn explain(name: &str, content: &[u8], edit: &Edit, refused: &Refused) -> String {
    match refused {
        Refused::Empty => "`old` is empty; use write_file to make a file.".to_owned(),
        Refused::Same => "`old` and `new` are the same.".to_owned(),
        Refused::Ambiguous { lines } => format!(
            "`old` occurs {} times in {name}, at {}. Add surrounding lines to make it unique, or set `all`.",
            lines.len(),
            listed(lines)
        ),
        Refused::Missing => match near::nearest(content, &edit.old) {
            None => format!("`old` does not occur in {name}, and nothing like it. Read the file again."),
            Some(near) => {
                let space = if near.only_space { " It differs in white space only." } else { "" };
                format!("`old` does not occur in {name}.{space} Nearest text:\n{}", near.numbered())
            }
        },
    }
}

fn listed(lines: &[usize]) -> String {
    let some: Vec<String> = lines.iter().take(LISTED_LINES).map(usize::to_string).collect();
    let noun = if lines.len() == 1 { "line" } else { "lines" };
    let more = lines.len().saturating_sub(LISTED_LINES);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{noun} {}{rest}", some.join(", "))
}

fn change(target: &Path, before: Vec<u8>, after: Vec<u8>) -> Option<Box<FileChange>> {
    if before.len().max(after.len()) > DIFF_BYTES {
        return None;
    }
    let (before, after) = (String::from_utf8(before).ok()?, String::from_utf8(after).ok()?);
    Some(Box::new(FileChange { path: target.to_path_buf(), before: Some(before), after }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    async fn run(content: &[u8], edits: Value) -> (String, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("f"), content).unwrap();
        let args = json!({"path": "f", "edits": edits});
        let output = EditFile.run(args.as_object().unwrap(), &files::test_context(folder.path())).await;
        assert_eq!(output.is_error, output.text.starts_with("Error: "));
        (output.text, fs::read(folder.path().join("f")).unwrap())
    }

    #[tokio::test]
    async fn several_edits_build_on_each_other() {
        let edits = json!([{"old": "one", "new": "1"}, {"old": "1\n", "new": "1\n2\n"}, {"old": "a", "new": "b", "all": true}]);
        let (text, content) = run(b"a\r\none\r\na", edits).await;
        assert_eq!(text, "OK — edited f: replaced at lines 2, 2, 1, 4");
        assert_eq!(content, b"b\r\n1\r\n2\r\nb");
    }

    #[tokio::test]
    async fn notes_of_a_shortened_conversation_are_refused() {
        let note = "[12 lines as in result r5 above (f), from its line 1]";
        let (text, content) = run(b"a\nb\n", json!([{"old": "a", "new": format!("x\n{note}")}])).await;
        assert!(text.starts_with("Error: `new` holds \"[12 lines as in result\""), "{text}");
        assert!(text.contains("read_file") && text.ends_with("Nothing was changed."));
        assert_eq!(content, b"a\nb\n");
        let (text, _) = run(note.as_bytes(), json!([{"old": note, "new": "gone"}])).await;
        assert!(text.starts_with("OK"), "{text}");
    }

    #[tokio::test]
    async fn one_miss_leaves_the_file_as_it_was() {
        let edits = json!([{"old": "alpha", "new": "x"}, {"old": "bet()", "new": "y"}]);
        let (text, content) = run(b"alpha\n\tbeta();\n", edits).await;
        assert_eq!(
            text,
            "Error: edit 2 of 2: `old` does not occur in f. Nearest text:\n2| \tbeta();\nNothing was changed."
        );
        assert_eq!(content, b"alpha\n\tbeta();\n");
    }

    #[tokio::test]
    async fn answers_say_what_to_do() {
        let file = b"fn a() {\n    go();\n}\nfn b() {\n    go();\n}\n";
        for (edits, want) in [
            (
                json!([{"old": "go();", "new": "x"}]),
                "Error: `old` occurs 2 times in f, at lines 2, 5. Add surrounding lines to make it unique, or set `all`.\nNothing was changed.",
            ),
            (
                json!([{"old": "fn a() {\n  go();\n}", "new": "x"}]),
                "Error: `old` does not occur in f. It differs in white space only. Nearest text:\n1| fn a() {\n2|     go();\n3| }\nNothing was changed.",
            ),
            (
                json!([{"old": "unheard of", "new": "x"}]),
                "Error: `old` does not occur in f, and nothing like it. Read the file again.\nNothing was changed.",
            ),
            (
                json!([{"old": "fn c()", "new": "fn b()"}]),
                "Nothing to do in f: edit 1 was already applied (line 4)",
            ),
            (
                json!([{"old": "", "new": "x"}]),
                "Error: `old` is empty; use write_file to make a file.\nNothing was changed.",
            ),
            (json!([{"old": "x"}]), "Error: edit 1 needs the strings `old` and `new`; nothing was changed"),
            (
                json!([]),
                "Error: edit_file requires a `edits` argument. Each entry is {\"old\": ..., \"new\": ...}.",
            ),
        ] {
            let (text, content) = run(file, edits).await;
            assert_eq!(text, want);
            assert_eq!(content, file);
        }
    }

    #[tokio::test]
    async fn missing_and_huge_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = files::test_context(folder.path());
        fs::File::create(folder.path().join("huge")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        for (path, want) in [
            ("huge", "Error: cannot edit huge: it is larger than 16777216 bytes"),
            ("no", "Error: cannot edit no: "),
        ] {
            let args = json!({"path": path, "edits": [{"old": "a", "new": "b"}]});
            let output = EditFile.run(args.as_object().unwrap(), &ctx).await;
            assert!(output.text.starts_with(want) && output.is_error, "{}", output.text);
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn mode_and_bytes_survive() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sh");
        fs::write(&path, b"\xef\xbb\xbfold \xff\r\nno end").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let args = json!({"path": "run.sh", "edits": [{"old": "old", "new": "new\nline"}]});
        let output = EditFile.run(args.as_object().unwrap(), &files::test_context(folder.path())).await;
        assert_eq!((output.text.as_str(), output.change), ("OK — edited run.sh: replaced at line 1", None));
        assert_eq!(fs::read(&path).unwrap(), b"\xef\xbb\xbfnew\r\nline \xff\r\nno end");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
    }

    #[test]
    fn summary_counts_edits() {
        let args = json!({"path": "a", "edits": [{}]});
        assert_eq!(EditFile.summary(args.as_object().unwrap()), "edit_file: a (1 edit)");
        assert_eq!(EditFile.summary(&Args::new()), "edit_file: (missing path) (0 edits)");
    }
}
