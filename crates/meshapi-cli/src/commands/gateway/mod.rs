//! `meshapi gateway`: a durable mailbox for peers on several machines.
//!
//! - `args`: its flags
//! - `serve`: keeps mail and hands it out
//! - `care`: copies, checks, lists, imports
//! - `peers`: names and their tokens
pub mod args;
mod care;
mod peers;
mod serve;

use std::path::{Path, PathBuf};

use crate::{
    config::{ConfigError, Environment, Folder},
    exit::{Exit, Failure},
};
use args::{Gateway, GatewayCommand};

/// Folder of the gateway's files, in ours.
const FOLDER: &str = "gateway";
/// Name of the database in it.
const DATABASE: &str = "mesh.db";

/// Runs the command.
///
/// # Errors
/// What ended it.
pub fn run(wanted: &Gateway, env: &Environment) -> Result<Exit, Failure> {
    let database = database(wanted, env)?;
    match &wanted.command {
        GatewayCommand::Serve(serve) => serve::run(serve, &database),
        GatewayCommand::Backup { to } => care::backup(&database, to, wanted.json),
        GatewayCommand::Check => care::check(&database, wanted.json),
        GatewayCommand::Peers { command } => peers::run(&database, command.as_ref(), wanted.json),
        GatewayCommand::DeadLetters => care::dead_letters(&database, wanted.json),
        GatewayCommand::Import { from } => care::import(&database, from, wanted.json),
    }
}

/// The database; its folder is made when it is the default one.
fn database(wanted: &Gateway, env: &Environment) -> Result<PathBuf, Failure> {
    if let Some(path) = &wanted.db {
        return Ok(path.clone());
    }
    let home = env.home.as_deref().ok_or(ConfigError::NoHome)?;
    Folder::of(home).ensure()?;
    let folder = Folder::at(&Folder::of(home).file(FOLDER));
    folder.ensure()?;
    Ok(folder.file(DATABASE))
}

/// The file of the operator's token: the database's name with `.token` appended.
fn token_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".token");
    name.into()
}
