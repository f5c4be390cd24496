//! What a caller does while a request is prepared.

use std::fmt;

use crate::plan::Cut;

/// Keeps what is cut, so that it can be read again.
pub trait Retain {
    /// `original` is the text as the client sent it; it can be read again as [`Cut::id`].
    fn retain(&mut self, cut: &Cut, original: &str);
}

/// Sums up what an assistant said, when a session is too long for its model and shortening was not enough.
pub trait Summarize {
    /// Returns a summary of `talk`, or `None` where none can be had. It is asked for once and then stays.
    fn summarize(&mut self, talk: &str) -> Option<Summary>;
}

/// A summary and its price.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The words.
    pub text: String,
    /// What it cost, in plain input tokens of the session's model; the receipt is charged with it.
    pub units: f64,
}

/// The caller's helpers; none is needed.
#[derive(Default)]
pub struct Helpers<'h> {
    /// Keeps what is cut.
    pub retain: Option<&'h mut dyn Retain>,
    /// Sums up what was said.
    pub summarize: Option<&'h mut dyn Summarize>,
}

impl fmt::Debug for Helpers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helpers")
            .field("retain", &self.retain.is_some())
            .field("summarize", &self.summarize.is_some())
            .finish()
    }
}
