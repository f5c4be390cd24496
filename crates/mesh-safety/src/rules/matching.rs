//! How a rule's words meet a command, a place or a host.

use std::path::{Component, Path, PathBuf};

use super::{Effect, RuleError};

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Matcher {
    /// A program and its first words.
    Command(Words),
    /// A place, and what is done there.
    Place(Access, Place),
    /// An address of the web.
    Host(Host),
}

/// What is done with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is read.
    Read,
    /// It is written.
    Write,
    /// Either.
    Any,
}

impl Access {
    pub(super) fn covers(self, other: Access) -> bool {
        self == Access::Any || self == other
    }
}

/// A program about to run, as far as rules look at it.
pub(crate) struct Program<'a> {
    /// The name as it is written, with its folder.
    pub(crate) written: &'a str,
    /// Its last name, lower case.
    pub(crate) base: &'a str,
    /// Each argument; `None` where it is not known.
    pub(crate) args: Vec<Option<&'a str>>,
}

/// The words of a command rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words(Vec<String>);

/// Names of a place; `**` stands for any number of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(String);

/// A host, or all below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    name: String,
    is_below: bool,
}

impl Matcher {
    pub(super) fn parse(kind: &str, rest: &str, line: &str) -> Result<Matcher, RuleError> {
        let shape = |why| RuleError::Shape(line.to_owned(), why);
        let access = match kind {
            "command" => None,
            "read" => Some(Access::Read),
            "write" => Some(Access::Write),
            "path" => Some(Access::Any),
            "host" => None,
            _ => return Err(RuleError::Kind(line.to_owned())),
        };
        if rest.is_empty() {
            return Err(RuleError::Empty(line.to_owned()));
        }
        if rest.chars().any(|c| c.is_control() || crate::path::is_invisible(c)) {
            return Err(shape("it holds characters that nobody sees"));
        }
        match access {
            Some(access) => {
                let named = rest.split('/').any(|name| !matches!(name, "" | "**" | "*" | "." | "~"));
                if rest.split('/').any(|name| name == "..") {
                    return Err(shape("a place is written without `..`"));
                }
                // `~/**` is a home: that is said by its sign.
                if !named && !rest.starts_with('~') {
                    return Err(shape("it would match every place"));
                }
                Ok(Matcher::Place(access, Place(rest.to_owned())))
            }
            None if kind == "host" => {
                let (name, is_below) = rest.strip_prefix("*.").map_or((rest, false), |name| (name, true));
                let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
                if name.is_empty() || !name.chars().all(plain) {
                    return Err(shape("a host is a name, or `*.` and a name"));
                }
                Ok(Matcher::Host(Host { name: canonical(name), is_below }))
            }
            None => {
                let words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
                if words.iter().any(|word| {
                    word.contains(['*', '?', '$', '`', ';', '|', '&', '<', '>', '\'', '"', '(', ')'])
                }) {
                    return Err(shape("a command rule is plain words; more words may follow them anyway"));
                }
                Ok(Matcher::Command(Words(words)))
            }
        }
    }
}

/// Options before a subcommand whose value is a word of its own: `git -C DIR push`, `kubectl -n NS delete`.
#[rustfmt::skip]
const VALUED: &[&str] = &[
    "-C", "-c", "-n", "-H", "--config", "--context", "--cwd", "--dir", "--exec-path", "--git-dir", "--host", "--kubeconfig", "--manifest-path",
    "--namespace", "--prefix", "--profile", "--project", "--region", "--work-tree",
];

impl Words {
    pub(super) fn matches(&self, program: &Program<'_>, effect: Effect) -> bool {
        let Some((name, rest)) = self.0.split_first() else { return false };
        match effect {
            Effect::Allow => {
                let written = program.written == name;
                written
                    && rest
                        .iter()
                        .enumerate()
                        .all(|(at, word)| program.args.get(at) == Some(&Some(word.as_str())))
            }
            Effect::Ask | Effect::Deny => {
                let base = name.rsplit('/').next().unwrap_or(name).to_lowercase();
                program.base == base
                    && (begins(&program.args, rest) || begins(&without_options(&program.args), rest))
            }
        }
    }
}

