//! What a command may do, as data: places it may write, places it may see, the network, and its limits.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Level, SandboxError};

/// What confined commands may do. Fixed by the user at the start: no tool argument and no repository file changes it.
///
/// As JSON, bytes of a path that are not UTF-8 are written as `%XX`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Folders that may be written. Absolute, without links.
    #[serde(with = "text")]
    pub writable: Vec<PathBuf>,
    /// More folders and files that may be read; the system's and the toolchains are always there.
    #[serde(with = "text")]
    pub readable: Vec<PathBuf>,
    /// The user's home. Inside stands an empty one of its own, with the toolchains in it.
    #[serde(with = "text")]
    pub home: Option<PathBuf>,
    /// A private folder for `/tmp` and the home of all commands of one session; without it each command has its own.
    #[serde(with = "text")]
    pub session: Option<PathBuf>,
    /// What of the network is there.
    pub network: Network,
    /// How much a command may use.
    pub limits: Limits,
    /// This one call sets up repositories: `.git/config` may be written and is checked afterwards.
    pub git_setup: bool,
}

/// What of the network a command has. Always a loopback of its own, and nothing that listens outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Nothing else.
    #[default]
    None,
    /// A proxy on it that dials these hosts: `example.org`, `*.example.org`, `host:port`, or the preset `registries`. With
    /// an empty list it dials nothing, and tells what was asked for.
    Hosts(Vec<String>),
}

/// Ports of a listed host that names none.
pub(super) const WEB: [u16; 2] = [80, 443];

/// How much a command may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads at a time.
    pub processes: u32,
    /// Bytes of one file.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        // spec/safety.md 5.1 and 7: 256 at least, and below the 400 of its fork attempts; threads count too.
        Limits { processes: 320, file_bytes: 16 << 30 }
    }
}

/// A server of the session, and the door that leads to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The port on its loopback.
    pub port: u16,
    /// The socket of its porter.
    #[serde(with = "text")]
    pub door: PathBuf,
}

/// One command for the helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What it may do.
    pub policy: Policy,
    /// How it is confined; nothing less will do.
    pub level: Level,
    /// Where it runs.
    #[serde(with = "text")]
    pub cwd: PathBuf,
    /// The program and its arguments.
    #[serde(with = "text")]
    pub argv: Vec<OsString>,
    /// Its environment; without one it has the helper's own.
    #[serde(with = "text")]
    pub env: Option<Vec<(OsString, OsString)>>,
    /// It leads a session of its own, without a terminal; asked to end, it is made to end half a second later.
    pub own_session: bool,
    /// A socket that will lead to its loopback: how a server is reached from outside.
    #[serde(with = "text")]
    pub door: Option<PathBuf>,
    /// Servers of the same session: their ports are found on its loopback too.
    #[serde(default)]
    pub neighbours: Vec<Neighbour>,
    /// Where the [`Report`](super::Report) goes, as JSON.
    #[serde(with = "text")]
    pub report: Option<PathBuf>,
}

impl Policy {
    /// A policy with these writable folders, links resolved, for a user with this home.
    ///
    /// # Errors
    /// A folder is not there, or is so much of the machine that nothing would be confined.
    pub fn new(writable: &[PathBuf], home: Option<&Path>) -> Result<Policy, SandboxError> {
        let mut roots = Vec::new();
        for folder in writable {
            let root = folder
                .canonicalize()
                .map_err(|source| SandboxError::Folder { path: folder.clone(), source })?;
            if !root.is_dir() {
                let source = std::io::ErrorKind::NotADirectory.into();
                return Err(SandboxError::Folder { path: folder.clone(), source });
            }
            if too_wide(&root) {
                return Err(SandboxError::TooWide { path: root });
            }
            roots.push(root);
        }
        roots.sort();
        roots.dedup();
        // What lies below another root is writable with it.
        let all = roots.clone();
        roots.retain(|root| !all.iter().any(|other| other != root && root.starts_with(other)));
        let home = home.map(|home| home.canonicalize().unwrap_or_else(|_| home.to_owned()));
        Ok(Policy { writable: roots, home, ..Policy::default() })
    }

    /// Whether a place lies in a writable folder.
    pub fn may_write(&self, path: &Path) -> bool {
        self.writable.iter().any(|root| path.starts_with(root))
    }
}

/// Folders of which a command may get a part, never the whole.
const TOO_WIDE: [&str; 16] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/proc",
    "/root/.ssh",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var",
    "/Users",
];

fn too_wide(root: &Path) -> bool {
    let inside = |place: &str| root.starts_with(place);
    TOO_WIDE.iter().any(|place| root == Path::new(place))
        || inside("/proc")
        || inside("/sys")
        || inside("/dev")
}

