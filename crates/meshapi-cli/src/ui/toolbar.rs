//! Pure: the row under the prompt that says what runs without a question. Seed 12.3 and 12.4.

use mesh_safety::PermissionMode;

use crate::{
    confine::Standing,
    ui::{
        line::{Line, Style},
        text,
    },
};

const CYCLE: &str = "  (shift+tab to cycle)";
const ESCAPE: &str = " · esc to interrupt";

/// Cells that stay free at the right end. Seed 12.4.
const MARGIN: usize = 3;

/// The row for a screen of this many columns, right-aligned.
pub fn row(mode: PermissionMode, sandbox: Standing, unread: usize, columns: usize) -> Line {
    let (body, style) = body(mode);
    let beside = beside(sandbox, unread, columns.saturating_sub(text::width(&body) + MARGIN));
    // The seed counts the two arrows as wide; terminals show them in one cell each. Kept, so that the rows are alike.
    let arrows = if mode == PermissionMode::Default { 0 } else { 2 };
    let budget = columns.saturating_sub(text::width(&body) + text::width(&beside.plain()) + arrows + MARGIN);
    let hint = hints(mode).into_iter().find(|hint| text::width(hint) <= budget).unwrap_or_default();
    let padding = " ".repeat(budget - text::width(&hint));
    joined(Line::of(Style::Plain, &padding).with(style, &body), &beside).with(Style::Dim, &hint)
}

/// The same from the left: what a row that is drawn often costs the least with.
pub fn left_row(mode: PermissionMode, sandbox: Standing, unread: usize, columns: usize) -> Line {
    let (body, style) = body(mode);
    let beside = beside(sandbox, unread, columns.saturating_sub(text::width(&body)));
    let budget = columns.saturating_sub(text::width(&body) + text::width(&beside.plain()));
    let hint = if text::width(CYCLE) <= budget { CYCLE } else { "" };
    joined(Line::of(style, &text::clip_width(&body, columns)), &beside).with(Style::Dim, hint)
}

/// Unread mail and the sandbox's level behind the mode, where there is room for them.
fn beside(sandbox: Standing, unread: usize, room: usize) -> Line {
    let mail = if unread == 0 { String::new() } else { format!(" · ✉ {unread}") };
    let mail = if text::width(&mail) > room { String::new() } else { mail };
    let line = Line::of(Style::Brand, &mail);
    let text = format!(" · {}", sandbox.words());
    let style = if sandbox.is_weak() { Style::WarnBold } else { Style::Dim };
    if sandbox.words().is_empty() || text::width(&text) + text::width(&mail) > room {
        return if mail.is_empty() { Line::blank() } else { line };
    }
    if mail.is_empty() { Line::of(style, &text) } else { line.with(style, &text) }
}

fn joined(line: Line, more: &Line) -> Line {
    more.spans().iter().fold(line, |line, span| line.with(span.style(), span.text()))
}

/// What stands in the scrollback after a batch of calls; nothing in default mode.
pub fn mode_line(mode: PermissionMode) -> Option<Line> {
    if mode == PermissionMode::Default {
        return None;
    }
    let (body, style) = body(mode);
    let [hint, ..] = hints(mode);
    Some(Line::of(style, &body).with(Style::Dim, &hint))
}

fn body(mode: PermissionMode) -> (String, Style) {
    match mode {
        PermissionMode::Default => ("default mode".to_owned(), Style::Dim),
        PermissionMode::AcceptEdits => (format!("⏵⏵ {}", mode.label()), Style::Code),
        PermissionMode::Auto => (format!("⏵⏵ {}", mode.label()), Style::WarnBold),
        PermissionMode::Bypass => (format!("⏵⏵ {}", mode.label()), Style::Bad),
    }
}

/// Hints from the longest to none.
fn hints(mode: PermissionMode) -> [String; 4] {
    let escape = if mode == PermissionMode::Bypass { ESCAPE } else { "" };
    [format!("{CYCLE}{escape}"), CYCLE.to_owned(), escape.to_owned(), String::new()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_hint_that_fits_is_shown() {
        let row = |mode, columns| row(mode, Standing::Unknown, 0, columns).plain().into_owned();
        assert_eq!(row(PermissionMode::Default, 40), "   default mode  (shift+tab to cycle)");
        assert_eq!(row(PermissionMode::Default, 20), "     default mode");
        assert_eq!(row(PermissionMode::Auto, 20), "⏵⏵ auto mode on");
        assert_eq!(
            row(PermissionMode::Bypass, 80),
            "          ⏵⏵ bypass permissions on  (shift+tab to cycle) · esc to interrupt"
        );
        assert_eq!(row(PermissionMode::Default, 1), "default mode");
        assert_eq!(left_row(PermissionMode::Auto, Standing::Unknown, 0, 4).plain(), "⏵⏵ …");
    }

    #[test]
    fn the_sandbox_is_named_before_the_keys() {
        use mesh_safety::sandbox::Level;
        let left =
            |sandbox, columns| left_row(PermissionMode::Auto, sandbox, 0, columns).plain().into_owned();
        let full = Standing::At(Level::Full);
        assert_eq!(left(full, 80), "⏵⏵ auto mode on · sandbox full  (shift+tab to cycle)");
        assert_eq!(left(full, 40), "⏵⏵ auto mode on · sandbox full");
        assert_eq!(left(full, 20), "⏵⏵ auto mode on");
        assert_eq!(left(Standing::At(Level::None), 40), left(Standing::Off, 40));
        assert_eq!(left(Standing::Off, 40), "⏵⏵ auto mode on · no sandbox");
        let right = row(PermissionMode::Auto, full, 0, 40).plain().into_owned();
        assert_eq!(right, "     ⏵⏵ auto mode on · sandbox full");
    }

    #[test]
    fn unread_mail_has_a_mark_before_the_sandbox() {
        use mesh_safety::sandbox::Level;
        let full = Standing::At(Level::Full);
        let left = |columns| left_row(PermissionMode::Auto, full, 2, columns).plain().into_owned();
        assert_eq!(left(80), "⏵⏵ auto mode on · ✉ 2 · sandbox full  (shift+tab to cycle)");
        assert_eq!(left(30), "⏵⏵ auto mode on · ✉ 2");
        assert_eq!(left(18), "⏵⏵ auto mode on");
        let right = row(PermissionMode::Default, Standing::Unknown, 12, 40).plain().into_owned();
        assert_eq!(right, "                  default mode · ✉ 12");
    }

    #[test]
    fn the_default_mode_says_nothing_in_the_scrollback() {
        assert_eq!(mode_line(PermissionMode::Default), None);
        let line = mode_line(PermissionMode::AcceptEdits).unwrap();
        assert_eq!(line.plain(), "⏵⏵ accept edits on  (shift+tab to cycle)");
    }
}
