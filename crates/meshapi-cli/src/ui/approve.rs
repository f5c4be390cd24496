//! The person at the terminal as approver of calls, and as the one whom the model asks.

use std::path::Path;

use mesh_agent::{
    Approval, ApprovalRequest, Approver, WideningAnswer, WideningRequest,
    approval::{ApprovalFuture, WideningFuture},
    builtin::{Answer, AnswersFuture, Asker, Question as ModelQuestion},
};
use mesh_safety::{Action, ReasonSource, Severity, WebTarget, rules::Rule, sandbox::Grant};
use serde_json::Value;

use crate::permissions::{Permissions, Scope};
use crate::ui::{
    diff,
    line::{Line, Style},
    live::{
        Screen,
        question::{Picker, Question, Reply},
        state::Asked,
    },
    text,
    tool::{self, MAX_LINE_CHARS},
};

/// Lines of a command that are shown. A longer one says how many more there are.
const MAX_COMMAND_LINES: usize = 40;

/// Larger files are not read for a preview; the diff after the write has its own bounds.
const MAX_PREVIEW_BYTES: u64 = 1 << 20;

/// Asks the person at the terminal.
#[derive(Clone, Debug)]
pub struct ScreenApprover {
    screen: Screen,
    cwd: std::path::PathBuf,
    permissions: Permissions,
}

impl ScreenApprover {
    /// Asks on this screen; paths outside `cwd` are marked.
    pub fn new(screen: Screen, cwd: &Path, permissions: Permissions) -> ScreenApprover {
        ScreenApprover { screen, cwd: cwd.to_owned(), permissions }
    }
}

impl Approver for ScreenApprover {
    fn ask<'a>(&'a mut self, request: ApprovalRequest<'a>) -> ApprovalFuture<'a> {
        let lines = request_lines(&request, &self.cwd);
        let tool = text::one_line(request.tool).into_owned();
        let always =
            format!("  → {tool} runs without a question in this session, where auto mode's checks allow it");
        let question = match is_grave(&request) {
            true => Question::Confirm { typed: String::new() },
            false => Question::Approve { tool, rule: request.rule.map(|rule| rule.text().to_owned()) },
        };
        let asked = Asked { summary: request.summary.to_owned(), lines: lines.clone() };
        Box::pin(async move {
            let reply = self.screen.ask(lines, question).await;
            self.screen.with(|state| state.set_asked(asked));
            match reply {
                Some(Reply::Yes) => Approval::Yes,
                Some(Reply::Always) => {
                    self.screen.say([Line::prose(Style::Dim, &always)]);
                    Approval::Always
                }
                Some(Reply::ForSession) => {
                    self.screen.say(keep(&self.permissions, request.rule, Scope::Session));
                    Approval::Yes
                }
                Some(Reply::ForProject) => {
                    self.screen.say(keep(&self.permissions, request.rule, Scope::Project));
                    Approval::Yes
                }
                Some(_) | None => Approval::No,
            }
        })
    }

    fn widen<'a>(&'a mut self, request: WideningRequest<'a>) -> WideningFuture<'a> {
        let lines = widening_lines(&request);
        Box::pin(async move {
            let (answer, said) = match self.screen.ask(lines, Question::Widen).await {
                Some(Reply::Yes) => (WideningAnswer::Once, "once, for this command"),
                Some(Reply::ForSession) => (WideningAnswer::Session, "for this session; /status lists it"),
                Some(_) | None => (WideningAnswer::No, "no"),
            };
            self.screen.say([Line::prose(Style::Dim, &format!("  → {said}"))]);
            answer
        })
    }
}

/// What a person has to see before a command gets more: which command, and what it would have.
pub fn widening_lines(request: &WideningRequest<'_>) -> Vec<Line> {
    let summary = request.summary.lines().next().unwrap_or_default();
    let mut lines = vec![Line::prose(Style::Bold, "⚙ run it again with more? ").with(Style::Dim, summary)];
    let rows = request.grants.iter().map(|grant| match grant {
        Grant::Host(host) => format!("  + the network: {host}"),
        Grant::Write(_) | Grant::Read(_) => format!("  + {grant}"),
    });
    lines.extend(rows.map(|row| Line::prose(Style::Code, &row)));
    lines
}

