//! A draft of a reminder — from JSON, from a row of a schedule, from a form — becomes a valid one, or a list of its problems.
//!
//! Every field has a bound, and every problem names its field by a JSON pointer.

use super::{
    DAY, HOUR, Invalid, MINUTE, Millis,
    consent::{Allowance, Feed, Feeds, Ticket, TicketKind, Tickets},
    decide::AppRules,
    hint,
    options::{Options, SendOption},
    page::PageRules,
    reminder::{Accepted, Claim, NewReminder},
    template::{FieldRules, Kind, Listing, Template},
    text::bounded,
    timing::{MAX_DAYS_AHEAD, cut, parse_duration, parse_instant},
};
use crate::words::{Message, say};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// The settings and lists that an app's drafts are checked against.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The app's name in the configuration.
    pub app: &'a str,
    /// The zone of wall times; without one a time needs an offset.
    pub timezone: Option<Tz>,
    /// The app's rules about sending at all.
    pub rules: &'a AppRules,
    /// Which source of taps counts: the mini-program, the platform, or both.
    pub consents: Feeds,
    /// The app's templates.
    pub templates: &'a [Template],
    /// The templates as the platform has listed them, if it has.
    pub listing: Option<&'a Listing>,
    /// How the platform checks the values of fields.
    pub fields: &'a FieldRules,
    /// The options that the platform has for one message.
    pub options: &'a [SendOption],
    /// What it takes as a page.
    pub page: PageRules,
    /// What it takes as a user's id, beyond what holds on every platform.
    pub user: UserRule<'a>,
    /// The tickets that it knows.
    pub tickets: Tickets,
}

/// A platform's own rule for its users' ids, and the app's settings that it asks.
#[derive(Debug, Clone, Copy)]
pub struct UserRule<'a> {
    /// The rule: why a text is no user's id.
    pub rule: fn(&str, &Options) -> Result<(), Message>,
    /// What the app says of itself.
    pub settings: &'a Options,
}

impl UserRule<'_> {
    /// Whether it can be a user's id. The value is not repeated in the refusal.
    ///
    /// # Errors
    /// `bad_value` at `/openid`.
    pub fn check(&self, openid: &str) -> Result<(), Invalid> {
        self::openid(openid)?;
        (self.rule)(openid, self.settings).map_err(|why| Invalid::new("bad_value", "/openid", why))
    }
}

/// An instant that has passed by more than this was hardly meant: such a reminder is refused unless its owner says that it is to go all
/// the same. Clocks differ, and calls take their time.
const LATE: Millis = 5 * MINUTE;

/// A reminder as somebody wrote it. Nothing in it has been checked.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The user.
    pub openid: String,
    /// The template's id or alias.
    pub template: String,
    /// RFC 3339, wall time in the app's zone, or `+2h`: that long from now.
    pub at: String,
    /// One string for every field of the template.
    pub data: BTreeMap<String, String>,
    /// Page that opens on tap.
    pub page: Option<String>,
    /// As `at`, or a duration after it; a day by default.
    pub expires_at: Option<String>,
    /// The idempotency key.
    pub key: Option<String>,
    /// How it comes by its consent; [`Claim::Reserve`] by default.
    pub consent: Option<Claim>,
    /// The tap by which the user has just accepted.
    pub accepted: Option<Tap>,
    /// It goes at once if its instant has passed long ago.
    pub sends_late: bool,
    /// Options of the platform by name.
    pub options: Options,
    /// SHA-256 of what was written, to tell a replay from a conflict.
    pub digest: String,
}

/// A tap of the user as somebody tells of it.
#[derive(Debug, Clone, Default)]
pub struct Tap {
    /// The caller's own id of it.
    pub event: Option<String>,
    /// When, as a reminder's `at`; now by default.
    pub at: Option<String>,
    /// Who tells; the API by default.
    pub source: Option<String>,
    /// The ticket that it brought, of a kind that the platform knows.
    pub ticket: Option<(TicketKind, Ticket)>,
}

/// A draft that can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The reminder.
    pub reminder: NewReminder,
    /// Problems that time alone may have brought: its instant or its deadline has passed, or the platform's template has changed. Such a
    /// reminder is not stored, but the replay of an old key is answered all the same.
    pub late: Vec<Invalid>,
}

/// The changes that somebody wants of a reminder; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct ChangeDraft {
    /// As in a new draft. The deadline moves along unless it is given too.
    pub at: Option<String>,
    /// As in a new draft.
    pub expires_at: Option<String>,
    /// `Some(None)` removes it.
    pub page: Option<Option<String>>,
    /// Some fields of the template; the others stay.
    pub data: Option<BTreeMap<String, String>>,
    /// As in a new draft, of the instant that it is changed to.
    pub sends_late: bool,
}

