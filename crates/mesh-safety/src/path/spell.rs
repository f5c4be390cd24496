//! How a path is written: made absolute where its meaning is plain, refused where it hides something.

use std::path::{Component, Path, PathBuf};

use super::Finding;

/// Takes `.` and `..` out by the letters alone.
pub(super) fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Makes a written path absolute; what is ambiguous or hides its meaning is refused, not guessed.
pub(super) fn spell(path: &Path, base: &Path, home: Option<&Path>) -> Result<PathBuf, Finding> {
    let text = path.to_string_lossy();
    if text.trim().is_empty() {
        return Err(Finding::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(Finding::Spelling("the path holds control characters"));
    }
    if text.chars().any(is_invisible) {
        return Err(Finding::Spelling("the path holds invisible characters"));
    }
    if text.split('/').any(ends_deceptively) {
        return Err(Finding::Spelling(
            "a name that ends in a space or a dot is another name on some systems",
        ));
    }
    if text.split('/').any(is_variable) {
        return Err(Finding::Spelling("a variable in a path is not expanded; write the place itself"));
    }
    if text.split_once("://").is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric())) {
        return Err(Finding::Spelling("an address is not a path"));
    }
    if let Some(rest) = text.strip_prefix('~') {
        let home = home.ok_or(Finding::Spelling("there is no home for `~` to stand for"))?;
        return match rest.strip_prefix('/') {
            Some(rest) => Ok(home.join(rest.trim_start_matches('/'))),
            None if rest.is_empty() => Ok(home.to_owned()),
            None => Err(Finding::Spelling("another user's home is not guessed")),
        };
    }
    Ok(base.join(path))
}

/// Zero-width characters, joiners and direction marks: they change what a person reads, not what is opened.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0e}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}')
}

fn ends_deceptively(name: &str) -> bool {
    name.ends_with(' ') || (name.ends_with('.') && !name.chars().all(|c| c == '.'))
}

/// `$HOME` or `${X}` as a whole name; a `$` inside (`users.$id.tsx`) is a letter like any other.
fn is_variable(name: &str) -> bool {
    let Some(rest) = name.strip_prefix('$') else {
        return name.starts_with('%') && name.len() > 2 && name.ends_with('%');
    };
    rest.starts_with(['{', '('])
        || (!rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
}
