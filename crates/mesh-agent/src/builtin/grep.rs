//! `grep`: lines by regular expression, in a file or a tree; ignore files are kept.

use std::{fmt::Write, io};

use grep_matcher::{LineTerminator, Matcher};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{
    BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkContextKind, SinkMatch,
};
use mesh_safety::{Action, OpenedForRead, Policy, Sighting, judge_opened};

use super::{
    files::{self, Stop, path_arg, plural},
    walk::{self, NamePattern, Tree},
};
use crate::tool::{Args, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec, args};

/// Matching lines that are shown if nothing is said, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Most lines around a match.
const MAX_CONTEXT: usize = 20;

/// Characters of a line that are shown.
const LINE_CHARS: usize = 300;

/// Bytes before a match that are shown of a line that is too long.
const BEFORE_MATCH: usize = 80;

/// Bytes of lines in one result, about 5,000 tokens.
const RESULT_BYTES: usize = 20_000;

/// Matches that are counted before the search ends.
const COUNTED: u64 = 10_000;

/// Longest line that is searched: 32 MiB; it has to be held whole.
const HEAP_BYTES: usize = 32 * 1024 * 1024;

const SPEC: ToolSpec = ToolSpec {
    name: "grep",
    description: "Search file contents by regex, ignored files left out.",
    parameters: r#"{"type":"object","properties":{"pattern":{"type":"string"},"path":{"type":"string"},"glob":{"type":"string"},"case_insensitive":{"type":"boolean"},"context":{"type":"integer"},"limit":{"type":"integer"}},"required":["pattern"]}"#,
    required: &["pattern"],
};

/// Searches the contents of files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grep;

impl Tool for Grep {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, ctx: &ToolContext) -> Action {
        Action::Search { path: files::judged(path_arg(args).unwrap_or("."), ctx) }
    }

    fn summary(&self, args: &Args) -> String {
        let pattern = args::text(args, "pattern").unwrap_or("(missing pattern)");
        let place = path_arg(args).map_or_else(String::new, |path| format!(" in {path}"));
        format!("grep: {pattern}{place}")
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let (query, ctx) = match Query::from_args(args) {
                Ok(query) => (query, ctx.clone()),
                Err(problem) => return ToolOutput::error(problem),
            };
            let name = path_arg(args).unwrap_or(".").to_owned();
            let seen = files::sighting(&files::resolve(&name, &ctx), &ctx);
            files::blocking(move |stop| match seen.and_then(|seen| query.search(&seen, &ctx, stop)) {
                Ok(text) => ToolOutput::ok(text),
                Err(problem) => ToolOutput::error(format!("cannot search {name}: {problem}")),
            })
            .await
        })
    }
}

/// What is looked for, and how much of it is shown.
struct Query {
    matcher: RegexMatcher,
    /// The pattern is no regular expression and is searched to the letter.
    literal: bool,
    names: Option<NamePattern>,
    context: usize,
    limit: usize,
}

impl Query {
    fn from_args(args: &Args) -> Result<Query, String> {
        let pattern = args::text(args, "pattern")
            .filter(|pattern| !pattern.is_empty())
            .ok_or_else(|| args::missing_argument(SPEC.name, "pattern"))?;
        let (matcher, literal) = matcher(pattern, args::flag(args, "case_insensitive"))?;
        let names = match args::text(args, "glob").filter(|glob| !glob.is_empty()) {
            Some(glob) => Some(NamePattern::new(glob)?),
            None => None,
        };
        let number = |name: &str, default: usize, range: std::ops::RangeInclusive<usize>| {
            let given = args::integer(args, name)?;
            let number = given.map_or(default, |given| usize::try_from(given).unwrap_or(0));
            Ok::<usize, String>(number.clamp(*range.start(), *range.end()))
        };
        Ok(Query {
            matcher,
            literal,
            names,
            context: number("context", 0, 0..=MAX_CONTEXT)?,
            limit: number("limit", LIMIT, 1..=MAX_LIMIT)?,
        })
    }

