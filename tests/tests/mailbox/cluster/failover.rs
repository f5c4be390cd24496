//! The database is killed under load and its synchronous standby promoted: the gateways go on there by themselves.

use std::sync::Arc;

use super::fleet::Fleet;
use super::load::Load;
use crate::private_postgres::{PASSWORD, Server};
use crate::program::say;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_has_all_that_was_acknowledged() {
    let Some(primary) = Server::start(&["synchronous_standby_names=*"]) else { return };
    let standby = Server::standby_of(&primary);
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    let database = format!("postgres://postgres:{PASSWORD}@{hosts}/postgres");
    let fleet = Fleet::start(&database, 2);
    let load = Load::start(&fleet, 6).await;
    load.more(150).await;
    primary.kill();
    standby.sql("postgres", "SELECT pg_promote()");
    load.more(100).await;
    let history = Arc::clone(&load.history);
    let sum = load.end().await;
    say(&format!("failover: {} acknowledged, {} worked", sum.acknowledged, sum.worked));
    sum.is_clean(&history);
}