/// The reminder that a [`ChangeDraft`] is about, as it stands.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Its instant.
    pub at: Millis,
    /// Its deadline.
    pub expires_at: Millis,
    /// The platform's template id.
    pub template: &'a str,
    /// The field values, as a JSON object of strings.
    pub data: &'a str,
    /// What rises with every change of it.
    pub fence: i64,
}

/// A checked change of a scheduled reminder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Another instant, with the wall time that was written.
    pub at: Option<(Millis, Option<String>)>,
    /// Another deadline.
    pub expires_at: Option<Millis>,
    /// Another page, or none.
    pub page: Option<Option<String>>,
    /// Other field values, as a JSON object of strings.
    pub data: Option<String>,
    /// The fence of the reminder that it was made from, if it holds for that one alone: some of its values are taken from it.
    pub seen: Option<i64>,
}

/// Collects problems, so that a person hears of all of them at once.
#[derive(Default)]
struct Problems(Vec<Invalid>);

impl Problems {
    fn keep<T>(&mut self, checked: Result<T, Invalid>) -> Option<T> {
        checked.map_err(|problem| self.0.push(problem)).ok()
    }
}

impl Draft {
    /// The reminder that it describes.
    ///
    /// # Errors
    /// Its problems, in the order of its fields.
    pub fn check(self, terms: &Terms<'_>, now: Millis) -> Result<Checked, Vec<Invalid>> {
        let mut problems = Problems::default();
        problems.keep(terms.user.check(&self.openid));
        let template = problems.keep(terms.template(&self.template, "/template"));
        let instant = problems.keep(terms.instant(&self.at, now));
        let expires_at = match &instant {
            Some((at, _)) => problems.keep(terms.deadline(self.expires_at.as_deref(), *at)),
            None => None,
        };
        problems.keep(terms.page.check(self.page.as_deref()));
        problems.keep(self.key.as_deref().map_or(Ok(()), |key| bounded(key, 128, "/key")));
        for (name, value) in &self.options {
            problems.keep(terms.option(name, value));
        }
        let accepted = self.accepted.map(|tap| {
            terms.ticket(tap.ticket.is_some(), "/accepted")?;
            terms.tap(tap, "/accepted", now)
        });
        let accepted = problems.keep(accepted.transpose());
        let checked = template.map(|template| template.check(terms.fields, terms.listing, &self.data));
        let (data, mut late) = match checked {
            Some(Ok(data)) => (data, Problems::default()),
            Some(Err(wrong)) => (self.data, Problems(wrong)),
            None => (self.data, Problems::default()),
        };
        let (Some(template), Some((at, local_at)), Some(expires_at), Some(accepted), true) =
            (template, instant, expires_at, accepted, problems.0.is_empty())
        else {
            return Err(problems.0.into_iter().chain(late.0).collect());
        };
        let given = self.expires_at.is_some();
        let (sendable, timely) = (terms.sendable(at, expires_at, given, now), timely(at, self.sends_late, now));
        // Whoever has given no deadline is told of the instant.
        late.keep(if given { sendable.and(timely) } else { timely.and(sendable) });
        // Where the platform's word alone counts, the consent of this tap is on its way: it is taken at the instant.
        let (claim, accepted) = match accepted {
            Some(_) if !terms.consents.counts(Feed::Client) => (Claim::AtFire, None),
            accepted => (self.consent.unwrap_or(Claim::Reserve), accepted),
        };
        if let Some(accepted) = accepted.as_ref().filter(|_| claim == Claim::Reserve && late.0.is_empty()) {
            late.keep(lasts(accepted, template, at));
        }
        let reminder = NewReminder {
            app: terms.app.to_owned(),
            openid: self.openid,
            template: template.code.clone(),
            standing: template.kind == Kind::LongTerm,
            at,
            local_at,
            expires_at,
            page: self.page,
            data: serde_json::to_string(&data).expect("texts serialise"),
            key: self.key,
            digest: self.digest,
            claim,
            accepted,
            options: self.options,
            origin: None,
        };
        Ok(Checked { reminder, late: late.0 })
    }
}

