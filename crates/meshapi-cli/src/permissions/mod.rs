//! The user's own permission rules: read at the start, made at a prompt, listed and removed.
//!
//! - `file`: `permissions.json` as text and rules

mod file;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_agent::SharedRules;
use mesh_safety::{
    Policy,
    rules::{Effect, Rule},
};

use crate::{
    config::{Durability, Folder},
    exit::{Exit, Failure},
};

pub use file::{Listed, Scope};

/// Name of the file.
pub const FILE: &str = "permissions.json";

/// The rules of a session. Clones are one.
#[derive(Clone, Debug)]
pub struct Permissions {
    folder: Folder,
    project: PathBuf,
    listed: Arc<Mutex<Vec<Listed>>>,
    shared: SharedRules,
}

/// The file with a rule more or less.
type Change = fn(Option<&[u8]>, &Listed, &Path) -> Result<Vec<u8>, String>;

impl Permissions {
    /// Reads the file for work in the policy's workspace.
    ///
    /// # Errors
    /// The file is there and cannot be understood: then nobody knows what the user denied, and nothing starts.
    pub fn load(folder: &Folder, policy: &Policy) -> Result<Permissions, Failure> {
        let path = folder.file(FILE);
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, "permissions", format_args!("{}: {error}", path.display()))
        };
        let text = folder.read(FILE).map_err(|error| wrong(&error))?;
        let listed = text
            .map_or_else(|| Ok(Vec::new()), |text| file::read(&text, policy))
            .map_err(|error| wrong(&error))?;
        let permissions = Permissions {
            folder: folder.clone(),
            project: policy.workspace.clone(),
            listed: Arc::new(Mutex::new(listed)),
            shared: SharedRules::default(),
        };
        permissions.spread();
        Ok(permissions)
    }

    /// What the agent judges by.
    pub fn rules(&self) -> &SharedRules {
        &self.shared
    }

    /// The project that its rules are for.
    pub fn project(&self) -> &Path {
        &self.project
    }

    /// Each rule, denials first.
    pub fn list(&self) -> Vec<Listed> {
        let mut listed = self.lock().clone();
        listed.sort_by_key(|listed| std::cmp::Reverse((listed.rule.effect(), listed.scope)));
        listed
    }

    /// Adds a rule; it holds from the next call on, whether or not it could be written down.
    ///
    /// # Errors
    /// It could not be written down.
    pub fn add(&self, rule: Rule, scope: Scope) -> Result<(), String> {
        let listed = Listed { rule, scope };
        if !self.lock().contains(&listed) {
            self.lock().push(listed.clone());
        }
        self.spread();
        self.store(&listed, file::with)
    }

    /// Reads a line as `allow command cargo test` and adds it.
    ///
    /// # Errors
    /// It is no rule, or could not be written down.
    pub fn add_line(&self, line: &str, scope: Scope) -> Result<Rule, String> {
        let (word, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        let effect = Effect::parse(word).ok_or(format!("`{word}` is none of allow, ask, deny"))?;
        let rule = Rule::parse(effect, rest).map_err(|error| error.to_string())?;
        self.add(rule.clone(), scope)?;
        Ok(rule)
    }

    /// Removes the rule at this place of [`Permissions::list`]; `None` if there is none.
    ///
    /// # Errors
    /// It could not be taken out of the file.
    pub fn remove(&self, index: usize) -> Option<Result<Listed, String>> {
        let listed = self.list().get(index)?.clone();
        self.lock().retain(|other| *other != listed);
        self.spread();
        Some(self.store(&listed, file::without).map(|()| listed))
    }

    fn store(&self, listed: &Listed, change: Change) -> Result<(), String> {
        if listed.scope == Scope::Session {
            return Ok(());
        }
        let path = self.folder.file(FILE);
        let not_stored = |error: &dyn std::fmt::Display| {
            format!("it holds in this session, but {} cannot be written: {error}", path.display())
        };
        // Another session may have written since.
        let text = self.folder.read(FILE).map_err(|error| not_stored(&error))?;
        let text = change(text.as_deref(), listed, &self.project).map_err(|error| not_stored(&error))?;
        self.folder.write(FILE, &text, Durability::Synced).map_err(|error| not_stored(&error))
    }

    fn spread(&self) {
        let rules = self.lock().iter().map(|listed| listed.rule.clone()).collect();
        self.shared.set(rules);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listed>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_outlive_the_session_unless_they_are_its_own() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path());
        let policy = |workspace: &str| Policy { workspace: workspace.into(), ..Policy::default() };
        let load = |workspace: &str| Permissions::load(&folder, &policy(workspace)).unwrap();
        let first = load("/w");
        first.add_line("allow command make", Scope::Session).unwrap();
        first.add_line("allow command cargo test", Scope::Project).unwrap();
        first.add_line("deny host x.example", Scope::Everywhere).unwrap();
        assert!(first.add_line("alow command x", Scope::Session).is_err());
        let texts = |permissions: &Permissions| {
            permissions.list().iter().map(|listed| listed.rule.text().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts(&first), ["host x.example", "command cargo test", "command make"]);
        assert_eq!(first.rules().get().iter().count(), 3);
        assert_eq!(texts(&load("/w")), ["host x.example", "command cargo test"]);
        assert_eq!(texts(&load("/elsewhere")), ["host x.example"]);
        let again = load("/w");
        assert_eq!(again.remove(1).unwrap().unwrap().rule.text(), "command cargo test");
        assert!(again.remove(1).is_none());
        assert_eq!(texts(&load("/w")), ["host x.example"]);
    }

    #[test]
    fn a_file_that_is_not_understood_stops_the_start() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::of(home.path());
        folder.write(FILE, b"{\"alow\": []}", Durability::Lazy).unwrap();
        let failure = Permissions::load(&folder, &Policy::default()).unwrap_err();
        assert!(failure.lines()[0].plain().contains("alow is not known"), "{:?}", failure.lines());
    }
}
