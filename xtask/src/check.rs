//! Everything that can be checked without running a test: one line a part, all parts run, the first failure in full.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::metadata;

/// One part of the check.
struct Part {
    name: &'static str,
    /// Arguments of cargo; the command that a person runs to repeat the part.
    arguments: &'static [&'static str],
    /// For `cargo doc`: what is to fail it.
    rustdocflags: Option<&'static str>,
}

const fn part(name: &'static str, arguments: &'static [&'static str]) -> Part {
    Part { name, arguments, rustdocflags: None }
}

/// The parts, quick ones first.
const PARTS: [Part; 11] = [
    part("fmt", &["fmt", "--all", "--check"]),
    part("layers", &["xtask", "layers"]),
    part("licences", &["xtask", "licences"]),
    part("msrv", &["xtask", "msrv"]),
    part("clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    part(
        "clippy: agent alone",
        &[
            "clippy",
            "--quiet",
            "-p",
            "mesh-agent",
            "--no-default-features",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ),
    part(
        "clippy: http alone",
        &[
            "clippy",
            "--quiet",
            "-p",
            "meshapi-client",
            "--no-default-features",
            "--features",
            "http",
            "--",
            "-D",
            "warnings",
        ],
    ),
    part(
        "clippy: bare client",
        &["clippy", "--quiet", "-p", "meshapi-client", "--no-default-features", "--", "-D", "warnings"],
    ),
    part(
        "clippy: bare safety",
        &["clippy", "--quiet", "-p", "mesh-safety", "--no-default-features", "--", "-D", "warnings"],
    ),
    part(
        "clippy: gateway on SQLite",
        &[
            "clippy",
            "--quiet",
            "-p",
            "mesh-mailbox",
            "--features",
            "gateway",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ),
    Part {
        name: "docs",
        arguments: &["doc", "--quiet", "--workspace", "--no-deps"],
        rustdocflags: Some("-D warnings"),
    },
];

impl Part {
    fn command(&self) -> String {
        let flags = self.rustdocflags.map(|flags| format!("RUSTDOCFLAGS=\"{flags}\" ")).unwrap_or_default();
        format!("{flags}cargo {}", self.arguments.join(" "))
    }

    /// What it printed, and whether all was well.
    fn run(&self, root: &Path) -> Result<(String, bool)> {
        let mut command = match self.arguments {
            // Ourselves: no need to ask cargo to find us again.
            ["xtask", rest @ ..] => {
                let mut command = std::process::Command::new(std::env::current_exe()?);
                command.current_dir(root).args(rest);
                command
            }
            arguments => {
                let mut command = metadata::cargo(root);
                command.args(arguments);
                command
            }
        };
        if let Some(flags) = self.rustdocflags {
            command.env("RUSTDOCFLAGS", flags);
        }
        let output = command.output().with_context(|| format!("`{}` does not start", self.command()))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((text, output.status.success()))
    }
}

pub(crate) fn run(root: &Path) -> Result<()> {
    let mut first_failure = None;
    let mut failed = 0;
    for part in &PARTS {
        let start = Instant::now();
        let (text, is_fine) = part.run(root)?;
        let seconds = start.elapsed().as_secs_f64();
        if is_fine {
            println!("ok    {:<20} {seconds:>6.1} s", part.name);
        } else {
            println!("FAIL  {:<20} {seconds:>6.1} s   repeat: {}", part.name, part.command());
            failed += 1;
            first_failure.get_or_insert((part, text));
        }
    }
    if let Some((part, text)) = first_failure {
        println!("\n{}:\n{}", part.command(), text.trim_end());
        bail!("{failed} of {} parts failed", PARTS.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_how_to_repeat_it() {
        let commands: Vec<String> = PARTS.iter().map(Part::command).collect();
        assert_eq!(commands[0], "cargo fmt --all --check");
        assert_eq!(commands[1], "cargo xtask layers");
        assert_eq!(commands[10], "RUSTDOCFLAGS=\"-D warnings\" cargo doc --quiet --workspace --no-deps");
    }
}
