//! Pure: which port a command names, and how it gets one. Seed 13.1, beyond-the-seed G.
//!
//! The reading is a guess at what a program will do. It only has to be good: the port that the server really listens on is
//! found afterwards.

use std::ops::RangeInclusive;

/// First port that is given to a server that names none. From the seed, 13.1.
pub const FIRST_AUTO_PORT: u16 = 5173;

/// Ports that are given to servers that name none.
pub(in crate::builtin) const AUTO_PORTS: RangeInclusive<u16> = FIRST_AUTO_PORT..=FIRST_AUTO_PORT + 99;

/// Bare numbers below this are more often sizes and counts than ports.
const FIRST_BARE_PORT: u16 = 1024;

/// Debuggers listen here (Node.js): never the address of a server.
const DEBUG_PORTS: RangeInclusive<u16> = 9229..=9239;

/// Options whose value is the port.
const FLAGS: [&str; 4] = ["--port", "--server-port", "--listen-port", "-p"];

/// Options of `http.server` with a value that is not the port.
const VALUE_OPTIONS: [&str; 6] = ["-b", "--bind", "-d", "--directory", "-p", "--protocol"];

/// A command and the port that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInCommand {
    /// The port, if the command names one.
    pub port: Option<u16>,
    /// The command, to which a port may have been appended.
    pub command: String,
    /// A port was appended.
    pub appended: bool,
}

/// Reads the port that a command names: the value of an option, else `host:port` outside of addresses with a scheme, else
/// a bare number from 1024; the last one wins. A bare `python -m http.server` ignores `PORT`, so `otherwise` is appended.
///
/// ```
/// use mesh_agent::builtin::port_in_command;
///
/// assert_eq!(port_in_command("docker run -p 8080:80 web", 5173).port, Some(8080));
/// assert_eq!(port_in_command("npm run dev", 5173).port, None);
/// assert_eq!(port_in_command("python3 -m http.server", 5173).command, "python3 -m http.server 5173");
/// ```
pub fn port_in_command(command: &str, otherwise: u16) -> PortInCommand {
    let words: Vec<&str> = words(command).collect();
    let port = of_flags(&words)
        .or_else(|| words.iter().rev().find_map(|word| of_address(word)))
        .or_else(|| words.iter().rev().find_map(|word| number(word).filter(|port| *port >= FIRST_BARE_PORT)));
    let appended = if port.is_none() { with_port(command, otherwise) } else { None };
    PortInCommand {
        port,
        appended: appended.is_some(),
        command: appended.unwrap_or_else(|| command.to_owned()),
    }
}

/// Which of the ports that a server listens on is its address, when it does not answer where it should: the one that it
/// printed, else the lowest.
pub(super) fn adopted(listening: &[u16], printed: &[String]) -> Option<u16> {
    let mut candidates = listening.iter().copied().filter(|port| !DEBUG_PORTS.contains(port));
    let said = candidates.clone().find(|port| printed.iter().any(|line| says_port(line, *port)));
    said.or_else(|| candidates.next())
}

/// Whether the line holds the number by itself.
pub(super) fn says_port(line: &str, port: u16) -> bool {
    let digits = port.to_string();
    line.split(|c: char| !c.is_ascii_digit()).any(|number| number == digits)
}

/// Words between blanks, quotes and operators of the shell, but `2>&1` stays whole.
fn words(command: &str) -> impl Iterator<Item = &str> {
    let mut before = ' ';
    let mut separator = move |c: char| {
        let splits = c.is_whitespace()
            || matches!(c, '"' | '\'' | '`' | ';' | '|' | '(' | ')')
            || (c == '&' && before != '>');
        before = c;
        splits
    };
    let mut rest = command;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = rest.char_indices().find(|(_, c)| separator(*c)).map_or(rest.len(), |(at, _)| at);
            let word = &rest[..end];
            rest = rest[end..].char_indices().nth(1).map_or("", |(at, _)| &rest[end + at..]);
            if !word.is_empty() {
                return Some(word);
            }
        }
    })
}

