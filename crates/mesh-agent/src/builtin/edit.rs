//! Pure: exact replacement in a file's bytes. Line ends are matched without regard to their style and written in it.

use std::ops::Range;

use memchr::memmem;

/// Shortest text, in bytes without the space around it, whose presence says that an edit has been made before.
const TELLING_BYTES: usize = 3;

/// One replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Text that is there now.
    pub(crate) old: String,
    /// Text that takes its place.
    pub(crate) new: String,
    /// Replace every occurrence; otherwise there must be exactly one.
    pub(crate) all: bool,
}

/// What one edit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Replaced at these lines (from 1, as they were when this edit's turn came).
    Replaced { lines: Vec<usize> },
    /// Nothing: the new text stands at this line, and the old one nowhere outside of it.
    Already { line: usize },
}

/// Why one edit cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The old text is empty.
    Empty,
    /// Old and new text are the same.
    Same,
    /// The old text does not occur.
    Missing,
    /// The old text occurs more than once, at these lines.
    Ambiguous { lines: Vec<usize> },
}

/// Applies one edit to `content`.
pub(crate) fn apply(content: &[u8], edit: &Edit) -> Result<(Vec<u8>, Done), Refused> {
    if edit.old.is_empty() {
        return Err(Refused::Empty);
    }
    if edit.old == edit.new {
        return Err(Refused::Same);
    }
    let space = Space::of(content, edit);
    let (old, new) = (space.text_of(&edit.old), space.text_of(&edit.new));
    let found = occurrences(space.text(content), &old);
    let made = occurrences(space.text(content), &new);
    let telling = new.trim_ascii().len() >= TELLING_BYTES;
    let inside = |hit: &Range<usize>| made.iter().any(|made| made.start <= hit.start && hit.end <= made.end);
    if let Some(first) = made.first().filter(|_| telling && found.iter().all(inside)) {
        return Ok((content.to_vec(), Done::Already { line: line_at(space.text(content), first.start) }));
    }
    let lines: Vec<usize> = found.iter().map(|hit| line_at(space.text(content), hit.start)).collect();
    match found.len() {
        0 => Err(Refused::Missing),
        count if count > 1 && !edit.all => Err(Refused::Ambiguous { lines }),
        _ => Ok((space.replace(content, &found, &new), Done::Replaced { lines })),
    }
}

/// The form in which a file is searched.
enum Space {
    /// As it is: the file has no CRLF line ends, or the edit only fits so.
    Bytes {
        /// The edit's CRLF line ends are taken as LF.
        edit_to_lf: bool,
    },
    /// With LF for each CRLF.
    Lf {
        text: Vec<u8>,
        /// Where in `text` line ends stand that were CRLF.
        shortened: Vec<usize>,
        /// Most line ends of the file are CRLF.
        mostly_crlf: bool,
    },
}

impl Space {
    fn of(content: &[u8], edit: &Edit) -> Space {
        let crlf = memmem::find_iter(content, b"\r\n").count();
        if crlf == 0 {
            return Space::Bytes { edit_to_lf: edit.old.contains("\r\n") };
        }
        let mut text = Vec::with_capacity(content.len() - crlf);
        let mut shortened = Vec::with_capacity(crlf);
        let mut from = 0;
        for at in memmem::find_iter(content, b"\r\n") {
            text.extend_from_slice(&content[from..at]);
            shortened.push(text.len());
            from = at + 1;
        }
        text.extend_from_slice(&content[from..]);
        let line_ends = memchr::memchr_iter(b'\n', content).count();
        Space::Lf { text, shortened, mostly_crlf: crlf * 2 >= line_ends }
    }

    fn text<'a>(&'a self, content: &'a [u8]) -> &'a [u8] {
        match self {
            Space::Bytes { .. } => content,
            Space::Lf { text, .. } => text,
        }
    }

    fn text_of(&self, edit: &str) -> Vec<u8> {
        match self {
            Space::Bytes { edit_to_lf: false } => edit.as_bytes().to_vec(),
            Space::Bytes { edit_to_lf: true } | Space::Lf { .. } => edit.replace("\r\n", "\n").into_bytes(),
        }
    }

    /// Puts `new` in the place of each hit; every byte outside of the hits stays.
    fn replace(&self, content: &[u8], found: &[Range<usize>], new: &[u8]) -> Vec<u8> {
        let mut result = Vec::with_capacity(content.len() + new.len());
        let mut from = 0;
        for hit in found {
            let place = self.original(hit);
            result.extend_from_slice(&content[from..place.start]);
            if self.wants_crlf(hit) {
                for line in new.split_inclusive(|byte| *byte == b'\n') {
                    match line.strip_suffix(b"\n") {
                        Some(line) => result.extend_from_slice(&[line, b"\r\n"].concat()),
                        None => result.extend_from_slice(line),
                    }
                }
            } else {
                result.extend_from_slice(new);
            }
            from = place.end;
        }
        result.extend_from_slice(&content[from..]);
        result
    }

    fn original(&self, hit: &Range<usize>) -> Range<usize> {
        match self {
            Space::Bytes { .. } => hit.clone(),
            Space::Lf { shortened, .. } => {
                let back = |at: usize| at + shortened.partition_point(|end| *end < at);
                back(hit.start)..back(hit.end)
            }
        }
    }

