//! Pure: a tool call and its result as lines. Caps and signs of seed 17.4 to 17.8.

use mesh_agent::plan::{Step, StepStatus};

use crate::ui::{
    line::{Line, Style},
    text,
};

/// Lines of a body that are shown. Seed 17.4.
pub const MAX_LINES: usize = 24;
/// Characters of one line that are shown. Seed 17.4.
pub const MAX_LINE_CHARS: usize = 240;
/// Characters of a shell command that are shown. Seed 17.4.
const MAX_COMMAND_CHARS: usize = 480;
/// Characters of the one-line form of other results. Seed 17.6.
const MAX_BRIEF_CHARS: usize = 200;

/// What a tool gave back, as far as a person sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolResult<'a> {
    /// Name as the model called it.
    pub tool: &'a str,
    /// Text that goes to the model.
    pub text: &'a str,
    /// The call did not do what was asked.
    pub is_error: bool,
    /// Exit code of a command, negative for a signal.
    pub exit_code: Option<i32>,
}

/// The line before a call runs. Seed 17.7.
pub fn header(summary: &str) -> Line {
    Line::prose(Style::BrandDim, &format!("⚙ {summary}"))
}

/// A shell command as it will run: its first 480 characters, a `$` in front, further lines indented.
pub fn command(command: &str) -> Vec<Line> {
    let clean = text::sanitize(command);
    let shown = text::clip_chars(clean.trim_end_matches('\n'), MAX_COMMAND_CHARS);
    shown
        .split('\n')
        .enumerate()
        .map(|(i, line)| Line::of(Style::Code, &format!("  {} {line}", if i == 0 { '$' } else { ' ' })))
        .collect()
}

/// What is shown of a result, without the fence that is for the model. Seed 17.6.
pub fn result(result: &ToolResult<'_>) -> Vec<Line> {
    let result = &ToolResult { text: mesh_safety::unfenced(result.text), ..*result };
    if result.tool == "run_bash" && !(result.is_error && result.exit_code.is_none()) {
        return command_result(result);
    }
    if result.is_error {
        return failure(result.text);
    }
    match result.tool {
        "write_file" | "edit_file" => vec![Line::prose(Style::Good, &format!("  ✓ {}", brief(result.text)))],
        "read_file" => {
            vec![Line::prose(Style::Dim, &format!("  → {}", read_summary(result.text)))]
        }
        "grep" | "glob" | "list_dir" => {
            body(text::sanitize_output(result.text).trim_end(), Style::Dim, "    ")
        }
        _ => vec![Line::prose(Style::Dim, &format!("  → {}", brief(result.text)))],
    }
}

/// The line for a call that was refused for want of approval. Seed 11.7.
pub fn denied(reason: &str) -> Line {
    let tail = if reason.is_empty() { String::new() } else { format!(": {}", brief(reason)) };
    Line::prose(Style::Dim, &format!("  → denied{tail}"))
}

/// The plan as a block. Seed 17.8.
pub fn plan(steps: &[Step]) -> Vec<Line> {
    let done = steps.iter().filter(|step| step.status == StepStatus::Completed).count();
    let mut lines = vec![
        Line::blank(),
        Line::of(Style::Bold, "Plan").with(Style::Dim, &format!("  ({done}/{} done)", steps.len())),
    ];
    for (i, step) in steps.iter().enumerate() {
        let (icon, style, words) = match step.status {
            StepStatus::Completed => ("✓", Style::Good, Style::Plain),
            StepStatus::InProgress => ("▸", Style::WarnBold, Style::WarnBold),
            StepStatus::Blocked => ("✗", Style::Bad, Style::Plain),
            StepStatus::Pending => ("○", Style::Dim, Style::Dim),
        };
        let title = text::clip_chars(&step.title, MAX_LINE_CHARS);
        lines.push(Line::prose(style, &format!("  {icon} ")).with(words, &format!("{}. {title}", i + 1)));
    }
    lines.push(Line::blank());
    lines
}

/// At most [`MAX_LINES`] lines of `body`, each at most [`MAX_LINE_CHARS`] characters, and how many are left out.
pub fn body(body: &str, style: Style, indent: &str) -> Vec<Line> {
    if body.is_empty() {
        return Vec::new();
    }
    let total = body.split('\n').count();
    let shown = if total > MAX_LINES { MAX_LINES } else { total };
    let mut lines: Vec<Line> = body
        .split('\n')
        .take(shown)
        .map(|line| Line::prose(style, &format!("{indent}{}", text::clip_chars(line, MAX_LINE_CHARS))))
        .collect();
    if total > shown {
        lines.push(Line::of(Style::Dim, &format!("{indent}{}", more_lines(total - shown))));
    }
    lines
}

/// `… N more line(s)`, in the right number.
pub fn more_lines(count: usize) -> String {
    format!("… {count} more {}", if count == 1 { "line" } else { "lines" })
}

