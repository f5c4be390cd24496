//! Commands about the conversation, what it costs, and what it has started.

use std::time::Duration;

use mesh_agent::{builtin::RunningServer, prompt::system_prompt};
use mesh_safety::sandbox::Network;

use super::{
    Outcome, SlashContext,
    table::{Work, commands},
};
use crate::{
    cli::mode_name,
    ui::{
        line::{Line, Style},
        text::{clip_width, one_line, width},
    },
};

/// Longest wait for the balance.
const BALANCE_TIMEOUT: Duration = Duration::from_secs(5);
/// Lines of a server's output that `/servers log` shows.
const LOG_LINES: usize = 20;
/// Columns below which the list of commands has no box.
const BOX_COLUMNS: usize = 60;

/// What one should know besides the commands. Seed section 7.
const NOTES: [&str; 5] = [
    "Paths and links of images in a prompt are attached; `backticks` around one keep it as text.",
    "Prompts, files and images that you attach, and what tools print, are sent to the gateway.",
    "accept-edits runs writes in this folder unasked, auto also commands that pass the checks, bypass all that passes.",
    "A name may be cut short where it stays clear: /he is /help.",
    "While a turn runs, lines wait for its end; /model, /mode and /route hold at once.",
];

/// Where the session stands, without asking anybody.
pub(super) fn status(_: &str, context: &mut SlashContext<'_>) -> Outcome {
    // The command may be the first that wants to know.
    let warning = context.wired.confine();
    let confined = context.wired.confined.found();
    let settings = context.wired.agent.settings().get();
    let config = &context.config;
    let key = config.key().map_or("none; /login gives one", |found| found.source.name());
    let sandbox = match &confined.sandbox {
        Some(sandbox) => {
            let network = match &sandbox.policy().network {
                Network::Hosts(hosts) if !hosts.is_empty() => hosts.join(", "),
                Network::Hosts(_) | Network::None => "none".to_owned(),
            };
            let granted = sandbox.granted();
            let granted: Vec<String> = granted.iter().map(ToString::to_string).collect();
            let granted = match granted.is_empty() {
                true => String::new(),
                false => format!("; allowed for this session: {}", granted.join(", ")),
            };
            format!("{}, network: {network}{granted}", confined.level().as_str())
        }
        None => confined.standing().words().to_owned(),
    };
    let servers = context.wired.servers.list().len();
    let rows = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("model", settings.model.clone()),
        ("route", settings.route.clone().unwrap_or_else(|| "default".to_owned())),
        ("mode", mode_name(context.wired.agent.mode().get()).to_owned()),
        ("sandbox", sandbox),
        ("folder", context.wired.agent.cwd().display().to_string()),
        ("gateway", config.base_url().as_str().to_owned()),
        ("key", key.to_owned()),
        ("settings", config.folder().path().display().to_string()),
        ("servers", if servers == 0 { "none".to_owned() } else { servers.to_string() }),
    ];
    let mut lines: Vec<Line> = rows
        .iter()
        .map(|(name, says)| Line::of(Style::Dim, &format!("{name:<9}")).with(Style::Plain, &one_line(says)))
        .collect();
    let lacks = warning.or_else(|| confined.warning());
    lines.extend(lacks.map(|lacks| Line::prose(Style::Warn, &lacks)));
    Outcome::of(lines)
}

pub(super) fn help(_: &str, context: &mut SlashContext<'_>) -> Outcome {
    Outcome::of(help_lines(context.columns))
}

fn help_lines(columns: usize) -> Vec<Line> {
    let is_boxed = columns >= BOX_COLUMNS;
    let inner = if is_boxed { columns.min(100) - 4 } else { columns.max(1) };
    let usages: Vec<String> = commands()
        .iter()
        .map(|command| format!("/{} {}", command.name, command.argument).trim_end().to_owned())
        .collect();
    // A long list of choices does not push all others to the right: its help stands below it.
    let usage_width = usages.iter().map(|usage| width(usage)).filter(|width| *width <= 24).max().unwrap_or(0);
    let mut rows: Vec<Line> = Vec::new();
    for (command, usage) in commands().iter().zip(&usages) {
        let (indent, mut row) = if is_boxed && width(usage) <= usage_width {
            let padded = format!("{usage}{}", " ".repeat(usage_width - width(usage) + 2));
            (usage_width + 2, Line::of(Style::Code, &padded))
        } else {
            rows.extend(pieces(usage, inner).map(|piece| Line::of(Style::Code, &piece)));
            let indent = if is_boxed { usage_width + 2 } else { 2.min(inner - 1) };
            (indent, Line::of(Style::Plain, &" ".repeat(indent)))
        };
        for (at, piece) in pieces(command.help, inner - indent).enumerate() {
            if at > 0 {
                rows.push(std::mem::replace(&mut row, Line::of(Style::Plain, &" ".repeat(indent))));
            }
            row = row.with(Style::Plain, &piece);
        }
        rows.push(row);
    }
    rows.push(Line::blank());
    rows.extend(NOTES.iter().flat_map(|note| pieces(note, inner)).map(|piece| Line::of(Style::Dim, &piece)));
    if is_boxed { boxed("commands", rows, inner) } else { rows }
}

