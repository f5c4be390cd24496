//! Short questions between turns: one letter, or a text that is not shown.

use std::{
    io,
    time::{Duration, Instant},
};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::ui::{
    line::Line,
    live::{Look, terminal},
};

/// For so long after a question appears a key was meant for what was there before.
const TYPED_AHEAD: Duration = Duration::from_millis(150);

/// Stands behind a question that waits for its answer.
pub const SIGN: &str = "› ";

/// Asks a person.
pub trait Ask {
    /// Shows lines.
    fn say(&mut self, lines: &[Line]);

    /// A text that is not shown while it is typed; `None` if the person does not want to answer.
    ///
    /// # Errors
    /// The terminal is gone.
    fn secret(&mut self, prompt: &Line) -> io::Result<Option<String>>;

    /// One of these letters; `None` if the person does not want to answer. [`SIGN`] follows the prompt as soon as keys count.
    ///
    /// # Errors
    /// The terminal is gone.
    fn choice(&mut self, prompt: &Line, letters: &[char]) -> io::Result<Option<char>>;
}

/// Asks at the terminal, key by key.
#[derive(Clone, Debug)]
pub struct TerminalAsk {
    look: Look,
}

impl TerminalAsk {
    /// Its questions look so.
    pub fn new(look: Look) -> TerminalAsk {
        TerminalAsk { look }
    }

    /// Shows the prompt, reads with `read` in raw mode, and ends the line with what is said of the answer.
    fn ask<T>(
        &self,
        prompt: &Line,
        read: impl FnOnce() -> io::Result<Option<T>>,
        said: impl FnOnce(&T) -> String,
    ) -> io::Result<Option<T>> {
        // Before the question shows: a key that is pasted at once must not be echoed.
        crossterm::terminal::enable_raw_mode()?;
        let answer = terminal::write(&self.look.theme().paint(prompt)).and_then(|()| read());
        crossterm::terminal::disable_raw_mode()?;
        let answer = answer?;
        terminal::write(&format!("{}\n", answer.as_ref().map(said).unwrap_or_default()))?;
        Ok(answer)
    }
}

impl Ask for TerminalAsk {
    fn say(&mut self, lines: &[Line]) {
        // A terminal that is gone is noticed where it is read.
        let _ = terminal::print(self.look.theme(), lines);
    }

    fn secret(&mut self, prompt: &Line) -> io::Result<Option<String>> {
        self.ask(prompt, || read_secret(&self.look), |_| String::new())
    }

    fn choice(&mut self, prompt: &Line, letters: &[char]) -> io::Result<Option<char>> {
        self.ask(prompt, || read_choice(&self.look, letters), char::to_string)
    }
}

fn read_secret(look: &Look) -> io::Result<Option<String>> {
    let mut secret = Secret::default();
    loop {
        if let Some(answer) = secret.take(look.read()?) {
            return Ok(answer);
        }
    }
}

fn read_choice(look: &Look, letters: &[char]) -> io::Result<Option<char>> {
    let counts = Instant::now() + TYPED_AHEAD;
    loop {
        let left = counts.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        if event::poll(left)? {
            look.typed(event::read()?);
        }
    }
    terminal::write(SIGN)?;
    loop {
        let event = look.read()?;
        if let Some(answer) = chosen(&event, letters) {
            return Ok(answer);
        }
    }
}

/// What a key says to a question with these answers; `None` if it says nothing.
fn chosen(event: &Event, letters: &[char]) -> Option<Option<char>> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    let control = modifiers.contains(KeyModifiers::CONTROL);
    match code {
        _ if *kind == KeyEventKind::Release => None,
        KeyCode::Esc => Some(None),
        KeyCode::Char('c' | 'd') if control => Some(None),
        KeyCode::Char(letter) if !control => {
            let letter = letter.to_ascii_lowercase();
            letters.contains(&letter).then_some(Some(letter))
        }
        _ => None,
    }
}

/// A text while it is typed unseen.
#[derive(Default)]
struct Secret {
    text: String,
}

impl Secret {
    /// Takes a key. `Some` is the end: the text, or that there is none.
    fn take(&mut self, event: Event) -> Option<Option<String>> {
        let key = match event {
            Event::Paste(text) => {
                self.text.push_str(&text);
                return None;
            }
            Event::Key(key) if key.kind != KeyEventKind::Release => key,
            _ => return None,
        };
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Some(Some(std::mem::take(&mut self.text))),
            KeyCode::Esc => return Some(None),
            KeyCode::Char('c' | 'd') if control => return Some(None),
            KeyCode::Char('j') if control => return Some(Some(std::mem::take(&mut self.text))),
            KeyCode::Char('u') if control => self.text.clear(),
            KeyCode::Char(character) if !control => self.text.push(character),
            KeyCode::Backspace => drop(self.text.pop()),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A person who answers as written down, and what they were shown.
    #[derive(Default)]
    pub(crate) struct Scripted {
        pub(crate) answers: std::collections::VecDeque<Option<String>>,
        pub(crate) shown: String,
    }

    impl Scripted {
        pub(crate) fn new(answers: &[Option<&str>]) -> Scripted {
            let answers = answers.iter().map(|answer| answer.map(str::to_owned)).collect();
            Scripted { answers, shown: String::new() }
        }
    }

    impl Ask for Scripted {
        fn say(&mut self, lines: &[Line]) {
            for line in lines {
                self.shown.push_str(&format!("{}\n", line.plain()));
            }
        }

        fn secret(&mut self, prompt: &Line) -> io::Result<Option<String>> {
            self.shown.push_str(&format!("{}\n", prompt.plain()));
            Ok(self.answers.pop_front().flatten())
        }

        fn choice(&mut self, prompt: &Line, letters: &[char]) -> io::Result<Option<char>> {
            let answer = self.secret(prompt)?.and_then(|text| text.chars().next());
            Ok(answer.filter(|letter| letters.contains(letter)))
        }
    }

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
        Event::Key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn a_secret_is_edited_unseen() {
        let mut secret = Secret::default();
        let plain = KeyModifiers::NONE;
        for event in [
            key(KeyCode::Char('x'), plain),
            key(KeyCode::Char('u'), KeyModifiers::CONTROL),
            key(KeyCode::Char('A'), KeyModifiers::SHIFT),
            Event::Paste("bc".into()),
            key(KeyCode::Backspace, plain),
            key(KeyCode::Left, plain),
            Event::Resize(1, 1),
        ] {
            assert_eq!(secret.take(event), None);
        }
        assert_eq!(secret.take(key(KeyCode::Enter, plain)), Some(Some("Ab".into())));
        assert_eq!(secret.take(key(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(None));
    }

    #[test]
    fn only_its_own_letters_answer_a_question() {
        let says = |code, modifiers| chosen(&key(code, modifiers), &['y', 'n']);
        assert_eq!(says(KeyCode::Char('Y'), KeyModifiers::SHIFT), Some(Some('y')));
        assert_eq!(says(KeyCode::Char('x'), KeyModifiers::NONE), None);
        assert_eq!(says(KeyCode::Char('y'), KeyModifiers::CONTROL), None);
        assert_eq!(says(KeyCode::Enter, KeyModifiers::NONE), None);
        assert_eq!(says(KeyCode::Esc, KeyModifiers::NONE), Some(None));
        assert_eq!(says(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(None));
    }
}
