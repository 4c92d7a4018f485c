//! May this reminder go now, and if not, why? Engine, preview and explanations all ask here.

use super::{
    Millis,
    due::{Due, UNSURE_AT_MOST},
    gate::Gate,
    reason::Reason,
    reminder::State,
    settle::{Consent, DOUBT_LOOK, Next, Settlement},
    template::OnDoubt,
    timing::QuietHours,
};

/// What an app's settings say about sending at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppRules {
    /// When nothing is sent.
    pub quiet_hours: Option<QuietHours>,
    /// `Some` in test mode: nobody else is reached.
    pub testers: Option<std::collections::HashSet<String>>,
    /// Nobody else sends with this app's consents, and what a user grants is known at once.
    pub exclusive: bool,
    /// Why a second request is never known to be safe, whatever the app says of itself; `None` if that is up to `exclusive`.
    pub never_safe: Option<NeverSafe>,
    /// How long the platform's receipt for a doubt is waited for; `None` if it pushes none.
    pub receipt_wait: Option<Millis>,
}

/// Why no second request of an app is ever known to be safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeverSafe {
    /// Its platform lets a second message through, or refuses it in words that do not tell why.
    Platform,
    /// What its users grant is known only once the platform's push is there.
    Pushes,
}

/// The verdict on one reminder at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Mark it and send. One in doubt is marked only if it holds the sole consent that can still be unspent; the store looks in the
    /// same transaction, and [`open_doubt`] says what follows if it does not.
    Send,
    /// Mark it and send it a second time, though both may arrive: its template's owner wants that.
    Resend,
    /// Not before this instant.
    Wait {
        /// When to ask again.
        until: Millis,
    },
    /// Not as long as its schedule is paused, or is being changed.
    Closed,
    /// Without a call this is written down: it ends, or waits in doubt.
    Settle(Settlement),
    /// A crash cut it off while it was being sent: that is to be written down first.
    CutOff,
}

/// Decides about one reminder. Order matters: a deadline beats everything, since nothing can be right after it (I6).
///
/// A doubt may be resent unasked only where a second message is impossible: the app is exclusive and this reminder holds the only
/// consent that the platform can still know, so that a first message that did arrive has spent it (I1, I2).
///
/// `gate` is its schedule's, or the default one: a deadline passes behind a closed gate, too.
pub fn decide(due: &Due, openid: &str, rules: &AppRules, gate: Gate, on_doubt: OnDoubt, now: Millis) -> Decision {
    match due.state {
        State::Sending => return Decision::CutOff,
        State::InDoubt | State::Scheduled if now >= due.expires_at && due.doubt_since.is_some() => {
            return Decision::Settle(unconfirmed(Reason::DoubtOutlived));
        }
        _ if now >= due.expires_at => {
            let next = Next::Final(State::Expired);
            return Decision::Settle(Settlement::because(next, Reason::DeadlinePassed, Consent::Free));
        }
        _ => {}
    }
    if now < due.due_at {
        return Decision::Wait { until: due.due_at };
    }
    let go = match due.state {
        State::InDoubt if !rules.exclusive => match open_doubt(due, rules, on_doubt, now) {
            Decision::Resend => Decision::Resend,
            other => return other,
        },
        _ => Decision::Send,
    };
    if rules.testers.as_ref().is_some_and(|testers| !testers.contains(openid)) {
        return Decision::Settle(failed(Reason::NotATester));
    }
    if gate.closed {
        return Decision::Closed;
    }
    match gate.quiet_hours(rules.quiet_hours).and_then(|quiet| quiet.ends(now)) {
        Some(until) => Decision::Wait { until },
        None => go,
    }
}

/// The platform's receipt for a doubt is waited for, if it pushes any.
fn awaits_receipt(due: &Due, rules: &AppRules, now: Millis) -> Option<Settlement> {
    let waited = due.doubt_since.unwrap_or(now) + rules.receipt_wait.unwrap_or(0);
    (now < waited).then(|| still_open(due.again_at(waited), Reason::AwaitsReceipt))
}

/// What follows for a doubt whose user has turned the template off since: whatever its owner has said, they want no second message, and a
/// refusal of it would prove nothing.
pub fn turned_off(due: &Due, rules: &AppRules, now: Millis) -> Settlement {
    awaits_receipt(due, rules, now).unwrap_or_else(|| unconfirmed(Reason::DoubtTurnedOff))
}

