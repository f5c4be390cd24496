//! Rust source, line by line: what is code, docs, comment or test, and where functions begin and end.
//!
//! A scanner, not a parser: it knows comments, strings and braces. Text that does not compile may be misread, but never panics.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One file's lines with comments and the insides of strings blanked out, and what each line was.
pub(crate) struct Source {
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Line {
    /// The code of the line; comments and the insides of strings are gone.
    pub(crate) code: String,
    pub(crate) kind: LineKind,
    /// Inside a module of unit tests.
    pub(crate) is_test: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    Code,
    Doc,
    Comment,
    Blank,
}

/// A function and its length, from the line of its name to the closing brace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) lines: usize,
    pub(crate) is_test: bool,
}

impl Source {
    pub(crate) fn read(text: &str) -> Source {
        let code = blank(text);
        let mut lines: Vec<Line> = text
            .lines()
            .zip(code.lines())
            .map(|(original, code)| Line {
                code: code.to_owned(),
                kind: kind(original, code),
                is_test: false,
            })
            .collect();
        mark_tests(&mut lines);
        Source { lines }
    }

    /// Whether the code holds the identifier.
    pub(crate) fn names(&self, identifier: &str) -> bool {
        self.lines.iter().any(|line| words(&line.code).any(|word| word == identifier))
    }

    /// All functions with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        (0..self.lines.len()).filter_map(|index| self.function_at(index)).collect()
    }

    fn function_at(&self, index: usize) -> Option<Function> {
        let line = &self.lines[index];
        let mut words = words(&line.code);
        words.by_ref().find(|word| *word == "fn")?;
        let name = words.next()?.to_owned();
        let end = block_end(&self.lines, index)?;
        Some(Function { name, line: index + 1, lines: end - index + 1, is_test: line.is_test })
    }
}

/// All `.rs` files below a folder, sorted.
pub(crate) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn kind(original: &str, code: &str) -> LineKind {
    let trimmed = original.trim_start();
    if !code.trim().is_empty() {
        LineKind::Code
    } else if trimmed.starts_with("///") && !trimmed.starts_with("////") || trimmed.starts_with("//!") {
        LineKind::Doc
    } else if trimmed.is_empty() {
        LineKind::Blank
    } else {
        LineKind::Comment
    }
}

fn mark_tests(lines: &mut [Line]) {
    let starts: Vec<usize> = (1..lines.len())
        .filter(|&index| {
            lines[index - 1].code.trim() == "#[cfg(test)]"
                && words(&lines[index].code).any(|word| word == "mod")
        })
        .collect();
    for start in starts {
        let end = block_end(lines, start).unwrap_or(start);
        for line in &mut lines[start - 1..=end] {
            line.is_test = true;
        }
    }
}

/// The line on which the block closes that opens on `start` or after it; `None` when a `;` comes before any brace.
fn block_end(lines: &[Line], start: usize) -> Option<usize> {
    let mut braces = 0usize;
    let mut nested = 0usize;
    for (index, line) in lines.iter().enumerate().skip(start) {
        for c in line.code.chars() {
            match c {
                '{' => braces += 1,
                '}' => {
                    braces = braces.checked_sub(1)?;
                    if braces == 0 {
                        return Some(index);
                    }
                }
                '(' | '[' => nested += 1,
                ')' | ']' => nested = nested.saturating_sub(1),
                ';' if braces == 0 && nested == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

/// The text with comments and the insides of strings and characters turned to blanks; line feeds stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_comment_end(&chars, at),
            '"' => quoted_end(&chars, at, '"'),
            'r' if !follows_word(&chars, at) => raw_string_end(&chars, at).unwrap_or(at),
            '\'' => char_end(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        // A string stays visible as its quotes, so that its line counts as code.
        let is_comment = chars[at] == '/';
        for (index, c) in chars[at..end].iter().enumerate() {
            let is_edge = index == 0 || index + 1 == end - at;
            out.push(if *c == '\n' {
                '\n'
            } else if is_edge && !is_comment {
                '"'
            } else {
                ' '
            });
        }
        at = end;
    }
    out
}

fn follows_word(chars: &[char], at: usize) -> bool {
    // `br"..."` is a raw string as well.
    let before = match at.checked_sub(1).map(|index| chars[index]) {
        Some('b') => at.checked_sub(2).map(|index| chars[index]),
        other => other,
    };
    before.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |length| at + length)
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0usize;
    let mut index = at;
    while index + 1 < chars.len() {
        match (chars[index], chars[index + 1]) {
            ('/', '*') => {
                depth += 1;
                index += 2;
            }
            ('*', '/') => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    return index;
                }
            }
            _ => index += 1,
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut index = at + 1;
    while index < chars.len() {
        match chars[index] {
            '\\' => index += 2,
            c if c == quote => return index + 1,
            _ => index += 1,
        }
    }
    chars.len()
}

/// The end of `r"..."` or `r#"..."#`; `None` for an identifier such as `r#type`.
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let is_end = |index: &usize| {
        chars[*index] == '"' && (1..=hashes).all(|offset| chars.get(index + offset) == Some(&'#'))
    };
    Some((open + 1..chars.len()).find(is_end).map_or(chars.len(), |index| index + 1 + hashes))
}

/// The end of a character; `None` for a lifetime.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    match (chars.get(at + 1)?, chars.get(at + 2)) {
        ('\\', _) => Some(quoted_end(chars, at, '\'')),
        (_, Some('\'')) => Some(at + 3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        for (text, name, is_named) in [
            ("use a::b;", "a", true),
            ("// a", "a", false),
            ("/* a /* b */ a */ c", "a", false),
            ("/* a */ c", "c", true),
            ("let s = \"a \\\" a\"; c", "a", false),
            ("let s = \"a \\\" a\"; c", "c", true),
            ("let s = r#\"a \" a\"#; c", "a", false),
            ("let s = br\"a\"; c", "c", true),
            ("let r#type = a;", "a", true),
            ("f::<'a>('\"', x)", "x", true),
            ("let q = '\\''; a", "a", true),
            ("abc", "a", false),
            ("\"open", "open", false),
        ] {
            assert_eq!(Source::read(text).names(name), is_named, "{text}");
        }
    }

    #[test]
    fn lines_are_counted_by_kind() {
        let source =
            Source::read("//! Docs\n\n/// More\n// why\nfn f() {} // then\n//// rule\nlet a = \"\n\";\n");
        use LineKind::{Blank, Code, Comment, Doc};
        let kinds: Vec<LineKind> = source.lines.iter().map(|line| line.kind).collect();
        assert_eq!(kinds, [Doc, Blank, Doc, Comment, Code, Comment, Code, Code]);
    }

    #[test]
    fn functions_have_names_and_lengths() {
        let text = "trait T {\n    fn declared(a: [u8; 2]);\n}\npub fn one(\n    a: u8,\n) -> u8 {\n    if a > 1 { '}' };\n    a\n}\n\
                    #[cfg(test)]\nmod tests {\n    fn two() {}\n}\n";
        let functions = Source::read(text).functions();
        assert_eq!(
            functions,
            [
                Function { name: "one".into(), line: 4, lines: 6, is_test: false },
                Function { name: "two".into(), line: 12, lines: 1, is_test: true },
            ]
        );
    }

    #[test]
    fn any_text_is_read() {
        let hostile = [
            "",
            "'",
            "\"\\",
            "r#",
            "/*",
            "/*/",
            "}}}{",
            "fn",
            "fn f(",
            "#[cfg(test)]\nmod",
            "'\\",
            "b",
            "r\"",
            "é'é",
        ];
        for text in hostile {
            Source::read(text).functions();
        }
    }
}
