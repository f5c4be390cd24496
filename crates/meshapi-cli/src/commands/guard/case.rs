//! One question to the guards and its answer. Pure: what a name resolves to is given.

use std::{collections::HashMap, net::IpAddr, path::PathBuf};

use mesh_safety::{
    Action, Confined, Decision, PermissionMode, Policy, WebTarget, judge_by_rules, judge_command, judge_read,
    judge_write,
    rules::Rules,
    secrets::{self, Severity},
};
use serde::{Deserialize, Serialize};

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A shell command.
    Command,
    /// The path of a file that is to be written.
    WritePath,
    /// The path of a file that is to be read.
    ReadPath,
    /// An address of the web.
    Url,
    /// A text that may hold a credential.
    Secret,
}

/// A question.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Case {
    /// What is judged.
    pub(super) kind: Kind,
    /// Its text.
    pub(super) input: String,
    /// The mode in force; auto where none is named.
    #[serde(default)]
    pub(super) mode: Option<String>,
    /// The folder it happens in.
    #[serde(default)]
    pub(super) cwd: PathBuf,
    /// The user's home.
    #[serde(default)]
    pub(super) home: Option<PathBuf>,
    /// Commands run without a sandbox of level full: a program that no table knows asks.
    #[serde(default, rename = "unconfined")]
    pub(super) is_unconfined: bool,
    /// What the user always allows, asks or denies; cases of other programs are judged without.
    #[serde(skip)]
    pub(super) rules: Rules,
    /// What names resolve to; others do not resolve.
    #[serde(default)]
    pub(super) dns: HashMap<String, Vec<IpAddr>>,
    /// Where the address would redirect to, one after the other.
    #[serde(default)]
    pub(super) redirects: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// `allow`, `ask` or `block`.
    pub(super) verdict: &'static str,
    /// Why, a line each; empty when it is allowed.
    pub(super) reasons: Vec<String>,
    /// The text without its credentials, where it holds any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redacted: Option<String>,
}

impl Case {
    fn confined(&self) -> Confined {
        if self.is_unconfined { Confined::Partly } else { Confined::Fully }
    }

    /// Judges the case; `None` when its mode is none.
    pub(super) fn judge(&self) -> Option<Verdict> {
        let mode = PermissionMode::parse(self.mode.as_deref().unwrap_or("auto"))?;
        let (workspace, home) = (self.cwd.clone(), self.home.clone());
        let (confined, rules) = (self.confined(), self.rules.clone());
        let policy = Policy { workspace, home, confined, rules, ..Policy::default() };
        let path = PathBuf::from(&self.input);
        let ruled = match self.kind {
            Kind::WritePath => judge_by_rules(&Action::Write { path }, &policy),
            Kind::ReadPath => judge_by_rules(&Action::Read { path }, &policy),
            Kind::Command | Kind::Url | Kind::Secret => None,
        };
        if let Some(decision) = ruled {
            return Some(Verdict::of(&decision));
        }
        Some(match self.kind {
            Kind::Command => Verdict::of(&judge_command(&self.input, mode, &policy)),
            Kind::WritePath => Verdict::of(&judge_write(&self.input, mode, &policy)),
            Kind::ReadPath => Verdict::of(&judge_read(&self.input, &policy)),
            Kind::Url => Verdict::of(&self.judge_url()),
            Kind::Secret => judge_text(&self.input),
        })
    }

    fn judge_url(&self) -> Decision {
        let mut target = match WebTarget::parse(&self.input) {
            Ok(target) => target,
            Err(error) => return Decision::ask_by_check(error.to_string()),
        };
        let mut decision = self.judge_target(&target);
        for location in &self.redirects {
            match target.redirect(location) {
                Ok(next) => target = next,
                Err(error) => return decision.join(Decision::ask_by_check(error.to_string())),
            }
            decision = decision.join(self.judge_target(&target));
        }
        decision
    }

    fn judge_target(&self, target: &WebTarget) -> Decision {
        let host = target.host();
        let named = |name: &str| name.trim_end_matches('.').eq_ignore_ascii_case(&host);
        let found = self.dns.iter().find(|(name, _)| named(name));
        target.judge_by(&self.rules, found.map_or(&[], |(_, addresses)| addresses))
    }
}

fn judge_text(text: &str) -> Verdict {
    let found = secrets::find(text);
    if found.is_empty() {
        return Verdict::of(&Decision::Allow);
    }
    let line = |span: &secrets::Span| format!("{} ({})", span.rule, severity(span.severity));
    let mut reasons: Vec<String> = found.iter().map(line).collect();
    reasons.dedup();
    Verdict { verdict: "ask", reasons, redacted: Some(secrets::redact(text).into_owned()) }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

impl Verdict {
    /// A decision in words.
    pub(super) fn of(decision: &Decision) -> Verdict {
        let verdict = match decision {
            Decision::Allow => "allow",
            Decision::Ask(_) => "ask",
            Decision::Block(_) => "block",
        };
        let reasons = decision.reasons().iter().map(|reason| reason.text.clone()).collect();
        Verdict { verdict, reasons, redacted: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn verdict(case: serde_json::Value) -> Verdict {
        serde_json::from_value::<Case>(case).unwrap().judge().unwrap()
    }

    #[test]
    fn each_kind_meets_its_guard() {
        use serde_json::json;
        let at =
            |kind: &str, input: &str| json!({"kind": kind, "input": input, "cwd": "/w", "home": "/home/dev"});
        for (kind, input, want) in [
            ("command", "cargo test", "allow"),
            ("command", "sudo true", "ask"),
            ("write_path", "src/a.rs", "allow"),
            ("write_path", "/etc/passwd", "ask"),
            ("read_path", "/usr/include/stdio.h", "allow"),
            ("read_path", "~/.ssh/id_rsa", "ask"),
            ("url", "http://127.0.0.1/", "ask"),
            ("secret", "nothing here", "allow"),
        ] {
            assert_eq!(verdict(at(kind, input)).verdict, want, "{kind} {input}");
        }
    }

    #[test]
    fn every_stop_of_a_redirect_is_judged() {
        use serde_json::json;
        let dns = json!({"a.com": ["93.184.216.34"], "b.com": ["10.0.0.1"]});
        let ask = |input: &str, redirects: &[&str]| {
            verdict(json!({"kind": "url", "input": input, "dns": dns, "redirects": redirects})).verdict
        };
        assert_eq!(ask("https://A.com./x", &[]), "allow");
        assert_eq!(ask("https://c.com/", &[]), "ask");
        assert_eq!(ask("https://a.com/", &["/next"]), "allow");
        assert_eq!(ask("https://a.com/", &["/next", "http://b.com/"]), "ask");
    }

    #[test]
    fn a_credential_is_named_and_taken_out() {
        let key = format!("rsk_{}", "0123456789abcdefghijABCD");
        let found = verdict(serde_json::json!({"kind": "secret", "input": format!("key {key}.")}));
        assert_eq!((found.verdict, found.redacted.as_deref()), ("ask", Some("key [REDACTED:meshapi-key].")));
        assert!(found.reasons[0].starts_with("meshapi-key"), "{:?}", found.reasons);
    }
}
