//! Pure: finds the notes that stand in a shortened history where text was cut, so that they never get into a file.

/// The first note in `text`: `[... 1200 bytes cut` or `[12 lines as in result r5`, up to where its wording varies.
pub(super) fn find_note(text: &str) -> Option<&str> {
    let cut = text.match_indices("[... ").find_map(|(at, open)| {
        let number = at + open.len();
        let end = number + digits(&text[number..]);
        let is_note = end > number && text[end..].starts_with(CUT);
        is_note.then(|| &text[at..end + CUT.len()])
    });
    let repeat = text.match_indices(REPEAT).find_map(|(at, _)| {
        let number = text[..at].trim_end_matches(|c: char| c.is_ascii_digit());
        let end = at + REPEAT.len();
        let of = ["result r", "arguments r"].into_iter().find(|of| text[end..].starts_with(of))?;
        let is_note = number.len() < at && number.ends_with('[') && digits(&text[end + of.len()..]) > 0;
        is_note.then(|| &text[number.len() - 1..end + of.len() - 2])
    });
    cut.or(repeat)
}

const CUT: &str = " bytes cut";
const REPEAT: &str = " lines as in ";

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The first note in `text` that `file` does not hold itself, as words for the model.
pub(super) fn refusal(argument: &str, text: &str, file: &[u8]) -> Option<String> {
    let note = find_note(text).filter(|note| memchr::memmem::find(file, note.as_bytes()).is_none())?;
    Some(format!(
        "`{argument}` holds \"{note}\", a note that stands in the shortened conversation and not in the file. Read the real text \
         again with read_file, from the file or by the id in the note, and send it whole."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        assert_eq!(find_note(text), want, "{text}");
    }

    #[test]
    fn notes_are_told_from_text_like_them() {
        check(
            "a\n[... 1200 bytes cut; read them with read_file(\"r3\") ...]\nb",
            Some("[... 1200 bytes cut"),
        );
        check("x [... y [... 7 bytes cut", Some("[... 7 bytes cut"));
        check("[12 lines as in result r5 above (a.rs), from its line 3]", Some("[12 lines as in result"));
        check("é[1 lines as in arguments r4.2 above", Some("[1 lines as in arguments"));
        for text in [
            "",
            "[... {bytes} bytes cut",
            "[... bytes cut",
            "[... 12 bytes cat",
            "[{count} lines as in result r5",
            "12 lines as in result r5",
            "[ lines as in result r5",
            "[12 lines as in the first part",
            "[12 lines as in result row",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_file_may_hold_what_looks_like_a_note() {
        let text = "see [... 5 bytes cut ...]";
        assert!(
            refusal("new", text, b"nothing")
                .is_some_and(|words| words.contains("`new` holds \"[... 5 bytes cut\""))
        );
        assert_eq!(refusal("new", text, b"docs: [... 5 bytes cut ...]"), None);
    }
}
