//! Files that were handed in at the console and are not loaded yet, in pieces.

use super::{Store, command::Single, error::StoreError, tx::Tx};
use crate::domain::{DAY, Millis};
use sqlx::{AssertSqlSafe, Row};

/// Drafts of one person at once.
pub const MAX_DRAFTS: i64 = 10;
/// A draft is forgotten after so long.
pub const LIVES: Millis = DAY;

/// A draft begins; `None` if its owner has too many. Those that are too old are forgotten.
struct Begin {
    id: String,
    owner: i64,
}

impl Single for Begin {
    // Whoever made it sees what it lacks.
    const WHAT: Option<&'static str> = None;

    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        let old = tx.now - LIVES;
        forget(tx, "made_at <= $1", old).await?;
        let sql = "SELECT COUNT(*) AS n FROM draft WHERE owner = $1";
        let n: i64 = sqlx::query(sql).bind(self.owner).fetch_one(tx.conn().await?).await?.get("n");
        if n >= MAX_DRAFTS {
            return Ok(false);
        }
        let sql = "INSERT INTO draft (id, owner, made_at) VALUES ($1, $2, $3)";
        let query = sqlx::query(sql).bind(&self.id).bind(self.owner).bind(tx.now);
        query.execute(tx.conn().await?).await.map(|_| true)
    }
}

/// Forgets the drafts that a condition on one number finds.
async fn forget(tx: &mut Tx<'_>, found: &'static str, number: i64) -> sqlx::Result<()> {
    // They name users, who may wish to be forgotten later: no page is to keep what was erased (I9).
    tx.overwrite().await?;
    // A piece that another writer is about to add goes too.
    tx.lock(&format!("SELECT id FROM draft WHERE {found} FOR UPDATE"), number).await?;
    let pieces = format!("DELETE FROM draft_piece WHERE draft IN (SELECT id FROM draft WHERE {found})");
    let drafts = format!("DELETE FROM draft WHERE {found}");
    for sql in [pieces, drafts] {
        sqlx::query(AssertSqlSafe(sql)).bind(number).execute(tx.conn().await?).await?;
    }
    Ok(())
}

/// Forgets the drafts that may name users of an app.
pub(super) async fn forget_of_app(tx: &mut Tx<'_>, app: i64) -> sqlx::Result<()> {
    forget(tx, "app IS NULL OR app = $1", app).await
}

/// A piece of a file.
struct Add {
    draft: String,
    file: String,
    n: i64,
    bytes: Vec<u8>,
}

impl Single for Add {
    // Whoever made it sees what it lacks.
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let sql = format!(
            "INSERT INTO draft_piece (draft, file, n, bytes) SELECT d.id, $2, $3, $4 FROM draft d WHERE d.id = $1{}",
            tx.dialect.for_update()
        );
        let query =
            sqlx::query(AssertSqlSafe(sql)).bind(&self.draft).bind(&self.file).bind(self.n).bind(self.bytes.clone());
        query.execute(tx.conn().await?).await.map(drop)
    }
}

/// A file of a draft goes, and another one takes its name.
struct Replace {
    draft: String,
    file: String,
    by: Option<String>,
}

impl Single for Replace {
    // Whoever made it sees what it lacks.
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        tx.overwrite().await?;
        let sql = "DELETE FROM draft_piece WHERE draft = $1 AND file = $2";
        sqlx::query(sql).bind(&self.draft).bind(&self.file).execute(tx.conn().await?).await?;
        if let Some(by) = &self.by {
            let sql = "UPDATE draft_piece SET file = $2 WHERE draft = $1 AND file = $3";
            let query = sqlx::query(sql).bind(&self.draft).bind(&self.file).bind(by);
            query.execute(tx.conn().await?).await?;
        }
        Ok(())
    }
}

/// It is known whose users a draft names.
struct SetApp(String, String);

impl Single for SetApp {
    // Whoever made it sees what it lacks.
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let app = tx.names.app(&self.1).id;
        let query = sqlx::query("UPDATE draft SET app = $2 WHERE id = $1").bind(&self.0).bind(app);
        query.execute(tx.conn().await?).await.map(drop)
    }
}