fn of_flags(words: &[&str]) -> Option<u16> {
    let mut port = None;
    for (index, word) in words.iter().enumerate() {
        let value = if FLAGS.contains(word) {
            words.get(index + 1).copied()
        } else if let Some((name, value)) = word.split_once('=') {
            (FLAGS.contains(&name) || name == "PORT").then_some(value)
        } else {
            word.strip_prefix("-p").filter(|value| value.starts_with(|c: char| c.is_ascii_digit()))
        };
        port = value.and_then(published).or(port);
    }
    port
}

/// `8080`, or what Docker publishes: `8080:80`, `127.0.0.1:8080:80`, `8080:80/tcp`.
fn published(value: &str) -> Option<u16> {
    let value = value.strip_suffix("/tcp").unwrap_or(value);
    match value.rsplit_once(':') {
        None => number(value),
        Some((outside, inside)) => {
            number(inside)?;
            number(outside.rsplit_once(':').map_or(outside, |(_, port)| port))
        }
    }
}

/// `localhost:8000`, `0.0.0.0:8000`, `[::]:8000`, `:9000`, also as the value of an option. An address with a scheme says
/// where others are, and `name:7` may be a version: below 1024 the host has to be a local one.
fn of_address(word: &str) -> Option<u16> {
    let word = word.split_once('=').map_or(word, |(_, value)| value);
    if word.contains("://") || word.contains('@') {
        return None;
    }
    let (host, port) = word.trim_end_matches('/').rsplit_once(':')?;
    let port = number(port)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let local = matches!(host, "" | "*" | "localhost")
        || bracketed.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok())
        || host.parse::<std::net::Ipv4Addr>().is_ok();
    let named = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    (local || (named && port >= FIRST_BARE_PORT)).then_some(port)
}

fn number(word: &str) -> Option<u16> {
    let digits = !word.is_empty() && word.len() <= 5 && word.bytes().all(|digit| digit.is_ascii_digit());
    if digits { word.parse().ok().filter(|port| *port > 0) } else { None }
}

/// The command with `port` behind the arguments of a bare `-m http.server`.
fn with_port(command: &str, port: u16) -> Option<String> {
    let mut before = "";
    let module = words(command).find(|word| {
        let found = (*word == "http.server" && before == "-m") || *word == "-mhttp.server";
        before = word;
        found
    })?;
    // The word lies inside the command: the distance of the two is where it ends.
    let module_end = module.as_ptr() as usize - command.as_ptr() as usize + module.len();
    let end = end_of_simple_command(command, module_end);
    let (arguments, rest) = command.split_at(end);
    // A number of its own is a port, if one too low to be taken for one elsewhere; so is a variable that no option takes.
    let mut option = "";
    for word in words(&arguments[module_end..]) {
        let is_value = VALUE_OPTIONS.contains(&option);
        if number(word).is_some() || (word.starts_with('$') && !is_value) {
            return None;
        }
        option = word;
    }
    let arguments = arguments.trim_end();
    let rest = if rest.trim().is_empty() { "" } else { rest };
    let gap = if rest.is_empty() || rest.starts_with(['"', '\'', ')', ';', '\n']) { "" } else { " " };
    Some(format!("{arguments} {port}{gap}{rest}"))
}

