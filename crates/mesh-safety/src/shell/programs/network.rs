//! Programs that talk to other machines: what they send away, what they fetch, and where it goes.

use super::Call;
use super::options::Options;
use crate::rules::Effect;
use crate::shell::flow::{Arg, Flow, Taint};
use crate::shell::walk::Walk;
use crate::url::is_this_machine;

/// Options of curl and wget that take a value, as far as they matter here.
#[rustfmt::skip]
const VALUED: &str = "-o --output -d --data --data-raw --data-binary --data-ascii --data-urlencode -F --form --form-string -T \
    --upload-file -H --header -X --request -u --user -A --user-agent -e --referer -b --cookie -c --cookie-jar -x --proxy -K --config \
    -m --max-time --connect-timeout --retry -w --write-out --cacert --cert --key -E -O --output-document -P --directory-prefix \
    --post-data --post-file --body-data --body-file -i --input-file -a --append-output -U -t --tries -T --timeout -D --dump-header \
    --unix-socket --resolve --connect-to --interface -r --range -C --continue-at --limit-rate --stderr --trace --trace-ascii \
    --netrc-file --url -y -Y -z --json --method --execute -Q --quote --hsts --alt-svc --proto --egd-file --output-dir -B --base";

/// `curl`, `wget` and other fetchers.
pub(super) fn fetch(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    if call.args.iter().any(|arg| matches!(arg.text.as_str(), "--help" | "--version" | "-V" | "--manual")) {
        return Flow::default();
    }
    let is_wget = call.name == "wget";
    // `-O`, `-b`, `-i`, `-c` are plain switches for one of the two.
    let valued: String = if is_wget {
        VALUED
            .split(' ')
            .filter(|name| !["-d", "-F", "-H", "-x", "-K", "-m", "-c", "-b", "-r", "-E", "-C"].contains(name))
            .collect::<Vec<_>>()
            .join(" ")
    } else {
        VALUED.split(' ').filter(|name| !["-O", "-i", "-a"].contains(name)).collect::<Vec<_>>().join(" ")
    };
    let options = Options::of(call.args, &valued);
    let targets: Vec<Arg> = options.operands.iter().chain(options.values("", "--url")).cloned().collect();
    let is_local = !targets.is_empty() && targets.iter().all(is_local);
    addresses(walk, &targets, call);
    writes(walk, call, &options, is_wget);
    if !is_local {
        (walk.reaches_out, walk.fetches) = (true, true);
        sends(walk, call, &options);
    }
    if options.has("-K", "--config") || options.has("", "--execute") || options.has("", "--use-askpass") {
        walk.ask(format!("`{}` takes its options from a file or starts a program", call.name));
    }
    if options.has("-n", "--netrc") && !is_wget && !is_local {
        walk.ask("`curl` sends credentials of your `.netrc`");
    }
    let fetched = Flow::tainted(Taint::FETCHED | call.stdin.taint);
    remember(walk, &options, &targets, is_wget, &fetched);
    fetched
}

/// Programs that go to other machines by some of their commands; `*` is any.
#[rustfmt::skip]
const TALKS: &[(&[&str], &[&str])] = &[
    (&["git", "hub"], &["push", "fetch", "pull", "clone", "ls-remote", "submodule", "remote update", "remote show", "remote prune", "lfs", "svn", "p4", "send-email", "imap-send", "request-pull"]),
    (&["hg", "svn", "bzr", "fossil", "jj", "darcs"], &["push", "pull", "clone", "checkout", "co", "update", "up", "export", "commit", "ci", "import", "incoming", "outgoing", "sync", "git push", "git fetch", "git clone"]),
    (&["npm", "pnpm", "yarn", "bun", "deno"], &["install", "i", "ci", "add", "update", "up", "upgrade", "exec", "x", "dlx", "create", "init", "view", "info", "search", "audit", "outdated", "publish", "pack"]),
    (&["npx", "bunx", "uvx", "pipx"], &["*"]),
    (&["pip", "pip3"], &["install", "download", "wheel", "index", "search"]),
    (&["uv", "poetry", "pdm", "rye", "hatch", "pipenv", "conda", "mamba", "micromamba"], &["add", "install", "sync", "lock", "update", "pip install", "pip sync", "pip download", "tool install", "tool run", "python install", "create", "publish", "search"]),
    (&["cargo"], &["install", "add", "fetch", "update", "search", "publish", "binstall", "info"]),
    (&["go"], &["get", "install", "mod download", "mod tidy"]),
    (&["gem", "bundle", "bundler", "composer", "mix", "dart", "flutter"], &["install", "update", "require", "add", "get", "fetch", "deps.get", "pub get", "search", "push"]),
    (&["brew", "port", "apt", "apt-get", "aptitude", "dnf", "yum", "zypper", "apk", "pacman", "nix", "nix-env", "nix-shell", "flatpak", "snap", "winget", "choco", "scoop", "rustup", "mise", "asdf", "sdk", "nvm", "pyenv", "easy_install"], &["*"]),
    (&["docker", "podman", "nerdctl", "buildah", "skopeo", "crane"], &["pull", "push", "login", "search", "build", "buildx", "run", "compose pull", "compose push", "copy", "inspect"]),
    (&["terraform", "tofu", "helm"], &["init", "get", "pull", "push", "repo", "providers", "plugin"]),
];

