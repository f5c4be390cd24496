//! A terminal for the binary: keys go in, a screen comes out. It answers what programs ask a terminal.

use std::{
    io::{Read, Write},
    process::Command,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::lab::{Lab, binary};

/// How long a screen may take to show what is waited for: far more than it needs on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows above the screen that are kept.
const SCROLLBACK: usize = 20_000;

/// A running program and its screen.
pub struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    bytes: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    log: Vec<u8>,
    size: (u16, u16),
    /// What it says when it is asked for its background; nothing if this is empty.
    background: Vec<u8>,
}

impl Terminal {
    /// Starts the binary of the lab in a terminal of this many columns and rows.
    ///
    /// # Panics
    /// Where there is no pseudo terminal.
    pub fn start(lab: &Lab, arguments: &[&str], size: (u16, u16)) -> Terminal {
        Terminal::start_with(lab, arguments, size, &[])
    }

    /// The same with more variables; an empty value takes one away.
    ///
    /// # Panics
    /// Where there is no pseudo terminal.
    pub fn start_with(lab: &Lab, arguments: &[&str], size: (u16, u16), more: &[(&str, &str)]) -> Terminal {
        let mut command = CommandBuilder::new(binary());
        command.args(arguments);
        command.cwd(lab.work());
        command.env_clear();
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("MESHAPI_THEME", "dark");
        for (name, value) in lab.environment() {
            command.env(name, value);
        }
        for (name, value) in more {
            if value.is_empty() {
                command.env_remove(name);
            } else {
                command.env(name, value);
            }
        }
        let pty = native_pty_system().openpty(pty_size(size)).expect("a pseudo terminal");
        let child = pty.slave.spawn_command(command).expect("the binary starts");
        drop(pty.slave);
        let mut reader = pty.master.try_clone_reader().expect("a reader");
        let keys = pty.master.take_writer().expect("a writer");
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(size.1, size.0, SCROLLBACK);
        Terminal {
            master: pty.master,
            keys,
            child,
            bytes,
            screen,
            log: Vec::new(),
            size,
            background: Vec::new(),
        }
    }

    /// From here on says this when it is asked for the colour of its background (OSC 11).
    pub fn answers_background(&mut self, answer: &str) {
        self.background = answer.as_bytes().to_vec();
    }

