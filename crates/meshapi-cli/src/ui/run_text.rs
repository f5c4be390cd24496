//! A run as text: the model's words on standard output, everything else on standard error.

use std::io::{self, Write};

use mesh_agent::{Event, Interrupt, Listener};

use crate::ui::{events, line::Line, text, theme::Theme, tool};

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

    fn say_all(&mut self, lines: impl IntoIterator<Item = Line>) {
        for line in lines {
            self.say(&line);
        }
    }
}

impl<O: Write + Send, E: Write + Send> Listener for TextRun<O, E> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Text(piece) => self.write(&text::sanitize_prose(piece)),
            Event::HopEnded { .. } => self.end_line(),
            Event::Retry { .. }
            | Event::WholeRequest { .. }
            | Event::SavingsOff { .. }
            | Event::News { .. } => {
                self.end_line();
                self.say_all(events::note(&event));
            }
            Event::CallStarted { summary, .. } => self.say(&tool::header(summary)),
            Event::CallHeld { denials, .. } => self.say_all(events::held(denials)),
            Event::CallStopped { summary, reason } => {
                self.say_all([tool::header(summary), tool::denied(reason)]);
            }
            Event::CallEnded { name, output, outcome, plan, .. } => {
                self.say_all(events::call(name, output, outcome, plan, &[]));
            }
            Event::TurnEnded(report) => {
                self.end_line();
                self.say_all(events::end(&report.end).into_iter().chain(events::status(report)));
            }
            Event::HopStarted { .. } | Event::Reasoning(_) | Event::ToolArguments { .. } => {}
        }
    }
}
