//! What a load says is written, in batches: reminders are stored, changed and cancelled.

use super::{
    Store,
    command::Single,
    dialect::Cell,
    error::{StoreError, meanwhile},
    insert::{self, NewRow},
    ledgers::{self, Claimant, Ledgers, Pair},
    names,
    planned::{Found, Judged, Line, Loading, Look, Waiting, available, find, find_users, judge},
    port::{Entry, Ring},
    recipients,
    reminders::{OF_DUE, STORED, stored},
    schedules::has_task,
    settle::settle_all,
    states::{LAST_STATE, LIVING},
    tx::Tx,
};
use crate::domain::{
    Millis,
    decide::cancelled,
    options::Options,
    reason::Reason,
    reminder::{Claim, NewReminder, Origin, ReminderId, State},
    schedule::{Change, Claims, Planned},
    settle::{Next, Settlement},
};
use std::{collections::BTreeSet, sync::Arc};

/// Writes what a load says about some lines. `None`: another task has the schedule by now, and nothing was written.
struct Write {
    loading: Arc<Loading>,
    nonce: String,
    lines: Vec<Line>,
}

impl Single for Write {
    const WHAT: Option<&'static str> = Some("reminders of a schedule were written");

    type Done = Option<Vec<Judged>>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Self::Done> {
        let (loading, lines) = (&*self.loading, &self.lines);
        let schedule = loading.schedule.expect("a load has begun");
        if !has_task(tx, schedule, &self.nonce).await? {
            return Ok(None);
        }
        let place = tx.names.app(&loading.app);
        let (app, template) = (place.id, tx.names.template(place.id, &loading.template));
        if loading.claims != Claims::Reserve {
            let users: Vec<(i64, String)> = lines.iter().map(|line| (app, line.planned.openid.clone())).collect();
            recipients::recipients(tx, &users, true).await?;
        }
        let at = Place { schedule, app: place, template };
        if loading.is_fresh
            && let Some(judged) = self.as_new(tx, at).await?
        {
            return Ok(Some(judged));
        }
        let mut ids = (0..lines.len() * 2).map(|_| tx.new_id()).collect::<Vec<_>>().into_iter();
        let (conn, dialect, names) = tx.parts().await?;
        let mut look = Look { conn, dialect, names, locks: true };
        let found = find(&mut look, loading, lines).await?;
        let mut ledgers = available(&mut look, template, &found).await?;
        let judged = judge(loading, template, lines, &found, &mut ledgers, || ids.next().expect("two for each line"));
        // What is withdrawn comes first: its identity may be taken by another user's.
        let mut withdrawn = Vec::new();
        for ((line, found), (verdict, _)) in lines.iter().zip(&found).zip(&judged) {
            if let Some(waiting) = found.waiting.filter(|_| verdict.cancels) {
                withdrawn.push((waiting.id, &line.planned));
            }
        }
        ledgers.write(tx).await?;
        let ids: BTreeSet<ReminderId> = withdrawn.iter().map(|(id, _)| *id).collect();
        let ids: Vec<ReminderId> = ids.into_iter().collect();
        if withdraw(tx, schedule, &ids, tx.now).await?.ended != ids.len() {
            // Another writer has marked one since, and what takes its place would be sent beside it.
            return Err(meanwhile());
        }
        self.add(tx, at, &found, &judged).await?;
        remember(tx, schedule, self.added(&judged), Before::Replaced).await?;
        self.update(tx, schedule, &found, &judged).await?;
        Ok(Some(judged.into_iter().map(|(verdict, _)| verdict).collect()))
    }

    fn ring(&self) -> Option<Ring> {
        let at = |line: &Line| self.loading.terms.moved(&line.planned).0;
        let (from, until) = (self.lines.iter().map(at).min()?, self.lines.iter().map(at).max()?);
        Some(Ring { from, until })
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["load.before_commit", "load.after_commit"])
    }
}

type Verdicts = [(Judged, Option<(ReminderId, Claim)>)];

/// Where reminders of a load belong, as small integers.
#[derive(Clone, Copy)]
struct Place {
    schedule: i64,
    app: names::Place,
    template: i64,
}

