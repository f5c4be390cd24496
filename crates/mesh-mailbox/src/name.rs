//! [`PeerName`]: the canonical form, old names, and names that only look alike.
//!
//! A name is compared byte for byte everywhere, so it may hold nothing that prints like something else: ASCII only, lower case
//! only, no blanks, no line end. Nothing is trimmed or folded; what is not a name is refused with the rule that it breaks.

use std::fmt;
use std::str::FromStr;

use crate::error::{MailboxError, printable};

/// Fewest characters of a name. From the Python client's rule.
const MIN_CHARS: usize = 2;

/// Most characters of a name. From the Python client's rule, and the gateway's limit of `from_node` and `to_node`.
const MAX_CHARS: usize = 64;

/// Old names and what they are called now. From the Python client; one step, exact match.
const ALIASES: [(&str, &str); 3] =
    [("drop", "droplet"), ("lab-claude", "lab-ovh"), ("ws-lc", "workstation-lc")];

/// A peer's name in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct PeerName(String);

impl PeerName {
    /// Checks a name and gives its canonical form: an old name becomes the new one.
    ///
    /// ```
    /// use mesh_mailbox::PeerName;
    ///
    /// assert_eq!(PeerName::parse("lab-claude")?.as_str(), "lab-ovh");
    /// // The third letter is Cyrillic.
    /// let refused = PeerName::parse("al\u{456}ce").unwrap_err().to_string();
    /// assert!(refused.contains("U+0456"), "{refused}");
    /// # Ok::<(), mesh_mailbox::MailboxError>(())
    /// ```
    ///
    /// # Errors
    /// [`MailboxError::InvalidName`], naming the first rule that the text breaks.
    pub fn parse(text: &str) -> Result<PeerName, MailboxError> {
        match broken_rule(text) {
            Some(reason) => Err(MailboxError::InvalidName { name: printable(text), reason }),
            None => Ok(PeerName(PeerName::alias_of(text).unwrap_or(text).to_owned())),
        }
    }

    /// Returns the present name for an old one, so that a caller can warn of its use.
    pub fn alias_of(text: &str) -> Option<&'static str> {
        ALIASES.iter().find(|(old, _)| *old == text).map(|(_, new)| *new)
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a person would easily take one name for the other: the same once `0`/`o`, `1`/`l`/`i`, `5`/`s`, `rn`/`m`,
    /// `vv`/`w` and the number of dashes are disregarded.
    ///
    /// ```
    /// use mesh_mailbox::PeerName;
    ///
    /// let alice = PeerName::parse("alice")?;
    /// assert!(alice.looks_like(&PeerName::parse("a1ice")?));
    /// assert!(!alice.looks_like(&PeerName::parse("bob")?));
    /// assert!(!alice.looks_like(&alice));
    /// # Ok::<(), mesh_mailbox::MailboxError>(())
    /// ```
    pub fn looks_like(&self, other: &PeerName) -> bool {
        self != other && skeleton(&self.0) == skeleton(&other.0)
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PeerName {
    type Err = MailboxError;

    fn from_str(text: &str) -> Result<PeerName, MailboxError> {
        PeerName::parse(text)
    }
}

impl<'de> serde::Deserialize<'de> for PeerName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<PeerName, D::Error> {
        PeerName::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn broken_rule(text: &str) -> Option<String> {
    let is_inner = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    if let Some(stranger) = text.chars().find(|&c| !is_inner(c)) {
        return Some(format!("it holds {} (U+{:04X})", shown(stranger), u32::from(stranger)));
    }
    // From here on the text is ASCII: bytes are characters.
    if !(MIN_CHARS..=MAX_CHARS).contains(&text.len()) {
        return Some(format!("it has {} characters", text.len()));
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Some("it does not begin with a letter".to_owned());
    }
    if text.ends_with('-') {
        return Some("it ends with a dash".to_owned());
    }
    None
}

/// One character as it may stand in an error: in quotes, escaped where it would not print.
fn shown(c: char) -> String {
    format!("{c:?}")
}

/// The name with everything that is easily mistaken reduced to one form.
fn skeleton(name: &str) -> String {
    let mut plain: String = name
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' | 'i' => 'l',
            '5' => 's',
            other => other,
        })
        .collect();
    plain = plain.replace("rn", "m").replace("vv", "w");
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refused(text: &str, want: &str) {
        let error = PeerName::parse(text).unwrap_err();
        let MailboxError::InvalidName { reason, .. } = &error else { panic!("{error:?}") };
        assert_eq!(reason, want, "{text:?}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }

    #[test]
    fn the_broken_rule_is_named() {
        refused("", "it has 0 characters");
        refused("a", "it has 1 characters");
        refused(&"a".repeat(65), "it has 65 characters");
        refused("1a", "it does not begin with a letter");
        refused("-a", "it does not begin with a letter");
        refused("a-", "it ends with a dash");
        refused("Ab", "it holds 'A' (U+0041)");
        refused("ab\n", "it holds '\\n' (U+000A)");
        refused("ab ", "it holds ' ' (U+0020)");
        refused("a\u{200b}b", "it holds '\\u{200b}' (U+200B)");
        refused("\u{ff41}b", "it holds 'ａ' (U+FF41)");
    }

    #[test]
    fn a_long_text_is_cut_in_the_error() {
        let error = PeerName::parse(&"é".repeat(100_000)).unwrap_err().to_string();
        assert!(error.len() < 500, "{}", error.len());
    }

    #[test]
    fn names_that_look_alike_are_told_apart() {
        let name = |text| PeerName::parse(text).unwrap();
        for (one, other) in
            [("modern", "modem"), ("lab-01", "lab-ol"), ("a--b", "a-b"), ("vv1", "wi"), ("web5", "webs")]
        {
            assert!(name(one).looks_like(&name(other)), "{one} {other}");
        }
        assert!(!name("lab-a").looks_like(&name("lab-b")));
    }

    #[test]
    fn a_name_is_checked_when_it_is_deserialized() {
        assert_eq!(serde_json::from_str::<PeerName>(r#""drop""#).unwrap().as_str(), "droplet");
        assert!(serde_json::from_str::<PeerName>(r#""ab\n""#).is_err());
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer_and_a_canonical_name_stays(text in "([a-z][a-z0-9-]{0,70}|\\PC{0,8}|drop|ws-lc)\n?") {
            if let Ok(name) = PeerName::parse(&text) {
                prop_assert_eq!(PeerName::parse(name.as_str()), Ok(name.clone()));
                prop_assert!(name.as_str().is_ascii() && !text.ends_with('\n'));
                prop_assert!(!name.looks_like(&name));
            }
        }
    }
}
