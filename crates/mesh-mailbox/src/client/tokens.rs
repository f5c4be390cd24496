//! The tokens that gateways gave to our names: one private file, by gateway and name.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::files::{private, private_folder, sync_folder};

/// Longest file that is read.
const MAX_BYTES: u64 = 4 << 20;

type Tokens = BTreeMap<String, BTreeMap<String, String>>;

/// The file of tokens.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// The file in this folder; it need not be there.
    pub fn in_folder(folder: &Path) -> TokenFile {
        TokenFile { path: folder.join("tokens.json") }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The token of a name at a gateway.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn get(&self, gateway: &str, node: &str) -> io::Result<Option<String>> {
        Ok(self.read()?.get(gateway).and_then(|names| names.get(node)).cloned())
    }

    /// Keeps a token, or forgets one. The file is replaced whole.
    ///
    /// # Errors
    /// It cannot be read or written; then nothing has changed.
    pub fn set(&self, gateway: &str, node: &str, token: Option<&str>) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        private_folder(folder)?;
        // Two commands at once: the second one reads what the first has written.
        let lock =
            private(OpenOptions::new().write(true).create(true).truncate(false)).open(self.beside("lock"))?;
        lock.lock()?;
        let mut tokens = self.read()?;
        let names = tokens.entry(gateway.to_owned()).or_default();
        match token {
            Some(token) => drop(names.insert(node.to_owned(), token.to_owned())),
            None => drop(names.remove(node)),
        }
        let next = self.beside("next");
        let _ = std::fs::remove_file(&next);
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&next)?;
        file.write_all(serde_json::to_string_pretty(&tokens)?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&next, &self.path)?;
        sync_folder(folder)
    }

    fn beside(&self, extension: &str) -> PathBuf {
        self.path.with_extension(format!("json.{extension}"))
    }

    fn read(&self) -> io::Result<Tokens> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tokens::new()),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        serde_json::from_str(&text).map_err(|error| {
            let path = self.path.display();
            io::Error::new(io::ErrorKind::InvalidData, format!("{path} is damaged: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_by_gateway_and_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::in_folder(&folder.path().join("mailbox"));
        assert_eq!(file.get("http://a", "alice").unwrap(), None);
        file.set("http://a", "alice", Some("one")).unwrap();
        file.set("http://b", "alice", Some("two")).unwrap();
        assert_eq!(file.get("http://a", "alice").unwrap().as_deref(), Some("one"));
        file.set("http://a", "alice", None).unwrap();
        assert_eq!(file.get("http://a", "alice").unwrap(), None);
        assert_eq!(file.get("http://b", "alice").unwrap().as_deref(), Some("two"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(file.path(), "{").unwrap();
        assert!(file.get("http://b", "alice").is_err());
    }
}
