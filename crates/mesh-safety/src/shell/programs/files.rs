//! Programs on files: printing, reading, copying, modes, archives, and where the working folder is.

use std::path::Path;

use super::Call;
use super::options::Options;
use crate::shell::expand::Value;
use crate::shell::flow::{Arg, Flow, Taint};
use crate::shell::lex::unescape;
use crate::shell::walk::Walk;

/// `echo`, `printf`: their output is known when their words are.
pub(super) fn say(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let taint = call.taint();
    if taint.has(Taint::CREDENTIAL) {
        walk.ask(format!("`{}` shows a credential out of the environment", call.name));
    }
    if !call.args.iter().all(|arg| arg.is_known) {
        return Flow { text: None, taint, is_fed: true };
    }
    let words: Vec<&str> = call.args.iter().map(|arg| arg.text.as_str()).collect();
    let text = if call.name == "printf" {
        if words.first().is_some_and(|word| *word == "-v") {
            return set_by_printf(walk, &words);
        }
        printf(&words)
    } else {
        let options = words.iter().take_while(|word| is_echo_option(word)).count();
        let text = words[options..].join(" ");
        let escapes = words[..options].iter().any(|option| option.contains('e'));
        format!("{}\n", if escapes { unescape(&text) } else { text })
    };
    Flow { taint, ..Flow::text(text) }
}

fn is_echo_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-') && word[1..].chars().all(|c| "neE".contains(c))
}

fn set_by_printf(walk: &mut Walk<'_>, words: &[&str]) -> Flow {
    if let Some((name, rest)) = words[1..].split_first() {
        let text = printf(rest);
        walk.set(name, Value::Known(text));
    }
    Flow::default()
}

/// The format with its words put in, again and again while there are words.
fn printf(words: &[&str]) -> String {
    let Some((format, words)) = words.split_first() else { return String::new() };
    let format = unescape(format);
    let mut words = words.iter().copied();
    let mut out = String::new();
    loop {
        let before = words.len();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.by_ref().find(|c| *c == '%' || c.is_ascii_alphabetic()) {
                Some('%') | None => out.push('%'),
                Some('b') => out.push_str(&unescape(words.next().unwrap_or_default())),
                Some(_) => out.push_str(words.next().unwrap_or_default()),
            }
        }
        if words.len() == 0 || words.len() == before {
            return out;
        }
    }
}

/// Programs that look at names only; `touch` and `mkdir` write.
pub(super) fn names(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    if matches!(call.name.as_str(), "touch" | "mkdir" | "mkfifo") {
        let options = Options::of(call.args, "-d -t -r -m --date --mode --reference");
        options.operands.iter().for_each(|operand| walk.write(operand, &format!("`{}`", call.name)));
    }
    if call.name == "fuser" && call.args.iter().any(|arg| arg.text.starts_with("-k") || arg.text == "--kill")
    {
        walk.ask("`fuser` ends whatever uses a file");
    }
    Flow::tainted(Taint::NONE)
}

/// `cd` and its kin.
pub(super) fn change_folder(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let operand = call.args.iter().find(|arg| !arg.is_option());
    let target = match operand {
        _ if call.args.iter().any(|arg| arg.text == "-") => None,
        None if call.name == "cd" => walk.home().map(Arg::known),
        None => None,
        Some(arg) => Some(arg.clone()),
    };
    walk.folder = match target {
        Some(arg) if arg.is_known && !arg.is_pattern => {
            let base = walk.folder.clone();
            base.map(|base| base.join(&arg.text))
                .or_else(|| Path::new(&arg.text).is_absolute().then(|| arg.text.into()))
        }
        // A folder of unknown name below here is still below here.
        Some(arg) if !arg.begins_unknown && !arg.text.contains("..") => {
            walk.folder.as_ref().map(|base| base.join(&arg.text))
        }
        _ => None,
    };
    Flow::default()
}

