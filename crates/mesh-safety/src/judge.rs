//! Action x mode -> decision: the seed's matrix, then the checks on what the matrix lets through.

use std::path::{Path, PathBuf};

use crate::leaving::{TOGETHER, UNTRUSTED, fetch_by, send_by};
use crate::path::Guard;
#[cfg(feature = "fs")]
use crate::path::Sighting;
use crate::rules::{Access, Effect, Rule, Rules};
use crate::url::WebTarget;
use crate::{Decision, PermissionMode, Reason, ReasonSource, Severity, path, shell, shell::Judged};

/// What a tool call would do, as far as it is known before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read one file.
    Read {
        /// Absolute path as the tool will open it.
        path: PathBuf,
    },
    /// List, match or search the files below a folder.
    Search {
        /// Absolute path where it starts.
        path: PathBuf,
    },
    /// Create or change one file.
    Write {
        /// Absolute path as the tool will open it.
        path: PathBuf,
    },
    /// Run a shell command to its end.
    Run {
        /// Text for the shell.
        command: String,
    },
    /// Start a long-lived command.
    Serve {
        /// Text for the shell.
        command: String,
    },
    /// Search the web through the gateway.
    WebSearch,
    /// Read one page of the web.
    Fetch {
        /// Its address as it is written.
        url: String,
        /// A later part of what was read before: nothing goes out.
        is_kept: bool,
    },
    /// Look at the own mailbox: read, wait, say what came of a message, list the peers. Nothing of ours goes out.
    ReadMail,
    /// Send a text to a peer on another machine.
    SendMail {
        /// To whom.
        to: String,
        /// The user has written to them before.
        is_known: bool,
    },
    /// Change the plan: touches nothing outside the session.
    Plan,
    /// A tool that is not known, or arguments that do not say what it would do.
    Unknown {
        /// The tool's name.
        tool: String,
    },
}

/// May files inside the workspace be read unasked (D-27)?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkspaceReads {
    /// In auto, bypass and every headless mode, if the read guard passes.
    #[default]
    Free,
    /// The seed's exact matrix: only bypass reads unasked.
    Seed,
}

/// What the judgement may lean on. Fixed by the user for a session.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Root of the workspace: the working directory at launch. Absolute.
    pub workspace: PathBuf,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Nobody can be asked: what would ask is refused by the caller, and workspace reads are free in every mode.
    pub headless: bool,
    /// The rule for reads inside the workspace.
    pub workspace_reads: WorkspaceReads,
    /// How far the kernel holds commands back, whatever is judged.
    pub confined: Confined,
    /// What the user always allows, asks or denies.
    pub rules: Rules,
    /// Text from outside was seen since the user's last message: in auto mode what sends data out asks.
    pub untrusted: bool,
    /// Something private was read since then: where text from outside was seen too, what sends data out asks in every mode.
    pub private: bool,
}

/// How far the kernel holds commands back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confined {
    /// Not at all, or in part: a program that no table knows asks.
    #[default]
    Partly,
    /// By a sandbox of level full: no network, no write outside the workspace and a private `/tmp`, no other rights. A yes to
    /// such a thing would not make it possible, so nothing is asked about it where no table names the place or the program.
    Fully,
    /// It was to be, and cannot be here: outside bypass, each command asks.
    Missing,
}

/// Why a command asks on a machine without a sandbox.
const UNCONFINED: &str = "this machine has no sandbox that would hold the command back";

/// Judges one action: the user's own rules, then the mode's matrix, then the checks on what the matrix lets through.
///
/// [`Decision::Block`] comes from a deny rule of the user alone. A question of the matrix itself has the source `Mode`, one that a
/// failed check raised has the source `Check`.
pub fn judge(action: &Action, mode: PermissionMode, policy: &Policy) -> Decision {
    Judge::new(policy).judge(action, mode)
}

/// Judges an action of a tool that the user allowed for the session: the checks of auto mode stand in place of the matrix.
///
/// A mode that lets more through than that keeps doing so.
pub fn judge_allowed(action: &Action, mode: PermissionMode, policy: &Policy) -> Decision {
    Judge::new(policy).judge_allowed(action, mode)
}

