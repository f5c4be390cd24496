//! `read_file`: a text file, whole or by lines. Memory stays bounded however large the file is.

use std::{io::Read, path::Path};

use mesh_safety::{Action, Sighting};

use super::{
    files::{self, Stop, path_arg, plural},
    run_bash::shown,
};
use crate::tool::{Args, Tool, ToolContext, ToolFuture, ToolOutput, ToolSpec, args, output};

/// Most characters of a file in one result. From 0.5.10: 80,000.
pub const READ_CHARS: usize = 80_000;

/// How far a file is read to count its lines; above it only its size is told.
const COUNT_BYTES: u64 = 1 << 30;

/// Names that end so hold images (seed 15.1).
const IMAGE_SUFFIXES: &[&str] = &["png", "jpg", "jpeg", "gif", "webp"];

/// How much of a file is looked at to tell binary from text with a few odd bytes.
const SNIFF_BYTES: usize = 8 * 1024;

/// Up to this size a binary file is shown as well as it can be: its few characters cost less than another call.
const SMALL_BINARY_BYTES: usize = 1024;

/// What the tool is called.
pub(crate) const READ_FILE: &str = "read_file";

pub(crate) const PARAMETERS: &str = r#"{"type":"object","properties":{"path":{"type":"string"},"offset":{"type":"integer"},"limit":{"type":"integer"}},"required":["path"]}"#;

const SPEC: ToolSpec = ToolSpec {
    name: READ_FILE,
    description: "Read a text file. For a part: offset = first line (from 1), limit = lines.",
    parameters: PARAMETERS,
    required: &["path"],
};

/// Reads a text file, whole or by lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadFile;

impl Tool for ReadFile {
    fn spec(&self) -> &ToolSpec {
        &SPEC
    }

    fn action(&self, args: &Args, ctx: &ToolContext) -> Action {
        match path_arg(args) {
            Some(path) => Action::Read { path: files::judged(path, ctx) },
            None => Action::Unknown { tool: SPEC.name.to_owned() },
        }
    }

    fn summary(&self, args: &Args) -> String {
        format!("read_file: {}", shown(args, "path", usize::MAX))
    }

    fn run<'a>(&'a self, args: &'a Args, ctx: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Some(path) = path_arg(args) else {
                return ToolOutput::error(args::missing_argument(SPEC.name, "path"));
            };
            let range = match Range::from_args(args) {
                Ok(range) => range,
                Err(problem) => return ToolOutput::error(problem),
            };
            if is_image(path) {
                return ToolOutput::error(format!(
                    "{path} is an image file, which this tool cannot show. Ask the user to share it as an attachment."
                ));
            }
            let (name, seen) = (path.to_owned(), files::sighting(&files::resolve(path, ctx), ctx));
            files::blocking(move |stop| match seen.and_then(|seen| read(&seen, range, stop)) {
                Ok(text) => ToolOutput::ok(text),
                Err(problem) => ToolOutput::error(format!("cannot read {name}: {problem}")),
            })
            .await
        })
    }
}

/// Which lines are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    /// First line, from 1.
    first: u64,
    /// How many; `None` is all that follow.
    count: Option<u64>,
    /// The whole file: nothing was said about lines.
    whole: bool,
}

impl Range {
    fn from_args(args: &Args) -> Result<Range, String> {
        let (offset, limit) = (args::integer(args, "offset")?, args::integer(args, "limit")?);
        // Lines count from 1, and models now and then from 0: both mean the first.
        let first = u64::try_from(offset.unwrap_or(1)).map_err(|_| "`offset` must be 1 or more")?.max(1);
        let count = match limit {
            Some(limit) if limit < 1 => return Err("`limit` must be 1 or more".to_owned()),
            Some(limit) => Some(limit.unsigned_abs()),
            None => None,
        };
        Ok(Range { first, count, whole: offset.is_none() && limit.is_none() })
    }
}

