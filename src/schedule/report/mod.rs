//! How a schedule went: who was reached, who was not, and why. Pure; the workbook of it stands beside.

pub mod book;

use crate::{
    domain::{HOUR, Millis},
    platform::facts::Facts,
    store::schedule_report::{QUARTER, Went},
    words::{Message, say, word::word},
};
use chrono::{Offset, TimeZone};
use chrono_tz::Tz;
use serde_json::Value;
use std::collections::BTreeMap;

/// A step on the way from a row to a message that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Rows that were read of the tables.
    Rows,
    /// Rows without a mistake.
    Right,
    /// Users with a consent when the file was loaded.
    WithConsent,
    /// Users with a reminder.
    Planned,
    /// Users whose message the platform has accepted.
    Sent,
    /// Users whose message was delivered, as far as the platform has said so.
    Delivered,
}

impl Step {
    /// Its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Right => "right",
            Self::WithConsent => "with_consent",
            Self::Planned => "planned",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
        }
    }

    /// What a person reads.
    pub fn title(self) -> Message {
        match self {
            Self::Rows => say!("step_rows"),
            Self::Right => say!("step_right"),
            Self::WithConsent => say!("step_with_consent"),
            Self::Planned => say!("step_planned"),
            Self::Sent => say!("step_sent"),
            Self::Delivered => say!("step_delivered"),
        }
    }
}

/// What a person reads of a step that is named by its word.
pub fn title(of: &str) -> Message {
    let all = [Step::Rows, Step::Right, Step::WithConsent, Step::Planned, Step::Sent, Step::Delivered];
    all.into_iter().find(|step| step.word() == of).map_or_else(|| Message::text(of), Step::title)
}

/// Why some did not come to a step.
#[derive(Debug, PartialEq, Eq)]
pub struct Loss {
    /// The step that they did not come to.
    pub step: Step,
    /// Where their reminders stand, if they have any.
    pub state: Option<String>,
    /// One word, or the platform's code.
    pub reason: String,
    /// How many: rows on the way to [`Step::Right`], users on that to [`Step::Planned`], else reminders.
    pub n: i64,
    /// What it means.
    pub why: Message,
    /// What would help, if anything would.
    pub advice: Option<Message>,
}

/// What a schedule came to.
#[derive(Debug)]
pub struct Report {
    /// The steps and how many came to each; those of rows and consents only where one load tells them.
    pub steps: Vec<(Step, i64)>,
    /// What was lost between them, step by step, the most first.
    pub losses: Vec<Loss>,
    /// By the hour of the schedule's zone in which they ended, or are due: how many reminders stand where.
    pub hours: BTreeMap<Millis, BTreeMap<&'static str, i64>>,
}

/// What a report is made of.
pub struct Known<'a> {
    /// What the last load said, as JSON; null if nothing did.
    pub load: &'a Value,
    /// Whether each occurrence reads the rows anew: then no load tells the steps before a reminder.
    pub recurs: bool,
    /// How many reminders stand where, and why: `failed/no_consent`.
    pub counts: &'a BTreeMap<String, i64>,
    /// What was counted of the reminders.
    pub went: &'a Went,
    /// The app's platform, if the configuration still names the app.
    pub platform: Option<&'static Facts>,
    /// The schedule's zone.
    pub zone: Tz,
}

impl Report {
    /// Puts it together.
    pub fn of(known: &Known<'_>) -> Self {
        let Known { went, zone, .. } = known;
        let mut steps = Vec::new();
        let mut losses = before(known, &mut steps);
        steps.extend([(Step::Planned, went.people), (Step::Sent, went.sent)]);
        losses.extend(unsent(known));
        if went.receipts != (0, 0) {
            steps.push((Step::Delivered, went.delivered));
            losses.extend((went.receipts.1 > 0).then(|| Loss {
                step: Step::Delivered,
                state: Some("sent".into()),
                reason: "undelivered".into(),
                n: went.receipts.1,
                why: word("undelivered"),
                advice: None,
            }));
        }
        losses.sort_by_key(|loss| (loss.step, -loss.n));
        Self { steps, losses, hours: by_hour(&went.quarters, *zone) }
    }
}

