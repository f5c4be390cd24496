//! A mail gateway as a process, and the peers of a journey with tokens of their own.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mesh_mailbox::{Envelope, Kind, Look, Mailbox};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::lab::{binary, free_port};

/// The token of the gateway's operator.
pub const OPERATOR: &str = "operator-token-0123456789";

/// How long something may take that is waited for: far more than it needs on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway, on one SQLite file or on a PostgreSQL database. It can be ended as by a loss of the process, and begun again at the same address.
pub struct Post {
    folder: TempDir,
    /// Where there is a server for it.
    shared: Option<String>,
    listen: String,
    child: Option<Child>,
    runtime: Runtime,
}

impl Post {
    /// Starts a gateway.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start() -> Post {
        Post::with(None)
    }

    /// Starts a gateway on a database that it shares with others.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn sharing(database: &str) -> Post {
        Post::with(Some(database.to_owned()))
    }

    fn with(shared: Option<String>) -> Post {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let listen = format!("127.0.0.1:{}", free_port());
        let mut post = Post { folder, shared, listen, child: None, runtime: runtime.expect("an event loop") };
        post.begin();
        post
    }

    /// Begins again what was ended.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn begin(&mut self) {
        let database = self.database();
        let database = self.shared.as_ref().map_or(database.as_os_str(), |shared| shared.as_ref());
        let mut child = Command::new(binary())
            .args(["gateway", "serve", "--listen", &self.listen, "--db"])
            .arg(database)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("MESH_GATEWAY_TOKEN", OPERATOR)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let begin = Instant::now();
        while TcpStream::connect(&self.listen).is_err() {
            assert!(child.try_wait().is_ok_and(|ended| ended.is_none()), "the gateway ended");
            assert!(begin.elapsed() < PATIENCE, "the gateway does not start");
            std::thread::yield_now();
        }
        self.child = Some(child);
    }

    /// Ends it as a loss of the process would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Its file.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("mesh.db")
    }

    /// Makes a peer known; gives its token.
    ///
    /// # Panics
    /// Where the gateway refuses.
    pub fn register(&self, name: &str) -> String {
        let done = self.runtime.block_on(self.speaking(name, OPERATOR).register(None, None));
        done.expect("the gateway registers a name").token.expect("a new name has a token")
    }

    /// A peer's mailbox.
    ///
    /// # Panics
    /// Never: the address is one.
    pub fn speaking(&self, name: &str, token: &str) -> Mailbox {
        let mailbox =
            Mailbox::builder(name).gateway_url(self.url()).token(token).timeout(Duration::from_secs(20));
        mailbox.build().expect("an address")
    }

    /// Sends a message; gives its number.
    ///
    /// # Panics
    /// Where the gateway refuses.
    pub fn send(&self, from: &Mailbox, to: &str, kind: Kind, thread: Option<&str>, content: &str) -> i64 {
        let mut message = from.compose_unchecked(to, kind, content).expect("a message");
        message.thread_id = thread.map(|id| mesh_mailbox::ThreadId::new(id).expect("a thread"));
        self.runtime
            .block_on(from.send(&message))
            .expect("the gateway stores it")
            .id
            .expect("it has a number")
    }

    /// All of an inbox, the oldest first, whatever became of it.
    ///
    /// # Panics
    /// Where the gateway refuses.
    pub fn inbox(&self, name: &str) -> Vec<Envelope> {
        let look = Look {
            of: Some(name.to_owned()),
            after: Some(0),
            oldest_first: true,
            limit: Some(1000),
            ..Look::default()
        };
        self.runtime
            .block_on(self.speaking(name, OPERATOR).fetch(&look))
            .expect("the gateway answers")
            .envelopes
    }

    /// What came of a message, and the word about it.
    ///
    /// # Panics
    /// Where there is no such message.
    pub fn outcome(&self, name: &str, id: i64) -> (Option<String>, Option<String>) {
        let row = self.inbox(name).into_iter().find(|row| row.id.0 == id).expect("the message is there");
        let text = |field: &str| row.extra.get(field).and_then(Value::as_str).map(str::to_owned);
        (text("outcome"), text("note"))
    }

    /// Waits until an inbox is as wanted.
    ///
    /// # Panics
    /// Where it does not become so.
    pub fn wait_for(&self, name: &str, what: &str, wanted: impl Fn(&[Envelope]) -> bool) -> Vec<Envelope> {
        let begin = Instant::now();
        loop {
            let rows = self.inbox(name);
            if wanted(&rows) {
                return rows;
            }
            assert!(begin.elapsed() < PATIENCE, "{what} does not come: {rows:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The variables that give a run this mailbox.
    pub fn environment(&self, name: &str, token: &str) -> Vec<(&'static str, String)> {
        vec![
            ("MESH_NODE", name.to_owned()),
            ("MESH_GATEWAY_URL", self.url()),
            ("MESH_GATEWAY_TOKEN", token.to_owned()),
        ]
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines of a file; none where there is none.
pub fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
