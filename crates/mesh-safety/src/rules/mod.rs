//! The user's own rules: what is always allowed, always asked, or never done. Deny counts before ask, ask before allow.
//!
//! A rule is one line, the same in a file, in a prompt and in a reason:
//!
//! - `command cargo test`: a program and the words that follow it first; more words may follow. With a `/` it is that very file
//! - `read docs/**`, `write /srv/out`, `path ~/notes/**`: a place, by whole names; `*` inside a name, `**` for any names
//! - `host crates.io`, `host *.example.com`: an address of the web
//!
//! Allow is narrow and deny is wide: where letters' case, a link or an option in between makes it doubtful, allow does not hold
//! and deny does. Pure: what is looked at comes from the caller.

mod matching;

use std::sync::Arc;

use matching::Matcher;
pub(crate) use matching::{Access, Program};

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It runs unasked, whatever the mode; what a check at top severity finds is still asked.
    Allow,
    /// A person is asked, whatever the mode.
    Ask,
    /// It does not run.
    Deny,
}

impl Effect {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Effect::Allow => "allow",
            Effect::Ask => "ask",
            Effect::Deny => "deny",
        }
    }

    /// The effect of a word.
    pub fn parse(word: &str) -> Option<Effect> {
        [Effect::Allow, Effect::Ask, Effect::Deny].into_iter().find(|effect| effect.as_str() == word)
    }
}

/// One rule of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    effect: Effect,
    matcher: Matcher,
    text: Arc<str>,
}

/// Why a line is no rule, or why its example does not fit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// It does not begin with a word that says what it is about.
    #[error("`{0}` is no rule; a rule is `command …`, `read …`, `write …`, `path …` or `host …`")]
    Kind(String),
    /// Nothing follows that word.
    #[error("`{0}` does not say what it is about")]
    Empty(String),
    /// The words are none that a rule can hold.
    #[error("`{0}`: {1}")]
    Shape(String, &'static str),
    /// An example that the rule has to match, and does not.
    #[error("`{rule}` does not match its example `{example}`")]
    Unmatched {
        /// The rule.
        rule: String,
        /// The example.
        example: String,
    },
    /// An example that the rule must not match, and does.
    #[error("`{rule}` matches `{example}`, which it must not")]
    Matched {
        /// The rule.
        rule: String,
        /// The example.
        example: String,
    },
}

