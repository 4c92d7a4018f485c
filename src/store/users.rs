//! Users' rights in SQL: forgotten at their wish, kept out afterwards, let in again.
//!
//! An openid stands in `recipient`, and where a schedule's file names it. To forget a user is to change that row, to erase the content of
//! their reminders, and to mask the files. Small integers, instants and states stay, so that the counts and the ledger stay true.

use super::{
    Store, audit,
    command::{Command, Single},
    dialect::Dialect,
    drafts,
    error::StoreError,
    hold,
    kept::forget_kept,
    ledgers::Ledgers,
    names::Place,
    port::{Entry, Ring},
    recipients::{self, recipients},
    reminders::{self, Stored},
    schedule_tasks::forget_planned,
    settle::settle_all,
    spent::{self, Used},
    tx::Tx,
};
use crate::domain::{
    Millis,
    ledger::Ledger,
    reason::Reason,
    reminder::State,
    settle::{Consent, Next, Settlement},
};
use sqlx::{AssertSqlSafe, Row};
use std::{collections::BTreeSet, time::Duration};

/// How often it is tried to empty the log while the wish is answered, and how far apart.
const EMPTY_TRIES: usize = 5;
const EMPTY_AGAIN: Duration = Duration::from_millis(200);

/// A wish about a user.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The app's name in the configuration.
    pub app: String,
    /// The user.
    pub openid: String,
    /// Who passes it on.
    pub actor: String,
}

/// What forgetting a user came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Reminders that were waiting and are cancelled.
    pub cancelled: u64,
    /// Reminders that were being sent or in doubt, and are given up as `unconfirmed`.
    pub given_up: u64,
    /// Reminders whose content is gone, these included.
    pub erased: u64,
    /// Consents that are void.
    pub void: u64,
    /// Schedules whose files named them, by name: what is stored of these does so no more, the files themselves do.
    pub named_by: BTreeSet<String>,
}

/// Forgets a user. Afterwards no row names them, nothing of theirs is sent, and nothing is stored for them before they are let in again.
pub(super) struct Forget(pub Wish);

impl Single for Forget {
    const WHAT: Option<&'static str> = Some("a user was forgotten");

    type Done = Forgotten;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Forgotten> {
        forget(tx, &self.0).await
    }

    /// The engine reads again, so that it does not send a reminder that it read before.
    fn ring(&self) -> Option<Ring> {
        Some(Ring::EVERYTHING)
    }
}

async fn forget(tx: &mut Tx<'_>, wish: &Wish) -> sqlx::Result<Forgotten> {
    let place = tx.names.app(&wish.app);
    tx.overwrite().await?;
    recipients::change_forgotten(tx, place.id).await?;
    let user = (place.id, wish.openid.clone());
    let known = recipients(tx, std::slice::from_ref(&user), false).await?.get(&user).copied();
    // One who is not known may become so in a transaction that is not committed: whoever makes them known too waits for that one, or it for them.
    let made = match known {
        None if tx.dialect == Dialect::Postgres => {
            recipients(tx, std::slice::from_ref(&user), true).await?.get(&user).copied()
        }
        _ => None,
    };
    // Lists of schedules name the pseudonym from now on, and that is nobody to send to.
    let pseudonym = tx.names.pseudonyms().name(&wish.openid);
    for openid in [&wish.openid, &pseudonym] {
        sqlx::query("INSERT INTO forgotten (app, tag, at) VALUES ($1, $2, $3) ON CONFLICT (app, tag) DO NOTHING")
            .bind(place.id)
            .bind(tx.names.pseudonyms().tag(openid))
            .bind(tx.now)
            .execute(tx.conn().await?)
            .await?;
    }
    // Where a row has no key, schedules know it by the openid, even when nothing else of the user is kept.
    sqlx::query("DELETE FROM planned WHERE schedule IN (SELECT s.id FROM schedule s WHERE s.app = $1) AND key = $2")
        .bind(place.id)
        .bind(&wish.openid)
        .execute(tx.conn().await?)
        .await?;
    forget_kept(tx, place.id, &wish.openid).await?;
    drafts::forget_of_app(tx, place.id).await?;
    let mut done = Forgotten::default();
    if let Some(recipient) = known.or(made) {
        recipients::have_alone(tx, recipient).await?;
        let all = reminders::of_recipient(tx, recipient).await?;
        end(tx, &all, &mut done).await?;
        erase(tx, place, recipient, &wish.openid, &all).await?;
        done.void = void(tx, recipient).await?;
        done.erased = all.len() as u64;
        if made.is_some() && done.erased + done.void == 0 {
            sqlx::query("DELETE FROM recipient WHERE id = $1").bind(recipient).execute(tx.conn().await?).await?;
        }
    }
    let what = format!("{} cancelled, {} given up, {} void", done.cancelled, done.given_up, done.void);
    write_down(tx, wish, "forget", &what).await?;
    Ok(done)
}

