//! Guards of reads and writes: workspace scope and sensitive places, links resolved (seed 14.1 to 14.5, D-24, D-26).
//!
//! A path is judged twice: as it is written, and, with the feature `fs`, as what it really names. Both must pass.

mod parts;
mod places;
#[cfg(feature = "fs")]
mod resolve;
mod spell;

use std::path::{Component, Path, PathBuf};

pub(crate) use parts::{Parts, matches};
pub(crate) use places::Strictness;
pub(crate) use spell::is_invisible;
use spell::{lexical, spell};

use crate::{Decision, PermissionMode, Policy};

/// Judges the reading of one file, folder or tree: secret stores and the system's places ask (seed 14.2, 14.3).
///
/// `~` is the home, and a relative path starts at the workspace. There is no scope: where to read is the matrix's matter.
pub fn judge_read(path: impl AsRef<Path>, policy: &Policy) -> Decision {
    let guard = Guard::new(policy);
    decide("reading", path.as_ref(), guard.read(path.as_ref(), &policy.workspace, Strictness::Seed))
}

/// Judges the creation or change of one file: as for reading, and what runs later asks too (D-26).
///
/// Outside bypass the file must also lie inside the workspace (seed 14.4).
pub fn judge_write(path: impl AsRef<Path>, mode: PermissionMode, policy: &Policy) -> Decision {
    let guard = Guard::new(policy);
    let scope = match mode {
        PermissionMode::Default | PermissionMode::AcceptEdits | PermissionMode::Auto => Scope::Workspace,
        PermissionMode::Bypass => Scope::Anywhere,
    };
    decide("writing", path.as_ref(), guard.write(path.as_ref(), &policy.workspace, scope))
}

/// Returns whether the path, with its links followed, lies inside the workspace.
pub(crate) fn is_in_workspace(path: &Path, policy: &Policy) -> bool {
    Guard::new(policy)
        .sights(path, &policy.workspace)
        .is_ok_and(|sights| sights.iter().all(|sight| sight.inside))
}

fn decide(verb: &str, path: &Path, found: Result<(), Finding>) -> Decision {
    match found {
        Ok(()) => Decision::Allow,
        Err(Finding::Empty) => Decision::ask_by_check("empty path"),
        Err(finding) => Decision::ask_by_check(format!("{verb} `{}`: {finding}", shown(path))),
    }
}

/// A path for a person's eyes: control characters escaped.
fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// Where writes may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Inside the workspace only.
    Workspace,
    /// Inside the workspace, and in folders for scratch files.
    WorkspaceAndScratch,
    /// Everywhere that no table names.
    Anywhere,
}

