//! The mini-programs that the sandbox knows, as orders and configurations describe them.

use super::{FACES, face::Face, ledger::Worth};
use crate::{
    domain::{Millis, template::Kind},
    platform::{self, Facts},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A mini-program as the platform knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSpec {
    /// The platform's word; the first that is built, if it is left out.
    #[serde(default = "AppSpec::first_platform")]
    pub platform: String,
    /// Its id.
    pub appid: String,
    /// Its secret, where it has one: the same as `secret` of `secrets`.
    #[serde(default)]
    pub secret: String,
    /// Its secrets, by their keys in the configuration.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
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
    /// Whether a send is answered with the message's id.
    #[serde(default)]
    pub msgid: bool,
    /// Whether grants from before a refusal in the settings count again after it is lifted (unknown).
    #[serde(default)]
    pub revive: bool,
    /// Where its pushes go, if it wants them, and how they are written, in its face's words.
    #[serde(default)]
    pub push: Option<Value>,
}

impl AppSpec {
    /// An app as it is configured.
    pub fn of(app: &crate::config::App) -> Self {
        let template = |t: &crate::domain::template::Template| TemplateSpec {
            id: t.code.clone(),
            title: t.title.clone(),
            kind: t.kind,
            fields: t.fields.clone(),
            choices: BTreeMap::new(),
            sends_per_grant: t.times.map(|times| times.sends),
            period_ms: t.times.map(|times| times.period),
            characters: t.characters,
            banned: false,
        };
        let secret =
            |(key, secret): (&&'static str, &SecretString)| ((*key).to_owned(), secret.expose_secret().to_owned());
        Self {
            platform: app.platform.word.to_owned(),
            appid: app.appid.clone(),
            secret: String::new(),
            secrets: app.secrets.iter().map(secret).collect(),
            templates: app.templates.iter().map(template).collect(),
            pages: Vec::new(),
            forbidden_words: Vec::new(),
            order: Check::default_order(),
            msgid: true,
            revive: false,
            push: None,
        }
    }

    /// The secret of this key; empty if it has none.
    pub fn secret(&self, key: &str) -> &str {
        let named = self.secrets.get(key).map_or("", String::as_str);
        if named.is_empty() && key == "secret" { &self.secret } else { named }
    }

    /// Whether it can be known by something.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn check(&self) -> Result<(), String> {
        let Some(facts) = platform::find(&self.platform) else {
            return Err(format!("platform: «{}» is not known", self.platform));
        };
        let has = self.secrets.keys().map(String::as_str).chain(Some("secret")).any(|key| !self.secret(key).is_empty());
        let names: Vec<&str> = facts.secrets().collect();
        if has { Ok(()) } else { Err(format!("missing field: the app's secret ({})", names.join(", "))) }
    }

    fn first_platform() -> String {
        platform::BUILT[0].word.to_owned()
    }

    /// Whether it is an app of this platform.
    pub(super) fn is_on(&self, word: &str) -> bool {
        self.platform == word
    }

    pub(super) fn face(&self) -> &'static Face {
        FACES.iter().find(|face| self.is_on(face.platform)).unwrap_or(&FACES[0])
    }

    pub(super) fn facts(&self) -> &'static Facts {
        platform::find(&self.platform).unwrap_or(platform::BUILT[0])
    }
}

/// A template as the platform knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    /// The platform's id.
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
    /// How many sends one accept is worth; one, if it is left out.
    #[serde(default)]
    pub sends_per_grant: Option<u32>,
    /// For how many milliseconds; for ever, if it is left out.
    #[serde(default)]
    pub period_ms: Option<Millis>,
    /// Characters of a value at most, on platforms that do not say how many; as many as tixing takes, if it is left out.
    #[serde(default)]
    pub characters: Option<usize>,
    /// Every send of it is refused.
    #[serde(default)]
    pub banned: bool,
}

impl TemplateSpec {
    /// What an accept at this time is worth; it has no end if the time is not told.
    pub(super) fn worth(&self, now: Option<Millis>) -> Worth {
        match self.kind {
            Kind::LongTerm => Worth::Standing,
            Kind::OneTime => Worth::Sends {
                sends: self.sends_per_grant.unwrap_or(1).into(),
                until: self.period_ms.zip(now).map(|(period, now)| now.saturating_add(period)),
            },
        }
    }
}

/// A check of the send call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// What `account_code` says.
    Account,
    /// The day's quota.
    Quota,
    /// The minute's quota.
    MinuteQuota,
    /// The user's id.
    Openid,
    /// Whether there is such a template, and it is not banned.
    Template,
    /// One send at a time to each user, and so far apart as the platform wants.
    Concurrency,
    /// Whether there is such a page.
    Page,
    /// The fields.
    Data,
    /// Forbidden words.
    Words,
    /// The user's consent.
    Consent,
}

impl Check {
    pub(super) fn default_order() -> Vec<Self> {
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
