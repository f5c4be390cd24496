//! Git: what rewrites or publishes history, what throws work away, and the many settings by which it runs other programs.

use super::Call;
use super::options::Options;
use crate::shell::flow::{Arg, Flow, Taint};
use crate::shell::walk::Walk;

/// Settings that name a program, load a file or redirect where things come from. A `*` stands for any middle part.
#[rustfmt::skip]
const RISKY_SETTINGS: &[&str] = &[
    "alias.*", "browser.*", "core.askpass", "core.editor", "core.fsmonitor", "core.gitproxy", "core.hookspath", "core.pager",
    "core.sshcommand", "core.worktree", "credential.*", "diff.*.command", "diff.*.textconv", "diff.external", "difftool.*",
    "filter.*", "gpg.*", "guitool.*", "http.proxy", "http.sslverify", "include.*", "includeif.*", "init.templatedir",
    "instaweb.*", "interactive.difffilter", "man.*", "merge.*.driver", "mergetool.*", "pager.*", "protocol.*", "push.recursesubmodules",
    "receive.*", "remote.*.receivepack", "remote.*.uploadpack", "remote.*.vcs", "sendemail.*", "sequence.editor",
    "submodule.*.update", "transfer.*", "trailer.*.command", "uploadpack.*", "url.*", "safe.directory",
];

/// Commands of git that always ask, with what follows them.
#[rustfmt::skip]
const ASKED: &[(&str, &str)] = &[
    ("push", "publishes commits"), ("filter-branch", "rewrites history"), ("filter-repo", "rewrites history"),
    ("update-ref", "moves or deletes references"), ("replace", "rewrites history"), ("send-email", "sends mail"),
    ("credential", "gives out credentials"), ("credential-store", "gives out credentials"), ("daemon", "serves the repository"),
    ("instaweb", "serves the repository"), ("fast-import", "rewrites history"), ("svn", "talks to another server"),
    ("p4", "talks to another server"), ("imap-send", "sends mail"), ("request-pull", "talks to another server"),
    ("lfs", "runs filters or talks to another server"), ("hook", "runs hooks"), ("maintenance", "starts work in the background"),
];

/// Commands whose operands come out as text.
const SHOWS: [&str; 7] = ["show", "diff", "cat-file", "grep", "blame", "annotate", "archive"];

/// Judges a git command line.
pub(super) fn git(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let global = Options::before_command(
        call.args,
        "-C -c --git-dir --work-tree --namespace --exec-path --config-env --super-prefix",
    );
    for setting in global.values("-c", "--config-env") {
        let (key, value) = setting.text.split_once('=').unwrap_or((&setting.text, ""));
        setting_changes(walk, key, &setting.with_text(value));
    }
    for place in global.values("", "--exec-path").chain(global.values("", "--git-dir")) {
        if !walk.is_inside(&place.text) {
            walk.ask("`git` takes programs or settings from outside the workspace");
        }
    }
    let args = call.rest(global.first);
    let Some((command, rest)) = args.split_first() else {
        return Flow::tainted(Taint::NONE);
    };
    if !command.is_known {
        walk.ask("the command of `git` is only known at run time");
    }
    if let Some((_, why)) = ASKED.iter().find(|(name, _)| *name == command.text) {
        let looks = rest.first().is_some_and(|arg| {
            matches!(
                arg.text.as_str(),
                "--help" | "-h" | "ls-files" | "status" | "env" | "version" | "--dry-run"
            )
        });
        if !looks && !rest.iter().any(|arg| arg.text == "--dry-run") {
            walk.reaches_out = true;
            walk.ask(format!("`git {}` {why}", command.text));
        }
    }
    if SHOWS.contains(&command.text.as_str()) {
        rest.iter().for_each(|arg| walk.operand(arg, "git"));
    }
    outputs(walk, rest);
    starts_programs(walk, call, rest);
    subcommand(walk, call, &command.text, rest);
    let only_names =
        command.text == "ls-files" || rest.iter().any(|arg| arg.text == "--name-only" || arg.text == "-l");
    Flow::tainted(if only_names { Taint::NONE } else { Taint::FILE })
}