/// `read x`, `mapfile a`: the variable holds what came in.
pub(super) fn read_variable(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::of(call.args, "-d -n -N -p -t -u -i -a -C -c -O -s");
    if let Some(callback) = options.values("-C", "").next().filter(|_| call.name != "read") {
        walk.joined_text(std::slice::from_ref(callback), &call.name, call.stdin);
    }
    let value = match (&call.stdin.text, options.operands.len()) {
        (Some(text), 1) => Value::Known(text.trim_end_matches('\n').to_owned()),
        _ => Value::Unknown(call.stdin.taint),
    };
    for name in options.operands.iter().chain(options.values("-a", "")) {
        walk.set(&name.text, value.clone());
    }
    if options.operands.is_empty() {
        walk.set(if call.name == "read" { "REPLY" } else { "MAPFILE" }, value);
    }
    Flow::default()
}

/// Programs that read files and pass them on; a few of them write.
pub(super) fn read(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let who = format!("`{}`", call.name);
    match call.name.as_str() {
        "tee" => return tee(walk, call),
        "dd" => dd(walk, call),
        "truncate" => truncate(walk, call),
        "fallocate" => allocate(walk, call),
        "sort" | "shuf" | "uniq" | "split" | "csplit" => super::options::outputs(walk, call),
        "head" if call.context.is_redirected => {
            let options = Options::of(call.args, "-c -n --bytes --lines");
            options.values("-c", "--bytes").for_each(|size| too_large(walk, size, &call.name));
        }
        "tail" | "tac" | "wc" | "cat" if !call.context.is_piped => endless(walk, call),
        "yes" if !call.context.is_piped || call.context.is_redirected => walk.ask("`yes` without an end"),
        _ => {}
    }
    if call.args.iter().any(|arg| arg.taint.has(Taint::CREDENTIAL)) {
        walk.ask(format!("{who} gets a credential out of the environment"));
    }
    let files: Vec<&Arg> = call.args.iter().filter(|arg| !arg.is_option()).collect();
    match files.as_slice() {
        [] if matches!(call.name.as_str(), "cat" | "bat" | "less" | "more") => call.stdin.clone(),
        [file] if call.name == "cat" => match &file.process {
            Some(process) => Flow::clone(process),
            None => walk.content(file),
        },
        _ if call.name == "rev" => Flow::tainted(call.stdin.taint | Taint::DECODED),
        _ => call.passes_on(),
    }
}

fn tee(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::of(call.args, "--output-error");
    for file in &options.operands {
        walk.write(file, "`tee`");
        walk.written.insert(file.base_name(), call.stdin.clone());
    }
    call.stdin.clone()
}

/// A device that never ends, read into memory or a file.
fn endless(walk: &mut Walk<'_>, call: &Call<'_>) {
    let bounded = call
        .args
        .iter()
        .any(|arg| arg.text == "-c" || arg.text.starts_with("-c") || arg.text.starts_with("--bytes"));
    if !bounded
        && call
            .args
            .iter()
            .any(|arg| matches!(arg.text.as_str(), "/dev/zero" | "/dev/urandom" | "/dev/random"))
    {
        walk.ask(format!("`{}` reads a device that never ends", call.name));
    }
}

fn dd(walk: &mut Walk<'_>, call: &Call<'_>) {
    let value = |key: &str| {
        call.args.iter().find_map(|arg| arg.text.strip_prefix(key).map(|text| arg.with_text(text)))
    };
    if let Some(file) = value("of=") {
        walk.write(&file, "`dd`");
        let source = value("if=").map_or(call.stdin.clone(), |source| walk.content(&source));
        walk.written.insert(file.base_name(), source);
    }
    let device = value("if=").is_some_and(|source| source.text.starts_with("/dev/"));
    if device && value("count=").is_none() {
        walk.ask("`dd` copies a device without an end");
    }
}

