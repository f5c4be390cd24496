//! Which sandbox the commands of a run get, and in which words its level is told.

use std::{path::Path, sync::Arc};

use mesh_safety::sandbox::{self, Level, Sandbox};

use crate::config::Folder;

/// What confines the commands of a run.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Wraps commands; `None` when they run with all rights of the user.
    pub sandbox: Option<Arc<Sandbox>>,
    /// Why it is not the strongest; `None` too when the user turned it off.
    pub lacks: Option<String>,
}

impl Confinement {
    /// None, because the user said so.
    pub fn off() -> Confinement {
        Confinement::default()
    }

    /// The strongest that holds on this machine, for commands that work in `cwd`. What was found out about the machine is
    /// remembered in our folder.
    ///
    /// Of the network they reach `hosts`; what else they ask for is refused by name.
    pub fn of_machine(folder: &Folder, cwd: &Path, home: Option<&Path>, hosts: &[String]) -> Confinement {
        let helper = Path::new("/proc/self/exe");
        let strength = sandbox::probe(helper, Some(&folder.file("sandbox-level")));
        let missing = |lacks: String| Confinement { sandbox: None, lacks: Some(lacks) };
        if strength.level == Level::None {
            return missing(strength.lacks.unwrap_or_else(|| "it has nothing that confines".into()));
        }
        let policy = sandbox::Policy::new(&[cwd.to_owned()], home);
        let network = sandbox::Network::Hosts(hosts.to_vec());
        let policy = policy.map(|policy| sandbox::Policy { network, ..policy });
        match policy.and_then(|policy| Sandbox::new(helper, policy, strength.level)) {
            Ok(sandbox) => Confinement { sandbox: Some(Arc::new(sandbox)), lacks: strength.lacks },
            Err(error) => missing(error.line()),
        }
    }

    /// How well commands are confined.
    pub fn level(&self) -> Level {
        self.sandbox.as_ref().map_or(Level::None, |sandbox| sandbox.level())
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
