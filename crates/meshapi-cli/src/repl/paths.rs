//! Paths as people write them: from their home, in quotes, as a terminal drops them.

use std::path::{Path, PathBuf};

/// The path that a text means as it stands: `~` is the home, the rest starts in `cwd`.
pub(crate) fn local(text: &str, cwd: &Path, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with(['/', std::path::MAIN_SEPARATOR]) => {
            home.join(rest.trim_start_matches(['/', std::path::MAIN_SEPARATOR]))
        }
        _ => cwd.join(text),
    }
}

/// What is there under a path that was typed or dropped: as it stands, or without the quotes, the backslashes of a shell, or
/// the `file://` around it. `None`: nothing is.
pub(crate) fn meant(text: &str, cwd: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let quoted = |mark: char| text.strip_prefix(mark)?.strip_suffix(mark).map(str::to_owned);
    let spellings = [Some(text.to_owned()), quoted('"').or_else(|| quoted('\'')), unescaped(text)];
    let paths = spellings.into_iter().flatten().map(|spelling| local(&spelling, cwd, home));
    paths.chain(from_address(text)).find(|path| path.exists())
}

/// A text without the backslashes that a shell wants; `None` if it has none.
pub(crate) fn unescaped(text: &str) -> Option<String> {
    text.contains('\\').then(|| {
        let mut characters = text.chars();
        let next = || {
            let character = characters.next()?;
            Some(if character == '\\' { characters.next().unwrap_or(character) } else { character })
        };
        std::iter::from_fn(next).collect()
    })
}

fn from_address(text: &str) -> Option<PathBuf> {
    text.starts_with("file://").then(|| url::Url::parse(text).ok()?.to_file_path().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (cwd, home) = (folder.path().join("w"), folder.path().join("h"));
        for file in [cwd.join("a b.txt"), cwd.join("it's"), home.join("x y"), cwd.join(r"odd\ name")] {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let name = |text: &str| {
            let path = meant(text, &cwd, Some(&home))?;
            Some(path.strip_prefix(folder.path()).unwrap().display().to_string())
        };
        let address = format!("file://{}/a%20b.txt", cwd.display());
        let rows = [
            ("a b.txt", Some("w/a b.txt")),
            ("'a b.txt'", Some("w/a b.txt")),
            ("\"a b.txt\"", Some("w/a b.txt")),
            (r"a\ b.txt", Some("w/a b.txt")),
            (r"it\'s", Some("w/it's")),
            (r"odd\ name", Some(r"w/odd\ name")),
            (r"~/x\ y", Some("h/x y")),
            ("'~/x y'", Some("h/x y")),
            ("~", Some("h/")),
            ("~//x y", Some("h/x y")),
            (&address, Some("w/a b.txt")),
            ("file://other.example/a", None),
            ("'", None),
            ("\\", None),
            ("~x", None),
        ];
        for (text, want) in rows {
            assert_eq!(name(text).as_deref(), want.map(|w| w.trim_end_matches('/')), "{text}");
        }
    }
}