/// What follows for a doubt that cannot be resent safely: the platform's receipt is waited for, then its template's owner has said.
pub fn open_doubt(due: &Due, rules: &AppRules, on_doubt: OnDoubt, now: Millis) -> Decision {
    if let Some(settlement) = awaits_receipt(due, rules, now) {
        return Decision::Settle(settlement);
    }
    match on_doubt {
        OnDoubt::AssumeSent if rules.exclusive => Decision::Settle(unconfirmed(Reason::OtherConsents)),
        OnDoubt::AssumeSent => Decision::Settle(unconfirmed(match rules.never_safe {
            Some(NeverSafe::Platform) => Reason::PlatformCannotTell,
            Some(NeverSafe::Pushes) => Reason::TapsArePushed,
            None => Reason::NotExclusive,
        })),
        OnDoubt::Resend => Decision::Resend,
        OnDoubt::Ask => Decision::Settle(still_open(due.expires_at, Reason::AsksOperator)),
    }
}

/// What is written down about a reminder that a crash cut off while it was being sent. Its request may still be on its way, so a resend
/// must not overtake it. Where the resend itself was cut off, and had perhaps not been a safe one, there is no other.
pub fn cut_off(due: &Due, on_doubt: OnDoubt, now: Millis) -> Settlement {
    if due.doubt_since.is_some() && on_doubt == OnDoubt::Resend {
        return unconfirmed(Reason::InterruptedTwice);
    }
    still_open(due.again_at(now + DOUBT_LOOK), Reason::Interrupted)
}

/// How a reminder ends that was answered with neither yes nor no too often, while another consent could pay for a second message.
pub fn gave_up() -> Settlement {
    failed(Reason::GaveUp { times: UNSURE_AT_MOST })
}

/// How a reminder ends that its owner cancels. One that waits for an operator's resend may have arrived at its first request.
pub fn cancelled(due: &Due) -> Settlement {
    if due.is_doubtful() {
        return unconfirmed(Reason::CancelledInDoubt);
    }
    Settlement::because(Next::Final(State::Cancelled), Reason::Cancelled, Consent::Free)
}

/// How a reminder ends that finds no consent at its instant. One that is sent again may have arrived before.
pub fn no_consent(due: &Due) -> Settlement {
    if due.is_doubtful() {
        return Settlement { consent: Consent::Free, ..unconfirmed(Reason::NoSecondConsent) };
    }
    failed(Reason::NoConsent)
}

/// How a reminder ends whose consent ends before it can be sent. A doubt is told by the platform's receipt alone then: a refusal of a second
/// request would prove nothing.
pub fn consent_ended(due: &Due, rules: &AppRules, ends_at: Millis, now: Millis) -> Settlement {
    if due.is_doubtful() {
        return awaits_receipt(due, rules, now).unwrap_or_else(|| unconfirmed(Reason::DoubtConsentEnded { ends_at }));
    }
    failed(Reason::ConsentEnded { ends_at })
}

fn still_open(look_at: Millis, reason: Reason) -> Settlement {
    Settlement::because(Next::Doubt { look_at }, reason, Consent::Keep)
}

fn unconfirmed(reason: Reason) -> Settlement {
    Settlement::because(Next::Final(State::Unconfirmed), reason, Consent::Keep)
}

