//! The walk through a syntax tree: every command that could run is met once, with what is known of its words and its input.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::ast::{Assign, Command, Kind, Pipeline, Redirect, RedirectKind, Script, Word};
use super::expand::Value;
use super::flow::{Arg, Flow, Taint};
use super::programs::{self, Call};
#[cfg(feature = "readers")]
use super::readers;
use super::{parse, variables};
use crate::decision::rule_text;
use crate::path::{Guard, Scope};
use crate::rules::{Effect, Program, Rule};
use crate::{Confined, Decision, Policy, Reason, ReasonSource, Severity};

/// Commands that are looked at in one text, counted anew in each turn of a loop; more is too much to judge.
const MAX_STEPS: usize = 4000;

/// Texts inside texts (`sh -c`, `eval`, traps) that are followed.
const MAX_TEXTS: usize = 10;

/// Values of a loop's variable that are tried one by one.
const MAX_LOOP_VALUES: usize = 16;

/// Reasons that are kept; a person reads three.
const MAX_REASONS: usize = 8;

/// Length of one reason; it has to fit on a line or two.
const MAX_REASON_CHARS: usize = 240;

/// A reason, and how many programs stood around where it was met.
struct Note {
    reason: Reason,
    depth: usize,
}

/// What a text was judged to be.
pub(crate) struct Judged {
    /// The verdict of the checks and of the user's rules.
    pub(crate) decision: Decision,
    /// Every program in it is allowed by a rule of the user, or does no more than speak.
    pub(crate) is_covered: bool,
    /// Something in it may send data to another machine.
    pub(crate) reaches_out: bool,
    /// Something in it brings text from another machine.
    pub(crate) fetches: bool,
    /// Something in it reads what is private.
    pub(crate) reads_private: bool,
}

/// The state of a script while it is walked.
pub(super) struct Walk<'a> {
    pub(super) policy: &'a Policy,
    pub(super) guard: &'a Guard<'a>,
    /// Where commands may write.
    pub(super) scope: Scope,
    /// The working folder; `None` once it is not known any more.
    pub(super) folder: Option<PathBuf>,
    pub(super) variables: HashMap<String, Value>,
    /// Files that this script wrote, by their last name, with what went in.
    pub(super) written: HashMap<String, Flow>,
    /// An archive from the network was unpacked.
    pub(super) has_unpacked: bool,
    /// Functions around the current command.
    defining: Vec<String>,
    /// Functions that were met so far.
    functions: HashSet<String>,
    notes: Vec<Note>,
    /// Programs around the current one.
    depth: usize,
    /// Programs that a rule of the user allowed.
    allowed: usize,
    /// Something was met that no rule of the user allows, and that does more than words.
    is_uncovered: bool,
    /// A rule of the user denies it.
    is_denied: bool,
    /// Something in it may send data to another machine.
    pub(super) reaches_out: bool,
    /// Something in it brings text from another machine.
    pub(super) fetches: bool,
    /// Something in it reads what is private.
    pub(super) reads_private: bool,
    /// Texts that were parsed, with the tangle of each.
    texts_read: Vec<(String, usize)>,
    /// Names of the programs that were judged.
    names: HashSet<String>,
    steps: usize,
    texts: usize,
    /// Loops around the place that run very often or for ever.
    endless: usize,
    /// Characters that words have become so far.
    pub(super) expanded: usize,
}

/// Rounds of a loop that are many, when each starts a process that nobody waits for.
const MANY: usize = 256;

/// Whether the word is a row of many numbers: `{1..100000}`.
fn counts_far(word: &Word) -> bool {
    let row = word.bare().and_then(|text| text.strip_prefix('{')?.strip_suffix('}')?.split_once(".."));
    let end = row.and_then(|(start, end)| Some((start.parse::<i64>().ok()?, end.parse::<i64>().ok()?)));
    end.is_some_and(|(start, end)| start.abs_diff(end) > MANY as u64)
}

/// Whether a condition always holds: `true` or `:` and nothing else.
fn is_always(condition: &Script) -> bool {
    let [pipeline] = condition.items.as_slice() else { return false };
    let [Command { kind: Kind::Simple { words, .. }, .. }] = pipeline.commands.as_slice() else {
        return matches!(pipeline.commands.as_slice(), [Command { kind: Kind::Test(_), .. }]);
    };
    matches!(words.as_slice(), [only] if only.bare().is_some_and(|word| matches!(word, "true" | ":")))
}

