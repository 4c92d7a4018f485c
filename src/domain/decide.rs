//! May this reminder go now, and if not, why? Engine, preview and explanations all ask here.

use super::{
    Millis,
    reminder::{ReminderId, State},
    settle::{Consent, Next, Settlement},
    timing::QuietHours,
};

/// The living part of a reminder: what decides about it, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Whose it is.
    pub id: ReminderId,
    /// When to look at it next: its instant at first, later also a retry or a second look at a doubt.
    pub due_at: Millis,
    /// Its instant.
    pub at: Millis,
    /// Never sent at or after this.
    pub expires_at: Millis,
    /// `Scheduled` or `InDoubt`; `Sending` when found after a crash.
    pub state: State,
    /// Raised by every change to the row; a change that names another value is late and does nothing.
    pub fence: i64,
    /// Attempts that the platform answered, or may have.
    pub tries: u32,
}

/// What an app's settings say about sending at all.
#[derive(Debug, Clone, Default)]
pub struct AppRules {
    /// When nothing is sent.
    pub quiet_hours: Option<QuietHours>,
    /// `Some` in test mode: nobody else is reached.
    pub testers: Option<std::collections::HashSet<String>>,
    /// Nobody else sends with this app's consents.
    pub exclusive: bool,
}

/// The verdict on one reminder at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Mark it and send.
    Send,
    /// Not before this instant.
    Wait {
        /// When to ask again.
        until: Millis,
    },
    /// It ends without a call.
    End(Settlement),
    /// The store must first say whether a resend is provably safe: see [`resolve`].
    Doubt,
}

/// Decides about one reminder. Order matters: a deadline beats everything, since nothing can be right after it (I6).
pub fn decide(due: &Due, openid: &str, rules: &AppRules, now: Millis) -> Decision {
    if due.state != State::Scheduled {
        // Found `sending` without a sender, or waiting in doubt.
        return if now >= due.expires_at {
            Decision::End(unconfirmed("its deadline passed while it was in doubt"))
        } else {
            Decision::Doubt
        };
    }
    if now >= due.expires_at {
        return Decision::End(Settlement::end(
            State::Expired,
            "expired",
            "its deadline passed before it could be sent",
            Consent::Free,
        ));
    }
    if now < due.due_at {
        return Decision::Wait { until: due.due_at };
    }
    if rules.testers.as_ref().is_some_and(|testers| !testers.contains(openid)) {
        return Decision::End(Settlement::end(
            State::Failed,
            "test_mode",
            "the app is in test mode and this user is not one of its testers",
            Consent::Free,
        ));
    }
    match rules.quiet_hours.and_then(|quiet| quiet.ends(now)) {
        Some(until) => Decision::Wait { until },
        None => Decision::Send,
    }
}

/// Decides about a doubt. `sole` says that this reminder holds the only consent that the platform can still know for this
/// user and template: then a resend is safe, because a first message that did arrive has spent it (I1, I2).
pub fn resolve(due: &Due, openid: &str, sole: bool, rules: &AppRules, now: Millis) -> Decision {
    if now >= due.expires_at || !sole || !rules.exclusive {
        return Decision::End(unconfirmed(if rules.exclusive {
            "nobody knows whether the request arrived, and the user has other consents, so a resend could deliver twice"
        } else {
            "nobody knows whether the request arrived, and the app is not exclusive, so a resend could deliver twice"
        }));
    }
    decide(&Due { state: State::Scheduled, ..due.clone() }, openid, rules, now)
}

fn unconfirmed(why: &str) -> Settlement {
    Settlement {
        next: Next::Final(State::Unconfirmed),
        code: Some("unconfirmed".into()),
        text: Some(why.into()),
        consent: Consent::Keep,
        message_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(state: State) -> Due {
        Due { id: ReminderId(1), due_at: 1_000, at: 1_000, expires_at: 5_000, state, fence: 0, tries: 0 }
    }

    #[test]
    fn i6_nothing_goes_before_its_instant_or_after_its_deadline() {
        let rules = AppRules::default();
        let table = [(999, "wait"), (1_000, "send"), (4_999, "send"), (5_000, "end"), (9_000, "end")];
        for (now, expected) in table {
            let got = match decide(&due(State::Scheduled), "o", &rules, now) {
                Decision::Send => "send",
                Decision::Wait { until: 1_000 } => "wait",
                Decision::End(s) if s.next == Next::Final(State::Expired) && s.consent == Consent::Free => "end",
                other => panic!("{now}: {other:?}"),
            };
            assert_eq!(got, expected, "{now}");
        }
    }

    #[test]
    fn i2_a_doubt_is_resent_only_where_a_second_message_is_impossible() {
        // (exclusive, sole consent, now) → resent?
        let table = [
            (true, true, 2_000, true),
            (true, false, 2_000, false),
            (false, true, 2_000, false),
            (false, false, 2_000, false),
            (true, true, 5_000, false),
        ];
        for (exclusive, sole, now, resent) in table {
            let rules = AppRules { exclusive, ..AppRules::default() };
            let got = resolve(&due(State::InDoubt), "o", sole, &rules, now);
            assert_eq!(got == Decision::Send, resent, "{exclusive} {sole} {now}: {got:?}");
        }
    }

    #[test]
    fn test_mode_reaches_testers_alone_and_keeps_the_others_consents() {
        let rules = AppRules { testers: Some(["a".to_owned()].into()), ..AppRules::default() };
        assert_eq!(decide(&due(State::Scheduled), "a", &rules, 1_000), Decision::Send);
        let Decision::End(end) = decide(&due(State::Scheduled), "b", &rules, 1_000) else { panic!("must end") };
        assert_eq!((end.code.as_deref(), end.consent), (Some("test_mode"), Consent::Free));
    }
}
