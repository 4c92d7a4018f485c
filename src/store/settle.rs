//! Settlements are written: the living row goes, the outcome comes, and the consent follows.
//!
//! A row of `due` is the living part of a reminder. Marking changes it in place, settling deletes it and appends to `outcome`;
//! both lie in the order of the instants, so a burst touches neighbouring pages only.

use super::{
    dialect::{Cell, Dialect},
    error::meanwhile,
    fence, hold,
    ledgers::{self, Claimant},
    port::{Entry, Target},
    reasons, reminders,
    states::{self, IN_DOUBT, state_number},
    tally::Stand,
    tx::Tx,
};
use crate::domain::{
    Millis,
    ledger::{Move, Stage, Void},
    reason::Reason,
    reminder::{ReminderId, State},
    settle::{Consent, Counted, Next, Settlement, assumed_sent_without_consent, received},
};
use sqlx::Row;
use std::{borrow::Cow, collections::HashSet};

struct NewOutcome<'a> {
    lane: i64,
    at: Millis,
    id: i64,
    fence: i64,
    state: State,
    ended_at: Millis,
    began_at: Option<Millis>,
    next_at: Option<Millis>,
    code: Option<&'a str>,
    reason: Option<String>,
    text: Option<&'a str>,
    message_id: Option<&'a str>,
    next_fence: i64,
    tries: i64,
    unsure: i64,
    doubt_since: Option<Millis>,
    schedule: Option<i64>,
    marker: Option<i64>,
}

impl NewOutcome<'_> {
    fn cells(&self) -> [Cell<'_>; 12] {
        [
            self.lane.into(),
            self.at.into(),
            self.id.into(),
            self.fence.into(),
            self.state.word().into(),
            self.ended_at.into(),
            self.began_at.into(),
            self.next_at.into(),
            self.code.into(),
            self.reason.as_deref().into(),
            self.text.into(),
            self.message_id.into(),
        ]
    }
}

/// Writes settlements. Answers for each whether it was written: `false` means that the row had changed or ended, and nothing was touched.
pub(super) async fn settle(tx: &mut Tx<'_>, entries: &[Entry]) -> sqlx::Result<Vec<bool>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut entries: Vec<Cow<'_, Entry>> = entries.iter().map(Cow::Borrowed).collect();
    let mut written = end_living(tx, &entries).await?;
    if written.contains(&false) && testify(tx, &mut entries, &written).await? {
        let again: Vec<usize> =
            (0..entries.len()).filter(|i| !written[*i] && matches!(entries[*i], Cow::Owned(_))).collect();
        let testimony: Vec<Cow<'_, Entry>> = again.iter().map(|i| entries[*i].clone()).collect();
        for (i, done) in again.iter().zip(end_living(tx, &testimony).await?) {
            written[*i] = done;
        }
    }
    let kept = entries.into_iter().zip(&written).filter(|(_, written)| **written).map(|(entry, _)| entry);
    let kept: Vec<Cow<'_, Entry>> = kept.collect();
    let doubts = kept.iter().any(|entry| entry.settlement.leaves_open());
    let kept = if doubts { by_receipt(tx, kept).await? } else { kept };

    let outcomes: Vec<NewOutcome<'_>> = kept.iter().map(|entry| new_outcome(entry)).collect();
    if !outcomes.is_empty() {
        let columns = [
            "lane",
            "at",
            "id",
            "fence",
            "state",
            "ended_at",
            "began_at",
            "next_at",
            "code",
            "reason",
            "text",
            "message_id",
        ];
        let rows = tx.dialect.rows(columns, outcomes.iter().map(NewOutcome::cells));
        tx.later(
            "INSERT INTO outcome (lane, at, id, fence, state, ended_at, began_at, next_at, code, reason, text, message_id)
             SELECT r.lane, r.at, r.id, r.fence, r.state, r.ended_at, r.began_at, r.next_at, r.code, r.reason, r.text, r.message_id FROM {rows}",
            rows,
        );
    }
    let living: Vec<&NewOutcome<'_>> = outcomes.iter().filter(|o| o.next_at.is_some()).collect();
    if !living.is_empty() {
        let rows = living.iter().map(|o| {
            [
                o.lane.into(),
                o.next_at.into(),
                o.id.into(),
                state_number(o.state).into(),
                o.next_fence.into(),
                o.tries.into(),
                o.unsure.into(),
                o.doubt_since.into(),
                o.schedule.into(),
                o.marker.into(),
            ]
        });
        let columns = ["lane", "due_at", "id", "state", "fence", "tries", "unsure", "doubt_since", "schedule", "node"];
        let rows = tx.dialect.rows(columns, rows);
        let (node, marker) = if tx.dialect == Dialect::Postgres { (", node", ", r.node") } else { ("", "") };
        let sql = format!(
            "INSERT INTO due (lane, due_at, id, state, fence, tries, unsure, doubt_since, schedule{node})
             SELECT r.lane, r.due_at, r.id, r.state, r.fence, r.tries, r.unsure, r.doubt_since, r.schedule{marker} FROM {{rows}}"
        );
        tx.later(&sql, rows);
    }
    for (entry, outcome) in kept.iter().zip(&outcomes) {
        let (from, to) = (entry.target.due.state.into(), Stand { state: outcome.state, code: outcome.code });
        tx.tally.reminder(outcome.lane, outcome.schedule, Some(from), Some(to));
    }
    settle_consents(tx, &kept).await?;
    Ok(written)
}

