//! A session for terminals that only print, and for people who want that: prompts are lines, nothing moves, blinks or
//! has a colour, and questions are answered by a line.

use std::{
    collections::VecDeque,
    io::{self, Write, stderr, stdout},
    sync::Arc,
};

use mesh_agent::{
    Approval, ApprovalRequest, Approver, Hands, Interrupt, WideningAnswer, WideningRequest,
    approval::{ApprovalFuture, WideningFuture},
    builtin::{Answer, AnswersFuture, Asker, Question},
};
use mesh_client::wire::Content;
use mesh_safety::PermissionMode;
use tokio::sync::{Mutex, mpsc};

use crate::{
    config::{Config, Environment, history},
    exit::{Exit, Failure},
    input,
    permissions::{Permissions, Scope},
    repl::{
        ask::{Ask, SIGN},
        core::Core,
        secrets::{self, Checked},
        slash,
    },
    sys,
    ui::{
        approve,
        line::{Line, Style},
        live::{question::CONFIRMATION, terminal},
        run_text::TextRun,
        text,
        theme::Theme,
    },
};

/// Runs a plain session to its end.
///
/// # Errors
/// No key, no usable working directory, or a terminal that is gone.
pub fn run(config: Config, env: &Environment, mode: PermissionMode) -> Result<Exit, Failure> {
    let lines = Lines::read();
    let mut person = PlainPerson { lines: lines.clone() };
    let interrupt = Interrupt::default();
    let asker = Arc::new(PlainPerson { lines: lines.clone() });
    let mut core = Core::new(config, env, mode, interrupt, &mut person, asker)?;
    let model = core.wired.agent.settings().get().model;
    say(&[Line::of(
        Style::Plain,
        &format!("meshapi {} in {}, model {model}", env!("CARGO_PKG_VERSION"), core.cwd.display()),
    )]);
    say(&[Line::of(Style::Dim, "type /help for commands, /exit to quit")]);
    core.settle_survivors(&mut person, columns())?;
    let mail = core.wired.mail.clone();
    let notes = || say(&mail.as_ref().map(|desk| desk.notes()).unwrap_or_default());
    while let Some(prompt) = {
        notes();
        lines.prompt()
    } {
        if prompt.trim().is_empty() {
            continue;
        }
        // That a prompt is not remembered is no reason not to run it.
        let _ = history::append(core.config.folder(), &prompt);
        if let Some(line) = slash::command_line(&prompt) {
            if core.command(line, &mut person, columns())? {
                continue;
            }
            core.close();
            return Ok(Exit::Ok);
        }
        let Checked::Send(prompt) = secrets::check(&mut person, prompt)? else { continue };
        if let Some(content) = core.prepare(&prompt, &mut person) {
            turn(&mut core, content, &lines)?;
        }
    }
    say(&[Line::blank(), Line::of(Style::Dim, "bye")]);
    core.close();
    Ok(Exit::Ok)
}

fn turn(core: &mut Core, content: Content, lines: &Lines) -> Result<(), Failure> {
    let busy = core.begin();
    let mut listener = TextRun::new(stdout(), stderr(), Theme::PLAIN, core.interrupt.clone());
    let interrupt = core.interrupt.clone();
    let mut approver = PlainApprover {
        lines: lines.clone(),
        cwd: core.cwd.clone(),
        permissions: core.wired.permissions.clone(),
    };
    let hands = Hands { listener: &mut listener, approver: &mut approver, interrupt: &interrupt };
    let report = core.runtime.block_on(core.wired.agent.run_turn(content, hands));
    core.end(busy);
    if let Err(error) = report {
        say(&Failure::from(error).lines());
    }
    match listener.failure() {
        Some(error) => Err(Failure::from(error)),
        None => Ok(()),
    }
}

fn columns() -> usize {
    terminal::size().columns
}

/// Everything but the model's words goes to standard error, so that those can go into a file.
fn say(lines: &[Line]) {
    for line in lines {
        let _ = writeln!(stderr(), "{}", line.plain());
    }
}

fn ask(prompt: &Line) {
    let _ = write!(stderr(), "{}", prompt.plain());
    let _ = stderr().flush();
}

/// Lines of standard input: a read cannot be withdrawn, a question can.
#[derive(Clone)]
struct Lines {
    input: Arc<Mutex<Input>>,
}

