//! The tables put to a user's home and workspace: what a read or a write of a path meets.

use std::path::{Component, Path, PathBuf};
#[cfg(feature = "fs")]
use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use super::parts::Parts;
use super::places::{self, Strictness};
use super::spell::{lexical, spell};
#[cfg(feature = "fs")]
use super::{
    opened::Sighting,
    resolve::{self, Looks},
};
use crate::Policy;
use crate::rules::{Access, Effect, Rule};

/// Where writes may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Inside the workspace only.
    Workspace,
    /// Inside the workspace, and in folders for scratch files.
    WorkspaceAndScratch,
    /// The same where a sandbox of level full refuses the rest: only what lies in a home, or is reached by `..`, is still told
    /// apart, because it is somebody's.
    Confined,
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
    #[error("a link leads out of the workspace")]
    #[cfg_attr(not(feature = "fs"), expect(dead_code, reason = "links are only seen with `fs`"))]
    LeadsOut,
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
    /// The same two as paths, for comparing letter by letter.
    roots: Vec<PathBuf>,
    /// The key stores that exist in the home, looked up once.
    #[cfg(feature = "fs")]
    stores: OnceCell<Vec<resolve::Store>>,
    /// What was looked at: one look decides all that is said of a path.
    #[cfg(feature = "fs")]
    seen: RefCell<HashMap<PathBuf, Rc<resolve::Seen>>>,
    #[cfg(feature = "fs")]
    looks: Looks,
}