    fn search(&self, seen: &Sighting, ctx: &ToolContext, stop: &Stop) -> Result<String, String> {
        let root = seen.written();
        let tree = Tree::open(seen)?;
        let mut searcher = SearcherBuilder::new()
            .line_terminator(LineTerminator::crlf())
            .line_number(true)
            .before_context(self.context)
            .after_context(self.context)
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(HEAP_BYTES))
            .build();
        let mut found = Found { limit: self.limit, ..Found::default() };
        let hidden = self.names.as_ref().is_some_and(NamePattern::wants_hidden);
        let unread = walk::files_below(root, hidden, stop, |entry| {
            let path = entry.path();
            let wanted = self.names.as_ref().is_none_or(|names| names.matches(path, root, ctx));
            if wanted && entry.file_type().is_some_and(|kind| kind.is_file() || entry.depth() == 0) {
                // The root was judged when the call was; what lies below it has not been.
                let may_show = (entry.depth() == 0).then_some(true);
                match tree.open_read(entry) {
                    Ok(file) => {
                        let one = One { file, name: files::shown(path, ctx), may_show };
                        found.search(&mut searcher, &self.matcher, &one, ctx, stop);
                    }
                    Err(_) => found.unread += 1,
                }
            }
            found.matches < COUNTED
        })?;
        if stop.is_set() {
            return Err("the call was cancelled".to_owned());
        }
        found.unread += unread;
        Ok(found.finish(self.literal))
    }
}

/// A matcher for the pattern as an expression, or to the letter if it is none.
fn matcher(pattern: &str, case_insensitive: bool) -> Result<(RegexMatcher, bool), String> {
    let mut builder = RegexMatcherBuilder::new();
    builder.case_insensitive(case_insensitive).crlf(true);
    if let Ok(matcher) = builder.build(pattern) {
        return Ok((matcher, false));
    }
    match builder.fixed_strings(true).build(pattern) {
        Ok(matcher) => Ok((matcher, true)),
        Err(error) => {
            Err(format!("the pattern cannot be searched, it has to match within one line: {error}"))
        }
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    text: String,
    limit: usize,
    shown: usize,
    /// No room for more lines.
    full: bool,
    matches: u64,
    files: u64,
    searched: u64,
    unread: u64,
    /// Files with matches that the read guard holds back.
    withheld: u64,
}

impl Found {
    fn search(
        &mut self,
        searcher: &mut Searcher,
        matcher: &RegexMatcher,
        one: &One,
        ctx: &ToolContext,
        stop: &Stop,
    ) {
        self.searched += 1;
        let before = self.matches;
        let mut lines = Lines { found: self, matcher, one, ctx, headed: false, may_show: one.may_show };
        let outcome = searcher.search_reader(matcher, stop.reader(&one.file), &mut lines);
        let is_withheld = lines.may_show == Some(false);
        self.withheld += u64::from(is_withheld);
        self.unread += u64::from(outcome.is_err());
        self.files += u64::from(self.matches > before);
    }

    fn finish(mut self, literal: bool) -> String {
        let mut notices = Vec::new();
        if literal {
            notices.push("the pattern is no regular expression and was searched to the letter".to_owned());
        }
        if self.matches == 0 {
            notices.push(format!("no match in {}", plural(self.searched, "file")));
        } else if (self.shown as u64) < self.matches {
            let more = if self.matches >= COUNTED { "more than " } else { "" };
            notices.push(format!(
                "{} of {more}{} in {} shown; narrow pattern, path or glob, or raise limit",
                self.shown,
                plural(self.matches, "matching line"),
                plural(self.files, "file")
            ));
        }
        if self.unread > 0 {
            notices.push(format!("{} could not be read", plural(self.unread, "file")));
        }
        if self.withheld > 0 {
            let files = plural(self.withheld, "protected file");
            notices.push(format!("matches in {files} are not shown; to read one, ask for it by name"));
        }
        if !notices.is_empty() {
            let gap = if self.text.is_empty() { "" } else { "\n" };
            let _ = write!(self.text, "{gap}[{}]", notices.join("; "));
        }
        self.text
    }
}

/// One file that is searched.
struct One {
    file: OpenedForRead,
    /// As the model sees it.
    name: String,
    /// What is known of the read guard's answer.
    may_show: Option<bool>,
}

/// Takes the lines of one file.
struct Lines<'a> {
    found: &'a mut Found,
    matcher: &'a RegexMatcher,
    one: &'a One,
    ctx: &'a ToolContext,
    headed: bool,
    /// What the read guard says of the file; asked at its first match, since most files have none.
    may_show: Option<bool>,
}

