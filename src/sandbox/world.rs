//! What the platform knows and how it judges: accounts, tokens, templates, consents, messages. No I/O, no clock.

use super::push::{Outgoing, PushSpec, Pushed, Pusher};
use crate::{
    domain::{
        MINUTE, Millis,
        push::{Item, Receipt},
        template::{Kind, Profile},
    },
    platform::wechat::fields,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A mini-program as the platform knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSpec {
    /// Its id.
    pub appid: String,
    /// Its secret.
    pub secret: String,
    /// Its approved templates.
    #[serde(default)]
    pub templates: Vec<TemplateSpec>,
    /// Pages of the released version; empty means that any page exists.
    #[serde(default)]
    pub pages: Vec<String>,
    /// Words that the platform refuses.
    #[serde(default)]
    pub forbidden_words: Vec<String>,
    /// The order of the checks, which the platform does not document. One that is left out is not made.
    #[serde(default = "Check::default_order")]
    pub order: Vec<Check>,
    /// Whether a send is answered with `msgid` (reported both ways).
    #[serde(default)]
    pub msgid: bool,
    /// Whether grants from before a refusal in the settings count again after it is lifted (unknown).
    #[serde(default)]
    pub revive: bool,
    /// Where its pushes go, if it wants them.
    #[serde(default)]
    pub push: Option<PushSpec>,
}

impl AppSpec {
    /// An app as it is configured.
    pub fn of(app: &crate::config::App) -> Self {
        use secrecy::ExposeSecret;
        let template = |t: &crate::domain::template::Template| TemplateSpec {
            id: t.code.clone(),
            title: t.title.clone(),
            kind: t.kind,
            fields: t.fields.clone(),
            choices: BTreeMap::new(),
            banned: false,
        };
        Self {
            appid: app.appid.clone(),
            secret: app.secrets["secret"].expose_secret().to_owned(),
            templates: app.templates.iter().map(template).collect(),
            pages: Vec::new(),
            forbidden_words: Vec::new(),
            order: Check::default_order(),
            msgid: true,
            revive: false,
            push: None,
        }
    }
}

/// A template as the platform knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    /// `priTmplId`.
    pub id: String,
    /// As the user sees it.
    #[serde(default)]
    pub title: String,
    /// One-time or long-term.
    pub kind: Kind,
    /// Key → label.
    pub fields: BTreeMap<String, String>,
    /// What a field of an enumerated type may say.
    #[serde(default)]
    pub choices: BTreeMap<String, Vec<String>>,
    /// Every send of it is refused with 43107.
    #[serde(default)]
    pub banned: bool,
}

/// A check of the send call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// What `account_code` says.
    Account,
    /// 45009.
    Quota,
    /// 45011.
    MinuteQuota,
    /// 40003.
    Openid,
    /// 40037, and 43107 for one that is banned.
    Template,
    /// 43108.
    Concurrency,
    /// 41030.
    Page,
    /// 47003.
    Data,
    /// 45168.
    Words,
    /// 43101.
    Consent,
}

impl Check {
    fn default_order() -> Vec<Self> {
        vec![
            Self::Account,
            Self::Quota,
            Self::MinuteQuota,
            Self::Openid,
            Self::Template,
            Self::Concurrency,
            Self::Page,
            Self::Data,
            Self::Words,
            Self::Consent,
        ]
    }
}

