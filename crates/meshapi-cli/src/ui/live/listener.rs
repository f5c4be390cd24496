//! Events of a turn to what stands on the screen.

use std::time::Instant;

use mesh_agent::{Event, Listener, TurnEnd, TurnReport, builtin::RunningServer};
use mesh_client::ErrorKind;
use serde_json::Value;

use super::{Screen, state::Phase};
use crate::ui::{
    events,
    line::{Line, Style},
    text, tool,
};

/// Shows a turn on the screen as it happens.
#[derive(Clone, Debug)]
pub struct ScreenListener {
    screen: Screen,
    /// What the person saw of the running call when they were asked about it.
    seen: Option<Vec<Line>>,
    /// Of what kind the last trouble was: the same is said once, the region counts the attempts.
    last_trouble: Option<ErrorKind>,
}

impl ScreenListener {
    /// Shows turns on this screen.
    pub fn new(screen: Screen) -> ScreenListener {
        ScreenListener { screen, seen: None, last_trouble: None }
    }

    fn phase(&self, phase: Phase) {
        self.screen.with(|state| state.set_phase(phase, Instant::now()));
    }
}

impl Listener for ScreenListener {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::HopStarted { .. } => self.phase(Phase::Waiting),
            Event::Text(piece) => self.screen.with(|state| {
                state.text(piece);
                if *state.phase() == Phase::Waiting {
                    state.set_phase(Phase::Answering, Instant::now());
                }
            }),
            Event::Reasoning(_) => {}
            Event::ToolArguments { name, chars } => {
                self.phase(Phase::Preparing { tool: text::one_line(name).into_owned(), chars });
            }
            Event::Retry { attempt, of, wait, error, text_shown } => {
                if text_shown || self.last_trouble != Some(error.kind()) {
                    self.screen.say(events::note(&event));
                }
                self.last_trouble = Some(error.kind());
                self.phase(Phase::Retrying { at: Instant::now() + wait, attempt, of });
            }
            Event::WholeRequest { .. } => {
                self.screen.say(events::note(&event));
                self.phase(Phase::Waiting);
            }
            Event::SavingsOff { .. } | Event::News { .. } => self.screen.say(events::note(&event)),
            Event::HopEnded { .. } => self.screen.with(super::state::State::end_text),
            Event::CallStarted { name, summary, args, .. } => {
                self.seen = self.screen.with(|state| state.take_asked(summary));
                // A question to the person says itself what it is.
                if self.seen.is_none() && name != "ask_user" {
                    let mut lines = vec![tool::header(summary)];
                    if let ("run_bash" | "start_server", Some(command)) =
                        (name, args.get("command").and_then(Value::as_str))
                    {
                        lines.extend(tool::command(command));
                    }
                    self.screen.say(lines);
                }
                self.phase(Phase::Running { tool: text::one_line(name).into_owned(), note: String::new() });
            }
            Event::CallHeld { denials, .. } => self.screen.say(events::held(denials)),
            Event::CallStopped { summary, reason } => {
                let is_seen = self.screen.with(|state| state.take_asked(summary)).is_some();
                let header = (!is_seen).then(|| tool::header(summary));
                self.screen.say(header.into_iter().chain([tool::denied(reason)]));
            }
            Event::CallEnded { name, output, outcome, plan, .. } => {
                let seen = self.seen.take().unwrap_or_default();
                self.screen.say(match &output.server {
                    Some(server) => server_panel(server),
                    // The person's own answer stands there.
                    None if name == "ask_user" && !output.is_error => Vec::new(),
                    None => events::call(name, output, outcome, plan, &seen),
                });
            }
            Event::TurnEnded(report) => self.screen.say(turn_lines(report)),
        }
    }
}

/// The panel of a server that answers. Seed 13.6.
fn server_panel(server: &RunningServer) -> Vec<Line> {
    let seconds = server.ready_after.as_secs_f64();
    let about = format!("pid {}  •  /servers lists it", server.pid);
    let width = text::width(&server.url).max(text::width(&about));
    let bar = |left: &str, title: &str, right: &str| {
        let fill = "─".repeat((width + 2).saturating_sub(text::width(title)));
        Line::of(Style::Good, &format!("  {left}{title}{fill}{right}"))
    };
    let row = |style, text: &str| {
        let fill = " ".repeat(width.saturating_sub(text::width(text)));
        Line::of(Style::Good, "  │ ").with(style, text).with(Style::Good, &format!("{fill} │"))
    };
    let mut lines = vec![
        Line::of(Style::Good, &format!("  ✓ ready in {seconds:.1}s")),
        bar("╭", "─ 🌐 ready ", "╮"),
        row(Style::Bold, &server.url),
        row(Style::Dim, &about),
        bar("╰", "", "╯"),
    ];
    if !server.preview.is_empty() {
        lines.push(Line::of(Style::Dim, "  ── server output ──"));
        let text = text::sanitize_output(&server.preview.join("\n"));
        lines.extend(tool::body(text.trim_end(), Style::Dim, "  "));
    }
    lines
}

/// The end of a turn: what was unusual about it, a rule, what it cost.
fn turn_lines(report: &TurnReport) -> Vec<Line> {
    let mut lines = events::end(&report.end);
    if let (TurnEnd::Interrupted { .. }, Some(last)) = (&report.end, lines.last_mut()) {
        *last = Line::prose(Style::Warn, &format!("{}, returning to prompt", last.plain()));
    }
    lines.push(Line::blank());
    lines.extend(events::status(report));
    lines
}
