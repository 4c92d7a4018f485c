//! Reminders are marked `sending`, before the first byte of them leaves.

use super::{
    dialect::Dialect,
    fence, hold,
    ledgers::{self, Claimant, Ledgers, Wanted},
    paid::{Paid, paid},
    port::{Job, Marked},
    states,
    tx::Tx,
};
use crate::domain::{
    MINUTE, Millis,
    consent::Ticket,
    reminder::{Claim, ReminderId, State},
};
use sqlx::Row;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Marks jobs `sending` and raises their fences; durable when the transaction is. A job that claims its consent at the instant takes it here.
pub(super) async fn mark(tx: &mut Tx<'_>, jobs: &[Job]) -> sqlx::Result<Vec<Marked>> {
    let paid = paid(tx, &holders(tx, jobs)).await?;
    let mut stopped = ended(jobs, &paid, tx.now);
    let fenced = jobs.iter().filter(|job| !fence::lets(tx, job.lane, job.epoch));
    stopped.extend(fenced.map(|job| (job.due.id, Marked::Fenced)));
    let asks = jobs.iter().filter(|job| job.due.needs_sole() || job.due.is_doubtful());
    let asks: Vec<&Job> = asks.filter(|job| !stopped.contains_key(&job.due.id)).collect();
    let restored = !asks.is_empty() && hold::was_restored(tx).await?;
    for job in asks {
        if job.due.is_doubtful() && was_turned_off(tx, job).await? {
            stopped.insert(job.due.id, Marked::TurnedOff);
        } else if job.due.needs_sole() && !job.blind && (restored || !is_sole(tx, job, paid.get(&job.due.id)).await?) {
            stopped.insert(job.due.id, Marked::NotSole);
        }
    }
    let ours: Vec<&Job> = jobs.iter().filter(|job| stopped.get(&job.due.id) != Some(&Marked::Fenced)).collect();
    let (without, taken, mut ledgers) = take_consents(tx, &ours).await?;
    for id in without {
        stopped.entry(id).or_insert(Marked::NoConsent);
    }
    let keys: Vec<_> = jobs
        .iter()
        .filter(|job| !stopped.contains_key(&job.due.id))
        .map(|job| states::key(job.lane, &job.due))
        .collect();
    let marked = if keys.is_empty() {
        Some(HashSet::new())
    } else {
        let keys = tx.dialect.rows(states::KEY, keys);
        let by = match (tx.dialect, tx.me()) {
            (Dialect::Postgres, Some(me)) => format!(", node = {}", me.0),
            _ => String::new(),
        };
        let sql = format!(
            "UPDATE due SET state = 1, fence = due.fence + 1{by} FROM {{rows}}
             WHERE due.lane = r.lane AND due.due_at = r.due_at AND due.id = r.id AND due.state = r.state AND due.fence = r.fence"
        );
        tx.touch(&sql, keys).await?
    };
    let mut verdicts = Vec::with_capacity(jobs.len());
    for job in jobs {
        let id = job.due.id;
        let is_marked = !stopped.contains_key(&id) && marked.as_ref().is_none_or(|marked| marked.contains(&id.0));
        if is_marked {
            tx.tally.reminder(job.lane, job.schedule, Some(job.due.state.into()), Some(State::Sending.into()));
        }
        let ledger = taken.contains(&id).then(|| ledgers.of((job.recipient, job.template)));
        verdicts.push(match (is_marked, ledger) {
            (true, ledger) => {
                let held = || paid.get(&id)?.ticket.as_deref();
                let ticket = ledger.and_then(|ledger| ledger.ticket_of(id)).or_else(held);
                ticket.map_or(Marked::Yes, |key| Marked::By(Ticket::of(key)))
            }
            (false, ledger) => {
                // Only a consent that was taken just now goes back: the reminder may hold one from before.
                if let Some(ledger) = ledger {
                    ledger.give_back(id);
                }
                stopped.remove(&id).unwrap_or(Marked::Late)
            }
        });
    }
    ledgers.write(tx).await?;
    Ok(verdicts)
}

