//! `[[app]]`: a mini-program.

use super::{
    callback,
    check::{Check, is_name, near},
    codes, elsewhere,
    own::{self, Own},
    place::Place,
    proxy::{self, Way},
    template,
};
use crate::{
    domain::{
        DAY, Invalid, Millis, SECOND,
        consent::{Feed, Feeds},
        decide::{AppRules, NeverSafe},
        draft::{Terms, UserRule},
        hint,
        options::Options,
        outcome::Reaction,
        page::PageRules,
        template::{Listing, Template},
        timing::{QuietHours, cut, parse_duration},
    },
    platform::{
        self, Account, Adapter, Facts,
        code::Blame,
        elsewhere::{Elsewhere, Source},
        facts::Secrets,
        mapped::{Codes, Mapped},
        proxy::Proxy,
        push::Pushes,
    },
    words::{Message, say},
};
use chrono_tz::Tz;
use data_encoding::HEXLOWER;
use secrecy::ExposeSecret;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet};

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
    /// Some of its secrets were not read, since a command that sends nothing needs none: it has no adapter and reads no pushes.
    pub without_secrets: bool,
    /// What it says of itself that only its platform asks.
    pub settings: Options,
    /// Where its tokens come from, if not from the platform.
    pub token: Option<Source>,
    /// The way out, if it is not the direct one.
    pub proxy: Option<Proxy>,
    /// Where the platform's API answers.
    pub base_url: String,
    /// The zone of local times.
    pub timezone: Option<Tz>,
    /// Sends per second.
    pub rate: u32,
    /// Sends in flight.
    pub concurrency: u32,
    /// Into how many lanes it is divided, so that several daemons send its reminders at the same time.
    pub shards: u32,
    /// Its rules about when and to whom to send at all.
    pub rules: AppRules,
    /// How the platform's pushes are told from forgeries, if it pushes.
    pub callback: Option<Secrets>,
    /// Whose word on a tap counts.
    pub consents: Feeds,
    /// Templates that a mini-program asks for in one popup.
    pub ask_at_once: usize,
    /// What its operator says that codes of the platform mean.
    pub codes: Codes,
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
            page: self.page(),
            user: UserRule { rule: self.platform.user, settings: &self.settings },
            tickets: self.platform.tickets,
        }
    }

    /// What it can name as a page.
    pub fn page(&self) -> PageRules {
        (self.platform.page)(&self.settings)
    }

    /// The template of that id or alias.
    pub fn template(&self, id_or_name: &str) -> Option<&Template> {
        self.templates.iter().find(|t| t.code == id_or_name || t.name.as_deref() == Some(id_or_name))
    }

    /// As its platform knows it.
    fn account(&self) -> Account<'_> {
        Account { base_url: &self.base_url, appid: &self.appid, secrets: &self.secrets, settings: &self.settings }
    }

    /// Whether anybody has said what a code of its platform means.
    pub fn knows(&self, code: &str) -> bool {
        self.codes.contains_key(code) || self.platform.meaning(code).is_some()
    }

    /// Whether a refusal with this code means that the platform knows no consent, so that ours are void.
    pub fn denies(&self, code: &str) -> bool {
        let listed = || self.platform.code(code).map(|known| known.reaction);
        self.codes.get(code).copied().or_else(listed) == Some(Reaction::Deny)
    }

    /// What of the template a refusal with this code blames, unless its operator says that it means something else.
    pub fn blames(&self, code: &str) -> Option<Blame> {
        let known = self.platform.code(code)?;
        known.blames.filter(|_| self.codes.get(code).is_none_or(|reaction| *reaction == known.reaction))
    }

    /// Its platform's adapter.
    ///
    /// # Panics
    /// When its secrets were not read and checked by this configuration.
    pub fn adapter(&self) -> Box<dyn Adapter> {
        let own = (self.platform.adapter)(&self.account()).expect("the configuration has checked the secrets' shape");
        let own: Box<dyn Adapter> =
            if self.codes.is_empty() { own } else { Box::new(Mapped::new(own, self.codes.clone())) };
        match &self.token {
            Some(source) => Box::new(Elsewhere::new(own, source.clone())),
            None => own,
        }
    }

    /// Whether its platform lists an account's templates, so that it can be asked for them.
    pub fn lists_templates(&self) -> bool {
        // Where secrets were passed over, an adapter that checks theirs cannot be made; those of platforms that list templates can.
        (self.platform.adapter)(&self.account()).is_ok_and(|adapter| adapter.listings().is_some())
    }

    /// How its pushes are read, if it has any.
    ///
    /// # Panics
    /// When its secrets were not read and checked by this configuration.
    pub fn pushes(&self) -> Option<Box<dyn Pushes>> {
        let (pushes, secrets) = self.platform.pushes.as_ref().zip(self.callback.as_ref())?;
        Some((pushes.reader)(&self.account(), secrets).expect("the configuration has checked the secrets' shape"))
    }

    /// A digest of what daemons must agree on that share a database: all that decides when and how a message goes, and no secret.
    pub fn digest(&self) -> String {
        let rules = &self.rules;
        let testers: BTreeSet<&String> = rules.testers.iter().flatten().collect();
        let rules = (rules.quiet_hours, testers, rules.testers.is_some(), rules.exclusive, rules.receipt_wait);
        let limits = (self.rate, self.concurrency, self.shards, self.consents, self.ask_at_once, self.timezone);
        let app = (self.platform.word, &self.appid, &self.settings, &self.base_url, rules, limits, &self.templates);
        let digest = Sha256::digest(format!("{app:?}"));
        HEXLOWER.encode(&digest[..8])
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
                without_secrets: _,
                settings,
                token,
                proxy,
                base_url,
                timezone,
                rate,
                concurrency,
                shards,
                rules,
                callback,
                consents,
                ask_at_once,
                codes,
                templates,
                testers,
            } = app.clone();
            let secrets: Option<Vec<&str>> = callback.map(|callback| callback.into_keys().collect());
            let ways = (token.map(Source::address), proxy.map(Proxy::address), base_url);
            let address = (name, platform, appid, settings, ways, timezone);
            let limits = (rate, concurrency, shards);
            (address, limits, rules, secrets, consents, ask_at_once, (codes, templates, testers))
        }
        told(self) == told(other)
    }

    /// The same with the secrets of `new`, where it has them too.
    #[must_use]
    pub fn with_secrets_of(&self, new: &Self) -> Self {
        let callback = match (&self.callback, &new.callback) {
            (Some(own), Some(new)) if own.keys().eq(new.keys()) => Some(new.clone()),
            (own, _) => own.clone(),
        };
        let token = if self.token.is_some() && new.token.is_some() { new.token.clone() } else { self.token.clone() };
        let mut proxy = self.proxy.clone();
        // Those of another proxy are not for this one.
        if let Some((own, new)) = proxy.as_mut().zip(new.proxy.as_ref()).filter(|(own, new)| own.url == new.url) {
            own.credentials = new.credentials.clone();
        }
        Self { secrets: new.secrets.clone(), callback, token, proxy, ..self.clone() }
    }

    /// Whether its secrets are the same.
    pub fn has_secrets_of(&self, other: &Self) -> bool {
        fn secrets(app: &App) -> impl PartialEq {
            let of_token = app.token.iter().map(|token| ("token", &token.header));
            let of_pushes = app.callback.iter().flatten().map(|(key, secret)| (*key, secret));
            let of_proxy = app.proxy.iter().map(|proxy| ("proxy", &proxy.credentials));
            let of_ways = of_token.chain(of_proxy);
            let all = app.secrets.iter().map(|(key, secret)| (*key, secret)).chain(of_pushes).chain(of_ways);
            all.map(|(key, secret)| (key, secret.expose_secret())).collect::<Vec<_>>()
        }
        secrets(self) == secrets(other)
    }
}

