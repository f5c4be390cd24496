//! Reading a command line by the rules of one command alone. The rules of all take 0.3 ms to be built, which each start would pay;
//! they are needed for help and for what is wrong, so those are left to them.

use std::ffi::OsString;

use clap::{Args, Parser};

use super::{Cli, Command, Headless, RunSettings, Sandbox};

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Alone<A: Args> {
    #[command(flatten)]
    only: A,
}

/// A run without a command.
#[derive(Args)]
struct Run {
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    headless: Headless,
    #[command(flatten)]
    settings: RunSettings,
}

impl From<Run> for Cli {
    fn from(run: Run) -> Cli {
        Cli { command: None, plain: run.plain, headless: run.headless, settings: run.settings }
    }
}

fn alone<A: Args>(arguments: &[OsString]) -> Option<A> {
    Alone::try_parse_from(arguments).ok().map(|alone: Alone<A>| alone.only)
}

/// Reads a run without a command, and the commands that scripts and services start; `arguments` are those after the program's name.
///
/// `None` when it is anything else, asks for help, or is wrong.
pub(super) fn parse(arguments: &[OsString]) -> Option<Cli> {
    let command = match arguments.split_first() {
        Some((name, rest)) if name == "gateway" => Command::Gateway(alone(rest)?),
        Some((name, rest)) if name == "mail" => Command::Mail(alone(rest)?),
        Some((name, rest)) if name == "guard" => Command::Guard(alone(rest)?),
        // A run takes no words: nothing is read twice for the other commands.
        Some((name, _)) if !name.as_encoded_bytes().starts_with(b"-") => return None,
        _ => return alone::<Run>(arguments).map(Cli::from),
    };
    let nothing = alone::<Run>(&[])?;
    Some(Cli { command: Some(command), ..Cli::from(nothing) })
}

/// Reads `meshapi sandbox`; `arguments` begins with the program's name.
///
/// `None` when it is anything else, or wrong: then [`parse`](super::parse) says what.
pub fn parse_sandbox(arguments: impl IntoIterator<Item = OsString>) -> Option<Sandbox> {
    let arguments: Vec<OsString> = arguments.into_iter().skip(1).collect();
    let (name, rest) = arguments.split_first()?;
    (name == "sandbox").then(|| alone(rest)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_alone_is_read_the_same_by_all_rules() {
        let lines = [
            ("", true),
            ("-p hello", true),
            ("-p - --output-format json --mode auto --max-hops 3", true),
            ("--plain --model a/b --route fastest --no-sandbox", true),
            ("--inbox -p work --max-messages 2", true),
            ("gateway serve", true),
            ("gateway serve --listen 127.0.0.1:1 --db x.db", true),
            ("gateway --db x.db peers", true),
            ("mail inbox --node a --json", true),
            ("mail send --to b words", true),
            ("mail send --to b -- -h", true),
            ("guard command ls -h", false),
            ("guard command ls", true),
            ("guard hook", true),
            // Left to the others: help, other commands, flags before a command, and what is wrong.
            ("--help", false),
            ("-h", false),
            ("--version", false),
            ("-V", false),
            ("gateway", false),
            ("gateway --help", false),
            ("gateway serve -h", false),
            ("mail --version", false),
            ("mail", false),
            ("help", false),
            ("demo", false),
            ("--plain demo --fast", false),
            ("--plain gateway serve", false),
            ("gateway serve --plain", false),
            ("--max-messages 2", false),
            ("--mode nothing", false),
            ("words", false),
        ];
        for (line, is_read) in lines {
            let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let all = Cli::try_parse_from(std::iter::once("meshapi".into()).chain(arguments.iter().cloned()));
            match parse(&arguments) {
                Some(cli) => {
                    assert!(is_read, "{line}");
                    assert_eq!(format!("{cli:?}"), format!("{:?}", all.unwrap()), "{line}");
                }
                None => assert!(!is_read, "{line}"),
            }
        }
    }
}
