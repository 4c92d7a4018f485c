//! The world of the sandbox: mini-programs, users, what they received and what they are told. No I/O, no clock.

use super::{
    app::{AppSpec, TemplateSpec},
    faults::{Faults, hit},
    ledger::{Grants, Ledger, Worth},
    push::{Outgoing, Pushed, Pusher},
    tokens::Tokens,
};
use crate::domain::{Millis, consent::Ticket, push::Item, template::Kind};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A message that a user received.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Which mini-program.
    pub appid: String,
    /// Who.
    pub openid: String,
    /// The platform's template id.
    pub template: String,
    /// Page that opens on tap.
    pub page: Option<String>,
    /// Field values.
    pub data: BTreeMap<String, String>,
    /// When it was accepted, UTC milliseconds.
    pub at: Millis,
}

/// All that the platform knows.
pub struct World {
    pub(super) apps: HashMap<String, AppSpec>,
    pub(super) tokens: Tokens,
    pub(super) grants: Grants,
    /// Users to whom a message is under way.
    pub(super) in_flight: HashSet<(String, String)>,
    /// When the last message to a user was accepted, on platforms that want two of them apart.
    last_sent: HashMap<(String, String), Millis>,
    pub(super) messages: Vec<Message>,
    /// What goes wrong.
    pub faults: Faults,
    pushers: HashMap<String, Pusher>,
    pushes: Vec<Outgoing>,
    pub(super) pushed: Vec<Pushed>,
    pub(super) rng: StdRng,
    pub(super) counter: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            apps: HashMap::new(),
            tokens: Tokens::default(),
            grants: Grants::default(),
            in_flight: HashSet::new(),
            last_sent: HashMap::new(),
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
            self.tap_at(appid, openid, template, *accepted, Some(now));
        }
        let item =
            |(template, accepted): (&String, &bool)| Item::Answered { template: template.clone(), accepted: *accepted };
        self.tell(appid, openid, results.iter().map(item).collect(), now);
    }

    /// The user submits a form, or pays, and so brings a ticket for messages of this template; `false` if the platform has no such tickets.
    pub fn bring(&mut self, appid: &str, openid: &str, template: &str, ticket: &Ticket, now: Millis) -> bool {
        let kinds = self.apps.get(appid).map_or(&[][..], |app| app.facts().tickets.kinds);
        let Some(kind) = kinds.iter().find(|kind| kind.word == ticket.kind) else { return false };
        self.grants.bring(appid, openid, template, ticket, kind, now);
        true
    }

    /// A token that lives until then, whatever is given out after it.
    pub(super) fn new_token(&mut self, appid: &str, until: Millis) -> String {
        self.counter += 1;
        let token = format!("SANDBOX-{appid}-{}", self.counter);
        self.tokens.add(appid, token.clone(), until);
        token
    }

    /// Whose token it is that a send names, and when it ends, as the faults will have it.
    pub(super) fn owner(&mut self, token: &str) -> Option<(String, Millis)> {
        if std::mem::take(&mut self.faults.token_revoked) {
            self.tokens.revoke();
        }
        self.tokens.owner(token).filter(|_| !self.faults.tokens_refused)
    }

    /// The user turns a template off on the card of a message, and the platform tells.
    pub fn turn_off(&mut self, appid: &str, openid: &str, template: &str, now: Millis) {
        self.set_switch(appid, openid, Some(template), false);
        self.tell(appid, openid, vec![Item::TurnedOff { template: template.to_owned() }], now);
    }

    /// Queues what tells of it, as the faults will have it.
    pub(super) fn tell(&mut self, appid: &str, openid: &str, items: Vec<Item>, now: Millis) {
        let Some(pusher) = self.pushers.get(appid).filter(|_| !items.is_empty()) else { return };
        for items in pusher.writer.split(items) {
            let copies = if hit(&mut self.rng, self.faults.push_lost_rate) {
                0
            } else {
                1 + u32::from(hit(&mut self.rng, self.faults.push_twice_rate))
            };
            let kind =
                items.first().and_then(|item| self.template(appid, item.template())).map(|template| template.kind);
            for _ in 0..copies {
                let jitter = self.faults.push_jitter_ms;
                let late = self.faults.push_delay_ms + if jitter > 0 { self.rng.random_range(0..=jitter) } else { 0 };
                self.pushes.push(Outgoing {
                    appid: appid.to_owned(),
                    openid: openid.to_owned(),
                    items: items.clone(),
                    long_term: kind == Some(Kind::LongTerm),
                    at: now,
                    due: now + Millis::try_from(late).unwrap_or(Millis::MAX / 2),
                    tries: 0,
                    shape: self.rng.random(),
                });
            }
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

    /// The user answers the popup for one template, and nobody asks when: what is granted has no end.
    pub fn tap(&mut self, appid: &str, openid: &str, template: &str, accepted: bool) {
        self.tap_at(appid, openid, template, accepted, None);
    }

    fn tap_at(&mut self, appid: &str, openid: &str, template: &str, accepted: bool, now: Option<Millis>) {
        let worth = self.template(appid, template).map_or(Worth::Sends { sends: 1, until: None }, |t| t.worth(now));
        self.grants.tap(appid, openid, template, accepted.then_some(worth));
    }

    fn template(&self, appid: &str, id: &str) -> Option<&TemplateSpec> {
        self.apps.get(appid)?.templates.iter().find(|template| template.id == id)
    }

    /// Whether the last message to the user is not so long ago as the platform wants.
    pub(super) fn too_soon(&self, appid: &str, openid: &str, now: Millis) -> bool {
        let last = self.last_sent.get(&(appid.to_owned(), openid.to_owned()));
        let apart = self.apps.get(appid).and_then(|app| app.facts().apart);
        last.zip(apart).is_some_and(|(last, apart)| now.abs_diff(*last) < apart.unsigned_abs())
    }

    /// A message to the user was accepted.
    pub(super) fn sent_to(&mut self, appid: &str, openid: &str, now: Millis) {
        if self.apps.get(appid).is_some_and(|app| app.facts().apart.is_some()) {
            self.last_sent.insert((appid.to_owned(), openid.to_owned()), now);
        }
    }

    /// The user turns a template, or everything, off or on in the settings.
    pub fn set_switch(&mut self, appid: &str, openid: &str, template: Option<&str>, on: bool) {
        let revive = self.apps.get(appid).is_some_and(|app| app.revive);
        self.grants.set_switch(appid, openid, template, on, revive);
    }

    /// What users received, in order of arrival.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The account of every user and template.
    pub fn ledger(&self) -> Vec<Ledger> {
        self.grants.all()
    }

    /// Sends a day, used, and left.
    pub(super) fn quota(&self, appid: &str) -> (i64, i64, i64) {
        let used = self.messages.iter().filter(|m| m.appid == appid).count() as i64;
        let left = self.faults.quota_left.map_or(10_000_000 - used, |left| left as i64);
        (used + left, used, left)
    }

    /// The account's templates; `None` if they have been listed too often today.
    pub(super) fn list_templates(&mut self, appid: &str) -> Option<Vec<TemplateSpec>> {
        match &mut self.faults.lists_left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        Some(self.apps.get(appid).map(|app| app.templates.clone()).unwrap_or_default())
    }
}
