//! The theme of a session, and the question after the terminal's background.
//!
//! The question is asked as the first prompt appears, and nobody waits for the answer: it comes among the keys, whenever it
//! comes, and [`Look::typed`] takes it out of them. The prompt itself asks where the cursor is just after, so nearly every
//! terminal has answered before its first row is painted.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::terminal;
use crate::ui::theme::{Background, Theme, background_from_osc11};

/// OSC 11: which colour is behind the text? From xterm's control sequences.
const QUESTION: &str = "\x1b]11;?\x1b\\";
/// What an answer begins with, behind its introducer.
const HEAD: &str = "11;";
/// Longest answer that is one: `rgba:` and four numbers of four digits, and room for other spellings.
const MAX_CHARS: usize = 64;
/// A terminal writes its answer in one piece. What comes so much later was typed.
const MAX_GAP: Duration = Duration::from_millis(250);

/// How a session looks. Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub struct Look(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    theme: Theme,
    question: Question,
    /// Keys that were held back and turned out to be typed.
    ready: VecDeque<Event>,
}

#[derive(Debug)]
enum Question {
    /// To be asked with the first prompt.
    Due,
    /// Asked; the answer may come.
    Open(Answer),
    /// Answered, or not to be asked.
    Closed,
}

impl Look {
    /// A session in this theme, which learns the background from the terminal if it `asks`.
    pub fn new(theme: Theme, asks: bool) -> Look {
        let question = if asks { Question::Due } else { Question::Closed };
        Look(Arc::new(Mutex::new(State { theme, question, ready: VecDeque::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The theme now.
    pub fn theme(&self) -> Theme {
        self.lock().theme
    }

    /// Asks the terminal, once, and does not wait. The terminal is in raw mode from here on, so that the answer is not echoed.
    pub fn ask(&self) {
        let mut state = self.lock();
        if matches!(state.question, Question::Due) {
            let asked = crossterm::terminal::enable_raw_mode().and_then(|()| terminal::write(QUESTION));
            // A terminal that cannot be asked stays as it is.
            state.question = asked.map_or(Question::Closed, |()| Question::Open(Answer::default()));
        }
    }

    /// What of an event of the terminal a person typed, with what was held back before it.
    pub fn typed(&self, event: Event) -> Vec<Event> {
        let mut state = self.lock();
        let Question::Open(answer) = &mut state.question else { return vec![event] };
        match answer.take(event, Instant::now()) {
            Taken::Held => Vec::new(),
            Taken::Typed(events) => events,
            Taken::Answered(background, events) => {
                state.question = Question::Closed;
                if let Some(background) = background {
                    state.theme = state.theme.with_background(background);
                }
                events
            }
        }
    }

    /// Waits for what a person types next.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn read(&self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.lock().ready.pop_front() {
                return Ok(event);
            }
            let typed = self.typed(event::read()?);
            self.lock().ready.extend(typed);
        }
    }
}

/// An answer that comes key by key, because that is how a terminal's bytes are read.
#[derive(Debug, Default)]
struct Answer {
    /// What came of it.
    held: Vec<Event>,
    /// The same as text, behind the introducer.
    text: String,
    /// The last key was Esc: an introducer or an end that was cut in two.
    is_escaped: bool,
    last: Option<Instant>,
}

/// What became of an event.
#[derive(Debug, PartialEq)]
enum Taken {
    /// It may belong to the answer.
    Held,
    /// These were typed.
    Typed(Vec<Event>),
    /// The answer is whole, or broken off; these were typed.
    Answered(Option<Background>, Vec<Event>),
}

impl Answer {
    fn take(&mut self, event: Event, now: Instant) -> Taken {
        let key = match &event {
            Event::Key(key) if key.kind != KeyEventKind::Release => *key,
            Event::Paste(_) => return self.end(event),
            // Not from the keyboard, so it may come in between.
            _ => return Taken::Typed(vec![event]),
        };
        let was_escaped = std::mem::take(&mut self.is_escaped);
        let is_late = self.last.replace(now).is_some_and(|last| now.duration_since(last) > MAX_GAP);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let is_escape = key.code == KeyCode::Esc;
        if self.held.is_empty() {
            if key.code == KeyCode::Char(']') && !control && (alt || was_escaped) {
                self.held.push(event);
                return Taken::Held;
            }
            self.is_escaped = is_escape;
            return Taken::Typed(vec![event]);
        }
        if is_late {
            return self.end(event);
        }
        match key.code {
            KeyCode::Char('\\') if alt || was_escaped => self.whole(event),
            KeyCode::Char('g') if control => self.whole(event),
            KeyCode::Esc => {
                self.is_escaped = true;
                self.held.push(event);
                Taken::Held
            }
            KeyCode::Char(character) if !alt && !control && !was_escaped && self.fits(character) => {
                self.text.push(character);
                self.held.push(event);
                Taken::Held
            }
            _ => self.end(event),
        }
    }

    fn fits(&self, character: char) -> bool {
        match HEAD.chars().nth(self.text.chars().count()) {
            Some(wanted) => character == wanted,
            None => self.text.chars().count() < MAX_CHARS,
        }
    }

    /// The end of the answer came.
    fn whole(&mut self, end: Event) -> Taken {
        match self.text.strip_prefix(HEAD) {
            Some(colour) => Taken::Answered(background_from_osc11(colour), Vec::new()),
            None => self.end(end),
        }
    }

    /// Something came that does not belong to it: what was held was typed, unless it was surely the beginning of an answer.
    fn end(&mut self, event: Event) -> Taken {
        if self.text.starts_with(HEAD) {
            return Taken::Answered(None, vec![event]);
        }
        self.text.clear();
        let mut typed = std::mem::take(&mut self.held);
        typed.push(event);
        Taken::Typed(typed)
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;
    use proptest::prelude::*;

    use super::*;

    /// The keys that crossterm makes of bytes: an escape character is the Alt of what follows it.
    fn keys(bytes: &str) -> Vec<Event> {
        let mut keys = Vec::new();
        let mut alt = KeyModifiers::NONE;
        for character in bytes.chars() {
            let key = match character {
                '\x1b' => {
                    alt = KeyModifiers::ALT;
                    continue;
                }
                '\x07' => KeyEvent::new(KeyCode::Char('g'), KeyModifiers::CONTROL),
                '\r' => KeyEvent::new(KeyCode::Enter, alt),
                '^' => KeyEvent::new(KeyCode::Esc, alt),
                character => KeyEvent::new(KeyCode::Char(character), alt),
            };
            alt = KeyModifiers::NONE;
            keys.push(Event::Key(key));
        }
        keys
    }

    /// What was typed and what was learnt of these keys, which come one right after the other.
    fn read(events: Vec<Event>) -> (Vec<Event>, Option<Option<Background>>) {
        let now = Instant::now();
        let (mut typed, mut learnt) = (Vec::new(), None);
        let mut answer = Answer::default();
        for event in events {
            if learnt.is_some() {
                typed.push(event);
                continue;
            }
            match answer.take(event, now) {
                Taken::Held => {}
                Taken::Typed(events) => typed.extend(events),
                Taken::Answered(background, events) => {
                    learnt = Some(background);
                    typed.extend(events);
                }
            }
        }
        (typed, learnt)
    }

    #[track_caller]
    fn check(bytes: &str, typed: &str, learnt: Option<Option<Background>>) {
        assert_eq!(read(keys(bytes)), (keys(typed), learnt), "{bytes:?}");
    }

    #[test]
    fn an_answer_is_taken_out_of_what_is_typed() {
        let (light, dark) = (Some(Some(Background::Light)), Some(Some(Background::Dark)));
        check("he\x1b]11;rgb:ffff/ffff/ffff\x1b\\llo", "hello", light);
        check("\x1b]11;rgb:1e1e/1e1e/1e1e\x07x", "x", dark);
        check("^]11;rgb:0/0/0\x1b\\x", "^x", dark);
        check("\x1b]11;#ffffff^\\x", "x", light);
        check("\x1b]11;no colour at all\x07x", "x", Some(None));
        check("\x1b]11;rgb:ff\r", "\r", Some(None));
        check("\x1b]11;\x1b\\", "", Some(None));
        check("\x1b]11;rgb:ffff/\x1bx", "\x1bx", Some(None));
        let long = "9".repeat(100);
        check(&format!("\x1b]11;{long}"), &long[..39], Some(None));
    }

    #[test]
    fn what_only_looks_like_one_stays() {
        for typed in [
            "",
            "plain",
            "\x1b]x",
            "\x1b]\x1b]12",
            "\x1b]10;rgb:0/0/0",
            "]11;rgb:0/0/0\x07",
            "^x]11;",
            "\x1b]1\x07",
        ] {
            check(&format!("{typed}\r"), &format!("{typed}\r"), None);
        }
        let paste = Event::Paste("11;".into());
        let mut events = keys("\x1b]");
        events.push(paste);
        assert_eq!(read(events.clone()), (events, None));
    }

    #[test]
    fn a_resize_does_not_break_an_answer() {
        let mut events = keys("\x1b]11;rgb:0/0/0\x07");
        events.insert(5, Event::Resize(80, 24));
        assert_eq!(read(events), (vec![Event::Resize(80, 24)], Some(Some(Background::Dark))));
    }

    #[test]
    fn what_comes_much_later_was_typed() {
        let mut answer = Answer::default();
        let now = Instant::now();
        for key in keys("\x1b]11;rgb:ff") {
            assert_eq!(answer.take(key, now), Taken::Held);
        }
        let later = now + MAX_GAP + Duration::from_millis(1);
        assert_eq!(answer.take(keys("a").remove(0), later), Taken::Answered(None, keys("a")));
    }

    #[test]
    fn a_look_learns_once() {
        let theme = Theme::new(Background::Dark, crate::ui::theme::Depth::True);
        let look = Look::new(theme, false);
        let answer = keys("\x1b]11;rgb:ffff/ffff/ffff\x07");
        for key in answer.clone() {
            assert_eq!(look.typed(key.clone()), [key], "nobody asked");
        }
        look.lock().question = Question::Open(Answer::default());
        for key in answer.clone() {
            assert_eq!(look.typed(key), []);
        }
        assert_eq!(look.theme().background(), Background::Light);
        for key in answer {
            assert_eq!(look.typed(key.clone()), [key], "it was answered");
        }
    }

    proptest! {
        #[test]
        fn no_key_is_lost_or_moved(before in "[a-z\\]^\\x1b]{0,8}", after in "[a-z1;\\]\\r]{0,8}") {
            // Without the head of an answer everything was typed, but for what is still open at the end.
            let text = format!("{before}{after}\r\r");
            prop_assume!(!text.contains("]11;"));
            prop_assert_eq!(read(keys(&text)), (keys(&text), None));
        }
    }
}