/// Lines in a box with a title. No line is wider than `inner`.
fn boxed(title: &str, rows: Vec<Line>, inner: usize) -> Vec<Line> {
    let rule = |count: usize| "─".repeat(count);
    let top = format!("╭─ {title} {}╮", rule(inner.saturating_sub(width(title) + 1)));
    let bottom = format!("╰{}╯", rule(inner + 2));
    let body = rows.into_iter().map(|row| {
        let filling = " ".repeat(inner.saturating_sub(width(&row.plain())));
        let start = Line::of(Style::Code, "│ ");
        let line = row.spans().iter().fold(start, |line, span| line.with(span.style(), span.text()));
        line.with(Style::Code, &format!("{filling} │"))
    });
    let top = std::iter::once(Line::of(Style::Code, &top));
    top.chain(body).chain(std::iter::once(Line::of(Style::Code, &bottom))).collect()
}

/// A text broken at its blanks into pieces of at most `columns` cells; a longer word is cut.
fn pieces(text: &str, columns: usize) -> impl Iterator<Item = String> {
    let mut pieces: Vec<String> = Vec::new();
    for part in text.split(' ').flat_map(|word| cut(word, columns)) {
        match pieces.last_mut().filter(|last| width(last) + 1 + width(&part) <= columns) {
            Some(last) => {
                last.push(' ');
                last.push_str(&part);
            }
            None => pieces.push(part),
        }
    }
    pieces.into_iter()
}

/// A word in pieces of at most `columns` cells.
fn cut(word: &str, columns: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for character in word.chars() {
        let character = character.to_string();
        match pieces.last_mut().filter(|last| width(last) + width(&character) <= columns) {
            Some(last) => last.push_str(&character),
            None => pieces.push(character),
        }
    }
    pieces
}

pub(super) fn clear(_: &str, context: &mut SlashContext<'_>) -> Outcome {
    context.wired.agent.clear();
    Outcome::note("Conversation cleared.")
}

pub(super) fn cost<'a>(_: &'a str, context: &'a mut SlashContext<'_>) -> Work<'a> {
    Box::pin(async {
        let spend = context.wired.agent.ledger().session();
        let total = spend.total().map_or_else(|| "—".to_owned(), |cost| cost.to_string());
        let mut lines = vec![Line::of(Style::Dim, &format!("Session spend: {total}"))];
        if spend.estimated > 0.0 {
            lines.push(Line::prose(Style::Dim, "~ marks an estimate from the gateway's price list"));
        }
        if spend.unpriced > 0 {
            let text =
                format!("{} request(s) that may have cost something could not be priced", spend.unpriced);
            lines.push(Line::prose(Style::Dim, &text));
        }
        let balance = tokio::time::timeout(BALANCE_TIMEOUT, context.wired.client.balance()).await;
        let balance = match balance {
            Ok(Ok(balance)) => match balance.available {
                // Cents are enough where there is more than one of the currency.
                Some(usd) if usd.0 >= 1.0 => format!("Balance: ${:.2}", usd.0),
                Some(usd) => format!("Balance: {usd}"),
                None => "Balance: the gateway does not say".to_owned(),
            },
            Ok(Err(error)) => format!("Balance: not to be had ({error})"),
            Err(_) => format!("Balance: no answer within {} s", BALANCE_TIMEOUT.as_secs()),
        };
        lines.push(Line::prose(Style::Dim, &balance));
        Outcome::of(lines)
    })
}

pub(super) fn system(argument: &str, context: &mut SlashContext<'_>) -> Outcome {
    if argument.is_empty() {
        return match context.config.system() {
            "" => Outcome::note("The base prompt is empty."),
            prompt => Outcome::note(prompt),
        };
    }
    context.config.overrides_mut().system = Some(argument.to_owned());
    let prompt = system_prompt(argument, context.wired.agent.cwd());
    context.wired.agent.set_system(&prompt);
    Outcome::note("System prompt updated for this session; the conversation starts afresh.")
}

pub(super) fn login(_: &str, _: &mut SlashContext<'_>) -> Outcome {
    Outcome { login: true, ..Outcome::default() }
}

