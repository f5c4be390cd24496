//! Draws the pictures of the terminal from real runs beside a scripted gateway: `screens FOLDER`.

#[cfg(unix)]
mod pictures {
    use std::{
        io::{self, Write, stderr, stdout},
        net::TcpListener,
        path::Path,
        process::{Command, ExitCode, Stdio},
    };

    use mesh_client::scripted::{Gate, Reply, Script};
    use mesh_tests::{lab::Lab, pty::Terminal, svg};

    /// Columns and rows of the pictures.
    const SIZE: (u16, u16) = (80, 24);

    /// The port that the pictures' server listens on.
    const PORT: u16 = 5173;

    /// What stands in the pictures for the temporary folder that is the home.
    const HOME: &str = "/home/you";

    /// One picture: the name of its file, what it shows, and how to get there.
    type Scene = (&'static str, &'static str, fn() -> Option<(Lab, Terminal)>);

    const SCENES: [Scene; 8] = [
        ("start", "the first screen", start),
        ("first-run", "no key yet", first_run),
        ("turn", "a turn, its reply as markdown", turn),
        ("approval", "a question before a file is changed", approval),
        ("queued", "typing goes on while the model works", queued),
        ("aborted", "escape ends a turn and keeps what is done", aborted),
        ("server", "a server that the model started", server),
        ("question", "the model asks", question),
    ];

