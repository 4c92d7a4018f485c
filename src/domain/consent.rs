//! Consents: one permission by one user for one template.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who says that a user accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// The mini-program, through its backend: at once, but it may be forged or lost.
    Client,
    /// The platform's push: signed, but it may be late, lost, or not made for a silent accept.
    Platform,
}

/// Whose word counts for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feeds {
    /// The mini-program's.
    #[default]
    Client,
    /// The platform's.
    Callback,
    /// Both, and a tap that both tell of counts once.
    Reconcile,
}

impl Feeds {
    /// Whether the word of this feed counts.
    pub fn counts(self, feed: Feed) -> bool {
        match self {
            Self::Client => feed == Feed::Client,
            Self::Callback => feed == Feed::Platform,
            Self::Reconcile => true,
        }
    }
}

/// Two feeds that tell of an accept of the same user and template within this mean the same tap: neither names it.
pub const SAME_TAP: super::Millis = 10 * super::MINUTE;

/// The number of sends that one consent allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowance {
    /// One send.
    Once,
    /// Any number of sends, until it is withdrawn. No reminder holds it.
    Standing,
    /// So many sends within a time from the tap.
    Times {
        /// How many.
        sends: u32,
        /// For how long.
        period: super::Millis,
    },
    /// Sends that name this ticket to the platform.
    Ticket {
        /// The ticket.
        key: String,
        /// How many sends it is good for.
        sends: u32,
        /// When it ends; `None` for never.
        until: Option<super::Millis>,
    },
}

impl Allowance {
    /// How many lines of the ledger it makes. A line is one send; a standing consent is one line.
    pub fn sends(&self) -> u32 {
        match self {
            Self::Once | Self::Standing => 1,
            Self::Times { sends, .. } | Self::Ticket { sends, .. } => *sends,
        }
    }

    /// When one that was granted at `granted_at` ends; `None` for never.
    pub fn ends(&self, granted_at: super::Millis) -> Option<super::Millis> {
        match self {
            Self::Once | Self::Standing => None,
            Self::Times { period, .. } => Some(granted_at.saturating_add(*period)),
            Self::Ticket { until, .. } => *until,
        }
    }

    /// Whether one that was granted at `granted_at` still allows a send at `at`.
    pub fn is_good(&self, granted_at: super::Millis, at: super::Millis) -> bool {
        self.ends(granted_at).is_none_or(|ends| at < ends)
    }

    /// The ticket that its sends name, as it is stored, if it is one.
    pub fn ticket(&self) -> Option<&str> {
        match self {
            Self::Ticket { key, .. } => Some(key),
            Self::Once | Self::Standing | Self::Times { .. } => None,
        }
    }
}

/// What a send names to the platform instead of an accept: it was granted once, as a kind of ticket with an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The word of its [`TicketKind`].
    pub kind: String,
    /// The platform's id of it, or the one that tixing has minted.
    pub id: String,
}

impl Ticket {
    /// As it is stored.
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind, self.id)
    }

    /// From what is stored.
    pub fn of(key: &str) -> Self {
        let (kind, id) = key.split_once(':').unwrap_or(("", key));
        Self { kind: kind.to_owned(), id: id.to_owned() }
    }
}

/// A kind of ticket that a platform knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketKind {
    /// Its word in the API.
    pub word: &'static str,
    /// How many sends it is good for.
    pub sends: u32,
    /// For how long from the tap; `None` for ever.
    pub lives: Option<super::Millis>,
    /// Whether its id is made by tixing before the dialog.
    pub minted: bool,
}

/// The tickets of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tickets {
    /// Their kinds.
    pub kinds: &'static [TicketKind],
    /// Whether there is no consent without one.
    pub needed: bool,
}

impl Tickets {
    /// Of a platform that has none.
    pub const NONE: Self = Self { kinds: &[], needed: false };
}

/// How many consents of one user and one template stand where. `granted = available + held + used + void` always holds (I4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Balance {
    /// Neither held nor spent: a new reminder can reserve it.
    pub available: i64,
    /// Reserved by a reminder that has not ended.
    pub held: i64,
    /// Spent by a send the platform accepted, or may have accepted.
    pub used: i64,
    /// Withdrawn, or denied by the platform.
    pub void: i64,
}

/// Where one consent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConsentState {
    /// Free to be reserved.
    Available,
    /// Reserved by a living reminder.
    Held,
    /// Its reminder was, or may have been, delivered.
    Used,
    /// Worth nothing any more.
    Void,
}

impl Balance {
    /// Counts one consent.
    pub fn add(&mut self, state: ConsentState) {
        *match state {
            ConsentState::Available => &mut self.available,
            ConsentState::Held => &mut self.held,
            ConsentState::Used => &mut self.used,
            ConsentState::Void => &mut self.void,
        } += 1;
    }
}

/// One report of a popup, ready to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The app's name in the configuration.
    pub app: String,
    /// The user, as the platform calls them within this app.
    pub openid: String,
    /// The platform's template id → whether it was accepted.
    pub results: BTreeMap<String, bool>,
    /// When the user tapped.
    pub at: super::Millis,
    /// Whose word it is.
    pub feed: Feed,
    /// Who told us; free text of at most 64 characters.
    pub source: String,
    /// The caller's own id of this tap, or its ticket: the same event twice counts once.
    pub event: Option<String>,
    /// The ticket that it brings, in place of what an accept of the template is worth.
    pub ticket: Option<Allowance>,
}