/// `--output`, `--upload-pack` and the like, which most commands know.
fn outputs(walk: &mut Walk<'_>, rest: &[Arg]) {
    for arg in rest {
        if let Some(file) = arg.text.strip_prefix("--output=") {
            walk.write(&arg.with_text(file), "`git`");
        }
    }
    for pair in rest.windows(2) {
        if matches!(pair[0].text.as_str(), "--output" | "--output-directory") {
            walk.write(&pair[1], "`git`");
        }
    }
}

fn starts_programs(walk: &mut Walk<'_>, call: &Call<'_>, rest: &[Arg]) {
    const LONG: [&str; 9] = [
        "--upload-pack",
        "--receive-pack",
        "--exec",
        "--open-files-in-pager",
        "--extcmd",
        "--template",
        "--ext-diff",
        "--textconv",
        "--tool-cmd",
    ];
    for (at, arg) in rest.iter().enumerate() {
        let (name, value) =
            arg.text.split_once('=').map_or((arg.text.as_str(), None), |(name, value)| (name, Some(value)));
        if !name.starts_with("--") || !LONG.iter().any(|long| name.len() > 5 && long.starts_with(name)) {
            continue;
        }
        let value = value.map(|value| arg.with_text(value)).or_else(|| rest.get(at + 1).cloned());
        match (name, value) {
            ("--exec", Some(value)) => drop(walk.joined_text(&[value], "git", call.stdin)),
            ("--textconv" | "--ext-diff", _) => {}
            _ => walk.ask(format!("`git` starts another program (`{name}`)")),
        }
    }
}

fn subcommand(walk: &mut Walk<'_>, call: &Call<'_>, command: &str, rest: &[Arg]) {
    let options = Options::of(rest, "-m -F -C -c -b -B -o -x -n -u -j --message --file --exec --config");
    let words: Vec<&str> = options.operands.iter().map(|operand| operand.text.as_str()).collect();
    let whole = words.iter().any(|word| matches!(*word, "." | "./" | "*" | ":/"));
    match command {
        "reset" if options.has("", "--hard") || options.has("", "--merge") => {
            walk.ask("`git reset` throws work away")
        }
        "clean"
            if !options.has("-n", "--dry-run") && (options.has("-f", "--force") || options.has("-x", "")) =>
        {
            walk.ask("`git clean` deletes files that git cannot bring back");
        }
        "checkout" | "restore" | "switch"
            if options.has("-f", "--force")
                || options.has("", "--discard-changes")
                || (whole && command != "switch") =>
        {
            walk.ask(format!("`git {command}` throws work away"));
        }
        "rm" if options.has("-r", "") || options.has("-f", "--force") => {
            walk.ask("`git rm` removes whole folders or changed files")
        }
        "branch"
            if options.has("-D", "") || (options.has("-d", "--delete") && options.has("-f", "--force")) =>
        {
            walk.ask("`git branch` deletes work that is not merged");
        }
        "tag" | "remote" if options.has("-d", "--delete") => walk.ask(format!("`git {command}` deletes")),
        "remote"
            if matches!(words.first(), Some(&("add" | "set-url")))
                && words.iter().any(|word| is_command_address(word)) =>
        {
            walk.ask("the address makes `git` start another program");
        }
        "stash" if matches!(words.first(), Some(&("drop" | "clear"))) => {
            walk.ask("`git stash` throws work away")
        }
        "reflog" if matches!(words.first(), Some(&("expire" | "delete"))) => {
            walk.ask("`git reflog` forgets what could be brought back")
        }
        "gc" | "prune" if command == "prune" || options.options.iter().any(|(name, _)| name == "--prune") => {
            walk.ask(format!("`git {command}` forgets what could be brought back"));
        }
        "worktree" if words.first() == Some(&"remove") && options.has("-f", "--force") => {
            walk.ask("`git worktree` throws work away")
        }
        "config" => config(walk, rest, &words),
        "rebase" => {
            for text in options.values("-x", "") {
                walk.joined_text(std::slice::from_ref(text), "git rebase", call.stdin);
            }
        }
        "submodule" => submodule(walk, call, rest, &words, &options),
        "bisect" if words.first() == Some(&"run") => {
            let from = rest.iter().position(|arg| arg.text == "run").map_or(rest.len(), |at| at + 1);
            walk.start(&rest[from..], call);
        }
        "clone" | "fetch" | "pull" | "ls-remote" => {
            if words.iter().any(|word| is_command_address(word))
                || (command == "clone" && options.has("-u", ""))
            {
                walk.ask("the address makes `git` start another program");
            }
            for setting in options.values("-c", "--config").filter(|_| command == "clone") {
                let (key, value) = setting.text.split_once('=').unwrap_or((&setting.text, ""));
                setting_changes(walk, key, &setting.with_text(value));
            }
            if let (true, Some(folder)) = (command == "clone", options.operands.get(1)) {
                walk.write(folder, "`git clone`");
            }
        }
        "archive" if rest.iter().any(|arg| arg.text.starts_with("--remote")) => {
            walk.ask("`git archive` asks another machine");
        }
        "archive" => options.values("-o", "").for_each(|file| walk.write(file, "`git archive`")),
        "format-patch" => options.values("-o", "").for_each(|file| walk.write(file, "`git format-patch`")),
        "grep" if rest.iter().any(|arg| arg.text.starts_with("-O")) => {
            walk.ask("`git grep` starts another program")
        }
        "difftool" | "mergetool" => walk.ask(format!("`git {command}` starts another program")),
        "commit" if options.has("", "--amend") && options.has("", "--reset-author") => {}
        _ => {}
    }
}

