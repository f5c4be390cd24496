//! Searching programs, and those whose first operand is a small program of its own: grep, find, sed, awk.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::Call;
use super::options::Options;
use super::remove::is_build_output;
use crate::path::{Finding, Strictness};
use crate::shell::flow::{Arg, Flow, Taint};
use crate::shell::walk::Walk;

/// What follows the pattern or the small program; everything that is no option when `-e` or `-f` gave it.
pub(super) fn after_pattern(call: &Call<'_>) -> Vec<Arg> {
    let options = Options::of(
        call.args,
        "-e -f -m -A -B -C -g -t -T -v -F --arg --argjson --regexp --file --expression --include --exclude --glob --type -i.bak",
    );
    let files: Vec<Arg> = options.values("-f", "--file").cloned().collect();
    let given = options.has("-e", "--regexp") || options.has("", "--expression") || !files.is_empty();
    let skipped = usize::from(!given);
    options.operands.into_iter().skip(skipped).chain(files).collect()
}

/// `grep`, `rg`: read whole trees when told to.
pub(super) fn grep(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let letters = |letter: char| {
        call.args
            .iter()
            .any(|arg| arg.text.starts_with('-') && !arg.text.starts_with("--") && arg.text.contains(letter))
    };
    let long = call
        .args
        .iter()
        .any(|arg| arg.text.starts_with("--recursive") || arg.text.starts_with("--dereference"));
    let recursive =
        letters('r') || letters('R') || long || matches!(call.name.as_str(), "rg" | "ag" | "ack" | "ugrep");
    if call.args.iter().any(|arg| {
        arg.text == "--pre" || arg.text.starts_with("--pre=") || arg.text.starts_with("--hostname-bin")
    }) {
        walk.ask(format!("`{}` starts another program", call.name));
    }
    if recursive {
        after_pattern(call).iter().for_each(|place| super::files::whole_home(walk, place, &call.name));
    }
    let of_credentials = call.stdin.taint.has(Taint::ENVIRONMENT)
        && call.args.iter().any(|arg| {
            let text = arg.text.to_lowercase();
            ["key", "token", "secret", "pass", "cred", "auth", "aws"].iter().any(|word| text.contains(word))
        });
    if of_credentials {
        walk.ask(format!("`{}` picks credentials out of the environment", call.name));
    }
    let places = after_pattern(call);
    let only_names =
        letters('l') || letters('L') || call.args.iter().any(|arg| arg.text.starts_with("--files"));
    if only_names && places.iter().all(|place| walk.is_inside(&place.text)) && !call.stdin.is_fed {
        return Flow::tainted(Taint::NONE);
    }
    call.passes_on()
}

/// `find`: where it looks, what narrows it, and what it does with what it finds.
pub(super) fn find(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let is_expression =
        |arg: &&Arg| arg.text.starts_with('-') || matches!(arg.text.as_str(), "(" | ")" | "!" | ",");
    let start = call.args.iter().position(|arg| is_expression(&arg)).unwrap_or(call.args.len());
    // `-L` and `-H` stand in front of the places.
    let start = if start == 0 {
        let options =
            call.args.iter().take_while(|arg| matches!(arg.text.as_str(), "-L" | "-H" | "-P")).count();
        let rest = &call.args[options..];
        options + rest.iter().position(|arg| is_expression(&arg)).unwrap_or(rest.len())
    } else {
        start
    };
    let (roots, expression) = call.args.split_at(start);
    let roots: Vec<Arg> = roots.iter().filter(|arg| !arg.is_option()).cloned().collect();
    let search =
        Search { narrowed: is_narrowed(expression), outside: leaves_workspace(walk, &roots), expression };
    let mut at = 0;
    while let Some(arg) = expression.get(at) {
        at += 1;
        match arg.text.as_str() {
            "-delete" if search.outside || !search.narrowed || names_sources(expression) => {
                walk.ask("`find -delete` removes more than files of one name inside the workspace");
            }
            "-fprint" | "-fprintf" | "-fls" | "-fprint0" => {
                if let Some(file) = expression.get(at) {
                    walk.write(file, "`find`");
                }
            }
            "-exec" | "-execdir" | "-ok" | "-okdir" => {
                let end = expression[at..].iter().position(|arg| arg.text == ";" || arg.text == "+");
                let end = end.map_or(expression.len(), |end| at + end);
                search.execute(walk, call, &expression[at..end]);
                at = end;
            }
            _ => {}
        }
    }
    if search.names_secrets(walk) && call.context.is_piped {
        walk.ask("`find` hands on files that hold credentials");
    }
    let place = if search.outside { Taint::FILE } else { Taint::NONE };
    Flow::tainted(call.stdin.taint | place)
}