/// The keys that every app can have.
const KEYS: &[&str] = &[
    "name",
    "platform",
    "appid",
    "token",
    "proxy",
    "base_url",
    "timezone",
    "rate",
    "concurrency",
    "shards",
    "quiet_hours",
    "exclusive",
    "mode",
    "testers",
    "callback",
    "receipt_wait",
    "ask_at_once",
    "codes",
    "consents",
    "template",
];

#[derive(Deserialize)]
pub(super) struct Raw {
    name: String,
    platform: String,
    appid: String,
    token: Option<elsewhere::Raw>,
    proxy: Option<proxy::Raw>,
    base_url: Option<String>,
    timezone: Option<String>,
    rate: Option<u32>,
    #[serde(default = "default_concurrency")]
    concurrency: u32,
    #[serde(default = "one")]
    shards: u32,
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
    codes: codes::Raw,
    #[serde(default)]
    consents: Feeds,
    #[serde(default)]
    template: Vec<template::Raw>,
    #[serde(flatten)]
    own: Own,
}

/// Sends per second, unless the app or its platform says otherwise.
const RATE: u32 = 500;

/// Into how many lanes an app can be divided.
const MOST_SHARDS: u32 = 64;

/// How long the platform's receipt for a doubt is waited for, unless the app says otherwise.
const RECEIPT_WAIT: Millis = 60 * SECOND;