/// The same for rows that this transaction has read itself: all of them are written. If another writer was in between, it is done again.
pub(super) async fn settle_all(tx: &mut Tx<'_>, entries: &[Entry]) -> sqlx::Result<()> {
    if settle(tx, entries).await?.contains(&false) { Err(meanwhile()) } else { Ok(()) }
}

/// Takes away the living rows that settlements name, and answers for each whether its row was there.
async fn end_living(tx: &mut Tx<'_>, entries: &[Cow<'_, Entry>]) -> sqlx::Result<Vec<bool>> {
    let mut may: Vec<bool> =
        entries.iter().map(|entry| fence::lets(tx, entry.target.lane, entry.target.epoch)).collect();
    spare_others(tx, entries, &mut may).await?;
    let ours = entries.iter().zip(&may).filter(|(_, may)| **may).map(|(entry, _)| &entry.target);
    let keys: Vec<_> = ours.map(|target| states::key(target.lane, &target.due)).collect();
    if keys.is_empty() {
        return Ok(may);
    }
    let keys = tx.dialect.rows(states::KEY, keys);
    let mut touched = tx
        .touch(
            "DELETE FROM due WHERE (lane, due_at, id, state, fence) IN
                 (SELECT r.lane, r.due_at, r.id, r.state, r.fence FROM {rows})",
            keys,
        )
        .await?;
    // `remove`: of two settlements of one row in one transaction the first counts.
    let mut was_there =
        |entry: &Cow<'_, Entry>| touched.as_mut().is_none_or(|ours| ours.remove(&entry.target.due.id.0));
    Ok(entries.iter().zip(may).map(|(entry, may)| may && was_there(entry)).collect())
}

/// Leaves alone what another node has marked under the fence of a mark that is taken back.
///
/// It has looked, and locked what it found, before the commit leaves. So one that was given up, and whose commit is still on its way, never takes
/// back what was marked since: either it had found the lost mark, and whoever asks again waits for it; or it had found nothing, and does nothing.
async fn spare_others(tx: &mut Tx<'_>, entries: &[Cow<'_, Entry>], may: &mut [bool]) -> sqlx::Result<()> {
    let taken_back = entries.iter().filter_map(|entry| Some((&entry.target, entry.target.taken_back()?)));
    let keys: Vec<_> = taken_back
        .map(|(Target { lane, due, .. }, node)| {
            [(*lane).into(), due.due_at.into(), due.id.0.into(), due.fence.into(), node.0.into()]
        })
        .collect();
    if tx.dialect == Dialect::Sqlite || keys.is_empty() {
        return Ok(());
    }
    let keys = tx.dialect.rows(["lane", "due_at", "id", "fence", "node"], keys);
    let sql = "SELECT d.id FROM {rows} JOIN due d ON d.lane = r.lane AND d.due_at = r.due_at AND d.id = r.id AND d.fence = r.fence
         WHERE d.node = r.node FOR UPDATE OF d";
    let ours: HashSet<i64> = tx.rows(sql, &keys).await?.iter().map(|row| row.get("id")).collect();
    for (entry, may) in entries.iter().zip(may) {
        *may &= entry.target.taken_back().is_none() || ours.contains(&entry.target.due.id.0);
    }
    Ok(())
}

