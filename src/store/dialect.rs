//! What differs between SQLite and PostgreSQL. Everything else is one text for both: `$1`, TEXT and 64-bit integers, times as
//! UTC milliseconds, `ON CONFLICT`, `RETURNING`.
//!
//! A statement about many rows is one statement, because each costs a hand-over to SQLite's thread: a thousand rows in one cost one
//! hand-over instead of a thousand.

use crate::config::Durability;
use serde::de::DeserializeOwned;
use sqlx::{Row, any::AnyRow};
use std::fmt::Write;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Embedded, the default.
    Sqlite,
    /// For those who outgrow one machine.
    Postgres,
}

/// A value of a row that is handed to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
}

impl From<i64> for Cell<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Cell<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<Option<&'a str>> for Cell<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value)
    }
}

/// The rows that [`Dialect::packed`] answers.
pub(super) fn unpack<T: DeserializeOwned>(row: &AnyRow) -> sqlx::Result<Vec<T>> {
    serde_json::from_str(row.get("packed")).map_err(|e| sqlx::Error::Decode(e.into()))
}

/// What stands for a lock in a statement, of which tables, and what it is on PostgreSQL.
const LOCKS: [(&str, &str, &str); 3] =
    [("{lock c}", "c", "UPDATE"), ("{lock o, m}", "o, m", "UPDATE"), ("{keep p}", "p", "KEY SHARE")];

/// A statement that locks nothing.
pub(super) fn unlocked(text: &str) -> String {
    LOCKS.iter().fold(text.to_owned(), |text, (mark, ..)| text.replace(mark, ""))
}

/// So many new rows are looked through for what they have in common.
const MANY: usize = 16;

/// Rows as parameters, and the table `r` that unfolds them in a statement.
pub(super) struct Rows {
    /// What stands for `{rows}`.
    pub table: String,
    /// `$1` and on.
    pub parameters: Vec<String>,
    /// How many rows.
    pub len: usize,
}

impl Dialect {
    /// The dialect of a store URL.
    pub fn of(url: &str) -> Self {
        if url.starts_with("sqlite:") { Self::Sqlite } else { Self::Postgres }
    }

    /// Completes a statement:
    /// - `{rows}` is the table `r` of the rows handed to it.
    /// - `{lock c}` locks the rows read from `c` until the transaction ends. SQLite has one writer and needs none.
    /// - `{keep p}` keeps the rows read from `p` as they are until then, as far as they can be found by them; others may do so too.
    pub(super) fn sql(self, text: &str, rows: &Rows) -> String {
        let text = text.replace("{rows}", &rows.table);
        match self {
            Self::Sqlite => unlocked(&text),
            Self::Postgres => {
                LOCKS.iter().fold(text, |text, (mark, table, how)| text.replace(mark, &format!("FOR {how} OF {table}")))
            }
        }
    }

    /// Names the index that a table is read by, behind the table's short name. SQLite keeps no count of rows, and without its word takes the
    /// primary key, which is longer by all that the index leaves out; PostgreSQL counts.
    pub(super) fn by(self, index: &str) -> String {
        match self {
            Self::Sqlite => format!("INDEXED BY {index}"),
            Self::Postgres => String::new(),
        }
    }

    /// Folds rows into parameters. All rows of a column are of one kind, and there is at least one.
    ///
    /// SQLite unfolds a JSON array of arrays; `jsonb_each` hands its elements on as they were parsed, where `json_each` would write
    /// each back as text, to be parsed again for every column. PostgreSQL takes an array for each column.
    pub(super) fn rows<'a, const N: usize>(
        self,
        columns: [&str; N],
        rows: impl IntoIterator<Item = [Cell<'a>; N]>,
    ) -> Rows {
        self.unfolded("r", columns.into_iter().enumerate().collect(), rows)
    }

