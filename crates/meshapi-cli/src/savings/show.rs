//! Pure: the books as lines.

use mesh_client::Usd;

use super::{Cut, Done, Pages};
use crate::ui::{
    line::{Line, Style},
    text,
};

/// Cuts that `/savings audit` shows; the file has all of them.
const SHOWN: usize = 40;

/// What `/savings` shows.
pub(super) fn lines(pages: &Pages) -> Vec<Line> {
    let sum = &pages.sum;
    let mut lines: Vec<String> = Vec::new();
    if sum.requests == 0 && pages.refusals.is_empty() {
        return vec![dim(
            "Nothing was optimised in this session yet. /optimize shows the dial, /optimize 0.3 turns it up.",
        )];
    }
    let priced = sum.requests - sum.unpriced;
    let mark = if pages.estimates > 0 { "~" } else { "" };
    let usd = |amount: f64| format!("{mark}{}", Usd(amount));
    lines.push(format!("Savings of this session, {}", count(sum.requests, "optimised request")));
    if priced > 0 {
        lines.push(row("billed", &usd(sum.billed_usd)));
        for (name, saved) in
            [("plain caching", sum.saved_vs_native_usd), ("without a cache", sum.saved_vs_uncached_usd)]
        {
            let whole = sum.billed_usd + saved;
            let share =
                if whole > 0.0 { format!(" ({:.1} %)", 100.0 * saved / whole) } else { String::new() };
            let words = if saved < 0.0 { "paid ahead" } else { "saved" };
            lines.push(row(name, &format!("{}, {words} {}{share}", usd(whole), usd(saved.abs()))));
        }
    }
    if sum.unpriced > 0 {
        lines.push(format!("  {} in none of the sums: no price is known", count(sum.unpriced, "request")));
    }
    if pages.estimates > 0 {
        let estimates = count(pages.estimates, "request");
        lines.push(format!("  ~ {estimates} without a report of the gateway: reckoned from the bytes"));
    }
    let Pages { input, cache_read, cache_write, tokens_cut, tokens_rewritten, .. } = pages;
    lines.push(row(
        "prompt tokens",
        &format!("{input}, {cache_read} from the cache, {cache_write} written to it"),
    ));
    lines.push(row(
        "not sent",
        &format!("{tokens_cut} tok in all requests together; {tokens_rewritten} written again for it"),
    ));
    if pages.tokens_added > 0 {
        lines.push(row(
            "added notes",
            &format!("{} tok in all requests together, so that the prefix is cached", pages.tokens_added),
        ));
    }
    if pages.marked > 0 {
        lines.push(row("breakpoints", &format!("in {}", count(pages.marked, "request"))));
    }
    for (lever, Done { cuts, before, after }) in &pages.levers {
        lines.push(row(lever, &format!("{}, {before} → {after} bytes", count(*cuts as u64, "text"))));
    }
    if !pages.misses.is_empty() {
        let causes: Vec<String> = pages.misses.iter().map(|(cause, n)| format!("{n} {cause}")).collect();
        lines.push(row("cache misses", &causes.join(", ")));
    }
    if pages.recalls > 0 {
        lines.push(row("read again", &count(pages.recalls, "text")));
    }
    let mut lines: Vec<Line> = lines.iter().map(|line| dim(line)).collect();
    lines.extend(pages.refusals.iter().map(|note| Line::of(Style::Warn, &format!("  {note}"))));
    lines
}

/// What `/savings audit` shows.
pub(super) fn audit(pages: &Pages) -> Vec<Line> {
    let total = pages.older + pages.cuts.len();
    if total == 0 {
        return vec![dim("Nothing was cut from what the model sees in this session.")];
    }
    let first = pages.cuts.len().saturating_sub(SHOWN);
    let mut lines = vec![dim(&format!("{} changed in what the model sees", count(total as u64, "text")))];
    if pages.older + first > 0 {
        lines.push(dim(&format!("  {} earlier, in the file", pages.older + first)));
    }
    for cut in &pages.cuts[first..] {
        let Cut { id, message, lever, sha256, before, after, is_lossy } = cut;
        let lossy = if *is_lossy { "" } else { ", nothing lost" };
        lines.push(dim(&format!("  {id:<6} message {message}, {lever}, {before} → {after} bytes{lossy}")));
        lines.push(dim(&format!("         sha256 {sha256}")));
    }
    lines.push(dim("The model reads a text again with read_file and its name, as with r12."));
    lines.push(match pages.audit.failed() {
        None => dim(&format!("All of them: {}", text::one_line(&pages.audit.path()))),
        Some(error) => {
            Line::of(Style::Warn, &format!("Not kept in {}: {error}", text::one_line(&pages.audit.path())))
        }
    });
    lines
}

fn row(name: &str, what: &str) -> String {
    format!("  {name:<18} {what}")
}

fn dim(text: &str) -> Line {
    Line::of(Style::Dim, text)
}

fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use mesh_agent::Receipt;

    use super::{super::Books, *};
    use crate::config::Folder;

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|line| format!("{}\n", line.plain())).collect()
    }

    fn cut(id: &str, lever: &'static str, is_lossy: bool) -> Cut {
        Cut { id: id.into(), message: 12, lever, sha256: "ab".repeat(32), before: 8200, after: 900, is_lossy }
    }

    #[test]
    fn the_books_of_a_session() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path());
        let books = Books::new(&folder, "s-1");
        let mut shown = text(&books.lines()) + &text(&books.audit_lines());
        books.prepared(
            "m/x",
            vec![cut("r12", "lossless clean-up", false), cut("r13.2", "shortened calls", true)],
            2,
        );
        let receipt = Receipt {
            dial: 0.3,
            billed_usd: Some(0.25),
            saved_vs_native_usd: Some(-0.05),
            saved_vs_uncached_usd: Some(0.75),
            tokens_cut: 120,
            tokens_rewritten: 30,
            input: 5000,
            cache_read: 4000,
            cache_write: 900,
            miss: Some("first request"),
            ..Receipt::default()
        };
        assert_eq!(books.settled(&receipt).requests, 1);
        books.settled(&Receipt { is_estimate: true, billed_usd: None, miss: None, ..receipt });
        books.recalled();
        books.refused("breakpoints are off for m/x");
        shown += &text(&books.lines());
        let path = folder.file(super::super::AUDIT).display().to_string();
        shown += &text(&books.audit_lines()).replace(&path, "FILE");
        insta::assert_snapshot!(shown);

        let file = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[1]["id"], &lines[1]["lossy"]), (2, &"r13.2".into(), &true.into()));
        books.prepared("m/x", vec![cut("r14", "clean-up", false)], 0);
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(&file));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_and_may_fail() {
        use std::os::unix::fs::MetadataExt;
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path());
        let books = Books::new(&folder, "s-1");
        books.prepared("m/x", vec![cut("r1", "clean-up", false)], 0);
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.file(super::super::AUDIT))), (0o700, 0o600));
        std::fs::remove_file(folder.file(super::super::AUDIT)).unwrap();
        std::fs::create_dir(folder.file(super::super::AUDIT)).unwrap();
        books.prepared("m/x", vec![cut("r2", "clean-up", false)], 0);
        assert!(text(&books.audit_lines()).contains("Not kept in "));
    }
}