impl<'a> Guard<'a> {
    pub(crate) fn new(policy: &'a Policy) -> Guard<'a> {
        let looks = Looks::default();
        let spellings = |root: &Path| spellings(root, &looks);
        let homes = policy.home.as_deref().map(spellings).unwrap_or_default();
        let homes = homes.iter().map(|home| Parts::of(home)).filter(|home| !home.is_root()).collect();
        let roots: Vec<PathBuf> = spellings(&policy.workspace).iter().map(|root| lexical(root)).collect();
        let workspaces = roots.iter().map(|root| Parts::of(root)).collect();
        Guard {
            policy,
            homes,
            workspaces,
            roots,
            #[cfg(feature = "fs")]
            stores: OnceCell::new(),
            #[cfg(feature = "fs")]
            seen: RefCell::default(),
            #[cfg(feature = "fs")]
            looks,
        }
    }

    /// What the judgement leans on.
    pub(crate) fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// What the path named when it was judged; nothing for a path that is not spelled plainly.
    #[cfg(feature = "fs")]
    pub(crate) fn sighting(&self, path: &Path) -> Option<Sighting> {
        let seen = self.seen(path, &self.policy.workspace).ok()?;
        Some(Sighting::new(path, &seen))
    }

    /// Takes what was opened as what its path names.
    #[cfg(feature = "fs")]
    pub(super) fn pin(&self, opened: resolve::Seen) {
        self.seen.borrow_mut().insert(opened.real.clone(), Rc::new(opened));
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
        #[cfg(feature = "fs")]
        if scope == Scope::Anywhere && self.leads_out(path, base)? {
            return Err(Finding::LeadsOut);
        }
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
                Scope::Confined => {
                    let scratch = self.is_scratch(&sight.parts);
                    sight.inside || (!climbs && (scratch || !self.is_in_a_home(&sight.parts)))
                }
            };
            if !free {
                return Err(Finding::Outside);
            }
        }
        self.write_to_what_stands_there(path, base)
    }

    /// The rule of the user that decides on a place. A relative path starts at `base`.
    pub(crate) fn rule(&self, path: &Path, base: &Path, access: Access) -> Option<&'a Rule> {
        if self.policy.rules.is_empty() {
            return None;
        }
        let written = lexical(&spell(path, base, self.policy.home.as_deref()).ok()?);
        #[cfg(feature = "fs")]
        let seen = self.seen(path, base).ok()?;
        #[cfg(feature = "fs")]
        let sights = [written.as_path(), seen.real.as_path()];
        #[cfg(not(feature = "fs"))]
        let sights = [written.as_path()];
        let home = self.policy.home.as_deref();
        let rule = self.policy.rules.place(&sights, access, &self.policy.workspace, home)?;
        if rule.effect() != Effect::Allow || !rule.text().contains('*') {
            return Some(rule);
        }
        // A wide rule does not reach what a table names: that takes a rule which names the very file.
        let passes = match access {
            Access::Read => self.read(path, base, Strictness::Seed),
            Access::Write | Access::Any => self.write(path, base, Scope::Anywhere),
        };
        let names_its_root =
            rule.text().split_whitespace().nth(1).is_some_and(|place| {
                place.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['*', '.']))
            });
        let holds = match passes {
            Ok(()) => true,
            Err(Finding::System(_)) => names_its_root,
            Err(_) => false,
        };
        holds.then_some(rule)
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
        self.seen(path, base).is_ok_and(|seen| seen.kind() == resolve::Kind::Folder)
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
        let store_below = |parts: &Parts| {
            let own = self.homes.iter().filter_map(|home| parts.below(home));
            let is_workspace = self.workspaces.iter().any(|root| parts.is_inside(root));
            !is_workspace && own.chain(parts.below_any_home()).any(|rest| places::holds_home_secret(&rest))
        };
        let above = |parts: &Parts| {
            store_below(parts)
                || self.homes.iter().any(|home| home.is_inside(parts))
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

    /// Whether the path, seen either way, lies in a folder for scratch files: not the folder itself, and not the workspace.
    pub(crate) fn is_in_scratch(&self, path: &Path, base: &Path) -> bool {
        let climbs = path.components().any(|component| component == Component::ParentDir);
        let scratch = |sight: &Sight| {
            self.is_scratch(&sight.parts) && !places::is_scratch_root(&sight.parts) && !sight.inside
        };
        !climbs && self.sights(path, base).is_ok_and(|sights| sights.iter().all(scratch))
    }

    /// Whether what stands there is the user's own and not the workspace's: a key store, or another place in a home.
    pub(crate) fn is_private(&self, path: &Path, base: &Path) -> bool {
        let read = self.read(path, base, Strictness::Content);
        matches!(read, Err(Finding::Secret(_))) || self.lies_in_a_home(path, base)
    }

    /// Whether the path lies in a home and outside of the workspace, or is not understood. What was installed there is not the user's
    /// own: the sources of a package are read in any piece of work.
    pub(crate) fn lies_in_a_home(&self, path: &Path, base: &Path) -> bool {
        let Ok(sights) = self.sights(path, base) else { return true };
        sights.iter().any(|sight| {
            let (parts, is_outside) = (&sight.parts, !sight.inside);
            is_outside && self.is_in_a_home(parts) && !parts.is_root() && !self.is_installed(parts)
        })
    }

    fn is_installed(&self, parts: &Parts) -> bool {
        let own = self.homes.iter().filter_map(|home| parts.below(home));
        own.chain(parts.below_any_home()).any(|relative| places::is_installed(&relative))
    }

    fn is_in_a_home(&self, parts: &Parts) -> bool {
        self.homes.iter().any(|home| parts.is_inside(home))
            || parts.below_any_home().is_some()
            || parts.is_root()
            || (parts.len() == 1 && ["home", "users"].iter().any(|place| parts.is_below(place)))
    }

    fn secret(&self, parts: &Parts, strict: Strictness) -> Option<String> {
        let own = self.homes.iter().filter_map(|home| parts.below(home));
        let mut relatives = own.chain(parts.below_any_home());
        let store = relatives.find_map(|relative| places::home_secret(&relative));
        store
            .map(|store| format!("`~/{store}` holds credentials or private history"))
            .or_else(|| places::secret_anywhere(parts, &self.relative_to_workspace(parts), strict))
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
            let real = self.sight(&self.look(&written)?.real);
            // What is written may only look as if it were outside: a workspace that is reached by a link.
            vec![Sight { inside: as_written.inside || real.inside, ..as_written }, real]
        };
        #[cfg(not(feature = "fs"))]
        let sights = vec![as_written];
        Ok(sights)
    }

    /// Whether the path reads as if it were inside the workspace, and is not.
    #[cfg(feature = "fs")]
    fn leads_out(&self, path: &Path, base: &Path) -> Result<bool, Finding> {
        let written = spell(path, base, self.policy.home.as_deref())?;
        let seen = self.look(&written)?;
        Ok(self.sight(&written).inside && !self.sight(&seen.real).inside)
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
        self.roots.iter().any(|root| path.starts_with(root))
    }

    #[cfg(feature = "fs")]
    fn read_of_what_stands_there(&self, path: &Path, base: &Path) -> Result<(), Finding> {
        let seen = self.seen(path, base)?;
        if self.is_in_store(&seen) {
            return Err(Finding::Secret("another name of a file in one of the home's key stores".to_owned()));
        }
        let device = seen.real.starts_with("/dev") || seen.real.starts_with("/proc");
        match seen.kind() {
            resolve::Kind::Special if !device => Err(Finding::Special("a pipe, socket or device")),
            _ => Ok(()),
        }
    }

    #[cfg(feature = "fs")]
    fn write_to_what_stands_there(&self, path: &Path, base: &Path) -> Result<(), Finding> {
        let seen = self.seen(path, base)?;
        if self.is_in_store(&seen) {
            return Err(Finding::Secret("another name of a file in one of the home's key stores".to_owned()));
        }
        match seen.kind() {
            resolve::Kind::Folder => Err(Finding::Special("a folder stands there")),
            resolve::Kind::Special => Err(Finding::Special("a pipe, socket or device")),
            resolve::Kind::File { names } if names > 1 => {
                Err(Finding::Special("the file has another name elsewhere"))
            }
            resolve::Kind::File { .. } | resolve::Kind::Absent => Ok(()),
        }
    }

    #[cfg(feature = "fs")]
    fn seen(&self, path: &Path, base: &Path) -> Result<Rc<resolve::Seen>, Finding> {
        self.look(&spell(path, base, self.policy.home.as_deref())?)
    }

    /// Looks once at what a spelled path names.
    #[cfg(feature = "fs")]
    fn look(&self, written: &Path) -> Result<Rc<resolve::Seen>, Finding> {
        if let Some(seen) = self.seen.borrow().get(written) {
            return Ok(seen.clone());
        }
        let seen = Rc::new(self.looks.see(written).map_err(|_| Finding::Loop)?);
        self.seen.borrow_mut().insert(written.to_owned(), seen.clone());
        Ok(seen)
    }

    #[cfg(feature = "fs")]
    fn is_in_store(&self, seen: &resolve::Seen) -> bool {
        let Some(home) = self.policy.home.as_deref().filter(|home| home.parent().is_some()) else {
            return false;
        };
        let look = || resolve::stores(home, places::home_stores());
        resolve::is_in_store(seen, self.stores.get_or_init(look), &self.looks)
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
#[cfg_attr(not(feature = "fs"), expect(unused_variables, reason = "nothing is looked at"))]
fn spellings(root: &Path, looks: &Looks) -> Vec<PathBuf> {
    #[cfg(feature = "fs")]
    if let Ok(real) = looks.follow(root)
        && real != root
    {
        return vec![root.to_owned(), real];
    }
    vec![root.to_owned()]
}

/// Nothing is looked at.
#[cfg(not(feature = "fs"))]
#[derive(Default)]
struct Looks {}