struct Search<'c> {
    narrowed: bool,
    outside: bool,
    expression: &'c [Arg],
}

impl Search<'_> {
    fn execute(&self, walk: &mut Walk<'_>, call: &Call<'_>, command: &[Arg]) {
        if self.outside {
            walk.ask("`find -exec` runs a command on what lies outside the workspace");
        }
        if self.names_secrets(walk) {
            walk.ask("`find -exec` runs a command on files that hold credentials");
        }
        let program = command.first().map(Arg::base_name).unwrap_or_default();
        let removes = matches!(program.as_str(), "rm" | "unlink" | "rmdir");
        let recursive = command
            .iter()
            .any(|arg| arg.is_option() && arg.text.contains(['r', 'R']) && arg.text != "--force");
        let again = recursive && names_only(self.expression, is_build_output);
        if removes && names_sources(self.expression) {
            walk.ask("`find` removes all files of a kind that people write");
        }
        if removes && self.narrowed && (!recursive || again) && !self.outside {
            return;
        }
        let found = |arg: &Arg| {
            if arg.text.contains("{}") {
                Arg { text: arg.text.replace("{}", "*"), is_known: false, ..arg.clone() }
            } else {
                arg.clone()
            }
        };
        let command: Vec<Arg> = command.iter().map(found).collect();
        walk.start(&command, call);
    }

    /// Whether it looks for a name that the read guard stops.
    fn names_secrets(&self, walk: &Walk<'_>) -> bool {
        self.expression
            .windows(2)
            .filter(|pair| matches!(pair[0].text.as_str(), "-name" | "-iname" | "-path" | "-ipath"))
            .any(|pair| {
                let path = Path::new(pair[1].text.trim_start_matches("*/"));
                matches!(walk.guard.read(path, &walk.base(), Strictness::Content), Err(Finding::Secret(_)))
            })
    }
}

/// A test on the name that is more than a wildcard.
fn is_narrowed(expression: &[Arg]) -> bool {
    let tests = ["-name", "-iname", "-path", "-ipath", "-regex", "-wholename"];
    let negated = expression
        .iter()
        .any(|arg| arg.text == "!" || arg.text == "-not" || arg.text == "-o" || arg.text == "-or");
    let named = expression.windows(2).any(|pair| {
        tests.contains(&pair[0].text.as_str())
            && pair[1].text.chars().filter(|c| c.is_alphanumeric()).count() >= 1
    });
    let empty = expression.iter().any(|arg| arg.text == "-empty");
    !negated && (named || empty)
}

/// Whether what is looked for is a kind of file that people write: all sources, all settings.
fn names_sources(expression: &[Arg]) -> bool {
    #[rustfmt::skip]
    const WRITTEN: [&str; 42] = [
        "c", "cc", "cpp", "cs", "css", "csv", "dart", "docx", "ex", "go", "h", "hpp", "hs", "html", "ini", "ipynb", "java", "jpg", "js", "json", "jsx", "kt", "lua",
        "md", "pdf", "php", "png", "py", "rb", "rs", "rst", "scala", "sh", "sql", "svelte", "swift", "toml", "ts", "tsx", "vue", "yaml", "yml",
    ];
    names_only(expression, |name| name.strip_prefix("*.").is_some_and(|kind| WRITTEN.contains(&kind)))
}

/// Whether the found files have one of the names that `is_one` knows, and no others.
fn names_only(expression: &[Arg], is_one: impl Fn(&str) -> bool) -> bool {
    let mut names = expression
        .windows(2)
        .filter(|pair| matches!(pair[0].text.as_str(), "-name" | "-iname"))
        .map(|pair| pair[1].text.to_lowercase())
        .peekable();
    names.peek().is_some() && names.all(|name| is_one(&name))
}

fn leaves_workspace(walk: &Walk<'_>, roots: &[Arg]) -> bool {
    let here = [Arg::known(".")];
    let roots = if roots.is_empty() { &here } else { roots };
    roots.iter().any(|root| root.begins_unknown || !walk.is_inside(&root.text))
}

/// `fd`: `-x` and `-X` run a command.
pub(super) fn fd(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let at =
        call.args.iter().position(|arg| matches!(arg.text.as_str(), "-x" | "-X" | "--exec" | "--exec-batch"));
    if let Some(at) = at {
        let mut command = call.rest(at + 1).to_vec();
        command.push(Arg { begins_unknown: false, ..Arg::unknown(Taint::NONE) });
        if command.first().is_some_and(|arg| matches!(arg.base_name().as_str(), "rm" | "unlink")) {
            walk.ask("`fd` removes what it finds");
        }
        walk.start(&command, call);
    }
    Flow::tainted(Taint::NONE)
}

