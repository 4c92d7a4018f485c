//! The report of a dialog: its body, and how it becomes one that can be recorded.

use super::{
    check, distinct,
    problem::Problem,
    schema::{PopupResults, WholeResult},
    taps::Add,
    ticket::{self, TicketBody, Whose},
};
use crate::{
    config::{App, Config},
    domain::{
        Invalid, Millis,
        consent::{Allowance, Feed, Report, Ticket},
        draft::Tap,
    },
    platform::{
        facts::{Choice, Misread},
        popup,
    },
    store::{Pseudonyms, Store, consents::Consent},
    words::{Message, Voice, say},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The report of the mini-program's popup: exactly one of `results` and `result`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: a popup's report")]
#[schema(as = ConsentReport, example = json!({
    "app": "coffee", "openid": "o-user-1", "event": "tap-7f3a",
    "results": {"Tq9EventReminder_000000000000000000000000001": "accept", "errMsg": "requestSubscribeMessage:ok"},
}))]
pub struct ConsentBody {
    /// The app's name in the configuration.
    pub app: String,
    /// The user: 1 to 128 visible ASCII characters.
    #[schema(pattern = "^[!-~]{1,128}$")]
    pub openid: String,
    /// Template id (or alias) → what the user did, as `wx.requestSubscribeMessage` gives it; `errMsg` and `errCode` are passed over.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "distinct::members_if_any")]
    #[schema(value_type = Option<PopupResults>)]
    pub results: Option<BTreeMap<String, Value>>,
    /// The whole object that the client's call gave, read by the platform's rule.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "distinct::value_if_any")]
    #[schema(value_type = Option<WholeResult>)]
    pub result: Option<Value>,
    /// The template's id or alias, for a `result` that does not say which it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The id that `/v1/consents/prepare` gave for this dialog, on platforms that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub subscribe_id: Option<String>,
    /// The ticket that the client was given, on platforms that know any. The same one counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketBody>,
    /// When, as a reminder's `at`; now by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40)]
    pub at: Option<String>,
    /// Who tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub source: Option<String>,
    /// The caller's own id of the tap: the same event twice counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub event: Option<String>,
}

/// A template of a report that it added nothing to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    template: String,
    why: Message,
}

/// A template of a report that it added nothing to, as it is answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = IgnoredTemplate)]
pub struct IgnoredJson {
    /// As the report names it.
    template: String,
    /// Why.
    why: String,
}

impl Ignored {
    fn new(template: &str, why: Message) -> Self {
        Self { template: template.to_owned(), why }
    }

    /// In the caller's language.
    pub fn json(&self, voice: Voice) -> IgnoredJson {
        IgnoredJson { template: self.template.clone(), why: self.why.say(voice) }
    }
}

/// A report that can be recorded, and what of it cannot.
#[derive(Debug)]
pub struct Reported {
    /// With the templates that the app has.
    pub report: Report,
    /// The others.
    pub ignored: Vec<Ignored>,
}

/// A popup report that passed every check.
///
/// # Errors
/// The first field at fault.
pub fn read(config: &Config, store: &Store, body: ConsentBody, now: Millis) -> Result<Reported, Problem> {
    let app = check::app(config, &body.app)?;
    let terms = app.terms(None);
    terms.user.check(&body.openid)?;
    let (results, ignored) = results(app, store, &body)?;
    let accepted = results.iter().filter(|(_, accepted)| **accepted).map(|(code, _)| code.as_str());
    let templates: Vec<&str> = accepted.collect();
    let of = Whose { app, openid: &body.openid, templates: &templates };
    let ticket = ticket::named(&of, store, body.subscribe_id, body.ticket, "")?;
    if !templates.is_empty() {
        terms.ticket(ticket.is_some(), "/subscribe_id")?;
    }
    let tap = Tap { event: body.event, at: body.at, source: body.source, ticket };
    let accepted = terms.tap(tap, "", now).map_err(|problem| Problem::from(problem).in_zone(app.timezone))?;
    let report = Report {
        app: body.app,
        openid: body.openid,
        results,
        at: accepted.at,
        feed: Feed::Client,
        source: accepted.source,
        event: accepted.event,
        ticket: accepted.ticket,
    };
    Ok(Reported { report, ignored })
}

/// What a report has added for a template.
pub fn add<'a>(report: &'a Report, template: &'a str) -> Add<'a> {
    Add { app: &report.app, openid: &report.openid, template, at: report.at, named: report.event.is_some() }
}

/// What of a report was not recorded though the app has the template. `own` are the user's consents, if
/// somebody has looked.
pub fn unrecorded(config: &Config, report: &Report, recorded: &[String], own: Option<&[Consent]>) -> Vec<Ignored> {
    let counts = check::app(config, &report.app).is_ok_and(|app| app.consents.counts(Feed::Client));
    let others = report.results.iter().filter(|(code, _)| !recorded.contains(code));
    let ticket = report.ticket.as_ref().and_then(Allowance::ticket).map(Ticket::of);
    let is_own = |code: &str| match own.filter(|_| ticket.is_some()) {
        Some(own) => own.iter().any(|one| one.template == code && one.ticket == ticket),
        None => true,
    };
    let why = |code: &str, accepted: bool| match (accepted, counts) {
        (false, _) => say!("ignored_refused"),
        (true, true) if is_own(code) => say!("ignored_known"),
        (true, true) => say!("ignored_ticket_elsewhere"),
        (true, false) => say!("ignored_push_counts"),
    };
    others.map(|(code, accepted)| Ignored::new(code, why(code, *accepted))).collect()
}