/// Whether a call asks for lines behind the first.
pub(crate) fn is_later_part(args: &Args) -> bool {
    Range::from_args(args).is_ok_and(|range| range.first > 1)
}

/// The lines of `text` that a call asks for, as if the text were a file; at most so many characters.
pub(crate) fn read_text(text: &str, args: &Args, max_chars: usize) -> ToolOutput {
    let read = Range::from_args(args).and_then(|range| {
        let mut scan = Scan { max_chars, ..Scan::new(range) };
        scan.feed(text.as_bytes());
        scan.finish(0)
    });
    read.map_or_else(ToolOutput::error, ToolOutput::ok)
}

fn is_image(path: &str) -> bool {
    let suffix = Path::new(path).extension().and_then(|suffix| suffix.to_str());
    suffix.is_some_and(|suffix| IMAGE_SUFFIXES.iter().any(|known| known.eq_ignore_ascii_case(suffix)))
}

/// Reads the range from a file: the text as it is, then a line in brackets on what is not there.
fn read(seen: &Sighting, range: Range, stop: &Stop) -> Result<String, String> {
    let file = seen.open_read().map_err(|error| files::problem(&error))?;
    let size = file.size();
    let mut scan = Scan::new(range);
    let mut reader = stop.reader(file);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if scan.bytes >= COUNT_BYTES && scan.is_full() {
            scan.counted = false;
            break;
        }
        match reader.read(&mut buffer).map_err(|error| files::reason(&error))? {
            0 => break,
            count => scan.feed(&buffer[..count]),
        }
    }
    scan.finish(size)
}

/// Goes through a file once: collects the range, counts the rest.
struct Scan {
    range: Range,
    /// Most characters of the result.
    max_chars: usize,
    body: Vec<u8>,
    /// Bytes seen, and line ends among them.
    bytes: u64,
    line_ends: u64,
    ends_open: bool,
    /// The range goes on behind what fits into a result.
    overflow: bool,
    counted: bool,
}

impl Scan {
    fn new(range: Range) -> Scan {
        Scan {
            range,
            max_chars: READ_CHARS,
            body: Vec::new(),
            bytes: 0,
            line_ends: 0,
            ends_open: false,
            overflow: false,
            counted: true,
        }
    }

    /// Whether no further byte can become part of the result.
    fn is_full(&self) -> bool {
        self.overflow || self.range.count.is_some_and(|count| self.line_ends >= self.after(count))
    }

