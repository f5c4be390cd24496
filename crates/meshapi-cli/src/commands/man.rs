//! `meshapi man`: the manual page, out of the same table as the help.

use std::io::{self, Write, stdout};

use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{
    cli::Cli,
    exit::{Exit, Failure},
};

/// Prints the page. That nobody reads it to the end is no failure.
///
/// # Errors
/// None so far.
pub fn run() -> Result<Exit, Failure> {
    let _ = stdout().write_all(&page());
    Ok(Exit::Ok)
}

/// The page as troff source, with our own sections where clap's would name pages that do not exist.
pub fn page() -> Vec<u8> {
    let mut page = Vec::new();
    // A `Vec` takes everything.
    let _ = write(&mut page);
    page
}

fn write(page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut own = Roff::new();
    commands(&mut own, &command);
    sections(&mut own, &after);
    let man = Man::new(command).manual("User Commands");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    own.to_writer(page)
}

/// The commands under their usage, since they have no pages of their own.
fn commands(roff: &mut Roff, command: &Command) {
    roff.control("SH", ["COMMANDS"]);
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage:").trim();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        entry(roff, usage, &about);
    }
}

/// The end of the help: `Heading:`, then rows of a word and its meaning, two blanks apart.
fn sections(roff: &mut Roff, text: &str) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match line.trim().split_once("  ") {
            Some((word, meaning)) if line.starts_with(' ') => entry(roff, word, meaning.trim()),
            _ if !line.starts_with(' ') && line.ends_with(':') => {
                roff.control("SH", [line.trim_end_matches(':').to_uppercase().as_str()]);
            }
            _ => {
                roff.text([roman(line.trim())]);
            }
        }
    }
}

fn entry(roff: &mut Roff, word: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(word)]);
    roff.text([roman(meaning)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_below<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
        let mut lines = page.lines().skip_while(|line| !line.contains(heading)).skip(1);
        lines.by_ref().take_while(|line| !line.starts_with(".SH")).collect()
    }

    #[test]
    fn the_page_says_what_the_help_says() {
        let page = String::from_utf8(page()).unwrap();
        assert!(page.contains(".TH meshapi 1"), "{page}");
        let commands = lines_below(&page, ".SH COMMANDS").join("\n");
        for name in Cli::command().get_subcommands().map(Command::get_name) {
            assert!(
                commands.contains(&format!("meshapi {}", name.replace('-', "\\-"))),
                "{name}: {commands}"
            );
        }
        assert!(lines_below(&page, ".SH \"EXIT CODES\"").contains(&"\\fB130\\fR"), "{page}");
        assert!(page.contains(".SH ENVIRONMENT"));
        assert!(!page.contains("(1)"), "it names other pages:\n{page}");
        assert!(!page.contains(env!("CARGO_MANIFEST_DIR")));
    }

    #[test]
    fn the_end_of_the_help_becomes_sections() {
        let mut roff = Roff::new();
        sections(&mut roff, "Codes:\n  0  ok\n  10  more  of it\n\nfree text\n");
        assert_eq!(
            roff.to_roff(),
            ".SH CODES\n.TP\n\\fB0\\fR\nok\n.TP\n\\fB10\\fR\nmore  of it\nfree text\n"
        );
    }
}
