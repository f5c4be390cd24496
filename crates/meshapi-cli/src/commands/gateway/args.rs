//! The flags of `meshapi gateway`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// `meshapi gateway`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Gateway {
    /// The database: a file, or `postgres://USER:PASSWORD@HOST/NAME` (else MESH_GATEWAY_DB, else ~/.meshapi/gateway/mesh.db)
    #[arg(long, global = true, value_name = "FILE|URL")]
    pub db: Option<OsString>,
    /// Print JSON, one value a line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: GatewayCommand,
}

/// What `meshapi gateway` does.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum GatewayCommand {
    /// Keep mail and hand it out, until told to stop
    Serve(Serve),
    /// Copy the database as of one moment, also while it is served
    Backup {
        /// The copy; it must not be there yet
        to: PathBuf,
    },
    /// Look through the whole database
    Check,
    /// List peers, or change them
    Peers {
        /// What to do
        #[command(subcommand)]
        command: Option<PeersCommand>,
    },
    /// List messages that were given up
    DeadLetters,
    /// Copy the mail of a swarph gateway: ids, threads, read marks, names and the digests of their tokens
    Import {
        /// The database of the swarph gateway, which must not be running
        from: PathBuf,
    },
    /// Copy everything from a file to a PostgreSQL database: ids, sequences, tokens, marks. The file stays as it is
    Migrate(Migrate),
}

/// `meshapi gateway migrate`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Migrate {
    /// The file, or `sqlite` for the default one; no gateway may be serving it
    #[arg(long, value_name = "FILE")]
    pub from: OsString,
    /// The address `postgres://…` of an empty database, or `postgres` for that in MESH_GATEWAY_DB
    #[arg(long, value_name = "URL")]
    pub to: OsString,
}

/// `meshapi gateway serve`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788")]
    pub listen: SocketAddr,
    /// File with the operator's token (else MESH_GATEWAY_TOKEN, else a file beside the database, made at the first start)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates for TLS, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Their key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Speak plain HTTP to other machines; tokens and mail can then be read on the way
    #[arg(long)]
    pub insecure: bool,
    /// Whether gateways of one PostgreSQL database tell each other at once of new mail; `off`: they look each second
    #[arg(long, value_name = "ON|OFF", value_enum, default_value = "on")]
    pub notify: Notify,
    /// How long acknowledged and read mail is kept, such as `30d`, `12h`, `15m` or `90s`
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30d")]
    pub keep_settled: Duration,
    /// How long unread mail is kept
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "365d")]
    pub keep_unread: Duration,
    /// Most messages of one inbox; beyond it the oldest settled ones go
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub keep_most: u64,
    /// Let names send and receive that nobody registered
    #[arg(long)]
    pub allow_unregistered: bool,
}

/// Whether gateways tell each other of new mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Notify {
    /// At once
    On,
    /// Each looks by itself
    Off,
}

/// `meshapi gateway peers`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum PeersCommand {
    /// Print an invitation for a new name, good once
    Invite {
        /// The only name that it is good for
        name: Option<String>,
    },
    /// Print a new token for a name; the old one is worth nothing from then on
    Rotate {
        /// The name
        name: String,
    },
    /// Take a name's token away
    Revoke {
        /// The name
        name: String,
    },
    /// Keep a name from calling and from getting mail
    Disable {
        /// The name
        name: String,
    },
    /// Let a name call and get mail again
    Enable {
        /// The name
        name: String,
    },
}

/// A time such as `30d`.
fn time(text: &str) -> Result<Duration, String> {
    let unit = |unit: char| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    };
    let seconds = text
        .chars()
        .next_back()
        .and_then(unit)
        .and_then(|unit| text[..text.len() - 1].parse::<u32>().ok().map(|number| unit * u64::from(number)))
        .filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| "give a number and s, m, h or d, such as 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        for (text, want) in [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(time(text), Ok(Duration::from_secs(want)), "{text}");
        }
        for text in ["", "d", "30", "0s", "-1d", "1.5h", "30 d", "99999999999d", "3ä"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