/// What goes wrong, and how often: rates are from 0 to 1, decided request by request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Every send takes at least so long.
    pub latency_ms: u64,
    /// And at most so much longer.
    pub jitter_ms: u64,
    /// Answers -1.
    pub busy_rate: f64,
    /// The connection breaks before the message was accepted.
    pub reset_before_rate: f64,
    /// The connection breaks after the message was accepted.
    pub reset_after_rate: f64,
    /// The message is accepted, and the answer is HTML.
    pub garbage_rate: f64,
    /// The message is accepted, and the answer is cut off.
    pub half_json_rate: f64,
    /// A gateway answers 502 before the message was accepted.
    pub gateway_rate: f64,
    /// Answers a redirect.
    pub redirect_rate: f64,
    /// The message is accepted, and the answer has 200 MB.
    pub huge_rate: f64,
    /// The message is accepted, and no answer comes for a minute.
    pub silent_rate: f64,
    /// A relay before the platform answers every send with this status, such as 404 or 429, and passes nothing on.
    pub relay_status: Option<u16>,
    /// And says to wait so many seconds.
    pub retry_after: Option<u32>,
    /// All tokens given out before are worth nothing; turns itself off.
    pub token_revoked: bool,
    /// Every token is refused with 40001, also one that has just been given out, and each that is asked for is a new one.
    pub tokens_refused: bool,
    /// The caller's address is not on the whitelist.
    pub ip_blocked: bool,
    /// Sends left today; then 45009.
    pub quota_left: Option<u64>,
    /// Sends left in this minute; then 45011.
    pub minute_left: Option<u64>,
    /// How often the templates can be listed today; then 45009.
    pub lists_left: Option<u64>,
    /// Sends a second that the platform says it allows; it says nothing of it by default.
    pub rate_limit: Option<u32>,
    /// The account is restricted: every send is refused with this code, such as 43107, 48001, 48004 or 50002.
    pub account_code: Option<i64>,
    /// Every push leaves so late at least.
    pub push_delay_ms: u64,
    /// And at most so much later: with it they overtake each other.
    pub push_jitter_ms: u64,
    /// A push never leaves.
    pub push_lost_rate: f64,
    /// A push leaves twice.
    pub push_twice_rate: f64,
    /// A message is accepted and then not delivered: its receipt says so.
    pub undelivered_rate: f64,
}

impl Faults {
    /// All rates by name.
    pub(super) fn rates(&self) -> [(&'static str, f64); 12] {
        [
            ("busy_rate", self.busy_rate),
            ("reset_before_rate", self.reset_before_rate),
            ("reset_after_rate", self.reset_after_rate),
            ("garbage_rate", self.garbage_rate),
            ("half_json_rate", self.half_json_rate),
            ("gateway_rate", self.gateway_rate),
            ("redirect_rate", self.redirect_rate),
            ("huge_rate", self.huge_rate),
            ("silent_rate", self.silent_rate),
            ("push_lost_rate", self.push_lost_rate),
            ("push_twice_rate", self.push_twice_rate),
            ("undelivered_rate", self.undelivered_rate),
        ]
    }
}

/// A message that a user received.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Which mini-program.
    pub appid: String,
    /// Who.
    pub openid: String,
    /// `priTmplId`.
    pub template: String,
    /// Page that opens on tap.
    pub page: Option<String>,
    /// Field values.
    pub data: BTreeMap<String, String>,
    /// When it was accepted, UTC milliseconds.
    pub at: Millis,
}

/// The platform's own account of one user and template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Which mini-program.
    pub appid: String,
    /// Who.
    pub openid: String,
    /// `priTmplId`.
    pub template: String,
    /// Accepts so far.
    pub granted: i64,
    /// Messages accepted against them.
    pub used: i64,
    /// Whether the user has turned it off.
    pub refused: bool,
}

/// How an answer is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Reset,
    Html,
    HalfJson,
    Gateway,
    Relay { status: u16, retry_after: Option<u32> },
    Redirect,
    Huge,
}

/// What the faults decided about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing but time.
    None(u64),
    /// Broken before the message is looked at.
    Early(Broken),
    /// Broken after it was judged.
    Late(Broken),
    /// Judged, then silence.
    Silent,
}

impl Effect {
    pub(super) fn delay_ms(self) -> Option<u64> {
        match self {
            Self::None(0) | Self::Early(_) | Self::Late(_) => None,
            Self::None(ms) => Some(ms),
            Self::Silent => Some(60_000),
        }
    }
}

/// A refusal in the platform's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: i64,
    pub text: String,
}

impl Refusal {
    pub(super) fn new(code: i64, text: &str) -> Self {
        Self { code, text: text.to_owned() }
    }
}

/// A send under way.
pub(super) struct Call {
    judged: Result<(String, Value), Refusal>,
    busy: Option<(String, String)>,
    accepted: Option<Result<Option<u64>, Refusal>>,
}

#[derive(Debug, Default)]
struct Grant {
    granted: i64,
    used: i64,
    usable: i64,
    standing: bool,
    refused: bool,
}

#[derive(Debug)]
struct Tokens {
    current: Option<(String, Millis)>,
    /// Stays usable for a while after it was replaced.
    previous: Option<(String, Millis)>,
}

