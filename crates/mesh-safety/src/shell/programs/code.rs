//! Shells and interpreters: code in an argument or in the input is judged; code that nobody can see asks.

use super::Call;
use super::options::Options;
use super::scan::scan;
use crate::shell::flow::{Arg, Flow, Taint};
use crate::shell::walk::Walk;

/// `sh`, `bash` and the like: `-c TEXT`, a script file, or what comes in.
pub(super) fn shell(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    if call.args.iter().any(|arg| matches!(arg.text.as_str(), "--version" | "--help" | "-n")) {
        return Flow::default();
    }
    let options = Options::before_command(call.args, "-o -O --rcfile --init-file");
    let operands = call.rest(options.first);
    for file in options.values("", "--rcfile").chain(options.values("", "--init-file")) {
        run_file(walk, file, &call.name);
    }
    if options.has("-c", "--command") {
        let mut flow = Flow::default();
        if let Some(text) = operands.first() {
            flow = walk.joined_text(std::slice::from_ref(text), &call.name, call.stdin);
        }
        return flow;
    }
    match operands.first().filter(|_| !options.has("-s", "")) {
        Some(script) => run_file(walk, script, &call.name),
        None => run_input(walk, call),
    }
    Flow::tainted(call.stdin.taint | Taint::FILE)
}

/// A script that is named: a process substitution is judged like input.
fn run_file(walk: &mut Walk<'_>, script: &Arg, program: &str) {
    match &script.process {
        Some(flow) => run_flow(walk, flow, program),
        None if script.text == "/dev/stdin" || script.text == "-" => {}
        None if !script.is_known && script.begins_unknown && script.taint.has(Taint::FETCHED) => {
            walk.ask_at_top(format!("`{program}` runs what came from the network"));
        }
        None => walk.execute(script),
    }
}

fn run_input(walk: &mut Walk<'_>, call: &Call<'_>) {
    if call.stdin.is_fed {
        run_flow(walk, call.stdin, &call.name);
    }
}

/// Text that goes into a shell.
fn run_flow(walk: &mut Walk<'_>, flow: &Flow, program: &str) {
    if flow.taint.has(Taint::FETCHED) {
        walk.ask_at_top(format!("`{program}` runs what came from the network"));
    } else if let Some(text) = flow.text.clone().filter(|_| !flow.taint.has(Taint::DECODED)) {
        walk.text(&text, &Flow::default());
    } else {
        walk.ask(format!("`{program}` runs a text that is only known at run time"));
    }
}

/// `eval`.
pub(super) fn eval(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    walk.joined_text(call.args, "eval", call.stdin)
}

/// `source`, `.`: runs a file in this very shell.
pub(super) fn source(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    if let Some(file) = call.args.first() {
        if file.text == "/dev/stdin" || file.text == "-" {
            run_flow(walk, call.stdin, "source");
        }
        run_file(walk, file, "source");
    }
    Flow::tainted(Taint::FILE)
}

/// `trap TEXT SIGNAL`.
pub(super) fn trap(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    if let Some(text) = call.args.iter().find(|arg| !arg.is_option()).filter(|_| call.args.len() > 1) {
        walk.joined_text(std::slice::from_ref(text), "trap", &Flow::default());
    }
    Flow::default()
}

/// `alias NAME=TEXT`.
pub(super) fn alias(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    for arg in call.args {
        if let Some((name, text)) = arg.text.split_once('=') {
            let taken = ["sudo", "cd", "ls", "git", "ssh", "rm", "cat"].contains(&name) && text.contains('/');
            if taken {
                walk.ask(format!("`{name}` would run another program from now on"));
            }
            walk.joined_text(&[arg.with_text(text)], "alias", &Flow::default());
        }
    }
    Flow::default()
}

/// Editors: they write, and commands on their command line run.
pub(super) fn editor(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::of(call.args, "-c -S -s -p -i -o -d --cmd --eval --directory");
    if call.name == "patch" {
        for folder in options.values("-d", "--directory").chain(options.values("-o", "")) {
            walk.write(folder, "`patch`");
        }
        return Flow::default();
    }
    let mut commands = options.values("-c", "--cmd").chain(options.values("", "--eval"));
    let runs = |text: &str| {
        ["!", "system(", "shell-command", "call-process", "delete-file", "luafile", ":w ", "w!"]
            .iter()
            .any(|word| text.contains(word))
    };
    if commands.any(|command| runs(&command.text))
        || call.args.iter().any(|arg| arg.text.starts_with("+") && runs(&arg.text))
    {
        walk.ask(format!("`{}` runs a command", call.name));
    }
    if matches!(call.name.as_str(), "ed" | "ex")
        && call.stdin.text.as_deref().is_none_or(|text| text.lines().any(|l| l.trim_start().starts_with('!')))
    {
        walk.ask(format!("`{}` runs commands that come in", call.name));
    }
    options
        .operands
        .iter()
        .filter(|arg| !arg.text.starts_with('+'))
        .for_each(|file| walk.write(file, &format!("`{}`", call.name)));
    Flow::default()
}

/// Options that are followed by code, as letters or words.
const CODE_OPTIONS: [&str; 11] =
    ["-c", "-e", "-E", "-p", "-r", "--eval", "--print", "--execute", "-command", "--command", "-pe"];

