//! Options and operands by the usual conventions: clusters of letters, `--long=value`, abbreviations, `--`.

use super::Call;
use crate::shell::flow::Arg;
use crate::shell::walk::Walk;

/// Arguments told apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// Each option as `-x` or `--long`, with its value where it has one.
    pub(super) options: Vec<(String, Option<Arg>)>,
    /// What is no option.
    pub(super) operands: Vec<Arg>,
    /// Where the first operand stood; the number of arguments when there is none.
    pub(super) first: usize,
}

impl Options {
    /// Tells arguments apart. `valued` names the options that take a value, with blanks between: `-o --output`.
    pub(super) fn of(args: &[Arg], valued: &str) -> Options {
        Options::read(args, valued, false)
    }

    /// The same up to the first operand, which begins another command.
    pub(super) fn before_command(args: &[Arg], valued: &str) -> Options {
        Options::read(args, valued, true)
    }

    fn read(args: &[Arg], valued: &str, stop: bool) -> Options {
        let takes = |name: &str| valued.split(' ').any(|valued| valued == name);
        let mut out = Options { first: args.len(), ..Options::default() };
        let mut at = 0;
        let mut only_operands = false;
        while let Some(arg) = args.get(at) {
            let text = arg.text.as_str();
            at += 1;
            if !only_operands && text == "--" {
                only_operands = true;
                if stop {
                    out.first = at;
                    break;
                }
                continue;
            }
            if only_operands || !arg.is_option() {
                if out.operands.is_empty() {
                    out.first = at - 1;
                }
                out.operands.push(arg.clone());
                if stop {
                    break;
                }
                continue;
            }
            if text.starts_with("--") {
                match text.split_once('=') {
                    Some((name, value)) => out.options.push((name.to_owned(), Some(arg.with_text(value)))),
                    None if takes(text) => {
                        out.options.push((text.to_owned(), args.get(at).cloned()));
                        at += 1;
                    }
                    None => out.options.push((text.to_owned(), None)),
                }
                continue;
            }
            at += out.cluster(arg, args.get(at), takes);
        }
        out
    }

    /// `-abc`, `-ovalue`, `-o value`. Gives 1 when the next argument was taken as a value.
    fn cluster(&mut self, arg: &Arg, next: Option<&Arg>, takes: impl Fn(&str) -> bool) -> usize {
        let letters = &arg.text[1..];
        for (at, letter) in letters.char_indices() {
            let name = format!("-{letter}");
            if takes(&name) {
                let rest = &letters[at + letter.len_utf8()..];
                let attached = (!rest.is_empty()).then(|| arg.with_text(rest.trim_start_matches('=')));
                let taken = usize::from(attached.is_none());
                self.options.push((name, attached.or_else(|| next.cloned())));
                return taken;
            }
            self.options.push((name, None));
        }
        0
    }

    /// Whether an option stands there, by letter or by a long name that may be cut short.
    pub(super) fn has(&self, short: &str, long: &str) -> bool {
        self.options.iter().any(|(name, _)| is_option(name, short, long))
    }

    /// The values of an option.
    pub(super) fn values(&self, short: &str, long: &str) -> impl Iterator<Item = &Arg> {
        self.options
            .iter()
            .filter(move |(name, _)| is_option(name, short, long))
            .filter_map(|(_, value)| value.as_ref())
    }
}

fn is_option(name: &str, short: &str, long: &str) -> bool {
    let cut = name.len() >= 4 && name.starts_with("--") && long.starts_with(name);
    (!short.is_empty() && name == short) || (!long.is_empty() && (name == long || cut))
}

/// Files that `-o` and its long forms name: written, whatever the program.
pub(super) fn outputs(walk: &mut Walk<'_>, call: &Call<'_>) {
    const LONG: [&str; 6] = ["--output", "--out", "--outfile", "--output-file", "--output-document", "-out"];
    let mut args = call.args.iter().peekable();
    while let Some(arg) = args.next() {
        let value = match arg.text.split_once('=') {
            Some((name, value)) if LONG.contains(&name) => Some(arg.with_text(value)),
            _ if LONG.contains(&arg.text.as_str()) || arg.text == "-o" => {
                args.peek().map(|next| Arg::clone(next))
            }
            _ => arg
                .text
                .strip_prefix("-o")
                .filter(|rest| rest.starts_with(['/', '~', '.']))
                .map(|rest| arg.with_text(rest)),
        };
        if let Some(file) = value.filter(|value| looks_like_place(&value.text)) {
            walk.write(&file, &format!("`{}`", call.name));
        }
    }
}

/// A value of `-o` that is clearly a place: many programs use the letter for something else.
fn looks_like_place(text: &str) -> bool {
    text.contains(['/', '~', '.']) && !text.contains([' ', '=', ','])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_values_and_operands_are_told_apart() {
        let args: Vec<Arg> =
            ["-rvo", "x", "--out=y", "--recur", "a", "-p", "--", "-z"].into_iter().map(Arg::known).collect();
        let options = Options::of(&args, "-o --out");
        assert!(options.has("-r", "") && options.has("-v", "") && options.has("", "--recursive"));
        let values: Vec<&str> = options.values("-o", "--out").map(|value| value.text.as_str()).collect();
        assert_eq!(values, ["x", "y"]);
        let operands: Vec<&str> = options.operands.iter().map(|operand| operand.text.as_str()).collect();
        assert_eq!(operands, ["a", "-z"]);
        assert_eq!(Options::before_command(&args, "-o --out").first, 4);
    }
}
