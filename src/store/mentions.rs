//! Where the texts of schedules name a user: their files, what was said about these, cells of rows that are about somebody else. A user who
//! is forgotten stands there by their pseudonym, which is forgotten, too: so a list that names it reaches nobody.

use super::{
    Store,
    command::Single,
    error::StoreError,
    recipients::{self, forgotten},
    tx::Tx,
};
use crate::domain::masked::{Mask, may_be_named};
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeSet;

/// Schedules whose texts are read at once, and rows.
const SCHEDULES: i64 = 50;
const ROWS: i64 = 500;

/// The texts of a schedule.
struct Texts {
    id: i64,
    name: String,
    text: String,
    kept_text: Option<String>,
    report: Option<String>,
}

impl Texts {
    /// The columns of the table `s`.
    const COLUMNS: &str = "s.id, s.name, s.text, s.kept_text, s.report";

    fn of(row: &sqlx::any::AnyRow) -> Self {
        Self {
            id: row.get("id"),
            name: row.get("name"),
            text: row.get("text"),
            kept_text: row.get("kept_text"),
            report: row.get("report"),
        }
    }

    /// The same without the user; `None` if they are not named.
    fn masked(&self, mask: &Mask) -> Option<Self> {
        let text = mask.file(&self.text);
        let kept_text = self.kept_text.as_deref().and_then(|text| mask.file(text));
        let report = self.report.as_deref().and_then(|text| mask.json(text));
        (text.is_some() || kept_text.is_some() || report.is_some()).then(|| Self {
            id: self.id,
            name: self.name.clone(),
            text: text.unwrap_or_else(|| self.text.clone()),
            kept_text: kept_text.or_else(|| self.kept_text.clone()),
            report: report.or_else(|| self.report.clone()),
        })
    }

    fn mention(&self, word: &str) -> bool {
        let texts = [Some(&self.text), self.kept_text.as_ref(), self.report.as_ref()];
        texts.into_iter().flatten().any(|text| text.contains(word))
    }
}

/// Takes a user out of the texts of one schedule.
struct MaskTexts {
    schedule: i64,
    mask: Mask,
}

impl Single for MaskTexts {
    const WHAT: Option<&'static str> = Some("a forgotten user's name was masked in texts");

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        // A load may have written them anew since the walk looked.
        let sql = format!("SELECT {} FROM schedule s WHERE s.id = $1{}", Texts::COLUMNS, tx.dialect.for_update());
        let row = sqlx::query(AssertSqlSafe(sql)).bind(self.schedule).fetch_optional(tx.conn().await?).await?;
        let Some(masked) = row.and_then(|row| Texts::of(&row).masked(&self.mask)) else { return Ok(()) };
        tx.overwrite().await?;
        let sql = "UPDATE schedule SET text = $2, kept_text = $3, report = $4 WHERE id = $1";
        let query = sqlx::query(sql).bind(self.schedule).bind(&masked.text).bind(&masked.kept_text);
        query.bind(&masked.report).execute(tx.conn().await?).await.map(drop)
    }
}

/// A kept row that is about somebody else and names a user.
type Naming = (i64, i64, String, i64, String);

/// Takes a user out of the cells of kept rows, and out of what is said about the watched folder.
struct MaskCells {
    mask: Mask,
    rows: Vec<Naming>,
}

impl Single for MaskCells {
    const WHAT: Option<&'static str> = Some("a forgotten user's name was masked in the rows of a schedule");

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let masked = self.rows.iter().filter_map(|row| Some((row, self.mask.json(&row.4)?)));
        let masked: Vec<(&Naming, String)> = masked.collect();
        if masked.is_empty() {
            return Ok(());
        }
        tx.overwrite().await?;
        let cells = masked.iter().map(|((schedule, edition, part, n, _), cells)| {
            [(*schedule).into(), (*edition).into(), part.as_str().into(), (*n).into(), cells.as_str().into()]
        });
        let rows = tx.dialect.rows(["schedule", "edition", "part", "n", "cells"], cells);
        let sql = "UPDATE kept_row SET cells = r.cells FROM {rows} WHERE kept_row.schedule = r.schedule AND kept_row.edition = r.edition
             AND kept_row.part = r.part AND kept_row.n = r.n";
        tx.run(sql, &rows).await.map(drop)
    }
}

/// Takes a user out of what is said about the files of the watched folder.
struct MaskFolder(Mask);

impl Single for MaskFolder {
    const WHAT: Option<&'static str> = Some("a forgotten user's name was masked in the findings of the folder");

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let sql = format!("SELECT path, detail FROM folder_problem ORDER BY path{}", tx.dialect.for_update());
        for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(tx.conn().await?).await? {
            let Some(detail) = self.0.json(row.get("detail")) else { continue };
            tx.overwrite().await?;
            let query = sqlx::query("UPDATE folder_problem SET detail = $2 WHERE path = $1");
            query.bind(row.get::<String, _>("path")).bind(detail).execute(tx.conn().await?).await?;
        }
        Ok(())
    }
}

