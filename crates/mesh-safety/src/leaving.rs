//! What leaves the machine by a tool of its own, messages and addresses of the web: what the turn has read decides.

use crate::rules::{Effect, Rule};
use crate::url::{WebTarget, judge_written};
use crate::{Decision, PermissionMode, Policy};

/// Why what could send data out asks once text from outside and something private were read in one turn.
pub(crate) const TOGETHER: &str =
    "text from outside and something private were read since your last message, and this could send data out";

/// Why a command that could send data out asks after text from outside was read.
pub(crate) const UNTRUSTED: &str =
    "text from outside was read since your last message, and this could send data out";

/// Why a page asks after something private was read.
const PRIVATE: &str = "something private was read since your last message, and an address can carry it out";

/// The checks on a message, in every mode: what the turn has read decides.
pub(crate) fn send_by(to: &str, is_known: bool, policy: &Policy) -> Decision {
    match (policy.private, policy.untrusted, is_known) {
        (true, true, _) => Decision::ask_by_check(TOGETHER),
        (true, false, false) => to_a_stranger(to),
        (true, false, true) | (false, _, _) => Decision::Allow,
    }
}

/// Why a message asks that goes to somebody new after something private was read.
fn to_a_stranger(to: &str) -> Decision {
    Decision::ask_by_check(format!(
        "something private was read since your last message, and you never wrote to `{to}` before"
    ))
}

/// A page of the web: its address as far as it is known before any name is looked up, the mode, and what the turn has read. A
/// rule of the user that allows the host stands in place of the mode.
pub(crate) fn fetch_by(url: &str, mode: PermissionMode, policy: &Policy) -> Decision {
    use PermissionMode::{AcceptEdits, Auto, Bypass, Default};
    let target = WebTarget::parse(url).ok();
    let rule = target.and_then(|target| policy.rules.host(&target.host()).map(Rule::effect));
    let asked = match mode {
        _ if policy.untrusted && policy.private => Decision::ask_by_check(TOGETHER),
        _ if rule == Some(Effect::Allow) => Decision::Allow,
        Default | AcceptEdits => Decision::ask_by_mode("this mode asks before pages of the web are read"),
        Auto if policy.untrusted => Decision::ask_by_check(UNTRUSTED),
        Auto if policy.private => Decision::ask_by_check(PRIVATE),
        Auto | Bypass => Decision::Allow,
    };
    judge_written(url, &policy.rules).join(asked)
}

#[cfg(test)]
mod tests {
    use crate::judge::tests::{check, letter, policy};
    use crate::{Action, judge_allowed, offer};

    use super::*;

    #[test]
    fn a_message_is_judged_by_what_the_turn_has_read() {
        let mail = |is_known| Action::SendMail { to: "bob".into(), is_known };
        for (private, untrusted, known, new) in [
            (false, false, "mmaa", "mmaa"),
            (false, true, "mmaa", "mmaa"),
            (true, false, "mmaa", "cccc"),
            (true, true, "cccc", "cccc"),
        ] {
            let policy = Policy { private, untrusted, ..policy() };
            check(&mail(true), &policy, known);
            check(&mail(false), &policy, new);
            // Allowing the tool for a session allows none of what a check asks about.
            let allowed = judge_allowed(&mail(false), PermissionMode::Default, &policy);
            assert_eq!(letter(&allowed), if private { 'c' } else { 'a' });
            check(&Action::ReadMail, &policy, "aaaa");
        }
    }

    #[test]
    fn a_page_is_judged_by_its_host_and_by_what_the_turn_has_read() {
        let fetch = |url: &str| Action::Fetch { url: url.into(), is_kept: false };
        let (page, own) = (fetch("https://docs.example/a?b"), fetch("http://127.0.0.1:8080/"));
        for (private, untrusted, free, ruled) in [
            (false, false, "mmaa", "aaaa"),
            (false, true, "mmca", "aaaa"),
            (true, false, "mmca", "aaaa"),
            (true, true, "cccc", "cccc"),
        ] {
            let policy = Policy { private, untrusted, ..policy() };
            check(&page, &policy, free);
            let kept = Action::Fetch { url: "https://docs.example/a?b".into(), is_kept: true };
            check(&kept, &policy, "aaaa");
            // Allowing the tool for a session allows none of what a check asks about.
            let allowed = letter(&judge_allowed(&page, PermissionMode::Default, &policy));
            assert_eq!(allowed, if private || untrusted { 'c' } else { 'a' });
            let rule = |line| Rule::parse(Effect::Allow, line).unwrap();
            let rules = [rule("host *.example"), rule("host 127.0.0.1")].into_iter().collect();
            let with_rules = Policy { rules, ..policy.clone() };
            check(&page, &with_rules, ruled);
            check(&own, &with_rules, ruled);
            check(&own, &policy, "cccc");
            let offered = offer(&page, PermissionMode::Auto, &policy).map(|rule| rule.text().to_owned());
            assert_eq!(offered.as_deref(), (!(private && untrusted)).then_some("host docs.example"));
        }
        for url in [
            "file:///etc/hosts",
            "https://me@docs.example",
            "http://localhost/",
            "http://169.254.169.254/",
            "",
        ] {
            check(&fetch(url), &policy(), "cccc");
        }
        for (effect, want) in [(Effect::Ask, "cccc"), (Effect::Deny, "BBBB")] {
            let rules = [Rule::parse(effect, "host docs.example").unwrap()].into_iter().collect();
            check(&page, &Policy { rules, ..policy() }, want);
        }
    }
}
