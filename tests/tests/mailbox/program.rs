//! The gateway as a process, and the mail in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mesh_mailbox::{Look, Mailbox};
use mesh_tests::lab::binary;

use crate::history::Found;

pub(crate) const TOKEN: &str = "operator-token-0123456789";

pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
}

impl Program {
    /// Starts a gateway on a free port.
    pub(crate) fn start(folder: &Path) -> Program {
        let database = folder.join("mesh.db");
        // The lock file tells where the gateway listens.
        let lock = folder.join("mesh.db.lock");
        let _ = std::fs::remove_file(&lock);
        let mut child = Command::new(binary())
            .args(["gateway", "serve", "--listen", "127.0.0.1:0", "--db"])
            .arg(&database)
            .env_clear()
            .env("HOME", folder)
            .env("MESH_GATEWAY_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        loop {
            let note = std::fs::read_to_string(&lock).unwrap_or_default();
            if let Some(url) = note.strip_suffix('\n').filter(|url| !url.is_empty()) {
                return Program { child, url: url.to_owned() };
            }
            assert!(child.try_wait().unwrap().is_none(), "the gateway ended");
            assert!(begin.elapsed() < Duration::from_secs(30), "the gateway does not start");
            std::thread::yield_now();
        }
    }

    /// Starts a gateway on a free port, with its mail in a database that it may share with others.
    pub(crate) fn over(database: &str, folder: &Path, change: impl FnOnce(&mut Command)) -> Program {
        let mut command = Command::new(binary());
        Program::over_at(&mut command, database, folder, ([127, 0, 0, 1], 0).into());
        change(&mut command);
        Program::launch(command)
    }

    /// Completes the command of such a gateway.
    pub(crate) fn over_at(command: &mut Command, database: &str, folder: &Path, listen: SocketAddr) {
        command
            .args(["gateway", "serve", "--listen", &listen.to_string()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env("MESH_GATEWAY_TOKEN", TOKEN)
            .env("MESH_GATEWAY_DB", database)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
    }

    /// Starts a gateway that tells on standard error where it listens.
    pub(crate) fn launch(mut command: Command) -> Program {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut told = Vec::new();
        let url = lines.by_ref().find_map(|line| {
            let url = line.strip_prefix("gateway on ").and_then(|rest| rest.split_once(','));
            let url = url.map(|(url, _)| url.to_owned());
            told.push(line);
            url
        });
        // What it says later is for whoever looks at a failed run.
        std::thread::spawn(move || lines.for_each(|line| say(&format!("gateway: {line}"))));
        let url = url.unwrap_or_else(|| panic!("the gateway does not start: {told:?}"));
        Program { child, url }
    }

    /// Ends it as a loss of the process would: nothing is tidied up.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn mailbox(&self, node: &str) -> Mailbox {
        Mailbox::builder(node)
            .gateway_url(&self.url)
            .token(TOKEN)
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says something past the capture of the test harness.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// All of an inbox, by its cursor.
pub(crate) async fn all_mail(mailbox: &Mailbox) -> Vec<Found> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let of = Some(mailbox.node().to_owned());
        let look = Look { of, after: Some(after), oldest_first: true, limit: Some(1000), ..Look::default() };
        let (inbox, next) = mailbox.fetch_page(&look).await.unwrap();
        if inbox.envelopes.is_empty() {
            return all;
        }
        let row = |row: mesh_mailbox::Envelope| {
            (row.id.0, row.extra["seq"].as_i64().unwrap(), row.content.unwrap())
        };
        all.extend(inbox.envelopes.into_iter().map(row));
        after = next.unwrap();
    }
}
