//! What a tool call is about: a read, a search, a change or a run of something, and which file.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

/// What a tool's result holds; how soon it is used up depends on it (section 1, point 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResultKind {
    /// The content of files.
    Read,
    /// Places and names that a search or a listing found.
    Search,
    /// The answer to a change of a file.
    Change,
    /// What tests, builds, installs and other commands printed.
    Log,
}

/// What is known of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) kind: ResultKind,
    /// Hash of the one file that it is about.
    pub(crate) path: Option<u64>,
    /// A few words for notes: the tool and the file's name.
    pub(crate) hint: String,
}

/// Argument names under which tools take one file.
const PATH_NAMES: [&str; 6] = ["path", "file_path", "filePath", "filename", "file", "target_file"];

/// Argument names under which tools take a shell command.
const COMMAND_NAMES: [&str; 3] = ["command", "cmd", "script"];

/// Programs that print what a file holds.
const READS: [&str; 9] = ["cat", "head", "tail", "nl", "bat", "less", "more", "xxd", "strings"];
/// Programs that print where something is.
const SEARCHES: [&str; 10] = ["grep", "egrep", "rg", "ag", "find", "fd", "ls", "tree", "which", "wc"];
/// Programs that print nothing that counts.
const QUIET: [&str; 12] =
    ["cd", "export", "set", "echo", "printf", "mkdir", "source", ".", "true", "sleep", "pwd", "cp"];
/// Words that run the program behind them.
const WRAPPERS: [&str; 5] = ["sudo", "time", "env", "nice", "command"];
/// The last operand of a command that looks like a file.
static OPERAND: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[\w@~./+-]*[\w-]+\.[A-Za-z]\w{0,5}\b").ok());

impl Call {
    /// Judges a call by the tool's name and its arguments.
    pub(crate) fn of(name: &str, arguments: &str) -> Call {
        let parsed: Option<Value> = serde_json::from_str(arguments).ok();
        let text = |names: &[&str]| {
            let map = parsed.as_ref()?.as_object()?;
            names.iter().find_map(|name| map.get(*name)?.as_str())
        };
        let (path, command) = (text(&PATH_NAMES), text(&COMMAND_NAMES));
        let lower = name.to_ascii_lowercase();
        let by_name = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let kind = if path.is_some() && command.is_some_and(|command| !command.contains(' ')) {
            // One tool for all of a file, the verb in `command`.
            match command {
                Some("view" | "read" | "open") => ResultKind::Read,
                _ => ResultKind::Change,
            }
        } else if by_name(&["read", "view", "open", "cat"]) {
            ResultKind::Read
        } else if by_name(&["grep", "search", "find", "glob", "list", "ls"]) {
            ResultKind::Search
        } else if by_name(&["write", "edit", "create", "insert", "replace", "patch", "apply"]) {
            ResultKind::Change
        } else {
            shell(command.unwrap_or(arguments))
        };
        let operand = command
            .filter(|_| kind == ResultKind::Read)
            .and_then(|command| OPERAND.as_ref()?.find_iter(command).last().map(|found| found.as_str()));
        let file = path.or(operand);
        let short = file.map_or("", |file| file.rsplit(['/', '\\']).next().unwrap_or(file));
        let hint = match short {
            "" => name.to_owned(),
            short => format!("{name} {short}"),
        };
        Call { kind, path: file.map(|file| xxh3_64(file.as_bytes())), hint: hint.chars().take(60).collect() }
    }
}

/// Judges a shell command by the first program of each pipeline: what runs something makes the whole a log.
fn shell(command: &str) -> ResultKind {
    let mut found = None;
    for pipeline in
        command.split(['\n', ';']).flat_map(|part| part.split("&&")).flat_map(|part| part.split("||"))
    {
        let mut words = pipeline.split_whitespace().skip_while(|word| {
            WRAPPERS.contains(word) || (word.contains('=') && !word.starts_with(['-', '=', '"', '\'']))
        });
        let (program, next) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let program = program.rsplit('/').next().unwrap_or(program);
        let kind = match program {
            "" => continue,
            program if QUIET.contains(&program) => continue,
            program if READS.contains(&program) => ResultKind::Read,
            program if SEARCHES.contains(&program) => ResultKind::Search,
            "sed" if next.starts_with("-n") => ResultKind::Read,
            "git" => match next {
                "show" | "diff" | "log" | "blame" => ResultKind::Read,
                "grep" | "ls-files" | "status" | "branch" => ResultKind::Search,
                _ => ResultKind::Log,
            },
            _ => ResultKind::Log,
        };
        match (found, kind) {
            (_, ResultKind::Log) => return ResultKind::Log,
            (None | Some(ResultKind::Search), kind) => found = Some(kind),
            _ => {}
        }
    }
    found.unwrap_or(ResultKind::Log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart() {
        for (name, arguments, kind, hint) in [
            ("read_file", r#"{"path":"/a/b.rs"}"#, ResultKind::Read, "read_file b.rs"),
            ("grep_search", r#"{"pattern":"x"}"#, ResultKind::Search, "grep_search"),
            ("edit", r#"{"path":"src/x.py","oldText":"a"}"#, ResultKind::Change, "edit x.py"),
            (
                "str_replace_editor",
                r#"{"command":"view","path":"/t/q.py"}"#,
                ResultKind::Read,
                "str_replace_editor q.py",
            ),
            (
                "str_replace_editor",
                r#"{"command":"str_replace","path":"/t/q.py"}"#,
                ResultKind::Change,
                "str_replace_editor q.py",
            ),
            ("bash", r#"{"command":"cd /x && python -m pytest -q | tail -20"}"#, ResultKind::Log, "bash"),
            ("bash", r#"{"command":"cd /x && cat lib/io.py"}"#, ResultKind::Read, "bash io.py"),
            ("bash", r#"{"command":"sed -n '1,20p' a/b.c"}"#, ResultKind::Read, "bash b.c"),
            ("bash", r#"{"command":"grep -rn foo . | head -5"}"#, ResultKind::Search, "bash"),
            ("bash", r#"{"command":"ls -la"}"#, ResultKind::Search, "bash"),
            ("bash", r#"{"command":"pip install x"}"#, ResultKind::Log, "bash"),
            ("bash", r#"{"command":"FOO=1 sudo make && ls"}"#, ResultKind::Log, "bash"),
            ("bash", "not json", ResultKind::Log, "bash"),
        ] {
            let call = Call::of(name, arguments);
            assert_eq!((call.kind, call.hint.as_str()), (kind, hint), "{name} {arguments}");
        }
    }
}