/// A draft is no longer wanted.
struct Discard(String, i64);

impl Single for Discard {
    // Whoever made it sees what it lacks.
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        tx.overwrite().await?;
        let pieces = "DELETE FROM draft_piece WHERE draft IN (SELECT id FROM draft WHERE id = $1 AND owner = $2)";
        for sql in [pieces, "DELETE FROM draft WHERE id = $1 AND owner = $2"] {
            sqlx::query(sql).bind(&self.0).bind(self.1).execute(tx.conn().await?).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Begins a draft under an id that nobody guesses; whether its owner may have one more.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn begin_draft(&self, id: String, owner: i64) -> Result<bool, StoreError> {
        self.writer.do_one(Begin { id, owner }).await
    }

    /// Adds the `n`th piece of a file.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn add_to_draft(&self, draft: &str, file: &str, n: i64, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.writer.do_one(Add { draft: draft.into(), file: file.into(), n, bytes }).await
    }

    /// Lets a file of a draft take another's name, which goes.
    ///
    /// # Errors
    /// When all is as it was.
    pub async fn replace_in_draft(&self, draft: &str, file: &str, by: &str) -> Result<(), StoreError> {
        self.writer.do_one(Replace { draft: draft.into(), file: file.into(), by: Some(by.into()) }).await
    }

    /// Forgets a file of a draft.
    ///
    /// # Errors
    /// When it is still there.
    pub async fn drop_from_draft(&self, draft: &str, file: &str) -> Result<(), StoreError> {
        self.writer.do_one(Replace { draft: draft.into(), file: file.into(), by: None }).await
    }

    /// The drafts of an owner, the newest first, each with the time at which it was begun.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drafts(&self, owner: i64, now: Millis) -> Result<Vec<(String, Millis)>, StoreError> {
        let sql = "SELECT id, made_at FROM draft WHERE owner = $1 AND made_at > $2 ORDER BY made_at DESC LIMIT 100";
        let rows = sqlx::query(sql).bind(owner).bind(now - LIVES).fetch_all(&self.read).await?;
        Ok(rows.iter().map(|row| (row.get("id"), row.get("made_at"))).collect())
    }

    /// The names of a draft's files, each with the number of its pieces; `None` if its owner has no such draft.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn draft(&self, id: &str, owner: i64, now: Millis) -> Result<Option<Vec<(String, i64)>>, StoreError> {
        let sql = "SELECT made_at FROM draft WHERE id = $1 AND owner = $2 AND made_at > $3";
        let query = sqlx::query(sql).bind(id).bind(owner).bind(now - LIVES);
        if query.fetch_optional(&self.read).await?.is_none() {
            return Ok(None);
        }
        let sql = "SELECT file, COUNT(*) AS n FROM draft_piece WHERE draft = $1 GROUP BY file ORDER BY file";
        let rows = sqlx::query(sql).bind(id).fetch_all(&self.read).await?;
        Ok(Some(rows.iter().map(|row| (row.get("file"), row.get("n"))).collect()))
    }

    /// A piece of a file; empty if there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn draft_piece(&self, draft: &str, file: &str, n: i64) -> Result<Vec<u8>, StoreError> {
        let sql = "SELECT bytes FROM draft_piece WHERE draft = $1 AND file = $2 AND n = $3";
        let row = sqlx::query(sql).bind(draft).bind(file).bind(n).fetch_optional(&self.read).await?;
        Ok(row.map(|row| row.get("bytes")).unwrap_or_default())
    }

    /// Says whose users a draft names: it goes when one of them is forgotten.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn set_draft_app(&self, id: &str, app: &str) -> Result<(), StoreError> {
        self.writer.do_one(SetApp(id.into(), app.into())).await
    }

    /// Forgets a draft.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn discard_draft(&self, id: &str, owner: i64) -> Result<(), StoreError> {
        self.writer.do_one(Discard(id.into(), owner)).await
    }
}