/// Whether a key is not enough of an answer.
pub fn is_grave(request: &ApprovalRequest<'_>) -> bool {
    request.reasons.iter().any(|reason| reason.severity == Severity::Top)
}

/// Adds the rule that a person took at a question, and says so.
pub fn keep(permissions: &Permissions, rule: Option<&Rule>, scope: Scope) -> Vec<Line> {
    let Some(rule) = rule else { return Vec::new() };
    let done = format!("  → allow `{}` in {}; /permissions lists and removes", rule.text(), scope.as_str());
    let mut lines = vec![Line::prose(Style::Dim, &done)];
    if let Err(error) = permissions.add(rule.clone(), scope) {
        lines.push(Line::prose(Style::Warn, &format!("  → {error}")));
    }
    lines
}

impl Asker for Screen {
    fn ask<'a>(&'a self, questions: &'a [ModelQuestion]) -> AnswersFuture<'a> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(questions.len());
            for question in questions {
                answers.push(pick(self, question).await?);
            }
            Some(answers)
        })
    }
}

async fn pick(screen: &Screen, question: &ModelQuestion) -> Option<Answer> {
    let choices = question.options.iter().map(|c| (c.label.clone(), c.description.clone())).collect();
    let picker = Picker::new(choices, question.multi_select);
    let lines = vec![Line::prose(Style::Bold, &format!("? {}", question.question.trim()))];
    let label = |row: &usize| question.options.get(*row).map(|choice| choice.label.clone());
    let answer = match Screen::ask(screen, lines, Question::Pick(picker)).await? {
        Reply::Picked(rows) => Answer { chosen: rows.iter().filter_map(label).collect(), text: None },
        Reply::OwnWords => {
            let words = screen.with(|state| state.input.submit()).unwrap_or_default();
            Answer { chosen: Vec::new(), text: Some(words) }
        }
        Reply::Yes | Reply::No | Reply::Always | Reply::ForSession | Reply::ForProject | Reply::Cancelled => {
            screen.say([Line::prose(Style::Dim, "  → not answered: the model decides")]);
            return None;
        }
    };
    let said = answer.chosen.iter().map(String::as_str).chain(answer.text.as_deref());
    let said = said.collect::<Vec<_>>().join(", ");
    screen.say([Line::prose(Style::Dim, &format!("  → {said}"))]);
    Some(answer)
}

/// What a person has to see before they answer. Seed 11.6; control characters are visible (D-13).
pub fn request_lines(request: &ApprovalRequest<'_>, cwd: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    for reason in request.reasons {
        match (reason.source, reason.severity) {
            (ReasonSource::Mode, _) => {}
            (ReasonSource::Check, Severity::Usual) => {
                lines.push(Line::prose(Style::Warn, &format!("⚠ auto-approval blocked: {}", reason.text)));
            }
            (ReasonSource::Check, Severity::Top) => {
                lines.push(Line::prose(
                    Style::WarnBold,
                    &format!("⚠ cannot be undone or reaches far: {}", reason.text),
                ));
            }
            (ReasonSource::Rule, _) => lines.push(Line::prose(Style::Warn, &format!("⚠ {}", reason.text))),
        }
    }
    let summary = request.summary.lines().next().unwrap_or_default();
    lines.push(Line::prose(Style::Bold, "⚙ approve tool call? ").with(Style::Dim, summary));
    match request.action {
        Action::Read { path } | Action::Search { path } => lines.push(path_line(path, cwd)),
        Action::Write { path } => {
            lines.push(path_line(path, cwd));
            lines.extend(preview(request, path));
        }
        Action::Run { command } => lines.extend(command_lines(command)),
        Action::Serve { command } => {
            lines.extend(command_lines(command));
            let port = request.args.get("port").and_then(Value::as_u64);
            let port = port.map_or_else(|| "auto".to_owned(), |port| port.to_string());
            let folder = request.args.get("cwd").and_then(Value::as_str).unwrap_or(".");
            lines.push(Line::prose(Style::Dim, &format!("    (port {port}, cwd {folder})")));
        }
        Action::SendMail { to, .. } => lines.extend(letter_lines(to, request)),
        Action::Fetch { url, .. } => lines.push(address_line(url)),
        Action::WebSearch | Action::ReadMail | Action::Plan | Action::Unknown { .. } => {
            let args = Value::Object(request.args.clone()).to_string();
            lines.push(Line::of(Style::Plain, &format!("  {}", text::clip_chars(&args, MAX_LINE_CHARS))));
        }
    }
    lines
}