/// Ends the reminders that live. One that was being sent, or may have been before a store was restored, ends as unconfirmed.
async fn end(tx: &mut Tx<'_>, all: &[Stored], done: &mut Forgotten) -> sqlx::Result<()> {
    let doubtful = hold::doubtful(tx).await?;
    let mut ends = Vec::new();
    for stored in all.iter().filter(|stored| !stored.due.state.is_final()) {
        let due = &stored.due;
        let held_back = doubtful.is_some_and(|last| due.id <= last) && due.due_at <= tx.now;
        let waits = due.state == State::Scheduled && due.doubt_since.is_none();
        let settlement = if waits && !held_back {
            done.cancelled += 1;
            Settlement::because(Next::Final(State::Cancelled), Reason::Forgotten, Consent::Free)
        } else {
            done.given_up += 1;
            // A reminder that waits may hold no consent yet.
            let consent = if waits { Consent::Free } else { Consent::Keep };
            Settlement::because(Next::Final(State::Unconfirmed), Reason::ForgottenInDoubt, consent)
        };
        let target = stored.target_in(due.state).expect("in its own state");
        ends.push(Entry { target, settlement, began_at: None, ended_at: tx.now });
    }
    settle_all(tx, &ends).await
}

/// Erases from every row who the user is and what they were told. Their keys and taps stay used, by a keyed hash: should the user come back,
/// a call that is repeated does nothing.
async fn erase(tx: &mut Tx<'_>, place: Place, recipient: i64, openid: &str, all: &[Stored]) -> sqlx::Result<()> {
    let names = tx.names;
    let keys = all.iter().filter_map(|stored| Some(Used::Key(stored.key.as_deref()?).tag(names)));
    let mut tags: Vec<(i64, String)> = keys.map(|tag| (place.id, tag)).collect();
    let sql = "SELECT template, event FROM consent WHERE recipient = $1 AND event IS NOT NULL";
    for tap in sqlx::query(sql).bind(recipient).fetch_all(tx.conn().await?).await? {
        let event: String = tap.get("event");
        tags.push((place.id, Used::Event(openid, names.code(tap.get("template")), &event).tag(names)));
    }
    spent::spend(tx, &tags).await?;
    // Keys of rows are a member's number, perhaps.
    for schedule in schedules(all) {
        let of_it =
            all.iter().filter(|stored| stored.origin.as_ref().is_some_and(|origin| origin.schedule == schedule));
        forget_planned(tx, schedule, of_it).await?;
    }
    if !all.is_empty() {
        let rows = all.iter().map(|stored| {
            [
                stored.due.id.0.into(),
                stored.lane.into(),
                stored.due.at.into(),
                place.id.into(),
                stored.key.as_deref().into(),
            ]
        });
        let rows = tx.dialect.rows(["id", "lane", "at", "app", "key"], rows);
        for sql in [
            "UPDATE reminder SET data = '{}', page = NULL, key = NULL, local_at = NULL, row_key = NULL FROM {rows} WHERE reminder.id = r.id",
            &format!(
                "UPDATE outcome SET message_id = NULL, erased = COALESCE(outcome.erased, 0) | {} FROM {{rows}}
                 WHERE outcome.lane = r.lane AND outcome.at = r.at AND outcome.id = r.id",
                reminders::BODY
            ),
            "UPDATE receipt SET message_id = NULL FROM {rows} WHERE receipt.lane = r.lane AND receipt.at = r.at AND receipt.id = r.id",
            "DELETE FROM idempotency WHERE (app, key) IN (SELECT r.app, r.key FROM {rows} WHERE r.key IS NOT NULL)",
        ] {
            tx.run(sql, &rows).await?;
        }
    }
    for sql in [
        "UPDATE consent SET event = NULL, source = NULL, ticket = NULL WHERE recipient = $1",
        "DELETE FROM turned_off WHERE recipient = $1",
        // A space is in no openid, so nobody can ask for it.
        "UPDATE recipient SET openid = 'forgotten ' || id WHERE id = $1",
    ] {
        sqlx::query(AssertSqlSafe(sql)).bind(recipient).execute(tx.conn().await?).await?;
    }
    Ok(())
}

/// The schedules that reminders come from.
fn schedules(all: &[Stored]) -> BTreeSet<i64> {
    all.iter().filter_map(|stored| Some(stored.origin.as_ref()?.schedule)).collect()
}