/// Those of the jobs that may hold a consent which can end, or is a ticket.
fn holders(tx: &Tx<'_>, jobs: &[Job]) -> Vec<Claimant> {
    let limited = jobs.iter().filter(|job| tx.names.limited_lane(job.lane) && !job.standing);
    limited.map(claimant).collect()
}

fn claimant(job: &Job) -> Claimant {
    Claimant { recipient: job.recipient, template: job.template, reminder: job.due.id }
}

/// A refusal of a second request proves that the first had spent the consent only if that has not ended meanwhile, by the platform's clock too.
const PROVES_UNTIL: Millis = MINUTE;

/// The jobs whose consents have ended.
fn ended(jobs: &[Job], paid: &HashMap<ReminderId, Paid>, now: Millis) -> HashMap<ReminderId, Marked> {
    let ended = jobs.iter().filter_map(|job| {
        let ends_at = paid.get(&job.due.id)?.ends_at?;
        let until = if job.due.is_doubtful() { ends_at - PROVES_UNTIL } else { ends_at };
        (until <= now).then_some((job.due.id, Marked::Ended { ends_at }))
    });
    ended.collect()
}

/// Whether a job holds the sole consent that could pay for it.
async fn is_sole(tx: &mut Tx<'_>, job: &Job, paid: Option<&Paid>) -> sqlx::Result<bool> {
    let ticket = paid.and_then(|paid| paid.ticket.as_deref());
    let known_since = tx.now - PROVES_UNTIL;
    ledgers::is_sole(tx, (job.recipient, job.template), job.due.id, ticket, known_since).await
}

/// Whether the reminder's user has turned its template off since its instant.
async fn was_turned_off(tx: &mut Tx<'_>, job: &Job) -> sqlx::Result<bool> {
    let sql = "SELECT at FROM turned_off WHERE recipient = $1 AND template = $2 AND at >= $3";
    let query = sqlx::query(sql).bind(job.recipient).bind(job.template).bind(job.due.at);
    Ok(query.fetch_optional(tx.conn().await?).await?.is_some())
}

/// Takes consents for jobs that claim one at the instant, and looks whether standing ones still stand. Answers who has none, who has
/// taken one, and the ledgers to be written.
async fn take_consents(
    tx: &mut Tx<'_>,
    jobs: &[&Job],
) -> sqlx::Result<(HashSet<ReminderId>, HashSet<ReminderId>, Ledgers)> {
    let holding = holding(tx, jobs).await?;
    let asks: Vec<&Job> = jobs
        .iter()
        .copied()
        .filter(|job| job.standing || (job.claim == Claim::AtFire && !holding.contains(&job.due.id.0)))
        .collect();
    let wanted: BTreeSet<Wanted> = asks
        .iter()
        .map(|job| Wanted {
            recipient: job.recipient,
            template: job.template,
            grants: false,
            reconcile: false,
            event: None,
        })
        .collect();
    let mut ledgers = Ledgers::available(tx, &wanted).await?;
    let (mut without, mut taken) = (HashSet::new(), HashSet::new());
    for job in asks {
        let ledger = ledgers.of((job.recipient, job.template));
        if job.standing {
            if !ledger.stands() {
                without.insert(job.due.id);
            }
        } else if ledger.take(job.due.id, tx.now) {
            taken.insert(job.due.id);
        } else {
            without.insert(job.due.id);
        }
    }
    Ok((without, taken, ledgers))
}

/// Which of the jobs that claim at the instant hold a consent from an earlier try.
async fn holding(tx: &mut Tx<'_>, jobs: &[&Job]) -> sqlx::Result<HashSet<i64>> {
    let tried = jobs.iter().filter(|job| job.claim == Claim::AtFire && job.due.fence > 0);
    let tried: Vec<Claimant> = tried.map(|job| claimant(job)).collect();
    if tried.is_empty() {
        return Ok(HashSet::new());
    }
    let tried = tx.dialect.rows(Claimant::COLUMNS, tried.iter().map(Claimant::cells));
    let rows = tx
        .rows(
            "SELECT c.reminder FROM {rows} JOIN consent c
             ON c.recipient = r.recipient AND c.template = r.template AND c.reminder = r.reminder",
            &tried,
        )
        .await?;
    Ok(rows.iter().map(|row| row.get("reminder")).collect())
}