/// A text that is about to be stored, without those of its app whom nobody may name any more. `is_file`: it is TOML, else JSON.
pub(super) async fn without_forgotten(tx: &mut Tx<'_>, app: i64, text: &str, is_file: bool) -> sqlx::Result<String> {
    recipients::keep_forgotten(tx, app).await?;
    let words = may_be_named(text);
    let users: Vec<(i64, &str)> = words.iter().map(|word| (app, word.as_str())).collect();
    let mut gone: Vec<String> = forgotten(tx, &users).await?.into_iter().map(|(_, openid)| openid).collect();
    // A longer one may hold a shorter one.
    gone.sort_by_key(|openid| std::cmp::Reverse(openid.len()));
    let mut masked = text.to_owned();
    for openid in gone {
        let mask = Mask { pseudonym: tx.names.pseudonyms().name(&openid), openid };
        let without = if is_file { mask.file(&masked) } else { mask.json(&masked) };
        masked = without.unwrap_or(masked);
    }
    Ok(masked)
}

impl Store {
    fn mask(&self, openid: &str) -> Mask {
        Mask { openid: openid.to_owned(), pseudonym: self.names.pseudonyms().name(openid) }
    }

    /// The texts of an app's schedules behind this one, a page of them.
    async fn texts(&self, app: i64, after: i64) -> Result<Vec<Texts>, StoreError> {
        let sql = format!(
            "SELECT {} FROM schedule s WHERE s.app = $1 AND s.id > $2 ORDER BY s.id LIMIT {SCHEDULES}",
            Texts::COLUMNS
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(app).bind(after).fetch_all(&self.read).await?;
        Ok(rows.iter().map(Texts::of).collect())
    }

    /// The schedules of an app whose files or tables name a user, by what is stored of these.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schedules_naming(&self, app: &str, openid: &str) -> Result<BTreeSet<String>, StoreError> {
        let (app_id, mask) = (self.names.app(app).id, self.mask(openid));
        let mut names: BTreeSet<String> =
            self.kept_of_user(app, openid).await?.into_iter().map(|kept| kept.schedule).collect();
        // Who has consented has no row.
        let sql = "SELECT DISTINCT s.name FROM recipient p JOIN reminder m ON m.recipient = p.id JOIN schedule s ON s.id = m.schedule
             WHERE p.app = $1 AND p.openid = $2 AND m.row_number IS NOT NULL";
        let rows = sqlx::query(sql).bind(app_id).bind(openid).fetch_all(&self.read).await?;
        names.extend(rows.iter().map(|row| row.get::<String, _>("name")));
        let mut after = 0;
        loop {
            let page = self.texts(app_id, after).await?;
            let Some(last) = page.last() else { return Ok(names) };
            after = last.id;
            names.extend(page.into_iter().filter(|texts| texts.masked(&mask).is_some()).map(|texts| texts.name));
        }
    }

    /// The schedules of an app whose texts say a user's pseudonym.
    pub(super) async fn schedules_masking(&self, app: &str, openid: &str) -> Result<BTreeSet<String>, StoreError> {
        let (app, mask, mut after, mut names) = (self.names.app(app).id, self.mask(openid), 0, BTreeSet::new());
        loop {
            let page = self.texts(app, after).await?;
            let Some(last) = page.last() else { return Ok(names) };
            after = last.id;
            names.extend(page.into_iter().filter(|texts| texts.mention(&mask.pseudonym)).map(|texts| texts.name));
        }
    }

    /// Takes a user out of every text of an app's schedules, in small commits. They are forgotten by now, so that whatever is loaded
    /// meanwhile does not name them again.
    pub(super) async fn mask_texts(&self, app: &str, openid: &str) -> Result<(), StoreError> {
        let (app, mask) = (self.names.app(app).id, self.mask(openid));
        let mut after = 0;
        loop {
            let page = self.texts(app, after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for texts in page.into_iter().filter(|texts| texts.masked(&mask).is_some()) {
                self.writer.do_one(MaskTexts { schedule: texts.id, mask: mask.clone() }).await?;
            }
        }
        let mut after = (0, 0, String::new(), -1);
        loop {
            let rows = self.naming(app, &mask.openid, &after).await?;
            let Some((schedule, edition, part, n, _)) = rows.last() else { break };
            after = (*schedule, *edition, part.clone(), *n);
            self.writer.do_one(MaskCells { mask: mask.clone(), rows }).await?;
        }
        self.writer.do_one(MaskFolder(mask)).await
    }

    /// Kept rows of an app's schedules whose cells say a text, behind this one.
    async fn naming(&self, app: i64, text: &str, after: &(i64, i64, String, i64)) -> Result<Vec<Naming>, StoreError> {
        let text = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let sql = format!(
            "SELECT k.schedule, k.edition, k.part, k.n, k.cells FROM kept_row k
             WHERE (k.schedule, k.edition, k.part, k.n) > ($2, $3, $4, $5) AND k.cells LIKE $6 ESCAPE '\\'
                 AND k.schedule IN (SELECT s.id FROM schedule s WHERE s.app = $1)
             ORDER BY k.schedule, k.edition, k.part, k.n LIMIT {ROWS}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(app).bind(after.0).bind(after.1).bind(&after.2).bind(after.3);
        let rows = query.bind(format!("%{text}%")).fetch_all(&self.read).await?;
        let naming = |row: &sqlx::any::AnyRow| {
            (row.get("schedule"), row.get("edition"), row.get("part"), row.get("n"), row.get("cells"))
        };
        Ok(rows.iter().map(naming).collect())
    }
}
