//! A push to our callback address, once it is understood: the same shape for every platform; and which message a receipt is about.

use super::{HOUR, Millis, SECOND, reminder::State};
use sha2::{Digest, Sha256};

/// A push about one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The user.
    pub openid: String,
    /// When it happened, by the platform's clock, which counts in seconds.
    pub at: Millis,
    /// Its events, at most [`MAX_ITEMS`].
    pub items: Vec<Item>,
    /// The platform's own name for it, if it has one: the same push sent again has the same.
    pub id: Option<String>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// The user answered a popup.
    Answered {
        /// The platform's template id.
        template: String,
        /// Whether with «allow».
        accepted: bool,
    },
    /// The user turned a template off.
    TurnedOff {
        /// The platform's template id.
        template: String,
    },
    /// What became of a message that the platform had accepted.
    Receipt(Receipt),
}

impl Item {
    /// The platform's id of the template that it is about.
    pub fn template(&self) -> &str {
        match self {
            Self::Answered { template, .. } | Self::TurnedOff { template } => template,
            Self::Receipt(receipt) => &receipt.template,
        }
    }
}

/// The platform's later word on a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    /// The platform's template id.
    pub template: String,
    /// The platform's message id, if it gives one.
    pub message_id: Option<String>,
    /// The code of what went wrong; `None` when it was delivered.
    pub failure: Option<String>,
    /// The platform's words.
    pub text: String,
}

/// The platform's later word on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// When it was pushed.
    pub at: Millis,
    /// The platform's code of a failed delivery; `None` when the message was delivered.
    pub failure: Option<String>,
    /// The platform's words.
    pub text: String,
}

/// Items of one push: a popup shows five templates at most.
pub const MAX_ITEMS: usize = 64;

impl Push {
    /// Its names: a push is known of which one name is. The first is that of its content: the same push sent again has the same, whatever
    /// carries it and in whatever order its items stand, and so has a replay under another id. It is wider than the user and the second, in
    /// which two different things can happen. The second is that of the platform, if it has one.
    pub fn digests(&self) -> Vec<String> {
        let mut items: Vec<&Item> = self.items.iter().collect();
        items.sort();
        let about = std::iter::once(format!("{}\n{}", self.openid, self.at));
        let content = digest(about.chain(items.iter().map(|item| format!("{item:?}"))));
        let id = self.id.iter().map(|id| digest(["id".to_owned(), id.clone()].into_iter()));
        std::iter::once(content).chain(id).collect()
    }
}

fn digest(parts: impl Iterator<Item = String>) -> String {
    let mut hash = Sha256::new();
    parts.for_each(|part| hash.update(Sha256::digest(part.as_bytes())));
    data_encoding::BASE64URL_NOPAD.encode(&hash.finalize())
}

/// An attempt that a receipt may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where its reminder stands: one that is being sent, is in doubt, or has ended as sent or unconfirmed.
    pub state: State,
    /// It did not begin before this.
    pub from: Millis,
    /// Nor after this.
    pub until: Millis,
    /// The message id that the platform gave with its answer.
    pub message_id: Option<String>,
    /// Whether it has a receipt.
    pub receipt: bool,
    /// Whether several of its requests may have arrived, each of which has a receipt of its own.
    pub several: bool,
}

/// The message that a receipt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The attempt at this index.
    To(usize),
    /// One that has a receipt already.
    Known,
    /// Several that it could be about, not all of which are known to have been accepted: believing it of the wrong one would be a lie.
    Ambiguous,
    /// Nothing of ours.
    Nothing,
}

/// How far the platform's clock may be behind ours.
const SKEW: Millis = 60 * SECOND;
/// How long a receipt may take, for one that names no message of ours.
const TAKES: Millis = HOUR;