/// Voids the consents that no reminder holds or has used; answers how many.
async fn void(tx: &mut Tx<'_>, recipient: i64) -> sqlx::Result<u64> {
    let mut ledgers = Ledgers::of_recipient(tx, recipient).await?;
    ledgers.all().for_each(Ledger::forget);
    ledgers.write(tx).await?;
    Ok(ledgers.moves().count() as u64)
}

async fn write_down(tx: &mut Tx<'_>, wish: &Wish, action: &str, what: &str) -> sqlx::Result<()> {
    let detail = format!("{}: {what}", tx.names.pseudonyms().name(&wish.openid));
    audit::write_down(tx, &wish.actor, action, &detail).await
}

/// Lets a user in again who was forgotten; `false` if they were not.
pub(super) struct LetIn(pub Wish);

impl Single for LetIn {
    const WHAT: Option<&'static str> = Some("a forgotten user was let in again");

    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        let Wish { app, openid, .. } = &self.0;
        let place = tx.names.app(app);
        recipients::change_forgotten(tx, place.id).await?;
        let deleted = sqlx::query("DELETE FROM forgotten WHERE app = $1 AND tag = $2")
            .bind(place.id)
            .bind(tx.names.pseudonyms().tag(openid))
            .execute(tx.conn().await?)
            .await?;
        let was = deleted.rows_affected() > 0;
        if was {
            remember_former_consents(tx, app, openid).await?;
            write_down(tx, &self.0, "let_in", "asked for it").await?;
        }
        Ok(was)
    }
}

/// Writes into the ledgers of a user who comes back that there may be consents from before, for each template.
async fn remember_former_consents(tx: &mut Tx<'_>, app: &str, openid: &str) -> sqlx::Result<()> {
    let place = tx.names.app(app);
    let user = (place.id, openid.to_owned());
    let recipients = recipients(tx, std::slice::from_ref(&user), true).await?;
    let (names, now, mut ledgers) = (tx.names, tx.now, Ledgers::default());
    names.templates(place.id).for_each(|template| ledgers.of((recipients[&user], template)).let_in(now));
    ledgers.write(tx).await
}

impl Store {
    /// Forgets a user; durable when it returns.
    ///
    /// # Errors
    /// When the store does not answer: the user may be forgotten while a text still names them, and to repeat it takes them out of that.
    pub async fn forget(&self, wish: Wish) -> Result<Forgotten, StoreError> {
        let mut named_by = self.schedules_naming(&wish.app, &wish.openid).await?;
        // Those of a wish that is repeated.
        named_by.extend(self.schedules_masking(&wish.app, &wish.openid).await?);
        let done = self.writer.do_one(Forget(wish.clone())).await?;
        self.mask_texts(&wish.app, &wish.openid).await?;
        self.empty_log().await?;
        Ok(Forgotten { named_by, ..done })
    }

    /// Empties SQLite's log, whose old pages still name who was forgotten. A reader that takes long may need them: then the writer goes on
    /// trying by itself.
    async fn empty_log(&self) -> Result<(), StoreError> {
        for _ in 0..EMPTY_TRIES {
            if self.writer.ask(Command::Fold).await? {
                return Ok(());
            }
            tokio::time::sleep(EMPTY_AGAIN).await;
        }
        tracing::warn!(
            "a reader still needs the store's log, whose pages name who was forgotten; it is emptied as soon as that reader ends"
        );
        Ok(())
    }

    /// Lets a user in again who was forgotten; `false` if they were not.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn let_in(&self, wish: Wish) -> Result<bool, StoreError> {
        self.writer.do_one(LetIn(wish)).await
    }

    /// When a user was forgotten, if they were.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forgotten_at(&self, app: &str, openid: &str) -> Result<Option<Millis>, StoreError> {
        let row = sqlx::query("SELECT at FROM forgotten WHERE app = $1 AND tag = $2")
            .bind(self.names.app(app).id)
            .bind(self.names.pseudonyms().tag(openid))
            .fetch_optional(&self.read)
            .await?;
        Ok(row.map(|row| row.get("at")))
    }

    /// Since when a user wants nothing more of which templates, by the platform's ids.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn turned_off(&self, app: &str, openid: &str) -> Result<Vec<(String, Millis)>, StoreError> {
        let rows = sqlx::query(
            "SELECT t.code, o.at FROM recipient p JOIN turned_off o ON o.recipient = p.id JOIN template t ON t.id = o.template
             WHERE p.app = $1 AND p.openid = $2 ORDER BY o.at",
        )
        .bind(self.names.app(app).id)
        .bind(openid)
        .fetch_all(&self.read)
        .await?;
        Ok(rows.iter().map(|row| (row.get("code"), row.get("at"))).collect())
    }
}