fn failure(message: &str) -> Vec<Line> {
    let clean = text::sanitize_output(message);
    let text = if clean.starts_with("Error") { clean } else { format!("Error: {clean}") };
    let mut lines = body(text.trim_end(), Style::Bad, "    ");
    if let Some(first) = lines.first_mut() {
        *first = Line::prose(Style::Bad, &format!("  ✗ {}", first.plain().trim_start()));
    }
    lines
}

fn command_result(result: &ToolResult<'_>) -> Vec<Line> {
    let marker = result.exit_code.map(|code| format!("[exit {code}]"));
    let output =
        marker.as_deref().and_then(|m| result.text.trim_end().strip_suffix(m)).unwrap_or(result.text);
    let mut lines = body(text::sanitize_output(output).trim_end(), Style::Dim, "    ");
    lines.push(match result.exit_code {
        Some(0) => Line::of(Style::Good, "  ✓ exit 0"),
        Some(code) => Line::of(Style::Bad, &format!("  ✗ exit {code}")),
        None => Line::of(Style::Good, "  ✓ done"),
    });
    lines
}

fn read_summary(text: &str) -> String {
    let chars = text.chars().count();
    let lines = text.lines().count();
    format!("read {chars} chars ({lines} {})", if lines == 1 { "line" } else { "lines" })
}

/// The lines of a result as one.
fn brief(text: &str) -> String {
    let clean = text::sanitize_output(text);
    let lines: Vec<&str> = clean.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    text::clip_chars(&text::one_line(&lines.join(" ")), MAX_BRIEF_CHARS).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(lines: &[Line]) -> String {
        lines
            .iter()
            .map(|l| {
                l.spans()
                    .iter()
                    .map(|s| format!("{:?}|{}", s.style(), s.text()))
                    .collect::<Vec<_>>()
                    .join(" + ")
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn shown(tool: &str, text: &str, is_error: bool, exit_code: Option<i32>) -> String {
        show(&result(&ToolResult { tool, text, is_error, exit_code }))
    }

    #[test]
    fn results_by_tool() {
        insta::assert_snapshot!(
            [
                shown("run_bash", "hey\n\u{1b}[31mred\u{1b}[0m\n\n[exit 0]", false, Some(0)),
                shown("run_bash", "\n[exit 3]", false, Some(3)),
                shown("run_bash", "boom\n[exit -9]", true, Some(-9)),
                shown("run_bash", "Error: command timed out after 120s\nsecond line", true, None),
                shown("write_file", "OK — wrote 3 chars to a.txt", false, None),
                shown("edit_file", "OK — 2 edits in a.txt", false, None),
                shown("read_file", "a\nb\n", false, None),
                shown("grep", "a.rs:1: x\nb.rs:2: y", false, None),
                shown("read_file", "Error: no such file", true, None),
                shown("nope", "unknown tool", true, None),
                shown("ask_user", "The user answered:\nWhich store?\n  -> a plain file", false, None),
                shown("web_search", "1. a\r\n\n\n\t2. b\u{1b}[1m\u{1b}[0m\r\u{202e}c", false, None),
                shown("web_search", &"many words ".repeat(40), false, None),
                shown("web_search", " \n", false, None),
                show(&[denied("")]),
                show(&[denied("nobody can be asked in a headless run")]),
            ]
            .join("\n--\n")
        );
    }

    #[test]
    fn long_bodies_are_cut_and_say_so() {
        let text: String = (1..=30).map(|i| format!("line {i}\n")).collect();
        let lines = body(text.trim_end(), Style::Dim, "    ");
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines[MAX_LINES].plain(), "    … 6 more lines");
        let wide = body(&"x".repeat(300), Style::Dim, "");
        assert_eq!(wide[0].plain().chars().count(), MAX_LINE_CHARS + 1);
        assert!(wide[0].plain().ends_with('…'));
        assert_eq!(body("y\n".repeat(25).trim_end(), Style::Dim, "")[24].plain(), "… 1 more line");
    }

    #[test]
    fn headers_and_commands_hide_nothing() {
        assert_eq!(header("run_bash: a\u{1b}[2Kb").plain(), "⚙ run_bash: a␛[2Kb");
        assert_eq!(show(&command("cat <<E\nx\nE\n")), "Code|  $ cat <<E\nCode|    x\nCode|    E");
        assert_eq!(command(&"x".repeat(500))[0].plain().chars().count(), MAX_COMMAND_CHARS + 5);
    }

    #[test]
    fn plan_block() {
        let steps = [
            ("look", StepStatus::Completed),
            ("write\nit", StepStatus::InProgress),
            ("ship", StepStatus::Blocked),
            ("rest", StepStatus::Pending),
        ];
        let steps = steps.map(|(title, status)| Step { title: title.into(), status });
        insta::assert_snapshot!(show(&plan(&steps)));
    }
}
