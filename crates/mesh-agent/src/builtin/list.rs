//! `list_dir`: one folder, sorted by name.

use std::{collections::BinaryHeap, ffi::OsStr};

use mesh_safety::{Action, Entry, OpenedFolder, Sighting};

use super::files::{self, Stop, path_arg};
use crate::tool::{Args, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec};

/// Entries that are named in one result.
const SHOWN: usize = 500;

const SPEC: ToolSpec = ToolSpec {
    name: "list_dir",
    description: "List a folder.",
    parameters: r#"{"type":"object","properties":{"path":{"type":"string"}}}"#,
    required: &[],
};

/// Lists a folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListDir;

impl Tool for ListDir {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, ctx: &ToolContext) -> Action {
        Action::Search { path: files::judged(path_arg(args).unwrap_or("."), ctx) }
    }

    fn summary(&self, args: &Args) -> String {
        format!("list_dir: {}", path_arg(args).unwrap_or("."))
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let name = path_arg(args).unwrap_or(".").to_owned();
            let seen = files::sighting(&files::resolve(&name, ctx), ctx);
            files::blocking(move |stop| match seen.and_then(|seen| list(&seen, stop)) {
                Ok(text) => ToolOutput::ok(text),
                Err(problem) => ToolOutput::error(format!("cannot list {name}: {problem}")),
            })
            .await
        })
    }
}

fn list(seen: &Sighting, stop: &Stop) -> Result<String, String> {
    let folder = seen.open_folder().map_err(|error| files::problem(&error))?;
    // Of a very large folder only the first names are kept; the last of them is on top.
    let mut kept = BinaryHeap::new();
    let mut total = 0u64;
    for name in folder.names().map_err(|error| files::reason(&error))? {
        if stop.is_set() {
            return Err("the call was cancelled".to_owned());
        }
        kept.push(name.map_err(|error| files::reason(&error))?);
        total += 1;
        if kept.len() > SHOWN {
            kept.pop();
        }
    }
    if total == 0 {
        return Ok("[the folder is empty]".to_owned());
    }
    let shown = kept.len() as u64;
    let mut lines: Vec<String> = kept.into_sorted_vec().iter().map(|name| line(&folder, name)).collect();
    if shown < total {
        lines.push(format!("[the first {shown} of {total} entries]"));
    }
    Ok(lines.join("\n"))
}

/// `name/` for a folder, `name -> target` for a link, `name  size` for a file, `name  (special)` for the rest.
fn line(folder: &OpenedFolder, name: &OsStr) -> String {
    let shown = files::one_line(&name.to_string_lossy());
    match folder.entry(name) {
        Err(_) => shown,
        Ok(Entry::Folder) => format!("{shown}/"),
        Ok(Entry::Link(target)) => format!("{shown} -> {}", files::one_line(&target.to_string_lossy())),
        Ok(Entry::File(bytes)) => format!("{shown}  {bytes}"),
        Ok(Entry::Special) => format!("{shown}  (special)"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::{Value, json};

    use super::*;

    async fn run(folder: &Path, args: Value) -> String {
        ListDir.run(args.as_object().unwrap(), &files::test_context(folder)).await.text
    }

    #[tokio::test]
    async fn entries_say_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run(folder.path(), json!({})).await, "[the folder is empty]");
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("b.txt"), "12345").unwrap();
        fs::write(folder.path().join(".a"), "").unwrap();
        assert_eq!(run(folder.path(), json!({"path": "."})).await, ".a  0\nb.txt  5\nsub/");
        assert_eq!(run(folder.path(), json!({"path": "sub"})).await, "[the folder is empty]");
        assert_eq!(
            run(folder.path(), json!({"path": "b.txt"})).await,
            "Error: cannot list b.txt: it is not a folder"
        );
        assert!(run(folder.path(), json!({"path": "no"})).await.starts_with("Error: cannot list no: "));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_and_odd_names_stay_on_their_line() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/no/where", folder.path().join("link")).unwrap();
        fs::write(folder.path().join("two\nlines"), "").unwrap();
        assert_eq!(run(folder.path(), json!({})).await, "link -> /no/where\ntwo\\nlines  0");
    }

    #[tokio::test]
    async fn large_folders_are_cut_and_say_so() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..502 {
            fs::write(folder.path().join(format!("{n:03}")), "").unwrap();
        }
        let text = run(folder.path(), json!({})).await;
        assert_eq!(text.lines().nth(499), Some("499  0"));
        assert_eq!(text.lines().nth(500), Some("[the first 500 of 502 entries]"));
    }

    #[test]
    fn summary_and_action_name_the_folder() {
        let ctx = files::test_context(Path::new("/w"));
        assert_eq!(ListDir.summary(&Args::new()), "list_dir: .");
        assert_eq!(ListDir.action(&Args::new(), &ctx), Action::Search { path: "/w".into() });
    }
}