/// Sizes above this fill many a disk: 20 GiB.
const MAX_SIZE: f64 = 21_474_836_480.0;

fn truncate(walk: &mut Walk<'_>, call: &Call<'_>) {
    let options = Options::of(call.args, "-s -r --size --reference");
    for size in options.values("-s", "--size") {
        if size.text.trim_start_matches(['-', '<']).trim() == "0" || size.text.starts_with('-') {
            walk.ask("`truncate` empties files");
        }
        too_large(walk, size, &call.name);
    }
    options.operands.iter().for_each(|file| walk.write(file, "`truncate`"));
}

fn allocate(walk: &mut Walk<'_>, call: &Call<'_>) {
    let options = Options::of(call.args, "-l -o --length --offset");
    options.values("-l", "--length").for_each(|size| too_large(walk, size, &call.name));
    options.operands.iter().for_each(|file| walk.write(file, "`fallocate`"));
}

fn too_large(walk: &mut Walk<'_>, size: &Arg, program: &str) {
    let digits = size.text.trim_start_matches(['+', '-', '<', '>', '/', '%']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let power = match digits[end..].chars().next().map(|c| c.to_ascii_uppercase()) {
        Some('K') => 1,
        Some('M') => 2,
        Some('G') => 3,
        Some('T') => 4,
        Some('P') => 5,
        Some('E' | 'Z' | 'Y') => 6,
        _ => 0,
    };
    if digits[..end].parse::<f64>().is_ok_and(|number| number * 1024f64.powi(power) > MAX_SIZE) {
        walk.ask(format!("`{program}` takes {} of disk", size.text));
    }
}

/// Decoders and unpackers: what comes out was not to be read in the command.
pub(super) fn decode(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let has = |words: &[&str]| call.args.iter().any(|arg| words.contains(&arg.text.as_str()));
    match call.name.as_str() {
        "openssl" => {
            super::options::outputs(walk, call);
            if has(&["s_client", "s_server"]) {
                super::network::tls_client(walk, call);
            }
        }
        "gpg" | "gpg2" => {
            if has(&[
                "--export-secret-keys",
                "--export-secret-subkeys",
                "--delete-secret-keys",
                "--delete-keys",
            ]) {
                walk.ask("`gpg` gives out or deletes private keys");
            }
            super::options::outputs(walk, call);
        }
        _ => {}
    }
    let letters = |letter: char| {
        call.args
            .iter()
            .any(|arg| arg.text.starts_with('-') && !arg.text.starts_with("--") && arg.text.contains(letter))
    };
    let decodes = match call.name.as_str() {
        "xxd" => letters('r'),
        "base64" | "base32" | "basenc" | "openssl" => {
            letters('d') || letters('D') || has(&["--decode", "-decrypt"])
        }
        "uudecode" | "age" | "rage" => true,
        _ => false,
    };
    let hidden = if decodes { Taint::DECODED } else { Taint::NONE };
    Flow::tainted(call.passes_on().taint | hidden)
}

/// `cp`, `mv`, `install`, `ln`: the last operand, or the value of `-t`, is written.
pub(super) fn copy(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let who = format!("`{}`", call.name);
    let options = Options::of(call.args, "-t -S -m -o -g --target-directory --suffix --mode --owner --group");
    let given = options.values("-t", "--target-directory").next().cloned();
    if call.name.ends_with("install") && options.has("-d", "--directory") {
        options.operands.iter().for_each(|folder| walk.write(folder, &who));
        return Flow::default();
    }
    let (target, sources) = match (&given, options.operands.split_last()) {
        (Some(target), _) => (target, options.operands.as_slice()),
        (None, Some((target, sources))) => (target, sources),
        (None, None) => return Flow::default(),
    };
    if target.text == "/dev/null" {
        walk.ask(format!("{who} throws files away"));
        return Flow::default();
    }
    walk.write_into(target, sources, &who);
    let takes = call.name.ends_with("mv");
    for source in sources {
        let whole = source.is_pattern && source.base_name() == "*";
        if takes {
            super::remove::moved(walk, source, whole);
        }
        if !takes && options.has("-r", "--recursive")
            || options.has("-R", "")
            || options.has("-a", "--archive")
        {
            whole_home(walk, source, &call.name);
        }
        let flow = walk.content(source);
        let name = if sources.len() == 1 { target.base_name() } else { source.base_name() };
        let fetched = flow.taint.has(Taint::FETCHED) || flow.taint.has(Taint::DECODED) || flow.text.is_some();
        if fetched {
            walk.written.insert(name, flow.clone());
            walk.written.insert(source.base_name(), flow);
        }
    }
    if call.name.ends_with("install") {
        options.values("-m", "--mode").for_each(|mode| set_id(walk, &mode.text, &call.name));
    }
    Flow::default()
}

/// A recursive read that meets key stores on its way.
pub(super) fn whole_home(walk: &mut Walk<'_>, place: &Arg, program: &str) {
    let rooted = place.text.starts_with(['/', '~']) || place.text.contains("..");
    if rooted && place.is_known && walk.guard.holds_a_home(Path::new(&place.text), &walk.base()) {
        walk.ask(format!("`{program}` reads all of `{}`, key stores too", place.text));
    }
}

/// `chmod`.
pub(super) fn change_mode(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let recursive = call.args.iter().any(|arg| arg.text == "--recursive" || is_letter_option(&arg.text, 'R'));
    let is_mode = |arg: &&Arg| {
        !arg.text.starts_with("--")
            && !is_letter_option(&arg.text, 'R')
            && !matches!(arg.text.as_str(), "-v" | "-c" | "-f")
    };
    let mut rest = call.args.iter().filter(is_mode);
    let reference = call.args.iter().any(|arg| arg.text.starts_with("--reference"));
    let mode =
        if reference { String::new() } else { rest.next().map(|arg| arg.text.clone()).unwrap_or_default() };
    set_id(walk, &mode, "chmod");
    for place in rest {
        if recursive && opens_to_all(&mode) {
            walk.ask(format!("`chmod` opens all of `{}` to every user", place.text));
        }
        owned(walk, place, recursive, "chmod");
    }
    Flow::default()
}

fn is_letter_option(text: &str, letter: char) -> bool {
    text.starts_with('-')
        && !text.starts_with("--")
        && text[1..].contains(letter)
        && !text.contains(['+', '='])
}

fn set_id(walk: &mut Walk<'_>, mode: &str, program: &str) {
    let octal = mode.len() >= 4
        && mode.bytes().all(|b| b.is_ascii_digit())
        && !mode.trim_start_matches('0').is_empty();
    let special = octal && mode[..mode.len() - 3].bytes().any(|b| matches!(b, b'2' | b'4' | b'6' | b'7'));
    let symbolic = mode.split(',').any(|part| {
        part.split_once(['+', '=']).is_some_and(|(who, bits)| bits.contains('s') && !who.contains('o'))
    });
    if special || symbolic {
        walk.ask(format!("`{program}` lets a program run with its owner's rights"));
    }
}

fn opens_to_all(mode: &str) -> bool {
    let octal = mode.bytes().all(|b| b.is_ascii_digit())
        && mode.bytes().last().is_some_and(|b| matches!(b, b'2' | b'3' | b'6' | b'7'));
    let symbolic = mode.split(',').any(|part| {
        part.split_once(['+', '='])
            .is_some_and(|(who, bits)| bits.contains('w') && (who.is_empty() || who.contains(['a', 'o'])))
    });
    (octal && !mode.is_empty()) || symbolic
}

/// `chown`, `chgrp`.
pub(super) fn change_owner(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::of(call.args, "--from");
    let recursive = options.has("-R", "--recursive");
    let reference = call.args.iter().any(|arg| arg.text.starts_with("--reference"));
    for place in options.operands.iter().skip(usize::from(!reference)) {
        owned(walk, place, recursive, &call.name);
    }
    Flow::default()
}

/// A change of a place's owner or mode.
fn owned(walk: &mut Walk<'_>, place: &Arg, recursive: bool, program: &str) {
    walk.write(place, &format!("`{program}`"));
    if recursive && walk.guard.is_root_or_above(Path::new(&place.text), &walk.base()) {
        walk.ask(format!("`{program}` changes everything below `{}`", place.text));
    }
}

/// `tar`: where it unpacks to, what it packs, and what it starts.
pub(super) fn tar(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let mut args = call.args.to_vec();
    if let Some(first) =
        args.first_mut().filter(|arg| !arg.text.starts_with('-') && !arg.text.contains(['/', '.']))
    {
        first.text.insert(0, '-');
    }
    let options = Options::of(
        &args,
        "-f -C -I -T -X -H -F --file --directory --use-compress-program --files-from --exclude-from --format --to-command --transform",
    );
    for (name, value) in &options.options {
        let Some(value) = value else { continue };
        match name.as_str() {
            "-I"
            | "-F"
            | "--to-command"
            | "--use-compress-program"
            | "--info-script"
            | "--new-volume-script"
            | "--rsh-command"
            | "--rmt-command" => {
                let known =
                    ["zstd", "pigz", "pbzip2", "pixz", "lz4", "xz", "gzip", "bzip2", "brotli", "lzip"];
                if !value.text.split_whitespace().next().is_some_and(|program| known.contains(&program)) {
                    walk.joined_text(std::slice::from_ref(value), "tar", call.stdin);
                    walk.ask("`tar` starts another program");
                }
            }
            "--checkpoint-action" if value.text.starts_with("exec") => {
                walk.ask("`tar` starts another program")
            }
            "-C" | "--directory" => walk.write(value, "`tar`"),
            "-f" | "--file" if value.text.contains(':') => {
                walk.ask("`tar` reads or writes on another machine")
            }
            "-f" | "--file" if packs(&options) => walk.write(value, "`tar`"),
            _ => {}
        }
    }
    if options.has("", "--remove-files") || options.has("-P", "--absolute-names") {
        walk.ask("`tar` removes files or writes wherever the archive says");
    }
    if packs(&options) {
        options.operands.iter().for_each(|place| whole_home(walk, place, "tar"));
        return Flow::tainted(Taint::FILE);
    }
    let unpacked =
        options.values("-f", "--file").next().map_or(call.stdin.clone(), |file| walk.content(file));
    walk.has_unpacked |= unpacked.taint.has(Taint::FETCHED);
    call.passes_on()
}

fn packs(options: &Options) -> bool {
    [("-c", "--create"), ("-r", "--append"), ("-u", "--update"), ("-A", "--concatenate")]
        .iter()
        .any(|(short, long)| options.has(short, long))
}

/// `zip`, `unzip`, `7z`, `cpio`.
pub(super) fn archive(walk: &mut Walk<'_>, call: &Call<'_>) -> Flow {
    let options = Options::of(call.args, "-d -o --unzip-command -tt -i -x");
    if call.args.iter().any(|arg| arg.text.starts_with("-TT") || arg.text.starts_with("--unzip-command")) {
        walk.ask("`zip` starts another program");
    }
    if call.name == "unzip" {
        options.values("-d", "").for_each(|folder| walk.write(folder, "`unzip`"));
        let from = options.operands.first().map(|file| walk.content(file));
        walk.has_unpacked |= from.is_some_and(|flow| flow.taint.has(Taint::FETCHED));
    } else if let Some((archive, places)) = options.operands.split_first() {
        if call.name == "zip" {
            walk.write(archive, "`zip`");
        }
        places.iter().for_each(|place| whole_home(walk, place, &call.name));
    }
    call.passes_on()
}
