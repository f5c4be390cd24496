//! Python: comments are no code, and calls that are written out in full are judged by what they call.

use std::sync::LazyLock;

use regex::Regex;

use crate::shell::flow::{Arg, Flow};
use crate::shell::walk::{Context, Walk};

/// What in Python makes a person want to see it.
#[rustfmt::skip]
pub(super) const SIGNS: &[(&str, &str)] = &[
    ("starts other programs", r"\bos\s*\.\s*(?:system|exec\w*|spawn\w*|posix_spawn\w*|popen|fork\w*|kill\w*|startfile)|\bpopen\b|\bpty\b|\bfork\b|\bsystem\s*[\('\x22]|from\s+subprocess\b|from\s+(?:os|posix)\s+import\b[^\n;]*(?:system|exec|spawn|popen|fork|kill|startfile)|[=(\[:]\s*subprocess\s*(?:[^.\s=]|$)|import\b[^\n;]*\bsubprocess\s+as\b|['\x22]subprocess['\x22]|\b_posixsubprocess\b|create_subprocess|getstatusoutput|IPython\b|\bget_ipython\b"),
    ("removes files", r"rmtree|\brm_rf?\b|\bunlink\w*|\brmdir\w*|\bremovedirs\b|os\.(?:remove|truncate|rename|replace)\w*|import\s+remove|shutil\.(?:move|rmtree)|del_tree|remove_tree|\bdelete_file\b"),
    ("uses the network", r"\bsockets?\b|\burllib|\brequests\b|\bhttpx\b|http\.client|\baiohttp\b|\bftplib\b|\bsmtplib\b|\bpoplib\b|\bimaplib\b|\btelnetlib\b|\bparamiko\b|\bxmlrpc\b|\bsocketserver\b|open_connection|\bwebbrowser\b|/dev/(?:tcp|udp)"),
    ("runs code made at run time", r"(?:^|[^.\w])(?:eval|compile|execfile)\s*\(|['\x22](?:eval|exec)['\x22]\s*\)|__import__|\bpickle\.loads|\bmarshal\b|\bctypes\b|__builtins__|\bbuiltins\b|\bglobals\s*\(|\brunpy\b|\bcode\.interact|getattr\s*\(\s*(?:os|sys|subprocess)\b|\b(?:os|subprocess)\.__dict__|vars\s*\(\s*(?:os|subprocess)\b|\bb64decode\b[^\n]*\bexec\b|importlib\s+import\s+import_module\s+as"),
];

/// Modules by which code reaches programs, files or the network; whoever loads one by its name is asked about.
#[rustfmt::skip]
const REACHING: &[&str] = &[
    "builtins", "ctypes", "ftplib", "http", "marshal", "os", "pickle", "posix", "pty", "requests", "runpy", "shutil", "smtplib", "socket", "subprocess",
    "urllib",
];

/// Names of `subprocess` that start nothing.
const QUIET: &[&str] = &[
    "PIPE",
    "DEVNULL",
    "STDOUT",
    "CalledProcessError",
    "TimeoutExpired",
    "CompletedProcess",
    "SubprocessError",
    "list2cmdline",
];