fn one() -> u32 {
    1
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

/// All apps; those alone that could be read whole. `proxy` is for all that do not name another.
pub(super) fn check(raw: &[Raw], proxy: Option<&proxy::Raw>, check: &mut Check<'_>) -> Vec<App> {
    if raw.is_empty() {
        check.warning(say!("no_app"));
    }
    let for_all = proxy.and_then(|raw| raw.check(&Place::table("proxy"), check)).map(|way| (way, check.passed_over));
    if let Some(file) = proxy.and_then(proxy::Raw::credentials).and_then(|source| source.open_to_others(&check.base)) {
        check.warning(say!("proxy_secret_open", file = file.to_string_lossy()));
    }
    if proxy.is_none() && raw.iter().any(|app| app.proxy.is_none()) {
        proxy::warn_of_variables(check);
    }
    let mut names = HashSet::new();
    let mut accounts: HashMap<(&str, &str), &str> = HashMap::new();
    let mut apps = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let place = Place::table("app").item(i);
        if !names.insert(&raw.name) {
            check.problem(&place.key("name"), say!("app_name_twice", name = raw.name));
        }
        if let Some(other) = accounts.insert((&raw.platform, &raw.appid), &raw.name) {
            check.warning(say!("appid_twice", app = raw.name, other = other, appid = raw.appid));
        }
        apps.extend(raw.check(for_all.as_ref(), &place, check));
    }
    apps
}