    /// The style of the first line end that is replaced, else that of the file.
    fn wants_crlf(&self, hit: &Range<usize>) -> bool {
        match self {
            Space::Bytes { .. } => false,
            Space::Lf { text, shortened, mostly_crlf } => match memchr::memchr(b'\n', &text[hit.clone()]) {
                Some(first) => shortened.binary_search(&(hit.start + first)).is_ok(),
                None => *mostly_crlf,
            },
        }
    }
}

fn occurrences(text: &[u8], pattern: &[u8]) -> Vec<Range<usize>> {
    if pattern.is_empty() {
        return Vec::new();
    }
    memmem::find_iter(text, pattern).map(|at| at..at + pattern.len()).collect()
}

fn line_at(text: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', &text[..at]).count() + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edit(old: &str, new: &str) -> Edit {
        Edit { old: old.into(), new: new.into(), all: false }
    }

    #[track_caller]
    fn check(content: &str, edit: &Edit, want: &str) {
        let got = match apply(content.as_bytes(), edit) {
            Ok((_, Done::Already { line })) => format!("already at {line}"),
            Ok((content, Done::Replaced { .. })) => String::from_utf8(content).unwrap(),
            Err(refused) => format!("{refused:?}"),
        };
        assert_eq!(got, want, "{content:?} {edit:?}");
    }

    #[test]
    fn line_ends_keep_their_style() {
        check("a\nb\nc\n", &edit("b\n", "x\ny\n"), "a\nx\ny\nc\n");
        check("a\r\nb\r\nc\r\n", &edit("a\nb", "x\ny\nz"), "x\r\ny\r\nz\r\nc\r\n");
        check("a\r\nb\r\nc\r\n", &edit("a\r\nb", "x\r\ny"), "x\r\ny\r\nc\r\n");
        check("a\r\nb\r\nc", &edit("b", "b1\nb2"), "a\r\nb1\r\nb2\r\nc");
        check("a\nb\n", &edit("a\r\nb", "x\r\ny"), "x\ny\n");
        check("a\r\nb\nc\nd\n", &edit("b\nc", "x\ny"), "a\r\nx\ny\nd\n");
        check("a\r\nb\nc\nd\n", &edit("a\nb", "x\ny"), "x\r\ny\nc\nd\n");
        check("a\r\nb\r\n", &edit("\nb", "\nc"), "a\r\nc\r\n");
        check("a\rb\r\n", &edit("a\rb", "c"), "c\r\n");
    }

    #[test]
    fn marks_and_ends_survive() {
        check("\u{feff}a\nb", &edit("a", "c"), "\u{feff}c\nb");
        check("a\nb", &edit("b", "c"), "a\nc");
        check("a\nb\n", &edit("b", ""), "a\n\n");
        let (content, _) = apply(b"\xff\xfe old \xff", &edit("old", "new")).unwrap();
        assert_eq!(content, b"\xff\xfe new \xff");
    }

    #[test]
    fn one_place_or_all() {
        check("a\nb\na\n", &edit("a", "x"), "Ambiguous { lines: [1, 3] }");
        check("a\nb\na\n", &Edit { all: true, ..edit("a", "x") }, "x\nb\nx\n");
        check("a\r\nb\r\na\r\n", &Edit { all: true, ..edit("a\n", "x\n") }, "x\r\nb\r\nx\r\n");
    }

    #[test]
    fn what_was_done_before_is_not_done_again() {
        check("one\nthree\n", &edit("two", "three"), "already at 2");
        check("use a;\nuse b;\n", &edit("use a;", "use a;\nuse b;"), "already at 1");
        check("use a;\r\nuse b;\r\n", &edit("use a;", "use a;\nuse b;"), "already at 1");
        check(
            "use a;\nuse b;\nfn f() { use a; }",
            &edit("use a;", "use a;\nuse b;"),
            "Ambiguous { lines: [1, 3] }",
        );
        check("fn f() {}\n", &edit("fn g() {", "}"), "Missing");
        check("a\n", &edit("b", ""), "Missing");
    }

    #[test]
    fn edits_that_say_nothing_are_refused() {
        check("a", &edit("", "x"), "Empty");
        check("a", &edit("a", "a"), "Same");
    }

    proptest! {
        #[test]
        fn an_edit_and_its_reverse_give_the_file_back(
            before in "[a-c\r\n]{0,30}", old in "[a-c\n]{0,8}", new in "[a-c\n]{0,8}", after in "[a-c\r\n]{0,30}",
        ) {
            // Marks make each text unique, so that the reverse finds the very place.
            let (old, new) = (format!("<<{old}>"), format!("[[{new}]"));
            let content = format!("{before}{}{after}", old);
            let (changed, done) = apply(content.as_bytes(), &edit(&old, &new)).unwrap();
            let replaced = matches!(done, Done::Replaced { .. });
            prop_assert!(replaced);
            prop_assert!(changed.starts_with(before.as_bytes()) && changed.ends_with(after.as_bytes()));
            let (restored, _) = apply(&changed, &edit(&new, &old)).unwrap();
            let lf = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n");
            prop_assert_eq!(lf(&restored), lf(content.as_bytes()));
            let already = matches!(apply(&changed, &edit(&old, &new)), Ok((same, Done::Already { .. })) if same == changed);
            prop_assert!(already);
        }

        #[test]
        fn any_bytes_are_edited_without_panic(content in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), any::<u8>()], 0..60), old in "[a\r\n]{0,4}", new in "[ab\r\n]{0,4}", all in any::<bool>()) {
            let _ = apply(&content, &Edit { old, new, all });
        }
    }
}
