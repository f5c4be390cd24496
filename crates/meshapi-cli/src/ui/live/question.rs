//! A question to the person at the terminal, answered by a key or a choice. Pure: keys in, an answer out.

use crossterm::event::{KeyCode, KeyEvent};

use crate::ui::{
    line::{Line, Style},
    text,
};

/// A question that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May a call run?
    Approve {
        /// The tool, for the answer that holds for the session.
        tool: String,
        /// A rule that would let it run unasked from now on.
        rule: Option<String>,
    },
    /// May a call run that cannot be undone or reaches far? A word has to be typed.
    Confirm {
        /// What was typed so far.
        typed: String,
    },
    /// May a command have what the sandbox kept it from, and run again?
    Widen,
    /// Which of these?
    Pick(Picker),
}

/// What a key did to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Yes.
    Yes,
    /// No, or Esc.
    No,
    /// Yes, and for the rest of the session.
    Always,
    /// Yes, and its rule holds for the session.
    ForSession,
    /// Yes, and its rule holds in this project.
    ForProject,
    /// These were picked, and this was typed.
    Picked(Vec<usize>),
    /// The text that is being typed is the answer.
    OwnWords,
    /// Nothing was picked.
    Cancelled,
}

/// A list to choose from, below the question. The last row stands for the person's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picker {
    /// What can be chosen, and what it means.
    pub choices: Vec<(String, String)>,
    /// More than one can be chosen.
    pub is_multi: bool,
    row: usize,
    marked: Vec<bool>,
}

impl Picker {
    /// A list with its first row selected.
    pub fn new(choices: Vec<(String, String)>, is_multi: bool) -> Picker {
        let marked = vec![false; choices.len()];
        Picker { choices, is_multi, row: 0, marked }
    }

    fn key(&mut self, key: KeyEvent) -> Option<Reply> {
        let last = self.choices.len();
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => self.row = self.row.checked_sub(1).unwrap_or(last),
            KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => self.row = (self.row + 1) % (last + 1),
            KeyCode::Home => self.row = 0,
            KeyCode::End => self.row = last,
            KeyCode::Char(' ') if self.is_multi && self.row < last => {
                self.marked[self.row] = !self.marked[self.row];
            }
            KeyCode::Char(digit @ '1'..='9') => {
                let row = digit as usize - '1' as usize;
                if row < last && self.is_multi {
                    self.row = row;
                    self.marked[row] = !self.marked[row];
                } else if row < last {
                    return Some(Reply::Picked(vec![row]));
                } else if row == last {
                    self.row = last;
                }
            }
            KeyCode::Enter if self.row == last => return Some(Reply::OwnWords),
            KeyCode::Enter => return Some(Reply::Picked(self.picked())),
            KeyCode::Esc => return Some(Reply::Cancelled),
            _ => {}
        }
        None
    }

    fn picked(&self) -> Vec<usize> {
        let marked: Vec<usize> = (0..self.choices.len()).filter(|row| self.marked[*row]).collect();
        if self.is_multi && !marked.is_empty() { marked } else { vec![self.row] }
    }

    /// The person's own words are selected: what is typed goes into the input row.
    pub fn wants_words(&self) -> bool {
        self.row == self.choices.len()
    }

    fn rows(&self, columns: usize) -> Vec<Line> {
        let mut rows = Vec::new();
        for (row, (label, description)) in self.choices.iter().enumerate() {
            let mark = match (self.is_multi, self.marked[row]) {
                (true, true) => "[x] ",
                (true, false) => "[ ] ",
                (false, _) => "",
            };
            let label = format!("{}. {mark}{label}", row + 1);
            rows.push(self.row_of(row, &label, description, columns));
        }
        let own = self.choices.len();
        rows.push(self.row_of(own, "type your own answer", "", columns));
        let keys = if self.is_multi {
            "space marks, enter takes, esc lets the model decide"
        } else {
            "enter takes, esc lets the model decide"
        };
        rows.push(Line::of(Style::Dim, &text::clip_width(&format!("  {keys}"), columns)));
        rows
    }

    fn row_of(&self, row: usize, label: &str, description: &str, columns: usize) -> Line {
        let (sign, style) = if row == self.row { ("❯ ", Style::Brand) } else { ("  ", Style::Plain) };
        let head = text::clip_width(&text::one_line(&format!("{sign}{label}")), columns).into_owned();
        let room = columns.saturating_sub(text::width(&head));
        let tail = if description.is_empty() { String::new() } else { format!("  {description}") };
        Line::of(style, &head).with(Style::Dim, &text::clip_width(&text::one_line(&tail), room))
    }
}

