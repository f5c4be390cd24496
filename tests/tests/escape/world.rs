//! A throw-away home, project and neighbourhood, with listeners and a process to be let alone.

use std::{
    fs,
    io::Read,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tempfile::TempDir;

/// Who runs an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    /// `None` is whoever runs the tests.
    pub(crate) uid: Option<u32>,
}

/// Secrets by path below the home; each holds the word that an attempt looks for.
const SECRETS: [&str; 14] = [
    ".ssh/id_ed25519",
    ".ssh/authorized_keys",
    ".aws/credentials",
    ".netrc",
    ".git-credentials",
    ".config/gh/hosts.yml",
    ".docker/config.json",
    ".kube/config",
    ".npmrc",
    ".pypirc",
    ".cargo/credentials.toml",
    ".meshapi/credentials",
    ".bash_history",
    ".config/pip/pip.conf",
];

/// A throw-away world.
pub(crate) struct World {
    folder: TempDir,
    person: Person,
    victim: Child,
    heard: Arc<AtomicBool>,
    ports: [u16; 3],
}

impl World {
    /// A new world for this person; `calls` is the program of system calls.
    pub(crate) fn new(person: Person, calls: &Path) -> World {
        let folder = tempfile::Builder::new().prefix("mesh-escape-").tempdir().unwrap();
        let root = folder.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for secret in SECRETS {
            put(&format!("home/{secret}"), "password = TOPSECRET\n");
        }
        put("home/.gitconfig", "[user]\n\tname = A\n\temail = a@example.org\n[safe]\n\tdirectory = *\n");
        put("home/.bashrc", "# mine\n");
        put("home/.cargo/registry/package", "a package\n");
        put("home/.cargo/bin/tool", "#!/bin/sh\necho a tool of the home\n");
        put("outside/victim", "TOPSECRET of a neighbour\n");
        put("outside/attributed", "");
        put("work/nested.txt", "x\n");
        put("work/.idea/workspace.xml", "<x/>\n");
        fs::create_dir(root.join("work_evil")).unwrap();
        fs::copy(calls, root.join("work/calls")).unwrap();
        let executable = |path: &str, mode| {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        executable("work/calls", 0o755);
        executable("home/.cargo/bin/tool", 0o755);
        for repository in ["work", "work/nested"] {
            let script = "git init -q . && git commit -q --allow-empty -m start && printf 'nested\\n.idea\\n' >.git/info/exclude";
            let done = Command::new("sh")
                .args(["-c", script])
                .current_dir(root.join(repository_folder(root, repository)))
                .env_clear()
                .env("PATH", path_of(root))
                .env("HOME", root.join("home"))
                .status()
                .unwrap();
            assert!(done.success());
        }
        if let Some(uid) = person.uid {
            let owner = format!("{uid}:{uid}");
            assert!(Command::new("chown").arg("-R").arg(owner).arg(root).status().unwrap().success());
            // A program that makes whoever runs it root.
            let suid = root.join("work/suid");
            fs::copy("/usr/bin/id", &suid).unwrap();
            fs::set_permissions(&suid, fs::Permissions::from_mode(0o4755)).unwrap();
        }
        let heard = Arc::new(AtomicBool::new(false));
        let ports = listen(root, &heard);
        if let Some(uid) = person.uid {
            for socket in ["outside/daemon.sock", "work/daemon.sock"] {
                std::os::unix::fs::chown(root.join(socket), Some(uid), Some(uid)).unwrap();
            }
        }
        let mut victim = person.command("sleep");
        victim.args(["600"]).env("VICTIM", "VICTIM-SECRET").stdin(Stdio::null());
        let victim = spawn_named(victim);
        World { folder, person, victim, heard, ports }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// What a person's command sees without a sandbox: also a variable that is secret.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.person.command(program);
        command.current_dir(self.root().join("work")).env("HOME", self.root().join("home"));
        command.env("PATH", path_of(self.root())).env("SERVICE_TOKEN", "VARIABLE-SECRET");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The script with the world's places in it.
    pub(crate) fn fill(&self, text: &str) -> String {
        use std::os::unix::fs::MetadataExt;
        let place = |name: &str| self.root().join(name).display().to_string();
        let [tcp, tcp6, udp] = self.ports;
        let inode = fs::metadata(self.root().join("outside/victim")).map_or(0, |meta| meta.ino());
        let name = self.root().file_name().unwrap().to_string_lossy();
        text.replace("@PLANT@", &format!("touch {}", place("PWNED")))
            .replace("@ROOT@", &self.root().display().to_string())
            .replace("@OUT@", &place("outside"))
            .replace("@HOME@", &place("home"))
            .replace("@WORK@", &place("work"))
            .replace("@TCP@", &tcp.to_string())
            .replace("@TCP6@", &tcp6.to_string())
            .replace("@UDP@", &udp.to_string())
            .replace("@VICTIM@", &self.victim.id().to_string())
            .replace("@INODE@", &inode.to_string())
            .replace("@NAME@", &name)
    }

    /// Whether anybody talked to one of the listeners.
    pub(crate) fn heard(&self) -> bool {
        // The listener may still be about to notice.
        thread::sleep(std::time::Duration::from_millis(30));
        self.heard.load(Ordering::SeqCst)
    }

    /// Whether the process that was to be let alone is gone.
    pub(crate) fn victim_gone(&mut self) -> bool {
        // A signal that was sent takes a moment on a busy machine.
        for _ in 0..30 {
            if !matches!(self.victim.try_wait(), Ok(None)) {
                return true;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
        false
    }
}

fn repository_folder(root: &Path, name: &str) -> PathBuf {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn path_of(root: &Path) -> String {
    format!("{}/home/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", root.display())
}

/// The victim's command line tells whose it is.
fn spawn_named(command: Command) -> Child {
    let mut named = Command::new(command.get_program());
    named.args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        named.env(name, value.unwrap_or_default());
    }
    named.env("NAME", "victim-of").stdin(Stdio::null());
    named.spawn().unwrap()
}

impl Person {
    /// A command of this person, with nothing in its environment.
    pub(crate) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = match self.uid {
            None => Command::new(program),
            Some(uid) => {
                let uid = uid.to_string();
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"]).arg(program);
                command
            }
        };
        command.env_clear();
        command
    }
}

/// Listens on every kind of socket and remembers whether anybody came.
fn listen(root: &Path, heard: &Arc<AtomicBool>) -> [u16; 3] {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    // Without IPv6 nobody can come that way.
    let tcp6 = TcpListener::bind("[::1]:0").ok();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ports = [
        tcp.local_addr().unwrap().port(),
        tcp6.as_ref().map_or(9, |socket| socket.local_addr().unwrap().port()),
        udp.local_addr().unwrap().port(),
    ];
    let name = root.file_name().unwrap().as_encoded_bytes().to_owned();
    let nameless = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    let sockets =
        ["outside/daemon.sock", "work/daemon.sock"].map(|path| UnixListener::bind(root.join(path)).unwrap());
    for listener in [Some(tcp), tcp6].into_iter().flatten() {
        let heard = heard.clone();
        thread::spawn(move || {
            for _ in listener.incoming() {
                heard.store(true, Ordering::SeqCst);
            }
        });
    }
    for listener in sockets.into_iter().chain([nameless]) {
        let heard = heard.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 1]);
                heard.store(true, Ordering::SeqCst);
            }
        });
    }
    let heard = heard.clone();
    thread::spawn(move || {
        while udp.recv(&mut [0; 16]).is_ok() {
            heard.store(true, Ordering::SeqCst);
        }
    });
    ports
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let _ = fs::remove_file(Path::new("/dev/shm").join(self.root().file_name().unwrap_or_default()));
    }
}