type Results = (BTreeMap<String, bool>, Vec<Ignored>);

/// Template ids → whether the user accepted, and what the app does not have.
fn results(app: &App, store: &Store, body: &ConsentBody) -> Result<Results, Problem> {
    let refused = |why, param: &str| Err(Problem::new("bad_value", why).at(param));
    match (&body.results, &body.result) {
        (Some(_), Some(_)) => refused(say!("result_and_results"), "/result"),
        (None, None) => refused(say!("no_result"), "/results"),
        (Some(_), None) if body.template.is_some() => refused(say!("template_without_need"), "/template"),
        (Some(words), None) => Ok(by_words(app, words)?),
        (None, Some(result)) => {
            let chosen = (app.platform.popup.read)(result);
            let chosen =
                chosen.map_err(|wrong| Problem::new("bad_value", wrong.why).at(format!("/result{}", wrong.at)))?;
            by_result(app, store, body, chosen)
        }
    }
}

/// From a word for each template.
fn by_words(app: &App, words: &BTreeMap<String, Value>) -> Result<Results, Invalid> {
    let (mut results, mut ignored) = (BTreeMap::new(), Vec::new());
    let popup = &app.platform.popup;
    // What else stands beside the words can change what they mean: such an object is a `result`.
    for (name, word) in words.iter().filter(|(name, _)| !["errMsg", "errCode"].contains(&name.as_str())) {
        let choice = popup::word(popup, word, &["results", name]);
        let choice = choice.map_err(|wrong| Invalid::new("bad_value", wrong.at, wrong.why))?;
        let sorted = sort(app, name, choice, &mut results, &mut ignored);
        let sorted = sorted.map_err(|why| Misread::at(["results", name], why));
        sorted.map_err(|wrong| Invalid::new("bad_value", wrong.at, wrong.why))?;
    }
    if results.is_empty() && ignored.is_empty() {
        return Err(Invalid::new("bad_value", "/results", say!("no_template_reported")));
    }
    Ok((results, ignored))
}

/// From what a platform's rule has read of the client's object.
fn by_result(
    app: &App,
    store: &Store,
    body: &ConsentBody,
    chosen: BTreeMap<String, Choice>,
) -> Result<Results, Problem> {
    let (mut results, mut ignored) = (BTreeMap::new(), Vec::new());
    if body.template.is_some() && !chosen.contains_key("") {
        return Err(Problem::new("bad_value", say!("template_without_need")).at("/template"));
    }
    for (name, choice) in chosen {
        let name = match (name.as_str(), &body.template, &body.subscribe_id) {
            ("", Some(template), _) => app.terms(None).template(template, "/template")?.code.clone(),
            ("", None, Some(id)) => match ticket::prepared_for(app, store, &body.openid, id) {
                Some(code) => code.to_owned(),
                None if Pseudonyms::looks_minted(id) => {
                    return Err(Problem::new("bad_value", say!("subscribe_id_of_another")).at("/subscribe_id"));
                }
                None => return Err(Problem::new("bad_value", say!("result_without_template")).at("/template")),
            },
            ("", None, None) => {
                return Err(Problem::new("bad_value", say!("result_without_template")).at("/template"));
            }
            _ => name,
        };
        sort(app, &name, choice, &mut results, &mut ignored)
            .map_err(|why| Problem::new("bad_value", why).at("/result"))?;
    }
    if results.is_empty() && ignored.is_empty() {
        return Err(Problem::new("bad_value", say!("no_template_reported")).at("/result"));
    }
    Ok((results, ignored))
}

/// Puts a template to those that the user has answered for, or to those that add nothing.
///
/// # Errors
/// That the report has another answer for it already, under another name.
fn sort(
    app: &App,
    name: &str,
    choice: Choice,
    results: &mut BTreeMap<String, bool>,
    ignored: &mut Vec<Ignored>,
) -> Result<(), Message> {
    let template = match app.terms(None).template(name, "") {
        Ok(template) => template.code.clone(),
        Err(unknown) => {
            ignored.push(Ignored::new(name, unknown.detail));
            return Ok(());
        }
    };
    let accepted = match choice {
        Choice::Nothing(why) => {
            ignored.push(Ignored::new(name, why));
            return Ok(());
        }
        Choice::Granted => true,
        Choice::Refused => false,
    };
    match results.insert(template, accepted) {
        Some(other) if other != accepted => Err(say!("template_answered_twice")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_names_what_it_takes() {
        let unknown = serde_json::from_str::<ConsentBody>(r#"{"app":"a","openid":"o","resluts":{}}"#);
        assert!(unknown.is_err_and(|e| e.to_string().contains("resluts")));
    }
}
