//! What a person types while a turn runs: an edit buffer and what it shows. Pure.

use std::collections::VecDeque;

use unicode_width::UnicodeWidthChar;

use crate::ui::text;

/// Longest text that is taken, in bytes. Our choice: more is a file, and `/file` reads those.
pub const MAX_BYTES: usize = 1 << 20;

/// Pastes with more lines than this are shown as a mark; their bytes are kept.
const SHOWN_LINES: usize = 3;

/// An edit buffer with a cursor, and the messages that wait for the end of the turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    text: String,
    /// Byte position of the cursor, on a character boundary.
    cursor: usize,
    queue: VecDeque<String>,
    is_full: bool,
}

/// What a line looks like that is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The part that fits.
    pub text: String,
    /// The cell of the cursor in it.
    pub cell: usize,
}

impl Input {
    /// Starts with messages that already wait and a text that is already there.
    pub fn new(queue: VecDeque<String>, text: String) -> Input {
        Input { cursor: text.len(), text, queue, is_full: false }
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Nothing is typed.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The last text did not fit any more.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The messages that wait, first first.
    pub fn queue(&self) -> &VecDeque<String> {
        &self.queue
    }

    /// Gives up the messages and the text.
    pub fn into_parts(self) -> (VecDeque<String>, String) {
        (self.queue, self.text)
    }

    /// Inserts typed or pasted text as it is. Says whether it fitted.
    pub fn insert(&mut self, text: &str) -> bool {
        self.is_full = self.text.len() + text.len() > MAX_BYTES;
        if !self.is_full {
            self.text.insert_str(self.cursor, text);
            self.cursor += text.len();
        }
        !self.is_full
    }

    /// Takes the text as a message, if there is one.
    pub fn submit(&mut self) -> Option<String> {
        if self.text.trim().is_empty() {
            return None;
        }
        self.cursor = 0;
        self.is_full = false;
        Some(std::mem::take(&mut self.text))
    }

    /// Puts a message at the end of those that wait.
    pub fn enqueue(&mut self, message: String) {
        self.queue.push_back(message);
    }

    /// Takes the message that waits last back into the empty buffer. Says whether there was one.
    pub fn take_back(&mut self) -> bool {
        if !self.text.is_empty() {
            return false;
        }
        let Some(message) = self.queue.pop_back() else { return false };
        self.cursor = message.len();
        self.text = message;
        true
    }

    /// Deletes the character before the cursor.
    pub fn backspace(&mut self) {
        let start = self.before();
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    /// Deletes the character at the cursor.
    pub fn delete(&mut self) {
        let end = self.after();
        self.text.replace_range(self.cursor..end, "");
    }

    /// Deletes all up to the cursor.
    pub fn delete_to_start(&mut self) {
        self.text.replace_range(..self.cursor, "");
        self.cursor = 0;
    }

    /// Deletes all from the cursor on.
    pub fn delete_to_end(&mut self) {
        self.text.truncate(self.cursor);
    }

    /// Deletes the word before the cursor.
    pub fn delete_word(&mut self) {
        let before = &self.text[..self.cursor];
        let word_end = before.trim_end().len();
        let start = before[..word_end]
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8));
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    /// Moves the cursor one character to the left.
    pub fn left(&mut self) {
        self.cursor = self.before();
    }

    /// Moves the cursor one character to the right.
    pub fn right(&mut self) {
        self.cursor = self.after();
    }

    /// Moves the cursor to the start.
    pub fn home(&mut self) {
        self.cursor = 0;
    }

    /// Moves the cursor to the end.
    pub fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// The text as one row of at most `columns` cells, such that the cursor is in sight.
    pub fn shown(&self, columns: usize) -> Shown {
        let lines = self.text.lines().count();
        if lines > SHOWN_LINES {
            let rest = text::one_line(self.text.lines().next().unwrap_or_default()).into_owned();
            let mark = format!("[{lines} lines] {rest}");
            let clipped = text::clip_width(&mark, columns).into_owned();
            let cell = text::width(&clipped).min(columns.saturating_sub(1));
            return Shown { text: clipped, cell };
        }
        let before = text::one_line(&self.text[..self.cursor]).into_owned();
        let after = text::one_line(&self.text[self.cursor..]).into_owned();
        // The end of what stands before the cursor is what a person looks at.
        let room = columns.saturating_sub(1);
        let mut start = before.len();
        let mut cell = 0;
        for (at, character) in before.char_indices().rev() {
            let cells = character.width().unwrap_or(0);
            if cell + cells > room {
                break;
            }
            cell += cells;
            start = at;
        }
        let mut shown = before[start..].to_owned();
        let mut used = cell;
        for character in after.chars() {
            let cells = character.width().unwrap_or(0);
            if used + cells > columns {
                break;
            }
            used += cells;
            shown.push(character);
        }
        Shown { text: shown, cell }
    }

    fn before(&self) -> usize {
        self.text[..self.cursor].char_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        self.text[self.cursor..].chars().next().map_or(self.cursor, |c| self.cursor + c.len_utf8())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(text: &str) -> Input {
        Input::new(VecDeque::new(), text.to_owned())
    }

    #[test]
    fn keys_edit_the_text() {
        let mut input = typed("one two  ");
        input.delete_word();
        assert_eq!(input.text(), "one ");
        input.insert("日本");
        input.left();
        input.insert("x");
        input.backspace();
        input.delete();
        assert_eq!(input.text(), "one 日");
        input.home();
        input.right();
        input.delete_to_start();
        assert_eq!(input.text(), "ne 日");
        input.delete_to_end();
        input.backspace();
        input.delete();
        input.left();
        input.delete_word();
        assert!(input.is_empty());
    }

    #[test]
    fn messages_wait_and_come_back() {
        let mut input = typed("first");
        let message = input.submit().unwrap();
        input.enqueue(message);
        input.enqueue("second".into());
        assert_eq!(input.submit(), None);
        assert!(input.take_back() && !input.take_back());
        assert_eq!(input.into_parts(), (VecDeque::from(["first".to_owned()]), "second".to_owned()));
    }

    #[test]
    fn what_is_shown_has_the_cursor_in_sight() {
        let mut input = typed("hello world");
        assert_eq!(input.shown(20), Shown { text: "hello world".into(), cell: 11 });
        assert_eq!(input.shown(6), Shown { text: "world".into(), cell: 5 });
        input.home();
        assert_eq!(input.shown(6), Shown { text: "hello ".into(), cell: 0 });
        assert_eq!(typed("日本").shown(3), Shown { text: "本".into(), cell: 2 });
        assert_eq!(typed("a\nb\u{1b}").shown(20).text, "a␊b␛");
        assert_eq!(typed(&"line\n".repeat(10_000)).shown(20).text, "[10000 lines] line");
    }

    #[test]
    fn too_much_is_refused_whole() {
        let mut input = typed("x");
        assert!(!input.insert(&"y".repeat(MAX_BYTES)) && input.is_full());
        assert_eq!(input.text(), "x");
    }

    proptest! {
        #[test]
        fn a_paste_is_kept_byte_by_byte(paste in "[\\x00-\\x{ff}\\n日]{0,80}", columns in 1usize..30) {
            let mut input = typed("");
            input.insert(&paste);
            let shown = input.shown(columns);
            prop_assert!(text::width(&shown.text) <= columns && shown.cell <= columns);
            prop_assert_eq!(input.text(), paste);
        }
    }
}
