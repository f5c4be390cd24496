//! A prompt that holds what looks like a key is not sent before the person has said so (D-21).

use std::io;

use crate::{
    repl::ask::Ask,
    secret::{self, Redactor},
    ui::line::{Line, Style},
};

/// What becomes of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is sent like this.
    Send(String),
    /// It is not sent.
    Keep(String),
}

/// Asks about a prompt that holds a secret; any other is sent.
///
/// # Errors
/// The terminal is gone.
pub fn check(person: &mut dyn Ask, prompt: String) -> io::Result<Checked> {
    if !secret::is_in(&prompt) {
        return Ok(Checked::Send(prompt));
    }
    person.say(&[Line::prose(Style::Warn, "⚠ this prompt holds what looks like a key or a password")]);
    let question = Line::of(Style::Bold, "Send it?")
        .with(Style::Plain, " s (send as it is) / r (redact it) / n (do not send) ");
    Ok(match person.choice(&question, &['s', 'r', 'n'])? {
        Some('s') => Checked::Send(prompt),
        Some('r') => {
            let clean = Redactor::default().redact(&prompt).into_owned();
            person.say(&[Line::prose(Style::Dim, &format!("sent: {clean}"))]);
            Checked::Send(clean)
        }
        _ => Checked::Keep(prompt),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repl::ask::tests::Scripted;

    const PROMPT: &str = "use rsk_abcdefghij please";

    #[track_caller]
    fn says(answer: Option<&str>, want: Checked) {
        let mut person = Scripted::new(&[answer]);
        assert_eq!(check(&mut person, PROMPT.into()).unwrap(), want, "{answer:?}");
        assert!(!person.shown.contains("rsk_abc"), "{}", person.shown);
    }

    #[test]
    fn a_key_is_sent_only_when_the_person_says_so() {
        says(Some("s"), Checked::Send(PROMPT.into()));
        says(Some("r"), Checked::Send("use [REDACTED:key] please".into()));
        says(Some("n"), Checked::Keep(PROMPT.into()));
        says(None, Checked::Keep(PROMPT.into()));
        let mut person = Scripted::default();
        assert_eq!(check(&mut person, "hello".into()).unwrap(), Checked::Send("hello".into()));
        assert_eq!(person.shown, "");
    }
}
