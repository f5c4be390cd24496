//! The lab: the binary from outside, beside a scripted gateway, in a throw-away home and workspace.

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
};

use mesh_client::scripted::{Script, ScriptedGateway, ScriptedRequest};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A key that looks like a real one, to be searched for where it must not be.
pub const KEY: &str = "rsk_lab_0123456789abcdef";

/// A gateway, a home and a workspace for one journey.
pub struct Lab {
    /// Runs the gateway; dropped after it.
    gateway: ScriptedGateway,
    _runtime: Runtime,
    root: TempDir,
}

/// A folder of its own. The model is told where it works and tokens are weighed by what it is told: every name is as
/// long and of digits alone, so that the figures and the screens of all runs are the same.
fn folder() -> std::io::Result<TempDir> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
        let name = format!("{:06}{next:04}", std::process::id() % 1_000_000);
        match tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir_in("/tmp") {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
}

impl Lab {
    /// Starts the gateway.
    ///
    /// # Panics
    /// Where no loopback socket or temporary folder can be had.
    pub fn new(script: Script) -> Lab {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("an event loop");
        let gateway = runtime.block_on(ScriptedGateway::start(script)).expect("a loopback socket");
        let root = folder().expect("a temporary folder");
        for folder in ["home", "work"] {
            std::fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        Lab { gateway, _runtime: runtime, root }
    }

    /// The user's home.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The working directory.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The requests that reached the gateway.
    pub fn requests(&self) -> Vec<ScriptedRequest> {
        self.gateway.requests()
    }

    /// The binary with these arguments, pointed at the gateway; its environment holds nothing else.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.work()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("MESHAPI_API_KEY", KEY);
        command.env("MESHAPI_BASE_URL", self.gateway.base_url().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The variables that the binary sees.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        vec![
            ("PATH".into(), std::env::var("PATH").unwrap_or_default()),
            ("HOME".into(), path(self.home())),
            ("MESHAPI_API_KEY".into(), KEY.into()),
            ("MESHAPI_BASE_URL".into(), self.gateway.base_url().to_string()),
        ]
    }

    /// Runs the binary to its end.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&self.command(arguments).output().expect("the binary starts"))
    }

    /// Runs the binary with this standard input.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a piped input");
        // Beside the reading: neither pipe holds everything. A child that ends early does not read it all.
        std::thread::scope(|scope| {
            scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
            Run::of(&child.wait_with_output().expect("the binary ends"))
        })
    }
}

/// What a run left.
#[derive(Debug)]
pub struct Run {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
}

impl Run {
    fn of(output: &Output) -> Run {
        Run {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

/// A port of this machine at which nobody listens, and which the system gives to nobody who asks for any.
///
/// # Panics
/// Where all are taken.
pub fn free_port() -> u16 {
    /// Below those that are given out: 32768 and up on Linux, 49152 and up elsewhere.
    const RANGE: std::ops::Range<u16> = 20_000..30_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run beside each other begin at different places.
    let first = (std::process::id() as u16).wrapping_mul(37);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut ports = RANGE.map(|_| {
        let step = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        RANGE.start + step % (RANGE.end - RANGE.start)
    });
    ports.find(is_free).expect("a free port")
}

/// What [`binary`] gives; set before its first call, it is another program.
pub static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// The `meshapi` binary of this source tree. It is brought up to date once a process: a stale one would prove nothing.
///
/// # Panics
/// Where it cannot be built.
pub fn binary() -> &'static Path {
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().expect("a test runs from a file");
        // target/PROFILE/deps/TEST, or target/PROFILE/PROGRAM
        let folder = test.parent().expect("a file stands in a folder");
        let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
        let profile = profile.expect("tests run from the target folder");
        let target = profile.parent().expect("a profile stands in the target folder");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--package", "meshapi-cli", "--bin", "meshapi", "--target-dir"])
            .arg(target);
        match profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => {}
            Some(name) => drop(cargo.args(["--profile", name])),
        }
        assert!(cargo.status().is_ok_and(|status| status.success()), "the binary cannot be built");
        profile.join(format!("meshapi{}", std::env::consts::EXE_SUFFIX))
    })
}
