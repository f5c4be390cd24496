//! Placeholders for credentials: what a tool found goes to the model under another name, and comes back as itself.

use std::borrow::Cow;

use super::{Severity, find};

/// The credentials that one session has hidden. The same value always has the same placeholder.
#[derive(Clone, Debug)]
pub struct Veil {
    mark: String,
    hidden: Vec<Hidden>,
}

/// A credential and what stands for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden {
    /// What the model sees.
    pub placeholder: String,
    /// The rule that found it.
    pub rule: &'static str,
    value: String,
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hidden").field("placeholder", &self.placeholder).finish_non_exhaustive()
    }
}

/// Credentials that are remembered; beyond that they are hidden for good.
const MAX_HIDDEN: usize = 10_000;

impl Veil {
    /// Hides nothing yet. The mark is random for the session, so that no text from outside can name a placeholder.
    pub fn new(mark: &str) -> Veil {
        let plain: String = mark.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        Veil { mark: plain, hidden: Vec::new() }
    }

    /// The text with each credential of high or critical severity under its placeholder.
    pub fn hide<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        let mut out = String::new();
        let mut at = 0;
        for span in find(text).into_iter().filter(|span| span.severity >= Severity::High) {
            out.push_str(&text[at..span.start]);
            out.push_str(&self.placeholder(&text[span.start..span.end], span.rule));
            at = span.end;
        }
        if at == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[at..]);
        Cow::Owned(out)
    }

    fn placeholder(&mut self, value: &str, rule: &'static str) -> String {
        if let Some(known) = self.hidden.iter().find(|hidden| hidden.value == value) {
            return known.placeholder.clone();
        }
        if self.hidden.len() >= MAX_HIDDEN {
            return format!("[REDACTED:{rule}]");
        }
        let placeholder = format!("[SECRET {rule} {}.{}]", self.mark, self.hidden.len() + 1);
        self.hidden.push(Hidden { placeholder: placeholder.clone(), rule, value: value.to_owned() });
        placeholder
    }

    /// The credentials whose placeholders stand in a text.
    pub fn named(&self, text: &str) -> Vec<&Hidden> {
        if !text.contains("[SECRET ") {
            return Vec::new();
        }
        self.hidden.iter().filter(|hidden| text.contains(&hidden.placeholder)).collect()
    }

    /// The rule of a credential that stands in a text as itself: one that was hidden before, or one that is found now.
    pub fn leak(&self, text: &str) -> Option<&'static str> {
        let hidden = self.hidden.iter().find(|hidden| text.contains(&hidden.value)).map(|hidden| hidden.rule);
        hidden.or_else(|| find(text).first().map(|span| span.rule))
    }

    /// The text with the values in place of their placeholders.
    pub fn restore<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let named = self.named(text);
        if named.is_empty() {
            return Cow::Borrowed(text);
        }
        let restored = |text: String, hidden: &Hidden| text.replace(&hidden.placeholder, &hidden.value);
        Cow::Owned(named.into_iter().fold(text.to_owned(), restored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_out_under_its_placeholder_and_comes_back() {
        let key = format!("rsk_{}", "0123456789abcdefghijABCD");
        let mut veil = Veil::new("k3v9");
        let text = format!("a {key} b {key}");
        let hidden = veil.hide(&text).into_owned();
        assert_eq!(hidden, "a [SECRET meshapi-key k3v9.1] b [SECRET meshapi-key k3v9.1]");
        assert_eq!(veil.hide(&hidden), hidden.as_str(), "once is enough");
        assert_eq!(veil.restore(&hidden), text);
        assert_eq!(veil.named(&hidden).len(), 1);
        assert_eq!(veil.restore("[SECRET meshapi-key zzzz.1]"), "[SECRET meshapi-key zzzz.1]");
        assert!(!format!("{veil:?}").contains("0123456789abcdefghij"));
        assert_eq!(veil.hide("nothing"), "nothing");
        assert_eq!(
            veil.leak(&format!("x{key}x")),
            Some("meshapi-key"),
            "found in the middle of a word, since it is known"
        );
        assert_eq!(veil.leak(&hidden), None);
        assert_eq!(Veil::new("x").leak(&key), Some("meshapi-key"));
    }
}
