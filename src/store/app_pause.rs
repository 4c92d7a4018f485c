//! Apps are paused and resumed by an operator. What counts is the last word that was said about an app in the audit; it is kept in memory with
//! the gates of the schedules.

use super::{
    Store,
    audit::write_down,
    command::Single,
    error::StoreError,
    gates::{OF_APPS, PAUSE, RESUME},
    port::Ring,
    tx::Tx,
};
use crate::domain::Millis;
use sqlx::{AssertSqlSafe, Row};

/// An app is paused, or goes on.
struct SetPause {
    app: String,
    pause: bool,
    by: String,
}

impl Single for SetPause {
    const WHAT: Option<&'static str> = Some("an app was paused or resumed");

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        // The last word is nobody's row that could be locked, and two at once would both say the same one.
        let app = tx.names.app(&self.app).id;
        tx.lock("SELECT id FROM app WHERE id = $1 FOR UPDATE", app).await?;
        let sql = format!("SELECT action FROM audit WHERE {OF_APPS} AND detail = $1 ORDER BY id DESC LIMIT 1");
        let last = sqlx::query(AssertSqlSafe(sql)).bind(&self.app).fetch_optional(tx.conn().await?).await?;
        let is_paused = last.is_some_and(|row| row.get::<String, _>("action") == PAUSE);
        if is_paused == self.pause {
            return Ok(());
        }
        let app = tx.names.app(&self.app).id;
        tx.raise_epoch(&format!("app = {app}")).await?;
        write_down(tx, &self.by, if self.pause { PAUSE } else { RESUME }, &self.app).await
    }

    /// No row has changed: the engine looks at the gates.
    fn ring(&self) -> Option<Ring> {
        Some(Ring::NOWHERE)
    }
}

impl Store {
    /// Pauses an app, or lets it go on; also if it is so already. When this returns, the gate is closed or open.
    ///
    /// # Errors
    /// When nothing was kept; or, of [`StoreError::Silent`], when that is not known.
    pub async fn set_app_pause(&self, app: &str, pause: bool, by: &str) -> Result<(), StoreError> {
        self.writer.do_one(SetPause { app: app.into(), pause, by: by.into() }).await?;
        self.read_gates().await
    }

    /// Since when an operator has paused an app.
    pub fn app_paused_since(&self, app: &str) -> Option<Millis> {
        self.gates.get().paused_since(self.names.app(app).home)
    }
}