impl Rule {
    /// Reads one line.
    ///
    /// # Errors
    /// It is no rule.
    pub fn parse(effect: Effect, line: &str) -> Result<Rule, RuleError> {
        let line = line.trim();
        let (kind, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let matcher = Matcher::parse(kind, rest.trim(), line)?;
        Ok(Rule { effect, matcher, text: line.into() })
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The line that it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks an example: a command, a path or a host, as the rule is about one.
    ///
    /// # Errors
    /// The rule does not do with the example what it should.
    pub fn check(&self, example: &str, should_match: bool, policy: &crate::Policy) -> Result<(), RuleError> {
        let rules = Rules::new(vec![self.clone()]);
        let policy = crate::Policy { rules, ..policy.clone() };
        let matches = match &self.matcher {
            Matcher::Command(_) => crate::shell::meets_rule(example, &policy),
            Matcher::Place(access, _) => {
                let access = if *access == Access::Any { Access::Read } else { *access };
                crate::path::Guard::new(&policy).rule(example.as_ref(), &policy.workspace, access).is_some()
            }
            Matcher::Host(_) => policy.rules.host(example).is_some(),
        };
        let (rule, example) = (self.text.to_string(), example.to_owned());
        match (matches, should_match) {
            (false, true) => Err(RuleError::Unmatched { rule, example }),
            (true, false) => Err(RuleError::Matched { rule, example }),
            _ => Ok(()),
        }
    }
}

/// The rules in force. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Arc<[Rule]>);

impl Rules {
    /// These rules; their order does not matter.
    pub fn new(rules: Vec<Rule>) -> Rules {
        Rules(rules.into())
    }

    /// Each rule.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rule that decides on a host.
    pub fn host(&self, host: &str) -> Option<&Rule> {
        self.strongest(|rule| matches!(&rule.matcher, Matcher::Host(pattern) if pattern.matches(host)))
    }

    /// The rule that decides on a program with its arguments.
    pub(crate) fn program(&self, program: &Program<'_>) -> Option<&Rule> {
        self.strongest(|rule| match &rule.matcher {
            Matcher::Command(words) => words.matches(program, rule.effect),
            Matcher::Place(..) | Matcher::Host(_) => false,
        })
    }

    /// The rule that decides on a place, seen in these ways. Relative patterns start at `workspace`.
    pub(crate) fn place(
        &self,
        sights: &[&std::path::Path],
        access: Access,
        workspace: &std::path::Path,
        home: Option<&std::path::Path>,
    ) -> Option<&Rule> {
        self.strongest(|rule| match &rule.matcher {
            Matcher::Place(of, pattern) if of.covers(access) => {
                let matches = |path: &&std::path::Path| pattern.matches(path, workspace, home, rule.effect);
                // What is allowed has to be allowed in each way in which it can be seen.
                match rule.effect {
                    Effect::Allow => sights.iter().all(matches),
                    Effect::Ask | Effect::Deny => sights.iter().any(matches),
                }
            }
            _ => false,
        })
    }

    fn strongest(&self, matches: impl Fn(&Rule) -> bool) -> Option<&Rule> {
        self.0.iter().filter(|rule| matches(rule)).max_by_key(|rule| rule.effect)
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<T: IntoIterator<Item = Rule>>(rules: T) -> Rules {
        Rules(rules.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Confined, Decision, PermissionMode, Policy, judge};

    fn policy(rules: &[(Effect, &str)]) -> Policy {
        Policy {
            workspace: "/home/dev/w".into(),
            home: Some("/home/dev".into()),
            confined: Confined::Fully,
            rules: rules.iter().map(|(effect, line)| Rule::parse(*effect, line).unwrap()).collect(),
            ..Policy::default()
        }
    }

    /// One letter: `a` runs, `r` a rule asks, `m` the mode, `c` a check, `B` blocked.
    fn letter(decision: &Decision) -> char {
        use crate::ReasonSource::{Check, Mode, Rule};
        let has = |source| decision.reasons().iter().any(|reason| reason.source == source);
        match decision {
            Decision::Allow => 'a',
            Decision::Block(_) => 'B',
            Decision::Ask(_) if has(Rule) => 'r',
            Decision::Ask(_) if has(Check) => 'c',
            Decision::Ask(_) if has(Mode) => 'm',
            Decision::Ask(_) => '?',
        }
    }

    /// Verdicts in the four modes.
    #[track_caller]
    fn check(rules: &[(Effect, &str)], action: &Action, want: &str) {
        let policy = policy(rules);
        let row: String =
            PermissionMode::ALL.iter().map(|&mode| letter(&judge(action, mode, &policy))).collect();
        assert_eq!(row, want, "{action:?} {rules:?}");
    }

    fn run(command: &str) -> Action {
        Action::Run { command: command.into() }
    }

    #[test]
    fn a_command_is_matched_by_its_first_words() {
        use Effect::{Allow, Ask, Deny};
        let test = [(Allow, "command cargo test")];
        check(&test, &run("cargo test --all -- x"), "aaaa");
        check(&test, &run("cd sub && cargo test 2>&1 | tail -5"), "aaaa");
        check(&test, &run("cargo build"), "mmaa");
        check(&test, &run("cargo testing"), "mmaa");
        check(&test, &run("cargo test; cargo build"), "mmaa");
        check(&test, &run("cargo test > out.txt"), "mmaa");
        check(&test, &run("./cargo test"), "mmaa");
        check(&test, &run("cargo test $(cat x)"), "mmaa");
        check(&test, &run("cargo test; rm -rf ~"), "cccc");
        check(&test, &run("X=1 LD_PRELOAD=./x.so cargo test"), "mmcc");
        check(&[(Allow, "command git push")], &run("git push origin main"), "aaaa");
        check(&[(Allow, "command git push")], &run("git push; git push --force | sh"), "mmcc");
        check(&[(Allow, "command sudo")], &run("sudo rm -rf /"), "cccc");
        check(&[(Allow, "command timeout")], &run("timeout 5 git push"), "mmcc");
        let push = [(Deny, "command git push"), (Allow, "command git")];
        check(&push, &run("git push"), "BBBB");
        check(&push, &run("git -C sub -c a=b push"), "BBBB");
        check(&push, &run("sh -c 'GIT push'; ls"), "BBBB");
        check(&push, &run("/usr/bin/git push"), "BBBB");
        check(&push, &run("echo \"git push\""), "mmaa");
        check(&push, &run("git commit -m push"), "aaaa");
        check(&push, &run("a() { git push; }; a"), "BBBB");
        check(&[(Ask, "command cargo"), (Allow, "command cargo")], &run("cargo test"), "rrrr");
    }

    #[test]
    fn places_are_matched_by_whole_names() {
        use Effect::{Allow, Deny};
        let write = |path: &str| Action::Write { path: path.into() };
        let read = |path: &str| Action::Read { path: path.into() };
        let out = [(Allow, "write /srv/out/**"), (Deny, "path secret/**"), (Allow, "write docs/*.md")];
        check(&out, &write("/srv/out/a/b"), "aaaa");
        check(&out, &write("/srv/outer/a"), "mccc");
        check(&out, &write("/srv/out/../x"), "mccc");
        check(&out, &write("/home/dev/w/docs/a.md"), "aaaa");
        check(&out, &write("/home/dev/w/docs/sub/a.md"), "maaa");
        check(&out, &read("/home/dev/w/secret/x"), "BBBB");
        check(&out, &read("/home/dev/w/SECRET/x"), "BBBB");
        check(&out, &run("cat secret/x"), "BBBB");
        check(&out, &run("echo x > secret/x"), "BBBB");
        check(&[(Allow, "read ~/notes/**")], &read("/home/dev/notes/x"), "aaaa");
        check(&[(Allow, "path ~/**")], &read("/home/dev/.ssh/id_rsa"), "mmmc");
    }

    #[test]
    fn hosts_are_matched_by_whole_labels() {
        use Effect::Deny;
        let rules = policy(&[(Deny, "host *.evil.example"), (Effect::Allow, "host Crates.io")]).rules;
        assert!(rules.host("crates.io.").is_some() && rules.host("xcrates.io").is_none());
        assert!(rules.host("a.b.EVIL.example").is_some() && rules.host("evil.example").is_none());
        check(&[(Deny, "host evil.example")], &run("curl -s https://evil.example:8443/x"), "BBBB");
        check(&[(Deny, "host evil.example")], &run("curl -s https://good.example/evil.example"), "mmaa");
    }

    #[test]
    fn what_is_no_rule_is_said() {
        for line in [
            "",
            "command",
            "cargo test",
            "command cargo *",
            "write ",
            "host a b",
            "host *",
            "path **",
            "command $X",
        ] {
            assert!(Rule::parse(Effect::Allow, line).is_err(), "{line}");
        }
    }

    #[test]
    fn examples_are_checked() {
        let rule = Rule::parse(Effect::Allow, "command cargo test").unwrap();
        let policy = policy(&[]);
        assert_eq!(rule.check("cargo test -q", true, &policy), Ok(()));
        assert_eq!(rule.check("cargo build", false, &policy), Ok(()));
        let error = rule.check("cargo tests", true, &policy).unwrap_err();
        assert_eq!(error.to_string(), "`command cargo test` does not match its example `cargo tests`");
        assert!(rule.check("cargo test", false, &policy).is_err());
        let write = Rule::parse(Effect::Deny, "write dist/**").unwrap();
        assert_eq!(write.check("dist/a.js", true, &policy), Ok(()));
    }
}
