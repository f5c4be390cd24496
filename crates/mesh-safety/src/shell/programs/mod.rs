//! Programs and their rules: a flat table from name to rule, and what every program's operands are checked for.

mod code;
mod files;
mod git;
mod network;
mod options;
mod python;
mod remove;
mod scan;
mod search;
mod services;
mod system;
mod wrap;

use std::path::{Path, PathBuf};

use super::flow::{Arg, Flow, Taint};
use super::walk::{Context, Walk};
use crate::path::{Finding, Strictness};
use crate::rules::Access;

/// One program about to run.
pub(super) struct Call<'c> {
    /// Last name of the program, lower case: `RM` and `/bin/rm` are `rm`.
    pub(super) name: String,
    /// What follows it.
    pub(super) args: &'c [Arg],
    /// What it reads from.
    pub(super) stdin: &'c Flow,
    /// What stands around it.
    pub(super) context: Context,
}

impl Call<'_> {
    /// Arguments from one on, for the program that this one starts.
    fn rest(&self, from: usize) -> &[Arg] {
        self.args.get(from..).unwrap_or_default()
    }

    /// Where all its arguments came from.
    fn taint(&self) -> Taint {
        self.args.iter().fold(Taint::NONE, |all, arg| all | arg.taint)
    }

    /// Output that may hold anything that went in.
    fn passes_on(&self) -> Flow {
        Flow::tainted(self.stdin.taint | self.taint() | Taint::FILE)
    }
}

type Rule = fn(&mut Walk<'_>, &Call<'_>) -> Flow;

/// What a program does with its operands, as far as reading goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operands {
    /// Text: never a place.
    Data,
    /// Places of which only names and sizes are looked at.
    Names,
    /// Whatever is a path may be read.
    Read,
    /// The first operand is a pattern or a small program, the others may be read.
    PatternThenRead,
}

use Operands::{Data, Names, PatternThenRead, Read};

struct Program {
    names: &'static [&'static str],
    operands: Operands,
    rule: Rule,
}

const fn row(names: &'static [&'static str], operands: Operands, rule: Rule) -> Program {
    Program { names, operands, rule }
}

