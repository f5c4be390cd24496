//! Notifications are hints: where none comes, mail is found by looking.

use std::time::Duration;

use mesh_mailbox::{Kind, Look};

use super::fleet::Fleet;
use super::load::Load;
use super::server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_notifications_mail_arrives_all_the_same() {
    let Some(database) = server::database() else { return };
    let mut fleet = Fleet::start(&database.url, 0);
    for _ in 0..2 {
        fleet.add(|command| {
            command.args(["--notify", "off"]);
        });
    }
    for node in ["writer", "reader"] {
        fleet.mailbox(0, node).register(None, None).await.unwrap();
    }
    for number in 1..=3 {
        let reader = fleet.mailbox(1, "reader");
        // Longer than any poll: what is found before its end was not found by the end.
        let wait = Duration::from_secs(30);
        let look = Look { after: Some(number - 1), of: Some("reader".into()), wait, ..Look::default() };
        let waiting = tokio::spawn(async move { reader.fetch_page(&look).await });
        let writer = fleet.mailbox(0, "writer");
        let message = writer.compose("reader", Kind::Fyi, format!("{number}")).unwrap();
        writer.post(&message).await.unwrap();
        let (inbox, _) =
            tokio::time::timeout(Duration::from_secs(25), waiting).await.unwrap().unwrap().unwrap();
        assert_eq!(inbox.envelopes[0].content.as_deref(), Some(number.to_string().as_str()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_notifications_the_promises_hold() {
    let Some(database) = server::database() else { return };
    let mut fleet = Fleet::start(&database.url, 0);
    for _ in 0..2 {
        fleet.add(|command| {
            command.args(["--notify", "off"]);
        });
    }
    let load = Load::start(&fleet, 3).await;
    load.more(60).await;
    let history = std::sync::Arc::clone(&load.history);
    load.end().await.is_clean(&history);
}