impl ChangeDraft {
    /// The change that it describes.
    ///
    /// # Errors
    /// Its problems, in the order of its fields.
    pub fn check(self, terms: &Terms<'_>, standing: &Standing<'_>, now: Millis) -> Result<Change, Vec<Invalid>> {
        let mut problems = Problems::default();
        let mut change = Change::default();
        let mut at = standing.at;
        if let Some((moved, local_at)) = self.at.and_then(|text| problems.keep(terms.instant(&text, now))) {
            at = moved;
            problems.keep(timely(at, self.sends_late, now));
            change.at = Some((moved, local_at));
            change.expires_at = Some(at + (standing.expires_at - standing.at));
        }
        let given = self.expires_at.is_some();
        if let Some(text) = self.expires_at {
            change.expires_at = problems.keep(terms.deadline(Some(&text), at));
        }
        if let Some(expires_at) = change.expires_at {
            problems.keep(terms.sendable(at, expires_at, given, now));
        }
        if let Some(path) = self.page {
            let path = path.filter(|path| !path.is_empty());
            problems.keep(terms.page.check(path.as_deref()));
            change.page = Some(path);
        }
        if let Some(data) = self.data.filter(|data| !data.is_empty())
            && let Some(template) = problems.keep(terms.template(standing.template, "/template"))
        {
            let (data, seen) = completed(data, standing, template.fields(terms.listing));
            change.seen = seen;
            match template.check(terms.fields, terms.listing, &data) {
                Ok(data) => change.data = Some(serde_json::to_string(&data).expect("texts serialise")),
                Err(wrong) => problems.0.extend(wrong),
            }
        }
        if problems.0.is_empty() { Ok(change) } else { Err(problems.0) }
    }
}

/// Field values of which some are given: the others stay as they stand, but for those that the template no longer has. Answers with the fence
/// of what stands, if anything is taken from it.
fn completed(
    mut given: BTreeMap<String, String>,
    standing: &Standing<'_>,
    fields: &BTreeMap<String, String>,
) -> (BTreeMap<String, String>, Option<i64>) {
    let stood: BTreeMap<String, String> = serde_json::from_str(standing.data).unwrap_or_default();
    let stays: Vec<_> =
        stood.into_iter().filter(|(key, _)| fields.contains_key(key) && !given.contains_key(key)).collect();
    let seen = (!stays.is_empty()).then_some(standing.fence);
    given.extend(stays);
    (given, seen)
}

impl<'a> Terms<'a> {
    /// The app's template of that id or alias.
    ///
    /// # Errors
    /// `unknown_template` at `param`, with the nearest name.
    pub fn template(&self, name: &str, param: &str) -> Result<&'a Template, Invalid> {
        let found = self.templates.iter().find(|t| t.code == name || t.name.as_deref() == Some(name));
        found.ok_or_else(|| {
            let known: Vec<&str> = self.templates.iter().map(|t| t.name.as_deref().unwrap_or(&t.code)).collect();
            let hint = hint(name, known.iter().copied());
            let detail = say!("unknown_template", app = self.app, name = cut(name), known = known, hint = hint);
            Invalid::new("unknown_template", param, detail)
        })
    }

    fn instant(&self, text: &str, now: Millis) -> Result<(Millis, Option<String>), Invalid> {
        let bad = |why| Invalid::new("bad_time", "/at", why);
        if let Some(ahead) = text.strip_prefix('+') {
            return Ok((now + parse_duration(ahead).map_err(bad)?, None));
        }
        let written = parse_instant(text, self.timezone).map_err(bad)?;
        near(written.at, now)?;
        Ok((written.at, written.local))
    }

    /// The deadline: a duration after `at`, or an instant.
    fn deadline(&self, text: Option<&str>, at: Millis) -> Result<Millis, Invalid> {
        let Some(text) = text else { return Ok(at + DAY) };
        let expires_at = if text.contains(['T', ':', '-']) {
            parse_instant(text, self.timezone).map(|written| written.at)
        } else {
            parse_duration(text).map(|after| at + after)
        };
        let expires_at = expires_at.map_err(|why| Invalid::new("bad_time", "/expires_at", why))?;
        follows(at, expires_at)?;
        Ok(expires_at)
    }

    /// Whether the platform has an option of this name that may say this.
    ///
    /// # Errors
    /// `bad_value`.
    pub fn option(&self, name: &str, value: &str) -> Result<(), Invalid> {
        let param = format!("/{name}");
        match self.options.iter().find(|option| option.name == name) {
            Some(option) => one_of(value, option.values, &param),
            None => Err(Invalid::new("bad_value", param, say!("option_unknown", key = name))),
        }
    }

    /// Whether there is an instant left at which it could be sent. `given`: whether its owner has given the deadline.
    fn sendable(&self, at: Millis, expires_at: Millis, given: bool, now: Millis) -> Result<(), Invalid> {
        let param = if given { "/expires_at" } else { "/at" };
        if expires_at <= now {
            let detail = match given {
                true => say!("deadline_has_passed", deadline = expires_at, now = now),
                false => say!("instant_beyond_deadline", at = at, deadline = expires_at, now = now),
            };
            return Err(Invalid::new("past_deadline", param, detail));
        }
        let quiet = self.rules.quiet_hours.and_then(|quiet| quiet.ends(at.max(now)));
        match quiet.filter(|until| *until >= expires_at) {
            Some(until) => {
                let detail = say!("quiet_beyond_deadline", until = until, deadline = expires_at);
                Err(Invalid::new("bad_deadline", param, detail))
            }
            None => Ok(()),
        }
    }

    /// Whether an accept can be one without a ticket.
    ///
    /// # Errors
    /// `ticket_needed` at `param`.
    pub fn ticket(&self, has: bool, param: &str) -> Result<(), Invalid> {
        if has || !self.tickets.needed {
            return Ok(());
        }
        let kinds: Vec<&str> = self.tickets.kinds.iter().filter(|kind| !kind.minted).map(|kind| kind.word).collect();
        Err(Invalid::new("ticket_needed", param, say!("ticket_needed", kinds = kinds)))
    }

    /// A tap whose fields lie at `base`.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn tap(&self, tap: Tap, base: &str, now: Millis) -> Result<Accepted, Invalid> {
        if let Some(event) = &tap.event {
            bounded(event, 128, &format!("{base}/event"))?;
        }
        let source = tap.source.unwrap_or_else(|| "api".into());
        bounded(&source, 64, &format!("{base}/source"))?;
        let bad = |detail| Invalid::new("bad_time", format!("{base}/at"), detail);
        let at = tap.at.map_or(Ok(now), |text| parse_instant(&text, self.timezone).map(|written| written.at));
        let at = at.map_err(bad)?;
        if at > now + HOUR || at < now - MAX_DAYS_AHEAD * DAY {
            return Err(bad(say!("no_time_of_a_tap", at = at, most = MAX_DAYS_AHEAD)));
        }
        let key = tap.ticket.as_ref().map(|(_, ticket)| ticket.key());
        let ticket = tap.ticket.map(|(kind, ticket)| Allowance::Ticket {
            key: ticket.key(),
            sends: kind.sends,
            until: kind.lives.map(|lives| at + lives),
        });
        // A ticket is its own event: however often it is told of, it is one.
        Ok(Accepted { at, source, event: key.or(tap.event), ticket })
    }
}

