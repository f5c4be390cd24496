//! Untrusted text made fit for a terminal: control and invisible characters, line breaks, width.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar;

/// Columns of a tab where a line is shown as one piece. Our choice: wide enough to see, narrow enough for a diff.
const TAB: &str = "    ";

/// What stands for a character that would act on the terminal or turn the reading order.
const REPLACEMENT: char = '\u{FFFD}';

/// Returns `text` without anything that acts on a terminal; line feeds and tabs stay.
///
/// Control characters become visible signs (`ESC` is `␛`), so that nothing which was there is hidden (D-13):
/// a command cannot be overwritten by what follows it. Marks that turn the reading direction become `U+FFFD`;
/// characters without any width vanish. `\r\n` becomes `\n`. Text that needs no change is borrowed.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    rewrite(text, Joiners::Remove)
}

/// Like [`sanitize`], for prose: the two joiners stay, which Persian, Indic scripts and emoji are written with.
pub fn sanitize_prose(text: &str) -> Cow<'_, str> {
    rewrite(text, Joiners::Keep)
}

/// Returns the output of a command without its colours and cursor moves, then [`sanitize`]d.
///
/// Whole escape sequences go, because programs colour their output for a terminal; a cut-off one stays visible.
pub fn sanitize_output(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        plain.push_str(&rest[..at]);
        let length = escape_length(&rest.as_bytes()[at..]);
        if length == 0 {
            plain.push('\u{1b}');
        }
        rest = &rest[at + length.max(1)..];
    }
    plain.push_str(rest);
    sanitize(&plain).into_owned()
}

/// Returns `text` as one line: [`sanitize`]d, line feeds shown as `␊`, tabs as blanks.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let clean = sanitize(text);
    if clean.contains(['\n', '\t']) {
        Cow::Owned(clean.replace('\n', "␊").replace('\t', TAB))
    } else {
        clean
    }
}

/// Returns at most `max_chars` characters of `text`, with `…` behind them if something was left out.
pub fn clip_chars(text: &str, max_chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Returns what of `text` fits into `columns` terminal cells; what does not fit ends in `…`.
pub fn clip_width(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut used = 0;
    for character in text.chars() {
        let cells = character.width().unwrap_or(0);
        if used + cells + 1 > columns {
            break;
        }
        used += cells;
        kept.push(character);
    }
    if columns > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// Returns how many terminal cells `text` takes, character by character.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joiners {
    Keep,
    Remove,
}

/// What becomes of one character.
enum Fate {
    Keep,
    Drop,
    Show(char),
}

fn rewrite(text: &str, joiners: Joiners) -> Cow<'_, str> {
    // Nearly all text is plain ASCII: looking at bytes is many times faster than at characters.
    let plain = text.bytes().position(|byte| !matches!(byte, b'\n' | b'\t' | b' '..=b'~'));
    let Some(plain) = plain else { return Cow::Borrowed(text) };
    let odd = text[plain..].char_indices().find(|&(_, c)| !matches!(fate(c, joiners), Fate::Keep));
    let Some((offset, _)) = odd else { return Cow::Borrowed(text) };
    let first = plain + offset;
    let mut clean = String::with_capacity(text.len() + 8);
    clean.push_str(&text[..first]);
    let mut rest = text[first..].chars().peekable();
    while let Some(character) = rest.next() {
        if character == '\r' && rest.peek() == Some(&'\n') {
            continue;
        }
        match fate(character, joiners) {
            Fate::Keep => clean.push(character),
            Fate::Drop => {}
            Fate::Show(sign) => clean.push(sign),
        }
    }
    Cow::Owned(clean)
}

fn fate(character: char, joiners: Joiners) -> Fate {
    match character {
        '\n' | '\t' | ' '..='~' => Fate::Keep,
        // The control pictures stand in the order of the control characters.
        '\0'..='\u{1f}' => Fate::Show(char::from_u32(0x2400 + character as u32).unwrap_or(REPLACEMENT)),
        '\u{7f}' => Fate::Show('␡'),
        '\u{80}'..='\u{9f}' => Fate::Show(REPLACEMENT),
        // Direction marks, embeddings, overrides and isolates; line and paragraph separators; annotations.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Fate::Show(REPLACEMENT)
        }
        '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => Fate::Show(REPLACEMENT),
        '\u{200c}' | '\u{200d}' if joiners == Joiners::Keep => Fate::Keep,
        // No width, no meaning in a terminal: soft hyphen, zero-width blanks and joiners, tags that spell unseen text.
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}' => Fate::Drop,
        '\u{e0000}'..='\u{e007f}' => Fate::Drop,
        _ => Fate::Keep,
    }
}