impl Write {
    /// Writes lines of which nothing was planned before, so that nothing of it is looked for. `None`, and nothing is written: something was
    /// after all, since an occurrence that a file left out, or that was long over, can come back.
    async fn as_new(&self, tx: &mut Tx<'_>, at: Place) -> sqlx::Result<Option<Vec<Judged>>> {
        let (found, mut ledgers) = self.users(tx, at.template).await?;
        let mut id = || tx.new_id();
        let judged = judge(&self.loading, at.template, &self.lines, &found, &mut ledgers, &mut id);
        // Their identities come first: they alone can have been taken before.
        sqlx::query("SAVEPOINT identities").execute(tx.conn().await?).await?;
        let n = self.added(&judged).count() as u64;
        let are_new = remember(tx, at.schedule, self.added(&judged), Before::Kept).await? == n;
        if !are_new {
            sqlx::query("ROLLBACK TO SAVEPOINT identities").execute(tx.conn().await?).await?;
        }
        sqlx::query("RELEASE SAVEPOINT identities").execute(tx.conn().await?).await?;
        if !are_new {
            return Ok(None);
        }
        ledgers.write(tx).await?;
        self.add(tx, at, &found, &judged).await?;
        Ok(Some(judged.into_iter().map(|(verdict, _)| verdict).collect()))
    }

    /// The users of the lines, and what is available to them.
    async fn users(&self, tx: &mut Tx<'_>, template: i64) -> sqlx::Result<(Vec<Found>, Ledgers)> {
        let (loading, lines) = (&*self.loading, &self.lines);
        let seen = lines.iter().map(|line| Some((line.user?, line.planned.openid.as_str())));
        let seen: Option<Vec<(i64, &str)>> = seen.collect();
        // Whoever was forgotten since has no consent, and without one nothing is stored.
        if let Some(mut users) = seen.filter(|_| loading.claims == Claims::Reserve) {
            let found = users.iter().map(|(user, _)| Found::user(Some(*user))).collect();
            users.dedup();
            let cells = users.iter().map(|(user, openid)| [(*user).into(), (*openid).into()]);
            let users = tx.dialect.rows(["recipient", "openid"], cells);
            return Ok((found, Ledgers::free_of_named(tx, template, &users).await?));
        }
        let (conn, dialect, names) = tx.parts().await?;
        let mut look = Look { conn, dialect, names, locks: true };
        let found = find_users(&mut look, loading, lines).await?;
        let ledgers = available(&mut look, template, &found).await?;
        Ok((found, ledgers))
    }

    /// The lines that are stored as new, each with the id of its reminder.
    fn added<'a>(&'a self, judged: &'a Verdicts) -> impl Iterator<Item = (&'a Line, i64)> {
        self.lines.iter().zip(judged).filter_map(|(line, (_, new))| Some((line, new.as_ref()?.0.0)))
    }

    async fn add(&self, tx: &mut Tx<'_>, at: Place, found: &[Found], judged: &Verdicts) -> sqlx::Result<()> {
        let Place { schedule, app, template } = at;
        let added = self.lines.iter().zip(found).zip(judged).filter_map(|((line, found), (_, new))| {
            let (id, claim) = (*new)?;
            Some((line, found.user.expect("made known before"), id, claim))
        });
        let added: Vec<_> = added.collect();
        let news: Vec<NewReminder> =
            added.iter().map(|(line, _, _, claim)| new_reminder(&self.loading, schedule, line, *claim)).collect();
        let mut unheld = Vec::new();
        let mut rows = Vec::with_capacity(news.len());
        for ((_, user, id, claim), new) in added.iter().zip(&news) {
            if *claim == Claim::AtFire || self.loading.standing {
                unheld.push(Claimant { recipient: *user, template, reminder: *id });
            }
            let lane = tx.names.lane_of_user(app, &new.openid);
            tx.tally.reminder(lane, Some(schedule), None, Some(State::Scheduled.into()));
            rows.push(NewRow { id: *id, app: app.id, lane, pair: (*user, template) as Pair, new });
        }
        ledgers::remember(tx, &unheld).await?;
        insert::write_rows(tx, &rows).await
    }

    async fn update(&self, tx: &mut Tx<'_>, schedule: i64, found: &[Found], judged: &Verdicts) -> sqlx::Result<()> {
        let waiting = self.lines.iter().zip(found).zip(judged);
        let waiting = waiting.filter_map(|((line, found), (verdict, _))| Some((line, found.waiting?, verdict)));
        let (mut changed, mut moved) = (Vec::new(), Vec::new());
        for (line, waiting, verdict) in waiting.filter(|(.., verdict)| verdict.writes) {
            match verdict.change {
                Some(Change::Changed) => changed.push((line, waiting)),
                Some(Change::Same) => moved.push((line, waiting)),
                _ => {}
            }
        }
        if !moved.is_empty() {
            let cells =
                moved.iter().map(|(line, waiting)| [waiting.id.0.into(), line.planned.row.map(i64::from).into()]);
            let rows = tx.dialect.rows(["id", "row_number"], cells);
            tx.run("UPDATE reminder SET row_number = r.row_number FROM {rows} WHERE reminder.id = r.id", &rows).await?;
        }
        if !changed.is_empty() {
            change(tx, &self.loading.options, &changed).await?;
            let known = changed.iter().map(|(line, waiting)| (*line, waiting.id.0));
            remember(tx, schedule, known, Before::Replaced).await?;
        }
        Ok(())
    }
}

