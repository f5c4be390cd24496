//! Programs that start other programs: the inner command is judged as if it stood alone.

use super::Call;
use super::options::Options;
use crate::env::names_credential;
use crate::shell::flow::{Arg, Flow, Taint};
use crate::shell::variables;
use crate::shell::walk::Walk;

/// How many operands of its own a wrapper has before the command, and its options with values.
struct Shape {
    names: &'static [&'static str],
    valued: &'static str,
    operands: usize,
}

#[rustfmt::skip]
const SHAPES: &[Shape] = &[
    Shape { names: &["timeout", "gtimeout"], valued: "-k -s --kill-after --signal", operands: 1 },
    Shape { names: &["nice"], valued: "-n --adjustment", operands: 0 },
    Shape { names: &["ionice"], valued: "-c -n -p -P -u --class --classdata", operands: 0 },
    Shape { names: &["chrt"], valued: "-T -P -D", operands: 1 },
    Shape { names: &["taskset", "setarch", "faketime", "aws-vault"], valued: "-p --exec", operands: 1 },
    Shape { names: &["stdbuf"], valued: "-i -o -e --input --output --error", operands: 0 },
    Shape { names: &["time"], valued: "-f -o --format --output", operands: 0 },
    Shape { names: &["caffeinate"], valued: "-t -w", operands: 0 },
    Shape { names: &["exec"], valued: "-a", operands: 0 },
    Shape { names: &["flock"], valued: "-w -E -c --timeout --command", operands: 1 },
    Shape { names: &["strace", "ltrace"], valued: "-e -o -s -p -u -P -a -E -S -I -O -X", operands: 0 },
    Shape { names: &["valgrind", "perf", "heaptrack", "numactl", "prlimit", "cgexec", "xvfb-run", "bwrap", "firejail"], valued: "-g -o -e -s -n", operands: 0 },
];

/// `timeout`, `nice`, `nohup`, `command` and their kin.
pub(super) fn wrapper(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let shape = SHAPES.iter().find(|shape| shape.names.contains(&call.name.as_str()));
    let (valued, skip) = shape.map_or(("", 0), |shape| (shape.valued, shape.operands));
    let options = Options::before_command(call.args, valued);
    if call.name == "command" && (options.has("-v", "") || options.has("-V", "")) {
        return Flow::tainted(Taint::NONE);
    }
    for text in options.values("-c", "--command").filter(|_| call.name == "flock") {
        walk.joined_text(std::slice::from_ref(text), &call.name, call.stdin);
    }
    if matches!(call.name.as_str(), "time" | "strace" | "ltrace" | "valgrind" | "perf") {
        options.values("-o", "--output").for_each(|file| walk.write(file, &format!("`{}`", call.name)));
    }
    if matches!(call.name.as_str(), "strace" | "ltrace" | "perf") && options.has("-p", "--attach") {
        walk.ask(format!("`{}` looks into another process", call.name));
    }
    if call.name == "gdb" || call.name == "lldb" {
        return debugger(walk, call);
    }
    let mut rest = call.rest(options.first + skip);
    if matches!(call.name.as_str(), "direnv" | "op" | "doppler" | "aws-vault" | "dotenv" | "perf") {
        rest = inner_command(rest);
    }
    // `NAME=value` before the command, as `env` and `cross-env` have it.
    while let Some(arg) = rest.first().filter(|arg| is_assignment(&arg.text)) {
        judge_assignment(walk, arg);
        rest = &rest[1..];
    }
    if rest.is_empty() {
        return call.passes_on();
    }
    if call.name == "flock" && rest.first().is_some_and(|arg| arg.text == "-c") {
        return walk.joined_text(&rest[1..], "flock", call.stdin);
    }
    walk.start(rest, call)
}

/// `sudo` and its like ask by themselves; what they start is judged too, for it may be worse.
pub(super) fn with_other_rights(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::before_command(
        call.args,
        "-u -g -h -p -C -r -t -T -U -D -R --user --group --host --prompt --chdir --chroot",
    );
    let mut rest = call.rest(options.first);
    while let Some(arg) = rest.first().filter(|arg| is_assignment(&arg.text)) {
        judge_assignment(walk, arg);
        rest = &rest[1..];
    }
    if rest.is_empty() { call.passes_on() } else { walk.start(rest, call) }
}

/// `direnv exec DIR cmd`, `op run -- cmd`.
fn inner_command(args: &[Arg]) -> &[Arg] {
    if let Some(at) = args.iter().position(|arg| arg.text == "--") {
        return &args[at + 1..];
    }
    match args.first().map(|arg| arg.text.as_str()) {
        Some("exec") => args.get(2..).unwrap_or_default(),
        Some("run" | "record" | "stat") => args.get(1..).unwrap_or_default(),
        _ => args,
    }
}