/// Judges the calls that start programs, load modules or run texts.
pub(super) fn calls(walk: &mut Walk<'_>, code: &str) {
    static CALLS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\bsubprocess\s*\.\s*(?P<started>\w+)(?P<open>\s*\()?|\b(?:importlib\s*\.\s*)?import_module\s*(?P<load>\()|\bimportlib\s*\.\s*(?P<member>\w+)|(?:^|[^.\w])exec\s*(?P<run>\()")
            .expect("a constant")
    });
    for call in CALLS.captures_iter(code) {
        let after = |name: &str| call.name(name).map(|open| &code[open.end()..]);
        if let Some(name) = call.name("started") {
            if !QUIET.contains(&name.as_str()) {
                started(walk, after("open"));
            }
        } else if let Some(inner) = after("load") {
            let module = literal(inner).filter(|(module, rest)| ends_argument(rest) && !reaches(module));
            if module.is_none() {
                walk.reaches_out = true;
                walk.ask("code for `python` loads a module that is only known at run time, or one that reaches outside");
            }
        } else if let Some(inner) = after("run") {
            // Its text is looked through like all others; what is put together or escaped is not seen.
            if literal(inner).is_none_or(|(text, rest)| !ends_argument(rest) || text.contains('\\')) {
                walk.reaches_out = true;
                walk.ask("code for `python` runs code made at run time");
            }
        } else if let Some(member) = call.name("member") {
            let loads = [
                "util",
                "machinery",
                "metadata",
                "resources",
                "reload",
                "invalidate_caches",
                "import_module",
            ];
            if !loads.contains(&member.as_str()) {
                walk.reaches_out = true;
                walk.ask("code for `python` runs code made at run time");
            }
        }
    }
}

fn reaches(module: &str) -> bool {
    let first = module.split('.').next().unwrap_or_default();
    REACHING.contains(&first) || module.contains('\\')
}

/// `subprocess.run(…`: judged where the program and its arguments are written out.
fn started(walk: &mut Walk<'_>, arguments: Option<&str>) {
    let known = arguments.map(str::trim_start).and_then(|arguments| {
        if let Some(list) = arguments.strip_prefix('[') {
            return command(list).map(|args| (args, None));
        }
        let (text, rest) = literal(arguments)?;
        (ends_argument(rest) && !text.contains('\\')).then(|| (Vec::new(), Some(text.to_owned())))
    });
    match known {
        Some((args, None)) if args.first().is_some_and(|name| name.is_known) => {
            walk.run(&args[0], &args[1..], &Flow::default(), Context::default());
        }
        Some((_, Some(text))) => drop(walk.text(&text, &Flow::default())),
        _ => {
            walk.reaches_out = true;
            walk.ask("code for `python` starts other programs");
        }
    }
}

/// The items of a list up to its `]`; one that is no literal is not known.
fn command(list: &str) -> Option<Vec<Arg>> {
    let mut out = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        if rest.starts_with(']') {
            return (!out.is_empty()).then_some(out);
        }
        if let Some(after) = rest.strip_prefix("sys.executable") {
            out.push(Arg::known("python3"));
            rest = after;
        } else if let Some((text, after)) = literal(rest) {
            if text.contains('\\') || !ends_argument(after) {
                return None;
            }
            out.push(Arg::known(text));
            rest = after;
        } else {
            return None;
        }
    }
}

/// A string literal at the beginning, and what follows it. Formatted strings and bytes are none.
fn literal(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let text = text.strip_prefix(['r', 'u']).filter(|rest| rest.starts_with(['\'', '"'])).unwrap_or(text);
    ["'''", "\"\"\"", "'", "\""].iter().find_map(|quote| {
        let inner = text.strip_prefix(quote)?;
        let end = inner.find(quote)?;
        let whole = quote.len() == 3 || !inner[..end].contains('\n');
        whole.then(|| (&inner[..end], &inner[end + quote.len()..]))
    })
}

fn ends_argument(rest: &str) -> bool {
    rest.trim_start().starts_with([',', ')', ']'])
}

/// The code without its comments.
pub(super) fn without_comments(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    let mut open: Option<&str> = None;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match open {
            Some(quote) => {
                if c == '\\' {
                    taken += rest[taken..].chars().next().map_or(0, char::len_utf8);
                } else if rest.starts_with(quote) {
                    taken = quote.len();
                    open = None;
                } else if c == '\n' && quote.len() == 1 {
                    open = None;
                }
            }
            None => {
                if let Some(quote) =
                    ["'''", "\"\"\"", "'", "\""].into_iter().find(|quote| rest.starts_with(quote))
                {
                    open = Some(quote);
                    taken = quote.len();
                } else if c == '#' {
                    rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
                    continue;
                }
            }
        }
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// Whether the interpreter is one of Python's.
pub(super) fn is_python(name: &str) -> bool {
    matches!(name, "python" | "pypy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_strings_stay() {
        assert_eq!(without_comments("a = '#x' # exec\nb"), "a = '#x' \nb");
        assert_eq!(without_comments("'''# no\n''' # yes"), "'''# no\n''' ");
        assert_eq!(without_comments("'it\\'s # in' # out"), "'it\\'s # in' ");
        assert_eq!(without_comments("x # ä\n# ö"), "x \n");
    }

    #[test]
    fn lists_of_literals_are_commands() {
        let texts =
            |list: &str| command(list).map(|args| args.into_iter().map(|arg| arg.text).collect::<Vec<_>>());
        assert_eq!(texts("'git', \"status\"], check=True)").unwrap(), ["git", "status"]);
        assert_eq!(texts("sys.executable, '-m', 'x']").unwrap(), ["python3", "-m", "x"]);
        assert!(texts("name, 'x']").is_none() && texts("'a' + b]").is_none() && texts("]").is_none());
    }

    #[test]
    fn every_sign_is_a_valid_shape() {
        for (what, shape) in SIGNS {
            assert!(Regex::new(shape).is_ok(), "{what}");
        }
    }
}