fn new_reminder(loading: &Loading, schedule: i64, line: &Line, claim: Claim) -> NewReminder {
    let planned = &line.planned;
    let (at, expires_at) = loading.terms.moved(planned);
    let key = (planned.key != planned.openid).then(|| planned.key.clone());
    let (row, occasion, moves) = (planned.row, planned.occasion.clone(), planned.moves);
    let occurrence = planned.occurrence.clone();
    NewReminder {
        app: loading.app.clone(),
        openid: planned.openid.clone(),
        template: loading.template.clone(),
        standing: loading.standing,
        at,
        local_at: None,
        expires_at,
        page: planned.page.clone(),
        data: planned.data.clone(),
        key: None,
        digest: String::new(),
        claim,
        accepted: None,
        options: loading.options.clone(),
        origin: Some(Origin { schedule, row, key, occasion, occurrence, moves }),
    }
}

/// Writes what the file says about reminders that wait. Their fences rise, so that what the engine has read of them before is not sent.
async fn change(tx: &mut Tx<'_>, options: &Options, changed: &[(&Line, Waiting)]) -> sqlx::Result<()> {
    let now = tx.now;
    // One that waits for another try goes at once: what hindered it may be mended.
    let due_at = |line: &Line, waiting: &Waiting| match (line.planned.at == waiting.at, waiting.due_at == waiting.at) {
        (true, false) => line.planned.at.max(now).min(waiting.due_at),
        _ => line.planned.at,
    };
    let cells = changed.iter().map(|(line, waiting)| {
        [
            waiting.lane.into(),
            waiting.due_at.into(),
            waiting.id.0.into(),
            waiting.fence.into(),
            due_at(line, waiting).into(),
            waiting.at.into(),
            line.planned.at.into(),
        ]
    });
    let rows = tx.dialect.rows(["lane", "due_at", "id", "fence", "new_due_at", "at", "new_at"], cells);
    let sql = "UPDATE due SET due_at = r.new_due_at, fence = due.fence + 1 FROM {rows}
         WHERE due.lane = r.lane AND due.due_at = r.due_at AND due.id = r.id AND due.state = 0 AND due.fence = r.fence";
    if tx.run(sql, &rows).await? != rows.len as u64 {
        return Err(meanwhile());
    }
    // Past attempts move along, since an outcome is found by its reminder's instant.
    tx.run(
        "UPDATE outcome SET at = r.new_at, next_at = r.new_due_at FROM {rows}
         WHERE outcome.lane = r.lane AND outcome.at = r.at AND outcome.id = r.id",
        &rows,
    )
    .await?;
    let option = |name: &str| options.get(name).map(String::as_str);
    let cells = changed.iter().map(|(Line { planned, .. }, waiting)| -> [Cell<'_>; 9] {
        [
            waiting.id.0.into(),
            planned.at.into(),
            planned.expires_at.into(),
            planned.page.as_deref().into(),
            planned.data.as_str().into(),
            planned.row.map(i64::from).into(),
            i64::from(planned.moves).into(),
            option("lang").into(),
            option("miniprogram_state").into(),
        ]
    });
    let columns = ["id", "at", "expires_at", "page", "data", "row_number", "moves", "lang", "miniprogram_state"];
    let rows = tx.dialect.rows(columns, cells);
    let sql = format!(
        "UPDATE reminder SET at = r.at, expires_at = r.expires_at, page = r.page, data = r.data, row_number = r.row_number,
             moves = r.moves, lang = r.lang, miniprogram_state = r.miniprogram_state, local_at = NULL, changed_at = {now}
         FROM {{rows}} WHERE reminder.id = r.id"
    );
    tx.run(&sql, &rows).await.map(drop)
}

/// What becomes of what was known of an identity before.
#[derive(Clone, Copy)]
enum Before {
    /// It stays.
    Kept,
    /// What is written takes its place.
    Replaced,
}

