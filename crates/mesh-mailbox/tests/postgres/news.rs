//! How gateways hear of each other: by notifications, and without them.

use std::sync::Arc;
use std::time::Duration;

use mesh_mailbox::gateway::stamp::Stamp;
use mesh_mailbox::gateway::store::postgres::Postgres;
use mesh_mailbox::gateway::store::{Command, Done, News, PeerRow, Scope, Store as _, Tidings};

use crate::private_postgres::{Server, shared};
use crate::{place, send, sent};

/// Longer than any test: what comes before it came by a notification.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);

fn waiting() -> Vec<String> {
    vec!["bob".to_owned(), "carol".to_owned()]
}

/// Two gateways on a database of a server, and what the second hears.
type Pair = (Arc<Server>, Postgres, Postgres, Box<dyn News>);

/// Two gateways, after the second's first look.
fn pair(is_notifying: bool) -> Option<Pair> {
    let server = shared()?;
    let address = server.database();
    let open = || Postgres::open(place(&address).with_notify(is_notifying)).unwrap();
    let (one, other) = (open(), open());
    let mut news = other.news().unwrap().unwrap();
    let first = news.next(&waiting(), SHORT).unwrap();
    assert!(first.is_directory_changed && first.inboxes.is_empty(), "{first:?}");
    Some((server, one, other, news))
}

fn heard(news: &mut dyn News, patience: Duration) -> Tidings {
    loop {
        let tidings = news.next(&waiting(), patience).unwrap();
        if tidings != Tidings::default() {
            return tidings;
        }
    }
}

fn mail(inboxes: &[&str]) -> Tidings {
    let inboxes = inboxes.iter().map(|name| (*name).to_owned()).collect();
    Tidings { inboxes, is_directory_changed: false }
}

fn peer(name: &str) -> Command {
    Command::PutPeer { peer: Box::new(PeerRow { name: name.into(), ..PeerRow::default() }), was: None }
}

#[test]
fn a_notification_comes_before_the_look() {
    let Some((_server, mut one, mut other, mut news)) = pair(true) else { return };
    // What the own gateway does is no news to it.
    sent(&mut other, send("bob")).unwrap();
    sent(&mut one, send("carol")).unwrap();
    assert_eq!(heard(&mut *news, LONG), mail(&["carol"]));
    one.apply(Stamp::now(), &[peer("dave")]).unwrap()[0].as_ref().unwrap();
    assert_eq!(heard(&mut *news, LONG), Tidings { inboxes: vec![], is_directory_changed: true });
    // A batch is told once, whatever is in it, also of inboxes that nobody waits for here.
    let batch = [send("bob"), send("erin"), send("bob")];
    one.apply(Stamp::now(), &batch).unwrap();
    assert_eq!(heard(&mut *news, LONG), mail(&["bob", "erin"]));
}

#[test]
fn more_inboxes_than_a_notification_names_are_looked_up() {
    let Some((_server, mut one, _other, mut news)) = pair(true) else { return };
    let batch: Vec<Command> = (0..200).map(|number| send(&format!("{number:0>60}"))).collect();
    one.apply(Stamp::now(), &[batch, vec![send("carol")]].concat()).unwrap();
    assert_eq!(heard(&mut *news, LONG), mail(&["carol"]));
}

#[test]
fn without_notifications_a_look_finds_all() {
    for is_notifying in [false, true] {
        let Some((_server, mut one, _other, mut news)) = pair(is_notifying) else { return };
        if is_notifying {
            // They are lost on the way.
            one = without_bell(&one);
        }
        assert_eq!(news.next(&waiting(), SHORT).unwrap(), Tidings::default());
        sent(&mut one, send("carol")).unwrap();
        assert_eq!(heard(&mut *news, SHORT), mail(&["carol"]));
        assert_eq!(news.next(&waiting(), SHORT).unwrap(), Tidings::default());
        one.apply(Stamp::now(), &[peer("dave")]).unwrap()[0].as_ref().unwrap();
        assert_eq!(heard(&mut *news, SHORT), Tidings { inboxes: vec![], is_directory_changed: true });
        // What comes back into an inbox is news, too; what only leaves it is none.
        let claim = Command::Claim {
            inbox: "carol".into(),
            max: 1,
            lease: Duration::from_secs(60),
            kind: None,
            thread_id: None,
        };
        let claimed = one.apply(Stamp::now(), &[claim]).unwrap().remove(0).unwrap();
        let Done::Claimed { rows, .. } = claimed else { panic!() };
        let row: serde_json::Value = serde_json::from_slice(&rows).unwrap();
        assert_eq!(news.next(&waiting(), SHORT).unwrap(), Tidings::default());
        let lease = row["lease_id"].as_str().unwrap().to_owned();
        let id = row["id"].as_i64().unwrap();
        one.apply(Stamp::now(), &[Command::Nack { id, by: Scope::Any, lease, delay: Duration::ZERO }])
            .unwrap()[0]
            .as_ref()
            .unwrap();
        assert_eq!(heard(&mut *news, SHORT), mail(&["carol"]));
    }
}

fn without_bell(store: &Postgres) -> Postgres {
    Postgres::open(store.place().clone().with_notify(false)).unwrap()
}

#[test]
fn who_was_cut_off_hears_afterwards_what_was_said() {
    let Some((server, mut one, _other, mut news)) = pair(true) else { return };
    let name = one.place().shown().rsplit('/').next().unwrap().to_owned();
    let listeners = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE 'LISTEN%' OR \
         datname = '{name}' AND query LIKE '%mesh_counters%'"
    );
    server.sql("postgres", &listeners);
    sent(&mut one, send("carol")).unwrap();
    // One call may say that the connection is lost; the next finds what was missed.
    let tidings = match news.next(&waiting(), LONG) {
        Ok(tidings) if tidings != Tidings::default() => tidings,
        Ok(_) | Err(_) => news.next(&waiting(), LONG).unwrap(),
    };
    assert!(tidings.inboxes.contains(&"carol".to_owned()), "{tidings:?}");
}