/// Finds the rows of calls whose node was held for dead: another has written them down as in doubt meanwhile, and what the node says of its
/// call counts as a receipt does. Such settlements name the doubt from here on; answers whether there are any.
async fn testify(tx: &mut Tx<'_>, entries: &mut [Cow<'_, Entry>], written: &[bool]) -> sqlx::Result<bool> {
    if tx.dialect == Dialect::Sqlite {
        return Ok(false);
    }
    let speaks = |entry: &Entry| {
        let Target { due, epoch, .. } = &entry.target;
        due.state == State::Sending && epoch.is_none() && !entry.settlement.leaves_open()
    };
    let late = entries.iter().zip(written).filter(|(entry, written)| !**written && speaks(entry));
    let keys: Vec<_> = late
        .map(|(entry, _)| {
            let Target { lane, due, marker, .. } = &entry.target;
            [(*lane).into(), due.at.into(), due.id.0.into(), due.fence.into(), marker.map(|node| node.0).into()]
        })
        .collect();
    if keys.is_empty() {
        return Ok(false);
    }
    let keys = tx.dialect.rows(["lane", "at", "id", "fence", "node"], keys);
    let sql = format!(
        "SELECT d.id, d.due_at, d.fence FROM {{rows}} JOIN outcome x ON x.lane = r.lane AND x.at = r.at AND x.id = r.id AND x.fence = r.fence
         JOIN due d ON d.lane = r.lane AND d.due_at = x.next_at AND d.id = r.id
         WHERE d.state = {IN_DOUBT} AND d.fence = r.fence + 1 AND d.node = COALESCE(r.node, d.node)
         FOR UPDATE OF d"
    );
    let doubts = tx.rows(&sql, &keys).await?;
    for row in &doubts {
        let id = ReminderId(row.get("id"));
        let entry = entries
            .iter_mut()
            .zip(written)
            .find(|(entry, written)| !**written && speaks(entry) && entry.target.due.id == id);
        if let Some((entry, _)) = entry {
            let due = &mut entry.to_mut().target.due;
            (due.state, due.due_at, due.fence) = (State::InDoubt, row.get("due_at"), row.get("fence"));
        }
    }
    Ok(!doubts.is_empty())
}

/// Leaves no doubt where a receipt has come before the attempt is settled.
async fn by_receipt<'a>(tx: &mut Tx<'_>, mut entries: Vec<Cow<'a, Entry>>) -> sqlx::Result<Vec<Cow<'a, Entry>>> {
    let open = entries.iter().filter(|entry| entry.settlement.leaves_open());
    let keys = open.map(|entry| [entry.target.lane.into(), entry.target.due.at.into(), entry.target.due.id.0.into()]);
    let keys = tx.dialect.rows(["lane", "at", "id"], keys);
    let sql = "SELECT q.id FROM {rows} JOIN receipt q ON q.lane = r.lane AND q.at = r.at AND q.id = r.id";
    let told: HashSet<i64> = tx.rows(sql, &keys).await?.iter().map(|row| row.get("id")).collect();
    for entry in
        entries.iter_mut().filter(|entry| told.contains(&entry.target.due.id.0) && entry.settlement.leaves_open())
    {
        entry.to_mut().settlement = received();
    }
    Ok(entries)
}