/// Where the simple command that goes on at `from` ends: at an operator, or at the quote in which it stands.
fn end_of_simple_command(command: &str, from: usize) -> usize {
    let mut quote = None;
    let mut outer = None;
    let mut before = ' ';
    for (at, c) in command.char_indices() {
        if at == from {
            outer = quote.take();
        }
        if at >= from {
            let ends = Some(c) == outer
                || (quote.is_none()
                    && (matches!(c, ';' | '|' | ')' | '\n' | '`') || (c == '&' && before != '>')));
            if ends {
                return at;
            }
        }
        match quote {
            Some(open) if open == c => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(_) | None => {}
        }
        before = c;
    }
    command.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn names(command: &str, want: impl Into<Option<u16>>) {
        let got = port_in_command(command, FIRST_AUTO_PORT);
        assert_eq!(
            got,
            PortInCommand { port: want.into(), command: command.into(), appended: false },
            "{command}"
        );
    }

    #[track_caller]
    fn gets(command: &str, want: &str) {
        let got = port_in_command(command, 5180);
        assert_eq!(got, PortInCommand { port: None, command: want.into(), appended: true }, "{command}");
    }

    #[test]
    fn options_name_the_port() {
        names("npm run dev -- --port 3000", 3000);
        names("vite --port=4000", 4000);
        names("vite --port \"4000\"", 4000);
        names("java -jar a.jar --server-port=8081", 8081);
        names("thing --listen-port 80", 80);
        names("flask run -p 5001 --port 5002", 5002);
        names("docker run -p 8080:80 -d nginx:1", 8080);
        names("docker run -p 127.0.0.1:8080:80/tcp nginx", 8080);
        names("next dev -p3000", 3000);
        names("PORT=3001 npm start", 3001);
        names("sh -c 'serve --port 4100' & wait", 4100);
        names("vite --port 3000&", 3000);
        names("curl localhost:9999; vite --port 3000", 3000);
        names("vite --port $PORT", None);
        names("vite --port 70000", None);
        names("vite --port 0", None);
        names("mkdir -p dist && vite", None);
    }

    #[test]
    fn addresses_name_the_port() {
        names("php -S localhost:8000", 8000);
        names("gunicorn -b :9000 app:app", 9000);
        names("./manage.py runserver 0.0.0.0:8001", 8001);
        names("serve --listen=[::]:8002", 8002);
        names("caddy run --address :80", 80);
        names("open http://localhost:3000", None);
        names("docker run redis:7", None);
        names("scp me@host:8000 .", None);
    }

    #[test]
    fn bare_numbers_name_the_port() {
        names("python -m http.server 8080", 8080);
        names("serve 1024", 1024);
        names("(serve 4000)", 4000);
        names("serve 1023", None);
        names("serve 70000", None);
        names("serve 99999999999999999999", None);
        names("node --max-old-space-size=4096 x", None);
        names("node a.js 2>&1", None);
        names("make -j8", None);
        names("", None);
    }

    #[test]
    fn a_bare_http_server_gets_the_port() {
        gets("python3 -m http.server", "python3 -m http.server 5180");
        gets("python3 -u -m http.server ", "python3 -u -m http.server 5180");
        gets("python3 -m http.server --bind 127.0.0.1", "python3 -m http.server --bind 127.0.0.1 5180");
        gets("python3 -m http.server -d 'my dir;x'", "python3 -m http.server -d 'my dir;x' 5180");
        gets("cd a && python3 -m http.server && echo", "cd a && python3 -m http.server 5180 && echo");
        gets("python3 -m http.server > log 2>&1", "python3 -m http.server > log 2>&1 5180");
        gets("python3 -m http.server &", "python3 -m http.server 5180 &");
        gets("sh -c \"python3 -m http.server\"", "sh -c \"python3 -m http.server 5180\"");
        gets("python3 -m http.server -d $DIR", "python3 -m http.server -d $DIR 5180");
        names("python3 -m http.server 80", None);
        names("sleep 1; exec python3 -m http.server $PORT", None);
        names("python3 -m http.server --bind 127.0.0.1 \"${PORT:-8000}\" >log", None);
        names("python3 -m http.client", None);
    }

    #[test]
    fn the_port_that_was_printed_is_adopted_before_the_lowest() {
        let lines = ["ready on http://localhost:4321/".to_owned()];
        assert_eq!(adopted(&[3000, 4321], &lines), Some(4321));
        assert_eq!(adopted(&[3000, 4321], &[]), Some(3000));
        assert_eq!(adopted(&[9229], &[]), None);
        assert_eq!(adopted(&[], &lines), None);
        assert!(!says_port("14321 43210", 4321));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(command in "(?s).{0,60}|.{0,20}-m http\\.server.{0,20}") {
            let got = port_in_command(&command, 5173);
            assert_eq!(got.appended, got.command != command);
        }
    }
}