    /// Folds some columns of rows, each with its place, into the table `name`.
    fn unfolded<'a, const N: usize>(
        self,
        name: &str,
        columns: Vec<(usize, &str)>,
        rows: impl IntoIterator<Item = [Cell<'a>; N]>,
    ) -> Rows {
        match self {
            Self::Sqlite => {
                let (mut json, mut len) = (String::from("["), 0);
                for row in rows {
                    json.push_str(if len == 0 { "[" } else { ",[" });
                    len += 1;
                    for (i, (place, _)) in columns.iter().enumerate() {
                        if i > 0 {
                            json.push(',');
                        }
                        match row[*place] {
                            Cell::Int(Some(n)) => write!(json, "{n}").expect("a String takes everything"),
                            Cell::Text(Some(text)) => json += &serde_json::to_string(text).expect("texts serialise"),
                            Cell::Int(None) | Cell::Text(None) => json.push_str("null"),
                        }
                    }
                    json.push(']');
                }
                json.push(']');
                let column = |(i, (_, column)): (usize, &(usize, &str))| format!("j.value->>{i} AS {column}");
                let columns: Vec<String> = columns.iter().enumerate().map(column).collect();
                let table = format!("(SELECT {} FROM jsonb_each($1) AS j) AS {name}", columns.join(", "));
                Rows { table, parameters: vec![json], len }
            }
            Self::Postgres => {
                let n = columns.len();
                let (mut arrays, mut kinds, mut len) = (vec![String::from("{"); n], vec!["bigint"; n], 0);
                for row in rows {
                    let cells = columns.iter().map(|(place, _)| row[*place]);
                    for ((array, kind), cell) in arrays.iter_mut().zip(&mut kinds).zip(cells) {
                        if len > 0 {
                            array.push(',');
                        }
                        if matches!(cell, Cell::Text(_)) {
                            *kind = "text";
                        }
                        match cell {
                            Cell::Int(Some(n)) => write!(array, "{n}").expect("a String takes everything"),
                            Cell::Text(Some(text)) => quote(array, text),
                            Cell::Int(None) | Cell::Text(None) => array.push_str("NULL"),
                        }
                    }
                    len += 1;
                }
                arrays.iter_mut().for_each(|array| array.push('}'));
                let array = |(i, kind): (usize, &&str)| format!("${}::text::{kind}[]", i + 1);
                let unfolded: Vec<String> = kinds.iter().enumerate().map(array).collect();
                let columns: Vec<&str> = columns.iter().map(|(_, column)| *column).collect();
                let table = format!("unnest({}) AS {name}({})", unfolded.join(", "), columns.join(", "));
                Rows { table, parameters: arrays, len }
            }
        }
    }

    /// The same for a statement that inserts: what all rows have in common is handed over once, for a message to a crowd says the same to
    /// everybody. It is for nothing else, since a join on what is the same for all rows may be planned the wrong way round.
    pub(super) fn new_rows<'a, const N: usize>(
        self,
        columns: [&str; N],
        rows: impl IntoIterator<Item = [Cell<'a>; N]>,
    ) -> Rows {
        let rows: Vec<[Cell<'a>; N]> = rows.into_iter().collect();
        let is_shared = |i: usize| rows.iter().all(|row| row[i] == rows[0][i]);
        // The first column is handed over row by row in any case. Few rows keep one text, so that their statement is prepared once.
        let shared: [bool; N] = std::array::from_fn(|i| i > 0 && rows.len() >= MANY && is_shared(i));
        if !shared.contains(&true) {
            return self.rows(columns, rows);
        }
        let own = columns.into_iter().enumerate().filter(|(i, _)| !shared[*i]).collect();
        let Rows { table, mut parameters, len } = self.unfolded("o", own, rows.iter().copied());
        let column = |(i, name): (usize, &&str)| match rows[0][i] {
            _ if !shared[i] => format!("o.{name}"),
            Cell::Int(None) => format!("CAST(NULL AS BIGINT) AS {name}"),
            Cell::Text(None) => format!("CAST(NULL AS TEXT) AS {name}"),
            Cell::Int(Some(n)) => {
                parameters.push(n.to_string());
                format!("CAST(CAST(${} AS TEXT) AS BIGINT) AS {name}", parameters.len())
            }
            Cell::Text(Some(text)) => {
                parameters.push(text.to_owned());
                format!("CAST(${} AS TEXT) AS {name}", parameters.len())
            }
        };
        let said: Vec<String> = columns.iter().enumerate().map(column).collect();
        Rows { table: format!("(SELECT {} FROM {table}) AS r", said.join(", ")), parameters, len }
    }

    /// A query whose one value, `packed`, is a JSON array of the rows that `from` brings, in their order: of each an array of these columns.
    pub(super) fn packed(self, columns: &[&str], from: &str) -> String {
        let selected: Vec<String> = columns.iter().enumerate().map(|(i, column)| format!("{column} AS c{i}")).collect();
        let names: Vec<String> = (0..columns.len()).map(|i| format!("j.c{i}")).collect();
        let (selected, names) = (selected.join(", "), names.join(", "));
        let packed = match self {
            Self::Sqlite => format!("json_group_array(json_array({names}))"),
            Self::Postgres => format!("CAST(COALESCE(json_agg(json_build_array({names})), '[]') AS TEXT)"),
        };
        format!("SELECT {packed} AS packed FROM (SELECT {selected} {from}) AS j")
    }

    /// Who marked the living row `d`. SQLite has one daemon.
    pub const fn marker(self) -> &'static str {
        match self {
            Self::Sqlite => "NULL",
            Self::Postgres => "d.node",
        }
    }

