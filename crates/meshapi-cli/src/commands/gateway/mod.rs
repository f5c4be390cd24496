//! `meshapi gateway`: a durable mailbox for peers on several machines.
//!
//! - `args`: its flags
//! - `database`: a file, or an address of PostgreSQL
//! - `serve`: keeps mail and hands it out
//! - `care`: copies, checks, lists, imports; `migrate`: from the file to PostgreSQL
//! - `peers`: names and their tokens
pub mod args;
mod care;
mod database;
mod migrate;
mod peers;
mod serve;

use crate::{
    config::Environment,
    exit::{Exit, Failure},
};
use args::{Gateway, GatewayCommand};
use database::Database;

/// Runs the command.
///
/// # Errors
/// What ended it.
pub fn run(wanted: &Gateway, env: &Environment) -> Result<Exit, Failure> {
    if let GatewayCommand::Migrate(migrate) = &wanted.command {
        return migrate::run(migrate, env, wanted.json);
    }
    let database = Database::of(wanted, env)?;
    match &wanted.command {
        GatewayCommand::Serve(serve) => serve::run(serve, &database),
        GatewayCommand::Backup { to } => care::backup(
            database.file("pg_dump copies a PostgreSQL database while it is served")?,
            to,
            wanted.json,
        ),
        GatewayCommand::Check => care::check(&database, wanted.json),
        GatewayCommand::Peers { command } => peers::run(&database, command.as_ref(), wanted.json),
        GatewayCommand::DeadLetters => care::dead_letters(&database, wanted.json),
        GatewayCommand::Import { from } => care::import(&database, from, wanted.json),
        GatewayCommand::Migrate(_) => Ok(Exit::Ok),
    }
}