/// `ext::` and its like name a program instead of a server; so does an address that reads as an option.
fn is_command_address(word: &str) -> bool {
    let helper = word.split_once("::").is_some_and(|(helper, _)| {
        !helper.is_empty() && helper.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    });
    helper || word.starts_with('-') || word.contains("://-")
}

fn config(walk: &mut Walk<'_>, rest: &[Arg], words: &[&str]) {
    let has = |names: &[&str]| rest.iter().any(|arg| names.contains(&arg.text.as_str()));
    if has(&["--edit", "-e", "edit"]) {
        walk.ask("`git config` opens an editor on its settings");
    }
    let reads = [
        "--list",
        "-l",
        "--get",
        "--get-all",
        "--get-regexp",
        "--get-urlmatch",
        "--name-only",
        "list",
        "get",
        "--unset",
        "--unset-all",
    ];
    if has(&reads) {
        return;
    }
    let words = words.strip_prefix(&["set"]).unwrap_or(words);
    let (Some(key), true) = (words.first(), words.len() > 1) else { return };
    if has(&["--global", "--system"]) {
        walk.ask("`git config` changes settings of every project");
    }
    let value = rest.iter().find(|arg| arg.text == words[1]).cloned().unwrap_or_default();
    setting_changes(walk, key, &value);
}

fn setting_changes(walk: &mut Walk<'_>, key: &str, value: &Arg) {
    let key = key.to_lowercase();
    let risky = RISKY_SETTINGS.iter().any(|risky| crate::path::matches(risky, &key));
    let off = matches!(
        value.text.as_str(),
        "" | "false" | "true" | "cat" | "less" | "vi" | "vim" | "nano" | "never" | "always"
    );
    if risky && !(off && !key.starts_with("http.") && !key.starts_with("alias.")) {
        walk.ask(format!("the setting `{key}` makes `git` run a program or trust a place"));
    }
}

fn submodule(walk: &mut Walk<'_>, call: &Call<'_>, rest: &[Arg], words: &[&str], options: &Options) {
    match words.first() {
        Some(&"foreach") => {
            let from = rest.iter().position(|arg| arg.text == "foreach").map_or(rest.len(), |at| at + 1);
            let command: Vec<Arg> = rest[from..].iter().skip_while(|arg| arg.is_option()).cloned().collect();
            walk.joined_text(&command, "git submodule foreach", call.stdin);
        }
        Some(&"deinit") if options.has("-f", "--force") => walk.ask("`git submodule` throws work away"),
        Some(&"add") if words.iter().any(|word| is_command_address(word)) => {
            walk.ask("the address makes `git` start another program");
        }
        _ => {}
    }
}