/// Why a path does not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Finding {
    #[error("the path is empty")]
    Empty,
    #[error("{0}")]
    Spelling(&'static str),
    #[error("{0}")]
    Secret(String),
    #[error("`/{0}` belongs to the system")]
    System(&'static str),
    #[error("`{0}` runs by itself later")]
    RunsLater(&'static str),
    #[error("the place is outside the workspace")]
    Outside,
    #[error("its links lead in a circle")]
    #[cfg_attr(not(feature = "fs"), expect(dead_code, reason = "links are only seen with `fs`"))]
    Loop,
    #[error("{0}")]
    #[cfg_attr(not(feature = "fs"), expect(dead_code, reason = "what stands there is only seen with `fs`"))]
    Special(&'static str),
}

/// One way to see a path: as written, or as resolved.
struct Sight {
    parts: Parts,
    inside: bool,
}

/// The tables together with the user's home and workspace.
pub(crate) struct Guard<'a> {
    policy: &'a Policy,
    /// The home in every spelling that we know.
    homes: Vec<Parts>,
    /// The workspace as written, and with its links followed.
    workspaces: Vec<Parts>,
}

impl<'a> Guard<'a> {
    pub(crate) fn new(policy: &'a Policy) -> Guard<'a> {
        let homes = policy.home.as_deref().map(spellings).unwrap_or_default();
        let homes = homes.iter().map(|home| Parts::of(home)).filter(|home| !home.is_root()).collect();
        let workspaces = spellings(&policy.workspace).iter().map(|root| Parts::of(root)).collect();
        Guard { policy, homes, workspaces }
    }

    /// Judges a read. A relative path starts at `base`.
    pub(crate) fn read(&self, path: &Path, base: &Path, strict: Strictness) -> Result<(), Finding> {
        let sights = self.sights(path, base)?;
        for sight in &sights {
            if let Some(reason) = self.secret(&sight.parts, strict) {
                return Err(Finding::Secret(reason));
            }
            let own = self.homes.iter().any(|home| sight.parts.is_inside(home));
            if let Some(place) =
                places::read_system(&sight.parts, strict).filter(|place| !(own && *place == "root"))
            {
                return Err(Finding::System(place));
            }
        }
        self.read_of_what_stands_there(path, base)
    }

    /// Judges a write. A relative path starts at `base`.
    pub(crate) fn write(&self, path: &Path, base: &Path, scope: Scope) -> Result<(), Finding> {
        // A workspace may itself lie in a scratch folder; `..` still leaves it.
        let climbs = path.components().any(|component| component == Component::ParentDir);
        let sights = self.sights(path, base)?;
        for sight in &sights {
            if let Some(reason) = self.secret(&sight.parts, Strictness::Seed) {
                return Err(Finding::Secret(reason));
            }
            self.write_to_system(&sight.parts)?;
            if let Some(place) = self.runs_later(&sight.parts) {
                return Err(Finding::RunsLater(place));
            }
            let free = match scope {
                Scope::Anywhere => true,
                Scope::Workspace => sight.inside,
                Scope::WorkspaceAndScratch => sight.inside || (!climbs && self.is_scratch(&sight.parts)),
            };
            if !free {
                return Err(Finding::Outside);
            }
        }
        self.write_to_what_stands_there(path, base)
    }

    /// Whether the place, seen either way, is the workspace itself, above it, or not known to be inside it.
    pub(crate) fn is_root_or_above(&self, path: &Path, base: &Path) -> bool {
        let Ok(sights) = self.sights(path, base) else { return true };
        let whole =
            |parts: &Parts| self.workspaces.iter().chain(&self.homes).any(|root| root.is_inside(parts));
        sights.iter().any(|sight| whole(&sight.parts))
    }

    /// Whether a folder stands there.
    #[cfg(feature = "fs")]
    pub(crate) fn stands_folder(&self, path: &Path, base: &Path) -> bool {
        self.real(path, base).is_ok_and(|real| resolve::kind(&real) == resolve::Kind::Folder)
    }

    /// Whether a folder stands there: known without looking only of the workspace itself.
    #[cfg(not(feature = "fs"))]
    pub(crate) fn stands_folder(&self, path: &Path, base: &Path) -> bool {
        self.sights(path, base)
            .is_ok_and(|sights| sights.iter().any(|sight| self.workspaces.contains(&sight.parts)))
    }

    /// Whether the path lies inside the workspace, seen either way.
    pub(crate) fn is_inside(&self, path: &Path, base: &Path) -> bool {
        self.sights(path, base).is_ok_and(|sights| sights.iter().all(|sight| sight.inside))
    }

    /// Whether the path is a home, or above one: a recursive read of it meets key stores.
    pub(crate) fn holds_a_home(&self, path: &Path, base: &Path) -> bool {
        let Ok(sights) = self.sights(path, base) else { return true };
        let above = |parts: &Parts| {
            self.homes.iter().any(|home| home.is_inside(parts))
                || parts.is_root()
                || parts.below_any_home().is_some_and(|rest| rest.is_root())
                || (parts.len() == 1
                    && ["home", "users", "root", "etc"].iter().any(|place| parts.is_below(place)))
        };
        sights.iter().any(|sight| above(&sight.parts))
    }

    fn is_scratch(&self, parts: &Parts) -> bool {
        places::is_scratch(parts) && !self.homes.iter().any(|home| parts.is_inside(home))
    }

    fn secret(&self, parts: &Parts, strict: Strictness) -> Option<String> {
        let own = self.homes.iter().filter_map(|home| parts.below(home));
        let mut relatives = own.chain(parts.below_any_home());
        let store = relatives.find_map(|relative| places::home_secret(&relative));
        store
            .map(|store| format!("`~/{store}` holds credentials or private history"))
            .or_else(|| places::secret_anywhere(parts, strict))
    }

    fn write_to_system(&self, parts: &Parts) -> Result<(), Finding> {
        let own = self.homes.iter().any(|home| parts.is_inside(home));
        let found =
            self.workspaces.iter().map(|workspace| places::write_system(parts, workspace)).next().flatten();
        match found {
            Some("root" | "var") if own => Ok(()),
            Some(place) => Err(Finding::System(place)),
            None => Ok(()),
        }
    }

    fn runs_later(&self, parts: &Parts) -> Option<&'static str> {
        let own = self.homes.iter().filter_map(|home| parts.below(home));
        let in_home = own.chain(parts.below_any_home()).find_map(|relative| places::home_startup(&relative));
        // A checkout of somebody's start-up files is a workspace like any other.
        let in_home = in_home.filter(|_| {
            !self.workspaces.iter().any(|root| parts.is_inside(root)) || self.home_is_workspace()
        });
        in_home.or_else(|| places::startup_anywhere(&self.relative_to_workspace(parts)))
    }

    fn home_is_workspace(&self) -> bool {
        self.workspaces.iter().any(|root| self.homes.iter().any(|home| home.is_inside(root)))
    }

    /// A name above the workspace (a clone below `.claude/`) says nothing about a file inside.
    fn relative_to_workspace(&self, parts: &Parts) -> Parts {
        self.workspaces.iter().find_map(|root| parts.below(root)).unwrap_or_else(|| parts.clone())
    }

    /// The path as written and as resolved.
    fn sights(&self, path: &Path, base: &Path) -> Result<Vec<Sight>, Finding> {
        let written = spell(path, base, self.policy.home.as_deref())?;
        let as_written = self.sight(&written);
        #[cfg(feature = "fs")]
        let sights = {
            let real = self.sight(&resolve::follow(&written).map_err(|_| Finding::Loop)?);
            // What is written may only look as if it were outside: a workspace that is reached by a link.
            vec![Sight { inside: as_written.inside || real.inside, ..as_written }, real]
        };
        #[cfg(not(feature = "fs"))]
        let sights = vec![as_written];
        Ok(sights)
    }

    fn sight(&self, path: &Path) -> Sight {
        let parts = Parts::of(path);
        let inside = self.workspaces.iter().any(|root| parts.is_inside(root)) && self.is_inside_by_case(path);
        Sight { parts, inside }
    }

    /// Where letters' case tells files apart, `/Work` is not inside `/work`.
    fn is_inside_by_case(&self, path: &Path) -> bool {
        if cfg!(any(target_os = "macos", windows)) {
            return true;
        }
        let path = lexical(path);
        spellings(&self.policy.workspace).iter().any(|root| path.starts_with(lexical(root)))
    }

    #[cfg(feature = "fs")]
    fn read_of_what_stands_there(&self, path: &Path, base: &Path) -> Result<(), Finding> {
        let real = self.real(path, base)?;
        if self.is_in_store(&real) {
            return Err(Finding::Secret("another name of a file in one of the home's key stores".to_owned()));
        }
        let device = real.starts_with("/dev") || real.starts_with("/proc");
        match resolve::kind(&real) {
            resolve::Kind::Special if !device => Err(Finding::Special("a pipe, socket or device")),
            _ => Ok(()),
        }
    }

    #[cfg(feature = "fs")]
    fn write_to_what_stands_there(&self, path: &Path, base: &Path) -> Result<(), Finding> {
        let real = self.real(path, base)?;
        if self.is_in_store(&real) {
            return Err(Finding::Secret("another name of a file in one of the home's key stores".to_owned()));
        }
        match resolve::kind(&real) {
            resolve::Kind::Folder => Err(Finding::Special("a folder stands there")),
            resolve::Kind::Special => Err(Finding::Special("a pipe, socket or device")),
            resolve::Kind::File { names } if names > 1 => {
                Err(Finding::Special("the file has another name elsewhere"))
            }
            resolve::Kind::File { .. } | resolve::Kind::Absent => Ok(()),
        }
    }

    #[cfg(feature = "fs")]
    fn real(&self, path: &Path, base: &Path) -> Result<PathBuf, Finding> {
        let written = spell(path, base, self.policy.home.as_deref())?;
        resolve::follow(&written).map_err(|_| Finding::Loop)
    }

    #[cfg(feature = "fs")]
    fn is_in_store(&self, real: &Path) -> bool {
        let Some(home) = self.policy.home.as_deref().filter(|home| home.parent().is_some()) else {
            return false;
        };
        resolve::is_same_as_any(real, places::home_stores().map(|store| home.join(store)))
    }

    #[cfg(not(feature = "fs"))]
    #[expect(clippy::unused_self, reason = "the same face with and without `fs`")]
    fn read_of_what_stands_there(&self, _: &Path, _: &Path) -> Result<(), Finding> {
        Ok(())
    }

    #[cfg(not(feature = "fs"))]
    fn write_to_what_stands_there(&self, path: &Path, base: &Path) -> Result<(), Finding> {
        let written = Parts::of(&spell(path, base, self.policy.home.as_deref())?);
        let folder = self.workspaces.contains(&written);
        if folder { Err(Finding::Spelling("a folder stands there")) } else { Ok(()) }
    }
}

/// A root as written and, with `fs`, with its links followed.
fn spellings(root: &Path) -> Vec<PathBuf> {
    #[cfg(feature = "fs")]
    if let Ok(real) = resolve::follow(root) {
        if real != root {
            return vec![root.to_owned(), real];
        }
    }
    vec![root.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy { workspace: "/home/dev/w".into(), home: Some("/home/dev".into()), ..Policy::default() }
    }

    #[track_caller]
    fn reads(path: &str, want: bool) {
        assert_eq!(judge_read(path, &policy()).is_allow(), want, "{path}");
    }

    #[track_caller]
    fn writes(path: &str, want: bool) {
        assert_eq!(judge_write(path, PermissionMode::Bypass, &policy()).is_allow(), want, "{path}");
    }

    #[test]
    fn secrets_are_not_read() {
        for path in [
            "~/.ssh/id_rsa",
            "/home/eve/.ssh/x",
            "/root/.aws/credentials",
            "keys/id_ed25519",
            ".env",
            ".env.local",
        ] {
            reads(path, false);
        }
        for path in [
            "server.key",
            "a.PEM",
            "/etc/shadow",
            "/proc/self/environ",
            "/dev/sda",
            "src/../../.netrc",
            "~/.x_history",
        ] {
            reads(path, false);
        }
        for path in [
            "src/keys.rs",
            ".env.example",
            "id_rsa.pub",
            "/etc/hosts",
            "/proc/cpuinfo",
            "~/.npmrcx",
            "../x",
            "...",
        ] {
            reads(path, true);
        }
    }

    #[test]
    fn what_runs_later_is_not_written() {
        for path in [
            "~/.bashrc",
            ".git/hooks/x",
            "sub/.git/config",
            "~/.config/fish/config.fish",
            ".vscode/tasks.json",
        ] {
            writes(path, false);
        }
        for path in ["/etc/x", "/usr/lib/x", "/lib/x", "/dev/null", "/var/spool/cron/x", "/home/eve/.zshrc"] {
            writes(path, false);
        }
        for path in
            [".github/workflows/ci.yml", ".gitignore", "docs/.bashrc.md", "~/other/x", "routes/$id.tsx"]
        {
            writes(path, true);
        }
    }

    #[test]
    fn outside_the_workspace_only_bypass_writes() {
        for (path, want) in
            [("a", true), ("../a", false), ("/home/dev/wx/a", false), ("x/../a", true), ("x/../../a", false)]
        {
            assert_eq!(judge_write(path, PermissionMode::Auto, &policy()).is_allow(), want, "{path}");
        }
    }

    #[test]
    fn a_path_that_hides_its_meaning_asks() {
        for path in
            ["", "  ", "a\nb", "$HOME/x", "~eve/x", "file:///etc/hosts", "a\u{202e}b", "x /y", "${X}/y"]
        {
            reads(path, false);
            writes(path, false);
        }
    }

    #[test]
    fn a_workspace_inside_a_place_of_the_system_is_written() {
        let policy =
            Policy { workspace: "/usr/src/app".into(), home: Some("/root".into()), ..Policy::default() };
        assert!(judge_write("main.rs", PermissionMode::Auto, &policy).is_allow());
        assert!(!judge_write("/usr/src/other", PermissionMode::Bypass, &policy).is_allow());
        let policy =
            Policy { workspace: "/root/app".into(), home: Some("/root".into()), ..Policy::default() };
        assert!(judge_write("main.rs", PermissionMode::Auto, &policy).is_allow());
        assert!(judge_read("/root/notes", &policy).is_allow());
    }
}
