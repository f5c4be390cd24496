//! Which settings a repository may have that a confined command made: what git itself writes there, nothing that runs.
//!
//! Pure. Not a parser of all that git takes: a line that is not plain is not kept.

/// Keys that may stand, as `section.key` or `section.*.key`, lower case. From spec/safety.md 5.1, less nothing and with what
/// people set in a new repository that names no program and no file.
#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    "core.repositoryformatversion", "core.filemode", "core.bare", "core.logallrefupdates", "core.ignorecase",
    "core.precomposeunicode", "core.symlinks", "core.worktree", "core.autocrlf", "core.eol", "core.safecrlf",
    "core.sparsecheckout", "core.sparsecheckoutcone",
    "remote.*.url", "remote.*.fetch", "remote.*.tagopt", "remote.*.promisor", "remote.*.partialclonefilter",
    "branch.*.remote", "branch.*.merge", "branch.*.rebase", "submodule.*.url", "submodule.*.active", "submodule.active",
    "extensions.objectformat", "extensions.refstorage", "extensions.partialclone", "extensions.worktreeconfig",
    "user.name", "user.email", "pull.rebase", "pull.ff", "push.default", "push.autosetupremote", "merge.conflictstyle",
    "init.defaultbranch", "commit.gpgsign", "tag.gpgsign", "gc.auto", "fetch.prune", "rerere.enabled",
];

/// What is left of a repository's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The settings that may stand.
    pub(super) text: String,
    /// What was taken out, in words: keys, or that a line is not plain.
    pub(super) removed: Vec<String>,
}

/// Keeps what may stand. Settings that stood `before` stay as they were.
pub(super) fn keep(text: &str, before: &str) -> Kept {
    let known = settings(before);
    let mut kept = Kept::default();
    let mut section = None;
    let mut is_known_section = false;
    for line in text.lines() {
        let plain = line.trim();
        if plain.is_empty() || plain.starts_with(['#', ';']) {
            kept.text.push_str(&format!("{line}\n"));
            continue;
        }
        if plain.starts_with('[') {
            section = header(plain);
            is_known_section = section.is_some();
            if is_known_section {
                kept.text.push_str(&format!("{line}\n"));
            } else {
                kept.removed.push(format!("a section that is not plain: {}", shown(plain)));
            }
            continue;
        }
        let setting = section.as_ref().and_then(|section| setting(section, plain));
        match setting {
            Some(setting) if setting.may_stand() || known.contains(&setting.line) => {
                kept.text.push_str(&format!("{line}\n"));
            }
            Some(setting) => kept.removed.push(setting.name),
            None if is_known_section => {
                kept.removed.push(format!("a line that is not plain: {}", shown(plain)))
            }
            // Its section is gone already.
            None => {}
        }
    }
    kept
}

/// The last value of a key such as `core.worktree`, of a section without a part in quotes.
pub(super) fn value(text: &str, name: &str) -> Option<String> {
    let mut section = None;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = header(line);
        } else if let Some(setting) = section.as_ref().and_then(|section| setting(section, line))
            && setting.pattern == name
        {
            found = Some(setting.value);
        }
    }
    found
}

/// A setting of one plain line.
struct Setting {
    /// `section.sub.key`, for a person.
    name: String,
    /// `section.key` or `section.*.key`.
    pattern: String,
    value: String,
    /// All of it, to be compared.
    line: String,
}

impl Setting {
    fn may_stand(&self) -> bool {
        // A value that goes on in the next line, or that a shell would be needed to understand.
        let is_plain = !self.value.contains(['\\', '\0']) && !self.value.chars().any(char::is_control);
        is_plain
            && ALLOWED.contains(&&*self.pattern)
            && !self.value.starts_with("ext::")
            && !self.value.starts_with("!")
    }
}