#[rustfmt::skip]
static PROGRAMS: &[Program] = &[
    row(&["echo", "printf", "print"], Data, files::say),
    row(&["true", "false", ":", "pwd", "sleep", "seq", "type", "which", "whereis", "man", "info", "help", "whatis", "apropos", "tldr", "hash", "let", "basename", "dirname", "expr", "wait", "jobs", "return", "break", "continue", "exit", "shift", "getopts", "times", "umask", "date", "cal", "nproc", "uname", "whoami", "id", "groups", "hostname", "tty", "arch", "uptime", "free", "df", "ps", "top", "logger", "unalias", "shopt", "setopt", "bg", "fg", "disown"], Data, plain),
    row(&["ls", "dir", "vdir", "exa", "eza", "lsd", "tree", "stat", "test", "[", "du", "realpath", "readlink", "file", "touch", "mkdir", "mkfifo", "access", "lsof", "fuser", "namei", "pathchk", "mountpoint"], Names, files::names),
    row(&["cd", "pushd", "popd", "chdir"], Names, files::change_folder),
    row(&["cat", "bat", "batcat", "tac", "nl", "tee", "less", "more", "most", "head", "tail", "wc", "sort", "shuf", "uniq", "rev", "cut", "paste", "column", "fold", "fmt", "expand", "od", "hexdump", "hd", "strings", "dd", "split", "csplit", "tr", "truncate", "fallocate", "yes"], Read, files::read),
    row(&["base64", "base32", "basenc", "xxd", "uudecode", "gunzip", "zcat", "openssl", "gpg", "gpg2", "age", "rage"], Read, files::decode),
    row(&["grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "ugrep", "git-grep"], PatternThenRead, search::grep),
    row(&["find", "gfind"], Names, search::find),
    row(&["fd", "fdfind"], Names, search::fd),
    row(&["sed", "gsed"], PatternThenRead, search::sed),
    row(&["awk", "gawk", "mawk", "nawk"], PatternThenRead, search::awk),
    row(&["jq", "yq", "gojq"], PatternThenRead, reads_first_as_text),
    row(&["rm", "grm"], Names, remove::rm),
    row(&["unlink", "rmdir", "trash", "gio"], Names, remove::rm),
    row(&["shred", "srm", "wipe", "scrub"], Names, remove::shred),
    row(&["cp", "gcp"], Read, files::copy),
    row(&["mv", "gmv", "rename"], Read, files::copy),
    row(&["install", "ginstall"], Read, files::copy),
    row(&["ln", "gln", "link"], Read, files::copy),
    row(&["rsync"], Read, network::rsync),
    row(&["chmod", "gchmod"], Names, files::change_mode),
    row(&["chown", "chgrp", "gchown"], Names, files::change_owner),
    row(&["tar", "gtar", "bsdtar", "star"], Read, files::tar),
    row(&["zip", "unzip", "7z", "7za", "cpio", "ar", "unrar"], Read, files::archive),
    row(&["patch", "ed", "ex", "vim", "vi", "nvim", "emacs", "nano", "view"], Read, code::editor),
    row(&["git", "hub"], Data, git::git),
    row(&["curl", "wget", "fetch", "http", "https", "xh", "aria2c", "axel", "lynx", "w3m", "links", "elinks", "lwp-request", "get", "post"], Read, network::fetch),
    row(&["nc", "ncat", "netcat", "nc.openbsd", "nc.traditional", "socat", "telnet"], Read, network::raw),
    row(&["ssh", "scp", "sftp", "ftp", "tftp", "lftp", "ncftp", "mosh", "autossh", "sshpass", "rclone", "s3cmd", "gsutil", "rcp", "rsh", "croc", "wormhole", "magic-wormhole", "ssh-copy-id"], Read, network::remote),
    row(&["mail", "mailx", "sendmail", "mutt", "swaks", "msmtp", "s-nail"], Read, network::remote),
    row(&["dig", "nslookup", "host", "ping", "ping6", "traceroute", "tracepath", "whois", "drill", "mtr", "fping", "open", "xdg-open"], Read, network::lookup),
    row(&["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "rbash", "posh", "yash", "elvish", "nu", "xonsh"], Read, code::shell),
    row(&["python", "pypy", "node", "nodejs", "bun", "deno", "perl", "ruby", "php", "lua", "luajit", "rscript", "r", "julia", "osascript", "groovy", "scala", "elixir", "erl", "tclsh", "wish", "pwsh", "powershell", "ghci", "ocaml", "guile", "racket", "irb", "tsx", "ts-node", "jshell", "cmd"], Read, code::interpreter),
    row(&["eval"], Data, code::eval),
    row(&["source", "."], Read, code::source),
    row(&["trap"], Data, code::trap),
    row(&["alias"], Data, code::alias),
    row(&["export", "declare", "typeset", "local", "readonly", "set", "env", "printenv", "history", "compgen", "fc", "unset"], Data, wrap::environment),
    row(&["read", "mapfile", "readarray"], Data, files::read_variable),
    row(&["command", "builtin", "exec", "nohup", "setsid", "timeout", "gtimeout", "nice", "ionice", "chrt", "taskset", "stdbuf", "time", "caffeinate", "strace", "ltrace", "unbuffer", "rlwrap", "setarch", "linux32", "linux64", "dbus-run-session", "xvfb-run", "fakeroot", "faketime", "torsocks", "proxychains", "proxychains4", "firejail", "bwrap", "catchsegv", "valgrind", "gdb", "lldb", "perf", "heaptrack", "prlimit", "numactl", "cgexec", "noglob", "nocorrect", "busybox", "toybox", "direnv", "dotenv", "cross-env", "op", "doppler", "aws-vault", "entr", "flock", "ld.so"], Data, wrap::wrapper),
    row(&["sudo", "doas", "pkexec"], Data, wrap::with_other_rights),
    row(&["npx", "bunx", "pipx", "uvx"], Read, wrap::package_runner),
    row(&["xargs", "gxargs"], Read, wrap::xargs),
    row(&["parallel"], Read, wrap::parallel),
    row(&["watch", "hyperfine", "concurrently", "nodemon", "tmux", "screen", "expect", "script", "chronic", "ts", "at", "batch"], Read, wrap::strings),
    row(&["kill"], Data, system::kill),
    row(&["systemctl", "service", "launchctl", "crontab", "sysctl", "mount", "ip", "ifconfig", "swapoff"], Data, system::controls),
    row(&["ssh-keygen"], Names, system::key_maker),
    row(&["docker", "podman", "nerdctl", "docker-compose", "podman-compose"], Data, services::containers),
    row(&["psql", "mysql", "mariadb", "sqlite3", "sqlite", "sqlcmd", "mongosh", "mongo", "redis-cli", "valkey-cli", "duckdb", "clickhouse-client", "cqlsh", "cockroach"], Read, services::database),
    row(&["npm", "pnpm", "yarn", "pip", "pip3", "uv", "gem", "cargo", "go", "poetry", "pdm", "bundle", "bundler", "composer", "hatch", "rye", "pipenv", "conda", "mamba", "nix", "nix-shell", "rustup", "mise", "asdf", "easy_install"], Read, services::packages),
    row(&["make", "gmake", "cmake", "ninja", "just", "rake", "ant", "mvn", "gradle", "gradlew", "bazel", "meson", "task", "cc", "gcc", "g++", "clang", "clang++", "rustc", "ld", "javac", "tsc"], Read, services::build),
    row(&["pytest", "py.test", "tox", "nox", "unittest", "coverage", "mypy", "pyright", "ruff", "flake8", "pylint", "black", "isort", "pre-commit", "sphinx-build", "jest", "vitest", "mocha", "ava", "playwright", "cypress", "eslint", "prettier", "biome", "stylelint", "standard", "vite", "webpack", "rollup", "esbuild", "turbo", "nx", "lerna", "next", "astro", "storybook", "swc", "gofmt", "goimports", "golangci-lint", "staticcheck", "rustfmt", "clippy-driver", "trunk", "wasm-pack", "clang-format", "clang-tidy", "cppcheck", "ctest", "shellcheck", "shfmt", "hadolint", "yamllint", "markdownlint", "actionlint", "rspec", "rubocop", "rails", "phpunit", "phpstan", "psalm", "ktlint", "detekt", "swift", "swiftlint", "xcodebuild", "dotnet", "mix", "rebar3", "sbt", "lein", "stack", "cabal", "ghc", "zig", "nimble", "dart", "flutter", "protoc", "buf", "diff", "cmp", "comm", "join", "sum", "cksum", "md5sum", "sha1sum", "sha256sum", "sha512sum", "b2sum", "nm", "objdump", "readelf", "ldd", "size", "addr2line", "iconv", "dos2unix", "unix2dos", "envsubst", "gettext", "msgfmt", "factor", "bc", "dc", "tput", "clear", "reset", "stty", "locale", "getconf", "lscpu", "lsblk", "vmstat", "iostat", "pgrep", "pidof", "ss", "netstat", "tokei", "cloc", "scc", "delta", "difft", "colordiff", "diffstat", "pandoc", "pdftotext", "ffprobe", "identify", "mktemp", "gzip", "bzip2", "xz", "zstd", "gh", "glab"], Read, other),
];

/// Judges one program: the checks that hold for all, then its own rule.
pub(super) fn judge(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let name = call.name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let find = |name: &str| PROGRAMS.iter().find(|program| program.names.contains(&name));
    let program = find(&call.name).or_else(|| find(name));
    let is_listed = program.is_some() || system::is_listed(&call.name) || services::is_listed(&call.name);
    if !is_listed && !walk.is_confined() && !walk.is_defined(&call.name) {
        walk.ask(format!("nothing is known about what `{}` does", call.name));
    }
    let is_own = walk.is_defined(&call.name);
    let is_unknown = program.is_none()
        && !is_own
        && (services::is_listed(&call.name) || !(is_listed || walk.is_confined()));
    let is_forge = services::asks_a_forge(call);
    walk.reaches_out |= is_unknown || is_forge || network::talks(call) || services::is_cloud(&call.name);
    walk.fetches |= is_forge;
    let operands = program.map_or(Read, |program| program.operands);
    system::always(walk, call);
    services::subcommands(walk, call);
    network::ruled_hosts(walk, call);
    if operands != Data {
        decoded(walk, call);
    }
    match operands {
        Data | Names => {}
        Read => call.args.iter().for_each(|arg| walk.operand(arg, &call.name)),
        PatternThenRead => search::after_pattern(call).iter().for_each(|arg| walk.operand(arg, &call.name)),
    }
    let rule: Rule = program.map_or(other, |program| program.rule);
    rule(walk, call)
}

/// Whether a program reads and changes nothing but what goes through it, so that it needs no rule of the user beside one that is
/// allowed: `cd`, `echo`, `… | tail -5`.
pub(super) fn only_speaks(call: &Call<'_>) -> bool {
    const WRAPPERS: [&str; 6] = ["timeout", "gtimeout", "nice", "time", "nohup", "stdbuf"];
    const FILTERS: [&str; 8] = ["head", "tail", "wc", "sort", "uniq", "cat", "grep", "tr"];
    let name = call.name.as_str();
    let plain = PROGRAMS.iter().any(|program| {
        program.names.contains(&name)
            && (std::ptr::fn_addr_eq(program.rule, plain as Rule)
                || std::ptr::fn_addr_eq(program.rule, files::say as Rule))
    });
    let operands = call.args.iter().filter(|arg| !arg.is_option()).count();
    let most = match name {
        "grep" => 1,
        "tr" => 2,
        // `-n 5`
        _ => call.args.iter().filter(|arg| arg.text.parse::<i64>().is_ok()).count(),
    };
    plain
        || matches!(name, "cd" | "set" | "export")
        || WRAPPERS.contains(&name)
        || (FILTERS.contains(&name) && call.stdin.is_fed && operands <= most)
}

/// The same for words that are written out: a part of a pipe, or words alone.
pub(super) fn only_filters(words: &[Option<&str>], is_fed: bool) -> bool {
    let args: Option<Vec<Arg>> = words.iter().map(|word| word.map(Arg::known)).collect();
    let Some((name, args)) = args.as_deref().and_then(<[Arg]>::split_first) else { return false };
    let stdin = Flow { is_fed, ..Flow::default() };
    only_speaks(&Call { name: name.base_name(), args, stdin: &stdin, context: Context::default() })
        && !["timeout", "gtimeout", "nice", "time", "nohup", "stdbuf"].contains(&name.text.as_str())
}

/// A program without a rule of its own: it may do with its input what it likes, and write where `-o` says.
fn other(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    options::outputs(walk, call);
    call.passes_on()
}

fn plain(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    if call.name == "hash" && call.args.iter().any(|arg| arg.text.starts_with("-p")) {
        walk.ask("`hash -p` lets a name stand for another program");
    }
    Flow::tainted(call.stdin.taint)
}

fn reads_first_as_text(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    if call.name == "yq" && call.args.iter().any(|arg| arg.text == "-i" || arg.text == "--inplace") {
        search::after_pattern(call).iter().for_each(|arg| walk.write(arg, "yq"));
    }
    call.passes_on()
}

/// An operand that comes out of a decoder hides from whoever reads the command.
fn decoded(walk: &mut Walk<'_>, call: &Call<'_>) {
    if call.args.iter().any(|arg| arg.taint.has(Taint::DECODED)) {
        walk.ask(format!("an operand of `{}` is hidden by an encoding", call.name));
    }
}

impl Walk<'_> {
    /// Checks whatever in an operand could be a path that is read.
    pub(super) fn operand(&mut self, arg: &Arg, program: &str) {
        if arg.process.is_some() {
            return;
        }
        if arg.text.matches([',', ':', ';', '=', '@']).count() > MAX_PARTS {
            self.ask(format!("an operand of `{program}` has too many parts to judge"));
        }
        for candidate in candidates(&arg.text) {
            self.read_text(candidate, program);
        }
    }

    /// Judges the reading of a file that is named in full.
    pub(super) fn read(&mut self, file: &Arg, program: &str) {
        if file.process.is_none() {
            self.read_text(&file.text, program);
        }
    }

    fn read_text(&mut self, path: &str, program: &str) {
        let (place, base) = (self.place(path), self.base());
        let found = self.guard.read(&place, &base, Strictness::Content);
        self.reads_private = self.reads_private
            || matches!(found, Err(Finding::Secret(_)))
            || self.guard.lies_in_a_home(&place, &base);
        let rule = self.guard.rule(&place, &base, Access::Read);
        if self.ruled(rule) {
            return;
        }
        if let Err(finding @ (Finding::Secret(_) | Finding::System(_))) = found {
            self.ask(format!("`{program}` reads `{path}`: {finding}"));
        }
    }

    /// Judges the writing of a file.
    pub(super) fn write(&mut self, file: &Arg, program: &str) {
        const FREE: [&str; 6] = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "-", "/dev/full"];
        if FREE.contains(&file.text.as_str()) || file.text.starts_with("/dev/fd/") || file.process.is_some() {
            return;
        }
        if file.text.starts_with("/dev/tcp/") || file.text.starts_with("/dev/udp/") {
            self.reaches_out = true;
            self.ask(format!("{program} opens a connection to the network"));
            return;
        }
        if file.begins_unknown || file.taint.has(Taint::DECODED) {
            self.ask(format!("{program} writes to a place that is only known at run time"));
            return;
        }
        let (path, base) = (self.place(&file.text), self.base());
        let rule = self.guard.rule(&path, &base, Access::Write);
        if self.ruled(rule) && file.is_known {
            return;
        }
        match self.guard.write(&path, &base, self.scope) {
            Ok(()) => {}
            // A folder is where files are put; their names are judged by whoever knows them.
            Err(Finding::Special(_)) if self.guard.stands_folder(&path, &base) => {}
            Err(finding) => self.ask(format!("{program} writes to `{}`: {finding}", file.text)),
        }
    }

    /// Judges files that are put into a folder, or written to a name: `cp a b`, `mv a b/`.
    pub(super) fn write_into(&mut self, target: &Arg, sources: &[Arg], program: &str) {
        self.write(target, program);
        for source in sources {
            let name = source.text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            if !name.is_empty() && name != "." && name != ".." && !target.begins_unknown {
                let inside = target.with_text(format!("{}/{name}", target.text.trim_end_matches('/')));
                if self.guard.stands_folder(&self.place(&target.text), &self.base())
                    || target.text.ends_with('/')
                {
                    self.write(&inside, program);
                }
            }
        }
    }

    /// A path with the shell's patterns in it; `*` in the place of what is not known matches no name that begins with a dot.
    pub(super) fn place(&self, text: &str) -> PathBuf {
        PathBuf::from(text)
    }

    /// Whether an operand is known to lie inside the workspace.
    pub(super) fn is_inside(&self, text: &str) -> bool {
        self.folder.is_some() && self.guard.is_inside(Path::new(text), &self.base())
    }

    /// Starts another program inside this one.
    pub(super) fn start(&mut self, args: &[Arg], call: &Call<'_>) -> Flow {
        match args.split_first() {
            Some((name, args)) => self.run(name, args, call.stdin, call.context),
            None => call.passes_on(),
        }
    }

    /// Judges arguments that a shell will read as one text.
    pub(super) fn joined_text(&mut self, args: &[Arg], program: &str, stdin: &Flow) -> Flow {
        if args.iter().any(|arg| arg.taint.has(Taint::FETCHED)) {
            self.ask_at_top(format!("`{program}` runs what came from the network"));
        }
        if args.iter().all(|arg| arg.is_known) {
            let text = args.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
            self.text(&text, stdin)
        } else {
            self.ask(format!("`{program}` runs a text that is only known at run time"));
            Flow::tainted(stdin.taint | Taint::FILE)
        }
    }
}

/// Parts of one argument that are looked at as paths.
const MAX_PARTS: usize = 512;

/// The parts of an argument that a program could take for a path.
fn candidates(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let prose = text.contains(char::is_whitespace) && !text.starts_with(['/', '~', '.', '@']);
    if prose || (text.contains("://") && !text.starts_with("file://")) {
        return out;
    }
    let text = text.strip_prefix("file://").unwrap_or(text);
    let mut add = |part| {
        if !str::is_empty(part) && !out.contains(&part) {
            out.push(part);
        }
    };
    if let Some(option) = text.strip_prefix('-') {
        // `-I/etc/x`, `-F~/x`, `-d@x`: a place right behind a letter.
        if let Some(value) = option.char_indices().nth(1).map(|(at, _)| &option[at..])
            && value.starts_with(['/', '~', '@', '.'])
        {
            add(value.trim_start_matches('@'));
        }
    } else {
        add(text);
    }
    text.split(['=', '@', ':', ',', '<', ';'])
        .skip(usize::from(text.starts_with('-')))
        .take(MAX_PARTS)
        .for_each(add);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_program_stands_in_two_rows() {
        let mut names: Vec<&str> = PROGRAMS.iter().flat_map(|program| program.names).copied().collect();
        names.sort_unstable();
        let twice: Vec<&[&str]> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn places_are_found_inside_arguments() {
        for (text, want) in [
            ("a/b", "a/b"),
            ("--file=~/.x", "~/.x"),
            ("file=@.env", ".env"),
            ("-d@.env", ".env"),
            ("~/.ssh:/k:ro", "~/.ssh"),
            ("HEAD:.env", ".env"),
            ("-F/etc/x", "/etc/x"),
        ] {
            assert!(candidates(text).contains(&want), "{text}");
        }
        assert!(candidates("https://example.com/.env").is_empty());
        assert!(candidates("fix the .env file").is_empty());
    }
}
