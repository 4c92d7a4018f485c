//! What cannot be written again of what the database has forgotten: why a hold does not end by itself.

use super::deeds::Deed;
use crate::{
    domain::{recall::Missing, reminder::ReminderId},
    words::{Message, say},
};
use serde::{Deserialize, Serialize};

/// What is lost.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Lacks {
    /// Reminders that were made.
    pub inserts: Vec<ReminderId>,
    /// Reminders that were marked or had ended, and now stand as if they had not.
    pub sends: Vec<ReminderId>,
    /// Reminders that were cancelled, and have been begun since.
    pub cancels: Vec<ReminderId>,
    /// Reminders that were changed, and stand as they were before, or as others have changed them since.
    pub changes: Vec<ReminderId>,
    /// Reports of consents.
    pub consents: usize,
    /// Other commands.
    pub others: Vec<&'static str>,
    /// Commits of which nothing is remembered.
    pub unknown: i64,
    /// Daemons whose very joining is forgotten.
    pub nodes: i64,
    /// The database would not take it.
    pub refused: bool,
}

/// One kind of it, as the database keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lack {
    Inserts(i64),
    Sends(i64),
    Cancels(i64),
    Changes(i64),
    Consents(i64),
    Others(i64),
    Unknown(i64),
    Nodes(i64),
    Refused(i64),
}

impl Lacks {
    /// All of this is lost.
    pub fn all(missing: Missing<Deed>) -> Self {
        let mut lacks = Self { unknown: missing.unknown, ..Self::default() };
        for deed in missing.deeds {
            match deed {
                Deed::Consents(reports) => lacks.consents += reports.len(),
                Deed::RecordedOnce(..) => lacks.consents += 1,
                Deed::Inserts(rows) => lacks.inserts.extend(rows.iter().map(|(id, _)| *id)),
                Deed::InsertedOnce(_, id, _) => lacks.inserts.push(id),
                Deed::Marks(jobs) => lacks.sends.extend(jobs.iter().map(|job| job.due.id)),
                Deed::Ends(entries) => lacks.sends.extend(entries.iter().map(|entry| entry.target.due.id)),
                Deed::Changed(id, _) => lacks.changes.push(id),
                Deed::Cancelled(id) => lacks.cancels.push(id),
                Deed::Other(what) => lacks.others.push(what),
                Deed::Unknown(n) => lacks.unknown += n,
            }
        }
        // Marked, and then ended.
        lacks.sends.sort_unstable();
        lacks.sends.dedup();
        lacks
    }

    /// Each kind with its number.
    pub fn kinds(&self) -> Vec<Lack> {
        let n = |n: usize| i64::try_from(n).expect("few");
        let all = [
            Lack::Inserts(n(self.inserts.len())),
            Lack::Sends(n(self.sends.len())),
            Lack::Cancels(n(self.cancels.len())),
            Lack::Changes(n(self.changes.len())),
            Lack::Consents(n(self.consents)),
            Lack::Others(n(self.others.len())),
            Lack::Unknown(self.unknown),
            Lack::Nodes(self.nodes),
            Lack::Refused(self.refused.into()),
        ];
        all.into_iter().filter(|lack| lack.n() > 0).collect()
    }

    /// Names it in the log. Ids of reminders are no secret; whose they are is not said.
    pub fn tell(&self) {
        for id in &self.inserts {
            tracing::error!(reminder = %id, "LOST: the database has forgotten this reminder, whose insert it had confirmed; it can't be made again");
        }
        for id in &self.sends {
            tracing::error!(reminder = %id, "the database has forgotten what became of this reminder; it may have been sent");
        }
        for id in &self.cancels {
            tracing::error!(reminder = %id, "LOST: the database has forgotten that this reminder was cancelled");
        }
        for id in &self.changes {
            tracing::error!(reminder = %id, "LOST: the database has forgotten how this reminder was changed");
        }
        for what in &self.others {
            tracing::error!(what, "LOST: the database has forgotten this change, which can't be made again by itself");
        }
        if self.consents > 0 {
            tracing::error!(consents = self.consents, "LOST: the database has forgotten reports of consents");
        }
        if self.unknown > 0 {
            tracing::error!(
                commits = self.unknown,
                "the database has forgotten more commits than this daemon remembers"
            );
        }
        if self.nodes > 0 {
            tracing::error!(nodes = self.nodes, "the database has forgotten that a daemon had joined");
        }
        if self.refused {
            tracing::error!("what the database has forgotten could not be written again");
        }
    }
}

impl Lack {
    fn n(self) -> i64 {
        match self {
            Self::Inserts(n) | Self::Sends(n) | Self::Cancels(n) | Self::Changes(n) => n,
            Self::Consents(n) | Self::Others(n) | Self::Unknown(n) | Self::Nodes(n) | Self::Refused(n) => n,
        }
    }

    /// What is lost.
    pub fn message(self) -> Message {
        match self {
            Self::Inserts(n) => say!("hold_lacks_inserts", n = n),
            Self::Sends(n) => say!("hold_lacks_sends", n = n),
            Self::Cancels(n) => say!("hold_lacks_cancels", n = n),
            Self::Changes(n) => say!("hold_lacks_changes", n = n),
            Self::Consents(n) => say!("hold_lacks_consents", n = n),
            Self::Others(n) => say!("hold_lacks_others", n = n),
            Self::Unknown(n) => say!("hold_lacks_unknown", n = n),
            Self::Nodes(n) => say!("hold_lacks_nodes", n = n),
            Self::Refused(_) => say!("hold_lacks_refused"),
        }
    }
}
