//! `write_file`: a whole file, atomically.

use mesh_safety::{Action, Sighting};
use serde_json::Value;

use super::{
    files::{self, Stop, path_arg},
    notes,
    run_bash::shown,
};
use crate::tool::{Args, FileChange, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec, args};

/// Largest old file that is kept for the diff: 2 MiB.
const DIFF_BYTES: u64 = 2 * 1024 * 1024;

const SPEC: ToolSpec = ToolSpec {
    name: "write_file",
    description: "Write a whole file. Folders are created.",
    parameters: r#"{"type":"object","properties":{"path":{"type":"string"},"content":{"type":"string"}},"required":["path","content"]}"#,
    required: &["path", "content"],
};

/// Writes a whole file.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteFile;

impl Tool for WriteFile {
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
        let chars = match args.get("content") {
            Some(Value::String(content)) => content.chars().count(),
            // Not written, but told as the Python releases do.
            Some(Value::Array(items)) => items.len(),
            _ => 0,
        };
        format!("write_file: {} ({chars} chars)", shown(args, "path", usize::MAX))
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Some(path) = path_arg(args) else {
                return ToolOutput::error(args::missing_argument(SPEC.name, "path"));
            };
            let content = match args.get("content") {
                Some(Value::String(content)) => content.clone(),
                None | Some(Value::Null) => {
                    return ToolOutput::error(args::missing_argument(SPEC.name, "content"));
                }
                Some(_) => return ToolOutput::error("`content` must be a string"),
            };
            let name = path.to_owned();
            let seen = files::sighting(&files::resolve(path, ctx), ctx);
            files::blocking(move |stop| match seen.and_then(|seen| write(&name, &seen, content, stop)) {
                Ok(output) => output,
                Err(problem) => ToolOutput::error(format!("cannot write {name}: {problem}")),
            })
            .await
        })
    }
}

fn write(name: &str, seen: &Sighting, content: String, stop: &Stop) -> Result<ToolOutput, String> {
    let place = seen.open_write().map_err(|error| files::problem(&error))?;
    let old = place.open_old().ok().flatten();
    let before = old.and_then(|old| files::read_whole(old, DIFF_BYTES, stop).ok());
    let before = before.and_then(|before| String::from_utf8(before).ok());
    if let Some(refusal) =
        notes::refusal("content", &content, before.as_deref().unwrap_or_default().as_bytes())
    {
        return Ok(ToolOutput::error(format!("{name} was not written: {refusal}")));
    }
    place.replace(content.as_bytes(), || stop.is_set()).map_err(|error| files::problem(&error))?;
    let text = format!("OK — wrote {} chars to {name}", content.chars().count());
    let change = FileChange { path: seen.written().to_path_buf(), before, after: content };
    Ok(ToolOutput { change: Some(Box::new(change)), ..ToolOutput::ok(text) })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::json;

    use super::*;

    async fn run(folder: &Path, args: Value) -> ToolOutput {
        WriteFile.run(args.as_object().unwrap(), &files::test_context(folder)).await
    }

    #[tokio::test]
    async fn content_arrives_to_the_byte() {
        let folder = tempfile::tempdir().unwrap();
        for (path, content, chars) in [
            ("n.txt", "hi", 2),
            ("x/y/z.txt", "é😀", 2),
            ("e", "", 0),
            ("c", "a\r\nb\n", 5),
            ("s p", "\u{feff}x", 2),
        ] {
            let output = run(folder.path(), json!({"path": path, "content": content})).await;
            assert_eq!(output.text, format!("OK — wrote {chars} chars to {path}"));
            assert_eq!(fs::read(folder.path().join(path)).unwrap(), content.as_bytes());
            let want = FileChange { path: folder.path().join(path), before: None, after: content.into() };
            assert_eq!(output.change, Some(Box::new(want)));
        }
    }

    #[tokio::test]
    async fn the_change_holds_the_old_text_if_it_was_text() {
        let folder = tempfile::tempdir().unwrap();
        for (old, before) in [
            (b"old\r\n".to_vec(), Some("old\r\n".to_owned())),
            (b"\xff".to_vec(), None),
            (vec![b'x'; 3 << 20], None),
        ] {
            fs::write(folder.path().join("f"), old).unwrap();
            let output = run(folder.path(), json!({"path": "f", "content": "new"})).await;
            assert_eq!(output.change.unwrap().before, before);
            assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"new");
        }
    }

    #[tokio::test]
    async fn failures_are_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("f"), "").unwrap();
        for (args, want) in [
            (json!({"content": "x"}), "Error: write_file requires a `path` argument."),
            (
                json!({"path": "x", "content": null}),
                "Error: write_file requires a `content` argument. Use \"\" for an empty file.",
            ),
            (json!({"path": "x", "content": 5}), "Error: `content` must be a string"),
            (json!({"path": "d", "content": "x"}), "Error: cannot write d: it is a directory"),
        ] {
            assert_eq!(run(folder.path(), args).await.text, want);
        }
        assert!(run(folder.path(), json!({"path": "f/b", "content": "x"})).await.is_error);
        assert!(!folder.path().join("x").exists());
    }

    #[tokio::test]
    async fn notes_of_a_shortened_conversation_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let content = "fn a() {\n[... 900 bytes cut; read them with read_file(\"r7\") ...]\n}\n";
        let output = run(folder.path(), json!({"path": "a.rs", "content": content})).await;
        assert!(output.is_error && output.text.starts_with("Error: a.rs was not written: `content` holds"));
        assert!(output.text.contains("read_file") && !folder.path().join("a.rs").exists());
        fs::write(folder.path().join("a.rs"), content).unwrap();
        assert!(!run(folder.path(), json!({"path": "a.rs", "content": content})).await.is_error);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_new_file_has_the_mode_that_any_program_gives() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), json!({"path": "ours", "content": ""})).await;
        fs::write(folder.path().join("any"), "").unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode();
        assert_eq!(mode("ours"), mode("any"));
    }

    #[test]
    fn summary_counts_characters() {
        let args = json!({"path": "a", "content": "é😀"});
        assert_eq!(WriteFile.summary(args.as_object().unwrap()), "write_file: a (2 chars)");
        assert_eq!(WriteFile.summary(&Args::new()), "write_file: (missing path) (0 chars)");
    }
}