impl Raw {
    fn check(&self, for_all: Option<&(Way, bool)>, place: &Place<'_>, check: &mut Check<'_>) -> Option<App> {
        let platform = self.platform(place, check);
        self.identity(platform, place, check);
        // Of an app on a platform that is not known, the rest is checked as far as it is the same on all of them.
        let facts = platform.unwrap_or(platform::BUILT[0]);
        let base_url = self.base_url(facts, place, check);
        let timezone = self.timezone.as_ref().and_then(|zone| check.good(&place.key("timezone"), self::zone(zone)));
        if self.timezone.is_none() {
            check.warning(say!("no_timezone", app = self.name));
        }
        let quiet_hours = self.quiet_hours(timezone, place, check);
        let rate = self.rate(facts, check);
        for (key, value, most) in [("rate", rate, 100_000), ("concurrency", self.concurrency, 4_096)] {
            if value == 0 || value > most {
                check.problem(&place.key(key), say!("number_out_of_bounds", key = key, found = value, most = most));
            }
        }
        let most = rate.min(self.concurrency).clamp(1, MOST_SHARDS);
        if !self.shards.is_power_of_two() || self.shards > most {
            let allowed: Vec<u32> = (0..).map(|n| 1 << n).take_while(|n| *n <= most).collect();
            check.problem(&place.key("shards"), say!("bad_shards", found = self.shards, allowed = allowed));
        }
        self.openness(facts, check);
        if platform.is_some() {
            self.own.unknown(facts, KEYS, place, check);
        }
        let settings = self.own.settings(facts, place, check);
        check.passed_over = false;
        let token = self.token.as_ref().and_then(|raw| raw.check(&place.key("token"), check));
        let own_way = self.proxy.as_ref().and_then(|raw| raw.check(&place.key("proxy"), check));
        let proxy = match (own_way, for_all) {
            (None, Some((Way::By(proxy), passed_over))) => {
                check.passed_over |= passed_over;
                Some(proxy.clone())
            }
            (Some(Way::By(proxy)), _) => Some(proxy),
            _ => None,
        };
        let secrets = platform.and_then(|facts| self.own.secrets(facts, self.token.is_some(), place, check));
        let callback = self.callback(facts, place, check);
        let without_secrets = check.passed_over;
        if let Some(secrets) = secrets.as_ref().filter(|_| !without_secrets) {
            let account = Account { base_url: &base_url, appid: &self.appid, secrets, settings: &settings };
            self.shapes(facts, &account, callback.as_ref(), place, check);
        }
        let ask_at_once = self.ask_at_once(facts, place, check);
        let codes = codes::check(&self.codes, &self.name, facts, &place.key("codes"), check);
        self.feeds(facts, place, check);
        let testers = self.testers(check);
        let receipt_wait = self.receipt_wait(place, check);
        let templates = template::check(&self.template, facts, place, check);
        Some(App {
            name: self.name.clone(),
            platform: platform?,
            appid: self.appid.clone(),
            secrets: secrets?,
            without_secrets,
            settings,
            token,
            proxy,
            base_url,
            timezone,
            rate,
            concurrency: self.concurrency,
            shards: self.shards,
            rules: AppRules {
                quiet_hours,
                testers,
                exclusive: self.exclusive && self.never_safe(facts).is_none(),
                never_safe: self.never_safe(facts),
                receipt_wait: (self.callback.is_some() && facts.doubt.sends_receipts).then_some(receipt_wait),
            },
            callback,
            consents: self.consents,
            ask_at_once,
            codes,
            templates,
            testers: self.testers.clone(),
        })
    }

    /// Why `exclusive` has no effect, if it has none.
    fn never_safe(&self, facts: &Facts) -> Option<NeverSafe> {
        match (facts.doubt.counts_consents, self.consents.counts(Feed::Client)) {
            (false, _) => Some(NeverSafe::Platform),
            (true, false) => Some(NeverSafe::Pushes),
            (true, true) => None,
        }
    }