pub(super) fn servers<'a>(argument: &'a str, context: &'a mut SlashContext<'_>) -> Work<'a> {
    Box::pin(async move {
        let servers = &context.wired.servers;
        let list = servers.list();
        let mut words = argument.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (None, ..) if list.is_empty() => Outcome::note("No server runs."),
            (None, ..) => {
                let rows = list.iter().enumerate().map(|(at, server)| row(at + 1, server, context.columns));
                let hint = Line::of(
                    Style::Dim,
                    &clip_width("/servers kill N ends one, /servers log N shows its output", context.columns),
                );
                Outcome::of(rows.chain([hint]).collect())
            }
            (Some("kill"), Some("all"), None) => match servers.kill_all().await {
                0 => Outcome::note("No server runs."),
                count => Outcome::note(&format!("Ended {count} server(s).")),
            },
            (Some("kill"), Some(which), None) => match pick(&list, which) {
                Some(server) => {
                    servers.kill(server.pid).await;
                    Outcome::note(&format!("Ended {} ({})", server.url, server.command))
                }
                None => Outcome::bad(&format!("No server {which}. /servers lists them")),
            },
            (Some("log"), Some(which), None) => match pick(&list, which) {
                Some(server) => {
                    let output = servers.output(server.pid, LOG_LINES).unwrap_or_default();
                    if output.is_empty() {
                        return Outcome::note("Nothing was printed, or not to us.");
                    }
                    Outcome::of(output.iter().map(|line| Line::of(Style::Dim, line)).collect())
                }
                None => Outcome::bad(&format!("No server {which}. /servers lists them")),
            },
            _ => Outcome::bad("usage: /servers, /servers kill N|all, /servers log N"),
        }
    })
}

fn row(number: usize, server: &RunningServer, columns: usize) -> Line {
    let start = format!("{number}  {}", server.url);
    let rest = format!("  pid {}  {}", server.pid, one_line(&server.command));
    let room = columns.saturating_sub(width(&start));
    Line::of(Style::Good, &clip_width(&start, columns)).with(Style::Dim, &clip_width(&rest, room))
}

/// The server of this number in the list; else the one with this pid or on this port.
fn pick<'s>(list: &'s [RunningServer], which: &str) -> Option<&'s RunningServer> {
    let number: usize = which.parse().ok()?;
    let by_number = number.checked_sub(1).and_then(|at| list.get(at));
    by_number.or_else(|| {
        list.iter()
            .find(|server| usize::try_from(server.pid) == Ok(number) || usize::from(server.port) == number)
    })
}

pub(super) fn image<'a>(argument: &'a str, context: &'a mut SlashContext<'_>) -> Work<'a> {
    Box::pin(async move {
        if !argument.is_empty() {
            return Outcome::of(context.attachments.queue(argument).await);
        }
        match context.attachments.queued() {
            0 => Outcome::note("usage: /image PATH or URL: it goes with the next prompt"),
            count => Outcome::note(&format!("{count} image(s) queued for next prompt")),
        }
    })
}

pub(super) fn clear_attach(_: &str, context: &mut SlashContext<'_>) -> Outcome {
    Outcome::of(context.attachments.clear())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_every_width() {
        let shown = |columns: usize| -> String {
            help_lines(columns).iter().map(|line| format!("{}\n", line.plain())).collect()
        };
        insta::assert_snapshot!("help_at_80", shown(80));
        insta::assert_snapshot!("help_at_40", shown(40));
        for columns in 1..130 {
            for line in help_lines(columns) {
                assert!(width(&line.plain()) <= columns, "{columns}: {}", line.plain());
            }
        }
    }

    #[test]
    fn a_server_is_picked_by_number_pid_or_port() {
        let server = |pid, port| RunningServer {
            pid,
            port,
            command: "npm\u{1b} start".into(),
            cwd: "/".into(),
            url: format!("http://localhost:{port}"),
            ready_after: Duration::ZERO,
            preview: Vec::new(),
        };
        let list = [server(4711, 5173), server(4712, 8000)];
        let pid = |which: &str| pick(&list, which).map(|server| server.pid);
        let rows = [("1", Some(4711)), ("2", Some(4712)), ("4711", Some(4711)), ("8000", Some(4712))];
        for (which, want) in rows.into_iter().chain([("0", None), ("3", None), ("x", None), ("-1", None)]) {
            assert_eq!(pid(which), want, "{which}");
        }
        assert_eq!(row(1, &list[0], 80).plain(), "1  http://localhost:5173  pid 4711  npm␛ start");
        assert!((1..60).all(|columns| width(&row(1, &list[0], columns).plain()) <= columns));
    }
}