/// Whether a program goes to other machines by this command, whatever else is known of it.
pub(super) fn talks(call: &Call<'_>) -> bool {
    let words: Vec<&str> =
        call.args.iter().map(|arg| arg.text.as_str()).filter(|word| !word.starts_with(['-', '+'])).collect();
    let name = call.name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let leads = |command: &str| {
        let mut at = words.iter();
        // Options before the command may have taken a word.
        let from_first = command.split(' ').all(|want| at.next().is_some_and(|word| *word == want));
        from_first
            || (words.len() > 1 && !command.contains(' ') && words[1] == command && call.args[0].is_option())
    };
    let known = TALKS.iter().find(|(names, _)| names.contains(&name) || names.contains(&call.name.as_str()));
    let module = words.iter().position(|word| *word == "pip" || *word == "ensurepip");
    let is_module = name == "python" && module.is_some() && call.args.iter().any(|arg| arg.text == "-m");
    is_module
        || known.is_some_and(|(_, commands)| commands.iter().any(|command| *command == "*" || leads(command)))
}

/// What rules of the user say about hosts: in an address anywhere, and as an operand of a program of this file.
pub(super) fn ruled_hosts(walk: &mut Walk<'_>, call: &Call<'_>) {
    let policy = walk.policy;
    if policy.rules.is_empty() {
        return;
    }
    for arg in call.args {
        let candidates =
            [arg.text.as_str()].into_iter().chain(arg.text.split_once('=').map(|(_, value)| value));
        for text in candidates.filter(|text| text.contains("://") || !text.contains(['/', ' '])) {
            let rule = policy.rules.host(&host(text)).filter(|rule| rule.effect() != Effect::Allow);
            walk.ruled(rule);
        }
    }
}

/// Judges the addresses themselves.
fn addresses(walk: &mut Walk<'_>, targets: &[Arg], call: &Call<'_>) {
    for target in targets {
        let host = host(&target.text);
        if target.text.to_lowercase().starts_with("file://") {
            walk.operand(target, &call.name);
        }
        if host.starts_with("169.254.")
            || host == "metadata.google.internal"
            || host == "fd00:ec2::254"
            || host == "100.100.100.200"
        {
            walk.ask(format!("`{host}` is where clouds keep credentials"));
        }
    }
}

/// Judges the files that a fetcher writes.
fn writes(walk: &mut Walk<'_>, call: &Call<'_>, options: &Options, is_wget: bool) {
    let who = format!("`{}`", call.name);
    let files = match is_wget {
        true => [
            "-O",
            "--output-document",
            "-P",
            "--directory-prefix",
            "-a",
            "--append-output",
            "-o",
            "--output-file",
        ]
        .as_slice(),
        false => [
            "-o",
            "--output",
            "-D",
            "--dump-header",
            "-c",
            "--cookie-jar",
            "--stderr",
            "--trace",
            "--trace-ascii",
            "--output-dir",
        ]
        .as_slice(),
    };
    for (name, value) in &options.options {
        let long = name.len() > 4
            && files.iter().any(|file| file.starts_with("--") && file.starts_with(name.as_str()));
        if let Some(value) = value.as_ref().filter(|_| files.contains(&name.as_str()) || long) {
            walk.write(value, &who);
        }
    }
}

/// Judges what goes out: files, the environment, credentials. Text that stands in the command itself may go.
fn sends(walk: &mut Walk<'_>, call: &Call<'_>, options: &Options) {
    let mut body = false;
    for (name, value) in &options.options {
        let Some(value) = value else { continue };
        let file = match name.as_str() {
            "-d" | "--data" | "--data-binary" | "--data-ascii" | "--json" if call.name != "wget" => {
                value.text.strip_prefix('@')
            }
            "--data-urlencode" | "-F" | "--form" if call.name != "wget" => {
                value.text.split_once(['@', '<']).map(|(_, file)| file)
            }
            "-T" | "--upload-file" if call.name != "wget" => Some(value.text.as_str()),
            "--post-file" | "--body-file" => Some(value.text.as_str()),
            _ => None,
        };
        match file {
            Some("-" | "." | "/dev/stdin") => body = true,
            Some(file) => walk.ask(format!("`{}` sends the file `{file}` to another machine", call.name)),
            None => {}
        }
    }
    if body && call.stdin.is_fed && (call.stdin.text.is_none() || call.stdin.taint != Taint::NONE) {
        walk.ask(format!("`{}` sends what comes in to another machine", call.name));
    }
    leaks(walk, call);
}

/// Judges what hides in the arguments and the input of any program that talks to another machine.
fn leaks(walk: &mut Walk<'_>, call: &Call<'_>) {
    let taint = call.taint();
    if taint.has(Taint::CREDENTIAL) {
        walk.ask_at_top(format!("`{}` sends a credential out of the environment", call.name));
    }
    if taint.has(Taint::ENVIRONMENT) || call.stdin.taint.has(Taint::ENVIRONMENT) {
        walk.ask_at_top(format!("`{}` sends the environment or the history to another machine", call.name));
    }
    if taint.has(Taint::FILE) {
        walk.ask(format!("`{}` sends what another program read", call.name));
    }
    if taint.has(Taint::DECODED) {
        walk.ask(format!("an operand of `{}` is hidden by an encoding", call.name));
    }
}