/// All that the platform knows.
pub struct World {
    apps: HashMap<String, AppSpec>,
    /// By (appid, stable): the two families never affect each other.
    tokens: HashMap<(String, bool), Tokens>,
    grants: BTreeMap<(String, String, String), Grant>,
    off: HashSet<(String, String)>,
    in_flight: HashSet<(String, String)>,
    messages: Vec<Message>,
    /// What goes wrong.
    pub faults: Faults,
    pushers: HashMap<String, Pusher>,
    pushes: Vec<Outgoing>,
    pub(super) pushed: Vec<Pushed>,
    rng: StdRng,
    counter: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            apps: HashMap::new(),
            tokens: HashMap::new(),
            grants: BTreeMap::new(),
            off: HashSet::new(),
            in_flight: HashSet::new(),
            messages: Vec::new(),
            faults: Faults::default(),
            pushers: HashMap::new(),
            pushes: Vec::new(),
            pushed: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
            counter: 0,
        }
    }

    /// Whether there is such a mini-program.
    pub fn knows(&self, appid: &str) -> bool {
        self.apps.contains_key(appid)
    }

    /// Registers a mini-program, or changes one.
    pub fn add_app(&mut self, app: AppSpec) {
        self.apps.insert(app.appid.clone(), app);
    }

    /// The account's templates from now on; `false` if there is no such account.
    pub fn set_templates(&mut self, appid: &str, templates: Vec<TemplateSpec>) -> bool {
        self.apps.get_mut(appid).map(|app| app.templates = templates).is_some()
    }

    /// An app's pushes go there from now on.
    pub fn push_to(&mut self, appid: &str, pusher: Pusher) {
        self.pushers.insert(appid.to_owned(), pusher);
    }

    /// The user answers a popup, and the platform tells.
    pub fn popup(&mut self, appid: &str, openid: &str, results: &BTreeMap<String, bool>, now: Millis) {
        for (template, accepted) in results {
            self.tap(appid, openid, template, *accepted);
        }
        let item =
            |(template, accepted): (&String, &bool)| Item::Answered { template: template.clone(), accepted: *accepted };
        self.tell(appid, openid, results.iter().map(item).collect(), now);
    }

    /// The user turns a template off on the card of a message, and the platform tells.
    pub fn turn_off(&mut self, appid: &str, openid: &str, template: &str, now: Millis) {
        self.set_switch(appid, openid, Some(template), false);
        self.tell(appid, openid, vec![Item::TurnedOff { template: template.to_owned() }], now);
    }

    /// Queues a push, as the faults will have it.
    fn tell(&mut self, appid: &str, openid: &str, items: Vec<Item>, now: Millis) {
        if !self.pushers.contains_key(appid) || items.is_empty() {
            return;
        }
        let hit = |rng: &mut StdRng, rate: f64| rate > 0.0 && rng.random::<f64>() < rate;
        let copies = if hit(&mut self.rng, self.faults.push_lost_rate) {
            0
        } else {
            1 + u32::from(hit(&mut self.rng, self.faults.push_twice_rate))
        };
        for _ in 0..copies {
            let jitter = self.faults.push_jitter_ms;
            let late = self.faults.push_delay_ms + if jitter > 0 { self.rng.random_range(0..=jitter) } else { 0 };
            self.pushes.push(Outgoing {
                appid: appid.to_owned(),
                openid: openid.to_owned(),
                items: items.clone(),
                at: now,
                due: now + Millis::try_from(late).unwrap_or(Millis::MAX / 2),
                tries: 0,
                shape: self.rng.random(),
            });
        }
    }

    /// The pushes that leave now, and where to.
    pub fn take_pushes(&mut self, now: Millis) -> Vec<(Outgoing, Pusher)> {
        let (due, later) = std::mem::take(&mut self.pushes).into_iter().partition(|push| push.due <= now);
        self.pushes = later;
        let mut due: Vec<Outgoing> = due;
        due.sort_by_key(|push| push.due);
        due.into_iter()
            .filter_map(|push| Some((self.pushers.get(&push.appid)?.clone(), push)))
            .map(|(to, push)| (push, to))
            .collect()
    }

    /// A push that nobody took leaves again.
    pub fn push_again(&mut self, push: Outgoing) {
        self.pushes.push(push);
    }

    /// What became of the pushes.
    pub fn pushed(&self) -> &[Pushed] {
        &self.pushed
    }

    /// Registers an app as it is configured.
    pub fn add_configured(&mut self, app: &crate::config::App) {
        self.add_app(AppSpec::of(app));
    }

    /// Forgets users, messages, tokens, pushes and faults; the apps stay.
    pub fn reset(&mut self) {
        let apps = std::mem::take(&mut self.apps);
        let pushers = std::mem::take(&mut self.pushers);
        let seed = self.rng.random();
        *self = Self { apps, pushers, ..Self::new(seed) };
    }

    /// The user answers the popup for one template.
    pub fn tap(&mut self, appid: &str, openid: &str, template: &str, accepted: bool) {
        let standing = self
            .apps
            .get(appid)
            .and_then(|app| app.templates.iter().find(|t| t.id == template))
            .is_some_and(|t| t.kind == Kind::LongTerm);
        let grant = self.grants.entry((appid.into(), openid.into(), template.into())).or_default();
        if accepted {
            grant.granted += 1;
            grant.usable += 1;
            grant.standing |= standing;
            grant.refused = false;
        }
    }

    /// The user turns a template, or everything, off or on in the settings.
    pub fn set_switch(&mut self, appid: &str, openid: &str, template: Option<&str>, on: bool) {
        let Some(template) = template else {
            let user = (appid.to_owned(), openid.to_owned());
            if on {
                self.off.remove(&user)
            } else {
                self.off.insert(user)
            };
            return;
        };
        let revive = self.apps.get(appid).is_some_and(|app| app.revive);
        let grant = self.grants.entry((appid.into(), openid.into(), template.into())).or_default();
        grant.refused = !on;
        if !on && !revive {
            grant.usable = 0;
            grant.standing = false;
        }
    }

    /// What users received, in order of arrival.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The account of every user and template.
    pub fn ledger(&self) -> Vec<Ledger> {
        let entry = |((appid, openid, template), grant): (&(String, String, String), &Grant)| Ledger {
            appid: appid.clone(),
            openid: openid.clone(),
            template: template.clone(),
            granted: grant.granted,
            used: grant.used,
            refused: grant.refused,
        };
        self.grants.iter().map(entry).collect()
    }

    pub(super) fn token(
        &mut self,
        appid: &str,
        secret: &str,
        stable: bool,
        force: bool,
        now: Millis,
    ) -> Result<(String, i64), Refusal> {
        let Some(app) = self.apps.get(appid) else { return Err(self.refuse(40013, "invalid appid")) };
        if app.secret != secret {
            return Err(self.refuse(40125, "invalid appsecret"));
        }
        if self.faults.ip_blocked {
            return Err(self.refuse(40164, "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist"));
        }
        self.counter += 1;
        let fresh = format!("SANDBOX-{appid}-{}", self.counter);
        let tokens = self.tokens.entry((appid.to_owned(), stable)).or_insert(Tokens { current: None, previous: None });
        let keep = stable
            && !force
            && !self.faults.tokens_refused
            && tokens.current.as_ref().is_some_and(|(_, until)| *until - now > 5 * MINUTE);
        if !keep {
            // A forced refresh ends the token before last at once; the last one lives on for up to five minutes.
            tokens.previous = tokens.current.take().map(|(token, until)| (token, until.min(now + 5 * MINUTE)));
            tokens.current = Some((fresh, now + 7_200_000));
        }
        let (token, until) = tokens.current.as_ref().expect("just set");
        Ok((token.clone(), (until - now) / 1_000))
    }

    fn refuse(&mut self, code: i64, text: &str) -> Refusal {
        let rid = format!(
            " rid: {:08x}-{:08x}-{:08x}",
            self.rng.random::<u32>(),
            self.rng.random::<u32>(),
            self.rng.random::<u32>()
        );
        // Only 47003's text is cut, to 48 bytes before the rid.
        let mut end = if code == 47003 { text.len().min(48) } else { text.len() };
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Refusal { code, text: format!("{}{rid}", &text[..end]) }
    }

    fn effect(&mut self) -> Effect {
        let faults = self.faults.clone();
        let mut hit = |rate: f64| rate > 0.0 && self.rng.random::<f64>() < rate;
        if let Some(status) = faults.relay_status {
            Effect::Early(Broken::Relay { status, retry_after: faults.retry_after })
        } else if hit(faults.reset_before_rate) {
            Effect::Early(Broken::Reset)
        } else if hit(faults.gateway_rate) {
            Effect::Early(Broken::Gateway)
        } else if hit(faults.redirect_rate) {
            Effect::Early(Broken::Redirect)
        } else if hit(faults.reset_after_rate) {
            Effect::Late(Broken::Reset)
        } else if hit(faults.garbage_rate) {
            Effect::Late(Broken::Html)
        } else if hit(faults.half_json_rate) {
            Effect::Late(Broken::HalfJson)
        } else if hit(faults.huge_rate) {
            Effect::Late(Broken::Huge)
        } else if hit(faults.silent_rate) {
            Effect::Silent
        } else {
            Effect::None(
                faults.latency_ms + if faults.jitter_ms > 0 { self.rng.random_range(0..=faults.jitter_ms) } else { 0 },
            )
        }
    }

    /// A send arrives. What takes effect at once is judged here, so that a user who hangs up at the right moment was served.
    pub(super) fn begin_send(&mut self, token: &str, body: &[u8], now: Millis) -> (Effect, Call) {
        let effect = self.effect();
        let mut call = Call { judged: self.judge_head(token, body, now), busy: None, accepted: None };
        if let Ok((appid, body)) = &call.judged {
            let user = (appid.clone(), body["touser"].as_str().unwrap_or_default().to_owned());
            if self.in_flight.insert(user.clone()) {
                call.busy = Some(user);
            }
        }
        if effect == Effect::Silent {
            // Accepted now, though the answer never comes: the caller's patience must not decide what happened.
            let result = self.judge(&call, now);
            call.accepted = Some(result);
            self.abandon(&call);
        }
        (effect, call)
    }

    /// The caller gets no judgement.
    pub(super) fn abandon(&mut self, call: &Call) {
        if let Some(user) = &call.busy {
            self.in_flight.remove(user);
        }
    }

    /// The send is judged; an accepted one reaches its user.
    pub(super) fn finish_send(&mut self, mut call: Call, now: Millis) -> Result<Option<u64>, Refusal> {
        let result = match call.accepted.take() {
            Some(result) => result,
            None => self.judge(&call, now),
        };
        self.abandon(&call);
        result
    }

    /// Whose token it is.
    fn owner(&mut self, token: &str, now: Millis) -> Result<String, Refusal> {
        let known = self.tokens.iter().filter(|_| !self.faults.tokens_refused);
        let owner = known.into_iter().find_map(|((appid, _), tokens)| {
            let known = tokens.current.iter().chain(&tokens.previous).find(|(known, _)| known == token)?;
            Some((appid.clone(), known.1))
        });
        match owner {
            None => Err(self.refuse(40001, "invalid credential, access_token is invalid or not latest")),
            Some((_, until)) if until <= now => Err(self.refuse(42001, "access_token expired")),
            Some((appid, _)) => Ok(appid),
        }
    }

    /// Sends a day, used, and left.
    pub(super) fn quota(&mut self, token: &str, now: Millis) -> Result<(i64, i64, i64), Refusal> {
        let appid = self.owner(token, now)?;
        let used = self.messages.iter().filter(|m| m.appid == appid).count() as i64;
        let left = self.faults.quota_left.map_or(10_000_000 - used, |left| left as i64);
        Ok((used + left, used, left))
    }

    /// The account's templates.
    pub(super) fn templates(&mut self, token: &str, now: Millis) -> Result<Vec<TemplateSpec>, Refusal> {
        let appid = self.owner(token, now)?;
        match &mut self.faults.lists_left {
            Some(0) => return Err(self.refuse(45009, "reach max api daily quota limit")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(self.apps.get(&appid).map(|app| app.templates.clone()).unwrap_or_default())
    }

    fn judge_head(&mut self, token: &str, body: &[u8], now: Millis) -> Result<(String, Value), Refusal> {
        if self.faults.token_revoked {
            self.faults.token_revoked = false;
            self.tokens.clear();
        }
        if token.is_empty() {
            return Err(self.refuse(41001, "access_token missing"));
        }
        let appid = self.owner(token, now)?;
        if self.faults.busy_rate > 0.0 && self.rng.random::<f64>() < self.faults.busy_rate {
            return Err(self.refuse(-1, "system error"));
        }
        if body.is_empty() {
            return Err(self.refuse(44002, "empty post data"));
        }
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if value.is_object() => Ok((appid, value)),
            _ => Err(self.refuse(47001, "data format error")),
        }
    }

    fn judge(&mut self, call: &Call, now: Millis) -> Result<Option<u64>, Refusal> {
        let (appid, body) = call.judged.clone()?;
        let app = self.apps.get(&appid).cloned().expect("tokens belong to apps");
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let (openid, code, page) = (text("touser"), text("template_id"), body["page"].as_str().map(str::to_owned));
        let template = app.templates.iter().find(|t| t.id == code);
        for check in &app.order {
            let refusal = match check {
                Check::Account => self.faults.account_code.map(|code| (code, "api unauthorized or banned".into())),
                Check::Quota => {
                    (self.faults.quota_left == Some(0)).then(|| (45009, "reach max api daily quota limit".into()))
                }
                Check::MinuteQuota => {
                    (self.faults.minute_left == Some(0)).then(|| (45011, "api minute-quota reach limit".into()))
                }
                Check::Openid => (openid.is_empty() || openid.len() > 128).then(|| (40003, "invalid openid".into())),
                Check::Template => match template {
                    None => Some((40037, "invalid template_id".into())),
                    Some(template) => template.banned.then(|| (43107, "subscribe ability is banned".into())),
                },
                Check::Concurrency => call
                    .busy
                    .is_none()
                    .then(|| (43108, "Cannot make concurrent calls to the same OpenID, please try again".into())),
                Check::Page => page
                    .as_ref()
                    .map(|page| page.split('?').next().unwrap_or_default().to_owned())
                    .filter(|path| !app.pages.is_empty() && !app.pages.contains(path))
                    .map(|_| (41030, "invalid page".into())),
                Check::Data => template.and_then(|t| wrong_field(t, &body["data"])).map(|text| (47003, text)),
                Check::Words => {
                    let said = body["data"].to_string();
                    app.forbidden_words
                        .iter()
                        .any(|word| said.contains(word))
                        .then(|| (45168, "keyword in blacklist".into()))
                }
                Check::Consent => {
                    let off = self.off.contains(&(appid.clone(), openid.clone()));
                    let grant = self.grants.get(&(appid.clone(), openid.clone(), code.clone()));
                    let usable = grant.is_some_and(|g| !g.refused && (g.standing || g.usable > 0));
                    (off || !usable).then(|| (43101, "user refuse to accept the msg".into()))
                }
            };
            if let Some((code, text)) = refusal {
                return Err(self.refuse(code, &text));
            }
        }
        for left in [&mut self.faults.quota_left, &mut self.faults.minute_left].into_iter().flatten() {
            *left -= 1;
        }
        // An order without the check of the consent lets everything through, and the ledger tells.
        let grant = self.grants.entry((appid.clone(), openid.clone(), code.clone())).or_default();
        grant.used += 1;
        if !grant.standing {
            grant.usable -= 1;
        }
        let data = body["data"].as_object().into_iter().flatten();
        let data = data.map(|(k, v)| (k.clone(), v["value"].as_str().unwrap_or_default().to_owned())).collect();
        self.counter += 1;
        let id = 3_248_682_510_344_192_000 + self.counter;
        let undelivered = self.faults.undelivered_rate > 0.0 && self.rng.random::<f64>() < self.faults.undelivered_rate;
        let (failure, text) = if undelivered { (Some("-1".into()), "system error") } else { (None, "success") };
        // The push names the message even where the answer does not.
        let receipt = Receipt { template: code.clone(), message_id: Some(id.to_string()), failure, text: text.into() };
        self.tell(&appid, &openid, vec![Item::Receipt(receipt)], now);
        self.messages.push(Message { appid, openid, template: code, page, data, at: now });
        Ok(app.msgid.then_some(id))
    }
}

fn wrong_field(template: &TemplateSpec, data: &Value) -> Option<String> {
    template.fields.keys().find_map(|key| {
        let value = data[key]["value"].as_str().unwrap_or_default();
        if value.trim().is_empty() {
            Some(format!("argument invalid! data.{key}.value is empty"))
        } else {
            let choices = template.choices.get(key);
            let chosen = choices.is_none_or(|choices| choices.iter().any(|choice| choice == value));
            (!chosen || (fields::RULES.check)(key, value, Profile::Platform).is_err())
                .then_some(())
                .map(|_| format!("argument invalid! data.{key}.value invalid"))
        }
    })
}