/// `sed`: writes with `-i`, and its scripts can run commands and write files.
pub(super) fn sed(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    // BSD's `-i ''` keeps no copy. Elsewhere the empty word is a script that does nothing.
    let bsd = call
        .args
        .windows(2)
        .position(|pair| pair[0].text == "-i" && pair[1].text.is_empty() && pair[1].is_known);
    if let Some(at) = bsd {
        let args: Vec<Arg> = [&call.args[..=at], &call.args[at + 2..]].concat();
        return sed(walk, &Call { args: &args, name: call.name.clone(), ..*call });
    }
    let options = Options::of(call.args, "-e -f -l --expression --file --line-length");
    let scripts: Vec<Arg> = options.values("-e", "--expression").cloned().collect();
    let scripts = if scripts.is_empty() && !options.has("-f", "--file") {
        options.operands.first().cloned().into_iter().collect()
    } else {
        scripts
    };
    for script in &scripts {
        sed_script(walk, &script.text);
    }
    let in_place = call.args.iter().any(|arg| {
        let text = &arg.text;
        text.starts_with("--in-place")
            || (text.starts_with('-')
                && !text.starts_with("--")
                && text.split('e').next().is_some_and(|t| t.contains('i')))
    });
    if in_place {
        after_pattern(call).iter().for_each(|file| walk.write(file, "`sed`"));
    }
    let decodes =
        if scripts.iter().any(|script| script.text.contains("\\x")) { Taint::DECODED } else { Taint::NONE };
    Flow::tainted(call.passes_on().taint | decodes)
}

/// Looks at each command of a sed script: `e` runs, `w` writes, `r` reads, and `s///` has flags for the first two.
fn sed_script(walk: &mut Walk<'_>, script: &str) {
    static ADDRESS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^(?:\s|\{|\d+|\$|,|~|!|/(?:\\.|[^/\\])*/[IM]*)*").expect("a constant"));
    for part in script.split(['\n', ';']) {
        let end = ADDRESS.find(part).map_or(0, |found| found.end());
        let command = &part[end..];
        let mut chars = command.chars();
        match chars.next() {
            Some('e') if command.len() == 1 || command[1..].starts_with([' ', '}']) => {
                walk.ask("a sed script runs a command")
            }
            Some('w' | 'W') if command[1..].starts_with([' ', '/']) => {
                walk.write(&Arg::known(command[1..].trim()), "a sed script");
            }
            Some('r' | 'R') if command[1..].starts_with([' ', '/', '~']) => {
                walk.read(&Arg::known(command[1..].trim()), "sed")
            }
            Some('s') => substitution_flags(walk, &command[1..]),
            _ => {}
        }
    }
}

/// What follows `s/…/…/`: `e` runs the result, `w` writes it to the file that is named.
fn substitution_flags(walk: &mut Walk<'_>, command: &str) {
    let mut chars = command.char_indices();
    let Some((_, mark)) = chars.next() else { return };
    let mut marks = 0;
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == mark {
            marks += 1;
            if marks == 2 {
                let flags = &command[at + c.len_utf8()..];
                let (letters, file) = flags.split_once('w').unwrap_or((flags, ""));
                if letters.contains('e') {
                    walk.ask("a sed script runs a command");
                }
                if !file.trim().is_empty() {
                    walk.write(&Arg::known(file.trim()), "a sed script");
                }
                return;
            }
        }
    }
}

/// `awk`: its programs can run commands, write files and open connections.
pub(super) fn awk(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    static RUNS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"\bsystem\s*\(|\|\s*"|\|&|"\s*\|\s*getline|@load|/inet/|\bENVIRON\b"#)
            .expect("a constant")
    });
    static WRITES: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"(>>?|<)\s*"([^"]*)""#).expect("a constant"));
    let options = Options::of(call.args, "-F -v -f -i --field-separator --assign --file --include");
    let program = options.operands.first().filter(|_| !options.has("-f", "--file"));
    if let Some(program) = program {
        if RUNS.is_match(&program.text) {
            walk.ask("an awk program runs a command, or shows the environment");
        }
        for captures in WRITES.captures_iter(&program.text) {
            let file = Arg::known(&captures[2]);
            if &captures[1] == "<" { walk.read(&file, "awk") } else { walk.write(&file, "an awk program") }
        }
    }
    if options.values("-i", "--include").any(|value| value.text.contains("inplace")) {
        options.operands.iter().skip(1).for_each(|file| walk.write(file, "`awk`"));
    }
    call.passes_on()
}