    pub(crate) fn main() -> ExitCode {
        let Some(folder) = std::env::args().nth(1) else {
            let _ = writeln!(stderr(), "screens: name the folder for the pictures");
            return ExitCode::from(2);
        };
        match draw_all(Path::new(&folder)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(stderr(), "screens: {folder}: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn draw_all(folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for (name, title, play) in SCENES {
            let Some((lab, terminal)) = play() else {
                writeln!(stdout(), "{name}: skipped, port {PORT} is taken or there is no python3")?;
                continue;
            };
            let home = home(&lab);
            let title = format!("meshapi: {title}");
            let picture =
                svg::picture(terminal.picture(), &title, &|text| steady(&text.replace(&home, HOME)));
            std::fs::write(folder.join(format!("{name}.svg")), picture)?;
        }
        Ok(())
    }

    /// Starts the binary; the home is above the workspace, so that no picture names a folder of this machine.
    fn open(script: Script, arguments: &[&str], more: &[(&str, &str)]) -> (Lab, Terminal) {
        let lab = Lab::new(script);
        let home = home(&lab);
        let mut all = vec![("HOME", home.as_str())];
        all.extend(more);
        let terminal = Terminal::start_with(&lab, arguments, SIZE, &all);
        (lab, terminal)
    }

    /// The folder above the workspace.
    fn home(lab: &Lab) -> String {
        let work = lab.work().canonicalize().unwrap_or_else(|_| lab.work());
        work.parent().unwrap_or(&work).to_string_lossy().into_owned()
    }

    fn at_prompt(script: Script, arguments: &[&str]) -> (Lab, Terminal) {
        let (lab, mut terminal) = open(script, arguments, &[]);
        terminal.wait_for_prompt();
        (lab, terminal)
    }

    fn says(text: &str) -> Reply {
        Reply::stream().text(text).usage(3120, 84).cost("0.0042").done()
    }

    fn calls(name: &str, arguments: &str) -> Reply {
        Reply::stream().tool_call("call_1", name, arguments, 40).usage(2870, 61).cost("0.0031").done()
    }

    fn start() -> Option<(Lab, Terminal)> {
        Some(at_prompt(Script::in_order([says("")]), &[]))
    }

    fn first_run() -> Option<(Lab, Terminal)> {
        // Nothing is sent before a key is typed, so the real address can be shown.
        let (lab, mut terminal) =
            open(Script::in_order([says("")]), &[], &[("MESHAPI_API_KEY", ""), ("MESHAPI_BASE_URL", "")]);
        terminal.wait_for("key");
        Some((lab, terminal))
    }

    fn turn() -> Option<(Lab, Terminal)> {
        let reply = "## Why it fails\n\n`parse` takes the **first** colon, so a time like `12:30` ends the key too early.\n\n\
                     1. split at the first `\": \"`, not at `\":\"`\n2. keep the test, it is right\n\n\
                     ```rust\nlet (key, value) = line.split_once(\": \")?;\n```\n";
        let (lab, mut terminal) = at_prompt(Script::in_order([says(reply)]), &[]);
        terminal.keys("why does the test in tests/parse.rs fail?\r");
        terminal.wait_for("tok");
        terminal.wait_for_prompt();
        Some((lab, terminal))
    }

    fn approval() -> Option<(Lab, Terminal)> {
        let before = "fn parse(line: &str) -> Option<(&str, &str)> {\n    line.split_once(\":\")\n}\n";
        let arguments = serde_json::json!({"path": "parse.rs", "content": before.replace("\":\"", "\": \"")});
        let (lab, mut terminal) =
            at_prompt(Script::in_order([calls("write_file", &arguments.to_string())]), &[]);
        // A failure shows as another picture.
        let _ = std::fs::write(lab.work().join("parse.rs"), before);
        terminal.keys("mend it\r");
        terminal.wait_for("y (yes)");
        Some((lab, terminal))
    }

    fn queued() -> Option<(Lab, Terminal)> {
        let gate = Gate::new();
        let reply = Reply::stream().text("I read the four modules first, then").gate(&gate).text(".");
        let (lab, mut terminal) = at_prompt(Script::in_order([reply.usage(1, 1).done()]), &[]);
        terminal.keys("tidy up the error types\r");
        terminal.wait_for("still meshing");
        terminal.keys("and write a line for the changelog\r");
        terminal.wait_for("next: ");
        terminal.keys("then run the te");
        terminal.wait_for("› then run the te");
        Some((lab, terminal))
    }

    fn aborted() -> Option<(Lab, Terminal)> {
        let gate = Gate::new();
        let read = calls("list_dir", r#"{"path":"."}"#);
        let reply = Reply::stream().text("There is little here, so I will").gate(&gate).text(".");
        let (lab, mut terminal) =
            at_prompt(Script::in_order([read, reply.usage(1, 1).done()]), &["--mode", "auto"]);
        terminal.keys("look around\r");
        terminal.wait_for("so I will");
        terminal.keys("\x1b");
        terminal.wait_for("aborted by user");
        terminal.wait_for_prompt();
        Some((lab, terminal))
    }

    fn server() -> Option<(Lab, Terminal)> {
        let python = Command::new("python3").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        // Bound and given back at once: only to see that nobody has it.
        if !python.is_ok_and(|status| status.success()) || TcpListener::bind(("127.0.0.1", PORT)).is_err() {
            return None;
        }
        let arguments = format!("{{\"command\":\"python3 -m http.server {PORT}\",\"port\":{PORT}}}");
        let script =
            Script::in_order([calls("start_server", &arguments), says("Your pages are being served.")]);
        let (lab, mut terminal) = at_prompt(script, &["--mode", "bypass"]);
        terminal.keys("serve this folder\r");
        terminal.wait_for("being served.");
        terminal.wait_for_prompt();
        Some((lab, terminal))
    }

    fn question() -> Option<(Lab, Terminal)> {
        let arguments = r#"{"questions":[{"question":"Where should the sessions be kept?","header":"Store","options":[
            {"label":"SQLite","description":"one file, nothing to install"},
            {"label":"PostgreSQL","description":"many writers, a server to run"}]}]}"#;
        let (lab, mut terminal) = at_prompt(Script::in_order([calls("ask_user", arguments)]), &[]);
        terminal.keys("keep the sessions\r");
        terminal.wait_for("Where should");
        terminal.keys("\x1b[B");
        terminal.wait_for("❯ 2.");
        Some((lab, terminal))
    }

    /// Times and process ids are other ones in each run: their digits are replaced, as many as there were.
    fn steady(text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, from) = rest.split_at(at);
            let end = from.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(from.len());
            let (number, after) = from.split_at(end);
            out.push_str(before);
            let is_time = after.starts_with('s') && !after[1..].starts_with(char::is_alphanumeric);
            if is_time || before.ends_with("pid ") {
                out.push_str(&number.chars().map(|c| if c == '.' { c } else { '1' }).collect::<String>());
            } else {
                out.push_str(number);
            }
            rest = after;
        }
        out + rest
    }
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    pictures::main()
}

/// There is no pseudo terminal to draw.
#[cfg(not(unix))]
fn main() {}
