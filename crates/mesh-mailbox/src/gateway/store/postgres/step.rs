//! A statement with its values, and several as one.

use std::borrow::Cow;

use tokio_postgres::types::ToSql;

/// A statement with its values.
pub(super) struct Step<'v> {
    pub(super) sql: Cow<'static, str>,
    pub(super) values: Vec<Box<dyn ToSql + Sync + Send + 'v>>,
}

impl<'v> Step<'v> {
    pub(super) fn new(sql: impl Into<Cow<'static, str>>) -> Step<'v> {
        Step { sql: sql.into(), values: Vec::new() }
    }

    /// Its next value.
    pub(super) fn with(mut self, value: impl ToSql + Sync + Send + 'v) -> Step<'v> {
        self.values.push(Box::new(value));
        self
    }
}

impl Step<'static> {
    /// Several statements that need nothing of each other as one: the server is asked once, and answers once.
    pub(super) fn all(mut parts: Vec<Step<'static>>) -> Option<Step<'static>> {
        let last = parts.pop()?;
        let (mut sql, mut values) = (String::new(), Vec::new());
        for (nth, part) in parts.into_iter().enumerate() {
            let begin = if nth == 0 { "WITH" } else { "," };
            sql.push_str(&format!("{begin} part{nth} AS ({}) ", renumbered(&part.sql, values.len())));
            values.extend(part.values);
        }
        sql.push_str(&renumbered(&last.sql, values.len()));
        values.extend(last.values);
        Some(Step { sql: sql.into(), values })
    }
}

/// A statement whose values come after so many others.
fn renumbered(sql: &str, by: usize) -> String {
    let mut parts = sql.split('$');
    let mut shifted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = part[..digits].parse().unwrap_or_default();
        shifted.push_str(&format!("${}{}", number + by, &part[digits..]));
    }
    shifted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_become_one() {
        let part = |sql: &'static str, count: i64| (0..count).fold(Step::new(sql), Step::with);
        assert!(Step::all(vec![]).is_none());
        let one = Step::all(vec![part("DELETE FROM a WHERE b = $1", 1)]).unwrap();
        assert_eq!((one.sql.as_ref(), one.values.len()), ("DELETE FROM a WHERE b = $1", 1));
        let all = vec![
            part("INSERT INTO a SELECT * FROM unnest($1::text[], $2::text[])", 2),
            part("DELETE FROM b", 0),
            part("UPDATE c SET d = $2 WHERE e = $1", 2),
        ];
        let all = Step::all(all).unwrap();
        let want = "WITH part0 AS (INSERT INTO a SELECT * FROM unnest($1::text[], $2::text[])) , part1 AS (DELETE FROM b) \
                    UPDATE c SET d = $4 WHERE e = $3";
        assert_eq!((all.sql.as_ref(), all.values.len()), (want, 4));
    }
}
