//! What the platforms list as their templates, in SQL: kept, so that a start without the platform knows it too.

use super::{Store, command::Single, error::StoreError, names::Names, tx::Tx};
use crate::domain::template::Listing;
use sqlx::{AnyConnection, Row};
use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

/// By the app's name; in memory too, since every insert asks.
pub(super) type Listings = Arc<RwLock<HashMap<String, Arc<Listing>>>>;

/// All that is kept.
pub(super) async fn read(conn: &mut AnyConnection, names: &Names) -> sqlx::Result<Listings> {
    let mut listings = HashMap::new();
    for row in sqlx::query("SELECT app, read_at, templates FROM listing").fetch_all(conn).await? {
        let app: i64 = row.get("app");
        let name = names.apps.iter().find(|(_, place)| place.id == app).map(|(name, _)| name.clone());
        // What an older tixing wrote in another shape is read from the platform again.
        if let Some(name) = name
            && let Ok(templates) = serde_json::from_str(row.get("templates"))
        {
            listings.insert(name, Arc::new(Listing { read_at: row.get("read_at"), templates }));
        }
    }
    Ok(Arc::new(RwLock::new(listings)))
}

/// Keeps an app's listing in the place of the one before.
pub(super) struct Keep {
    pub app: String,
    pub listing: Arc<Listing>,
}

impl Single for Keep {
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO listing (app, read_at, templates) VALUES ($1, $2, $3)
             ON CONFLICT (app) DO UPDATE SET read_at = excluded.read_at, templates = excluded.templates",
        )
        .bind(tx.names.app(&self.app).id)
        .bind(self.listing.read_at)
        .bind(serde_json::to_string(&self.listing.templates).expect("texts serialise"))
        .execute(tx.conn().await?)
        .await
        .map(drop)
    }
}

impl Store {
    /// Reads what is kept again: another node may have asked the platform.
    pub(super) async fn read_listings(&self) -> Result<(), StoreError> {
        let mut conn = self.read.acquire().await?;
        let read = read(&mut conn, &self.names).await?;
        let read = std::mem::take(&mut *read.write().expect("nobody else has it"));
        *self.listings.write().expect("no thread panics while keeping one") = read;
        Ok(())
    }

    /// What the platform listed last as an app's templates, if it was ever read.
    ///
    /// # Panics
    /// When another thread panicked while keeping one.
    pub fn listing(&self, app: &str) -> Option<Arc<Listing>> {
        self.listings.read().expect("no thread panics while keeping one").get(app).cloned()
    }

    /// Keeps an app's listing: known at once, durable when it returns.
    ///
    /// # Errors
    /// When it is not durable; it is known all the same.
    ///
    /// # Panics
    /// When another thread panicked while keeping one.
    pub async fn keep_listing(&self, app: String, listing: Arc<Listing>) -> Result<(), StoreError> {
        self.listings.write().expect("no thread panics while keeping one").insert(app.clone(), Arc::clone(&listing));
        self.writer.do_one(Keep { app, listing }).await
    }
}
