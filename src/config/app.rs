//! `[[app]]`: a mini-program.

use super::{
    callback,
    check::{Check, is_name, near},
    place::Place,
    secret, template,
};
use crate::{
    domain::{
        DAY, Invalid, Millis, SECOND,
        consent::{Feed, Feeds},
        decide::AppRules,
        draft::Terms,
        hint,
        template::{Listing, Template},
        timing::{QuietHours, cut, parse_duration},
    },
    platform::{
        self, Account, Adapter, Facts,
        facts::Secrets,
        push::{PushSecrets, Pushes},
    },
    words::{Message, say},
};
use chrono_tz::Tz;
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::collections::HashSet;

/// One mini-program.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name in the API and in files.
    pub name: String,
    /// Which platform.
    pub platform: &'static Facts,
    /// The platform's id of the mini-program.
    pub appid: String,
    /// Its secrets, by their keys.
    pub secrets: Secrets,
    /// Where the platform's API answers.
    pub base_url: String,
    /// The zone of local times.
    pub timezone: Option<Tz>,
    /// Sends per second.
    pub rate: u32,
    /// Sends in flight.
    pub concurrency: u32,
    /// Its rules about when and to whom to send at all.
    pub rules: AppRules,
    /// How the platform's pushes are told from forgeries, if it pushes.
    pub callback: Option<PushSecrets>,
    /// Whose word on a tap counts.
    pub consents: Feeds,
    /// Templates that a mini-program asks for in one popup.
    pub ask_at_once: usize,
    /// Its templates.
    pub templates: Vec<Template>,
    /// Colleagues who may be sent a trial; in test mode nobody else is reached.
    pub testers: Vec<String>,
}

impl App {
    /// The configured app of that name.
    ///
    /// # Errors
    /// `unknown_app` as `/app`, with the nearest name.
    pub fn find<'a>(apps: &'a [Self], name: &str) -> Result<&'a Self, Invalid> {
        apps.iter().find(|app| app.name == name).ok_or_else(|| {
            let known: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
            let hint = hint(name, known.iter().copied());
            Invalid::new("unknown_app", "/app", say!("unknown_app", name = cut(name), known = known, hint = hint))
        })
    }

    /// The terms that its drafts are checked against.
    pub fn terms<'a>(&'a self, listing: Option<&'a Listing>) -> Terms<'a> {
        Terms {
            app: &self.name,
            timezone: self.timezone,
            rules: &self.rules,
            consents: self.consents,
            templates: &self.templates,
            listing,
            fields: &self.platform.fields,
            options: self.platform.options,
        }
    }

    /// The template of that id or alias.
    pub fn template(&self, id_or_name: &str) -> Option<&Template> {
        self.templates.iter().find(|t| t.code == id_or_name || t.name.as_deref() == Some(id_or_name))
    }

    /// As its platform knows it.
    fn account(&self) -> Account<'_> {
        Account { base_url: &self.base_url, appid: &self.appid, secrets: &self.secrets }
    }

    /// Its platform's adapter.
    pub fn adapter(&self) -> Box<dyn Adapter> {
        (self.platform.adapter)(&self.account())
    }

    /// How its pushes are read, if it has any.
    ///
    /// # Panics
    /// When its secrets were not checked by this configuration.
    pub fn pushes(&self) -> Option<Box<dyn Pushes>> {
        let (pushes, secrets) = self.platform.pushes.zip(self.callback.as_ref())?;
        Some(pushes(&self.account(), secrets).expect("the configuration has checked the key's shape"))
    }

    /// Whether all but the secrets is the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        // All fields are named, so that a new one cannot be forgotten here.
        fn told(app: &App) -> impl PartialEq {
            let App {
                name,
                platform,
                appid,
                secrets: _,
                base_url,
                timezone,
                rate,
                concurrency,
                rules,
                callback,
                consents,
                ask_at_once,
                templates,
                testers,
            } = app.clone();
            let has_key = callback.map(|callback| callback.aes_key.is_some());
            let address = (name, platform, appid, base_url, timezone);
            (address, rate, concurrency, rules, has_key, consents, ask_at_once, (templates, testers))
        }
        told(self) == told(other)
    }

    /// The same with the secrets of `new`, where it has them too.
    #[must_use]
    pub fn with_secrets_of(&self, new: &Self) -> Self {
        let callback = match (&self.callback, &new.callback) {
            (Some(own), Some(new)) if own.aes_key.is_some() == new.aes_key.is_some() => Some(new.clone()),
            (own, _) => own.clone(),
        };
        Self { secrets: new.secrets.clone(), callback, ..self.clone() }
    }

    /// Whether its secrets are the same.
    pub fn has_secrets_of(&self, other: &Self) -> bool {
        fn secrets(app: &App) -> impl PartialEq {
            let callback = app.callback.as_ref();
            let key = callback.and_then(|callback| callback.aes_key.as_ref());
            let of_pushes = [callback.map(|callback| &callback.token), key];
            let all = app.secrets.values().map(Some).chain(of_pushes);
            all.map(|secret| secret.map(ExposeSecret::expose_secret)).collect::<Vec<_>>()
        }
        secrets(self) == secrets(other)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: String,
    platform: String,
    appid: String,
    secret: Option<secret::Source>,
    base_url: Option<String>,
    timezone: Option<String>,
    #[serde(default = "default_rate")]
    rate: u32,
    #[serde(default = "default_concurrency")]
    concurrency: u32,
    quiet_hours: Option<String>,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    testers: Vec<String>,
    callback: Option<callback::Raw>,
    receipt_wait: Option<String>,
    ask_at_once: Option<usize>,
    #[serde(default)]
    consents: Feeds,
    #[serde(default)]
    template: Vec<template::Raw>,
}

