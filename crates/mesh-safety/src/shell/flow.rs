//! What is known of a value: its text, or at least where it came from.

use std::ops::{BitOr, BitOrAssign};
use std::rc::Rc;

/// Where data came from, as far as that changes what may be done with it. A set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taint(u8);

impl Taint {
    /// Nothing remarkable.
    pub(super) const NONE: Taint = Taint(0);
    /// Fetched from the network.
    pub(super) const FETCHED: Taint = Taint(1);
    /// Came out of a decoder: nobody reading the command sees what it is.
    pub(super) const DECODED: Taint = Taint(2);
    /// The environment, or the shell's history.
    pub(super) const ENVIRONMENT: Taint = Taint(4);
    /// A variable whose name says that it is a credential.
    pub(super) const CREDENTIAL: Taint = Taint(8);
    /// The content of a file, or the output of a program that may have read one.
    pub(super) const FILE: Taint = Taint(16);

    pub(super) fn has(self, other: Taint) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Taint {
    type Output = Taint;

    fn bitor(self, other: Taint) -> Taint {
        Taint(self.0 | other.0)
    }
}

impl BitOrAssign for Taint {
    fn bitor_assign(&mut self, other: Taint) {
        self.0 |= other.0;
    }
}

/// What goes through a pipe, a here-text or a substitution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// The whole text, where it is known.
    pub(super) text: Option<String>,
    /// Where it came from.
    pub(super) taint: Taint,
    /// Something flows: not just the terminal.
    pub(super) is_fed: bool,
}

impl Flow {
    /// Known text.
    pub(super) fn text(text: impl Into<String>) -> Flow {
        Flow { text: Some(text.into()), taint: Taint::NONE, is_fed: true }
    }

    /// Unknown data of known origin.
    pub(super) fn tainted(taint: Taint) -> Flow {
        Flow { text: None, taint, is_fed: true }
    }
}

/// One argument after expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arg {
    /// The text; what is not known stands in it as `*`.
    pub(super) text: String,
    /// Whether every part of the text is known.
    pub(super) is_known: bool,
    /// Whether it holds an unquoted pattern.
    pub(super) is_pattern: bool,
    /// Whether it begins with a variable of the environment, so that nothing is known of where it points.
    pub(super) begins_unknown: bool,
    /// Where its parts came from.
    pub(super) taint: Taint,
    /// What can be read from it, when it is a process substitution.
    pub(super) process: Option<Rc<Flow>>,
}

impl Arg {
    /// A known argument.
    pub(super) fn known(text: impl Into<String>) -> Arg {
        Arg { text: text.into(), is_known: true, ..Arg::default() }
    }

    /// An argument of which nothing is known but its origin.
    pub(super) fn unknown(taint: Taint) -> Arg {
        Arg { text: "*".to_owned(), begins_unknown: true, taint, ..Arg::default() }
    }

    /// The same argument with another text.
    pub(super) fn with_text(&self, text: impl Into<String>) -> Arg {
        Arg { text: text.into(), ..self.clone() }
    }

    /// Whether it reads as an option.
    pub(super) fn is_option(&self) -> bool {
        self.text.len() > 1 && self.text.starts_with('-')
    }

    /// The last name of the text as a path, lower case.
    pub(super) fn base_name(&self) -> String {
        self.text.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase()
    }
}