/// Notes which files hold what was fetched.
fn remember(walk: &mut Walk<'_>, options: &Options, targets: &[Arg], is_wget: bool, fetched: &Flow) {
    let named =
        if is_wget { options.values("-O", "--output-document") } else { options.values("-o", "--output") };
    let names: Vec<String> = named.map(Arg::base_name).collect();
    for target in targets {
        let path = target.text.split(['?', '#']).next().unwrap_or_default();
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_lowercase();
        let kept = is_wget || options.has("-O", "--remote-name");
        if kept && !last.is_empty() {
            walk.written.insert(last, fetched.clone());
        }
    }
    for name in names {
        walk.written.insert(name, fetched.clone());
    }
}

fn is_local(target: &Arg) -> bool {
    target.text.starts_with(':') || is_this_machine(&host(&target.text))
}

/// The host of an address as a command has it: the scheme may be missing.
fn host(text: &str) -> String {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(host, _)| host);
    bracketed.unwrap_or_else(|| authority.split(':').next().unwrap_or_default()).to_lowercase()
}

/// `nc`, `socat`, `telnet`: raw connections.
pub(super) fn raw(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    (walk.reaches_out, walk.fetches) = (true, true);
    if call.args.iter().any(|arg| matches!(arg.text.as_str(), "--help" | "--version" | "-h" | "-V")) {
        return Flow::default();
    }
    let options =
        Options::of(call.args, "-p -w -i -s -X -x -q -e -c -g -G -T --exec --sh-exec --source --wait");
    let operands = &options.operands;
    let scans = options.has("-z", "");
    if options.has("-l", "--listen") || call.args.iter().any(|arg| arg.text.eq_ignore_ascii_case("-l")) {
        walk.ask(format!("`{}` waits for connections", call.name));
    }
    if options.has("-e", "--exec") || options.has("-c", "--sh-exec") || options.has("", "--lua-exec") {
        walk.ask(format!("`{}` gives a program to whoever connects", call.name));
    }
    let is_local = operands.first().is_some_and(|host| is_this_machine(&host.text));
    if call.name == "socat" || (!is_local && !scans) {
        walk.ask(format!("`{}` opens a connection to another machine", call.name));
    }
    Flow::tainted(Taint::FETCHED)
}

/// `ssh`, `scp`, `mail` and the like: everything they do is on another machine.
pub(super) fn remote(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    (walk.reaches_out, walk.fetches) = (true, true);
    let looks =
        call.args.iter().any(|arg| matches!(arg.text.as_str(), "--help" | "--version" | "-V" | "-G" | "-Q"));
    if !looks {
        walk.ask(format!("`{}` sends data to, or runs commands on, another machine", call.name));
    }
    Flow::tainted(Taint::FETCHED)
}

/// `rsync`: copies here, or to another machine.
pub(super) fn rsync(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    walk.reaches_out = true;
    let options = Options::of(
        call.args,
        "-e -f -T -B --rsh --rsync-path --exclude --include --exclude-from --files-from --filter --temp-dir --log-file --password-file --link-dest --backup-dir",
    );
    let remote = |arg: &Arg| {
        arg.text.contains("://") || arg.text.split_once(':').is_some_and(|(host, _)| !host.contains('/'))
    };
    if options.operands.iter().any(remote) {
        walk.ask("`rsync` copies from or to another machine");
    }
    if options.has("-e", "--rsh") || options.has("", "--rsync-path") {
        walk.ask("`rsync` starts another program");
    }
    if options.options.iter().any(|(name, _)| name.starts_with("--del") || name == "--remove-source-files") {
        walk.ask("`rsync` deletes files");
    }
    if let Some((target, sources)) = options.operands.split_last().filter(|(target, _)| !remote(target)) {
        walk.write_into(target, sources, "`rsync`");
        sources.iter().for_each(|source| super::files::whole_home(walk, source, "rsync"));
    }
    Flow::tainted(Taint::FILE)
}

/// Name lookups and pings: small, but enough to carry something out.
pub(super) fn lookup(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    (walk.reaches_out, walk.fetches) = (true, true);
    leaks(walk, call);
    let hidden = call.args.iter().any(|arg| !arg.is_known && !arg.begins_unknown);
    if hidden {
        walk.ask(format!(
            "`{}` asks another machine about something that is only known at run time",
            call.name
        ));
    }
    Flow::tainted(Taint::FETCHED)
}

/// `openssl s_client`: what goes in goes to another machine.
pub(super) fn tls_client(walk: &mut Walk<'_>, call: &Call<'_>) {
    let quiet = call.stdin.text.as_deref().is_some_and(|text| text.trim().len() <= 1);
    if call.stdin.is_fed && !quiet {
        walk.ask("`openssl` sends what comes in to another machine");
    }
}