/// The whole address as it will be asked for: a name in letters of other scripts is shown as the name service knows it.
fn address_line(url: &str) -> Line {
    let real = WebTarget::parse(url).map_or_else(|_| url.to_owned(), |target| target.url().to_string());
    Line::of(Style::Code, &format!("  → {}", text::one_line(&real)))
}

fn path_line(path: &Path, cwd: &Path) -> Line {
    let real = real_path(path);
    let line = Line::of(Style::Plain, &format!("  → {}", real.display()));
    let real_cwd = cwd.canonicalize().unwrap_or_else(|_| cwd.to_owned());
    if real.starts_with(&real_cwd) { line } else { line.with(Style::WarnBold, "  (outside cwd)") }
}

/// Where the path leads: links followed as far as there is something.
fn real_path(path: &Path) -> std::path::PathBuf {
    for (depth, part) in path.ancestors().enumerate() {
        if let Ok(real) = part.canonicalize() {
            let rest = path.components().skip(path.components().count() - depth);
            return rest.fold(real, |real, part| real.join(part));
        }
    }
    path.to_owned()
}

/// The whole command, a line a row, so that nothing of it can hide.
fn command_lines(command: &str) -> Vec<Line> {
    let clean = text::sanitize(command);
    let all: Vec<&str> = clean.trim_end_matches('\n').split('\n').collect();
    let mut lines: Vec<Line> = all
        .iter()
        .take(MAX_COMMAND_LINES)
        .enumerate()
        .map(|(at, line)| Line::of(Style::Code, &format!("  {} {line}", if at == 0 { '$' } else { ' ' })))
        .collect();
    if all.len() > MAX_COMMAND_LINES {
        lines.push(Line::of(
            Style::WarnBold,
            &format!("  {}", tool::more_lines(all.len() - MAX_COMMAND_LINES)),
        ));
    }
    lines
}

/// A message as it would go out: to whom, and every line of it that is shown of a command.
fn letter_lines(to: &str, request: &ApprovalRequest<'_>) -> Vec<Line> {
    let text_of = |name: &str| request.args.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut head = format!("  ✉ {} to {}", text_of("kind"), text::one_line(to));
    if !text_of("thread_id").is_empty() {
        head.push_str(&format!(", thread {}", text::one_line(text_of("thread_id"))));
    }
    let content = text_of(if text_of("content").is_empty() { "note" } else { "content" });
    let clean = text::sanitize(content);
    let all: Vec<&str> = clean.lines().collect();
    let mut lines = vec![Line::of(Style::Plain, &text::clip_chars(&head, MAX_LINE_CHARS))];
    lines
        .extend(all.iter().take(MAX_COMMAND_LINES).map(|line| Line::of(Style::Code, &format!("    {line}"))));
    if all.len() > MAX_COMMAND_LINES {
        lines.push(Line::of(
            Style::WarnBold,
            &format!("  {}", tool::more_lines(all.len() - MAX_COMMAND_LINES)),
        ));
    }
    lines
}

/// What a write would change, as far as it can be said beforehand.
fn preview(request: &ApprovalRequest<'_>, path: &Path) -> Vec<Line> {
    let text_of = |name: &str| request.args.get(name).and_then(Value::as_str);
    let old = std::fs::metadata(path)
        .ok()
        .filter(|found| found.is_file() && found.len() <= MAX_PREVIEW_BYTES)
        .and_then(|_| std::fs::read(path).ok());
    match (text_of("content"), old) {
        (Some(content), None) if !path.exists() => diff::change(None, content),
        (Some(content), Some(old)) => match String::from_utf8(old) {
            Ok(old) => diff::change(Some(&old), content),
            Err(_) => diff::replaced_binary(content),
        },
        (Some(content), None) => diff::replaced_binary(content),
        (None, _) => {
            let edits = request.args.get("edits").and_then(Value::as_array).map(Vec::as_slice);
            let edits = edits.unwrap_or_default().iter();
            let parts = edits.filter_map(|edit| Some((edit["old"].as_str()?, edit["new"].as_str()?)));
            parts.flat_map(|(old, new)| diff::change(Some(old), new)).collect()
        }
    }
}
