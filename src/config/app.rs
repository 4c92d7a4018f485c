//! `[[app]]`: a mini-program.

use super::{
    callback::{self, CallbackSecrets},
    check::{Check, is_name, near},
    place::Place,
    secret, template,
};
use crate::{
    domain::{
        DAY, Millis, SECOND,
        consent::{Feed, Feeds},
        decide::AppRules,
        template::Template,
        timing::{QuietHours, parse_duration},
    },
    words::{Message, say},
};
use chrono_tz::Tz;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::collections::HashSet;

/// One mini-program.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name in the API and in files.
    pub name: String,
    /// Which platform.
    pub platform: Platform,
    /// The platform's id of the mini-program.
    pub appid: String,
    /// Its secret.
    pub secret: SecretString,
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
    pub callback: Option<CallbackSecrets>,
    /// Whose word on a tap counts.
    pub consents: Feeds,
    /// Templates that a mini-program asks for in one popup.
    pub ask_at_once: usize,
    /// Its templates.
    pub templates: Vec<Template>,
}

impl App {
    /// The template of that id or alias.
    pub fn template(&self, id_or_name: &str) -> Option<&Template> {
        self.templates.iter().find(|t| t.code == id_or_name || t.name.as_deref() == Some(id_or_name))
    }

    /// Whether all but the secrets is the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        // All fields are named, so that a new one cannot be forgotten here.
        fn told(app: &App) -> impl PartialEq {
            let App {
                name,
                platform,
                appid,
                secret: _,
                base_url,
                timezone,
                rate,
                concurrency,
                rules,
                callback,
                consents,
                ask_at_once,
                templates,
            } = app.clone();
            let has_key = callback.map(|callback| callback.aes_key.is_some());
            let address = (name, platform, appid, base_url, timezone);
            (address, rate, concurrency, rules, has_key, consents, ask_at_once, templates)
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
        Self { secret: new.secret.clone(), callback, ..self.clone() }
    }

    /// Whether its secrets are the same.
    pub fn has_secrets_of(&self, other: &Self) -> bool {
        fn secrets(app: &App) -> [Option<&str>; 3] {
            let callback = app.callback.as_ref();
            let key = callback.and_then(|callback| callback.aes_key.as_ref());
            [Some(&app.secret), callback.map(|callback| &callback.token), key]
                .map(|s| s.map(ExposeSecret::expose_secret))
        }
        secrets(self) == secrets(other)
    }
}

/// A platform that tixing can send on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// 微信.
    Wechat,
}

impl Platform {
    /// The word in configuration and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Wechat => "wechat",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: String,
    platform: String,
    appid: String,
    secret: secret::Source,
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
    #[serde(default = "default_ask_at_once")]
    ask_at_once: usize,
    #[serde(default)]
    consents: Feeds,
    #[serde(default)]
    template: Vec<template::Raw>,
}

/// How long the platform's receipt for a doubt is waited for, unless the app says otherwise.
const RECEIPT_WAIT: Millis = 60 * SECOND;

/// WeChat took three in one popup for years, and takes five now; old clients do not.
fn default_ask_at_once() -> usize {
    3
}

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
        self.identity(place, check);
        let base_url = self.base_url(place, check);
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
        self.feeds(place, check);
        let testers = self.testers(check);
        let receipt_wait = self.receipt_wait(place, check);
        let secret = self.secret.read(&place.key("secret"), check);
        let templates = template::check(&self.template, place, check);
        Some(App {
            name: self.name.clone(),
            platform: Platform::Wechat,
            appid: self.appid.clone(),
            secret: secret?,
            base_url,
            timezone,
            rate: self.rate,
            concurrency: self.concurrency,
            rules: AppRules {
                quiet_hours,
                testers,
                exclusive: self.exclusive && self.consents.counts(Feed::Client),
                receipt_wait: self.callback.is_some().then_some(receipt_wait),
            },
            callback,
            consents: self.consents,
            ask_at_once: self.ask_at_once,
            templates,
        })
    }

    fn identity(&self, place: &Place<'_>, check: &mut Check<'_>) {
        let Self { name, platform, appid, .. } = self;
        if !is_name(name) {
            check.problem(&place.key("name"), say!("bad_app_name", name = name));
        }
        match platform.as_str() {
            "wechat" => {}
            "alipay" | "douyin" | "kuaishou" | "baidu" => {
                check
                    .problem(&place.key("platform"), say!("platform_not_built", platform = platform, known = "wechat"));
            }
            other => {
                let allowed = ["wechat", "alipay", "douyin", "kuaishou", "baidu"];
                let what = say!("unknown_platform", found = other, allowed = allowed, near = near(other, &allowed));
                check.problem(&place.key("platform"), what);
            }
        }
        if appid.is_empty() || appid.len() > 64 || !appid.chars().all(|c| c.is_ascii_alphanumeric()) {
            check.problem(&place.key("appid"), say!("bad_appid", appid = appid));
        }
        if !(appid.starts_with("wx") && appid.len() == 18) {
            check.warning(say!("odd_appid", app = name, appid = appid));
        }
    }

    fn base_url(&self, place: &Place<'_>, check: &mut Check<'_>) -> String {
        let url = self.base_url.as_deref().unwrap_or("https://api.weixin.qq.com").trim_end_matches('/');
        if !reqwest::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host()) {
            let what = say!("bad_base_url", url = url, example = "https://api.weixin.qq.com");
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
        for source in self.callback.iter().flat_map(callback::Raw::sources).chain([&self.secret]) {
            if let Some(file) = source.open_to_others(&check.base) {
                check.warning(say!("secret_open", app = self.name, file = file.to_string_lossy()));
            }
        }
    }

    /// Whether the platform's pushes come that the other keys need.
    fn feeds(&self, place: &Place<'_>, check: &mut Check<'_>) {
        let (name, pushes) = (&self.name, self.callback.is_some());
        if !pushes && self.consents != Feeds::Client {
            check.problem(&place.key("consents"), say!("consents_without_callback"));
        }
        if !(1..=5).contains(&self.ask_at_once) {
            let what = say!("ask_at_once_out_of_bounds", found = self.ask_at_once, most = 5);
            check.problem(&place.key("ask_at_once"), what);
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

fn zone(text: &str) -> Result<Tz, Message> {
    let known: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    text.parse().map_err(|_| say!("bad_zone", zone = text, near = near(text, &known)))
}

#[cfg(test)]
mod tests {
    use crate::config::tests::refused;

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        refused(&[
            (
                "\"wechat\"",
                "\"wechatt\"",
                "tixing.toml:8: «wechatt» is not a platform; allowed are wechat, alipay, douyin, kuaishou, baidu; did you mean «wechat»?",
            ),
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