    fn platform(&self, place: &Place<'_>, check: &mut Check<'_>) -> Option<&'static Facts> {
        let word = self.platform.as_str();
        let found = platform::find(word);
        if found.is_none() {
            let allowed = platform::words();
            let what = say!("unknown_platform", found = word, allowed = allowed, near = near(word, &allowed));
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

    /// Sends per second.
    fn rate(&self, facts: &Facts, check: &mut Check<'_>) -> u32 {
        let most = facts.most_per_second.unwrap_or(u32::MAX);
        let Some(rate) = self.rate else { return RATE.min(most) };
        if rate > most {
            check.warning(say!("rate_above_platform", app = self.name, found = rate, most = most));
        }
        rate
    }

    fn quiet_hours(&self, zone: Option<Tz>, place: &Place<'_>, check: &mut Check<'_>) -> Option<QuietHours> {
        let without_zone = || say!("quiet_without_zone");
        let text = self.quiet_hours.as_ref()?;
        let hours = zone.ok_or_else(without_zone).and_then(|zone| QuietHours::parse(text, zone));
        check.good(&place.key("quiet_hours"), hours)
    }

    /// Warns of secrets that others on this machine can read.
    fn openness(&self, facts: &Facts, check: &mut Check<'_>) {
        let own = self.own.sources(facts);
        let of_token = self.token.iter().filter_map(elsewhere::Raw::source);
        let of_proxy = self.proxy.as_ref().and_then(proxy::Raw::credentials);
        let of_ways = of_token.chain(&of_proxy);
        for source in self.callback.iter().flat_map(callback::Raw::sources).chain(of_ways).chain(&own) {
            if let Some(file) = source.open_to_others(&check.base) {
                check.warning(say!("secret_open", app = self.name, file = file.to_string_lossy()));
            }
        }
    }

    /// The secrets of the platform's pushes.
    fn callback(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) -> Option<Secrets> {
        let (raw, place) = (self.callback.as_ref()?, place.key("callback"));
        let Some(pushes) = &facts.pushes else {
            check.problem(&place, say!("not_of_platform", key = "callback", platform = facts.word));
            return None;
        };
        raw.check(&self.name, pushes, &place, check)
    }

    /// Whether the secrets have the shape that the platform gives them.
    fn shapes(
        &self,
        facts: &Facts,
        account: &Account<'_>,
        callback: Option<&Secrets>,
        place: &Place<'_>,
        check: &mut Check<'_>,
    ) {
        let mut told = None;
        match (facts.adapter)(account) {
            Err(bad) => {
                check.problem(&own::place(place, bad.key), bad.why.clone());
                told = Some(bad);
            }
            Ok(adapter) if self.token.is_some() && adapter.tokens().is_none() => {
                check.problem(&place.key("token"), say!("not_of_platform", key = "token", platform = facts.word));
            }
            Ok(adapter) if adapter.tokens().is_none() => self.no_token_code(facts, place, check),
            Ok(_) => {}
        }
        let pushes = facts.pushes.as_ref().zip(callback);
        // Pushes that are proved by a key of the app's have the same to say of it.
        match pushes.map(|(pushes, secrets)| (pushes.reader)(account, secrets)) {
            Some(Err(bad)) if told.as_ref() != Some(&bad) => check.problem(&place.key("callback"), bad.why),
            _ => {}
        }
    }

    /// Where a platform gives out no tokens, no code can mean that one is bad.
    fn no_token_code(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) {
        for (code, _) in self.codes.iter().filter(|(_, word)| *word == "token") {
            check.problem(&place.key("codes").key(code), say!("not_of_platform", key = "token", platform = facts.word));
        }
    }

    fn ask_at_once(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) -> usize {
        let (asked, most) = (self.ask_at_once.unwrap_or(facts.popup.usual), facts.popup.most);
        if !(1..=most).contains(&asked) {
            let what = match most {
                1 => say!("ask_at_once_is_one", found = asked, platform = facts.word),
                _ => say!("ask_at_once_out_of_bounds", found = asked, most = most),
            };
            check.problem(&place.key("ask_at_once"), what);
        }
        asked
    }

    /// Whether the platform's pushes come that the other keys need.
    fn feeds(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) {
        let (name, pushes) = (&self.name, self.callback.is_some());
        if self.consents != Feeds::Client {
            let what = match &facts.pushes {
                Some(facts) if facts.tells.taps => {
                    (!pushes).then(|| say!("consents_without_callback", example = facts.example()))
                }
                _ => Some(say!("consents_never_pushed", platform = facts.word)),
            };
            what.into_iter().for_each(|what| check.problem(&place.key("consents"), what));
        }
        match self.never_safe(facts).filter(|_| self.exclusive) {
            Some(NeverSafe::Platform) => {
                check.warning(say!("exclusive_on_platform", app = name, platform = facts.word));
            }
            Some(NeverSafe::Pushes) => check.warning(say!("exclusive_without_effect", app = name)),
            None => {}
        }
        if self.receipt_wait.is_some() && !facts.doubt.sends_receipts {
            check.warning(say!("receipts_never_pushed", app = name, platform = facts.word));
        } else if self.receipt_wait.is_some() && !pushes {
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
    text.parse().map_err(|_| {
        let known: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
        let near = match is_of_china(text) {
            true => Some(say!("did_you_mean", near = "Asia/Shanghai")),
            false => near(text, &known),
        };
        say!("bad_zone", zone = text, near = near)
    })
}

/// Whether somebody means China's zone by this: it has the name of one city, and people write others, or its offset.
fn is_of_china(text: &str) -> bool {
    const NAMES: &[&str] = &[
        "beijing",
        "peking",
        "guangzhou",
        "shenzhen",
        "hangzhou",
        "chengdu",
        "nanjing",
        "wuhan",
        "tianjin",
        "xian",
        "china",
        "cst",
        "utc+8",
        "utc+08:00",
        "gmt+8",
        "gmt+08:00",
        "+8",
        "+08:00",
        "北京",
        "上海",
        "中国",
        "北京时间",
    ];
    let last = text.rsplit('/').next().unwrap_or_default().trim().to_lowercase();
    NAMES.contains(&last.as_str())
}

#[cfg(test)]
mod tests {
    use crate::{
        config::tests::{GOOD, read, refused},
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
    fn an_app_is_divided_into_a_power_of_two_that_its_limits_suffice_for_and_on_sqlite_that_has_no_effect() {
        let zone = "timezone = \"Asia/Shanghai\"";
        for (more, found, allowed) in [
            ("shards = 0", 0, "1, 2, 4, 8, 16, 32, 64"),
            ("shards = 3", 3, "1, 2, 4, 8, 16, 32, 64"),
            ("shards = 128", 128, "1, 2, 4, 8, 16, 32, 64"),
            ("shards = 4\nrate = 3", 4, "1, 2"),
            ("shards = 8\nconcurrency = 7", 8, "1, 2, 4"),
            ("shards = 2\nrate = 1", 2, "1"),
        ] {
            let said = format!("`shards` is {found}; allowed are {allowed}: each");
            refused(&[(zone, &format!("{zone}\n{more}"), &said)]);
        }
        let divided = GOOD.replacen(zone, &format!("{zone}\nshards = 64"), 1);
        let warned =
            |text: &str| read(text, &[]).expect("good").warnings.iter().any(|w| w.to_string().contains("`shards`"));
        assert!(
            warned(&divided) && !warned(&divided.replace("sqlite:tixing.db", "postgres://h/tixing")) && !warned(&GOOD)
        );
    }

    #[test]
    fn two_apps_of_one_account_and_an_app_without_a_zone_are_warned_of() {
        let warned = |text: &str| {
            let warnings = read(text, &[]).expect("good").warnings;
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let app = |name: &str, appid: &str| {
            let (_, app) = GOOD.split_once("[[app]]").expect("there is an app");
            format!("[[app]]{}", app.replace("coffee", name).replace("wx0123456789abcdef", appid))
        };
        let same = warned(&format!("{}{}", *GOOD, app("tea", "wx0123456789abcdef")));
        assert!(same.contains("apps coffee and tea: both have the appid wx0123456789abcdef"), "{same}");
        let other = warned(&format!("{}{}", *GOOD, app("tea", "wx0123456789abcdee")));
        assert_eq!((other.as_str(), warned(&GOOD).as_str()), ("", ""));
        let without = warned(&GOOD.replace("timezone = \"Asia/Shanghai\"\n", ""));
        assert!(without.contains("app coffee: it has no timezone"), "{without}");
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
            ("Asia/Shanghai", "Asia/Beijing", "did you mean «Asia/Shanghai»?"),
            ("Asia/Shanghai", "UTC+8", "did you mean «Asia/Shanghai»?"),
            ("Asia/Shanghai", "北京时间", "did you mean «Asia/Shanghai»?"),
            ("Asia/Shanghai", "Europe/Berln", "did you mean «Europe/Berlin»?"),
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
