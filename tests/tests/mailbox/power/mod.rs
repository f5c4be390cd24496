//! Loss of power: what was written and not synced may be there, in part, or not at all. At many moments of one run the disk is put
//! together as it might be found afterwards, and a fresh gateway has to find in it all that was acknowledged by then.

mod disk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use mesh_mailbox::Kind;
use mesh_mailbox::gateway::query::{Look, Order};
use mesh_mailbox::gateway::stamp::Stamp;
use mesh_mailbox::gateway::store::sqlite::{Place, Sqlite, check};
use mesh_mailbox::gateway::store::{Command, NewMessage, Reader as _, Store as _, StoreError, Voucher};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use disk::Event;

/// Transactions of the run.
const BATCHES: usize = 60;
/// The smallest part of a write that a disk keeps or loses as one.
const SECTOR: usize = 512;

/// Numbers that look drawn and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

fn message(text: String) -> Command {
    Command::Append(Box::new(NewMessage {
        from_node: "alice".into(),
        to_nodes: vec!["bob".into()],
        is_fan_out: false,
        kind: Kind::Fyi,
        content_json: Value::from(text).to_string(),
        thread_id: None,
        related_task_id: None,
        expires_at: None,
        reply_to: None,
        ack_required: false,
        priority: 0,
        voucher: Voucher::Peer,
        key: None,
        max_depth: None,
    }))
}

/// Writes batches on a disk that notes everything; returns the notes.
fn recorded(folder: &Path) -> Vec<Event> {
    let path = folder.join("mesh.db");
    disk::register();
    let mut store = Sqlite::open(Place::new(&path).with_vfs(disk::NAME)).unwrap();
    let mut dice = Dice(7);
    for batch in 0..BATCHES {
        let count = 1 + dice.roll(6);
        let texts: Vec<String> =
            (0..count).map(|item| format!("{batch}-{item} {}", "x".repeat(dice.roll(9000)))).collect();
        let commands: Vec<Command> = texts.iter().cloned().map(message).collect();
        store.apply(Stamp::now(), &commands).unwrap();
        disk::note(Event::Acknowledged(texts));
        if batch % 7 == 6 {
            // The log is copied into the database, and then written over from its beginning.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
            let other = Connection::open_with_flags_and_vfs(&path, flags, disk::NAME).unwrap();
            other.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        }
    }
    disk::notes()
}

/// One file: what is sure to be there, and what was written since.
#[derive(Default)]
struct File<'n> {
    sure: Vec<u8>,
    since: Vec<&'n Event>,
}

fn write(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    if bytes.len() < at + part.len() {
        bytes.resize(at + part.len(), 0);
    }
    bytes[at..at + part.len()].copy_from_slice(part);
}

/// Puts an event onto a file: whole, or as much of it as the dice leave.
fn put(bytes: &mut Vec<u8>, event: &Event, mut dice: Option<&mut Dice>) {
    let mut is_kept = || dice.as_mut().is_none_or(|dice| dice.roll(2) == 0);
    match event {
        Event::Write { at, bytes: written, .. } => {
            for (index, part) in written.chunks(SECTOR).enumerate() {
                if is_kept() {
                    write(bytes, at + index * SECTOR, part);
                }
            }
        }
        Event::Truncate { length, .. } if is_kept() => bytes.truncate(*length),
        _ => {}
    }
}

/// The disk as it might be found when power went after the first `end` events.
fn found(notes: &[Event], end: usize, dice: &mut Dice, does_sync: bool) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<&str, File<'_>> = BTreeMap::new();
    for event in &notes[..end] {
        match event {
            Event::Write { file, .. } | Event::Truncate { file, .. } => {
                files.entry(file).or_default().since.push(event);
            }
            Event::Sync { file } if does_sync => {
                let file = files.entry(file).or_default();
                for event in file.since.drain(..) {
                    put(&mut file.sure, event, None);
                }
            }
            Event::Sync { .. } | Event::Acknowledged(_) => {}
        }
    }
    let left = |(name, mut file): (&str, File<'_>)| {
        for event in file.since {
            put(&mut file.sure, event, Some(dice));
        }
        (name.to_owned(), file.sure)
    };
    files.into_iter().map(left).collect()
}

