//! All SQL. One writer task owns the only connection that writes; reads go to a pool that cannot.
//!
//! The map, from the top. A file knows those below it, and what is done to the store stands in the file that it is about.
//!
//! ```text
//! open                                            everything is put together
//! writer                                          the one task that writes
//! group                                           what shares a transaction
//! requests                                        what is done once, however often it is asked
//! insert │ mark │ settle │ wake │ change          the steps of a reminder
//! fence │ nodes                                   several daemons: whose a lane is, and that nobody else marks in it
//! bulk                                            whatever a filter lets through is cancelled or moved at once
//! consents │ pushes │ doubts │ users │ retention  what else happens
//! mentions                                        where texts name a user
//! schedules │ folder │ gates                      what marketers load, from where, and what holds it back
//! occurrences │ left_out │ kept                   what of it recurs, what was left out, and by which rows
//! queue │ lists │ counts │ reminders │ feed       what is read
//! memory │ forgotten │ again │ lacks │ deeds      what the database has forgotten is written again, or named
//! hold │ progress │ identity │ backup             whether the store knows what it has sent
//! pulse                                           whether it can be read and written now
//! keys │ templates │ spent │ recipients           what else is stored
//! moved                                           instants that lie elsewhere from now on
//! audit                                           who decided what
//! ledgers │ paid │ tickets │ tally                consents, what pays for a reminder, and how many there are of each
//! command │ port                                  what is asked of the writer │ what the engine sees
//! write_conn                                      the connection that writes
//! me │ chain │ tx │ procedures                    one transaction, and how it becomes one statement
//! names │ states │ schema │ database │ file       what all of them stand on
//! ```

pub mod port;
mod command;
mod writer;
mod group;
mod memory;
mod write_conn;
mod open;
pub mod reminders;
mod insert;
pub mod requests;
mod queue;
mod chain;
mod forgotten;
mod deeds;
mod lacks;
mod again;
mod fence;
mod me;
mod mark;
pub mod nodes;
mod settle;
mod reasons;
mod wake;
pub mod change;
pub mod bulk;
mod ledgers;
mod paid;
mod tally;
mod counts;
pub mod consents;
pub mod pushes;
pub mod doubts;
pub mod users;
mod mentions;
pub mod schedule_report;
pub mod schedules;
pub mod planned;
mod planned_write;
pub mod planned_lists;
pub mod schedule_pause;
mod moved;
pub mod schedule_tasks;
pub mod occurrences;
pub mod left_out;
pub mod kept;
pub mod folder;
pub mod app_pause;
pub mod gates;
pub mod retention;
mod listen;
pub mod lists;
pub mod feed;
mod recipients;
mod pseudonyms;
mod mint;
mod spent;
mod tickets;
pub mod today;
pub mod keys;
pub mod sessions;
pub mod drafts;
mod templates;
pub mod hold;
mod audit;
mod pulse;
pub mod backup;
mod copy;
mod progress;
mod identity;
mod states;
mod names;
mod tx;
mod procedures;
mod database;
mod postgres;
mod schema;
pub(crate) mod file;
pub(crate) mod filesystem;
mod place;
mod dialect;
mod error;

pub use command::Inserted;
pub use database::READERS;
pub use dialect::{Dialect, shown};
pub use error::{OpenError, StoreError};
pub use listen::is_pooled;
pub use mint::Minted;
pub use names::Names;
pub use place::look;
pub use port::{OnCommit, Ring};
pub use pseudonyms::Pseudonyms;
pub use schema::Upgraded;

use crate::{clock::SharedClock, domain::template::Listing};
use command::{Command, Writer};
use database::Database;
use sqlx::AnyPool;
use std::{
    collections::HashMap,
    sync::{Arc, RwLock, atomic::AtomicI64},
    time::Duration,
};
use tokio::sync::watch;

/// The open store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    /// For everybody but the engine.
    read: AnyPool,
    /// For the engine alone, so that no other reader keeps a send waiting.
    ahead: AnyPool,
    writer: Writer,
    clock: SharedClock,
    names: Arc<Names>,
    /// What holds schedules back.
    gates: gates::Kept,
    /// What the platforms list, by the app's name: in memory too, since every insert asks.
    listings: Arc<RwLock<HashMap<String, Arc<Listing>>>>,
    upgraded: Option<Upgraded>,
    on_commit: watch::Sender<Option<Arc<OnCommit>>>,
    trouble: pulse::Trouble,
    /// Which node this is among several.
    me: me::Me,
    /// The connection that it beats on, and the one for all else that it asks of the others.
    lines: nodes::Lines,
    /// When the last backup was made; 0 without one.
    last_backup: Arc<AtomicI64>,
}

impl Store {
    /// What its schema was when it was opened, if it was another.
    pub fn upgraded(&self) -> Option<&Upgraded> {
        self.upgraded.as_ref()
    }

    /// Names to small integers and back.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Finishes what was asked and closes the database. Later calls are answered with [`StoreError::Closed`].
    pub async fn close(&self) {
        // Closed already: nothing to do.
        let _ = self.writer.ask(Command::Close).await;
        self.read.close().await;
        self.ahead.close().await;
        self.database.lock.lock().expect("nothing panics while holding it").take();
    }

    /// Whether the database is there and answers a read within a second.
    pub async fn answers(&self) -> bool {
        if self.database.is_there().is_err() {
            return false;
        }
        let ask = sqlx::query("SELECT 1").execute(&self.read);
        matches!(tokio::time::timeout(Duration::from_secs(1), ask).await, Ok(Ok(_)))
    }
}