impl Question {
    /// Takes a key that is meant for the question.
    pub fn key(&mut self, key: KeyEvent) -> Option<Reply> {
        match self {
            Question::Approve { rule, .. } => match key.code {
                KeyCode::Char('s' | 'S') if rule.is_some() => Some(Reply::ForSession),
                KeyCode::Char('p' | 'P') if rule.is_some() => Some(Reply::ForProject),
                KeyCode::Char('y' | 'Y') => Some(Reply::Yes),
                KeyCode::Char('n' | 'N') | KeyCode::Esc => Some(Reply::No),
                KeyCode::Char('a' | 'A') => Some(Reply::Always),
                _ => None,
            },
            Question::Confirm { typed } => confirm(typed, key),
            Question::Widen => match key.code {
                KeyCode::Char('o' | 'O') => Some(Reply::Yes),
                KeyCode::Char('s' | 'S') => Some(Reply::ForSession),
                KeyCode::Char('n' | 'N') | KeyCode::Esc => Some(Reply::No),
                _ => None,
            },
            Question::Pick(picker) => picker.key(key),
        }
    }

    /// Whether keys that mean nothing to it are its own all the same.
    pub fn takes_every_key(&self) -> bool {
        matches!(self, Question::Pick(_) | Question::Confirm { .. })
    }

    /// The rows that it takes in the region.
    pub fn rows(&self, columns: usize) -> Vec<Line> {
        match self {
            Question::Approve { tool, rule } => {
                let rule = rule.as_deref().map(|rule| {
                    let text = format!("always `{rule}`: s (this session) / p (this project)");
                    let clipped = text::width(&text) > columns;
                    let text = if clipped { format!("s / p: always `{rule}`") } else { text };
                    Line::of(Style::Dim, &text::clip_width(&text::one_line(&text), columns))
                });
                let long = format!("y (yes) / n (no) / a (always {tool} this session) ›");
                let short = "y / n / a ›".to_owned();
                let text = if text::width(&long) <= columns { long } else { short };
                let keys = Line::of(Style::Bold, &text::clip_width(&text, columns));
                rule.into_iter().chain([keys]).collect()
            }
            Question::Confirm { typed } => {
                let long = format!("type {CONFIRMATION} and press Enter to run it, Esc for no › {typed}");
                let short = format!("type {CONFIRMATION}, or Esc › {typed}");
                let text = if text::width(&long) <= columns { long } else { short };
                vec![Line::of(Style::WarnBold, &text::clip_width(&text::one_line(&text), columns))]
            }
            Question::Widen => {
                let long = "o (once) / s (for this session) / n (no) ›";
                let text = if text::width(long) <= columns { long } else { "o / s / n ›" };
                vec![Line::of(Style::Bold, &text::clip_width(text, columns))]
            }
            Question::Pick(picker) => picker.rows(columns),
        }
    }
}

/// The word that has to be typed where a key is not enough.
pub const CONFIRMATION: &str = "yes";

/// Longest answer that is taken in; more cannot be the word.
const MAX_TYPED: usize = 16;

