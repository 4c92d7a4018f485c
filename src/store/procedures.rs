//! A whole transaction of SQLite as one statement.
//!
//! sqlx hands each statement to SQLite's thread and each answer back, and every hand-over wakes a thread, which takes longer than most
//! statements. So a transaction of which nothing needs to be known in between becomes one statement: an insert into a view whose trigger
//! runs the statements, and whose columns are their parameters. View and trigger belong to the connection and are never stored.

use sqlx::{Any, AnyConnection, AssertSqlSafe, any::AnyArguments, query::Query};
use std::{borrow::Cow, collections::HashMap, fmt::Write};

/// At most so many: there are as many kinds of transactions, each with its statements, and what comes beyond is run statement by statement.
const MOST: usize = 64;
/// What a trigger says when a statement has not touched as many rows as it must.
pub(super) const LATE: &str = "a row is late";

/// A statement that is run later, since nothing waits for what it answers.
pub(super) struct Later {
    pub sql: String,
    pub parameters: Vec<String>,
    /// How many rows it must touch.
    pub touches: Option<usize>,
}

/// The procedures that a connection knows: the numbers of their views, by their statements.
#[derive(Debug, Default)]
pub(super) struct Procedures(HashMap<String, usize>);

impl Procedures {
    /// Runs statements in a transaction of their own. `false` if that is not possible: then nothing was run.
    pub async fn run(&mut self, conn: &mut AnyConnection, all: &[Later]) -> sqlx::Result<bool> {
        let (mut body, mut parameters) = (String::new(), Vec::<Cow<'_, str>>::new());
        for Later { sql, parameters: own, touches } in all {
            append(&mut body, sql, parameters.len());
            parameters.extend(own.iter().map(Cow::from));
            if let Some(touches) = touches {
                parameters.push(touches.to_string().into());
                let n = parameters.len();
                writeln!(body, "SELECT RAISE(ABORT, '{LATE}') WHERE changes() <> CAST(NEW.p{n} AS INTEGER);")
                    .expect("a String takes everything");
            }
        }
        let number = match self.0.get(&body) {
            Some(number) => *number,
            None if self.0.len() == MOST => return Ok(false),
            None => self.make(conn, body, parameters.len()).await?,
        };
        let values: Vec<String> = (1..=parameters.len()).map(|n| format!("${n}")).collect();
        let call = format!("INSERT INTO procedure_{number} VALUES ({})", values.join(", "));
        query(&call, &parameters).execute(conn).await?;
        Ok(true)
    }

    /// Makes both or neither: whoever asked rolls back what has failed, and the number is free again.
    async fn make(&mut self, conn: &mut AnyConnection, body: String, parameters: usize) -> sqlx::Result<usize> {
        let number = self.0.len();
        let columns: Vec<String> = (1..=parameters).map(|n| format!("NULL AS p{n}")).collect();
        let text = format!(
            "BEGIN;
             CREATE TEMP VIEW procedure_{number} AS SELECT {};
             CREATE TEMP TRIGGER run_procedure_{number} INSTEAD OF INSERT ON procedure_{number} BEGIN\n{body}END;
             COMMIT;",
            columns.join(", ")
        );
        sqlx::raw_sql(AssertSqlSafe(text)).execute(conn).await?;
        self.0.insert(body, number);
        Ok(number)
    }
}

/// A statement with these parameters.
pub(super) fn query<'q>(sql: &str, parameters: &'q [impl AsRef<str>]) -> Query<'q, Any, AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    parameters.iter().fold(query, |query, parameter| query.bind(parameter.as_ref()))
}

/// Appends a statement whose parameters are columns of the view, counted from `first` on: its `$1` is `NEW.p4` if `first` is 3.
fn append(body: &mut String, sql: &str, first: usize) {
    let mut pieces = sql.split('$');
    body.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.len() - piece.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = piece.split_at(digits);
        match number.parse::<usize>() {
            Ok(n) => write!(body, "NEW.p{}", n + first).expect("a String takes everything"),
            Err(_) => body.push('$'),
        }
        body.push_str(rest);
    }
    body.push_str(";\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Connection, Row};

    #[test]
    fn each_statement_has_parameters_of_its_own() {
        for (sql, first, told) in [
            ("DELETE FROM t", 0, "DELETE FROM t;\n"),
            ("INSERT INTO t SELECT $1, $12", 0, "INSERT INTO t SELECT NEW.p1, NEW.p12;\n"),
            ("INSERT INTO t SELECT $1, j->>'$.a', '$'", 3, "INSERT INTO t SELECT NEW.p4, j->>'$.a', '$';\n"),
        ] {
            let mut body = String::new();
            append(&mut body, sql, first);
            assert_eq!(body, told);
        }
    }

    #[tokio::test]
    async fn a_transaction_is_kept_whole_or_not_at_all_and_more_kinds_than_are_kept_are_left_to_others() {
        sqlx::any::install_default_drivers();
        let mut conn = AnyConnection::connect("sqlite::memory:").await.expect("opens");
        sqlx::query("CREATE TABLE t (n INTEGER PRIMARY KEY)").execute(&mut conn).await.expect("made");
        let insert = |n: i64, touches| Later {
            sql: "INSERT INTO t SELECT CAST($1 AS INTEGER) WHERE CAST($1 AS INTEGER) > 0".to_owned(),
            parameters: vec![n.to_string()],
            touches,
        };
        let mut procedures = Procedures::default();
        let mut run = async |all: &[Later]| {
            let ran = procedures.run(&mut conn, all).await;
            let n: i64 = sqlx::query("SELECT COUNT(*) FROM t").fetch_one(&mut conn).await.expect("answers").get(0);
            (ran.map_err(|e| e.as_database_error().map(|e| e.message().to_owned())), n)
        };
        assert_eq!(run(&[insert(1, Some(1)), insert(2, None)]).await, (Ok(true), 2));
        assert_eq!(run(&[insert(3, Some(1)), insert(4, None)]).await, (Ok(true), 4), "the same procedure again");
        let late = (Err(Some(LATE.to_owned())), 4);
        assert_eq!(run(&[insert(5, None), insert(0, Some(1))]).await, late, "the first is undone");
        assert_eq!(run(&[insert(0, Some(1)), insert(6, None)]).await, late);
        for n in 0..MOST * 2 {
            let another = Later { sql: format!("INSERT INTO t SELECT $1 + {n}"), ..insert(100, None) };
            let (ran, _) = run(&[another]).await;
            // Two kinds came before.
            assert_eq!(ran, Ok(n + 3 <= MOST), "{n}");
        }
    }
}