/// How long the platform's receipt for a doubt is waited for, unless the app says otherwise.
const RECEIPT_WAIT: Millis = 60 * SECOND;

fn default_rate() -> u32 {
    500
}

fn default_concurrency() -> u32 {
    64
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Live,
    Test,
}

/// All apps; those alone that could be read whole.
pub(super) fn check(raw: &[Raw], check: &mut Check<'_>) -> Vec<App> {
    if raw.is_empty() {
        check.warning(say!("no_app"));
    }
    let mut names = HashSet::new();
    let mut apps = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let place = Place::table("app").item(i);
        if !names.insert(&raw.name) {
            check.problem(&place.key("name"), say!("app_name_twice", name = raw.name));
        }
        apps.extend(raw.check(&place, check));
    }
    apps
}

impl Raw {
    fn check(&self, place: &Place<'_>, check: &mut Check<'_>) -> Option<App> {
        let platform = self.platform(place, check);
        self.identity(platform, place, check);
        // Of an app on a platform that is not known, the rest is checked as far as it is the same on all of them.
        let facts = platform.unwrap_or(platform::BUILT[0]);
        let base_url = self.base_url(facts, place, check);
        let timezone = self.timezone.as_ref().and_then(|zone| check.good(&place.key("timezone"), self::zone(zone)));
        let quiet_hours = self.quiet_hours(timezone, place, check);
        for (key, value, most) in [("rate", self.rate, 100_000), ("concurrency", self.concurrency, 4_096)] {
            if value == 0 || value > most {
                check.problem(&place.key(key), say!("number_out_of_bounds", key = key, found = value, most = most));
            }
        }
        self.openness(check);
        let callback_place = place.key("callback");
        let callback = self.callback.as_ref().and_then(|raw| raw.check(&self.name, &callback_place, check));
        let ask_at_once = self.ask_at_once(facts, place, check);
        self.feeds(facts, place, check);
        let testers = self.testers(check);
        let receipt_wait = self.receipt_wait(place, check);
        let secrets = self.secrets(facts, place, check);
        let templates = template::check(&self.template, facts, place, check);
        Some(App {
            name: self.name.clone(),
            platform: platform?,
            appid: self.appid.clone(),
            secrets: secrets?,
            base_url,
            timezone,
            rate: self.rate,
            concurrency: self.concurrency,
            rules: AppRules {
                quiet_hours,
                testers,
                exclusive: self.exclusive && self.consents.counts(Feed::Client) && facts.doubt.counts_consents,
                receipt_wait: (self.callback.is_some() && facts.doubt.sends_receipts).then_some(receipt_wait),
            },
            callback,
            consents: self.consents,
            ask_at_once,
            templates,
            testers: self.testers.clone(),
        })
    }

