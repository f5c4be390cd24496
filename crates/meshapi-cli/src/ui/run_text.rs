//! A run as text: the model's words on standard output, everything else on standard error.

use std::io::{self, Write};

use mesh_agent::{CallOutcome, Event, Interrupt, Listener, ToolOutput, TurnEnd, TurnReport, plan::Step};

use crate::ui::{
    diff,
    line::{Line, Style},
    savings,
    status::{self, Status},
    text,
    theme::Theme,
    tool::{self, ToolResult},
};

/// Writes a run as it happens. Text is written and flushed in one go for each piece that arrives.
pub struct TextRun<O, E> {
    out: O,
    err: E,
    theme: Theme,
    interrupt: Interrupt,
    /// Something was written to `out` and no line feed followed.
    in_line: bool,
    failed: Option<io::Error>,
}

impl<O: Write + Send, E: Write + Send> TextRun<O, E> {
    /// Writes the model's words to `out`, progress to `err` in this theme. When `out` is gone, the interrupt is raised:
    /// nobody reads what the turn would still say.
    pub fn new(out: O, err: E, theme: Theme, interrupt: Interrupt) -> TextRun<O, E> {
        TextRun { out, err, theme, interrupt, in_line: false, failed: None }
    }

    /// Why the output ended early, if it did.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// Writes one line to standard error.
    pub fn say(&mut self, line: &Line) {
        // That nobody sees the progress is no reason to stop.
        let _ = writeln!(self.err, "{}", self.theme.paint(line));
    }

    fn write(&mut self, text: &str) {
        if self.failed.is_some() || text.is_empty() {
            return;
        }
        if let Err(error) = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            self.failed = Some(error);
            self.interrupt.raise();
        }
        self.in_line = !text.ends_with('\n');
    }

    fn end_line(&mut self) {
        if self.in_line {
            self.write("\n");
        }
    }

    fn call_ended(&mut self, name: &str, output: &ToolOutput, outcome: CallOutcome, plan: Option<&[Step]>) {
        match (outcome, plan) {
            // Event::CallStopped has said it.
            (CallOutcome::Denied | CallOutcome::Refused, _) => {}
            (_, Some(steps)) if !output.is_error => {
                for line in tool::plan(steps) {
                    self.say(&line);
                }
            }
            _ => {
                if let Some(change) = &output.change {
                    for line in diff::change(change.before.as_deref(), &change.after) {
                        self.say(&line);
                    }
                }
                let ToolOutput { text, is_error, exit_code, .. } = output;
                let result = ToolResult { tool: name, text, is_error: *is_error, exit_code: *exit_code };
                for line in tool::result(&result) {
                    self.say(&line);
                }
            }
        }
    }

    fn turn_ended(&mut self, report: &TurnReport) {
        self.end_line();
        for line in end_lines(&report.end) {
            self.say(&line);
        }
        self.say(&status::line(&Status {
            model: &report.model,
            prompt_tokens: report.prompt_tokens,
            completion_tokens: report.completion_tokens,
            cost: report.turn_cost.total(),
            session_cost: report.session_cost.total(),
            answering: report.model_time,
        }));
        if let Some(line) = savings::line(&report.savings) {
            self.say(&line);
        }
    }
}

impl<O: Write + Send, E: Write + Send> Listener for TextRun<O, E> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Text(piece) => self.write(&text::sanitize_prose(piece)),
            Event::HopEnded { .. } => self.end_line(),
            Event::Retry { attempt, of, wait, error, text_shown } => {
                self.end_line();
                let again = if text_shown { "; the answer starts again" } else { "" };
                let wait = wait.as_secs_f64();
                let text = format!("retrying in {wait:.1}s (attempt {attempt}/{of}){again}: {error}");
                self.say(&Line::prose(Style::Warn, &text));
            }
            Event::WholeRequest { error, text_shown } => {
                self.end_line();
                let again = if text_shown { "; the answer starts again" } else { "" };
                let text = format!("asking once more without streaming{again}: {error}");
                self.say(&Line::prose(Style::Warn, &text));
            }
            Event::SavingsOff { note } => {
                self.end_line();
                self.say(&savings::off(note));
            }
            Event::CallStarted { summary, .. } => self.say(&tool::header(summary)),
            Event::CallStopped { summary, reason } => {
                self.say(&tool::header(summary));
                self.say(&tool::denied(reason));
            }
            Event::CallEnded { name, output, outcome, plan, .. } => {
                self.call_ended(name, output, outcome, plan);
            }
            Event::TurnEnded(report) => self.turn_ended(report),
            Event::HopStarted { .. } | Event::Reasoning(_) | Event::ToolArguments { .. } => {}
        }
    }
}

/// What a person is told about an end that is not a plain one.
pub fn end_lines(end: &TurnEnd) -> Vec<Line> {
    match end {
        TurnEnd::Finished { text, open_steps } => {
            let mut lines = Vec::new();
            if text.trim().is_empty() {
                lines.push(Line::prose(Style::Warn, "the model ended its turn without a word"));
            }
            if !open_steps.is_empty() {
                let count = open_steps.len();
                let text = format!("⚠ ended its turn with {count} plan step(s) not completed:");
                lines.push(Line::prose(Style::Warn, &text));
                let step = |(i, step): &(usize, Step)| format!("    {i}. {}", step.title);
                lines.extend(open_steps.iter().map(|open| Line::prose(Style::Warn, &step(open))));
                lines.push(Line::prose(Style::Dim, "  tell it to continue, or to say what is in its way"));
            }
            lines
        }
        TurnEnd::HopLimit { hops } => vec![Line::prose(
            Style::Warn,
            &format!(
                "Stopped after {hops} tool hops; the work so far is kept. Say \"continue\", wrap up, or raise --max-hops."
            ),
        )],
        TurnEnd::Failed { failure, kept } => {
            let mut lines = vec![Line::prose(Style::Bad, &failure.message)];
            if *kept > 0 {
                lines.push(Line::prose(Style::Dim, &format!("  {kept} completed action(s) kept")));
            }
            lines
        }
        TurnEnd::Interrupted { kept } => {
            let kept =
                if *kept > 0 { format!(" — {kept} completed action(s) kept") } else { String::new() };
            vec![Line::prose(Style::Warn, &format!("aborted by user{kept}"))]
        }
    }
}