fn debugger(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let runs = |text: &str| {
        ["shell", "system(", "!", "python", "script", "platform"].iter().any(|word| text.contains(word))
    };
    let options = Options::of(call.args, "-ex -x -o -s -ix -iex --eval-command --command --one-line");
    let inline = call.args.windows(2).any(|pair| {
        matches!(pair[0].text.as_str(), "-ex" | "-iex" | "--eval-command" | "-o") && runs(&pair[1].text)
    });
    if inline || options.has("-p", "--pid") {
        walk.ask(format!("`{}` runs a command, or reaches into another process", call.name));
    }
    call.passes_on()
}

fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
            && !name.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn judge_assignment(walk: &mut Walk<'_>, arg: &Arg) {
    if let Some((name, value)) = arg.text.split_once('=') {
        // `env -i PATH=/bin` gives a shorter path on purpose.
        if name != "PATH" {
            variables::judge(walk, name, &arg.with_text(value));
        }
    }
}

/// `env`, `export`, `printenv`, `history` and the shell's other doors to its variables.
pub(super) fn environment(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let dump = Flow::tainted(Taint::ENVIRONMENT);
    match call.name.as_str() {
        "env" => env(walk, call),
        "printenv" => {
            if let Some(name) = call.args.iter().find(|arg| names_credential(&arg.text)) {
                walk.ask(format!("`printenv` shows the credential `{}`", name.text));
            }
            if call.args.is_empty() { dump } else { Flow::tainted(Taint::NONE) }
        }
        "history" => {
            if call.args.iter().any(|arg| arg.is_option() && arg.text.contains(['c', 'd', 'w', 'r'])) {
                walk.ask("`history` forgets or rewrites what was done");
            }
            dump
        }
        "unset" => {
            if call.args.iter().any(|arg| arg.text.starts_with("HIST")) {
                walk.ask("`unset` hides what is done from the shell's history");
            }
            Flow::default()
        }
        "set" | "compgen" | "fc" => {
            if call.args.is_empty() || call.name != "set" {
                dump
            } else {
                Flow::default()
            }
        }
        _ => {
            variables::declare(walk, call.args);
            let shows = call.args.is_empty()
                || call.args.iter().all(|arg| matches!(arg.text.as_str(), "-p" | "-x" | "-px" | "-xp"));
            if shows { dump } else { Flow::default() }
        }
    }
}

fn env(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::before_command(call.args, "-u -C -S --unset --chdir --split-string");
    for text in options.values("-S", "--split-string") {
        walk.joined_text(std::slice::from_ref(text), "env", call.stdin);
    }
    for folder in options.values("-C", "--chdir") {
        let base = walk.base();
        walk.folder = folder.is_known.then(|| base.join(&folder.text));
    }
    let mut rest = call.rest(options.first);
    while let Some(arg) = rest.first().filter(|arg| is_assignment(&arg.text)) {
        judge_assignment(walk, arg);
        rest = &rest[1..];
    }
    if rest.is_empty() { Flow::tainted(Taint::ENVIRONMENT) } else { walk.start(rest, call) }
}

/// `npx`, `pipx run`: the package's program with its arguments.
pub(super) fn package_runner(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::before_command(call.args, "-p -c --package --call --from --with --python --spec");
    for text in options.values("-c", "--call") {
        walk.joined_text(std::slice::from_ref(text), &call.name, call.stdin);
    }
    let rest = call.rest(options.first);
    let rest = if call.name == "pipx" && rest.first().is_some_and(|arg| arg.text == "run") {
        &rest[1..]
    } else {
        rest
    };
    let sources = options.values("-p", "--package").chain(options.values("", "--from")).chain(rest.first());
    for source in sources.collect::<Vec<_>>() {
        super::services::foreign_package(walk, source, &call.name);
    }
    walk.start(rest, call)
}

/// `xargs`: the command, with what comes in behind it.
pub(super) fn xargs(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::before_command(
        call.args,
        "-a -d -E -I -L -n -P -s -J -R -S --arg-file --delimiter --max-args --max-procs --max-chars --replace --max-lines",
    );
    let mark = options
        .values("-I", "--replace")
        .chain(options.values("-J", ""))
        .next()
        .map(|mark| mark.text.clone());
    let mut command = call.rest(options.first).to_vec();
    if command.is_empty() {
        return call.passes_on();
    }
    let given: Vec<Arg> = match &call.stdin.text {
        Some(text) if text.len() < 4096 => text.split_whitespace().map(Arg::known).collect(),
        // Names that a search inside the workspace found stay inside it.
        _ => vec![Arg { begins_unknown: call.stdin.taint != Taint::NONE, ..Arg::unknown(call.stdin.taint) }],
    };
    match mark {
        Some(mark) => {
            let all = given.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
            let known = given.iter().all(|arg| arg.is_known);
            for arg in command.iter_mut().filter(|arg| arg.text.contains(&mark)) {
                arg.text = arg.text.replace(&mark, &all);
                arg.is_known &= known;
                arg.begins_unknown |= given.iter().any(|arg| arg.begins_unknown) && arg.text.starts_with('*');
                arg.taint |= call.stdin.taint;
            }
        }
        None => command.extend(given),
    }
    walk.start(&command, call)
}