    /// Line ends before the line that follows the first `count` of the range.
    fn after(&self, count: u64) -> u64 {
        (self.range.first - 1).saturating_add(count)
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.ends_open = bytes.last() != Some(&b'\n');
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.take(&bytes[from..=end]);
            self.line_ends += 1;
            from = end + 1;
        }
        self.take(&bytes[from..]);
    }

    /// Takes a piece of the line that comes after `line_ends` others.
    fn take(&mut self, piece: &[u8]) {
        let skipped = self.line_ends < self.range.first - 1;
        if piece.is_empty() || skipped || self.is_full() {
            return;
        }
        // The bytes that so many characters can have, and the rest of one more.
        let room = self.max_chars * 4 + 4 - self.body.len();
        self.overflow = piece.len() > room;
        self.body.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn lines(&self) -> u64 {
        self.line_ends + u64::from(self.ends_open)
    }

    fn finish(self, size: u64) -> Result<String, String> {
        if self.range.first > self.lines().max(1) {
            return Err(format!(
                "line {} is behind the end: it has {}",
                self.range.first,
                plural(self.lines(), "line")
            ));
        }
        let mut bytes = self.body.as_slice();
        if self.overflow {
            bytes = output::split_cut_off_end(bytes).0;
        }
        let invalid = std::str::from_utf8(bytes).is_err();
        let binary = invalid && bytes.iter().take(SNIFF_BYTES).any(|byte| *byte == 0);
        if binary && bytes.len() > SMALL_BINARY_BYTES {
            return Err(format!("it is a binary file of {}", plural(size.max(self.bytes), "byte")));
        }
        let text = String::from_utf8_lossy(bytes);
        let (body, cut) = match text.char_indices().nth(self.max_chars) {
            Some((at, _)) => (&text[..at], true),
            None => (text.as_ref(), self.overflow),
        };
        let mut notices = Vec::new();
        if !self.range.whole || cut {
            notices.push(self.notice(body, cut, size));
        }
        if invalid {
            notices.push(
                "bytes that are no UTF-8 are shown as \u{fffd}; write_file would not bring them back"
                    .to_owned(),
            );
        }
        if notices.is_empty() {
            return Ok(text.into_owned());
        }
        let gap = if body.is_empty() || body.ends_with('\n') { "" } else { "\n" };
        Ok(format!("{body}{gap}[{}]", notices.join("; ")))
    }

    /// Says which part this is, of how much, and how to go on.
    fn notice(&self, body: &str, cut: bool, size: u64) -> String {
        let line_ends = memchr::memchr_iter(b'\n', body.as_bytes()).count() as u64;
        let shown = line_ends + u64::from(!body.is_empty() && !body.ends_with('\n'));
        let last = self.range.first - 1 + shown;
        let bytes = plural(size.max(self.bytes), "byte");
        let total = match self.counted {
            true => format!("{} ({bytes})", plural(self.lines(), "line")),
            false => bytes,
        };
        let part = match shown {
            0 => "no lines".to_owned(),
            1 => format!("line {last}"),
            _ => format!("lines {}-{last}", self.range.first),
        };
        if !cut {
            return format!("{part} of {total}");
        }
        let characters = body.chars().count();
        let rest = if line_ends == 0 {
            "the line is longer than one result: search in it with grep".to_owned()
        } else if body.ends_with('\n') {
            format!("read on with offset {}", last + 1)
        } else {
            format!("line {last} is cut, read on with offset {last}")
        };
        format!("{part} of {total}: cut after {characters} characters; {rest}")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    async fn run(folder: &Path, args: serde_json::Value) -> ToolOutput {
        ReadFile.run(args.as_object().unwrap(), &files::test_context(folder)).await
    }

    #[tokio::test]
    async fn the_whole_text_is_byte_true() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "a\r\nb\rc\n", "\u{feff}hi", "a\0b", "é日😀", "no end", &"x".repeat(READ_CHARS)]
        {
            fs::write(folder.path().join("f"), text).unwrap();
            assert_eq!(run(folder.path(), json!({"path": "f"})).await, ToolOutput::ok(text));
        }
    }

    #[track_caller]
    fn check(text: &str, first: u64, count: Option<u64>, want: &str) {
        for size in [1, 3, 1000] {
            let mut scan = Scan::new(Range { first, count, whole: false });
            text.as_bytes().chunks(size).for_each(|piece| scan.feed(piece));
            assert_eq!(scan.finish(text.len() as u64), Ok(want.to_owned()), "pieces of {size}");
        }
    }

    #[test]
    fn ranges_say_where_they_are() {
        let text = "one\r\ntwo\nthree\nfour";
        check(text, 1, Some(2), "one\r\ntwo\n[lines 1-2 of 4 lines (19 bytes)]");
        check(text, 2, Some(1), "two\n[line 2 of 4 lines (19 bytes)]");
        check(text, 3, None, "three\nfour\n[lines 3-4 of 4 lines (19 bytes)]");
        check(text, 4, Some(u64::MAX), "four\n[line 4 of 4 lines (19 bytes)]");
        check("", 1, None, "[no lines of 0 lines (0 bytes)]");
        let mut scan = Scan::new(Range { first: 6, count: None, whole: false });
        scan.feed(text.as_bytes());
        assert_eq!(scan.finish(19), Err("line 6 is behind the end: it has 4 lines".to_owned()));
    }

    #[tokio::test]
    async fn long_files_are_cut_and_can_be_read_on() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("{}\n", "é".repeat(99));
        fs::write(folder.path().join("long"), line.repeat(1_000)).unwrap();
        let first = run(folder.path(), json!({"path": "long"})).await.text;
        let (body, notice) = first.rsplit_once('[').unwrap();
        assert_eq!(body, line.repeat(800));
        assert_eq!(
            notice,
            "lines 1-800 of 1000 lines (199000 bytes): cut after 80000 characters; read on with offset 801]"
        );
        let rest = run(folder.path(), json!({"path": "long", "offset": 801})).await.text;
        assert_eq!(rest, format!("{}[lines 801-1000 of 1000 lines (199000 bytes)]", line.repeat(200)));

        fs::write(folder.path().join("wide"), "é".repeat(400_000)).unwrap();
        let wide = run(folder.path(), json!({"path": "wide"})).await.text;
        assert!(wide.ends_with("\n[line 1 of 1 line (800000 bytes): cut after 80000 characters; the line is longer than one result: search in it with grep]"));
        assert_eq!(wide.find('\n'), Some(160_000));
    }

    #[tokio::test]
    async fn failures_are_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("bin"), b"\x7fELF\0\xff".repeat(300)).unwrap();
        fs::write(folder.path().join("small"), b"\xff\0x").unwrap();
        fs::write(folder.path().join("latin"), b"caf\xe9\n").unwrap();
        for (args, want) in [
            (json!({}), "Error: read_file requires a `path` argument."),
            (json!({"path": ""}), "Error: read_file requires a `path` argument."),
            (json!({"path": "d"}), "Error: cannot read d: it is a directory"),
            (json!({"path": "bin"}), "Error: cannot read bin: it is a binary file of 1800 bytes"),
            (json!({"path": "latin", "offset": -1}), "Error: `offset` must be 1 or more"),
            (json!({"path": "latin", "limit": "x"}), "Error: `limit` must be a whole number"),
            (
                json!({"path": "no/A.PNG"}),
                "Error: no/A.PNG is an image file, which this tool cannot show. Ask the user to share it as an attachment.",
            ),
        ] {
            assert_eq!(run(folder.path(), args).await.text, want);
        }
        assert!(run(folder.path(), json!({"path": "missing"})).await.is_error);
        assert!(run(folder.path(), json!({"path": "small"})).await.text.starts_with("\u{fffd}\0x\n[bytes"));
        assert_eq!(
            run(folder.path(), json!({"path": "latin"})).await.text,
            "caf\u{fffd}\n[bytes that are no UTF-8 are shown as \u{fffd}; write_file would not bring them back]"
        );
    }

    #[test]
    fn summary_and_action_name_the_path() {
        let ctx = files::test_context(Path::new("/w"));
        let args = json!({"path": "~/x"});
        assert_eq!(ReadFile.summary(args.as_object().unwrap()), "read_file: ~/x");
        assert_eq!(ReadFile.summary(&Args::new()), "read_file: (missing path)");
        assert_eq!(
            ReadFile.action(args.as_object().unwrap(), &ctx),
            Action::Read { path: "/w/home/x".into() }
        );
        assert_eq!(ReadFile.action(&Args::new(), &ctx), Action::Unknown { tool: "read_file".into() });
    }

    proptest! {
        #[test]
        fn ranges_put_together_give_the_file(text in "[a-zé\r\n]{0,80}", step in 1u64..5) {
            let mut whole = String::new();
            let lines = text.split_inclusive('\n').count() as u64;
            for first in (1..=lines).step_by(usize::try_from(step).unwrap()) {
                let mut scan = Scan::new(Range { first, count: Some(step), whole: false });
                text.as_bytes().chunks(7).for_each(|piece| scan.feed(piece));
                let part = scan.finish(0).unwrap();
                let body = &part[..part.rfind('[').unwrap()];
                whole.push_str(body);
            }
            if !text.is_empty() && !text.ends_with('\n') { whole.pop(); }
            prop_assert_eq!(whole, text);
        }
    }
}