/// Quarters of an hour, put together to the hours of a zone.
pub fn by_hour(
    quarters: &BTreeMap<(Millis, &'static str), i64>,
    zone: Tz,
) -> BTreeMap<Millis, BTreeMap<&'static str, i64>> {
    let mut hours: BTreeMap<Millis, BTreeMap<&'static str, i64>> = BTreeMap::new();
    for ((quarter, state), n) in quarters {
        *hours.entry(hour(*quarter, zone)).or_default().entry(state).or_default() += n;
    }
    hours
}

/// When the hour of a zone began in which a quarter of an hour lies.
fn hour(quarter: Millis, zone: Tz) -> Millis {
    let at = zone.timestamp_millis_opt(quarter).single();
    let offset = at.map_or(0, |at| i64::from(at.offset().fix().local_minus_utc()) * 1_000);
    // Zones of long ago differ by seconds, and are passed over.
    let offset = offset.div_euclid(QUARTER) * QUARTER;
    (quarter + offset).div_euclid(HOUR) * HOUR - offset
}

/// The steps before there is a reminder.
fn before(known: &Known<'_>, steps: &mut Vec<(Step, i64)>) -> Vec<Loss> {
    let n = |part: &str, member: &str| known.load[part][member].as_i64();
    let (Some(read), Some(right), false) = (n("rows", "read"), n("rows", "right"), known.recurs) else {
        return Vec::new();
    };
    let (people, with_consent) = (n("reach", "people").unwrap_or_default(), n("reach", "with_consent"));
    // A schedule for everybody with a consent reads no rows.
    if read > 0 {
        steps.extend([(Step::Rows, read), (Step::Right, right)]);
    }
    steps.extend(with_consent.map(|n| (Step::WithConsent, n)));
    let forgotten = n("reach", "forgotten").unwrap_or_default();
    let without = people - with_consent.unwrap_or(people) - forgotten;
    let loss = |step, reason: &str, n: Option<i64>, why, advice| Loss {
        step,
        state: None,
        reason: reason.into(),
        n: n.unwrap_or_default(),
        why,
        advice,
    };
    let all = [
        loss(Step::Right, "refused", n("rows", "refused"), say!("loss_refused"), Some(say!("advice_refused"))),
        loss(Step::Right, "excluded", n("rows", "excluded"), say!("loss_excluded"), None),
        loss(Step::WithConsent, "forgotten", Some(forgotten), word("forgotten"), None),
        loss(Step::WithConsent, "no_consent", Some(without), word("no_consent"), advice("no_consent")),
    ];
    all.into_iter().filter(|loss| loss.n > 0).collect()
}

/// The reminders that ended otherwise than as sent, or have not ended.
fn unsent(known: &Known<'_>) -> Vec<Loss> {
    let mut told: BTreeMap<&str, i64> = BTreeMap::new();
    let mut losses = Vec::new();
    let mut add = |state: &str, reason: &str, n: i64| {
        let (why, advice) = match known.platform.and_then(|platform| platform.meaning(reason)) {
            // What a code means says what to do, too.
            Some(meaning) => (say!("loss_code", code = reason, meaning = meaning), None),
            None => (word(reason), advice(reason)),
        };
        let (state, reason) = (Some(state.to_owned()), reason.to_owned());
        losses.push(Loss { step: Step::Sent, state, reason, n, why, advice });
    };
    for (name, n) in known.counts {
        if let Some((state, reason)) = name.split_once('/').filter(|(state, _)| *state != "sent") {
            *told.entry(state).or_default() += n;
            add(state, reason, *n);
        }
    }
    for (state, n) in known.counts.iter().filter(|(name, _)| !name.contains('/') && *name != "sent") {
        // Of those that wait no reason is counted, and of none that came from an older version.
        let left = n - told.get(state.as_str()).copied().unwrap_or_default();
        if left > 0 {
            add(state, state, left);
        }
    }
    losses
}