fn new_outcome(entry: &Entry) -> NewOutcome<'_> {
    let due = &entry.target.due;
    let (state, next_at, counted) = match entry.settlement.next {
        Next::Final(state) => (state, None, Counted::No),
        Next::Again { due_at, counted } => (State::Scheduled, Some(due_at), counted),
        Next::Doubt { look_at } => (State::InDoubt, Some(look_at), Counted::Delay),
    };
    // Of what is taken back no request has left that could be waited for.
    let doubtful = state == State::InDoubt && entry.target.taken_back().is_none();
    NewOutcome {
        lane: entry.target.lane,
        at: due.at,
        id: due.id.0,
        fence: due.fence,
        state,
        ended_at: entry.ended_at,
        began_at: entry.began_at,
        next_at,
        code: entry.settlement.code.as_deref(),
        reason: entry.settlement.reason.as_ref().map(reasons::stored),
        text: entry.settlement.text.as_deref(),
        message_id: entry.settlement.message_id.as_deref(),
        next_fence: due.fence + 1,
        tries: i64::from(due.tries) + i64::from(counted != Counted::No),
        unsure: i64::from(due.unsure) + i64::from(counted == Counted::Unsure),
        doubt_since: if state == State::InDoubt { due.doubt_since.or(Some(entry.ended_at)) } else { due.doubt_since },
        schedule: entry.target.schedule,
        marker: entry.target.marker.filter(|_| doubtful).map(|node| node.0),
    }
}

/// Writes what settlements do to consents. Those that are given back come first, so that a denial in the same transaction voids them too.
async fn settle_consents(tx: &mut Tx<'_>, kept: &[Cow<'_, Entry>]) -> sqlx::Result<()> {
    let (mut givers, mut denials) = (Vec::new(), Vec::new());
    for entry in kept {
        let Target { due, lane, recipient, template, standing, .. } = &entry.target;
        let Next::Final(state) = entry.settlement.next else { continue };
        match entry.settlement.consent {
            Consent::Deny => denials.push(entry),
            // A standing consent is neither held nor used.
            _ if *standing => {}
            Consent::Keep if state.spends() => tx.tally.consent(*lane, Move::SPENT),
            Consent::Keep => {}
            Consent::Free => givers.push(Claimant { recipient: *recipient, template: *template, reminder: due.id }),
        }
    }
    ledgers::give_back(tx, &givers, Stage::UnderWay).await?;
    for entry in denials {
        let Target { due, lane, recipient, template, .. } = &entry.target;
        let lost = ledgers::void(tx, (*recipient, *template), Some(due.id), Millis::MAX, Void::Denied).await?;
        end_scheduled(tx, &lost, &Reason::ConsentVoid, entry.ended_at).await?;
        tx.tally.drift(*lane);
    }
    Ok(())
}

/// Ends scheduled reminders whose consent has just become void. One that a store on hold is in doubt about may have been sent before. A
/// reminder that waits to be sent again keeps its consent, and is not among them.
pub(super) async fn end_scheduled(
    tx: &mut Tx<'_>,
    ids: &[ReminderId],
    reason: &Reason,
    now: Millis,
) -> sqlx::Result<()> {
    let mut ends = Vec::new();
    let doubtful = if ids.is_empty() { None } else { hold::doubtful(tx).await? };
    for id in ids {
        // It waited when its consent became void. Whoever has marked it since sends it, so that consent is not void.
        let stored = reminders::find_in(tx, *id).await?.ok_or_else(meanwhile)?;
        let target = stored.target_in(State::Scheduled).ok_or_else(meanwhile)?;
        let settlement = if doubtful.is_some_and(|last| *id <= last) && stored.due.due_at <= now {
            // Its consent is void already, and not used.
            assumed_sent_without_consent()
        } else {
            Settlement::because(Next::Final(State::Failed), reason.clone(), Consent::Keep)
        };
        ends.push(Entry { target, settlement, began_at: None, ended_at: now });
    }
    // No further consent is touched, so this does not come back here.
    Box::pin(settle_all(tx, &ends)).await
}
