//! Texts as PostgreSQL can hold them: it knows no NUL, and a message's thread may have one.

use std::borrow::Cow;
use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// Stands before `0` for NUL and before `1` for itself.
const ESCAPE: char = '\u{1}';

/// A text on its way into the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<'t>(Cow<'t, str>);

impl<'t> Text<'t> {
    pub(super) fn new(text: &'t str) -> Text<'t> {
        if !text.contains(['\0', ESCAPE]) {
            return Text(Cow::Borrowed(text));
        }
        let mut escaped = String::with_capacity(text.len() + 8);
        for character in text.chars() {
            match character {
                '\0' => escaped.extend([ESCAPE, '0']),
                ESCAPE => escaped.extend([ESCAPE, '1']),
                other => escaped.push(other),
            }
        }
        Text(Cow::Owned(escaped))
    }

    /// The same, with a life of its own.
    pub(super) fn owned(text: &str) -> Text<'static> {
        Text(Cow::Owned(Text::new(text).0.into_owned()))
    }
}

/// A text as it was before it was stored.
pub(super) fn plain(stored: &str) -> Cow<'_, str> {
    if !stored.contains(ESCAPE) {
        return Cow::Borrowed(stored);
    }
    let mut text = String::with_capacity(stored.len());
    let mut characters = stored.chars();
    while let Some(character) = characters.next() {
        let is_nul = character == ESCAPE && characters.next() == Some('0');
        text.push(if is_nul { '\0' } else { character });
    }
    Cow::Owned(text)
}

impl ToSql for Text<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.as_ref().to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_stored_holds_no_nul_and_comes_back(text in "[\0\u{1}01a]{0,12}", other in "[\0\u{1}01a]{0,12}") {
            let stored = Text::new(&text).0;
            prop_assert!(!stored.contains('\0'));
            prop_assert_eq!(plain(&stored), text.as_str());
            prop_assert_eq!(Text::new(&other).0 == stored, other == text);
        }
    }
}
