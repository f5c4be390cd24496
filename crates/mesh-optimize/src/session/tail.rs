//! Clients that replace their last message in every request (a reminder, a plan) without saying so.

use super::state::SessionState;
use crate::body::Body;

/// So many requests in a row must have replaced it.
const TIMES: u32 = 2;

impl SessionState {
    /// How many messages at the end of `body` will presumably not be in the next request. `told` is what the client says of it.
    pub(crate) fn transient(&mut self, body: &Body<'_>, told: usize) -> usize {
        if told > 0 {
            return told;
        }
        let place = |at: usize| body.messages.get(at).map(|place| (place.span.len(), place.hash));
        let tail = body.messages.len().checked_sub(1).and_then(place);
        let seen = &self.saved.seen;
        let watch = &mut self.saved.watch;
        let goes_on = seen.iter().enumerate().rev().take(2).all(|(at, seen)| place(at) == Some(*seen));
        if watch.replaced >= TIMES {
            // The presumed tail still stands where it stood: it was a message like any other.
            if place(seen.len()) == watch.last || !goes_on {
                watch.replaced = 0;
            }
        } else {
            let last = seen.len().checked_sub(1);
            let replaced = last.is_some_and(|last| {
                place(last) != Some(seen[last])
                    && last.checked_sub(1).is_some_and(|before| place(before) == Some(seen[before]))
                    && body.messages.len() > seen.len()
            });
            watch.replaced = if replaced { watch.replaced + 1 } else { 0 };
        }
        watch.last = tail;
        usize::from(watch.replaced >= TIMES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(messages: &[&str]) -> String {
        let list: Vec<String> =
            messages.iter().map(|text| format!(r#"{{"role":"user","content":"{text}"}}"#)).collect();
        format!(r#"{{"messages":[{}]}}"#, list.join(","))
    }

    /// What is presumed of each of the requests.
    fn presumed(requests: &[&[&str]]) -> Vec<usize> {
        let mut state = SessionState::default();
        let one = |messages: &&[&str]| {
            let text = body(messages);
            let read = Body::read(text.as_bytes(), &[]).unwrap();
            let tail = state.transient(&read, 0);
            let stay = &read.messages[..read.messages.len() - tail];
            state.saved.seen = stay.iter().map(|place| (place.span.len(), place.hash)).collect();
            tail
        };
        requests.iter().map(one).collect()
    }

    #[test]
    fn a_tail_that_is_replaced_twice_is_transient() {
        let requests: [&[&str]; 4] =
            [&["a", "t1"], &["a", "b", "t2"], &["a", "b", "c", "t3"], &["a", "b", "c", "d", "t4"]];
        assert_eq!(presumed(&requests), [0, 0, 1, 1]);
    }

    #[test]
    fn a_tail_that_stays_is_none() {
        let requests: [&[&str]; 5] = [
            &["a", "t1"],
            &["a", "b", "t2"],
            &["a", "b", "c", "t3"],
            &["a", "b", "c", "t3", "d"],
            &["a", "b", "c", "t3", "d", "e"],
        ];
        assert_eq!(presumed(&requests), [0, 0, 1, 0, 0]);
        assert_eq!(presumed(&[&["a"], &["a", "b"], &["a", "b", "c"], &["a", "b", "c", "d"]]), [0; 4]);
        assert_eq!(presumed(&[&["a", "x"], &["a", "y"], &["a", "z"], &["a", "w"]]), [0; 4]);
    }
}