/// What helps against a reason of ours, where anything does.
fn advice(reason: &str) -> Option<Message> {
    Some(match reason {
        "no_consent" | "turned_off" | "consent_ended" => say!("advice_ask_for_consent"),
        "expired" => say!("advice_expired"),
        "test_mode" => say!("advice_test_mode"),
        "unconfirmed" | "gave_up" | "in_doubt" => say!("advice_doubt"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Lang, Voice};
    use serde_json::json;

    fn known<'a>(load: &'a Value, counts: &'a BTreeMap<String, i64>, went: &'a Went) -> Known<'a> {
        Known { load, recurs: false, counts, went, platform: None, zone: Tz::Asia__Shanghai }
    }

    #[test]
    fn each_step_says_how_many_came_to_it_and_each_loss_why_the_others_did_not() {
        let load = json!({
            "rows": { "read": 5210, "right": 5151, "refused": 47, "excluded": 12 },
            "reach": { "people": 5151, "known": 5007, "with_consent": 4866, "forgotten": 5 },
        });
        let counts = [("sent", 4800), ("failed", 60), ("failed/no_consent", 40), ("failed/E7", 20), ("scheduled", 6)];
        let counts = counts.map(|(name, n)| (name.to_owned(), n)).into();
        let went = Went { people: 4866, sent: 4800, delivered: 4700, receipts: (4700, 3), ..Went::default() };
        let report = Report::of(&known(&load, &counts, &went));
        let steps: Vec<(&str, i64)> = report.steps.iter().map(|(step, n)| (step.word(), *n)).collect();
        assert_eq!(
            steps,
            [
                ("rows", 5210),
                ("right", 5151),
                ("with_consent", 4866),
                ("planned", 4866),
                ("sent", 4800),
                ("delivered", 4700)
            ]
        );
        let losses: Vec<(&str, &str, i64)> =
            report.losses.iter().map(|loss| (loss.step.word(), loss.reason.as_str(), loss.n)).collect();
        assert_eq!(
            losses,
            [
                ("right", "refused", 47),
                ("right", "excluded", 12),
                ("with_consent", "no_consent", 280),
                ("with_consent", "forgotten", 5),
                ("sent", "no_consent", 40),
                ("sent", "E7", 20),
                ("sent", "scheduled", 6),
                ("delivered", "undelivered", 3),
            ]
        );
        for loss in &report.losses {
            let (zh, en) = (loss.why.say(Voice::new(Lang::Zh)), loss.why.say(Voice::new(Lang::En)));
            assert!(loss.reason == "E7" || zh != en, "{zh} / {en}");
        }
    }

    #[test]
    fn what_recurs_and_what_reads_no_rows_has_no_steps_before_its_reminders() {
        let load = json!({ "rows": { "read": 3, "right": 3, "refused": 0, "excluded": 0 }, "reach": { "people": 3, "with_consent": 2 } });
        let (counts, went) = (BTreeMap::new(), Went::default());
        let first = |known: Known<'_>| Report::of(&known).steps[0].0;
        assert_eq!(first(Known { recurs: true, ..known(&load, &counts, &went) }), Step::Planned);
        assert_eq!(first(known(&Value::Null, &counts, &went)), Step::Planned);
        let everybody = json!({ "rows": { "read": 0, "right": 0, "refused": 0, "excluded": 0 }, "reach": { "people": 3, "with_consent": 3 } });
        assert_eq!(first(known(&everybody, &counts, &went)), Step::WithConsent);
    }

    #[test]
    fn hours_are_those_of_the_zone_also_of_one_that_is_half_an_hour_off() {
        let at = |text: &str| crate::domain::timing::parse_instant(text, None).expect("a time").at;
        let table = [
            (Tz::Asia__Shanghai, "2031-03-01T02:45:00Z", "2031-03-01T02:00:00Z"),
            (Tz::Asia__Kolkata, "2031-03-01T02:45:00Z", "2031-03-01T02:30:00Z"),
            (Tz::Asia__Kathmandu, "2031-03-01T02:00:00Z", "2031-03-01T01:15:00Z"),
            (Tz::UTC, "1969-12-31T23:45:00Z", "1969-12-31T23:00:00Z"),
        ];
        for (zone, quarter, wanted) in table {
            assert_eq!(hour(at(quarter), zone), at(wanted), "{zone} {quarter}");
        }
    }
}
