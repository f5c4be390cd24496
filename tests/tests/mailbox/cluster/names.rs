//! Names, tokens and groups that one gateway learns are known to the others at once.

use mesh_mailbox::{Kind, Mailbox};
use serde_json::json;
use std::time::Duration;

use super::fleet::Fleet;
use super::server;
use crate::program::Program;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_gateway_learns_the_others_know() {
    let Some(database) = server::database() else { return };
    let fleet = Fleet::start(&database.url, 3);
    let operator = |at: usize| fleet.mailbox(at, "operator");
    let call = async |mailbox: &Mailbox, method: &'static str, path: &str, body: serde_json::Value| {
        mailbox.call(method, path, Some(&body), Duration::ZERO).await
    };
    let mut tokens = Vec::new();
    for (at, name) in ["alice", "bob", "carol"].into_iter().enumerate() {
        let told = call(&operator(at), "POST", "/peers/register", json!({"name": name})).await.unwrap();
        tokens.push(told["peer_token"].as_str().unwrap().to_owned());
    }
    let peer = |at: usize, name: &str, token: &str| {
        Mailbox::builder(name).gateway_url(operator(at).gateway_url()).token(token).build().unwrap()
    };
    // Each at a gateway where it did not register, to one that registered at the third.
    for (at, (name, to)) in [("alice", "bob"), ("bob", "carol"), ("carol", "alice")].into_iter().enumerate() {
        let mailbox = peer(at + 1, name, &tokens[at]);
        let message = mailbox.compose(to, Kind::Fyi, "hello").unwrap();
        mailbox.send(&message).await.unwrap();
    }
    let group = json!({"name": "all", "members": ["alice", "bob", "carol"]});
    call(&operator(0), "POST", "/groups", group).await.unwrap();
    let body = json!({"from_node": "alice", "group": "all", "kind": "fyi", "content": "to all"});
    call(&peer(2, "alice", &tokens[0]), "POST", "/messages", body).await.unwrap();
    // A new token is good everywhere at once; the old one is refused where the change is known.
    let rotated = call(&operator(0), "POST", "/peers/alice/token", json!({})).await.unwrap();
    let fresh = rotated["peer_token"].as_str().unwrap();
    for at in 0..3 {
        let mailbox = peer(at, "alice", fresh);
        mailbox.fetch(&mesh_mailbox::Look::unread()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_is_given_once_wherever_it_is_asked_for() {
    let Some(database) = server::database() else { return };
    let fleet = Fleet::start(&database.url, 3);
    for round in 0..5 {
        let name = format!("peer-{round}");
        let register = |at: usize| {
            let (operator, body) = (fleet.mailbox(at, "operator"), json!({"name": name}));
            async move { operator.call("POST", "/peers/register", Some(&body), Duration::ZERO).await.unwrap() }
        };
        let (a, b, c) = tokio::join!(register(0), register(1), register(2));
        let minted: Vec<_> =
            [a, b, c].iter().filter_map(|told| told["peer_token"].as_str().map(str::to_owned)).collect();
        assert_eq!(minted.len(), 1, "one token, for whoever was first");
        for at in 0..3 {
            let url = fleet.mailbox(at, "operator").gateway_url().to_owned();
            let peer = Mailbox::builder(&name).gateway_url(url).token(&minted[0]).build().unwrap();
            peer.fetch(&mesh_mailbox::Look::unread()).await.unwrap();
        }
    }
}

#[test]
fn gateways_that_start_at_once_in_a_new_home_agree_on_its_token() {
    let Some(database) = server::database() else { return };
    for _ in 0..3 {
        let home = tempfile::tempdir().unwrap();
        let start = || {
            Program::over(&database.url, home.path(), |command| {
                command.env_remove("MESH_GATEWAY_TOKEN");
            })
        };
        let urls: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..3).map(|_| scope.spawn(start)).collect();
            let programs: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
            let token = std::fs::read_to_string(home.path().join(".meshapi/gateway/operator.token")).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            for program in &programs {
                let operator = Mailbox::builder("operator")
                    .gateway_url(&program.url)
                    .token(token.trim())
                    .build()
                    .unwrap();
                runtime.block_on(operator.list_peers()).unwrap();
            }
            programs.iter().map(|program| program.url.clone()).collect()
        });
        assert_eq!(urls.len(), 3);
    }
}
