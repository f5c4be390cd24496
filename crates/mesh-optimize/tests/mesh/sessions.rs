//! Recorded sessions through the optimiser: what it saves is what a provider would have billed less, and how it is split between
//! processes makes no difference.

use mesh_optimize::{Config, Filter, Optimizer, SessionState};

use crate::billing::{Provider, with_own_marks};
use crate::recorded::{Session, sessions};

const MODEL: &str = "anthropic/claude-opus-4.8";

fn optimizer() -> Optimizer {
    Optimizer::new(Config::default())
}

/// Units that a session costs without us and with us, and what the receipts claim to have saved.
fn settled(session: &Session, dial: f64) -> (f64, f64, f64) {
    let (mut theirs, mut ours) = (Provider::default(), Provider::default());
    let mut state = SessionState::default();
    let (mut native, mut paid, mut claimed) = (0.0, 0.0, 0.0);
    for request in session.requests(dial, MODEL) {
        let prepared = optimizer().prepare(&request.body, &mut state);
        let bill = ours.bill(&prepared.body(), request.now);
        native += theirs.bill(&with_own_marks(&request.body), request.now).units();
        paid += bill.units();
        claimed +=
            optimizer().settle(&prepared.plan, Some(&bill.usage()), None, &mut state).saved_vs_native_units;
    }
    (native, paid, claimed)
}

#[test]
fn receipts_say_what_was_saved() {
    for session in sessions() {
        for dial in [0.1, 0.3, 0.5] {
            let (native, paid, claimed) = settled(&session, dial);
            let saved = native - paid;
            let about = format!(
                "{} at {dial}: native {native:.0}, paid {paid:.0}, saved {saved:.0}, claimed {claimed:.0}",
                session.id
            );
            println!(
                "{about} ({:+.1} % of the saving, {:+.2} % of the bill)",
                (claimed / saved - 1.0) * 100.0,
                (claimed - saved) / native * 100.0
            );
            assert!(paid <= native * 1.08, "dearer: {about}");
            // The saving within 5 %; where little was saved, within a fiftieth of the bill: what a cut text weighs is estimated, and this
            // provider counts tokens in its own way.
            assert!((claimed - saved).abs() <= f64::max(saved.abs() * 0.05, native * 0.02), "{about}");
        }
    }
}

#[test]
fn a_session_may_be_split_between_processes_anywhere() {
    for session in sessions() {
        let requests = session.requests(0.5, MODEL);
        let mut whole = SessionState::default();
        let (mut split, mut saved) = (SessionState::default(), String::new());
        for (number, request) in requests.iter().enumerate() {
            let once = optimizer().prepare(&request.body, &mut whole).body().into_owned();
            if number % 3 == 1 {
                split = serde_json::from_str(&saved).unwrap();
            }
            let again = optimizer().prepare(&request.body, &mut split).body().into_owned();
            saved = serde_json::to_string(&split).unwrap();
            assert!(once == again, "{} request {number}", session.id);
        }
        assert!(
            saved.len() < requests.last().unwrap().body.len() / 4,
            "the saved state is small: {}",
            saved.len()
        );
    }
}

#[test]
fn a_lost_state_is_found_again_in_the_messages() {
    for session in sessions() {
        // Without recorded pauses: no message tells of those.
        let mut state = SessionState::default();
        for request in session.requests(0.5, MODEL) {
            let text = String::from_utf8(request.body).unwrap();
            let body = text.replace("\"now\"", "\"then\"");
            let known = optimizer().prepare(body.as_bytes(), &mut state).body().into_owned();
            let cold = optimizer().prepare(body.as_bytes(), &mut SessionState::default()).body().into_owned();
            assert!(known == cold, "{}", session.id);
        }
    }
}

#[test]
fn sessions_that_rested_go_on_as_if_they_had_not() {
    let filter = || Filter::new(Config { dial: "0.5".parse().unwrap(), ..Config::default() }).by_prefix();
    let (mut all, mut one) = (filter(), filter().learning_at_most(0));
    let requests: Vec<Vec<_>> = sessions().iter().map(|session| session.requests(0.5, MODEL)).collect();
    for number in 0..requests.iter().map(Vec::len).max().unwrap_or(0) {
        for request in requests.iter().filter_map(|requests| requests.get(number)) {
            let kept = all.prepare(&request.body, |_| None, None).1.body().into_owned();
            let rested = one.prepare(&request.body, |_| None, None).1.body().into_owned();
            assert!(kept == rested, "request {number}");
        }
    }
}
