//! Pure: events of a turn as lines, the same for a screen and for a pipe.

use mesh_agent::{CallOutcome, Event, ToolOutput, TurnEnd, TurnReport, plan::Step};
use mesh_safety::sandbox::Denial;

use crate::ui::{
    diff,
    line::{Line, Style},
    savings,
    status::{self, Status},
    tool::{self, ToolResult},
};

/// What is said of a request that did not go as it should.
pub fn note(event: &Event<'_>) -> Option<Line> {
    let again = |text_shown| if text_shown { "; the answer starts again" } else { "" };
    let text = match event {
        Event::Retry { attempt, of, wait, error, text_shown } => {
            let (seconds, again) = (wait.as_secs_f64(), again(*text_shown));
            format!("retrying in {seconds:.1}s (attempt {attempt}/{of}){again}: {error}")
        }
        Event::WholeRequest { error, text_shown } => {
            format!("asking once more without streaming{}: {error}", again(*text_shown))
        }
        Event::SavingsOff { note } => return Some(savings::off(note)),
        Event::News { line } => return Some(news(line)),
        _ => return None,
    };
    Some(Line::prose(Style::Warn, &text))
}

/// What is said of mail that came: counts and names.
pub fn news(line: &str) -> Line {
    Line::prose(Style::Brand, &format!("✉ {line}"))
}

/// What is shown of a call that came to its end, when `seen` stands above it already.
pub fn call(
    name: &str,
    output: &ToolOutput,
    outcome: CallOutcome,
    plan: Option<&[Step]>,
    seen: &[Line],
) -> Vec<Line> {
    match (outcome, plan) {
        // Event::CallStopped has said it.
        (CallOutcome::Denied | CallOutcome::Refused, _) => Vec::new(),
        (_, Some(steps)) if !output.is_error => tool::plan(steps),
        _ => {
            let ToolOutput { text, is_error, exit_code, change, .. } = output;
            let result = ToolResult { tool: name, text, is_error: *is_error, exit_code: *exit_code };
            let change = change.as_ref();
            let mut lines = change.map_or_else(Vec::new, |c| diff::change(c.before.as_deref(), &c.after));
            if seen.ends_with(&lines) {
                lines.clear();
            }
            lines.extend(tool::result(&result));
            lines
        }
    }
}

/// What the sandbox kept a call from.
pub fn held(denials: &[Denial]) -> Vec<Line> {
    denials.iter().map(|denial| Line::prose(Style::Warn, &format!("⚠ sandbox: {denial}"))).collect()
}

/// What a turn took and cost, and what was saved.
pub fn status(report: &TurnReport) -> Vec<Line> {
    let status = status::line(&Status {
        model: &report.model,
        prompt_tokens: report.prompt_tokens,
        completion_tokens: report.completion_tokens,
        cost: report.turn_cost.total(),
        session_cost: report.session_cost.total(),
        answering: report.model_time,
    });
    std::iter::once(status).chain(savings::line(&report.savings)).collect()
}

/// What a person is told about an end that is not a plain one.
pub fn end(end: &TurnEnd) -> Vec<Line> {
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
