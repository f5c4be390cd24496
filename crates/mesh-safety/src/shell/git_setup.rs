//! Whether a command is one of git's that has to write a repository's settings.

use super::{
    ast::{Command, Kind, Script, Word},
    parse::parse,
};

/// Commands of git that write `.git/config` as a matter of course: they make repositories, or note what follows what.
const SETS_UP: [&str; 12] = [
    "branch",
    "checkout",
    "clone",
    "config",
    "fetch",
    "init",
    "pull",
    "push",
    "remote",
    "submodule",
    "switch",
    "worktree",
];

/// Returns whether a shell text runs git to set up or configure a repository: in the sandbox such a call may write
/// `.git/config`, and what it wrote is checked afterwards.
///
/// A text that does not parse, or that hides the command in a variable, does not.
///
/// ```
/// use mesh_safety::sets_up_git;
/// assert!(sets_up_git("cd sub && git -C x worktree add ../y"));
/// assert!(!sets_up_git("git status; echo git clone"));
/// ```
pub fn sets_up_git(text: &str) -> bool {
    parse(text).is_ok_and(|script| in_script(&script))
}

fn in_script(script: &Script) -> bool {
    script.items.iter().flat_map(|pipeline| &pipeline.commands).any(in_command)
}

fn in_command(command: &Command) -> bool {
    match &command.kind {
        Kind::Simple { words, .. } => is_git(words),
        Kind::Group(script) | Kind::Subshell(script) => in_script(script),
        Kind::Loop { condition, body } => in_script(condition) || in_script(body),
        Kind::Branches(scripts) | Kind::Case { arms: scripts, .. } => scripts.iter().any(in_script),
        Kind::For { body, .. } => in_script(body),
        Kind::Function { .. } | Kind::Test(_) => false,
    }
}

fn is_git(words: &[Word]) -> bool {
    let Some(rest) =
        words.split_first().filter(|(first, _)| first.bare() == Some("git")).map(|(_, rest)| rest)
    else {
        return false;
    };
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match word.bare() {
            // What follows is a folder, be it quoted.
            Some("-C") => drop(rest.next()),
            Some(option) if option.starts_with('-') => return false,
            Some(name) => return SETS_UP.contains(&name),
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_git_itself_counts() {
        for (text, want) in [
            ("git clone https://host/a.git", true),
            ("git init && echo done", true),
            ("for d in a b; do git -C \"$d\" submodule update --init; done", true),
            ("(cd x; git switch -c y)", true),
            ("if true; then git worktree add ../w; fi", true),
            ("git commit -m 'git clone'", false),
            ("git -c core.fsmonitor=x clone y", false),
            ("git --exec-path=x clone y", false),
            ("echo git clone", false),
            ("$G clone", false),
            ("sh -c 'git clone'", false),
            ("git", false),
            ("git clone '", false),
        ] {
            assert_eq!(sets_up_git(text), want, "{text}");
        }
    }
}