struct Input {
    lines: mpsc::UnboundedReceiver<String>,
    /// Lines that were typed before a question was there: they are prompts, no answers.
    early: VecDeque<String>,
}

impl Lines {
    fn read() -> Lines {
        // A person cannot type faster than we take.
        let (sender, lines) = mpsc::unbounded_channel();
        input::each_line(move |line| sender.send(line).is_ok());
        Lines::of(lines)
    }

    fn of(lines: mpsc::UnboundedReceiver<String>) -> Lines {
        Lines { input: Arc::new(Mutex::new(Input { lines, early: VecDeque::new() })) }
    }

    /// The next prompt; `None` at the end of the input.
    fn prompt(&self) -> Option<String> {
        let mut input = self.input.blocking_lock();
        let sign = Line::of(Style::Plain, "› ");
        if let Some(line) = input.early.pop_front() {
            say(&[sign.with(Style::Plain, &line)]);
            return Some(line);
        }
        ask(&sign);
        input.lines.blocking_recv()
    }

    /// A line that was typed after the question was shown; `None` at the end of the input.
    async fn answer(&self, question: &Line) -> Option<String> {
        let mut input = self.input.lock().await;
        input.set_early_aside();
        ask(question);
        input.lines.recv().await
    }

    /// As [`Lines::answer`], outside of the runtime.
    fn blocking_answer(&self, question: &Line) -> Option<String> {
        let mut input = self.input.blocking_lock();
        input.set_early_aside();
        ask(question);
        input.lines.blocking_recv()
    }
}

impl Input {
    fn set_early_aside(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.early.push_back(line);
        }
    }
}

/// The person who types lines.
struct PlainPerson {
    lines: Lines,
}

impl Ask for PlainPerson {
    fn say(&mut self, lines: &[Line]) {
        say(lines);
    }

    fn secret(&mut self, prompt: &Line) -> io::Result<Option<String>> {
        let hidden = sys::hide_typing();
        let answer = self.lines.blocking_answer(prompt);
        drop(hidden);
        say(&[Line::blank()]);
        Ok(answer.filter(|text| !text.is_empty()))
    }

    fn choice(&mut self, prompt: &Line, letters: &[char]) -> io::Result<Option<char>> {
        let answer = self.lines.blocking_answer(&prompt.clone().with(Style::Plain, SIGN)).unwrap_or_default();
        let mut letter = answer.trim().chars().map(|letter| letter.to_ascii_lowercase());
        Ok(letter.next().filter(|letter| letters.contains(letter)))
    }
}

impl Asker for PlainPerson {
    fn ask<'a>(&'a self, questions: &'a [Question]) -> AnswersFuture<'a> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(questions.len());
            for question in questions {
                say(&choices(question));
                let hint = if question.multi_select { "numbers" } else { "a number" };
                let prompt =
                    Line::of(Style::Plain, &format!("{hint}, or your own words (empty: decide yourself) › "));
                answers.push(read_answer(question, &self.lines.answer(&prompt).await?)?);
            }
            Some(answers)
        })
    }
}

fn choices(question: &Question) -> Vec<Line> {
    let mut lines = vec![Line::of(Style::Bold, &format!("? {}", question.question))];
    lines.extend(question.options.iter().enumerate().map(|(at, choice)| {
        let about = if choice.description.is_empty() { "" } else { ": " };
        Line::of(Style::Plain, &format!("  {}. {}{about}{}", at + 1, choice.label, choice.description))
    }));
    lines
}

/// What a line says to a question; `None` if nothing.
fn read_answer(question: &Question, line: &str) -> Option<Answer> {
    let words: Vec<&str> = line.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    let label = |word: &&str| {
        let number: usize = word.parse().ok()?;
        question.options.get(number.checked_sub(1)?).map(|choice| choice.label.clone())
    };
    let chosen: Option<Vec<String>> = words.iter().map(label).collect();
    match chosen {
        Some(chosen) if chosen.is_empty() => None,
        Some(chosen) if chosen.len() == 1 || question.multi_select => Some(Answer { chosen, text: None }),
        _ => Some(Answer { chosen: Vec::new(), text: Some(line.trim().to_owned()) }),
    }
}

/// Asks about calls, and takes a line as the answer.
struct PlainApprover {
    lines: Lines,
    cwd: std::path::PathBuf,
    permissions: Permissions,
}

