//! A PostgreSQL of the tests' own: made in a temporary folder, reached by a socket in it or by loopback, stopped with its last
//! user. Where PostgreSQL is not installed, tests skip it and say so; where `MESHAPI_POSTGRES=required` they fail.
#![allow(dead_code, reason = "each test program uses its own part of it")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The password of everybody who comes by loopback.
pub(crate) const PASSWORD: &str = "s3cret-of-tests";

/// Longest time until a server is ready.
const START: Duration = Duration::from_secs(60);

/// A server that runs.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    /// Not root: PostgreSQL refuses to run as it.
    owner: Option<(u32, u32)>,
    settings: Vec<String>,
    guard: Mutex<Option<Child>>,
    databases: AtomicU32,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server that the tests of one program share: the one that runs, or a new one. Nothing where there is no PostgreSQL.
pub(crate) fn shared() -> Option<Arc<Server>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(Server::start(&[])?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

impl Server {
    /// A new server with further settings (`name=value`). Nothing, and a visible line, where there is no PostgreSQL.
    pub(crate) fn start(settings: &[&str]) -> Option<Server> {
        if program("initdb").is_none() || program("postgres").is_none() || program("psql").is_none() {
            let is_required = std::env::var_os("MESHAPI_POSTGRES").is_some_and(|word| word == "required");
            assert!(!is_required, "PostgreSQL is not installed, and MESHAPI_POSTGRES=required");
            // Past the capture of the test harness: a skipped test must be seen.
            let _ =
                writeln!(std::io::stderr(), "skipped: PostgreSQL (initdb, postgres, psql) is not installed");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("mesh-pg").tempdir().unwrap();
        let owner = unprivileged(folder.path());
        if let Some((user, group)) = owner {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let server = Server {
            folder,
            port: free_port(),
            owner,
            settings,
            guard: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        std::fs::write(server.folder.path().join("password"), PASSWORD).unwrap();
        let made = server
            .command("initdb")
            .args(["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"])
            .args(["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"])
            .arg(format!("--pwfile={}", server.folder.path().join("password").display()))
            .arg("-D")
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.run();
        Some(server)
    }

    /// A standby that follows a server, and without which the server acknowledges nothing if its settings say so.
    pub(crate) fn standby_of(primary: &Server) -> Server {
        let folder = tempfile::Builder::new().prefix("mesh-pg").tempdir().unwrap();
        if let Some((user, group)) = primary.owner {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        primary.stop();
        let copied = Command::new("cp").arg("-a").arg(primary.data()).arg(folder.path()).status().unwrap();
        assert!(copied.success(), "the server's files cannot be copied");
        primary.run();
        std::fs::write(folder.path().join("data/standby.signal"), "").unwrap();
        let way = format!(
            "host=127.0.0.1 port={} user=postgres password={PASSWORD} application_name=standby",
            primary.port
        );
        let standby = Server {
            folder,
            port: free_port(),
            owner: primary.owner,
            settings: vec![format!("primary_conninfo={way}")],
            guard: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        standby.run();
        let begin = Instant::now();
        while primary.sql("postgres", "SELECT sync_state FROM pg_stat_replication") != "sync" {
            assert!(begin.elapsed() < START, "the standby does not follow");
            std::thread::sleep(Duration::from_millis(20));
        }
        standby
    }

    /// Where its files are.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, again after [`Server::kill`], and waits until it is ready.
    pub(crate) fn run(&self) {
        let mut guard = self.guard.lock().unwrap();
        // Whatever ends this program, the guard reads the end of its input, and ends the server.
        let script = "log=$1; shift; \"$@\" >>\"$log\" 2>&1 & read -r _; kill -QUIT $! 2>/dev/null; wait";
        let mut command = self.command("sh");
        command.args(["-c", script, "guard"]).arg(self.folder.path().join("log"));
        command.arg(program("postgres").unwrap()).arg("-D").arg(self.data());
        let mut settings = vec![
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".into(),
            format!("unix_socket_directories={}", self.folder.path().display()),
            "fsync=off".into(),
            "shared_buffers=32MB".into(),
            "max_connections=100".into(),
        ];
        settings.extend(self.settings.iter().cloned());
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
        *guard = Some(command.stdin(Stdio::piped()).spawn().unwrap());
        drop(guard);
        self.wait_until("it is ready", |status| {
            status.is_some_and(|lines| lines.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
        });
    }

    /// Ends it as a power cut would: nobody is told, nothing is tidied up.
    pub(crate) fn kill(&self) {
        self.signal("KILL");
        self.wait_until_gone();
    }

    /// Ends it in good order; sessions are closed.
    pub(crate) fn stop(&self) {
        self.signal("INT");
        self.wait_until_gone();
    }

    /// Sends a signal to the server's first process.
    pub(crate) fn signal(&self, name: &str) {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let Some(pid) = text.lines().next() else { return };
        let _ = Command::new("kill").args(["-s", name, pid]).status();
    }

    fn wait_until_gone(&self) {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let pid = text.lines().next().unwrap_or("0").to_owned();
        let deadline = Instant::now() + START;
        // Its guard reaps it when it is told to; until then it is a zombie, which holds nothing.
        while Path::new("/proc").join(&pid).exists() && !is_zombie(&pid) {
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.release();
    }

    fn release(&self) {
        if let Some(mut guard) = self.guard.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(Option<&str>) -> bool) {
        let deadline = Instant::now() + START;
        loop {
            let status = std::fs::read_to_string(self.data().join("postmaster.pid")).ok();
            if is_so(status.as_deref()) {
                return;
            }
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "not {what}: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A new database; its address by the socket, where everybody is let in.
    pub(crate) fn database(&self) -> String {
        let name = format!("mesh{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.address("postgres", &name)
    }

    /// The address of a database by the socket.
    pub(crate) fn address(&self, user: &str, database: &str) -> String {
        let mut folder = String::new();
        for byte in self.folder.path().as_os_str().as_encoded_bytes() {
            let _ = write!(folder, "%{byte:02X}");
        }
        format!("postgres://{user}@{folder}:{}/{database}", self.port)
    }

    /// The same database by loopback, where a password is asked for.
    pub(crate) fn by_loopback(&self, address: &str, user: &str, password: &str) -> String {
        let database = address.rsplit('/').next().unwrap_or_default();
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements as the superuser; returns what they print, a line a row.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let ran = self.try_sql(database, sql);
        assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    /// The same, whatever comes of it.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Output {
        let database = database.rsplit('/').next().unwrap_or_default();
        let mut command = Command::new(program("psql").unwrap());
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database]);
        command.arg("-h").arg(self.folder.path()).arg("-p").arg(self.port.to_string()).args(["-c", sql]);
        command.output().unwrap()
    }

    /// A session of `psql` that has run `sql` and stays open until it is dropped.
    pub(crate) fn holding(&self, database: &str, sql: &str) -> Holding {
        let database = database.rsplit('/').next().unwrap_or_default();
        let mut command = Command::new(program("psql").unwrap());
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database]);
        command.arg("-h").arg(self.folder.path()).arg("-p").arg(self.port.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{sql};\n\\echo held").unwrap();
        input.flush().unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim() != "held" {
            line.clear();
            let read = std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
            assert!(read > 0, "psql ended");
        }
        Holding { child, input: Some(input) }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name).unwrap_or_else(|| name.into()));
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release();
    }
}

/// An open session.
pub(crate) struct Holding {
    child: Child,
    input: Option<std::process::ChildStdin>,
}

impl Holding {
    /// Has it run more, without waiting for it.
    pub(crate) fn then(&mut self, sql: &str) {
        writeln!(self.input.as_mut().unwrap(), "{sql};").unwrap();
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// A program on the path, or of the newest PostgreSQL where Debian puts it.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) =
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    {
        return Some(found);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut folders: Vec<PathBuf> = versions.flatten().map(|entry| entry.path()).collect();
    folders.sort_by_key(number);
    folders.into_iter().rev().map(|folder| folder.join("bin").join(name)).find(|file| file.is_file())
}

/// Who may run a server here, when we may not: `nobody`, when we are root.
fn unprivileged(folder: &Path) -> Option<(u32, u32)> {
    if std::fs::metadata(folder).unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let nobody = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == "nobody").then_some(())?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    Some(nobody.unwrap_or((65534, 65534)))
}

/// Below the ports that the system gives out: while a server is down, nobody gets its port by chance, and no client that tries to
/// reach it meets itself.
fn free_port() -> u16 {
    const RANGE: std::ops::Range<u32> = 30_000..32_700;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(37);
    let mut ports = RANGE.map(|_| {
        let step = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (RANGE.end - RANGE.start);
        (RANGE.start + step) as u16
    });
    ports.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

fn is_zombie(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