/// Finds the attempt that a receipt is about: by its message id, else the one open attempt of its user and template that lies before
/// it. A platform may promise no id with its answer; where it forbids two sends to one user at once, the second rule is good in practice.
/// Of several, each accepted, the first is meant by a receipt that names its message: every message has one, and in order. One that names
/// none may be the only one that ever comes, and is about any of them.
pub fn join(receipt: &Receipt, pushed_at: Millis, candidates: &[Candidate]) -> Joined {
    let named = |c: &Candidate| c.message_id.is_some() && c.message_id == receipt.message_id;
    if let Some(i) = candidates.iter().position(named) {
        return if candidates[i].receipt { Joined::Known } else { Joined::To(i) };
    }
    let recent = |c: &Candidate| c.from <= pushed_at + SECOND + SKEW && c.until >= pushed_at - TAKES;
    // Of several requests at most one is named.
    let open = |c: &Candidate| (c.message_id.is_none() && !c.receipt || c.several) && recent(c);
    let sure = |i: &usize| candidates[*i].state == State::Sent && !candidates[*i].several;
    let mut open: Vec<usize> = (0..candidates.len()).filter(|i| open(&candidates[*i])).collect();
    open.sort_by_key(|i| candidates[*i].from);
    match open[..] {
        [] => Joined::Nothing,
        [one] if candidates[one].receipt => Joined::Known,
        [one] => Joined::To(one),
        [first, ..] if receipt.message_id.is_some() && open.iter().all(sure) => Joined::To(first),
        _ => Joined::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_finds_its_attempt_and_never_guesses() {
        use Joined::{Ambiguous, Known, Nothing, To};
        use State::{InDoubt, Sending, Sent, Unconfirmed};
        let c = |state, at: Millis, id: Option<&str>, receipt| {
            let (at, message_id) = (4_000_000 + at, id.map(str::to_owned));
            Candidate { state, from: at, until: at, message_id, receipt, several: false }
        };
        let twice = |c| Candidate { several: true, ..c };
        // (the receipt's id, the attempts) → what it is about; times are after 4,000 s, and it was pushed 100 s after
        let table = [
            (Some("7"), vec![], Nothing),
            (Some("7"), vec![c(Sent, 1_000, Some("6"), false), c(Sent, 500, Some("7"), false)], To(1)),
            (Some("7"), vec![c(Sent, 1_000, Some("7"), true)], Known),
            (Some("7"), vec![c(Sent, 1_000, Some("6"), false)], Nothing),
            (Some("7"), vec![c(Sent, 1_000, Some("6"), false), c(InDoubt, 900, None, false)], To(1)),
            (None, vec![c(Sending, 1_000, None, false)], To(0)),
            (None, vec![c(Unconfirmed, 1_000, None, false)], To(0)),
            (None, vec![c(Sent, 1_000, None, true)], Nothing),
            (Some("7"), vec![c(Sent, 1_000, None, false), c(Sent, 500, None, false)], To(1)),
            (None, vec![c(Sent, 1_000, None, false), c(Sent, 500, None, false)], Ambiguous),
            (None, vec![c(Sent, 1_000, None, false), c(InDoubt, 500, None, false)], Ambiguous),
            (None, vec![c(InDoubt, 1_000, None, false), c(Unconfirmed, 500, None, false)], Ambiguous),
            (None, vec![c(Sent, 1_000, None, false), c(InDoubt, 500_000, None, false)], To(0)),
            (None, vec![c(Unconfirmed, -3_600_000, None, false), c(Sent, 1_000, None, false)], To(1)),
            (None, vec![twice(c(Sent, 1_000, None, true))], Known),
            (Some("6"), vec![twice(c(Sent, 1_000, Some("7"), true)), c(Sending, 2_000, None, false)], Ambiguous),
            (None, vec![twice(c(Sent, 1_000, None, true)), c(Sending, 2_000, None, false)], Ambiguous),
            (None, vec![twice(c(Sent, 1_000, None, false)), c(Sent, 2_000, None, false)], Ambiguous),
        ];
        for (id, candidates, about) in table {
            let receipt =
                Receipt { template: "A".into(), message_id: id.map(str::to_owned), failure: None, text: String::new() };
            assert_eq!(join(&receipt, 4_100_000, &candidates), about, "{id:?} {candidates:?}");
        }
    }
}
