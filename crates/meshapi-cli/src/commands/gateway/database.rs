//! Which database: a file of this machine, or one of a PostgreSQL server that several gateways share.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use mesh_mailbox::gateway::store::postgres::PostgresPlace;

use super::args::Gateway;
use super::serve::store_failure;
use crate::{
    config::{ConfigError, Environment, Folder},
    exit::{Exit, Failure},
};

/// Folder of the gateway's files, in ours.
const FOLDER: &str = "gateway";
/// Name of the database in it.
const DATABASE: &str = "mesh.db";
/// Name of the operator's token in it, where the database is elsewhere.
const TOKEN: &str = "operator.token";
/// Variable that names the database: an address with a password is no flag, which others can see.
const VARIABLE: &str = "MESH_GATEWAY_DB";

/// Variable that holds the database's password, where the address has none. That of PostgreSQL's own programs.
const PASSWORD: &str = "PGPASSWORD";

/// Where the mail is.
#[derive(Clone, Debug)]
pub(super) enum Database {
    /// A file of SQLite.
    File(PathBuf),
    /// A database of PostgreSQL, and where this gateway's own files are.
    Shared {
        /// The database.
        place: PostgresPlace,
        /// The operator's token.
        token: PathBuf,
    },
}

impl Database {
    /// The database that is meant; the folder of the default one is made.
    ///
    /// # Errors
    /// An address is none, or there is no home.
    pub(super) fn of(wanted: &Gateway, env: &Environment) -> Result<Database, Failure> {
        if let Some(name) = &wanted.db {
            return Database::named(name, env);
        }
        Database::of_variable(env)?.map_or_else(|| Database::own_file(env), Ok)
    }

    /// The one that the environment names.
    ///
    /// # Errors
    /// Those of [`Database::named`].
    pub(super) fn of_variable(env: &Environment) -> Result<Option<Database>, Failure> {
        let name = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
        name.map(|name| Database::named(&name, env)).transpose()
    }

    /// The file in our own folder.
    ///
    /// # Errors
    /// There is no home.
    pub(super) fn own_file(env: &Environment) -> Result<Database, Failure> {
        Ok(Database::File(own_folder(env)?.file(DATABASE)))
    }

    /// A file's path, or an address.
    ///
    /// # Errors
    /// The address is none, or there is no home.
    pub(super) fn named(name: &OsStr, env: &Environment) -> Result<Database, Failure> {
        let is_address = |text: &&str| text.starts_with("postgres://") || text.starts_with("postgresql://");
        match name.to_str().filter(is_address) {
            None => Ok(Database::File(name.into())),
            Some(address) => {
                let mut place = PostgresPlace::parse(address).map_err(store_failure)?;
                if let Some(password) = std::env::var(PASSWORD).ok().filter(|_| !place.has_password()) {
                    place = place.with_password(&password);
                }
                Ok(Database::Shared { place, token: own_folder(env)?.file(TOKEN) })
            }
        }
    }

    /// The file of the operator's token: beside a file, with `.token` appended to its name; else in our own folder.
    pub(super) fn token_path(&self) -> PathBuf {
        match self {
            Database::File(path) => {
                let mut name = path.as_os_str().to_owned();
                name.push(".token");
                name.into()
            }
            Database::Shared { token, .. } => token.clone(),
        }
    }

    /// The file, for what only a file allows.
    ///
    /// # Errors
    /// It is none; with what to do instead.
    pub(super) fn file(&self, instead: &str) -> Result<&PathBuf, Failure> {
        match self {
            Database::File(path) => Ok(path),
            Database::Shared { .. } => {
                Err(Failure::new(Exit::Usage, "usage", "this is for a database in a file").hint(instead))
            }
        }
    }
}

/// As it is told to people: without a password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::File(path) => path.display().fmt(f),
            Database::Shared { place, .. } => place.shown().fmt(f),
        }
    }
}

fn own_folder(env: &Environment) -> Result<Folder, Failure> {
    let home = env.home.as_deref().ok_or(ConfigError::NoHome)?;
    Folder::of(home).ensure()?;
    let folder = Folder::at(&Folder::of(home).file(FOLDER));
    folder.ensure()?;
    Ok(folder)
}