fn failed(reason: Reason) -> Settlement {
    Settlement::because(Next::Final(State::Failed), reason, Consent::Free)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{gate::Quiet, reminder::ReminderId, timing::QuietHours},
        *,
    };

    fn due(state: State) -> Due {
        Due {
            id: ReminderId(1),
            due_at: 1_000,
            at: 1_000,
            expires_at: 5_000,
            state,
            fence: 0,
            tries: 0,
            unsure: 0,
            doubt_since: (state == State::InDoubt).then_some(1_500),
        }
    }

    #[test]
    fn a_doubt_that_is_not_resent_says_what_keeps_it_from_that() {
        for (exclusive, never_safe, reason) in [
            (false, None, Reason::NotExclusive),
            (false, Some(NeverSafe::Platform), Reason::PlatformCannotTell),
            (false, Some(NeverSafe::Pushes), Reason::TapsArePushed),
            (true, None, Reason::OtherConsents),
        ] {
            let rules = AppRules { exclusive, never_safe, ..AppRules::default() };
            let ended = open_doubt(&due(State::InDoubt), &rules, OnDoubt::AssumeSent, 2_000);
            assert_eq!(ended, Decision::Settle(unconfirmed(reason)), "{exclusive} {never_safe:?}");
        }
    }

    #[test]
    fn i6_nothing_goes_before_its_instant_or_after_its_deadline() {
        let rules = AppRules::default();
        let table = [(999, "wait"), (1_000, "send"), (4_999, "send"), (5_000, "end"), (9_000, "end")];
        for (now, expected) in table {
            let got = match decide(&due(State::Scheduled), "o", &rules, Gate::default(), OnDoubt::AssumeSent, now) {
                Decision::Send => "send",
                Decision::Wait { until: 1_000 } => "wait",
                Decision::Settle(s) if s.next == Next::Final(State::Expired) && s.consent == Consent::Free => "end",
                other => panic!("{now}: {other:?}"),
            };
            assert_eq!(got, expected, "{now}");
        }
    }

    #[test]
    fn i2_a_doubt_is_resent_only_by_an_exclusive_app_and_before_its_deadline() {
        // (exclusive, now) → may the store look whether it is safe?
        for (exclusive, now, resent) in
            [(true, 2_000, true), (false, 2_000, false), (true, 5_000, false), (false, 5_000, false)]
        {
            let rules = AppRules { exclusive, ..AppRules::default() };
            match decide(&due(State::InDoubt), "o", &rules, Gate::default(), OnDoubt::AssumeSent, now) {
                Decision::Send => assert!(resent, "{exclusive} {now}"),
                Decision::Settle(end) => {
                    assert!(!resent && end.next == Next::Final(State::Unconfirmed), "{exclusive} {now}")
                }
                other => panic!("{exclusive} {now}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_doubt_waits_for_its_receipt_and_then_for_what_its_owner_wants() {
        let table =
            [(OnDoubt::AssumeSent, "unconfirmed"), (OnDoubt::Resend, "resend"), (OnDoubt::Ask, "in doubt until 5000")];
        for (on_doubt, wanted) in table {
            for (receipt_wait, now, wanted) in [
                (None, 2_000, wanted),
                (Some(1_000), 2_000, "in doubt until 2500"),
                (Some(60_000), 2_000, "in doubt until 5000"),
                (Some(1_000), 2_500, wanted),
                (Some(60_000), 5_000, "unconfirmed"),
            ] {
                let rules = AppRules { receipt_wait, ..AppRules::default() };
                let got = match decide(&due(State::InDoubt), "o", &rules, Gate::default(), on_doubt, now) {
                    Decision::Resend => "resend".to_owned(),
                    Decision::Settle(Settlement { next: Next::Final(State::Unconfirmed), .. }) => {
                        "unconfirmed".to_owned()
                    }
                    Decision::Settle(Settlement { next: Next::Doubt { look_at }, .. }) => {
                        format!("in doubt until {look_at}")
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!(got, wanted, "{on_doubt:?} {receipt_wait:?} {now}");
            }
        }
    }

    #[test]
    fn test_mode_reaches_testers_alone_and_keeps_the_others_consents() {
        let rules = AppRules { testers: Some(["a".to_owned()].into()), ..AppRules::default() };
        assert_eq!(
            decide(&due(State::Scheduled), "a", &rules, Gate::default(), OnDoubt::AssumeSent, 1_000),
            Decision::Send
        );
        let Decision::Settle(end) =
            decide(&due(State::Scheduled), "b", &rules, Gate::default(), OnDoubt::AssumeSent, 1_000)
        else {
            panic!("must end")
        };
        assert_eq!((end.code.as_deref(), end.consent), (Some("test_mode"), Consent::Free));
    }

    #[test]
    fn i6_a_closed_gate_holds_back_all_but_the_deadline_and_own_quiet_hours_stand_in_place_of_the_apps() {
        let zone = chrono_tz::UTC;
        let hours = |text: &str| QuietHours::parse(text, zone).expect("hours");
        let noon = 12 * 3_600_000;
        let (day, night) = (hours("10:00-14:00"), hours("22:00-08:00"));
        let (own, none) =
            (|hours| Gate { closed: false, quiet: Quiet::Own(hours) }, Gate { closed: false, quiet: Quiet::None });
        let shut = |quiet| Gate { closed: true, quiet };
        let until = 14 * 3_600_000;
        // (the app's, the schedule's) → what becomes of one that is due at noon
        for (app, gate, expected) in [
            (None, Gate::default(), Decision::Send),
            (Some(day), Gate::default(), Decision::Wait { until }),
            (Some(day), none, Decision::Send),
            (Some(day), own(night), Decision::Send),
            (Some(night), own(day), Decision::Wait { until }),
            (None, shut(Quiet::App), Decision::Closed),
            (Some(day), shut(Quiet::None), Decision::Closed),
        ] {
            let rules = AppRules { quiet_hours: app, ..AppRules::default() };
            let due = Due { due_at: noon, at: noon, expires_at: noon + 1, ..due(State::Scheduled) };
            assert_eq!(decide(&due, "o", &rules, gate, OnDoubt::AssumeSent, noon), expected, "{app:?} {gate:?}");
            let late = decide(&due, "o", &rules, gate, OnDoubt::AssumeSent, noon + 1);
            assert!(matches!(late, Decision::Settle(_)), "{gate:?}: {late:?}");
        }
    }
}