/// The path without `.` and `..`, by its letters alone.
pub(super) fn plain(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Paths and arguments as JSON strings that keep every byte.
pub(super) mod text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error};

    use super::{OsStr, OsString, PathBuf};

    /// A value that is text but for a few bytes.
    pub(crate) trait Text: Sized {
        type Written: Serialize + DeserializeOwned;
        fn write(&self) -> Self::Written;
        fn read(written: Self::Written) -> Option<Self>;
    }

    impl Text for OsString {
        type Written = String;
        fn write(&self) -> String {
            escape(self)
        }
        fn read(written: String) -> Option<OsString> {
            unescape(&written)
        }
    }

    impl Text for PathBuf {
        type Written = String;
        fn write(&self) -> String {
            escape(self.as_os_str())
        }
        fn read(written: String) -> Option<PathBuf> {
            unescape(&written).map(PathBuf::from)
        }
    }

    impl<A: Text, B: Text> Text for (A, B) {
        type Written = (A::Written, B::Written);
        fn write(&self) -> Self::Written {
            (self.0.write(), self.1.write())
        }
        fn read(written: Self::Written) -> Option<(A, B)> {
            Some((A::read(written.0)?, B::read(written.1)?))
        }
    }

    impl<T: Text> Text for Vec<T> {
        type Written = Vec<T::Written>;
        fn write(&self) -> Self::Written {
            self.iter().map(T::write).collect()
        }
        fn read(written: Self::Written) -> Option<Vec<T>> {
            written.into_iter().map(T::read).collect()
        }
    }

    impl<T: Text> Text for Option<T> {
        type Written = Option<T::Written>;
        fn write(&self) -> Self::Written {
            self.as_ref().map(T::write)
        }
        fn read(written: Self::Written) -> Option<Option<T>> {
            match written {
                Some(written) => T::read(written).map(Some),
                None => Some(None),
            }
        }
    }

    pub(crate) fn serialize<T: Text, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        value.write().serialize(to)
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let written = T::Written::deserialize(from)?;
        T::read(written).ok_or_else(|| D::Error::custom("a `%` that is no escape"))
    }

    fn escape(value: &OsStr) -> String {
        let mut text = String::new();
        for chunk in value.as_encoded_bytes().utf8_chunks() {
            text.push_str(&chunk.valid().replace('%', "%25"));
            for byte in chunk.invalid() {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
        text
    }

    #[cfg(unix)]
    fn unescape(text: &str) -> Option<OsString> {
        use std::os::unix::ffi::OsStringExt;
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            if byte == b'%' {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &after[2..];
            } else {
                bytes.push(byte);
                rest = after;
            }
        }
        Some(OsString::from_vec(bytes))
    }

    #[cfg(not(unix))]
    fn unescape(text: &str) -> Option<OsString> {
        Some(text.replace("%25", "%").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_real_and_not_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let inner = root.join("inner");
        std::fs::create_dir(&inner).unwrap();
        let policy = Policy::new(&[inner.clone(), root.clone(), root.clone()], None).unwrap();
        assert_eq!(policy.writable, std::slice::from_ref(&root));
        assert!(policy.may_write(&inner.join("file")));
        assert!(!policy.may_write(&PathBuf::from(format!("{}_evil", root.display()))));
        assert!(matches!(Policy::new(&["/".into()], None), Err(SandboxError::TooWide { .. })));
        assert!(matches!(Policy::new(&[root.join("absent")], None), Err(SandboxError::Folder { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_job_keeps_every_byte() {
        use std::os::unix::ffi::OsStringExt;
        let odd = OsString::from_vec(b"/r/100%\xff\xfe\xc3\xa9".to_vec());
        let job = Job {
            policy: Policy { writable: vec![odd.clone().into()], ..Policy::default() },
            level: Level::Full,
            cwd: odd.clone().into(),
            argv: vec!["sh".into(), odd],
            env: Some(vec![("A".into(), "b%".into())]),
            own_session: true,
            door: None,
            neighbours: vec![Neighbour { port: 80, door: "/d".into() }],
            report: None,
        };
        let json = serde_json::to_string(&job).unwrap();
        assert!(json.contains("100%25%FF%FEé"), "{json}");
        assert_eq!(serde_json::from_str::<Job>(&json).unwrap(), job);
        assert!(serde_json::from_str::<Job>(&json.replace("%FF", "%ZZ")).is_err());
    }

    #[test]
    fn dots_are_taken_out_by_letters() {
        assert_eq!(plain(Path::new("/a/./b/../c")), Path::new("/a/c"));
        assert_eq!(plain(Path::new("/../a")), Path::new("/a"));
    }
}
