//! A look as SQL, and its rows as a page: what the engines have in common.

use super::Page;
use crate::gateway::query::{Look, Order};

/// A value of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'l> {
    /// A number.
    Integer(i64),
    /// A text.
    Text(&'l str),
}

/// Which rows a look is for. Values are added to those that are there; `mark` is what an engine writes before a value's number,
/// `now` how it says the moment.
pub(super) fn rules<'l>(look: &'l Look, mark: char, now: &str, values: &mut Vec<Value<'l>>) -> String {
    let mut sql = String::from(if look.dead { "dead_at IS NOT NULL" } else { "dead_at IS NULL" });
    if look.unread_only {
        sql.push_str(" AND read_at IS NULL");
    }
    sql.push_str(&format!(" AND (expires_at IS NULL OR expires_at > {now})"));
    let mut rule = |text: &str, value: Value<'l>| {
        values.push(value);
        sql.push_str(&format!(" AND {text} {mark}{}", values.len()));
    };
    let texts = [
        ("inbox =", &look.to),
        ("sender =", &look.from),
        ("kind =", &look.kind),
        ("thread =", &look.thread_id),
        ("created_at >", &look.since),
    ];
    for (text, value) in texts {
        if let Some(value) = value {
            rule(text, Value::Text(value));
        }
    }
    if let Some(after) = look.after {
        rule("seq >", Value::Integer(after));
    }
    sql
}

/// In which order rows are chosen. A cursor chooses the rows that follow it without a gap; the look's order only says how they
/// are shown.
pub(super) fn order(look: &Look) -> &'static str {
    let is_ascending = look.order == Order::Ascending || look.after.is_some();
    match (look.to.is_some(), is_ascending) {
        (true, true) => "seq ASC",
        (true, false) => "seq DESC",
        (false, true) => "id ASC",
        (false, false) => "id DESC",
    }
}

/// A page at work: rows are written into the answer one after the other.
pub(super) struct Rows<'o> {
    out: &'o mut Vec<u8>,
    begin: usize,
    max_bytes: usize,
    ends: Vec<usize>,
    page: Page,
}

impl<'o> Rows<'o> {
    /// A page at the end of `out`, of at most about `max_bytes` but one row at least.
    pub(super) fn new(out: &'o mut Vec<u8>, max_bytes: usize) -> Rows<'o> {
        Rows { begin: out.len(), out, max_bytes, ends: Vec::new(), page: Page::default() }
    }

    /// Has one more row written, which returns its sequence; false when there was no more room for it.
    pub(super) fn push<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<i64, E>) -> Result<bool, E> {
        let at = self.out.len();
        if self.page.count > 0 {
            self.out.push(b',');
        }
        let seq = write(self.out)?;
        if self.page.count > 0 && self.out.len() - self.begin > self.max_bytes {
            self.out.truncate(at);
            self.page.is_cut = true;
            return Ok(false);
        }
        self.page.count += 1;
        self.page.last = self.page.last.max(Some(seq));
        self.ends.push(self.out.len());
        Ok(true)
    }

    /// The page, in the order that was asked for.
    pub(super) fn finish(mut self, look: &Look) -> Page {
        if look.after.is_some() && look.order == Order::Descending {
            reverse(self.out, self.begin, &self.ends);
        }
        if look.to.is_none() {
            self.page.last = None;
        }
        self.page
    }
}

/// Turns the order of rows that were written with commas between them.
fn reverse(out: &mut Vec<u8>, begin: usize, ends: &[usize]) {
    let rows = out.split_off(begin);
    let mut starts = std::iter::once(begin).chain(ends.iter().map(|end| end + 1));
    let spans: Vec<(usize, usize)> = ends.iter().filter_map(|end| Some((starts.next()?, *end))).collect();
    for (index, (start, end)) in spans.into_iter().rev().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&rows[start - begin..end - begin]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_turned_around() {
        let mut out = b"x1,22,3".to_vec();
        reverse(&mut out, 1, &[2, 5, 7]);
        assert_eq!(out, b"x3,22,1");
        reverse(&mut out, 7, &[]);
        assert_eq!(out, b"x3,22,1");
    }

    #[test]
    fn a_look_says_the_same_to_both_engines() {
        let look =
            Look { to: Some("bob".into()), after: Some(7), order: Order::Descending, ..Look::default() };
        let mut values = vec![Value::Integer(5)];
        let sql = rules(&look, '?', "?1", &mut values);
        let want = "dead_at IS NULL AND (expires_at IS NULL OR expires_at > ?1) AND inbox = ?2 AND seq > ?3";
        assert_eq!((sql.as_str(), order(&look)), (want, "seq ASC"));
        assert_eq!(values, [Value::Integer(5), Value::Text("bob"), Value::Integer(7)]);
        assert_eq!(rules(&look, '$', "$1", &mut vec![Value::Integer(5)]), want.replace('?', "$"));
    }
}