/// What stands around a command.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    /// Its output goes into another command.
    pub(super) is_piped: bool,
    /// It runs beside others: in a pipeline or in the background.
    pub(super) is_beside: bool,
    /// Its output goes to a file or device.
    pub(super) is_redirected: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(policy: &'a Policy, guard: &'a Guard<'a>, scope: Scope) -> Walk<'a> {
        Walk {
            policy,
            guard,
            scope,
            folder: Some(policy.workspace.clone()),
            variables: HashMap::new(),
            written: HashMap::new(),
            has_unpacked: false,
            defining: Vec::new(),
            functions: HashSet::new(),
            notes: Vec::new(),
            depth: 0,
            allowed: 0,
            is_uncovered: false,
            is_denied: false,
            reaches_out: false,
            fetches: false,
            reads_private: false,
            texts_read: Vec::new(),
            names: HashSet::new(),
            steps: 0,
            endless: 0,
            texts: 0,
            expanded: 0,
        }
    }

    /// What was found, in the order in which it was met.
    pub(super) fn into_judged(self) -> Judged {
        let is_covered = self.allowed > 0 && !self.is_uncovered;
        let reasons: Vec<Reason> = self.notes.into_iter().map(|note| note.reason).collect();
        let decision = match (self.is_denied, reasons.is_empty()) {
            (true, _) => Decision::Block(reasons),
            (false, true) => Decision::Allow,
            (false, false) => Decision::Ask(reasons),
        };
        let Walk { reaches_out, fetches, reads_private, .. } = self;
        Judged { decision, is_covered, reaches_out, fetches, reads_private }
    }

    /// Has what would be let through read by others too; where they read something else, nothing holds that was found.
    #[cfg(feature = "readers")]
    pub(super) fn read_again(&mut self) {
        if !self.notes.is_empty() {
            return;
        }
        let objection =
            self.texts_read.iter().find_map(|(text, tangle)| readers::objection(text, *tangle, &self.names));
        if let Some(objection) = objection {
            (self.is_uncovered, self.reaches_out, self.reads_private) = (true, true, true);
            self.ask(objection);
        }
    }

    /// Notes why a person should see this first.
    pub(super) fn ask(&mut self, reason: impl Into<String>) {
        self.note(ReasonSource::Check, Severity::Usual, reason.into());
    }

    /// Notes what cannot be undone or reaches far.
    pub(super) fn ask_at_top(&mut self, reason: impl Into<String>) {
        self.note(ReasonSource::Check, Severity::Top, reason.into());
    }

    /// Notes what a rule of the user says. Says whether the rule allows it.
    pub(super) fn ruled(&mut self, rule: Option<&Rule>) -> bool {
        let Some(rule) = rule else { return false };
        self.is_denied |= rule.effect() == Effect::Deny;
        if rule.effect() != Effect::Allow {
            self.note(ReasonSource::Rule, Severity::Usual, rule_text(rule));
        }
        rule.effect() == Effect::Allow
    }

    fn note(&mut self, source: ReasonSource, severity: Severity, mut text: String) {
        if text.chars().count() > MAX_REASON_CHARS {
            text = text.chars().take(MAX_REASON_CHARS).chain(['…']).collect();
        }
        let is_known = self.notes.iter().any(|note| note.reason.text == text);
        // A person reads three; what is gravest, and what they said themselves, is always among them.
        let counts = source == ReasonSource::Rule || severity == Severity::Top;
        if (self.notes.len() < MAX_REASONS || counts) && !is_known {
            self.notes.push(Note { reason: Reason { source, text, severity }, depth: self.depth });
        }
    }

    /// Whether a sandbox of level full holds the command back.
    pub(super) fn is_confined(&self) -> bool {
        self.policy.confined == Confined::Fully
    }

    /// Whether the script made a function of this name.
    pub(super) fn is_defined(&self, name: &str) -> bool {
        self.functions.contains(name)
    }

    /// The user's home as text.
    pub(super) fn home(&self) -> Option<&str> {
        self.policy.home.as_deref().and_then(std::path::Path::to_str)
    }

    /// The folder where relative paths start, for judging; the workspace when it is not known.
    pub(super) fn base(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| self.policy.workspace.clone())
    }

    /// Sets a variable for what follows.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }

    /// Judges a text that another program hands to a shell.
    pub(super) fn text(&mut self, text: &str, stdin: &Flow) -> Flow {
        if self.texts >= MAX_TEXTS {
            self.ask("commands inside commands, too deep to judge");
            return Flow::default();
        }
        self.texts += 1;
        let flow = match parse::parse_measured(text) {
            Ok((script, tangle)) => {
                self.texts_read.push((text.to_owned(), tangle));
                self.apart(|walk| walk.script(&script, stdin))
            }
            Err(error) => {
                (self.is_uncovered, self.reaches_out, self.reads_private) = (true, true, true);
                self.ask(format!("the shell text does not parse: {}", error.0));
                Flow::default()
            }
        };
        self.texts -= 1;
        flow
    }

    /// Judges a substitution and says what comes out of it.
    pub(super) fn substitution(&mut self, script: &Script) -> Flow {
        let flow = self.apart(|walk| walk.script(script, &Flow::default()));
        Flow { is_fed: true, ..flow }
    }

    /// Runs a part whose changes of folder and variables do not last.
    fn apart<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        let (folder, variables) = (self.folder.clone(), self.variables.clone());
        let out = run(self);
        (self.folder, self.variables) = (folder, variables);
        out
    }

    /// Walks commands in their order.
    pub(super) fn script(&mut self, script: &Script, stdin: &Flow) -> Flow {
        let mut flows: Vec<Flow> = Vec::new();
        for pipeline in &script.items {
            flows.push(self.pipeline(pipeline, stdin));
        }
        let taint = flows.iter().fold(Taint::NONE, |all, flow| all | flow.taint);
        let text = flows.iter().map(|flow| flow.text.as_deref()).collect::<Option<String>>();
        Flow { text: text.filter(|_| !flows.is_empty()), taint, is_fed: flows.iter().any(|flow| flow.is_fed) }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, stdin: &Flow) -> Flow {
        if pipeline.background && self.endless > 0 {
            self.ask_at_top("starts processes again and again without waiting for them");
        }
        let last = pipeline.commands.len().saturating_sub(1);
        let is_beside = pipeline.background || last > 0;
        let mut flow = stdin.clone();
        for (at, command) in pipeline.commands.iter().enumerate() {
            let context = Context { is_piped: at < last, is_beside, is_redirected: false };
            flow = if last > 0 {
                self.apart(|walk| walk.command(command, &flow, context))
            } else {
                self.command(command, &flow, context)
            };
            flow.is_fed |= at < last;
        }
        flow
    }

    fn command(&mut self, command: &Command, stdin: &Flow, context: Context) -> Flow {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            if self.steps == MAX_STEPS + 1 {
                self.ask("too many commands to judge");
            }
            return Flow::default();
        }
        let (stdin, outputs) = self.redirects(&command.redirects, stdin);
        let context = Context { is_redirected: !outputs.is_empty(), ..context };
        let flow = match &command.kind {
            Kind::Simple { assigns, words } => self.simple(assigns, words, &stdin, context),
            Kind::Group(script) => self.script(script, &stdin),
            Kind::Subshell(script) => self.apart(|walk| walk.script(script, &stdin)),
            Kind::Branches(scripts) => self.branches(scripts, &stdin),
            Kind::Loop { condition, body } => {
                let tested = self.script(condition, &stdin);
                let is_endless = is_always(condition);
                self.endless += usize::from(is_endless);
                let flow = self.script(body, &stdin);
                self.endless -= usize::from(is_endless);
                Flow { text: None, taint: tested.taint | flow.taint, is_fed: stdin.is_fed }
            }
            Kind::For { name, words, body } => self.for_loop(name, words, body, &stdin),
            Kind::Case { word, arms } => {
                let _ = self.single(word);
                self.branches(arms, &stdin)
            }
            Kind::Function { name, body } => {
                self.defining.push(name.clone());
                self.functions.insert(name.to_lowercase());
                self.apart(|walk| walk.command(body, &Flow::default(), Context::default()));
                self.defining.pop();
                Flow::default()
            }
            Kind::Test(words) => {
                words.iter().for_each(|word| drop(self.single(word)));
                Flow::default()
            }
        };
        for output in outputs {
            self.written.insert(output, flow.clone());
        }
        flow
    }

    /// Scripts of which any may run: taken one after another, which keeps what each of them sets.
    fn branches(&mut self, scripts: &[Script], stdin: &Flow) -> Flow {
        let taint = scripts.iter().fold(Taint::NONE, |all, script| all | self.script(script, stdin).taint);
        Flow { text: None, taint, is_fed: stdin.is_fed }
    }

    fn for_loop(&mut self, name: &str, words: &[Word], body: &Script, stdin: &Flow) -> Flow {
        let values = self.arguments(words);
        let are_many = values.len() > MANY || words.iter().any(counts_far);
        self.endless += usize::from(are_many);
        let mut taint = Taint::NONE;
        for value in values.iter().take(MAX_LOOP_VALUES) {
            let set =
                if value.is_known { Value::Known(value.text.clone()) } else { Value::Unknown(value.taint) };
            self.set(name, set);
            taint |= self.script(body, stdin).taint;
        }
        if values.is_empty() || values.len() > MAX_LOOP_VALUES {
            self.set(name, Value::Unknown(Taint::NONE));
            taint |= self.script(body, stdin).taint;
        }
        self.endless -= usize::from(are_many);
        Flow { text: None, taint, is_fed: stdin.is_fed }
    }

    /// Judges redirections; gives the input that results, and the names of files that are written.
    fn redirects(&mut self, redirects: &[Redirect], stdin: &Flow) -> (Flow, Vec<String>) {
        let mut stdin = stdin.clone();
        let mut outputs = Vec::new();
        for redirect in redirects {
            if redirect.kind == RedirectKind::Text {
                stdin = self.flow_of(&redirect.target);
                continue;
            }
            let target = self.single(&redirect.target);
            let is_descriptor = target.text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            match redirect.kind {
                RedirectKind::Read => stdin = self.input(&target),
                RedirectKind::Duplicate if is_descriptor => {}
                _ => {
                    self.is_uncovered |= target.text != "/dev/null";
                    self.write(&target, "a redirection");
                    outputs.push(target.base_name());
                }
            }
        }
        (stdin, outputs)
    }

    /// What a file gives that is read: known when this script wrote it.
    pub(super) fn input(&mut self, file: &Arg) -> Flow {
        if let Some(process) = &file.process {
            return Flow::clone(process);
        }
        self.read(file, "a redirection");
        match file.text.as_str() {
            "/dev/null" => Flow::text(""),
            _ => self.content(file),
        }
    }

    /// What a file holds, as far as this script wrote it.
    pub(super) fn content(&self, file: &Arg) -> Flow {
        match self.written.get(&file.base_name()) {
            Some(flow) => Flow { taint: flow.taint | Taint::FILE, is_fed: true, text: flow.text.clone() },
            None => Flow::tainted(Taint::FILE | file.taint),
        }
    }

    fn simple(&mut self, assigns: &[Assign], words: &[Word], stdin: &Flow, context: Context) -> Flow {
        for assign in assigns {
            let values: Vec<Arg> = assign.values.iter().map(|value| self.single(value)).collect();
            variables::assign(self, assign, &values, words.is_empty());
        }
        let args = self.arguments(words);
        let Some((name, args)) = args.split_first() else {
            return Flow::default();
        };
        self.run(name, args, stdin, context)
    }

    /// Judges one program with its arguments.
    pub(super) fn run(&mut self, name: &Arg, args: &[Arg], stdin: &Flow, context: Context) -> Flow {
        self.steps += 1;
        self.names.insert(name.text.clone());
        let base = name.base_name();
        let base = base.strip_suffix(".exe").unwrap_or(&base).to_owned();
        let is_padded = name.text.trim() != name.text;
        if base.is_empty() || is_padded || base.contains(['*', '?', '[']) && base != "[" && base != "[[" {
            (self.is_uncovered, self.reaches_out) = (true, true);
            self.ask("the program is only known at run time");
            return Flow::tainted(stdin.taint | Taint::FILE);
        }
        if context.is_beside && self.defining.contains(&base) {
            self.ask_at_top(format!("`{base}` starts itself again and again"));
        }
        let written = name.text.strip_suffix(".exe").unwrap_or(&name.text);
        let known = args.iter().map(|arg| arg.is_known.then_some(arg.text.as_str())).collect();
        let program = Program { written, base: &base, args: known };
        let hidden = Taint::FETCHED | Taint::DECODED | Taint::ENVIRONMENT | Taint::CREDENTIAL;
        let rule = self.policy.rules.program(&program);
        let is_allowed = self.ruled(rule) && name.is_known && !args.iter().any(|arg| arg.taint.has(hidden));
        let before = self.notes.len();
        self.depth += 1;
        self.execute(name);
        let call = Call { name: base, args, stdin, context };
        self.is_uncovered |= !is_allowed && !programs::only_speaks(&call);
        let flow = programs::judge(self, &call);
        if is_allowed {
            // What it starts itself is judged by itself, and what is gravest is asked all the same.
            let depth = self.depth;
            let mut at = 0;
            self.notes.retain(|note| {
                at += 1;
                let kept = note.depth > depth
                    || note.reason.severity == Severity::Top
                    || note.reason.source == ReasonSource::Rule;
                at <= before || kept
            });
            self.allowed += 1;
        }
        self.depth -= 1;
        flow
    }

    /// A file that is run: what this script fetched or wrote is judged before it runs.
    pub(super) fn execute(&mut self, file: &Arg) {
        if let Some(flow) = self.written.get(&file.base_name()).cloned() {
            if flow.taint.has(Taint::FETCHED) {
                self.ask_at_top(format!("runs `{}`, which this command fetched from the network", file.text));
            } else if flow.taint.has(Taint::DECODED) {
                self.ask(format!("runs `{}`, which this command decoded", file.text));
            } else if let Some(text) = flow.text.filter(|text| !text.starts_with("#!") || text.contains("sh"))
            {
                self.text(&text, &Flow::default());
            }
        } else if self.has_unpacked && file.text.contains('/') && !file.text.starts_with('/') {
            self.ask(format!("may run `{}` out of an archive that this command fetched", file.text));
        }
    }
}