    /// Types these bytes.
    ///
    /// # Panics
    /// Where the terminal is gone.
    pub fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keys.flush().expect("the terminal takes keys");
    }

    /// Types bytes that need not be text.
    ///
    /// # Panics
    /// Where the terminal is gone.
    pub fn raw(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("the terminal takes keys");
        self.keys.flush().expect("the terminal takes keys");
    }

    /// Closes the window.
    pub fn hang_up(mut self) {
        let (sender, bytes) = channel();
        drop(sender);
        self.bytes = bytes;
        self.keys = Box::new(std::io::sink());
        let empty = native_pty_system().openpty(pty_size(self.size)).expect("a pseudo terminal").master;
        drop(std::mem::replace(&mut self.master, empty));
        std::mem::forget(self);
    }

    /// Pastes a text, marked as terminals do.
    pub fn paste(&mut self, text: &str) {
        self.keys(&format!("\x1b[200~{text}\x1b[201~"));
    }

    /// Changes the size of the window.
    ///
    /// # Panics
    /// Where the terminal is gone.
    pub fn resize(&mut self, size: (u16, u16)) {
        self.pump(Duration::ZERO);
        self.screen.screen_mut().set_size(size.1, size.0);
        self.size = size;
        self.master.resize(pty_size(size)).expect("the terminal changes its size");
    }

    /// Waits until the screen shows this text.
    ///
    /// # Panics
    /// Where it does not in a long time; the message holds the screen.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        self.wait_until(&format!("`{text}`"), |screen| screen.contains(text));
    }

    /// Waits until the screen does not show this text any more.
    ///
    /// # Panics
    /// Where it does for a long time; the message holds the screen.
    #[track_caller]
    pub fn wait_without(&mut self, text: &str) {
        self.wait_until(&format!("no `{text}`"), |screen| !screen.contains(text));
    }

    /// Waits until the screen is as it should be.
    ///
    /// # Panics
    /// Where it is not in a long time; the message holds the screen.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.screen()) {
            let is_open = self.pump(Duration::from_millis(50));
            assert!(Instant::now() < deadline, "waited for {what}; the screen is\n{}", self.screen());
            assert!(
                is_open || is_so(&self.screen()),
                "ended before {what}; the screen is\n{}",
                self.screen()
            );
        }
    }

    /// Waits until the picture is as it should be: colours, cursor.
    ///
    /// # Panics
    /// Where it is not in a long time; the message holds the screen.
    #[track_caller]
    pub fn wait_for_picture(&mut self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self.picture()) {
            self.pump(Duration::from_millis(50));
            assert!(Instant::now() < deadline, "waited for {what}; the screen is\n{}", self.screen());
        }
    }

    /// Waits until the prompt is there and nothing else follows.
    #[track_caller]
    pub fn wait_for_prompt(&mut self) {
        self.wait_until("the prompt", |screen| {
            let rows: Vec<&str> = screen
                .lines()
                .filter(|row| !row.trim().is_empty() && !row.starts_with("  serving "))
                .collect();
            // While a turn runs the last row stands at the left.
            let words = ["mode", "edits on", "permissions on"];
            let is_bar = |row: &str| row.starts_with("  ") && words.iter().any(|word| row.contains(word));
            matches!(rows.as_slice(), [.., prompt, bar] if prompt.trim_end() == "›" && is_bar(bar))
        });
    }

    /// Waits for the end of the program and returns its exit code.
    ///
    /// # Panics
    /// Where it does not end in a long time.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.pump(Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().expect("the program can be waited for") {
                self.pump(Duration::from_millis(50));
                return status.exit_code();
            }
            assert!(Instant::now() < deadline, "the program does not end; the screen is\n{}", self.screen());
        }
    }

    /// Leaves the prompt, however often it takes, and returns the exit code.
    ///
    /// # Panics
    /// Where it does not end in a long time.
    #[track_caller]
    pub fn leave(&mut self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The program may have ended just now.
            let _ = self.keys.write_all(b"\x04").and_then(|()| self.keys.flush());
            self.pump(Duration::from_millis(200));
            if let Some(status) = self.child.try_wait().expect("the program can be waited for") {
                return status.exit_code();
            }
            assert!(Instant::now() < deadline, "the program does not end; the screen is\n{}", self.screen());
        }
    }

    /// The process of the program.
    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap_or(0)
    }

    /// Sends a signal by its name (`TERM`) to the program.
    ///
    /// # Panics
    /// Where there is no `kill`, or no program.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill is there").success(), "{name}");
    }

    /// Waits until the program is paused.
    ///
    /// # Panics
    /// Where it is not in a long time.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub fn wait_until_paused(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.pump(Duration::from_millis(10));
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
            // The name before the state may hold anything, but it ends at the last bracket.
            if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')) {
                self.pump(Duration::from_millis(50));
                return;
            }
            assert!(Instant::now() < deadline, "it is not paused; the screen is\n{}", self.screen());
        }
    }

    /// Whether the terminal itself edits and echoes lines, as a shell's commands find it.
    ///
    /// # Panics
    /// Where the terminal is gone.
    #[cfg(unix)]
    pub fn is_as_found(&self) -> bool {
        let modes = rustix::termios::tcgetattr(self.device()).expect("it has modes");
        modes.local_modes.contains(shell_modes().0) && modes.output_modes.contains(shell_modes().1)
    }

    /// Sets the terminal as a shell would for itself, whatever the program made of it.
    ///
    /// # Panics
    /// Where the terminal is gone.
    #[cfg(unix)]
    pub fn shell_takes_over(&mut self) {
        let device = self.device();
        let mut modes = rustix::termios::tcgetattr(&device).expect("it has modes");
        modes.local_modes.insert(shell_modes().0);
        modes.output_modes.insert(shell_modes().1);
        let now = rustix::termios::OptionalActions::Now;
        rustix::termios::tcsetattr(&device, now, &modes).expect("it takes modes");
    }

    #[cfg(unix)]
    fn device(&self) -> rustix::fd::OwnedFd {
        use rustix::fs::{Mode, OFlags};
        let name = self.master.tty_name().expect("it has a name");
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it can be opened")
    }

    /// Others write to the screen, as a shell does while the program is paused.
    pub fn others_write(&mut self, text: &str) {
        self.log.extend_from_slice(text.as_bytes());
        self.screen.process(text.as_bytes());
    }

    /// What the screen shows, without blanks at the ends of rows.
    pub fn screen(&self) -> String {
        let rows = self.screen.screen().rows(0, self.size.0);
        let text: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
        text.join("\n").trim_end().to_owned()
    }

    /// The screen with its colours.
    pub fn picture(&self) -> &vt100::Screen {
        self.screen.screen()
    }

    /// All rows that were ever scrolled off, and the screen.
    pub fn whole(&mut self) -> String {
        all_rows(&mut self.screen, self.size.0).join("\n")
    }

    /// Every byte that the program wrote.
    pub fn log(&self) -> &[u8] {
        &self.log
    }

    /// Takes what has come; waits for the first piece at most this long. Says whether more may come.
    fn pump(&mut self, wait: Duration) -> bool {
        match self.bytes.recv_timeout(wait) {
            Ok(bytes) => self.take(&bytes),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        while let Ok(bytes) = self.bytes.try_recv() {
            self.take(&bytes);
        }
        true
    }

    fn take(&mut self, bytes: &[u8]) {
        self.log.extend_from_slice(bytes);
        let mut rest = bytes;
        const WHERE: &[u8] = b"\x1b[6n";
        const BEHIND: &[u8] = b"\x1b]11;?\x1b\\";
        while let Some((at, question)) = first_of(rest, &[WHERE, BEHIND]) {
            let (before, after) = rest.split_at(at + question.len());
            self.screen.process(before);
            let answer = if question == WHERE {
                let (row, column) = self.screen.screen().cursor_position();
                format!("\x1b[{};{}R", row + 1, column + 1).into_bytes()
            } else {
                self.background.clone()
            };
            // A program that has ended asks no more.
            let _ = self.keys.write_all(&answer).and_then(|()| self.keys.flush());
            rest = after;
        }
        self.screen.process(rest);
    }
}

