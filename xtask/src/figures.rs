//! Lengths of files and functions, and the share of docs: a report to think about, which never fails.

use std::path::Path;

use anyhow::{Context, Result};

use crate::metadata::{Metadata, Platforms};
use crate::source::{self, Function, LineKind, Source};

/// How many of the longest files and functions are shown.
const SHOWN: usize = 15;

#[derive(Default)]
struct Totals {
    files: usize,
    code: usize,
    docs: usize,
    comments: usize,
    tests: usize,
}

impl Totals {
    fn add(&mut self, source: &Source) {
        self.files += 1;
        for line in &source.lines {
            match line.kind {
                LineKind::Blank => {}
                _ if line.is_test => self.tests += 1,
                LineKind::Code => self.code += 1,
                LineKind::Doc => self.docs += 1,
                LineKind::Comment => self.comments += 1,
            }
        }
    }

    /// Docs and comments in a hundred lines that are not blank and not tests.
    fn docs_share(&self) -> usize {
        let all = self.code + self.docs + self.comments;
        (100 * (self.docs + self.comments)).checked_div(all).unwrap_or(0)
    }
}

pub(crate) fn run(root: &Path) -> Result<()> {
    let metadata = Metadata::read(root, Platforms::All)?;
    let mut files: Vec<(usize, String)> = Vec::new();
    let mut functions: Vec<(Function, String)> = Vec::new();
    println!(
        "{:<16}{:>7}{:>8}{:>8}{:>10}{:>8}{:>8}",
        "crate", "files", "code", "docs", "comments", "tests", "docs %"
    );
    for package in metadata.members() {
        let mut totals = Totals::default();
        for path in source::rust_files(&package.folder.join("src"))? {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let source = Source::read(&text);
            let place = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            totals.add(&source);
            let own_functions = source.functions().into_iter().filter(|function| !function.is_test);
            functions.extend(own_functions.map(|function| (function, place.clone())));
            files.push((source.lines.iter().filter(|line| !line.is_test).count(), place));
        }
        let Totals { files, code, docs, comments, tests } = totals;
        let share = totals.docs_share();
        println!("{:<16}{files:>7}{code:>8}{docs:>8}{comments:>10}{tests:>8}{share:>8}", package.name);
    }
    files.sort_by(|a, b| b.cmp(a));
    println!("\nlongest files, without their unit tests");
    for (lines, place) in files.iter().take(SHOWN) {
        println!("{lines:>6}  {place}");
    }
    functions.sort_by_key(|(function, place)| (std::cmp::Reverse(function.lines), place.clone()));
    println!("\nlongest functions, without tests");
    for (function, place) in functions.iter().take(SHOWN) {
        println!("{:>6}  {place}:{} {}", function.lines, function.line, function.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_apart() {
        let mut totals = Totals::default();
        totals.add(&Source::read("//! Docs\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    // why\n}\n"));
        assert_eq!((totals.code, totals.docs, totals.comments, totals.tests), (1, 1, 0, 4));
        assert_eq!(totals.docs_share(), 50);
        assert_eq!(Totals::default().docs_share(), 0);
    }
}