/// Whether what a reminder brings to be held still holds at its instant.
fn lasts(accepted: &Accepted, template: &Template, at: Millis) -> Result<(), Invalid> {
    let allowance = accepted.ticket.clone().unwrap_or_else(|| template.allowance());
    match allowance.ends(accepted.at).filter(|until| *until <= at) {
        Some(until) => Err(Invalid::new("bad_time", "/at", say!("accept_ends_before", until = until, at = at))),
        None => Ok(()),
    }
}

/// Whether an instant is near enough to be meant.
///
/// # Errors
/// `bad_time`.
pub fn near(at: Millis, now: Millis) -> Result<(), Invalid> {
    if at <= now + MAX_DAYS_AHEAD * DAY {
        return Ok(());
    }
    Err(Invalid::new("bad_time", "/at", say!("instant_too_far", at = at, most = MAX_DAYS_AHEAD)))
}

/// Whether an instant lies ahead, or has only just passed, or is to be made up for.
fn timely(at: Millis, sends_late: bool, now: Millis) -> Result<(), Invalid> {
    if sends_late || at >= now - LATE {
        return Ok(());
    }
    Err(Invalid::new("late", "/at", say!("instant_has_passed", at = at, now = now, most = LATE)))
}

/// Whether a deadline follows the instant `at`, and not too late to be meant.
///
/// # Errors
/// `bad_deadline`.
pub fn follows(at: Millis, expires_at: Millis) -> Result<(), Invalid> {
    let bad = |detail| Err(Invalid::new("bad_deadline", "/expires_at", detail));
    if expires_at <= at {
        return bad(say!("deadline_before_instant", deadline = expires_at, at = at));
    }
    if expires_at > at + MAX_DAYS_AHEAD * DAY {
        return bad(say!("deadline_too_far", most = MAX_DAYS_AHEAD));
    }
    Ok(())
}

/// An openid: 1 to 128 visible ASCII characters. The value is not repeated in the refusal.
///
/// # Errors
/// `bad_value`.
pub fn openid(value: &str) -> Result<(), Invalid> {
    if (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Invalid::new("bad_value", "/openid", say!("not_an_openid")))
}

/// One of a closed set of words.
///
/// # Errors
/// `bad_value` at `param`.
pub fn one_of(value: &str, allowed: &[&str], param: &str) -> Result<(), Invalid> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Invalid::new("bad_value", param, say!("not_one_of", found = cut(value), allowed = allowed)))
}
