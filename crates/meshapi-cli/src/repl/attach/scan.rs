//! Pure but for one question ("is there such a file?"): where a prompt names images. Seed 15.4.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// File endings that make a word an image. Seed 15.1.
const ENDINGS: [&str; 5] = [".png", ".jpg", ".jpeg", ".gif", ".webp"];

/// What may follow a path in a sentence. Seed 15.4.
const PUNCTUATION: [char; 7] = ['.', ',', ';', ':', '!', '?', ')'];

/// An image that a prompt names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it stands, with its quotes and without the punctuation behind it.
    pub span: Range<usize>,
    /// The path or address.
    pub source: String,
}

/// Says whether the text is an address of the web.
pub fn is_url(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://")
}

/// The path that a source means: `~` is the home, the rest starts in `cwd`.
pub fn local_path(source: &str, cwd: &Path, home: Option<&Path>) -> PathBuf {
    match (source.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => cwd.join(source),
    }
}

/// The images of a prompt, in order. A word that begins with a backtick is none.
pub fn find(text: &str, cwd: &Path, home: Option<&Path>) -> Vec<Found> {
    words(text).filter_map(|span| image(text, span, cwd, home)).collect()
}

fn image(text: &str, span: Range<usize>, cwd: &Path, home: Option<&Path>) -> Option<Found> {
    let word = &text[span.clone()];
    if word.starts_with('`') {
        return None;
    }
    let quoted = ['\'', '"'].iter().find_map(|quote| {
        word.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)).filter(|_| word.len() > 1)
    });
    let source = quoted.unwrap_or(word).trim_end_matches(PUNCTUATION);
    let span = match quoted {
        Some(_) => span,
        None => span.start..span.start + source.len(),
    };
    let lower = source.to_lowercase();
    let is_image = if is_url(source) {
        let path = lower.split('?').next().unwrap_or_default();
        ENDINGS.iter().any(|ending| path.ends_with(ending))
    } else {
        ENDINGS.iter().any(|ending| lower.ends_with(ending)) && local_path(source, cwd, home).is_file()
    };
    is_image.then(|| Found { span, source: source.to_owned() })
}

/// Words, and spans in quotes of one kind.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += text[at..].find(|c| !is_blank(c))?;
        let rest = &text[at..];
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let closed = quote.and_then(|quote| rest[1..].find(quote)).map(|inner| inner + 2);
        let length = closed.unwrap_or_else(|| rest.find(is_blank).unwrap_or(rest.len()));
        let span = at..at + length;
        at = span.end;
        Some(span)
    })
}

/// Blanks of Unicode, and the four separators that the Python releases count too.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b c.png", "aa.png", "it's.png"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let found = find(text, folder.path(), Some(folder.path()));
        found.into_iter().map(|f| (text[f.span].to_owned(), f.source)).collect()
    }

    #[track_caller]
    fn check(text: &str, want: &[(&str, &str)]) {
        let want: Vec<_> = want.iter().map(|(raw, source)| (raw.to_string(), source.to_string())).collect();
        assert_eq!(found(text), want, "{text}");
    }

    #[test]
    fn words_that_are_images() {
        check("look at a.png, please", &[("a.png", "a.png")]);
        check("'b c.png' and \"a.png\".", &[("'b c.png'", "b c.png"), ("\"a.png\"", "a.png")]);
        check("~/a.png", &[("~/a.png", "~/a.png")]);
        check("`a.png` (a.png) missing.png a.pngx", &[]);
        check("it's a.png and it's.png", &[("a.png", "a.png"), ("it's.png", "it's.png")]);
        check("HTTPS://x.y/A.PNG?x=1!", &[("HTTPS://x.y/A.PNG?x=1", "HTTPS://x.y/A.PNG?x=1")]);
        check("http://x.y/?f=a.png '' \" \"", &[]);
    }
}
