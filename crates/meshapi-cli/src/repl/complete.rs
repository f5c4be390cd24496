//! What Tab offers at the prompt: commands, and files where a command takes one.

use std::path::{Path, PathBuf};

use reedline::{Completer, CompletionResult, Span, Suggestion};

use crate::repl::slash;

/// Paths that are offered at most: more is a wall.
const MOST: usize = 50;

/// Completes slash commands and their paths.
#[derive(Clone, Debug)]
pub struct Commands {
    cwd: PathBuf,
}

impl Commands {
    /// Paths are relative to `cwd`.
    pub fn new(cwd: &Path) -> Commands {
        Commands { cwd: cwd.to_owned() }
    }

    fn paths(&self, typed: &str) -> Vec<String> {
        let (folder, start) = typed.rsplit_once('/').map_or(("", typed), |(folder, start)| (folder, start));
        let at =
            if typed.starts_with('/') { PathBuf::from(format!("{folder}/")) } else { self.cwd.join(folder) };
        let Ok(entries) = std::fs::read_dir(at) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let hidden = name.starts_with('.') && !start.starts_with('.');
                let end = if entry.path().is_dir() { "/" } else { "" };
                let path = if typed.contains('/') {
                    format!("{folder}/{name}{end}")
                } else {
                    format!("{name}{end}")
                };
                (name.starts_with(start) && !hidden).then_some(path)
            })
            .collect();
        names.sort();
        names.truncate(MOST);
        names
    }
}

impl Completer for Commands {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        CompletionResult::fresh(self.suggestions(line, pos))
    }
}

impl Commands {
    fn suggestions(&self, line: &str, pos: usize) -> Vec<Suggestion> {
        let typed = &line[..pos.min(line.len())];
        let Some(command) = typed.strip_prefix('/') else { return Vec::new() };
        match command.split_once(' ') {
            None => ranked(command)
                .into_iter()
                .map(|(name, what)| suggestion(format!("/{name}"), Some(what), (0, pos), true))
                .collect(),
            Some(("file" | "image", path)) => {
                let start = pos - path.len();
                let paths = self.paths(path);
                paths.into_iter().map(|path| suggestion(path, None, (start, pos), false)).collect()
            }
            Some(_) => Vec::new(),
        }
    }
}

fn suggestion(value: String, description: Option<&str>, span: (usize, usize), space: bool) -> Suggestion {
    Suggestion {
        value,
        description: description.map(str::to_owned),
        span: Span::new(span.0, span.1),
        append_whitespace: space,
        ..Suggestion::default()
    }
}

/// Commands that fit: those that begin with the text, then those that hold it, then those that hold its letters in order.
fn ranked(typed: &str) -> Vec<(&'static str, &'static str)> {
    let typed = typed.to_lowercase();
    let mut found: Vec<(u8, &str, &str)> = slash::commands()
        .iter()
        .filter_map(|command| Some((rank(command.name, &typed)?, command.name, command.help)))
        .collect();
    found.sort_by_key(|(rank, ..)| *rank);
    found.into_iter().map(|(_, name, what)| (name, what)).collect()
}

fn rank(name: &str, typed: &str) -> Option<u8> {
    let mut letters = name.chars();
    match () {
        () if name.starts_with(typed) => Some(0),
        () if name.contains(typed) => Some(1),
        () if typed.chars().all(|letter| letters.any(|c| c == letter)) => Some(2),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        assert_eq!(rank("model", "mo"), Some(0));
        assert_eq!(rank("model", "del"), Some(1));
        assert_eq!(rank("model", "ml"), Some(2));
        assert_eq!(rank("model", "lm"), None);
    }

    #[test]
    fn files_are_offered_after_their_commands() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/main.rs"), "").unwrap();
        std::fs::write(folder.path().join(".hidden"), "").unwrap();
        let commands = Commands::new(folder.path());
        let values = |line: &str| -> Vec<String> {
            commands.suggestions(line, line.len()).into_iter().map(|s| s.value).collect()
        };
        assert_eq!(values("/file "), ["src/"]);
        assert_eq!(values("/file src/m"), ["src/main.rs"]);
        assert_eq!(values("/mod"), ["/model", "/models", "/mode"]);
        assert!(values("plain text").is_empty());
    }
}