impl Lines<'_> {
    fn may_show(&mut self) -> bool {
        let (file, ctx) = (&self.one.file, self.ctx);
        *self.may_show.get_or_insert_with(|| {
            let (workspace, home) = (ctx.cwd.clone(), ctx.home.clone());
            judge_opened(file, &Policy { workspace, home, ..Policy::default() }).is_allow()
        })
    }

    fn push(&mut self, number: Option<u64>, mark: char, bytes: &[u8]) {
        let line = self.shown_part(bytes);
        if self.found.text.len() + line.len() > RESULT_BYTES {
            self.found.full = true;
            return;
        }
        if !self.headed {
            let gap = if self.found.text.is_empty() { "" } else { "\n" };
            let _ = writeln!(self.found.text, "{gap}{}", self.one.name);
            self.headed = true;
        }
        let _ = writeln!(self.found.text, "{}{mark}{line}", number.unwrap_or(0));
    }

    /// The line, or of a very long one the part around its first match.
    fn shown_part(&self, bytes: &[u8]) -> String {
        let line = bytes.trim_ascii_end();
        if line.len() <= LINE_CHARS {
            return String::from_utf8_lossy(line).into_owned();
        }
        let start = self.matcher.find(line).ok().flatten().map_or(0, |hit| hit.start());
        let from = if start < LINE_CHARS / 2 { 0 } else { start - BEFORE_MATCH };
        let text = String::from_utf8_lossy(&line[from..line.len().min(from + LINE_CHARS * 4)]).into_owned();
        // A character that was cut at the front is no loss: the line is marked as cut there.
        let text = if from > 0 { text.trim_start_matches(char::REPLACEMENT_CHARACTER) } else { &text };
        let part: String = text.chars().take(LINE_CHARS).collect();
        let (before, after) =
            (if from > 0 { "…" } else { "" }, if part.len() < line.len() - from { "…" } else { "" });
        format!("{before}{part}{after}")
    }
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _searcher: &Searcher, hit: &SinkMatch<'_>) -> io::Result<bool> {
        if !self.may_show() {
            return Ok(false);
        }
        self.found.matches += 1;
        if self.found.shown >= self.found.limit {
            self.found.full = true;
        }
        if !self.found.full {
            self.push(hit.line_number(), ':', hit.bytes());
            self.found.shown += usize::from(!self.found.full);
        }
        Ok(self.found.matches < COUNTED)
    }

    fn context(&mut self, _searcher: &Searcher, line: &SinkContext<'_>) -> io::Result<bool> {
        // Lines before a match that will not be shown are not shown either.
        let wanted = match line.kind() {
            SinkContextKind::Before => self.found.shown < self.found.limit,
            SinkContextKind::After | SinkContextKind::Other => true,
        };
        if wanted && !self.found.full && self.may_show() {
            self.push(line.line_number(), '-', line.bytes());
        }
        Ok(true)
    }

    fn context_break(&mut self, _searcher: &Searcher) -> io::Result<bool> {
        if self.headed && !self.found.full && self.found.shown < self.found.limit {
            self.found.text.push_str("--\n");
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::{Value, json};

    use super::*;

    async fn run(folder: &Path, args: Value) -> String {
        Grep.run(args.as_object().unwrap(), &files::test_context(folder)).await.text
    }

    #[tokio::test]
    async fn protected_files_below_the_root_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "token here\n").unwrap();
        fs::write(folder.path().join("server.pem"), "token there\n").unwrap();
        fs::write(folder.path().join(".env"), "token=hidden\n").unwrap();
        let all = run(folder.path(), json!({"pattern": "token", "context": 1})).await;
        assert!(all.contains("token here") && !all.contains("there") && !all.contains("hidden"), "{all}");
        assert!(all.contains("1 protected file"), "{all}");
        let hidden = run(folder.path(), json!({"pattern": "token", "glob": ".env"})).await;
        assert!(!hidden.contains("hidden") && hidden.contains("1 protected file"), "{hidden}");
        // Asked for by name it is judged by its name before the call runs.
        let named = run(folder.path(), json!({"pattern": "token", "path": "server.pem"})).await;
        assert!(named.contains("token there"), "{named}");
    }

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("src/a.rs", "use std;\nfn Main() {\n    go();\n}\n"),
            ("src/b.rs", "fn go() {}\r\nfn stop() {}\r\n"),
            ("notes.md", "go on\n"),
            ("target/x.rs", "fn go() {}\n"),
            (".hidden/x.rs", "fn go() {}\n"),
            (".git/x", "go\n"),
            ("bin", "go\0go\n"),
            (".gitignore", "target/\n*.log\n"),
            ("a.log", "go\n"),
        ] {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            fs::write(folder.path().join(path), text).unwrap();
        }
        folder
    }

    #[tokio::test]
    async fn matches_stand_below_their_file() {
        let tree = tree();
        let at = |args| run(tree.path(), args);
        assert_eq!(
            at(json!({"pattern": r"\bgo\b"})).await,
            "notes.md\n1:go on\n\nsrc/a.rs\n3:    go();\n\nsrc/b.rs\n1:fn go() {}\n"
        );
        assert_eq!(
            at(json!({"pattern": r"\{\}$", "path": "src"})).await,
            "src/b.rs\n1:fn go() {}\n2:fn stop() {}\n"
        );
        assert_eq!(
            at(json!({"pattern": "main", "case_insensitive": true})).await,
            "src/a.rs\n2:fn Main() {\n"
        );
        assert_eq!(at(json!({"pattern": "go", "glob": "*.md"})).await, "notes.md\n1:go on\n");
        assert_eq!(at(json!({"pattern": "go", "path": "a.log"})).await, "a.log\n1:go\n");
        assert_eq!(at(json!({"pattern": "go", "glob": ".hidden/**"})).await, ".hidden/x.rs\n1:fn go() {}\n");
        assert_eq!(
            at(json!({"pattern": "Main", "context": 1})).await,
            "src/a.rs\n1-use std;\n2:fn Main() {\n3-    go();\n"
        );
    }

    #[tokio::test]
    async fn what_is_left_out_is_said() {
        let tree = tree();
        let many: String = (0..300).map(|n| format!("item {n}\n")).collect();
        fs::write(tree.path().join("many"), &many).unwrap();
        let text = run(tree.path(), json!({"pattern": "item", "limit": 2, "context": 1})).await;
        assert_eq!(
            text,
            "many\n1:item 0\n2:item 1\n\n[2 of 300 matching lines in 1 file shown; narrow pattern, path or glob, or raise limit]"
        );
        assert_eq!(run(tree.path(), json!({"pattern": "nowhere"})).await, "[no match in 5 files]");
        assert_eq!(
            run(tree.path(), json!({"pattern": "go("})).await,
            "src/a.rs\n3:    go();\n\nsrc/b.rs\n1:fn go() {}\n\n[the pattern is no regular expression and was searched to the letter]"
        );
    }

    #[tokio::test]
    async fn results_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("{}needle{}\n", "a".repeat(5_000), "é".repeat(5_000));
        fs::write(folder.path().join("wide"), line.repeat(400)).unwrap();
        let text = run(folder.path(), json!({"pattern": "needle", "limit": 9999})).await;
        assert!(text.len() < RESULT_BYTES + 200);
        let first = text.lines().nth(1).unwrap();
        assert!(first.starts_with("1:…aaa") && first.contains("needle") && first.ends_with("é…"));
        assert_eq!(first.chars().count(), LINE_CHARS + 4);
        assert!(text.contains("of 400 matching lines in 1 file shown"));
    }

    #[tokio::test]
    async fn failures_are_told() {
        let folder = tempfile::tempdir().unwrap();
        for (args, want) in [
            (json!({}), "Error: grep requires a `pattern` argument."),
            (json!({"pattern": "a", "path": "no"}), "Error: cannot search no: "),
            (json!({"pattern": "a", "glob": "a["}), "Error: `a[` is no file pattern: "),
            (
                json!({"pattern": "a\nb"}),
                "Error: the pattern cannot be searched, it has to match within one line: ",
            ),
        ] {
            let text = run(folder.path(), args).await;
            assert!(text.starts_with(want), "{text}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_and_pipes_are_passed_by() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "needle\n").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("away")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(run(folder.path(), json!({"pattern": "needle"})).await, "[no match in 0 files]");
    }

    #[test]
    fn a_search_that_nobody_waits_for_ends() {
        let tree = tree();
        let query = Query::from_args(json!({"pattern": "go"}).as_object().unwrap()).unwrap();
        let stop = Stop::default();
        stop.set();
        assert!(
            query
                .search(&Sighting::take(tree.path()).unwrap(), &files::test_context(tree.path()), &stop)
                .is_err()
        );
    }

    #[test]
    fn summary_and_action_name_the_place() {
        let ctx = files::test_context(Path::new("/w"));
        let args = json!({"pattern": "a b", "path": "src"});
        assert_eq!(Grep.summary(args.as_object().unwrap()), "grep: a b in src");
        assert_eq!(Grep.action(args.as_object().unwrap(), &ctx), Action::Search { path: "/w/src".into() });
        assert_eq!(Grep.action(&Args::new(), &ctx), Action::Search { path: "/w".into() });
    }
}
