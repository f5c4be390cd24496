//! `/file`: a text of the user's disk in the conversation.

use std::{io::Read, path::Path};

use super::{Outcome, SlashContext, table::Work};
use crate::{
    exit::with_causes,
    repl::paths,
    secret, sys,
    ui::line::{Line, Style},
};

/// Longest file that is taken. From the seed's successor: 2 MB.
const MAX_BYTES: u64 = 2 << 20;

/// A text file.
#[derive(Debug, PartialEq, Eq)]
struct TextFile {
    name: String,
    text: String,
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("usage: /file PATH puts a text file into the conversation")]
    NoPath,
    #[error("File not found: {0}")]
    Missing(String),
    #[error("{0} is a folder; /file takes one text file")]
    Folder(String),
    #[error("{0} is not a regular file")]
    Special(String),
    #[error(
        "{path} is too long: {bytes} bytes, at most {MAX_BYTES} are taken; ask the model to read parts of it"
    )]
    TooLong { path: String, bytes: u64 },
    #[error("{0} is not a text in UTF-8")]
    Binary(String),
    #[error("{path} cannot be read")]
    Unreadable {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

pub(super) fn file<'a>(argument: &'a str, context: &'a mut SlashContext<'_>) -> Work<'a> {
    Box::pin(async move {
        let agent = &mut context.wired.agent;
        let home = context.config.folder().path().parent();
        let TextFile { name, text } = match read(argument, agent.cwd(), home) {
            Ok(file) => file,
            Err(trouble) => return Outcome::bad(&with_causes(&trouble)),
        };
        if let Err(error) = agent.tell(message(&name, &text)).await {
            return Outcome::bad(&with_causes(&error));
        }
        let mut outcome = Outcome::note(&format!("Added {name} ({} chars) to context", text.chars().count()));
        if secret::is_in(&text) {
            let warning = "It holds what looks like a key or a password, and goes to the model with your next prompt; /clear takes it back.";
            outcome.lines.push(Line::prose(Style::Warn, warning));
        }
        outcome
    })
}

/// What the model is told. The fence is longer than any in the text, so that the text cannot end it.
fn message(name: &str, text: &str) -> String {
    let longest = text.lines().map(|line| line.trim_start().bytes().take_while(|b| *b == b'`').count()).max();
    let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
    // A line feed in a name must not begin a line of its own.
    let name: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("File: {name}\n\n{fence}\n{text}\n{fence}")
}

fn read(argument: &str, cwd: &Path, home: Option<&Path>) -> Result<TextFile, Trouble> {
    if argument.is_empty() {
        return Err(Trouble::NoPath);
    }
    let path = paths::meant(argument, cwd, home).ok_or_else(|| Trouble::Missing(argument.to_owned()))?;
    let shown = || argument.to_owned();
    let unreadable = |source| Trouble::Unreadable { path: shown(), source };
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let metadata = std::fs::metadata(&path).map_err(unreadable)?;
    match &metadata {
        found if found.is_dir() => return Err(Trouble::Folder(shown())),
        found if !found.is_file() => return Err(Trouble::Special(shown())),
        found if found.len() > MAX_BYTES => {
            return Err(Trouble::TooLong { path: shown(), bytes: found.len() });
        }
        _ => {}
    }
    let mut bytes = Vec::new();
    let file = sys::open_without_waiting(&path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        // It grew meanwhile, or is one of those that do not say how long they are.
        return Err(Trouble::TooLong { path: shown(), bytes: bytes.len() as u64 });
    }
    if bytes.contains(&0) {
        return Err(Trouble::Binary(shown()));
    }
    let text = String::from_utf8(bytes).map_err(|_| Trouble::Binary(shown()))?;
    let name = path.file_name().map_or_else(shown, |name| name.to_string_lossy().into_owned());
    Ok(TextFile { name, text })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_text_is_taken_and_everything_else_is_a_red_line() {
        let folder = tempfile::tempdir().unwrap();
        let (cwd, home) = (folder.path().join("w"), folder.path().join("h"));
        for path in [&cwd, &home, &cwd.join("d")] {
            std::fs::create_dir_all(path).unwrap();
        }
        let put = |path: PathBuf, bytes: &[u8]| std::fs::write(path, bytes).unwrap();
        put(cwd.join("a b.txt"), "é\r\nx".as_bytes());
        put(home.join("h.txt"), b"home");
        put(cwd.join("latin"), b"\xe9");
        put(cwd.join("nul"), b"a\0b");
        put(cwd.join("full"), &vec![b'x'; MAX_BYTES as usize]);
        put(cwd.join("over"), &vec![b'x'; MAX_BYTES as usize + 1]);
        let show = |argument: &str| match read(argument, &cwd, Some(&home)) {
            Ok(file) => format!("{}: {} chars", file.name, file.text.chars().count()),
            Err(trouble) => trouble.to_string(),
        };
        let escaped = cwd.join("a b.txt").display().to_string().replace(' ', "\\ ");
        for argument in ["a b.txt", "\"a b.txt\"", "'a b.txt'", "a\\ b.txt", escaped.as_str()] {
            assert_eq!(show(argument), "a b.txt: 4 chars", "{argument}");
        }
        assert_eq!(show("~/h.txt"), "h.txt: 4 chars");
        assert_eq!(show("full"), "full: 2097152 chars");
        for (argument, want) in [
            ("", "usage: /file PATH"),
            ("~", "~ is a folder"),
            ("d", "d is a folder"),
            ("d/", "d/ is a folder"),
            ("~root/x", "File not found: ~root/x"),
            ("gone\u{1b}", "File not found: gone"),
            ("latin", "latin is not a text"),
            ("nul", "nul is not a text"),
            ("over", "over is too long: 2097153 bytes"),
            #[cfg(unix)]
            ("/dev/null", "/dev/null is not a regular file"),
        ] {
            assert!(show(argument).starts_with(want), "{argument:?}: {}", show(argument));
        }
    }

    #[test]
    fn a_text_cannot_end_its_fence() {
        assert_eq!(message("a", "x"), "File: a\n\n```\nx\n```");
        assert_eq!(message("a", "```\nx\n```\n"), "File: a\n\n````\n```\nx\n```\n\n````");
        assert_eq!(message("a\nb", ""), "File: a\u{fffd}b\n\n```\n\n```");
    }
}