/// Whether the arguments begin with these words; one that is not known may be any.
fn begins(args: &[Option<&str>], words: &[String]) -> bool {
    words.iter().enumerate().all(|(at, word)| match args.get(at) {
        Some(Some(arg)) => arg.eq_ignore_ascii_case(word),
        Some(None) => true,
        None => false,
    })
}

fn without_options<'a>(args: &[Option<&'a str>]) -> Vec<Option<&'a str>> {
    let mut out = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg {
            Some(option) if option.starts_with(['-', '+']) => {
                if VALUED.contains(option) {
                    args.next();
                }
            }
            other => out.push(*other),
        }
    }
    out
}

impl Place {
    /// Whether the absolute path is in this place. For allow the letters have to be the same; else their case does not count.
    pub(super) fn matches(&self, path: &Path, workspace: &Path, home: Option<&Path>, effect: Effect) -> bool {
        let Some(pattern) = self.whole(workspace, home) else { return false };
        let exact = effect == Effect::Allow && !cfg!(any(target_os = "macos", windows));
        let spelled = |name: String| if exact { name } else { name.to_lowercase() };
        let names = |path: &Path| -> Option<Vec<String>> {
            let mut out = Vec::new();
            for component in path.components() {
                match component {
                    Component::Normal(name) => out.push(spelled(name.to_str()?.to_owned())),
                    Component::Prefix(prefix) => out.push(spelled(prefix.as_os_str().to_str()?.to_owned())),
                    Component::RootDir | Component::CurDir => {}
                    Component::ParentDir => drop(out.pop()),
                }
            }
            Some(out)
        };
        match (names(&pattern), names(path)) {
            (Some(pattern), Some(path)) => names_match(&pattern, &path),
            _ => effect != Effect::Allow,
        }
    }

    /// The pattern from the root on.
    fn whole(&self, workspace: &Path, home: Option<&Path>) -> Option<PathBuf> {
        match self.0.strip_prefix('~') {
            Some("") => home.map(Path::to_owned),
            Some(rest) => rest.strip_prefix('/').and_then(|rest| home.map(|home| home.join(rest))),
            None => Some(workspace.join(&self.0)),
        }
    }
}

fn names_match(pattern: &[String], names: &[String]) -> bool {
    match pattern.split_first() {
        None => names.is_empty(),
        Some((first, rest)) if first == "**" => {
            (0..=names.len()).any(|from| names_match(rest, &names[from..]))
        }
        Some((first, rest)) => names
            .split_first()
            .is_some_and(|(name, names)| one_matches(first, name) && names_match(rest, names)),
    }
}

/// One name; `*` stands for any letters of it.
fn one_matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

impl Host {
    pub(super) fn matches(&self, host: &str) -> bool {
        let host = canonical(host);
        match self.is_below {
            true => host.strip_suffix(&self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            false => host == self.name,
        }
    }
}

fn canonical(host: &str) -> String {
    host.trim_end_matches('.').trim_matches(['[', ']']).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_inside_a_name_or_cross_names() {
        let matches = |pattern: &str, path: &str| {
            Place(pattern.into()).matches(path.as_ref(), "/w".as_ref(), Some("/h".as_ref()), Effect::Allow)
        };
        for (pattern, path, want) in [
            ("a/*.md", "/w/a/x.md", true),
            ("a/*.md", "/w/a/b/x.md", false),
            ("a/**", "/w/a", true),
            ("a/**/x", "/w/a/b/c/x", true),
            ("a/**/x", "/w/a/x", true),
            ("a", "/w/a/b", false),
            ("~/n*s", "/h/notes", true),
            ("~", "/h", true),
            ("~eve/x", "/w/~eve/x", false),
            ("/srv", "/srv", true),
            ("a*b*c", "/w/aXbYc", true),
            ("a*b*c", "/w/aXc", false),
            ("A", "/w/a", false),
        ] {
            assert_eq!(matches(pattern, path), want, "{pattern} {path}");
        }
    }
}
