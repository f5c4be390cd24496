//! `/permissions` and `/why`: the user's rules, and how the last call was decided.

use mesh_agent::Approval;
use mesh_safety::{Decision, ReasonSource};

use super::{LiveControls, Outcome};
use crate::{
    cli::mode_name,
    permissions::{FILE, Scope},
    ui::{
        line::{Line, Style},
        text,
    },
};

pub(super) fn permissions(argument: &str, controls: &mut LiveControls<'_>) -> Outcome {
    let (word, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    match (word, rest.trim()) {
        ("", _) => list(controls),
        ("add", "") => Outcome::bad("usage: /permissions add allow|ask|deny RULE"),
        ("add", line) => match controls.permissions.add_line(line, Scope::Project) {
            Ok(rule) => {
                Outcome::note(&format!("{} `{}` in this project", rule.effect().as_str(), rule.text()))
            }
            Err(error) => Outcome::bad(&error),
        },
        ("remove", number) => match number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)) {
            Some(index) => match controls.permissions.remove(index) {
                Some(Ok(listed)) => Outcome::note(&format!(
                    "Removed: {} `{}` ({})",
                    listed.rule.effect().as_str(),
                    listed.rule.text(),
                    listed.scope.as_str()
                )),
                Some(Err(error)) => Outcome::warn(&error),
                None => Outcome::bad(&format!("there is no rule {number}; /permissions lists them")),
            },
            None => Outcome::bad("usage: /permissions remove N"),
        },
        _ => Outcome::bad("usage: /permissions, /permissions add allow|ask|deny RULE, /permissions remove N"),
    }
}

fn list(controls: &LiveControls<'_>) -> Outcome {
    let rules = controls.permissions.list();
    let mut lines: Vec<Line> = rules
        .iter()
        .enumerate()
        .map(|(at, listed)| {
            let head = format!("{:>3}. {:<5} {}", at + 1, listed.rule.effect().as_str(), listed.rule.text());
            Line::of(Style::Plain, &text::one_line(&head))
                .with(Style::Dim, &format!("  ({})", listed.scope.as_str()))
        })
        .collect();
    for tool in &controls.always {
        lines.push(Line::of(
            Style::Plain,
            &text::one_line(&format!("   · {tool} as in auto mode  (this session)")),
        ));
    }
    if lines.is_empty() {
        lines.push(Line::of(Style::Dim, "No rules: the mode and its checks decide."));
    }
    let about = format!(
        "/permissions add allow command cargo test · deny path secrets/** · ask host example.com; they are in ~/.meshapi/{FILE}"
    );
    lines.push(Line::prose(Style::Dim, &about));
    Outcome::of(lines)
}

pub(super) fn why(_: &str, controls: &mut LiveControls<'_>) -> Outcome {
    let Some(decided) = controls.last.get() else {
        return Outcome::note("Nothing was decided yet in this session.");
    };
    let summary = text::one_line(&decided.summary).into_owned();
    let verdict = match &decided.decision {
        Decision::Allow => "allowed",
        Decision::Ask(_) => "asked",
        Decision::Block(_) => "denied",
    };
    let mut lines = vec![
        Line::of(Style::Plain, &summary)
            .with(Style::Dim, &format!("  {verdict} in mode {}", mode_name(decided.mode))),
    ];
    for reason in decided.decision.reasons() {
        let source = match reason.source {
            ReasonSource::Mode => "mode",
            ReasonSource::Check => "check",
            ReasonSource::Rule => "rule",
        };
        lines.push(Line::prose(Style::Dim, &format!("  {source}: {}", text::one_line(&reason.text))));
    }
    if decided.decision.is_allow() {
        let because = match &decided.rule {
            Some(rule) => format!("your rule: allow `{rule}`"),
            None => "the mode lets it run, and no check raised a hand".to_owned(),
        };
        lines.push(Line::prose(Style::Dim, &format!("  {}", text::one_line(&because))));
    }
    let answer = match decided.answer {
        Some(Approval::Yes) => "you said yes",
        Some(Approval::Always) => "you said always",
        Some(Approval::No) => "you said no",
        Some(Approval::Unavailable) => "nobody could be asked",
        None => return Outcome::of(lines),
    };
    lines.push(Line::prose(Style::Dim, &format!("  answer: {answer}")));
    Outcome::of(lines)
}