    /// The end of a statement that reads rows and keeps every other writer from them until the transaction ends. SQLite has one writer.
    pub const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// How many may write at the same time. On PostgreSQL the lowest bits of an id say which of them gave it out, so that no two give out the
    /// same. SQLite has one writer, whose ids follow each other.
    pub(super) const fn slots(self) -> i64 {
        match self {
            Self::Sqlite => 1,
            Self::Postgres => 64,
        }
    }

    /// Opens a transaction that may write. SQLite takes the write lock at once, so that it never finds itself unable to later. On PostgreSQL
    /// what holds for writes is said of each transaction anew: of the session a pooler would hand it on to another client, whose commits
    /// would then be durable or not as is said here. A process that stands still in the middle of one keeps its lanes from others for three
    /// seconds only, which is less than they wait before they take them.
    pub fn begin(self, durability: Durability) -> &'static str {
        match (self, durability) {
            (Self::Sqlite, _) => "BEGIN IMMEDIATE",
            (Self::Postgres, Durability::Full) => {
                "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = '20s'; SET LOCAL idle_in_transaction_session_timeout = '3s'"
            }
            (Self::Postgres, _) => {
                "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL statement_timeout = '20s'; SET LOCAL idle_in_transaction_session_timeout = '3s'"
            }
        }
    }
}

/// How PostgreSQL plans the statements of a transaction, whatever its statistics say. An empty queue leaves statistics by which every plan that reads
/// all of it looks cheap, and they stay so for minutes after it has filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plans {
    /// Rows are found by their keys alone. A plan is made once.
    ByKey,
    /// As PostgreSQL thinks best, and anew for each statement: what was planned here is no plan for the others.
    Freely,
}

impl Plans {
    /// The settings, each with its semicolon.
    pub const fn settings(self) -> &'static str {
        match self {
            Self::ByKey => {
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL jit = off;"
            }
            Self::Freely => {
                "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on; SET LOCAL jit = off;
                 SET LOCAL plan_cache_mode = force_custom_plan;"
            }
        }
    }
}

/// A store URL without what may be a password.
pub fn shown(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| rest.rsplit_once('@').map(|(_, host)| (scheme, host))) {
        Some((scheme, host)) => format!("{scheme}://…@{host}"),
        None => url.to_owned(),
    }
}

/// An integer of an expression, whose declared width the databases disagree about.
pub(super) fn int(row: &AnyRow, column: &str) -> i64 {
    row.try_get::<i64, _>(column).or_else(|_| row.try_get::<i32, _>(column).map(i64::from)).expect("an integer column")
}

/// A text as an element of an array's literal.
fn quote(array: &mut String, text: &str) {
    array.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            array.push('\\');
        }
        array.push(c);
    }
    array.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_new_rows_have_in_common_is_handed_over_once_and_few_rows_keep_one_text() {
        let crowd = |n: i64| (0..n).map(|i| [i.into(), 7.into(), "晨读".into(), Cell::Text(None), (i % 2).into()]);
        let columns = ["id", "lane", "data", "page", "odd"];
        let sqlite = Dialect::Sqlite.new_rows(columns, crowd(16));
        assert_eq!(sqlite.parameters[1..], ["7", "晨读"]);
        assert!(sqlite.parameters[0].starts_with("[[0,0],[1,1],[2,0],"), "{}", sqlite.parameters[0]);
        assert_eq!(
            sqlite.table,
            "(SELECT o.id, CAST(CAST($2 AS TEXT) AS BIGINT) AS lane, CAST($3 AS TEXT) AS data, CAST(NULL AS TEXT) AS page, o.odd FROM \
             (SELECT j.value->>0 AS id, j.value->>1 AS odd FROM jsonb_each($1) AS j) AS o) AS r"
        );
        let postgres = Dialect::Postgres.new_rows(columns, crowd(16));
        assert_eq!(postgres.parameters[1..], ["{0,1,0,1,0,1,0,1,0,1,0,1,0,1,0,1}", "7", "晨读"]);
        assert!(postgres.table.ends_with("FROM unnest($1::text::bigint[], $2::text::bigint[]) AS o(id, odd)) AS r"));
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let (new, old) = (dialect.new_rows(columns, crowd(15)), dialect.rows(columns, crowd(15)));
            assert_eq!((new.table, new.parameters, new.len), (old.table, old.parameters, 15));
        }
    }
}
