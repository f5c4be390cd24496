//! Gateways killed in turn, under load.

use super::fleet::Fleet;
use super::load::Load;
use super::server;
use crate::program::say;

/// Rounds of a usual run; `MAILBOX_CRASH_ROUNDS` sets another number.
const ROUNDS: usize = 4;

async fn gateways_killed_in_turn(count: usize) {
    let Some(database) = server::database() else { return };
    let rounds =
        std::env::var("MAILBOX_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut fleet = Fleet::start(&database.url, count);
    let load = Load::start(&fleet, 6).await;
    for round in 0..rounds {
        // Not by the clock: each is killed in the middle of its work.
        load.more(20 + 13 * (round % 4)).await;
        fleet.replace(round % count);
    }
    load.more(20).await;
    let history = std::sync::Arc::clone(&load.history);
    let sum = load.end().await;
    say(&format!(
        "{count} gateways, {rounds} killed: {} acknowledged, {} worked",
        sum.acknowledged, sum.worked
    ));
    sum.is_clean(&history);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_lose_and_double_nothing() {
    gateways_killed_in_turn(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_lose_and_double_nothing() {
    gateways_killed_in_turn(3).await;
}
