//! `meshapi completions SHELL`: the script that lets a shell complete our flags and commands.

use std::io::{Write, stdout};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{
    cli::{Cli, Completions},
    exit::{Exit, Failure},
};

/// Prints the script. That nobody reads it to the end is no failure.
///
/// # Errors
/// None so far.
pub fn run(wanted: Completions) -> Result<Exit, Failure> {
    let _ = stdout().write_all(&script(wanted.shell));
    Ok(Exit::Ok)
}

/// The script for one shell.
pub fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "meshapi", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_the_commands_and_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let script = String::from_utf8(script(shell)).unwrap();
            for word in ["demo", "completions", "man", "output-format", "max-hops"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
            assert!(!script.contains(env!("CARGO_MANIFEST_DIR")), "{shell} names a folder of the build");
        }
    }
}