/// Writes down which reminders these lines are, and what the file said. Answers of how many.
async fn remember<'l>(
    tx: &mut Tx<'_>,
    schedule: i64,
    known: impl Iterator<Item = (&'l Line, i64)>,
    before: Before,
) -> sqlx::Result<u64> {
    let cells: Vec<[Cell<'_>; 6]> = known
        .map(|(line, id)| {
            let Planned { key, occasion, occurrence, .. } = &line.planned;
            [
                key.as_str().into(),
                id.into(),
                schedule.into(),
                occasion.as_str().into(),
                occurrence.as_str().into(),
                line.digest.into(),
            ]
        })
        .collect();
    if cells.is_empty() {
        return Ok(0);
    }
    let rows = tx.dialect.new_rows(["key", "reminder", "schedule", "occasion", "occurrence", "digest"], cells);
    let then = match before {
        Before::Kept => "NOTHING",
        Before::Replaced => "UPDATE SET reminder = excluded.reminder, digest = excluded.digest",
    };
    let sql = format!(
        "INSERT INTO planned (schedule, key, occasion, occurrence, reminder, digest)
         SELECT r.schedule, r.key, r.occasion, r.occurrence, r.reminder, r.digest FROM {{rows}} WHERE true
         ON CONFLICT (schedule, key, occasion, occurrence) DO {then}"
    );
    tx.run(&sql, &rows).await
}

/// What became of reminders that were to be withdrawn.
#[derive(Default)]
struct Withdrawn {
    /// So many waited and have ended.
    ended: usize,
    /// Those of them that certainly were not sent.
    cancelled: u64,
}

/// Cancels reminders that wait, since their schedule's file no longer has them. Their identities are free again, unless one may have been
/// sent before. One that waits no longer is left alone.
async fn withdraw(tx: &mut Tx<'_>, schedule: i64, ids: &[ReminderId], now: Millis) -> sqlx::Result<Withdrawn> {
    if ids.is_empty() {
        return Ok(Withdrawn::default());
    }
    let rows = tx.dialect.rows(["id"], ids.iter().map(|id| [id.0.into()]));
    let sql = format!(
        "SELECT {STORED}, {OF_DUE}, {LAST_STATE} AS ended FROM {{rows}} JOIN reminder m ON m.id = r.id
         JOIN recipient p ON p.id = m.recipient {LIVING}"
    );
    let names = tx.names;
    let waiting: Vec<_> = tx.rows(&sql, &rows).await?.iter().map(|row| stored(row, names)).collect();
    let entries = waiting.iter().filter_map(|stored| {
        let target = stored.target_in(State::Scheduled)?;
        let mut settlement = cancelled(&stored.due);
        if settlement.next == Next::Final(State::Cancelled) {
            settlement = Settlement::because(settlement.next, Reason::Removed, settlement.consent);
        }
        Some(Entry { target, settlement, began_at: None, ended_at: now })
    });
    let entries: Vec<Entry> = entries.collect();
    settle_all(tx, &entries).await?;
    let gone = entries.iter().filter(|entry| entry.settlement.next == Next::Final(State::Cancelled));
    let gone: Vec<[Cell<'_>; 2]> = gone.map(|entry| [schedule.into(), entry.target.due.id.0.into()]).collect();
    let withdrawn = Withdrawn { ended: entries.len(), cancelled: gone.len() as u64 };
    if gone.is_empty() {
        return Ok(withdrawn);
    }
    let rows = tx.dialect.rows(["schedule", "id"], gone);
    // By their keys, which their reminders carry: the table has no index on ids.
    tx.run(
        "DELETE FROM planned WHERE (schedule, key, occasion, occurrence) IN
             (SELECT r.schedule, COALESCE(m.row_key, p.openid), m.occasion, COALESCE(m.occurrence, '') FROM {rows} JOIN reminder m ON m.id = r.id
              JOIN recipient p ON p.id = m.recipient)",
        &rows,
    )
    .await?;
    Ok(withdrawn)
}

/// Cancels what the file no longer has. `None`: another task has the schedule by now, and nothing was written.
struct Remove {
    schedule: i64,
    nonce: String,
    ids: Vec<ReminderId>,
}

impl Single for Remove {
    const WHAT: Option<&'static str> = Some("reminders of a schedule were removed");

    type Done = Option<u64>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Option<u64>> {
        if !has_task(tx, self.schedule, &self.nonce).await? {
            return Ok(None);
        }
        let now = tx.now;
        Ok(Some(withdraw(tx, self.schedule, &self.ids, now).await?.cancelled))
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["remove.before_commit", "remove.after_commit"])
    }
}

impl Store {
    /// Writes what a load says about some lines. `None`: another task has the schedule by now, and nothing was written.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn write_lines(
        &self,
        loading: Arc<Loading>,
        nonce: &str,
        lines: Vec<Line>,
    ) -> Result<Option<Vec<Judged>>, StoreError> {
        self.writer.do_one(Write { loading, nonce: nonce.to_owned(), lines }).await
    }

    /// Cancels reminders that wait. `None`: another task has the schedule by now, and nothing was written.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn remove(&self, schedule: i64, nonce: &str, ids: Vec<ReminderId>) -> Result<Option<u64>, StoreError> {
        self.writer.do_one(Remove { schedule, nonce: nonce.to_owned(), ids }).await
    }
}
