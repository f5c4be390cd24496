//! Code of other languages: looked through for signs of processes, removal, network and code made at run time.
//!
//! Nothing is understood of a language but Python's comments and a few of its calls, which agents write into commands every day.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

use super::python;
use crate::env::names_credential;
use crate::shell::flow::Arg;
use crate::shell::walk::Walk;

/// What in a piece of code makes a person want to see it: processes, removal, network, code made at run time.
#[rustfmt::skip]
const SIGNS: &[(&str, &str)] = &[
    ("starts other programs", r"os\s*\.\s*(?:system|exec\w*|spawn\w*|popen|fork|kill\w*|startfile)|\bsubprocess\b|\bpopen\b|\bpty\b|child_process|\b(?:exec|spawn|fork)(?:File)?(?:Sync)?\b\s*[\(\s'\x22]|\bfork\b|\bsystem\s*[\(\s'\x22]|\bos\.execute\b|\bio\.popen\b|IO\.popen|\bqx\b|%x[\{\(\[]|shell_exec|passthru|proc_open|pcntl_|Deno\.(?:run|Command)|Bun\.(?:spawn|\$)|do shell script|Start-Process|Invoke-Expression|\biex\b|Runtime\.getRuntime|ProcessBuilder|run\(`|process\.kill|\bkill\s*\("),
    ("removes files", r"rmtree|\brm_rf?\b|FileUtils\.(?:rm|remove)|\bunlink\w*|\brmdir\w*|rmSync|removeSync|Deno\.remove|os\.(?:remove|truncate|rename|replace)\w*|import\s+remove|File\.delete|Dir\.(?:rmdir|delete)|Remove-Item|fs\.(?:rm|truncate)\w*|promises\.rm\b|shutil\.(?:move|rmtree)|del_tree|remove_tree|\bdelete_file\b"),
    ("uses the network", r"\bsockets?\b|\burllib|\brequests\b|\bhttpx\b|http\.client|\baiohttp\b|\bftplib\b|\bsmtplib\b|\btelnetlib\b|\bparamiko\b|\bfetch\s*\(|XMLHttpRequest|https?\.(?:get|request)|['\x22](?:node:)?(?:https?|net|dgram|tls|dns|http2)['\x22]|Net::HTTP|open-uri|URI\.open|\bLWP\b|IO::Socket|TCPSocket|UDPSocket|TCPServer|fsockopen|curl_(?:init|exec)|WebSocket|Deno\.(?:connect|listen)|Bun\.connect|stream_socket|/dev/(?:tcp|udp)|Invoke-WebRequest|Net\.WebClient|\biwr\b|(?:file_get_contents|fopen|readfile|include|require)\s*\(?\s*['\x22](?:https?|ftp|php|data):"),
    ("runs code made at run time", r"\beval\b|\bexec\s*\(|__import__|\bcompile\s*\(|\bimportlib\b|\bFunction\s*\(|\bvm\.run|\bpickle\.loads|\bmarshal\.loads|\bctypes\b|__builtins__|\bbuiltins\b|\bglobals\s*\(|\binstance_eval\b|\bclass_eval\b|\bassert\s*\(\s*\$|create_function|\bloadstring\b|\bload\s*\(\s*['\x22]|FromBase64String|-enc(?:odedcommand)?\b"),
];

/// Backquotes run programs in these.
const BACKQUOTE_LANGUAGES: [&str; 3] = ["perl", "ruby", "php"];

/// Looks through code without understanding it; errs towards asking.
pub(super) fn scan(walk: &mut Walk<'_>, code: &str, name: &str) {
    static RULES: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
        SIGNS.iter().map(|(what, shape)| (*what, Regex::new(shape).expect("a constant, tested"))).collect()
    });
    static LITERALS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"'([^'\n]{1,200})'|"([^"\n]{1,200})""#).expect("a constant"));
    static WRITES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"open\s*\([^)]*['"][wax]b?\+?['"]|write_?(?:text|bytes|file)|writeFile|appendFile|File\.write|file_put_contents|copyfile|shutil\.copy|createWriteStream|symlink|chmod|chown|>>?\s*['"]?[/~]"#)
            .expect("a constant")
    });
    static ENVIRONMENT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?:os\.environ|process\.env|\bENV|getenv|\$_ENV|%ENV)(?P<next>.{0,40})"#)
            .expect("a constant")
    });
    static PYTHON: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
        python::SIGNS
            .iter()
            .map(|(what, shape)| (*what, Regex::new(shape).expect("a constant, tested")))
            .collect()
    });
    let is_python = python::is_python(name);
    let code = if is_python { Cow::Owned(python::without_comments(code)) } else { Cow::Borrowed(code) };
    let code = &*code;
    for (what, rule) in if is_python { PYTHON.iter() } else { RULES.iter() } {
        if rule.is_match(code) {
            // What code reaches that starts programs or makes itself is not seen either.
            walk.reaches_out |= *what != "removes files";
            walk.ask(format!("code for `{name}` {what}"));
        }
    }
    if is_python {
        python::calls(walk, code);
    }
    if BACKQUOTE_LANGUAGES.contains(&name) && code.contains('`') {
        walk.ask(format!("code for `{name}` starts other programs"));
    }
    let writes = WRITES.is_match(code);
    for captures in LITERALS.captures_iter(code) {
        let Some(literal) = captures.get(1).or_else(|| captures.get(2)) else { continue };
        let place = Arg::known(literal.as_str());
        // A pattern for texts, such as `.*`, is no place.
        if place.text.contains('*') && !place.text.contains('/') {
            continue;
        }
        if !place.text.contains(char::is_whitespace) || place.text.starts_with(['/', '~']) {
            walk.operand(&place, name);
            if writes && place.text.starts_with(['/', '~', '.']) {
                walk.write(&place, &format!("code for `{name}`"));
            }
        }
    }
    for captures in ENVIRONMENT.captures_iter(code) {
        let next = &captures["next"];
        let named = next
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .find(|word| word.len() > 1 && *word != "get");
        if named.is_none_or(names_credential) {
            walk.ask(format!("code for `{name}` reads the environment, where credentials are"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_is_a_valid_shape() {
        for (what, shape) in SIGNS {
            assert!(Regex::new(shape).is_ok(), "{what}");
        }
    }
}