/// Length in bytes of the whole escape sequence at the start of `bytes`; 0 if there is none or it is cut off.
fn escape_length(bytes: &[u8]) -> usize {
    match bytes.get(1) {
        // Control sequence: parameters, intermediates, one final byte.
        Some(b'[') => {
            let body = bytes[2..].iter().position(|b| !(0x20..=0x3f).contains(b));
            match body.map(|at| (at, bytes[2 + at])) {
                Some((at, 0x40..=0x7e)) => at + 3,
                _ => 0,
            }
        }
        // Strings (title, hyperlink, device control): up to BEL or ESC \, on one line.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let end = bytes[2..].iter().position(|&b| matches!(b, 0x07 | 0x1b | b'\n'));
            match end.map(|at| (at, bytes[2 + at], bytes.get(at + 3))) {
                Some((at, 0x07, _)) => at + 3,
                Some((at, 0x1b, Some(b'\\'))) => at + 4,
                _ => 0,
            }
        }
        // Character set: one intermediate, one final byte.
        Some(0x20..=0x2f) if matches!(bytes.get(2), Some(0x30..=0x7e)) => 3,
        Some(0x30..=0x4f | 0x51..=0x57 | 0x59 | 0x5a | 0x5c | 0x60..=0x7e) => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(sanitize(text), want, "{text:?}");
    }

    #[test]
    fn what_acts_on_a_terminal_becomes_visible() {
        check("plain, with tab\tand\nline", "plain, with tab\tand\nline");
        check("grüße 日本 ✓", "grüße 日本 ✓");
        check("\u{1b}[2K\u{1b}[1Gecho safe", "␛[2K␛[1Gecho safe");
        check("a\rb", "a␍b");
        check("a\r\nb", "a\nb");
        check("bell\u{7} del\u{7f} nul\0", "bell␇ del␡ nul␀");
        check("c1 \u{9b}31m", "c1 \u{fffd}31m");
        check("rm \u{202e}txt.exe", "rm \u{fffd}txt.exe");
        check("pay\u{200b}pal\u{feff}", "paypal");
        check("tags\u{e0041}\u{e007f}", "tags");
    }

    #[test]
    fn prose_keeps_its_joiners() {
        assert_eq!(sanitize_prose("می\u{200c}شود"), "می\u{200c}شود");
        assert_eq!(sanitize_prose("\u{202e}x\u{1b}"), "\u{fffd}x␛");
    }

    #[test]
    fn colours_of_a_command_vanish_and_cut_sequences_stay_visible() {
        assert_eq!(sanitize_output("\u{1b}[1;31merror\u{1b}[0m: no"), "error: no");
        assert_eq!(sanitize_output("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\ end"), "link end");
        assert_eq!(sanitize_output("\u{1b}(Bx\u{1b}7y"), "xy");
        assert_eq!(sanitize_output("cut \u{1b}[12"), "cut ␛[12");
        assert_eq!(sanitize_output("open \u{1b}]0;title\nnext"), "open ␛]0;title\nnext");
        assert_eq!(sanitize_output("\u{1b}é"), "␛é");
    }

    #[test]
    fn one_line_shows_its_breaks() {
        assert_eq!(one_line("a\nb\tc"), "a␊b    c");
        assert!(matches!(one_line("same"), Cow::Borrowed("same")));
    }

    #[test]
    fn clipping_counts_cells_or_characters() {
        assert_eq!(clip_width("hello", 5), "hello");
        assert_eq!(clip_width("hello!", 5), "hell…");
        assert_eq!(clip_width("日本語", 5), "日本…");
        assert_eq!(clip_width("日本語", 4), "日…");
        assert_eq!(clip_width("x", 0), "");
        assert_eq!(clip_chars("日本語", 3), "日本語");
        assert_eq!(clip_chars("日本語", 2), "日本…");
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left(text in "\\PC*|[\\x00-\\x{ff}\\x{200b}-\\x{206f}\\x{1b}\\[\\]0-9m]*") {
            for clean in [sanitize(&text).into_owned(), sanitize_output(&text)] {
                prop_assert!(clean.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{:?}", clean);
                let turned = clean.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{2028}']);
                prop_assert!(!turned, "{:?}", clean);
                let again = sanitize(&clean);
                prop_assert_eq!(again.as_ref(), clean.as_str());
            }
        }

        #[test]
        fn clipped_text_fits(text in "\\PC{0,40}", columns in 0usize..30) {
            prop_assert!(width(&clip_width(&text, columns)) <= columns);
        }
    }
}