/// Python, node, perl and the like.
pub(super) fn interpreter(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let name = call.name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if call.args.iter().any(|arg| matches!(arg.text.as_str(), "--version" | "--help" | "-V"))
        && call.args.len() == 1
    {
        return Flow::default();
    }
    let mut code: Vec<&Arg> = Vec::new();
    let mut operands: Vec<&Arg> = Vec::new();
    let mut is_module = false;
    let mut args = call.args.iter().peekable();
    while let Some(arg) = args.next() {
        let text = arg.text.as_str();
        if !operands.is_empty() || !arg.is_option() {
            operands.push(arg);
            continue;
        }
        if takes_code(name, text) {
            code.extend(args.next());
        } else if text == "-m" && name == "python" {
            is_module = true;
            operands.extend(args.by_ref());
        } else if matches!(
            text,
            "-W" | "-X" | "-I" | "--require" | "-r" | "--import" | "--loader" | "-C" | "-l"
        ) && name != "perl"
            && name != "ruby"
        {
            operands_of_option(walk, args.next(), call);
        } else {
            // `-MLWP::Simple`, `-ropen-uri`, `-c'…'`: what hangs on the option counts as code too.
            code.push(arg);
        }
    }
    let evaluates = operands.first().is_some_and(|first| matches!(first.text.as_str(), "eval" | "repl"));
    if evaluates && matches!(name, "deno" | "bun") {
        code.append(&mut operands);
    }
    for text in &code {
        if text.taint.has(Taint::FETCHED) {
            walk.ask_at_top(format!("`{name}` runs what came from the network"));
        } else if !text.is_known && text.begins_unknown {
            walk.ask(format!("`{name}` runs code that is only known at run time"));
        }
    }
    let has_code = code.iter().any(|arg| !arg.is_option());
    let joined = code.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join("\n");
    scan(walk, &joined, name);
    if in_place(name, call) {
        operands.iter().for_each(|file| walk.write(file, &format!("`{name}`")));
    }
    let script = operands.first().filter(|_| !has_code);
    match script {
        Some(script) if script.text == "-" || script.text == "/dev/stdin" => input(walk, call, name),
        Some(_) if is_module => {}
        Some(script) => match &script.process {
            Some(flow) => code_flow(walk, &flow.clone(), name),
            None => execute_code(walk, script, name),
        },
        None if !has_code => input(walk, call, name),
        None => {}
    }
    Flow::tainted(call.stdin.taint | Taint::FILE)
}

fn operands_of_option(walk: &mut Walk<'_>, value: Option<&Arg>, call: &Call<'_>) {
    if let Some(value) = value {
        walk.operand(value, &call.name);
        walk.execute(value);
    }
}

/// Whether the option is followed by code in this language.
fn takes_code(name: &str, option: &str) -> bool {
    match name {
        "python" | "pypy" => option == "-c" || is_cluster(option, 'c'),
        "node" | "nodejs" | "tsx" | "ts-node" => matches!(option, "-e" | "-p" | "-pe" | "--eval" | "--print"),
        "bun" => matches!(option, "-e" | "-p" | "--eval" | "--print"),
        "perl" | "ruby" => {
            option.len() <= 6 && option.starts_with('-') && option.to_ascii_lowercase().ends_with('e')
        }
        "php" => matches!(option, "-r" | "-R" | "-B" | "-E"),
        "cmd" => option.eq_ignore_ascii_case("/c"),
        "pwsh" | "powershell" => {
            option.to_ascii_lowercase().starts_with("-c") || option.to_ascii_lowercase().starts_with("-e")
        }
        _ => CODE_OPTIONS.contains(&option),
    }
}

fn is_cluster(option: &str, letter: char) -> bool {
    option.len() <= 5
        && !option.starts_with("--")
        && option.ends_with(letter)
        && option[1..].chars().all(|c| "bBdEhiIOqsSuvVx".contains(c) || c == letter)
}

/// `perl -pi`, `ruby -i`: the operands are written.
fn in_place(name: &str, call: &Call<'_>) -> bool {
    matches!(name, "perl" | "ruby")
        && call.args.iter().any(|arg| {
            arg.text.starts_with('-')
                && !arg.text.starts_with("--")
                && arg.text.len() <= 8
                && arg.text.contains('i')
                && !arg.text.starts_with("-M")
                && !arg.text.starts_with("-I")
        })
}

fn input(walk: &mut Walk<'_>, call: &Call<'_>, name: &str) {
    if call.stdin.is_fed {
        code_flow(walk, call.stdin, name);
    }
}

/// Code that goes into an interpreter.
fn code_flow(walk: &mut Walk<'_>, flow: &Flow, name: &str) {
    if flow.taint.has(Taint::FETCHED) {
        walk.ask_at_top(format!("`{name}` runs what came from the network"));
    } else if let Some(text) = flow.text.clone().filter(|_| !flow.taint.has(Taint::DECODED)) {
        scan(walk, &text, name);
    } else {
        walk.ask(format!("`{name}` runs code that is only known at run time"));
    }
}

/// A file of code; what this script wrote into it is known.
fn execute_code(walk: &mut Walk<'_>, script: &Arg, name: &str) {
    let flow = walk.written.get(&script.base_name()).cloned();
    match flow {
        Some(flow) if !flow.taint.has(Taint::FILE) || flow.taint.has(Taint::FETCHED) => {
            code_flow(walk, &flow, name)
        }
        _ => {}
    }
}