/// What a shell's commands find: lines are edited and shown, keys make signals, line feeds return the carriage.
#[cfg(unix)]
fn shell_modes() -> (rustix::termios::LocalModes, rustix::termios::OutputModes) {
    use rustix::termios::{LocalModes, OutputModes};
    (LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG, OutputModes::OPOST)
}

/// The first of these that stands in the bytes, and where.
fn first_of<'q>(bytes: &[u8], questions: &[&'q [u8]]) -> Option<(usize, &'q [u8])> {
    let found = questions.iter().filter_map(|question| {
        let at = bytes.windows(question.len()).position(|window| window == *question)?;
        Some((at, *question))
    });
    found.min_by_key(|(at, _)| *at)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All rows of a screen and above it, without blanks at their ends.
pub fn all_rows(screen: &mut vt100::Parser, columns: u16) -> Vec<String> {
    let screen = screen.screen_mut();
    screen.set_scrollback(usize::MAX);
    let above = screen.scrollback();
    let mut rows: Vec<String> = Vec::new();
    let height = usize::from(screen.size().0);
    let mut back = above;
    while back > 0 {
        screen.set_scrollback(back);
        let count = back.min(height);
        rows.extend(screen.rows(0, columns).take(count).map(|row| row.trim_end().to_owned()));
        back -= count;
    }
    screen.set_scrollback(0);
    rows.extend(screen.rows(0, columns).map(|row| row.trim_end().to_owned()));
    rows
}

fn pty_size((cols, rows): (u16, u16)) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}
