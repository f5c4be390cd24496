//! `/mail`: the user's own look at their mailbox. Nothing of it goes to the model, and nothing is marked read.

use mesh_agent::mail::{Letter, MailError, Mailroom as _, Posted, clean_name};

use super::{Outcome, SlashContext, table::Work};
use crate::{
    commands::mail::show,
    mail::{self, Allowance, Desk},
    ui::{
        line::{Line, Style},
        text,
    },
};

/// Messages of a list.
const LISTED: u32 = 20;
/// Cells of a message's beginning in a list.
const BEGINNING: usize = 48;
const USAGE: &str = "usage: /mail, /mail ID, /mail send PEER [KIND] TEXT, /mail watch on|off, /mail auto PEER [TURNS [TOKENS]|off]";

pub(super) fn run<'a>(argument: &'a str, context: &'a mut SlashContext<'_>) -> Work<'a> {
    Box::pin(async move {
        let Some(desk) = context.wired.mail.clone() else {
            return Outcome::note(
                "No mailbox: set MESH_NODE and MESH_GATEWAY_URL, or `mail` in ~/.meshapi/config.json.",
            );
        };
        let (word, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
        match (word, rest.trim()) {
            ("", _) => list(&desk).await,
            ("watch", wish) => watch(&desk, wish),
            ("auto", wish) => auto(&desk, wish),
            ("send", letter) => send(&desk, letter).await,
            (id, "") => match id.trim_start_matches('#').parse() {
                Ok(id) => one(&desk, id).await,
                Err(_) => Outcome::bad(USAGE),
            },
            _ => Outcome::bad(USAGE),
        }
    })
}

async fn list(desk: &Desk) -> Outcome {
    let envelopes = match desk.unread_mail(LISTED).await {
        Ok(envelopes) => envelopes,
        Err(error) => return Outcome::bad(&error),
    };
    let mut lines: Vec<Line> = envelopes
        .iter()
        .map(|row| {
            let head = format!(
                "  #{:<6} {:<12} {:<9} ",
                row.id,
                clean_name(&row.from_node),
                text::one_line(&row.kind)
            );
            let beginning: String =
                row.content.as_deref().unwrap_or_default().chars().take(BEGINNING * 4).collect();
            let beginning = text::one_line(&beginning);
            Line::of(Style::Plain, &text::clip_width(&head, BEGINNING))
                .with(Style::Dim, &text::clip_width(&beginning, BEGINNING))
        })
        .collect();
    if lines.is_empty() {
        lines.push(Line::of(Style::Dim, "No unread messages."));
    }
    let about = format!(
        "you are {} at {} · /mail ID shows one · notes as mail comes: {}",
        desk.node(),
        desk.gateway(),
        if desk.is_live() { "on" } else { "off" }
    );
    lines.push(Line::prose(Style::Dim, &about));
    Outcome::of(lines)
}

async fn one(desk: &Desk, id: i64) -> Outcome {
    match desk.one_mail(id).await {
        Ok(Some(envelope)) => {
            let shown = show::message(&envelope);
            let mut lines = shown.lines();
            let head = lines.next().map(|head| Line::of(Style::Bold, head));
            Outcome::of(head.into_iter().chain(lines.map(|line| Line::of(Style::Plain, line))).collect())
        }
        Ok(None) => Outcome::warn(&format!("there is no message #{id}")),
        Err(error) => Outcome::bad(&error),
    }
}

fn watch(desk: &Desk, wish: &str) -> Outcome {
    match wish {
        "on" => desk.set_live(true),
        "off" => desk.set_live(false),
        "" => {}
        _ => return Outcome::bad(USAGE),
    }
    Outcome::note(match desk.is_live() {
        true => "You are told of mail as it comes: counts and names. /mail watch off ends that.",
        false => {
            "You are not told of mail as it comes; the mark below the prompt counts it. /mail watch on tells."
        }
    })
}

fn auto(desk: &Desk, wish: &str) -> Outcome {
    let mut words = wish.split_whitespace();
    let Some(peer) = words.next() else {
        let mut lines: Vec<Line> = desk
            .allowances()
            .into_iter()
            .map(|(peer, Allowance { turns, tokens })| {
                let line = format!("  {}: {turns} turns and {tokens} tokens a thread", clean_name(&peer));
                Line::of(Style::Plain, &line)
            })
            .collect();
        if lines.is_empty() {
            lines.push(Line::of(Style::Dim, "No peer's messages start turns. /mail auto PEER allows that."));
        }
        return Outcome::of(lines);
    };
    let peer = match mail::peer_name(peer) {
        Ok(peer) => peer,
        Err(error) => return Outcome::bad(&error),
    };
    let usual = Allowance::default();
    let allowance = match (words.next(), words.next().map(str::parse), words.next()) {
        (Some("off"), None, None) => None,
        (None, None, None) => Some(usual),
        (Some(turns), tokens, None) => match (turns.parse(), tokens.unwrap_or(Ok(usual.tokens))) {
            (Ok(turns), Ok(tokens)) => Some(Allowance { turns, tokens }),
            _ => return Outcome::bad(USAGE),
        },
        _ => return Outcome::bad(USAGE),
    };
    if let Err(error) = desk.allow(&peer, allowance) {
        return Outcome::bad(&format!("it cannot be kept: {error}"));
    }
    Outcome::note(&match allowance {
        None => format!("Messages of {peer} start no turns."),
        Some(Allowance { turns, tokens }) => format!(
            "Messages of {peer} may start turns at this prompt, at most {turns} and {tokens} tokens a thread. What they do is asked as \
             ever. /mail auto {peer} off ends that."
        ),
    })
}

async fn send(desk: &Desk, letter: &str) -> Outcome {
    let Some((to, rest)) = letter.split_once(char::is_whitespace) else { return Outcome::bad(USAGE) };
    let rest = rest.trim();
    let (kind, content) = match rest.split_once(char::is_whitespace) {
        Some((word, content)) if mail::is_kind(word) => (word, content.trim()),
        _ => ("fyi", rest),
    };
    if content.is_empty() {
        return Outcome::bad(USAGE);
    }
    let letter =
        Letter { to: to.to_owned(), kind: kind.to_owned(), content: content.to_owned(), thread: None };
    match desk.post(&letter).await {
        Ok(Posted::Stored { id }) => {
            let id = id.map(|id| format!(" as #{id}")).unwrap_or_default();
            Outcome::note(&format!("Sent to {}{id}.", clean_name(to)))
        }
        Ok(Posted::Before) => Outcome::note("It was sent before."),
        Ok(Posted::Queued { cause }) => Outcome::warn(&format!("It waits in the outbox: {cause}")),
        Err(MailError::Wrong(words) | MailError::Gateway(words)) => Outcome::bad(&words),
        Err(error) => Outcome::bad(&error.to_string()),
    }
}
