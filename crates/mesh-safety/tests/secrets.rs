//! Laws of the secret finder, for any text.

use mesh_safety::secrets::{find, redact};
use proptest::prelude::*;

proptest! {
    #[test]
    fn spans_are_in_order_and_inside(text in "(?s).{0,200}") {
        let mut end = 0;
        for span in find(&text) {
            prop_assert!(span.start >= end && span.end > span.start);
            prop_assert!(text.get(span.start..span.end).is_some());
            end = span.end;
        }
    }

    #[test]
    fn redacting_twice_changes_nothing(before in "[ -~\n]{0,40}", tail in "[A-Za-z0-9]{36,44}", after in "[ -~\n]{0,40}") {
        for prefix in ["ghp_", "rsk_", "sk-proj-", "token=", "password: ", "Bearer "] {
            let text = format!("{before} {prefix}{tail} {after}");
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once).into_owned(), once);
        }
    }

    #[test]
    fn a_key_is_gone_after_redaction(tail in "[A-Z][a-z]{4}[0-9]{4}[A-Za-z0-9]{30}") {
        prop_assume!(tail.bytes().collect::<std::collections::HashSet<_>>().len() > 16);
        let text = format!("use rsk_{tail} now");
        prop_assert!(!redact(&text).contains(&tail));
    }
}
