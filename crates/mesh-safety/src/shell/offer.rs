//! The rule that a person could make of a command: its program and the words that say what it does.

use super::ast::{Kind, Script, Word};
use super::{parse, programs};

/// Programs whose first word is a command of theirs.
#[rustfmt::skip]
const WITH_COMMANDS: &[&str] = &[
    "apt", "apt-get", "bazel", "brew", "bundle", "cargo", "composer", "conda", "dart", "deno", "docker", "dotnet", "flutter", "gem", "gh", "git", "go",
    "gradle", "helm", "hg", "just", "kubectl", "make", "meson", "mix", "mvn", "nix", "npm", "npx", "pdm", "pip", "pip3", "pnpm", "podman", "poetry", "rake",
    "rustup", "sbt", "stack", "swift", "systemctl", "task", "terraform", "tofu", "turbo", "uv", "yarn", "zig",
];

/// Of these words, the ones that take another: `npm run build`, `uv pip install`.
const WITH_MORE: &[&str] = &["compose", "exec", "pip", "pr", "run", "run-script", "stash", "tool", "x"];

/// Programs that run whatever follows them: a rule for them would be a rule for everything.
#[rustfmt::skip]
const NEVER: &[&str] = &[
    ".", "awk", "bash", "command", "curl", "dash", "dd", "doas", "env", "eval", "exec", "expect", "find", "fish", "ksh", "nc", "ncat", "parallel", "perl",
    "php", "pkexec", "rm", "rsync", "ruby", "scp", "sed", "sh", "socat", "source", "ssh", "su", "sudo", "trap", "wget", "xargs", "zsh",
];

/// Interpreters: only together with the file that they run.
const WITH_FILE: &[&str] = &["bun", "deno", "node", "python", "python3", "tsx", "ts-node"];

/// The text of a rule that covers the command, for a person to take or leave; nothing where no narrow one does.
///
/// ```
/// assert_eq!(mesh_safety::rule_for("cd app && cargo test -q 2>&1 | tail -3").as_deref(), Some("command cargo test"));
/// assert_eq!(mesh_safety::rule_for("sudo reboot"), None);
/// ```
pub fn rule_for(command: &str) -> Option<String> {
    let script = parse::parse(command).ok()?;
    let mut found: Vec<String> = Vec::new();
    collect(&script, &mut found, false)?;
    if found.is_empty() {
        collect(&script, &mut found, true)?;
    }
    found.dedup();
    match found.as_slice() {
        [one] => Some(format!("command {one}")),
        _ => None,
    }
}

/// The rules of all programs that need one, or of those too that only speak; `None` where some program can have none.
fn collect(script: &Script, found: &mut Vec<String>, all: bool) -> Option<()> {
    for (at, command) in script.items.iter().flat_map(|pipeline| pipeline.commands.iter().enumerate()) {
        match &command.kind {
            Kind::Simple { assigns, words } if assigns.is_empty() => {
                let words: Vec<Option<&str>> = words.iter().map(literal).collect();
                if all || !programs::only_filters(&words, at > 0) {
                    found.push(rule_of(&words)?);
                }
            }
            Kind::Group(inner) | Kind::Subshell(inner) => collect(inner, found, all)?,
            _ => return None,
        }
    }
    Some(())
}

fn rule_of(words: &[Option<&str>]) -> Option<String> {
    let name = (*words.first()?)?;
    let base = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let next = |at: usize| words.get(at).copied().flatten().filter(|word| is_plain(word));
    if NEVER.contains(&base.as_str()) || !is_plain(name) {
        return None;
    }
    if WITH_FILE.contains(&base.as_str()) {
        return Some(format!("{name} {}", next(1)?));
    }
    if !WITH_COMMANDS.contains(&base.as_str()) {
        return Some(name.to_owned());
    }
    match next(1) {
        // `make` alone builds; `git` alone would be all of git.
        None => matches!(base.as_str(), "make" | "just" | "task" | "rake").then(|| name.to_owned()),
        Some(first) if WITH_MORE.contains(&first) => Some(format!("{name} {first} {}", next(2)?)),
        Some(first) => Some(format!("{name} {first}")),
    }
}

/// A word that a rule can hold, and that is no option.
fn is_plain(word: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | ':' | '@' | '+' | '=');
    !word.is_empty() && !word.starts_with(['-', '+']) && word.chars().all(plain)
}

fn literal(word: &Word) -> Option<&str> {
    use super::ast::Piece;
    match word.pieces.as_slice() {
        [Piece::Text { text, .. }] => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_the_program_and_what_it_does() {
        for (command, want) in [
            ("cargo test --all", "cargo test"),
            ("npm run build -- --x", "npm run build"),
            ("pytest -q tests/a.py", "pytest"),
            ("python3 manage.py migrate", "python3 manage.py"),
            ("make", "make"),
            ("echo a b", "echo"),
            ("make install", "make install"),
            ("./gradlew build", "./gradlew"),
            ("cd a && cargo fmt && cargo fmt | head -3", "cargo fmt"),
        ] {
            assert_eq!(rule_for(command), Some(format!("command {want}")), "{command}");
        }
        for command in [
            "git",
            "rm -rf x",
            "sudo x",
            "bash x.sh",
            "python3 -c 'x'",
            "X=1 make",
            "cargo test; cargo build",
            "$X y",
            "'",
            "git $X",
            "for i in 1; do make; done",
            "\"a b\" c",
        ] {
            assert_eq!(rule_for(command), None, "{command}");
        }
    }
}