/// The section and its part in quotes. `None` where the line is not plain.
fn header(line: &str) -> Option<(String, Option<String>)> {
    let inner = line.strip_prefix('[')?.strip_suffix(']')?;
    let (name, sub) = match inner.split_once(' ') {
        Some((name, sub)) => {
            let sub = sub.trim().strip_prefix('"')?.strip_suffix('"')?;
            (name, Some(sub.to_owned()))
        }
        None => (inner, None),
    };
    let is_name =
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    let is_plain = sub.as_ref().is_none_or(|sub| !sub.contains(['"', '\\', '\n', ']']));
    (is_name && is_plain).then(|| (name.to_ascii_lowercase(), sub))
}

fn setting((section, sub): &(String, Option<String>), line: &str) -> Option<Setting> {
    let (key, value) = line.split_once('=').unwrap_or((line, "true"));
    let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().to_owned());
    let is_key = key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    if key.is_empty() || !is_key || line.ends_with('\\') {
        return None;
    }
    let (name, pattern) = match sub {
        Some(sub) => (format!("{section}.{sub}.{key}"), format!("{section}.*.{key}")),
        None => (format!("{section}.{key}"), format!("{section}.{key}")),
    };
    let line = format!("{name}={value}");
    Some(Setting { name, pattern, value, line })
}

/// Every plain setting of a text.
fn settings(text: &str) -> Vec<String> {
    let mut section = None;
    let mut all = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = header(line);
        } else if let Some(setting) = section.as_ref().and_then(|section| setting(section, line)) {
            all.push(setting.line);
        }
    }
    all
}

fn shown(line: &str) -> String {
    line.chars().filter(|letter| !letter.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_writes_stands() {
        let text = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
                    [remote \"origin\"]\n\turl = https://host/a.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
                    [branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n# mine\n";
        assert_eq!(keep(text, ""), Kept { text: text.to_owned(), removed: Vec::new() });
    }

    #[test]
    fn a_value_is_read_from_its_own_section() {
        let text = "[core]\n\tbare = false\n\tworktree = ../../../sub\n[x \"core\"]\n\tworktree = no\n";
        assert_eq!(value(text, "core.worktree").as_deref(), Some("../../../sub"));
        assert_eq!(value(text, "core.absent"), None);
    }

    #[test]
    fn what_runs_does_not() {
        for (line, want) in [
            ("[core]\nfsmonitor = x", "core.fsmonitor"),
            ("[core]\n hooksPath=/x", "core.hookspath"),
            ("[CORE]\nsshCommand = x", "core.sshcommand"),
            ("[filter \"x\"]\nclean = x", "filter.x.clean"),
            ("[include]\npath = x", "include.path"),
            ("[alias]\nst = !x", "alias.st"),
            ("[core] fsmonitor = x", "a section that is not plain: [core] fsmonitor = x"),
            ("[core \"a\\\"b\"]\nbare = true", "a section that is not plain: [core \"a\\\"b\"]"),
            ("[core.x]\nbare = true", "a section that is not plain: [core.x]"),
            ("[core]\nbare = true\\\nfsmonitor = x", "a line that is not plain: bare = true\\"),
            ("[submodule \"a\"]\nupdate = !x", "submodule.a.update"),
            ("[remote \"a\"]\nurl = ext::sh", "remote.a.url"),
            ("[remote \"a\"]\nuploadpack = x", "remote.a.uploadpack"),
            ("[core]\n\u{feff}fsmonitor = x", "a line that is not plain: \u{feff}fsmonitor = x"),
        ] {
            let kept = keep(line, "");
            assert_eq!(kept.removed.first().map(String::as_str), Some(want), "{line}");
            assert!(!kept.text.contains("= x") && !kept.text.contains("=/x"), "{}", kept.text);
        }
    }

    #[test]
    fn what_stood_before_stays() {
        let before = "[core]\n\tfsmonitor = mine\n";
        assert_eq!(keep(before, before).removed, Vec::<String>::new());
        assert_eq!(keep("[core]\n\tfsmonitor = other\n", before).removed, ["core.fsmonitor"]);
    }
}