/// `parallel CMD ::: ARGS`.
pub(super) fn parallel(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::before_command(
        call.args,
        "-j -a -I -N -n --jobs --arg-file --joblog --timeout --delay --colsep --retries --sshlogin -S",
    );
    if options.has("-S", "--sshlogin") {
        walk.ask("`parallel` runs commands on other machines");
    }
    let rest = call.rest(options.first);
    let end = rest.iter().position(|arg| arg.text.starts_with(":::")).unwrap_or(rest.len());
    let (command, given) = rest.split_at(end);
    let mut command: Vec<Arg> = command.to_vec();
    if command.is_empty() {
        for text in given.iter().skip(1) {
            walk.joined_text(std::slice::from_ref(text), "parallel", call.stdin);
        }
        if given.is_empty() && call.stdin.is_fed {
            walk.ask("`parallel` runs commands that are only known at run time");
        }
        return call.passes_on();
    }
    let given: Vec<Arg> =
        if given.is_empty() { vec![Arg::unknown(call.stdin.taint)] } else { given[1..].to_vec() };
    if command.iter().any(|arg| arg.text.contains("{}")) {
        for arg in command.iter_mut().filter(|arg| arg.text.contains("{}")) {
            let all = given.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
            arg.text = arg.text.replace("{}", &all);
            arg.is_known &= given.iter().all(|arg| arg.is_known);
        }
    } else {
        command.extend(given);
    }
    // A command that is one quoted word is a text for the shell.
    let is_text = command.first().is_some_and(|arg| arg.text.contains(' '));
    if is_text { walk.joined_text(&command, "parallel", call.stdin) } else { walk.start(&command, call) }
}

/// Programs that hand their operands to a shell as text.
/// Words of tmux that start something, before what they start.
const TMUX: [&str; 8] =
    ["new", "new-session", "neww", "new-window", "splitw", "split-window", "respawn-pane", "run-shell"];

/// Words of tmux and screen that look, or speak to what runs already; what is typed there is judged as text.
const TALKS_TO: [&str; 20] = [
    "a",
    "attach",
    "attach-session",
    "capture-pane",
    "display",
    "display-message",
    "has",
    "has-session",
    "kill-server",
    "kill-session",
    "list-panes",
    "list-sessions",
    "list-windows",
    "ls",
    "select-window",
    "send",
    "send-keys",
    "set",
    "set-option",
    "show-options",
];

pub(super) fn strings(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let valued = "-n -d -p -w -i -r -s -S -e -x -t -c -m -N -f -L -W --interval --exec --command --warmup --runs --prepare --export-json --ext --watch";
    let options = Options::before_command(call.args, valued);
    let rest = call.rest(options.first);
    match call.name.as_str() {
        "at" | "batch" => walk.ask(format!("`{}` runs something later", call.name)),
        "expect" => {
            let code = options.values("-c", "").map(|arg| arg.text.clone()).collect::<Vec<_>>().join(" ");
            if code.contains("spawn") || code.contains("exec") {
                walk.ask("`expect` starts another program");
            }
        }
        "script" => {
            for text in options.values("-c", "--command") {
                walk.joined_text(std::slice::from_ref(text), "script", call.stdin);
            }
            if let Some(file) = rest.first() {
                walk.write(file, "`script`");
            }
        }
        "watch" | "chronic" => drop(walk.joined_text(rest, &call.name, call.stdin)),
        "hyperfine" | "concurrently" => {
            let texts = rest.iter().chain(options.values("-p", "--prepare")).filter(|arg| !arg.is_option());
            for text in texts.collect::<Vec<_>>() {
                walk.joined_text(std::slice::from_ref(text), &call.name, call.stdin);
            }
        }
        "nodemon" => {
            for text in options.values("-x", "--exec") {
                walk.joined_text(std::slice::from_ref(text), "nodemon", call.stdin);
            }
        }
        "tmux" | "screen" => {
            for text in call.args.iter().filter(|arg| arg.text.contains(' ')) {
                walk.joined_text(std::slice::from_ref(text), &call.name, call.stdin);
            }
            // What follows the options is a command of its own: `screen -dm x`, `tmux new -d x`.
            let own = |arg: &Arg| arg.is_option() || TMUX.contains(&arg.text.as_str());
            let start = rest.iter().position(|arg| !own(arg)).unwrap_or(rest.len());
            let is_talk = rest.first().is_some_and(|arg| TALKS_TO.contains(&arg.text.as_str()));
            if !is_talk && rest[start..].len() > 1 {
                walk.start(&rest[start..], call);
            }
        }
        _ => {}
    }
    call.passes_on()
}
