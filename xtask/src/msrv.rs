//! Declared Rust versions: none of ours may promise less than its own dependencies and its own words ask for.
//!
//! New functions of the standard library are clippy's to find (`incompatible_msrv`); the one piece of new grammar that we like
//! to write, chains of `let` in a condition, is found here.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::metadata::{Kind, Metadata, Package, Platforms};
use crate::source::{self, Source};

/// Edition 2024 came with this compiler, so no crate of ours can do with less.
const EDITION: Version = Version { major: 1, minor: 85, patch: 0 };

/// `if let A = b && let C = d` came with this compiler.
const LET_CHAINS: Version = Version { major: 1, minor: 88, patch: 0 };

/// A compiler's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Reads `1.85` or `1.85.1`.
    fn parse(text: &str) -> Option<Version> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let version =
            Version { major: parts.next()??, minor: parts.next()??, patch: parts.next().unwrap_or(Some(0))? };
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 { write!(f, ".{}", self.patch) } else { Ok(()) }
    }
}

pub(crate) fn run(root: &Path) -> Result<()> {
    let metadata = Metadata::read(root, Platforms::All)?;
    let mut faults = Vec::new();
    for package in metadata.members() {
        let declared = package.rust_version.as_deref().and_then(Version::parse);
        let declared = declared.with_context(|| format!("{} declares no rust-version", package.name))?;
        let (needed, by) = needed(&metadata, package);
        if declared < LET_CHAINS {
            faults.extend(
                let_chain(package)?.map(|place| format!("{place}: a chain of `let` needs Rust {LET_CHAINS}")),
            );
        }
        if declared < needed {
            faults.push(format!("{} declares {declared}, but {by} needs {needed}", package.name));
        } else {
            println!("msrv: {} declares {declared}; {needed} is needed, by {by}", package.name);
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// The greatest version that a package's dependencies declare, and which of them does.
///
/// Dependencies of all platforms and of all features in use anywhere in the workspace count, so this may be more than the
/// package needs alone, and never less.
fn needed<'a>(metadata: &'a Metadata, package: &'a Package) -> (Version, &'a str) {
    let closure = metadata.closure([package], &[Kind::Normal, Kind::Build]);
    closure
        .into_iter()
        .filter(|dependency| dependency.id != package.id)
        .filter_map(|dependency| {
            Some((Version::parse(dependency.rust_version.as_deref()?)?, dependency.name.as_str()))
        })
        .fold((EDITION, "edition 2024"), |most, next| if next.0 > most.0 { next } else { most })
}

/// The first place in a crate's own files where a condition chains a `let` with something else.
fn let_chain(package: &Package) -> Result<Option<String>> {
    for path in source::rust_files(&package.folder.join("src"))? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        if let Some(line) = let_chain_line(&Source::read(&text)) {
            return Ok(Some(format!("{}:{line}", path.display())));
        }
    }
    Ok(None)
}

/// The line, counted from 1, of the first condition that has a `let` and an `&&` side by side.
fn let_chain_line(source: &Source) -> Option<usize> {
    let code: Vec<&str> = source.lines.iter().map(|line| line.code.as_str()).collect();
    let code = code.join("\n");
    let starts = code.match_indices("if ").chain(code.match_indices("while "));
    let chained = starts
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .find(|(at, word)| is_let_chain(condition(&code[at + word.len()..])))?;
    Some(1 + code[..chained.0].matches('\n').count())
}

/// A condition up to the brace of its block: the first one outside parentheses after which no `=` follows a pattern.
fn condition(code: &str) -> &str {
    let mut nested = 0usize;
    let mut in_pattern = code.starts_with("let ");
    let mut previous = ' ';
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => nested += 1,
            ')' | ']' => nested = nested.saturating_sub(1),
            '{' if nested == 0 && !in_pattern => return &code[..at],
            '{' => nested += 1,
            '}' => nested = nested.saturating_sub(1),
            '=' if nested == 0 && previous != '.' => in_pattern = false,
            // The arrow of a match arm's guard, and the end of a statement.
            ';' if nested == 0 => return &code[..at],
            '&' if nested == 0 && previous == '&' && code[at + 1..].trim_start().starts_with("let ") => {
                in_pattern = true
            }
            _ => {}
        }
        if previous == '=' && c == '>' && nested == 0 {
            return &code[..at];
        }
        previous = c;
    }
    code
}

fn is_let_chain(condition: &str) -> bool {
    let mut nested = 0usize;
    let mut has_let = condition.starts_with("let ");
    let mut has_and = false;
    let mut previous = ' ';
    for (at, c) in condition.char_indices() {
        match c {
            '(' | '[' | '{' => nested += 1,
            ')' | ']' | '}' => nested = nested.saturating_sub(1),
            '&' if nested == 0 && previous == '&' => {
                // `= &&value` borrows twice and chains nothing.
                has_and |= !condition[..at - 1].trim_end().ends_with(['=', ',']);
                has_let |= condition[at + 1..].trim_start().starts_with("let ");
            }
            _ => {}
        }
        previous = c;
    }
    has_let && has_and
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_let_are_found() {
        for (text, want) in [
            ("if let Some(a) = b && a > 1 { c }", Some(1)),
            ("x();\nif a\n    && let Some(b) = c\n{\n}", Some(2)),
            ("while let Foo { a, .. } = b && c {}", Some(1)),
            ("match a { b if let C = d && e => f, _ => g }", Some(1)),
            ("if let Some(a) = (b && c) { d && e }", None),
            ("if let Foo { a } = b { if c && d {} }", None),
            ("if a && b { let c = d; }", None),
            ("if let Some(a) = b { c && d }", None),
            ("if let x = &&y {}", None),
            ("// if let Some(a) = b && c {}", None),
            ("let a = if b { c } else { d } && e;", None),
            ("match a { b if c && d => { let e = f; } }", None),
            ("elif let Some(a) = b && c {}", None),
            ("if", None),
        ] {
            assert_eq!(let_chain_line(&Source::read(text)), want, "{text}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("1.85") > version("1.9"));
        assert!(version("1.85.1") > version("1.85"));
        assert_eq!(version("1.85.0"), version("1.85"));
        assert_eq!(
            (version("1.85").to_string(), version("1.85.1").to_string()),
            ("1.85".into(), "1.85.1".into())
        );
        for text in ["", "1", "1.x", "1.2.3.4", "1.85-nightly"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
