//! Pure: the row under the prompt that says what runs without a question. Seed 12.3 and 12.4.

use mesh_safety::PermissionMode;

use crate::ui::{
    line::{Line, Style},
    text,
};

const CYCLE: &str = "  (shift+tab to cycle)";
const ESCAPE: &str = " · esc to interrupt";

/// Cells that stay free at the right end. Seed 12.4.
const MARGIN: usize = 3;

/// The row for a screen of this many columns, right-aligned.
pub fn row(mode: PermissionMode, columns: usize) -> Line {
    let (body, style) = body(mode);
    // The seed counts the two arrows as wide; terminals show them in one cell each. Kept, so that the rows are alike.
    let arrows = if mode == PermissionMode::Default { 0 } else { 2 };
    let budget = columns.saturating_sub(text::width(&body) + arrows + MARGIN);
    let hint = hints(mode).into_iter().find(|hint| text::width(hint) <= budget).unwrap_or_default();
    let padding = " ".repeat(budget - text::width(&hint));
    Line::of(Style::Plain, &padding).with(style, &body).with(Style::Dim, &hint)
}

/// The same from the left: what a row that is drawn often costs the least with.
pub fn left_row(mode: PermissionMode, columns: usize) -> Line {
    let (body, style) = body(mode);
    let budget = columns.saturating_sub(text::width(&body));
    let hint = if text::width(CYCLE) <= budget { CYCLE } else { "" };
    Line::of(style, &text::clip_width(&body, columns)).with(Style::Dim, hint)
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
        let row = |mode, columns| row(mode, columns).plain().into_owned();
        assert_eq!(row(PermissionMode::Default, 40), "   default mode  (shift+tab to cycle)");
        assert_eq!(row(PermissionMode::Default, 20), "     default mode");
        assert_eq!(row(PermissionMode::Auto, 20), "⏵⏵ auto mode on");
        assert_eq!(
            row(PermissionMode::Bypass, 80),
            "          ⏵⏵ bypass permissions on  (shift+tab to cycle) · esc to interrupt"
        );
        assert_eq!(row(PermissionMode::Default, 1), "default mode");
        assert_eq!(left_row(PermissionMode::Auto, 4).plain(), "⏵⏵ …");
    }

    #[test]
    fn the_default_mode_says_nothing_in_the_scrollback() {
        assert_eq!(mode_line(PermissionMode::Default), None);
        let line = mode_line(PermissionMode::AcceptEdits).unwrap();
        assert_eq!(line.plain(), "⏵⏵ accept edits on  (shift+tab to cycle)");
    }
}
