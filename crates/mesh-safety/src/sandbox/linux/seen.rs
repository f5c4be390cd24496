//! What of the machine a command sees, as paths: the system and the toolchains, without what is private in them.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::super::{
    Policy,
    places::{SETTINGS, SYSTEM, SYSTEM_HIDDEN, TOOLCHAINS},
};

/// Every place that is seen read-only.
pub(super) fn seen(policy: &Policy) -> Vec<PathBuf> {
    let system = SYSTEM.iter().map(PathBuf::from);
    system.chain(home_seen(policy)).chain(policy.readable.iter().cloned()).collect()
}

/// Every place below those that is not.
pub(super) fn hidden() -> Vec<PathBuf> {
    // One look at the folder spares many at what is not in it.
    let listed = fs::read_dir("/etc");
    let is_listed = listed.is_ok();
    let etc: Vec<fs::DirEntry> = listed.into_iter().flatten().flatten().collect();
    let names: HashSet<OsString> = etc.iter().map(fs::DirEntry::file_name).collect();
    let is_there = |place: &&&str| {
        let name = place.strip_prefix("/etc/").map(|below| below.split('/').next().unwrap_or_default());
        !is_listed || name.is_none_or(|name| names.contains(OsStr::new(name)))
    };
    let mut hidden: Vec<PathBuf> = SYSTEM_HIDDEN.iter().filter(is_there).map(PathBuf::from).collect();
    if rustix::process::getuid().is_root() {
        hidden.extend(etc.iter().filter(|entry| is_only_for_root(entry)).map(fs::DirEntry::path));
    }
    // Each is a mount: for root some stand in both.
    hidden.sort();
    hidden.dedup();
    hidden
}

/// Whether root may read what others may not: as root, a command is one of the others.
fn is_only_for_root(entry: &fs::DirEntry) -> bool {
    let Ok(kind) = entry.file_type() else { return false };
    // A link is as private as what it leads to, which is seen by its own name.
    if kind.is_symlink() {
        return false;
    }
    let mode = entry.metadata().map_or(0o777, |meta| meta.permissions().mode());
    mode & if kind.is_dir() { 0o005 } else { 0o004 } == 0
}

/// What of the system is there.
pub(super) struct System {
    pub(super) folders: Vec<&'static str>,
    /// Links of its top, such as `/bin`, with what they say.
    pub(super) links: Vec<(&'static str, PathBuf)>,
}

impl System {
    pub(super) fn look() -> System {
        // One look at the top spares many at what is not in it.
        let top: HashSet<OsString> =
            fs::read_dir("/").into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        let mut system = System { folders: Vec::new(), links: Vec::new() };
        for place in SYSTEM {
            let first = place.trim_start_matches('/').split('/').next().unwrap_or_default();
            if !top.is_empty() && !top.contains(OsStr::new(first)) {
                continue;
            }
            match fs::read_link(place) {
                Ok(says) => system.links.push((place, says)),
                // It is no link.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => system.folders.push(place),
                Err(_) => {}
            }
        }
        system
    }
}

/// Toolchains of the home, settings without credentials, and folders of the search path.
pub(super) fn home_seen(policy: &Policy) -> Vec<PathBuf> {
    let Some(home) = &policy.home else { return Vec::new() };
    // A writable home is seen as it is.
    if policy.may_write(home) {
        return Vec::new();
    }
    // One look at the home spares many at what is not in it.
    let Ok(entries) = fs::read_dir(home) else { return Vec::new() };
    let names: HashSet<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
    let is_there = |place: &&&str| names.contains(OsStr::new(place.split('/').next().unwrap_or_default()));
    let mut seen: Vec<PathBuf> = TOOLCHAINS.iter().filter(is_there).map(|place| home.join(place)).collect();
    let settings = SETTINGS.iter().filter(is_there).map(|place| home.join(place));
    seen.extend(settings.filter(|path| is_harmless(path)));
    seen
}

/// Whether a file of settings holds nothing like a credential.
fn is_harmless(path: &Path) -> bool {
    /// Longer is no file of settings.
    const LONGEST: u64 = 256 * 1024;
    let Ok(meta) = fs::metadata(path) else { return false };
    if meta.is_dir() {
        return true;
    }
    meta.len() <= LONGEST && fs::read_to_string(path).is_ok_and(|text| holds_no_credential(&text))
}

/// Whether settings hold neither a word for a credential nor an address with a login. Cruder than the detector, whose
/// patterns take longer to build than a whole command: what is not seen is only not there.
fn holds_no_credential(text: &str) -> bool {
    const WORDS: [&str; 8] =
        ["token", "passw", "_auth", "secret", "bearer", "apikey", "api_key", "private key"];
    let lower = text.to_ascii_lowercase();
    let login = lower.split("://").skip(1).any(|rest| {
        let host = rest.split(['/', '"', '\'', ' ', '\n', '\t']).next().unwrap_or_default();
        host.split_once('@').is_some_and(|(login, _)| login != "git")
    });
    !login && !WORDS.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_with_credentials_are_not_seen() {
        for (text, want) in [
            ("[user]\n\tname = A\n[url \"ssh://git@host/\"]\n\tinsteadOf = https://host/", true),
            ("[url \"https://ghx@host/\"]\n\tinsteadOf = https://host/", false),
            ("[url \"https://a:b@host/\"]", false),
            ("[registries.x]\ntoken = \"t\"", false),
            ("[http]\n\textraHeader = Authorization: Bearer x", false),
        ] {
            assert_eq!(holds_no_credential(text), want, "{text}");
        }
    }
}