impl Approver for PlainApprover {
    fn ask<'a>(&'a mut self, request: ApprovalRequest<'a>) -> ApprovalFuture<'a> {
        Box::pin(async move {
            say(&approve::request_lines(&request, &self.cwd));
            if approve::is_grave(&request) {
                let prompt = format!("type {CONFIRMATION} to run it, anything else is a no › ");
                let answer = self.lines.answer(&Line::of(Style::Plain, &prompt)).await.unwrap_or_default();
                let is_sure = answer.trim().eq_ignore_ascii_case(CONFIRMATION);
                return if is_sure { Approval::Yes } else { Approval::No };
            }
            let tool = text::one_line(request.tool);
            if let Some(rule) = request.rule {
                let text = format!("always `{}`: s (this session) / p (this project)", rule.text());
                say(&[Line::of(Style::Dim, &text::one_line(&text))]);
            }
            let prompt = format!("y (yes) / n (no) / a (always {tool} this session) › ");
            let answer = self.lines.answer(&Line::of(Style::Plain, &prompt)).await.unwrap_or_default();
            let scope = match answer.trim().to_lowercase().as_str() {
                "s" | "session" => Scope::Session,
                "p" | "project" => Scope::Project,
                _ => return approval(&answer),
            };
            if request.rule.is_none() {
                return Approval::No;
            }
            say(&approve::keep(&self.permissions, request.rule, scope));
            Approval::Yes
        })
    }

    fn widen<'a>(&'a mut self, request: WideningRequest<'a>) -> WideningFuture<'a> {
        Box::pin(async move {
            say(&approve::widening_lines(&request));
            let prompt = Line::of(Style::Plain, "o (once) / s (for this session) / n (no) › ");
            widening(&self.lines.answer(&prompt).await.unwrap_or_default())
        })
    }
}

/// Only a clear word widens it.
fn widening(line: &str) -> WideningAnswer {
    match line.trim().to_lowercase().as_str() {
        "o" | "once" => WideningAnswer::Once,
        "s" | "session" => WideningAnswer::Session,
        _ => WideningAnswer::No,
    }
}

/// Only a clear yes runs it. Seed 11.6.
fn approval(line: &str) -> Approval {
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Approval::Yes,
        "a" | "always" => Approval::Always,
        _ => Approval::No,
    }
}

#[cfg(test)]
mod tests {
    use mesh_agent::builtin::Choice;

    use super::*;

    #[test]
    fn only_a_clear_yes_runs_a_call() {
        for (line, want) in [
            ("y", Approval::Yes),
            (" YES ", Approval::Yes),
            ("always", Approval::Always),
            ("", Approval::No),
            ("yes please", Approval::No),
            ("n", Approval::No),
        ] {
            assert_eq!(approval(line), want, "{line:?}");
        }
    }

    #[test]
    fn numbers_choose_and_other_words_are_words() {
        let option = |label: &str| Choice { label: label.into(), description: String::new() };
        let question = |multi_select| Question {
            question: "Which?".into(),
            multi_select,
            options: vec![option("red"), option("blue")],
            ..Question::default()
        };
        let read = |line: &str, multi_select| read_answer(&question(multi_select), line);
        let chosen = |labels: &[&str]| {
            let chosen = labels.iter().map(|label| (*label).to_owned()).collect();
            Some(Answer { chosen, text: None })
        };
        let words = |text: &str| Some(Answer { chosen: Vec::new(), text: Some(text.to_owned()) });
        assert_eq!(read("2", false), chosen(&["blue"]));
        assert_eq!(read("1, 2", true), chosen(&["red", "blue"]));
        assert_eq!(read("1 2", false), words("1 2"));
        assert_eq!(read("3", false), words("3"));
        assert_eq!(read("0", false), words("0"));
        assert_eq!(read(" green or so", false), words("green or so"));
        assert_eq!(read(" ", false), None);
    }

    #[tokio::test]
    async fn what_was_typed_before_a_question_is_no_answer() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let lines = Lines::of(receiver);
        sender.send("y".to_owned()).unwrap();
        let question = Line::blank();
        let answer = lines.answer(&question);
        let later = async {
            tokio::task::yield_now().await;
            sender.send("n".to_owned()).unwrap();
        };
        assert_eq!(tokio::join!(answer, later).0.as_deref(), Some("n"));
        assert_eq!(lines.input.lock().await.early, ["y"]);
    }
}
