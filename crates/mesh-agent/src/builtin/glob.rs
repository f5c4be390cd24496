//! `glob`: files by the pattern of their names, newest first.

use std::{cmp::Reverse, collections::BinaryHeap, path::PathBuf, time::SystemTime};

use mesh_safety::{Action, Sighting};

use super::{
    files::{self, Stop, path_arg, plural},
    walk::{self, NamePattern},
};
use crate::tool::{Args, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec, args};

/// Files that are named in one result.
const SHOWN: usize = 200;

const SPEC: ToolSpec = ToolSpec {
    name: "glob",
    description: "Find files by pattern (src/**/*.rs), newest first.",
    parameters: r#"{"type":"object","properties":{"pattern":{"type":"string"},"path":{"type":"string"}},"required":["pattern"]}"#,
    required: &["pattern"],
};

/// Finds files by name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Glob;

impl Tool for Glob {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, ctx: &ToolContext) -> Action {
        Action::Search { path: place(args, ctx).0 }
    }

    fn summary(&self, args: &Args) -> String {
        let pattern = args::text(args, "pattern").unwrap_or("(missing pattern)");
        let place = path_arg(args).map_or_else(String::new, |path| format!(" in {path}"));
        format!("glob: {pattern}{place}")
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let (root, pattern) = place(args, ctx);
            if pattern.is_empty() {
                return ToolOutput::error(args::missing_argument(SPEC.name, "pattern"));
            }
            let names = match NamePattern::new(&pattern) {
                Ok(names) => names,
                Err(problem) => return ToolOutput::error(problem),
            };
            let ctx = ctx.clone();
            let seen = files::sighting(&root, &ctx);
            files::blocking(move |stop| match seen.and_then(|seen| find(&seen, &names, &ctx, stop)) {
                Ok(text) => ToolOutput::ok(text),
                Err(problem) => {
                    ToolOutput::error(format!("cannot search {}: {problem}", files::shown(&root, &ctx)))
                }
            })
            .await
        })
    }
}

/// Where to look and for what: a pattern that leads away brings its own place.
fn place(args: &Args, ctx: &ToolContext) -> (PathBuf, String) {
    let pattern = args::text(args, "pattern").unwrap_or_default();
    walk::split_root(pattern, ctx).unwrap_or_else(|| {
        let path = path_arg(args).unwrap_or(".");
        (files::resolve(path, ctx), pattern.to_owned())
    })
}

fn find(seen: &Sighting, names: &NamePattern, ctx: &ToolContext, stop: &Stop) -> Result<String, String> {
    let root = seen.written();
    let tree = walk::Tree::open(seen)?;
    // The oldest of those kept is on top, to make room for a newer one.
    let mut kept: BinaryHeap<(Reverse<SystemTime>, PathBuf)> = BinaryHeap::new();
    let mut total = 0u64;
    let mut gone = 0u64;
    let unread = walk::files_below(root, names.wants_hidden(), stop, |entry| {
        if names.matches(entry.path(), root, ctx) {
            // A name that is not below the opened folder was found behind a link that somebody put there meanwhile.
            let Some(changed) = tree.modified(entry) else {
                gone += 1;
                return true;
            };
            total += 1;
            kept.push((Reverse(changed), entry.path().to_path_buf()));
            if kept.len() > SHOWN {
                kept.pop();
            }
        }
        true
    })?;
    let shown = kept.len();
    let mut lines: Vec<String> =
        kept.into_sorted_vec().into_iter().map(|(_, path)| files::shown(&path, ctx)).collect();
    if total == 0 {
        lines.push("[no file matches]".to_owned());
    } else if shown as u64 != total {
        lines.push(format!("[{shown} of {} shown, the newest]", plural(total, "file")));
    }
    if unread + gone > 0 {
        lines.push(format!("[{} could not be read]", plural(unread + gone, "folder")));
    }
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use serde_json::{Value, json};

    use super::*;

    async fn run(folder: &Path, args: Value) -> String {
        Glob.run(args.as_object().unwrap(), &files::test_context(folder)).await.text
    }

    fn file(folder: &Path, path: &str, age: u64) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
        fs::File::create(path).unwrap().set_modified(time).unwrap();
    }

    #[tokio::test]
    async fn newest_files_come_first() {
        let folder = tempfile::tempdir().unwrap();
        for (path, age) in [
            ("old.rs", 9),
            ("src/new.rs", 1),
            ("src/b.rs", 5),
            ("src/a.rs", 5),
            ("x.ts", 0),
            (".h/x.rs", 0),
            ("out/x.rs", 0),
        ] {
            file(folder.path(), path, age);
        }
        fs::write(folder.path().join(".gitignore"), "out\n").unwrap();
        let at = |args| run(folder.path(), args);
        assert_eq!(at(json!({"pattern": "*.rs"})).await, "src/new.rs\nsrc/a.rs\nsrc/b.rs\nold.rs");
        assert_eq!(at(json!({"pattern": "src/*"})).await, "src/new.rs\nsrc/a.rs\nsrc/b.rs");
        assert_eq!(at(json!({"pattern": "**/*.rs", "path": "src"})).await, "src/new.rs\nsrc/a.rs\nsrc/b.rs");
        assert_eq!(at(json!({"pattern": ".h/*"})).await, ".h/x.rs");
        assert_eq!(at(json!({"pattern": "*.py"})).await, "[no file matches]");
        let absolute = folder.path().join("*.ts").display().to_string();
        assert_eq!(at(json!({"pattern": absolute})).await, "x.ts");
    }

    #[tokio::test]
    async fn long_results_are_cut_and_say_so() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..250 {
            file(folder.path(), &format!("{n:03}"), n);
        }
        let text = run(folder.path(), json!({"pattern": "*"})).await;
        assert_eq!(text.lines().next(), Some("000"));
        assert_eq!(text.lines().nth(199), Some("199"));
        assert_eq!(text.lines().nth(200), Some("[200 of 250 files shown, the newest]"));
    }

    #[tokio::test]
    async fn failures_are_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run(folder.path(), json!({})).await, "Error: glob requires a `pattern` argument.");
        let text = run(folder.path(), json!({"pattern": "a", "path": "no"})).await;
        assert!(text.starts_with("Error: cannot search no: "));
        assert!(
            run(folder.path(), json!({"pattern": "{"})).await.starts_with("Error: `{` is no file pattern: ")
        );
    }

    #[test]
    fn the_action_is_where_the_walk_starts() {
        let ctx = files::test_context(Path::new("/w"));
        let action = |args: Value| Glob.action(args.as_object().unwrap(), &ctx);
        assert_eq!(action(json!({"pattern": "*.rs"})), Action::Search { path: "/w".into() });
        assert_eq!(
            action(json!({"pattern": "*.rs", "path": "src"})),
            Action::Search { path: "/w/src".into() }
        );
        assert_eq!(
            action(json!({"pattern": "/etc/*", "path": "src"})),
            Action::Search { path: "/etc".into() }
        );
        assert_eq!(Glob.summary(json!({"pattern": "*"}).as_object().unwrap()), "glob: *");
    }
}