/// What is wrong with a disk on which these texts were acknowledged.
fn complaints(files: &BTreeMap<String, Vec<u8>>, acknowledged: &[String]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().join("mesh.db");
    let store = match Sqlite::open(Place::new(&path)) {
        Ok(store) => store,
        Err(error) => return vec![format!("it does not open: {error}")],
    };
    let look = Look { to: Some("bob".into()), limit: 100_000, order: Order::Ascending, ..Look::default() };
    let mut rows = b"[".to_vec();
    if let Err(error) = store.reader().unwrap().page(Stamp::now(), &look, usize::MAX, &mut rows) {
        return vec![format!("it cannot be read: {error}")];
    }
    rows.push(b']');
    let rows: Vec<Value> = serde_json::from_slice(&rows).unwrap();
    let texts: Vec<&str> = rows.iter().map(|row| row["content"].as_str().unwrap()).collect();
    let mut complaints = check(&path).unwrap();
    if texts.len() < acknowledged.len() || texts.iter().zip(acknowledged).any(|(there, sent)| there != sent) {
        complaints.push(format!("{} were acknowledged, {} are there", acknowledged.len(), texts.len()));
    }
    let sequences: Vec<i64> = rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
    if sequences.iter().zip(1..).any(|(there, want)| *there != want) {
        complaints.push(format!("the sequence has gaps: {sequences:?}"));
    }
    complaints
}

/// Moments at which power may go, with what was acknowledged before each.
fn moments(notes: &[Event]) -> Vec<(usize, Vec<String>)> {
    let mut acknowledged = Vec::new();
    let mut moments = Vec::new();
    let mut dice = Dice(11);
    for (index, event) in notes.iter().enumerate() {
        if let Event::Acknowledged(texts) = event {
            acknowledged.extend(texts.iter().cloned());
            moments.push((index + 1, acknowledged.clone()));
        } else if !acknowledged.is_empty() && dice.roll(8) == 0 {
            moments.push((index + 1, acknowledged.clone()));
        }
    }
    moments
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power() {
    let folder = tempfile::tempdir().unwrap();
    let notes = recorded(folder.path());
    let syncs = notes.iter().filter(|event| matches!(event, Event::Sync { .. })).count();
    assert!(syncs >= BATCHES, "{syncs} syncs for {BATCHES} acknowledged batches");
    let moments = moments(&notes);
    let mut dice = Dice(13);
    for (end, acknowledged) in &moments {
        let wrong = complaints(&found(&notes, *end, &mut dice, true), acknowledged);
        assert!(wrong.is_empty(), "power lost after event {end} of {}: {wrong:?}", notes.len());
    }
    // The same disk, had nothing been synced: the test would see it.
    let unsynced = moments.iter().step_by(5);
    let seen =
        unsynced.filter(|(end, texts)| !complaints(&found(&notes, *end, &mut dice, false), texts).is_empty());
    assert!(seen.count() > 5);
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{}.db", disk::TIGHT));
    disk::register();
    let mut store = Sqlite::open(Place::new(&path).with_vfs(disk::NAME)).unwrap();
    let batch = |name: &str| -> Vec<Command> {
        (0..3).map(|item| message(format!("{name}-{item} {}", "x".repeat(5000)))).collect()
    };
    store.apply(Stamp::now(), &batch("before")).unwrap();
    for _ in 0..3 {
        disk::IS_FULL.store(true, Ordering::SeqCst);
        let refused = store.apply(Stamp::now(), &batch("refused"));
        assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
        disk::IS_FULL.store(false, Ordering::SeqCst);
        store.apply(Stamp::now(), &batch("after")).unwrap();
    }
    drop(store);
    let store = Sqlite::open(Place::new(&path)).unwrap();
    let look = Look { to: Some("bob".into()), limit: 100, order: Order::Ascending, ..Look::default() };
    let mut rows = b"[".to_vec();
    store.reader().unwrap().page(Stamp::now(), &look, usize::MAX, &mut rows).unwrap();
    rows.push(b']');
    let rows: Vec<Value> = serde_json::from_slice(&rows).unwrap();
    let texts: Vec<&str> = rows.iter().map(|row| row["content"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 12, "three before, and three after each time that there was no room");
    assert!(texts.iter().all(|text| !text.starts_with("refused")), "what was refused is not there");
    assert_eq!(check(&path).unwrap(), Vec::<String>::new());
}
