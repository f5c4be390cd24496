//! What was asked and what was answered, in order; and whether a final state agrees with it. Unknown is unknown: a send whose
//! answer was lost may be stored once or not at all, and is never counted as failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::{Value, json};

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was acknowledged with this id.
    Ok(i64),
    /// It was refused: it must not be there.
    Fail,
    /// Nobody knows.
    Unknown,
}

/// A history, which several writers add to.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Vec<(usize, String, End)>>);

/// A message as it is found at the end: its id, its sequence, its content.
pub(crate) type Found = (i64, i64, String);

impl History {
    /// Notes how a process's send of a content ended; a send that is tried again ends again.
    pub(crate) fn ended(&self, process: usize, content: &str, end: End) {
        self.0.lock().unwrap().push((process, content.to_owned(), end));
    }

    /// As JSON lines, to be looked at when the checker complains.
    pub(crate) fn lines(&self) -> String {
        let line = |(process, content, end): &(usize, String, End)| {
            let (kind, id) = match end {
                End::Ok(id) => ("ok", Value::from(*id)),
                End::Fail => ("fail", Value::Null),
                End::Unknown => ("unknown", Value::Null),
            };
            json!({"process": process, "type": kind, "op": "send", "content": content, "id": id}).to_string()
        };
        self.0.lock().unwrap().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// How many sends were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        let ends = self.0.lock().unwrap();
        let ok = ends.iter().filter(|(_, _, end)| matches!(end, End::Ok(_)));
        ok.map(|(_, content, _)| content).collect::<BTreeSet<_>>().len()
    }

    /// What the final state of one inbox has against this history.
    pub(crate) fn complaints(&self, found: &[Found]) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut there: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (id, _, content) in found {
            there.entry(content).or_default().push(*id);
        }
        let ends = self.0.lock().unwrap();
        let mut known: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        let mut may_be: BTreeSet<&str> = BTreeSet::new();
        for (_, content, end) in ends.iter() {
            match end {
                End::Ok(id) => drop(known.entry(content).or_default().insert(*id)),
                End::Unknown => drop(may_be.insert(content)),
                End::Fail => {}
            }
        }
        for (content, ids) in &known {
            match there.get(content).map(Vec::as_slice) {
                None => complaints.push(format!("lost: {content}")),
                Some([id]) if ids.len() == 1 && ids.contains(id) => {}
                Some(other) => complaints
                    .push(format!("{content} was acknowledged as {ids:?} and is there as {other:?}")),
            }
        }
        for (content, ids) in &there {
            if ids.len() > 1 {
                complaints.push(format!("doubled: {content} {ids:?}"));
            }
            if !known.contains_key(content) && !may_be.contains(content) {
                complaints.push(format!("nobody sent: {content}"));
            }
        }
        let sequences: Vec<i64> = found.iter().map(|(_, seq, _)| *seq).collect();
        let whole: Vec<i64> = (1..).take(found.len()).collect();
        if sequences != whole {
            complaints.push(format!("the sequence has gaps or turns: {sequences:?}"));
        }
        complaints
    }
}

#[test]
fn the_checker_sees_each_fault() {
    let history = History::default();
    history.ended(0, "a", End::Ok(1));
    history.ended(0, "b", End::Unknown);
    history.ended(1, "c", End::Fail);
    history.ended(0, "d", End::Unknown);
    history.ended(0, "d", End::Ok(2));
    let found = |rows: &[(i64, i64, &str)]| -> Vec<Found> {
        rows.iter().map(|(id, seq, content)| (*id, *seq, (*content).to_owned())).collect()
    };
    let complaints = |rows: &[(i64, i64, &str)]| history.complaints(&found(rows)).len();
    assert_eq!(complaints(&[(1, 1, "a"), (2, 2, "d")]), 0);
    assert_eq!(complaints(&[(1, 1, "a"), (2, 2, "d"), (3, 3, "b")]), 0);
    for wrong in [
        vec![(2, 1, "d")],
        vec![(7, 1, "a"), (2, 2, "d")],
        vec![(1, 1, "a"), (2, 3, "d")],
        vec![(1, 1, "a"), (2, 2, "d"), (3, 3, "c")],
        vec![(1, 1, "a"), (2, 2, "d"), (3, 3, "e")],
        vec![(1, 1, "a"), (2, 2, "d"), (3, 3, "b"), (4, 4, "b")],
    ] {
        assert!(complaints(&wrong) > 0, "{wrong:?}");
    }
    assert_eq!((history.acknowledged(), history.lines().lines().count()), (2, 5));
}
