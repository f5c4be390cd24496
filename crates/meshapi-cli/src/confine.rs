//! Which sandbox the commands of a run get, and in which words its level is told.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use mesh_safety::{
    Confined,
    sandbox::{self, Level, Sandbox},
};

use crate::config::Folder;

/// What confines the commands of a run.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Wraps commands; `None` when they run with all rights of the user.
    pub sandbox: Option<Arc<Sandbox>>,
    /// Why it is not the strongest; `None` too when the user turned it off.
    pub lacks: Option<String>,
    /// Commands reach hosts that the user named.
    pub has_network: bool,
}

/// What is known of the sandbox at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is looked for.
    #[default]
    Unknown,
    /// The user turned it off.
    Off,
    /// Commands are confined so well.
    At(Level),
}

impl Standing {
    /// The words for it in a row; empty while nothing is known.
    pub fn words(self) -> &'static str {
        match self {
            Standing::Unknown => "",
            Standing::Off | Standing::At(Level::None) => "no sandbox",
            Standing::At(Level::NoMounts) => "sandbox no-mounts",
            Standing::At(Level::Seatbelt) => "sandbox seatbelt",
            Standing::At(Level::Full) => "sandbox full",
        }
    }

    /// Whether a person has to know: commands are less confined than they could be.
    pub fn is_weak(self) -> bool {
        match self {
            Standing::Unknown | Standing::At(Level::Full | Level::Seatbelt) => false,
            Standing::Off | Standing::At(Level::None | Level::NoMounts) => true,
        }
    }
}

/// A [`Standing`] that many look at.
#[derive(Clone, Debug, Default)]
pub struct SharedStanding(Arc<Mutex<Standing>>);

impl SharedStanding {
    /// What is known now.
    pub fn get(&self) -> Standing {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

/// A confinement that may still be looked for, so that nobody waits for it before there is a command to confine.
///
/// The search starts when somebody waits for it, or after a head start: the first prompt has the machine to itself.
#[derive(Debug)]
pub struct Confining {
    search: Option<(JoinHandle<Confinement>, mpsc::Sender<()>)>,
    found: Confinement,
    standing: SharedStanding,
}

/// In that time the first prompt stands (about 10 ms on a slow machine).
const HEAD_START: Duration = Duration::from_millis(30);

impl Confining {
    /// Looks for the strongest that holds on this machine: see [`Confinement::of_machine`].
    pub fn search(folder: &Folder, cwd: &Path, home: Option<&Path>, hosts: &[String]) -> Confining {
        let (folder, cwd, home) = (folder.clone(), cwd.to_owned(), home.map(Path::to_owned));
        let hosts = hosts.to_vec();
        let standing = SharedStanding::default();
        if let Some(known) = sandbox::recall(Path::new(HELPER), &folder.file(REMEMBERED)) {
            standing.set(Standing::At(known.level));
        }
        let (hurry, hurried) = mpsc::channel();
        let look = move || {
            let _ = hurried.recv_timeout(HEAD_START);
            Confinement::of_machine(&folder, &cwd, home.as_deref(), &hosts)
        };
        match std::thread::Builder::new().name("sandbox".into()).spawn(look) {
            Ok(search) => {
                Confining { search: Some((search, hurry)), found: Confinement::default(), standing }
            }
            Err(error) => {
                Confining::from(Confinement::missing(format!("no thread could be started: {error}")))
            }
        }
    }

    /// Whether it is still looked for.
    pub fn is_open(&self) -> bool {
        self.search.is_some()
    }

    /// Waits for it. Says whether this was the first time that it is known.
    pub fn wait(&mut self) -> bool {
        let Some((search, hurry)) = self.search.take() else { return false };
        drop(hurry);
        self.found =
            search.join().unwrap_or_else(|_| Confinement::missing("the search for it failed".into()));
        self.standing.set(self.found.standing());
        true
    }

    /// What is known of it at any time.
    pub fn standing(&self) -> &SharedStanding {
        &self.standing
    }

    /// How far the judgement may lean on it. While it is looked for nothing may run unasked.
    pub fn judged(&self) -> Confined {
        match self.found.level() {
            _ if self.is_open() || self.found.is_missing() => Confined::Missing,
            // What leaves by a host that the user opened, the kernel does not stop.
            Level::Full if self.found.has_network => Confined::Partly,
            Level::Full => Confined::Fully,
            Level::None | Level::NoMounts | Level::Seatbelt => Confined::Partly,
        }
    }

    /// What was found; none while it is looked for.
    pub fn found(&self) -> &Confinement {
        &self.found
    }
}

impl From<Confinement> for Confining {
    fn from(found: Confinement) -> Confining {
        let standing = SharedStanding::default();
        standing.set(found.standing());
        Confining { search: None, found, standing }
    }
}

/// Ourselves, also when the file was replaced since.
const HELPER: &str = "/proc/self/exe";

/// The file of our folder that keeps what was found out about the machine.
const REMEMBERED: &str = "sandbox-level";

impl Confinement {
    fn missing(lacks: String) -> Confinement {
        Confinement { lacks: Some(lacks), ..Confinement::default() }
    }

    /// None, because the user said so.
    pub fn off() -> Confinement {
        Confinement::default()
    }

    /// The strongest that holds on this machine, for commands that work in `cwd`. What was found out about the machine is
    /// remembered in our folder.
    ///
    /// Of the network they reach `hosts`; what else they ask for is refused by name.
    pub fn of_machine(folder: &Folder, cwd: &Path, home: Option<&Path>, hosts: &[String]) -> Confinement {
        let helper = Path::new(HELPER);
        let strength = sandbox::probe(helper, Some(&folder.file(REMEMBERED)));
        if strength.level == Level::None {
            return Confinement::missing(
                strength.lacks.unwrap_or_else(|| "it has nothing that confines".into()),
            );
        }
        let policy = sandbox::Policy::new(&[cwd.to_owned()], home);
        let network = sandbox::Network::Hosts(hosts.to_vec());
        let policy = policy.map(|policy| sandbox::Policy { network, ..policy });
        #[cfg(target_os = "linux")]
        let policy = policy.map(|policy| policy.with_repository_of(cwd));
        match policy.and_then(|policy| Sandbox::new(helper, policy, strength.level)) {
            Ok(sandbox) => {
                let (sandbox, has_network) = (Some(Arc::new(sandbox)), !hosts.is_empty());
                Confinement { sandbox, lacks: strength.lacks, has_network }
            }
            Err(error) => Confinement::missing(error.line()),
        }
    }

    /// How well commands are confined.
    pub fn level(&self) -> Level {
        self.sandbox.as_ref().map_or(Level::None, |sandbox| sandbox.level())
    }

    /// The same for a row.
    pub fn standing(&self) -> Standing {
        if self.sandbox.is_none() && !self.is_missing() { Standing::Off } else { Standing::At(self.level()) }
    }

    /// Whether one was wanted and cannot be had: then commands ask.
    pub fn is_missing(&self) -> bool {
        self.sandbox.is_none() && self.lacks.is_some()
    }

    /// A line for a person, when commands are less confined than they could be.
    pub fn warning(&self) -> Option<String> {
        let lacks = self.lacks.as_deref()?;
        Some(match self.level() {
            Level::None => {
                format!("commands cannot be confined here ({lacks}): each asks; --no-sandbox turns this off")
            }
            level => format!("commands are confined at level {} only: {lacks}", level.as_str()),
        })
    }
}