    fn platform(&self, place: &Place<'_>, check: &mut Check<'_>) -> Option<&'static Facts> {
        let word = self.platform.as_str();
        let found = platform::find(word);
        if found.is_none() {
            let what = if platform::PLANNED.contains(&word) {
                let known: Vec<&str> = platform::BUILT.iter().map(|facts| facts.word).collect();
                say!("platform_not_built", platform = word, known = known)
            } else {
                let allowed = platform::words();
                say!("unknown_platform", found = word, allowed = allowed, near = near(word, &allowed))
            };
            check.problem(&place.key("platform"), what);
        }
        found
    }

    fn identity(&self, platform: Option<&Facts>, place: &Place<'_>, check: &mut Check<'_>) {
        let Self { name, appid, .. } = self;
        if !is_name(name) {
            check.problem(&place.key("name"), say!("bad_app_name", name = name));
        }
        if appid.is_empty() || appid.len() > 64 || !appid.chars().all(|c| c.is_ascii_alphanumeric()) {
            check.problem(&place.key("appid"), say!("bad_appid", appid = appid));
        }
        if let Some(shape) = platform.map(|facts| &facts.appid).filter(|shape| !(shape.fits)(appid)) {
            check.warning(say!("odd_appid", app = name, appid = appid, like = shape.like));
        }
    }

    fn base_url(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) -> String {
        let url = self.base_url.as_deref().unwrap_or(facts.base_url).trim_end_matches('/');
        if !reqwest::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host()) {
            let what = say!("bad_base_url", url = url, example = facts.base_url);
            check.problem(&place.key("base_url"), what);
        }
        url.to_owned()
    }

    fn quiet_hours(&self, zone: Option<Tz>, place: &Place<'_>, check: &mut Check<'_>) -> Option<QuietHours> {
        let without_zone = || say!("quiet_without_zone");
        let text = self.quiet_hours.as_ref()?;
        let hours = zone.ok_or_else(without_zone).and_then(|zone| QuietHours::parse(text, zone));
        check.good(&place.key("quiet_hours"), hours)
    }

    /// Warns of secrets that others on this machine can read.
    fn openness(&self, check: &mut Check<'_>) {
        for source in self.callback.iter().flat_map(callback::Raw::sources).chain(&self.secret) {
            if let Some(file) = source.open_to_others(&check.base) {
                check.warning(say!("secret_open", app = self.name, file = file.to_string_lossy()));
            }
        }
    }

    /// The secrets that the platform needs, or nothing and problems.
    fn secrets(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) -> Option<Secrets> {
        let given = [("secret", &self.secret)];
        let mut read = Some(Secrets::new());
        for (key, source) in given {
            let secret = match (source, facts.credentials.contains(&key)) {
                (Some(source), true) => source.read(&place.key(key), check),
                (Some(_), false) => {
                    check.problem(&place.key(key), say!("not_of_platform", key = key, platform = facts.word));
                    None
                }
                (None, true) => {
                    check.problem(place, say!("config_missing_key", key = key));
                    None
                }
                (None, false) => continue,
            };
            read = read.zip(secret).map(|(mut read, secret)| {
                read.insert(key, secret);
                read
            });
        }
        read
    }

    fn ask_at_once(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) -> usize {
        let (asked, most) = (self.ask_at_once.unwrap_or(facts.popup.usual), facts.popup.most);
        if !(1..=most).contains(&asked) {
            let what = say!("ask_at_once_out_of_bounds", found = asked, most = most);
            check.problem(&place.key("ask_at_once"), what);
        }
        asked
    }

    /// Whether the platform's pushes come that the other keys need.
    fn feeds(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) {
        let (name, pushes) = (&self.name, self.callback.is_some());
        if pushes && facts.pushes.is_none() {
            check.problem(&place.key("callback"), say!("not_of_platform", key = "callback", platform = facts.word));
        }
        if !pushes && self.consents != Feeds::Client {
            check.problem(&place.key("consents"), say!("consents_without_callback"));
        }
        if self.exclusive && !self.consents.counts(Feed::Client) {
            check.warning(say!("exclusive_without_effect", app = name));
        }
        if !pushes && self.receipt_wait.is_some() {
            check.warning(say!("receipt_wait_without_effect", app = name));
        }
    }

    /// In test mode, who alone is reached.
    fn testers(&self, check: &mut Check<'_>) -> Option<HashSet<String>> {
        let (name, n) = (&self.name, self.testers.len());
        match self.mode {
            Mode::Live => return None,
            Mode::Test if n == 0 => {
                check.warning(say!("test_mode_nobody", app = name));
            }
            Mode::Test => check.warning(say!("test_mode", app = name, testers = n)),
        }
        Some(self.testers.iter().cloned().collect())
    }

    fn receipt_wait(&self, place: &Place<'_>, check: &mut Check<'_>) -> Millis {
        let Some(text) = &self.receipt_wait else { return RECEIPT_WAIT };
        let wait = parse_duration(text).and_then(|wait| match wait <= DAY {
            true => Ok(wait),
            false => Err(say!("receipt_wait_too_long")),
        });
        check.good(&place.key("receipt_wait"), wait).unwrap_or(RECEIPT_WAIT)
    }
}

/// The zone of this name.
///
/// # Errors
/// A message, with the nearest name.
pub fn zone(text: &str) -> Result<Tz, Message> {
    let known: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    text.parse().map_err(|_| say!("bad_zone", zone = text, near = near(text, &known)))
}

#[cfg(test)]
mod tests {
    use crate::{
        config::tests::refused,
        platform::{self, BUILT},
    };

    #[test]
    fn a_misspelt_platform_is_told_which_there_are() {
        let word = BUILT[0].word;
        let (good, bad) = (format!("\"{word}\""), format!("\"{word}t\""));
        let all = platform::words().join(", ");
        let said = format!("tixing.toml:8: «{word}t» is not a platform; allowed are {all}; did you mean «{word}»?");
        refused(&[(&good, &bad, &said)]);
    }

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        refused(&[
            ("wx0123456789abcdef", "", "tixing.toml:9: «» is not an appid"),
            (
                "Asia/Shanghai",
                "Asia/Shangai",
                "tixing.toml:11: «Asia/Shangai» is not an IANA time zone like Asia/Shanghai; did you mean «Asia/Shanghai»?",
            ),
            ("timezone =", "quiet_hours =", "quiet hours are wall time and need the app's timezone"),
            (
                "timezone = \"Asia/Shanghai\"",
                "consents = \"callback\"",
                "tixing.toml:11: consents that the platform pushes need a callback",
            ),
            ("timezone = \"Asia/Shanghai\"", "rate = -5", "expected a whole number above 0"),
            ("timezone = \"Asia/Shanghai\"", "rate = 0", "tixing.toml:11: rate is 0; allowed are 1 to 100000"),
        ]);
    }
}
