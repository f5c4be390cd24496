//! Pure but for one question ("is there such a file?"): where a prompt names images. Seed 15.4.

use std::{ops::Range, path::Path};

use crate::repl::paths;

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

/// The images of a prompt, in order. A word that begins with a backtick is none.
pub fn find(text: &str, cwd: &Path, home: Option<&Path>) -> Vec<Found> {
    let is_file = |source: &str| paths::local(source, cwd, home).is_file();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(blanks) = text[at..].find(|c| !is_blank(c)) {
        at += blanks;
        let span = word(text, at);
        at = span.end;
        if let Some(image) = dropped(text, span.start, is_file).or_else(|| image(text, span, is_file)) {
            at = at.max(image.span.end);
            found.push(image);
        }
    }
    found
}

/// A path as terminals drop it: absolute, with a backslash before what a shell would take apart.
fn dropped(text: &str, start: usize, is_file: impl Fn(&str) -> bool) -> Option<Found> {
    let rest = &text[start..];
    if !rest.starts_with('/') && !rest.starts_with("~/") {
        return None;
    }
    let mut is_escaped = false;
    let mut ends = |c: char| {
        let is_end = !is_escaped && is_blank(c);
        is_escaped = !is_escaped && c == '\\';
        is_end
    };
    let raw = rest[..rest.find(&mut ends).unwrap_or(rest.len())].trim_end_matches(PUNCTUATION);
    let source = paths::unescaped(raw)?;
    let is_image = has_ending(&source) && is_file(&source);
    is_image.then(|| Found { span: start..start + raw.len(), source })
}

fn image(text: &str, span: Range<usize>, is_file: impl Fn(&str) -> bool) -> Option<Found> {
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
    let is_image = if is_url(source) {
        has_ending(source.split('?').next().unwrap_or_default())
    } else {
        has_ending(source) && is_file(source)
    };
    is_image.then(|| Found { span, source: source.to_owned() })
}

fn has_ending(path: &str) -> bool {
    let lower = path.to_lowercase();
    ENDINGS.iter().any(|ending| lower.ends_with(ending))
}

/// The word or the span in quotes of one kind that begins here.
fn word(text: &str, start: usize) -> Range<usize> {
    let rest = &text[start..];
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let closed = quote.and_then(|quote| rest[1..].find(quote)).map(|inner| inner + 2);
    let length = closed.unwrap_or_else(|| rest.find(is_blank).unwrap_or(rest.len()));
    start..start + length
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

    #[test]
    fn dropped_paths() {
        check(r"~/b\ c.png, please", &[(r"~/b\ c.png", "~/b c.png")]);
        check(r"~/it\'s.png ~/b\ c.png", &[(r"~/it\'s.png", "~/it's.png"), (r"~/b\ c.png", "~/b c.png")]);
        check(r"~/a.png\", &[]);
        check(r"~/b\ d.png a.png", &[("a.png", "a.png")]);
        check(r"b\ c.png", &[]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("é (1).png"), "x").unwrap();
        let prompt = format!(r"see {}/é\ \(1\).png.", folder.path().display());
        let found = find(&prompt, Path::new("/"), None);
        assert_eq!(found.len(), 1, "{prompt}");
        assert_eq!(&prompt[found[0].span.end..], ".");
    }

    proptest::proptest! {
        /// Spans stand in order, do not touch and lie on characters, whatever the text.
        #[test]
        fn spans_are_in_order(text in r#"(a\.png|~/b\\ c\.png|['"`\\ ,.é)\n]|http://x/a\.gif\?|[a-z]){0,24}"#) {
            let folder = tempfile::tempdir().unwrap();
            for name in ["a.png", "b c.png"] {
                std::fs::write(folder.path().join(name), "x").unwrap();
            }
            let mut end = 0;
            for found in find(&text, folder.path(), Some(folder.path())) {
                proptest::prop_assert!(found.span.start >= end && found.span.end > found.span.start);
                proptest::prop_assert!(text.get(found.span.clone()).is_some());
                end = found.span.end;
            }
        }
    }
}