fn confirm(typed: &mut String, key: KeyEvent) -> Option<Reply> {
    match key.code {
        KeyCode::Esc => return Some(Reply::No),
        KeyCode::Enter if typed.trim().eq_ignore_ascii_case(CONFIRMATION) => return Some(Reply::Yes),
        KeyCode::Enter if matches!(typed.trim(), "n" | "no") => return Some(Reply::No),
        KeyCode::Enter => typed.clear(),
        KeyCode::Backspace => drop(typed.pop()),
        KeyCode::Char(c) if typed.len() < MAX_TYPED => typed.push(c),
        _ => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;

    use super::*;

    fn press(question: &mut Question, code: KeyCode) -> Option<Reply> {
        question.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn picker(is_multi: bool) -> Question {
        let choices = [("SQLite", "one file"), ("PostgreSQL", "many writers")];
        let choices = choices.map(|(label, what)| (label.to_owned(), what.to_owned())).to_vec();
        Question::Pick(Picker::new(choices, is_multi))
    }

    #[test]
    fn only_the_answers_answer() {
        let mut question = Question::Approve { tool: "run_bash".into(), rule: None };
        assert_eq!(press(&mut question, KeyCode::Char('p')), None);
        assert_eq!(press(&mut question, KeyCode::Enter), None);
        assert_eq!(press(&mut question, KeyCode::Char('x')), None);
        assert_eq!(press(&mut question, KeyCode::Char('y')), Some(Reply::Yes));
        assert_eq!(press(&mut question, KeyCode::Char('A')), Some(Reply::Always));
        assert_eq!(press(&mut question, KeyCode::Esc), Some(Reply::No));
        assert_eq!(question.rows(80)[0].plain(), "y (yes) / n (no) / a (always run_bash this session) ›");
        assert_eq!(question.rows(20)[0].plain(), "y / n / a ›");
    }

    #[test]
    fn a_rule_is_offered_with_its_text() {
        let mut question =
            Question::Approve { tool: "run_bash".into(), rule: Some("command cargo test".into()) };
        let rows: Vec<String> = question.rows(80).iter().map(|row| row.plain().into_owned()).collect();
        assert_eq!(rows[0], "always `command cargo test`: s (this session) / p (this project)");
        assert_eq!(question.rows(40)[0].plain(), "s / p: always `command cargo test`");
        assert_eq!(press(&mut question, KeyCode::Char('s')), Some(Reply::ForSession));
        assert_eq!(press(&mut question, KeyCode::Char('P')), Some(Reply::ForProject));
    }

    #[test]
    fn what_is_gravest_takes_a_word() {
        let mut question = Question::Confirm { typed: String::new() };
        for code in ['y', 'e'].map(KeyCode::Char).into_iter().chain([KeyCode::Enter]) {
            assert_eq!(press(&mut question, code), None);
        }
        for code in "yesx".chars().map(KeyCode::Char).chain([KeyCode::Backspace]) {
            assert_eq!(press(&mut question, code), None);
        }
        assert_eq!(question.rows(80)[0].plain(), "type yes and press Enter to run it, Esc for no › yes");
        assert_eq!(press(&mut question, KeyCode::Enter), Some(Reply::Yes));
        assert_eq!(press(&mut question, KeyCode::Esc), Some(Reply::No));
    }

    #[test]
    fn a_widening_is_for_once_or_for_the_session() {
        let mut question = Question::Widen;
        for key in [KeyCode::Enter, KeyCode::Char('y'), KeyCode::Char('a')] {
            assert_eq!(press(&mut question, key), None);
        }
        assert_eq!(press(&mut question, KeyCode::Char('o')), Some(Reply::Yes));
        assert_eq!(press(&mut question, KeyCode::Char('S')), Some(Reply::ForSession));
        assert_eq!(press(&mut question, KeyCode::Esc), Some(Reply::No));
        assert_eq!(question.rows(80)[0].plain(), "o (once) / s (for this session) / n (no) ›");
    }

    #[test]
    fn one_is_picked() {
        let mut question = picker(false);
        assert_eq!(press(&mut question, KeyCode::Down), None);
        assert_eq!(press(&mut question, KeyCode::Enter), Some(Reply::Picked(vec![1])));
        assert_eq!(press(&mut question, KeyCode::Char('1')), Some(Reply::Picked(vec![0])));
        press(&mut question, KeyCode::Down);
        assert_eq!(press(&mut question, KeyCode::Enter), Some(Reply::OwnWords));
        assert_eq!(press(&mut question, KeyCode::Esc), Some(Reply::Cancelled));
    }

    #[test]
    fn many_are_picked() {
        let mut question = picker(true);
        press(&mut question, KeyCode::Char(' '));
        press(&mut question, KeyCode::Char('2'));
        let rows: Vec<String> = question.rows(60).iter().map(|row| row.plain().into_owned()).collect();
        assert_eq!(
            rows,
            [
                "  1. [x] SQLite  one file",
                "❯ 2. [x] PostgreSQL  many writers",
                "  type your own answer",
                "  space marks, enter takes, esc lets the model decide",
            ]
        );
        assert_eq!(press(&mut question, KeyCode::Enter), Some(Reply::Picked(vec![0, 1])));
    }
}
