//! The flags of `meshapi proxy`.

use std::net::SocketAddr;

use clap::Args;

/// `meshapi proxy`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Proxy {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8790")]
    pub listen: SocketAddr,
    /// The API that answers (else the base URL of the settings); what follows /v1 in a request's path is asked for there
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// How far requests are made cheaper: 0 (not at all) to 0.95
    #[arg(long, value_name = "DIAL", default_value = "0.3")]
    pub dial: String,
    /// Most that may be spent in a day (UTC), in USD: a request that would pass it is answered 402
    #[arg(long, value_name = "USD")]
    pub max_cost: Option<f64>,
    /// Most that one session may spend, in USD
    #[arg(long, value_name = "USD")]
    pub max_session_cost: Option<f64>,
    /// What callers have to say in x-proxy-token; needed where other machines can call
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
}
