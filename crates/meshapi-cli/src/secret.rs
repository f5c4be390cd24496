//! What of a text must not be stored or logged: credentials, and the key of this run.

use std::borrow::Cow;

use mesh_safety::secrets;

/// What stands for the key of this run.
const MARK: &str = "[REDACTED:key]";

/// Whether the text holds what looks like a key, a token or a password.
///
/// A gateway key counts whatever it reads like (seed 3.5); of other shapes, what reads as a placeholder does not.
pub fn is_in(text: &str) -> bool {
    secrets::holds_meshapi_key(text) || !secrets::find(text).is_empty()
}

/// Takes secrets out of text on its way into a log.
#[derive(Clone, Default)]
pub struct Redactor {
    keys: Vec<String>,
}

impl Redactor {
    /// One that also knows these keys, whatever their shape.
    pub fn new(keys: impl IntoIterator<Item = String>) -> Redactor {
        Redactor { keys: keys.into_iter().filter(|key| !key.is_empty()).collect() }
    }

    /// The text without secrets; borrowed when there are none.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let is_known = self.keys.iter().any(|key| text.contains(key.as_str()));
        if !is_known && !secrets::holds_meshapi_key(text) {
            return secrets::redact(text);
        }
        let clean = self.keys.iter().fold(text.to_owned(), |text, key| text.replace(key.as_str(), MARK));
        let clean = without_gateway_keys(&clean);
        Cow::Owned(secrets::redact(&clean).into_owned())
    }
}

/// Takes out gateway keys by the rule of the history, which is wider than that of [`secrets::redact`]: a log is no place
/// to weigh whether one is real.
fn without_gateway_keys(text: &str) -> String {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let words = text.split_inclusive(|c| !is_inside(c));
    words
        .map(|word| {
            let end = word.trim_end_matches(|c| !is_inside(c));
            if secrets::holds_meshapi_key(end) {
                format!("{MARK}{}", &word[end.len()..])
            } else {
                word.to_owned()
            }
        })
        .collect()
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_seen() {
        for text in ["rsk_abcdefgh", "a\nrsk_abcdefgh-_Z end", "\"rsk_12345678\"", "https://u:hunter2pw@h/"] {
            assert!(is_in(text), "{text}");
        }
        for text in ["", "rsk_", "rsk_short", "what is a password?", "use sk-... here"] {
            assert!(!is_in(text), "{text}");
        }
    }

    #[test]
    fn secrets_are_taken_out() {
        let redactor = Redactor::new(["odd-key".to_owned(), String::new()]);
        assert_eq!(redactor.redact("a odd-key b"), "a [REDACTED:key] b");
        assert!(!redactor.redact("odd-key, Bearer rsk_a1b2c3d4e5f6").contains("a1b2"));
        assert!(!redactor.redact("https://u:hunter2pw@h/").contains("hunter2pw"));
        assert!(matches!(redactor.redact("nothing"), Cow::Borrowed("nothing")));
        assert!(!format!("{redactor:?}").contains("odd"));
    }
}
