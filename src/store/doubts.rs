//! Decisions of operators about doubts, written down with who decided.

use super::{
    Store,
    command::Single,
    error::StoreError,
    ledgers::{self, Claimant},
    port::{Entry, Ring},
    reasons,
    reminders::{self, Stored},
    settle::settle_all,
    tx::Tx,
};
use crate::{
    domain::{
        ledger::Stage,
        reason::Reason,
        reminder::{ReminderId, State},
        settle::{Consent, Counted, Next, Settlement},
    },
    words::Message,
};

/// What an operator found out, or wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Verdict {
    /// The message was sent.
    Sent,
    /// It was not, and is not to be.
    NotSent,
    /// It was not, or may arrive twice: it is sent again.
    Resend,
    /// It will never be known.
    Unconfirmed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sent, Self::NotSent, Self::Resend, Self::Unconfirmed];

    /// The word in JSON and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::NotSent => "not_sent",
            Self::Resend => "resend",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// The verdict of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.word() == word)
    }
}

/// A decision about one reminder.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The reminder.
    pub id: ReminderId,
    /// The operator's verdict.
    pub verdict: Verdict,
    /// The operator, for the record.
    pub actor: Message,
}

/// What a decision came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// Written.
    Yes,
    /// It is in this state, about which there is nothing to decide so; nothing was written.
    Not(State),
    /// Its deadline has passed, so it cannot be sent again; nothing was written.
    TooLate,
    /// There is no such reminder.
    NotFound,
}

/// Resolves a doubt, or corrects one that was given up (I8).
impl Single for Decided {
    const WHAT: Option<&'static str> = Some("a doubt was decided");

    type Done = Resolved;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Resolved> {
        resolve(tx, self).await
    }

    /// Its instant is not known here, so the engine looks at everything.
    fn ring(&self) -> Option<Ring> {
        Some(Ring::EVERYTHING)
    }
}

async fn resolve(tx: &mut Tx<'_>, decided: &Decided) -> sqlx::Result<Resolved> {
    let Some(stored) = reminders::find_in(tx, decided.id).await? else {
        return Ok(Resolved::NotFound);
    };
    let state = stored.due.state;
    match (state, decided.verdict) {
        (State::InDoubt, Verdict::Resend) if stored.due.expires_at <= tx.now => return Ok(Resolved::TooLate),
        (State::InDoubt, _) | (State::Unconfirmed, Verdict::Sent | Verdict::NotSent) => {}
        _ => return Ok(Resolved::Not(state)),
    }
    let said = settlement(decided, tx.now);
    match stored.target_in(State::InDoubt) {
        Some(target) => {
            let entry = Entry { target, settlement: said, began_at: None, ended_at: tx.now };
            settle_all(tx, &[entry]).await?;
        }
        None => correct(tx, &stored, said).await?,
    }
    sqlx::query("INSERT INTO audit (at, actor, action, reminder, detail) VALUES ($1, $2, 'resolve', $3, $4)")
        .bind(tx.now)
        .bind(decided.actor.to_string())
        .bind(decided.id.0)
        .bind(format!("{} -> {}", state.word(), decided.verdict.word()))
        .execute(tx.conn().await?)
        .await?;
    Ok(Resolved::Yes)
}

fn settlement(decided: &Decided, now: i64) -> Settlement {
    let by = decided.actor.clone();
    let (next, consent, reason) = match decided.verdict {
        Verdict::Sent => (Next::Final(State::Sent), Consent::Keep, Reason::ResolvedSent { by }),
        Verdict::NotSent => (Next::Final(State::Failed), Consent::Free, Reason::ResolvedNotSent { by }),
        Verdict::Resend => {
            (Next::Again { due_at: now, counted: Counted::No }, Consent::Keep, Reason::ResolvedResend { by })
        }
        Verdict::Unconfirmed => (Next::Final(State::Unconfirmed), Consent::Keep, Reason::ResolvedUnconfirmed { by }),
    };
    Settlement::because(next, reason, consent)
}

/// A final state, corrected.
async fn correct(tx: &mut Tx<'_>, stored: &Stored, said: Settlement) -> sqlx::Result<()> {
    let (Next::Final(state), Some(reason)) = (said.next, said.reason) else { unreachable!("only ends are corrected") };
    reasons::correct(tx, stored.lane, (stored.due.at, stored.due.id.0), state, reason).await?;
    if said.consent == Consent::Free {
        let (recipient, template) = stored.pair();
        let claimant = Claimant { recipient, template, reminder: stored.due.id };
        ledgers::give_back(tx, &[claimant], Stage::Uncertain).await?;
    }
    Ok(())
}

impl Store {
    /// Writes down what an operator decided about a doubt.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn resolve(&self, decided: Decided) -> Result<Resolved, StoreError> {
        self.writer.do_one(decided).await
    }
}