/// Judges by one look at the file system: what is decided, and what is opened by its sighting, is the same thing.
pub struct Judge<'a> {
    guard: Guard<'a>,
}

impl<'a> Judge<'a> {
    /// For one action; the look is not renewed.
    pub fn new(policy: &'a Policy) -> Judge<'a> {
        Judge { guard: Guard::new(policy) }
    }

    /// What the action's path named when it was judged. Nothing where it has none, or none that is spelled plainly.
    #[cfg(feature = "fs")]
    pub fn sighting(&self, action: &Action) -> Option<Sighting> {
        match action {
            Action::Read { path } | Action::Search { path } | Action::Write { path } => {
                self.guard.sighting(path)
            }
            Action::Run { .. }
            | Action::Serve { .. }
            | Action::WebSearch
            | Action::Fetch { .. }
            | Action::ReadMail
            | Action::SendMail { .. }
            | Action::Plan
            | Action::Unknown { .. } => None,
        }
    }

    /// As [`judge`].
    pub fn judge(&self, action: &Action, mode: PermissionMode) -> Decision {
        use PermissionMode::{AcceptEdits, Auto, Bypass, Default};
        let policy = self.guard.policy();
        match (action, mode) {
            (Action::Plan | Action::ReadMail | Action::Fetch { is_kept: true, .. }, _) => Decision::Allow,
            (Action::Fetch { url, is_kept: false }, _) => fetch_by(url, mode, policy),
            (Action::SendMail { to, is_known }, _) => {
                let decision = match mode {
                    Auto | Bypass => Decision::Allow,
                    Default | AcceptEdits => Decision::ask_by_mode("this mode asks before messages are sent"),
                };
                decision.join(send_by(to, *is_known, policy))
            }
            (Action::Read { path } | Action::Search { path }, _) => {
                self.by_rule(path, Access::Read).unwrap_or_else(|| self.looking(path, mode))
            }
            (Action::Write { path }, _) => self.by_rule(path, Access::Write).unwrap_or_else(|| match mode {
                AcceptEdits | Auto | Bypass => path::write_by(&self.guard, path, mode),
                Default => Decision::ask_by_mode("this mode asks before files are changed"),
            }),
            (Action::Run { command }, Auto | Bypass) => judge_run(command, mode, policy),
            (Action::Run { command }, Default | AcceptEdits) => {
                asked(command, policy, "this mode asks before commands run")
            }
            (Action::Serve { command }, Bypass) => judge_run(command, mode, policy),
            (Action::Serve { command }, Default | AcceptEdits | Auto) => {
                asked(command, policy, "this mode asks before servers are started")
            }
            (Action::WebSearch, Auto | Bypass) if policy.untrusted && policy.private => {
                Decision::ask_by_check(TOGETHER)
            }
            (Action::WebSearch, Auto | Bypass) => Decision::Allow,
            (Action::WebSearch, Default | AcceptEdits) => {
                Decision::ask_by_mode("this mode asks before the web is searched")
            }
            (Action::Unknown { tool }, _) => {
                Decision::ask_by_mode(format!("nothing is known about what `{tool}` would do"))
            }
        }
    }

    /// As [`judge_allowed`].
    pub fn judge_allowed(&self, action: &Action, mode: PermissionMode) -> Decision {
        let (auto, policy) = (PermissionMode::Auto, self.guard.policy());
        match (action, self.judge(action, mode)) {
            (_, Decision::Allow) => Decision::Allow,
            (_, Decision::Block(reasons)) => Decision::Block(reasons),
            (_, decided) if decided.reasons().iter().any(|reason| reason.source == ReasonSource::Rule) => {
                decided
            }
            (_, decided) if mode == PermissionMode::Bypass => decided,
            (Action::Read { path } | Action::Search { path }, _) => path::read_by(&self.guard, path),
            (Action::Write { path }, _) => path::write_by(&self.guard, path, auto),
            (Action::Run { .. } | Action::Serve { .. }, _) if policy.confined == Confined::Missing => {
                Decision::ask_by_check(UNCONFINED)
            }
            (Action::Run { command } | Action::Serve { command }, _) => judge_run(command, auto, policy),
            (Action::WebSearch, decided) if policy.untrusted && policy.private => decided,
            (Action::SendMail { to, is_known }, _) => send_by(to, *is_known, policy),
            (Action::Fetch { url, is_kept: false }, _) => fetch_by(url, auto, policy),
            (
                Action::WebSearch | Action::Fetch { is_kept: true, .. } | Action::ReadMail | Action::Plan,
                _,
            ) => Decision::Allow,
            (Action::Unknown { .. }, decided) => decided,
        }
    }

    /// What a rule of the user says about a place; nothing where none is about it.
    fn by_rule(&self, path: &Path, access: Access) -> Option<Decision> {
        self.guard.rule(path, &self.guard.policy().workspace, access).map(Decision::by_rule)
    }

    /// Reads: bypass everywhere as in the seed; inside the workspace also in auto, and headless in every mode (D-27).
    fn looking(&self, path: &Path, mode: PermissionMode) -> Decision {
        let policy = self.guard.policy();
        let free = policy.workspace_reads == WorkspaceReads::Free
            && (policy.headless || mode == PermissionMode::Auto)
            && self.guard.is_inside(path, &policy.workspace);
        if mode == PermissionMode::Bypass || free {
            return path::read_by(&self.guard, path);
        }
        Decision::ask_by_mode("this mode asks before files are read")
    }
}

/// What the rules of the user say about reading or writing a place; nothing where none is about it.
pub fn judge_by_rules(action: &Action, policy: &Policy) -> Option<Decision> {
    match action {
        Action::Read { path } | Action::Search { path } => by_rule(path, Access::Read, policy),
        Action::Write { path } => by_rule(path, Access::Write, policy),
        Action::Run { .. }
        | Action::Serve { .. }
        | Action::WebSearch
        | Action::Fetch { .. }
        | Action::ReadMail
        | Action::SendMail { .. }
        | Action::Plan
        | Action::Unknown { .. } => None,
    }
}

fn by_rule(path: &Path, access: Access, policy: &Policy) -> Option<Decision> {
    if policy.rules.is_empty() {
        return None;
    }
    Judge::new(policy).by_rule(path, access)
}

/// What the command's text says, and what the turn has read.
fn command_by(command: &str, mode: PermissionMode, policy: &Policy) -> Judged {
    let judged = shell::judged(command, mode, policy);
    if policy.untrusted && policy.private && judged.reaches_out {
        let decision = judged.decision.join(Decision::ask_by_check(TOGETHER));
        // No rule of the user answers this.
        return Judged { decision, is_covered: false, ..judged };
    }
    judged
}

/// A command in a mode that lets commands run.
fn judge_run(command: &str, mode: PermissionMode, policy: &Policy) -> Decision {
    let mut judged = command_by(command, mode, policy);
    if mode == PermissionMode::Auto && policy.untrusted && judged.reaches_out && !judged.is_covered {
        judged.decision = judged.decision.join(Decision::ask_by_check(UNTRUSTED));
    }
    match judged.decision {
        decision
            if mode == PermissionMode::Auto && policy.confined == Confined::Missing && !judged.is_covered =>
        {
            decision.join(Decision::ask_by_check(UNCONFINED))
        }
        decision => decision,
    }
}

/// A command in a mode that asks before any: only rules of the user go before that, and what is gravest is said.
fn asked(command: &str, policy: &Policy, why: &str) -> Decision {
    let judged = command_by(command, PermissionMode::Auto, policy);
    match judged.decision {
        Decision::Block(reasons) => Decision::Block(reasons),
        Decision::Allow if judged.is_covered => Decision::Allow,
        decision => {
            let told =
                |reason: &Reason| reason.source == ReasonSource::Rule || reason.severity == Severity::Top;
            let told: Vec<Reason> =
                decision.reasons().iter().filter(|reason| told(reason)).cloned().collect();
            let told = if told.is_empty() { Decision::Allow } else { Decision::Ask(told) };
            Decision::ask_by_mode(why).join(told)
        }
    }
}

/// The narrow rule that would let an action and those like it run unasked in this mode; nothing where none would.
pub fn offer(action: &Action, mode: PermissionMode, policy: &Policy) -> Option<Rule> {
    let place = |path: &Path| {
        let inside = path.strip_prefix(&policy.workspace).unwrap_or(path);
        let text = inside.to_str().filter(|text| !text.is_empty() && !text.contains('*'))?;
        Some(text.to_owned())
    };
    let line = match action {
        Action::Run { command } | Action::Serve { command } => shell::rule_for(command)?,
        Action::Write { path } => format!("write {}", place(path)?),
        Action::Read { path } => format!("read {}", place(path)?),
        Action::Fetch { url, .. } => format!("host {}", WebTarget::parse(url).ok()?.host()),
        Action::Search { .. }
        | Action::WebSearch
        | Action::ReadMail
        | Action::SendMail { .. }
        | Action::Plan
        | Action::Unknown { .. } => return None,
    };
    let rule = Rule::parse(Effect::Allow, &line).ok()?;
    let rules = policy.rules.iter().cloned().chain([rule.clone()]).collect();
    judge(action, mode, &Policy { rules, ..policy.clone() }).is_allow().then_some(rule)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const MODES: [PermissionMode; 4] = PermissionMode::ALL;

    pub(crate) fn policy() -> Policy {
        Policy { workspace: "/home/dev/w".into(), home: Some("/home/dev".into()), ..Policy::default() }
    }

    /// One letter a mode, in their order: `a` runs, `m` the mode asks, `c` a check asks.
    #[track_caller]
    pub(crate) fn check(action: &Action, policy: &Policy, want: &str) {
        let row: String = MODES.iter().map(|&mode| letter(&judge(action, mode, policy))).collect();
        assert_eq!(row, want, "{action:?}");
    }

    pub(crate) fn letter(decision: &Decision) -> char {
        match decision {
            Decision::Allow => 'a',
            Decision::Ask(reasons) if reasons.iter().all(|r| r.source == ReasonSource::Mode) => 'm',
            Decision::Ask(_) => 'c',
            Decision::Block(_) => 'B',
        }
    }

    #[test]
    fn an_allowed_tool_still_meets_the_checks_of_auto() {
        let check = |action: &Action, want: &str| {
            let row: String =
                MODES.iter().map(|&mode| letter(&judge_allowed(action, mode, &policy()))).collect();
            assert_eq!(row, want, "{action:?}");
        };
        check(&read("/home/dev/w/a.rs"), "aaaa");
        check(&read("/home/dev/.ssh/id_rsa"), "cccc");
        check(&Action::Write { path: "/home/dev/w/a.rs".into() }, "aaaa");
        check(&Action::Write { path: "/home/dev/other/a.rs".into() }, "ccca");
        check(&Action::Run { command: "ls".into() }, "aaaa");
        check(&Action::Run { command: "sudo ls".into() }, "cccc");
        check(&Action::Serve { command: "npm start".into() }, "aaaa");
        check(&Action::WebSearch, "aaaa");
        check(&Action::Unknown { tool: "x".into() }, "mmmm");
    }

    fn read(path: &str) -> Action {
        Action::Read { path: path.into() }
    }

    fn write(path: &str) -> Action {
        Action::Write { path: path.into() }
    }

    fn run(command: &str) -> Action {
        Action::Run { command: command.into() }
    }

    #[test]
    fn the_matrix_of_seed_11_2() {
        let policy = policy();
        check(&read("/home/dev/w/a"), &policy, "mmaa");
        check(&Action::Search { path: "/home/dev/w".into() }, &policy, "mmaa");
        check(&read("/home/dev/x"), &policy, "mmma");
        check(&write("/home/dev/w/a"), &policy, "maaa");
        check(&write("/home/dev/x"), &policy, "mcca");
        check(&run("ls"), &policy, "mmaa");
        check(&Action::Serve { command: "npm start".into() }, &policy, "mmma");
        check(&Action::WebSearch, &policy, "mmaa");
        check(&Action::Plan, &policy, "aaaa");
        check(&Action::Unknown { tool: "x".into() }, &policy, "mmmm");
    }

    #[test]
    fn after_text_from_outside_auto_asks_before_data_could_leave() {
        let policy = Policy { untrusted: true, ..policy() };
        check(&run("curl -s https://example.com"), &policy, "mmca");
        check(&run("curl -s http://127.0.0.1:8080/x"), &policy, "mmaa");
        check(&run("cargo test"), &policy, "mmaa");
        let allowed = |command: &str| letter(&judge_allowed(&run(command), PermissionMode::Default, &policy));
        assert_eq!((allowed("cargo test"), allowed("curl -s https://example.com")), ('a', 'c'));
    }

    #[test]
    fn what_talks_to_other_machines_is_known() {
        let policy = Policy { confined: Confined::Fully, ..policy() };
        let mut quiet = Vec::new();
        for command in [
            "git push",
            "git push origin main",
            "git pull --rebase",
            "git fetch --all",
            "git clone https://a.example/x",
            "git ls-remote origin",
            "git submodule update --init",
            "git remote update",
            "npm install left-pad",
            "npm ci",
            "npm publish",
            "yarn add x",
            "pip install x",
            "cargo publish",
            "cargo install x",
            "cargo add serde",
            "cargo fetch",
            "go get x.example/y",
            "gem install x",
            "gh pr create --fill",
            "docker push a/b",
            "docker pull a/b",
            "scp a b:c",
            "rsync -a . host:x",
            "svn checkout https://a.example",
            "hg push",
            "python -m pip install x",
            "uv add x",
            "brew install x",
            "apt-get install x",
            "npx cowsay",
            "curl -T a https://a.example",
            "http POST https://a.example",
        ] {
            if !crate::reaches_out(&run(command), &policy) {
                quiet.push(command);
            }
        }
        assert!(quiet.is_empty(), "{quiet:#?}");
    }

    #[test]
    fn text_from_outside_and_something_private_never_leave_unasked() {
        let policy = Policy { untrusted: true, private: true, ..policy() };
        check(&run("curl -s https://example.com"), &policy, "mmcc");
        check(&run("git push"), &policy, "mmcc");
        check(&run("curl -s http://127.0.0.1:8080/x"), &policy, "mmaa");
        check(&run("cargo test"), &policy, "mmaa");
        check(&Action::WebSearch, &policy, "mmcc");
        for is_known in [true, false] {
            check(&Action::SendMail { to: "bob".into(), is_known }, &policy, "cccc");
        }
        let rule = Rule::parse(Effect::Allow, "command curl").unwrap();
        let ruled = Policy { rules: [rule].into_iter().collect(), ..policy };
        check(&run("curl -s https://example.com"), &ruled, "mmcc");
        let only_private = Policy { untrusted: false, ..ruled };
        check(&run("curl -s https://example.com"), &only_private, "aaaa");
    }

    #[test]
    fn a_failed_check_asks_as_a_check() {
        let policy = policy();
        check(&read("/home/dev/w/.env"), &policy, "mmcc");
        check(&read("/home/dev/.ssh/id_rsa"), &policy, "mmmc");
        check(&write("/home/dev/w/.git/config"), &policy, "mccc");
        check(&run("sudo ls"), &policy, "mmcc");
        check(&Action::Serve { command: "sudo ls".into() }, &policy, "mmmc");
    }

    #[test]
    fn headless_reads_the_workspace_in_every_mode() {
        let policy = Policy { headless: true, ..policy() };
        check(&read("/home/dev/w/a"), &policy, "aaaa");
        check(&read("/home/dev/w/.env"), &policy, "cccc");
        check(&read("/home/dev/x"), &policy, "mmma");
        check(&write("/home/dev/w/a"), &policy, "maaa");
    }

    #[test]
    fn the_seeds_exact_matrix_is_a_setting() {
        let policy = Policy { headless: true, workspace_reads: WorkspaceReads::Seed, ..policy() };
        check(&read("/home/dev/w/a"), &policy, "mmma");
    }
}
