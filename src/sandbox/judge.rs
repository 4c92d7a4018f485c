//! How a send is judged: the same for every platform, which only says it in other words.

use super::{
    Sandbox,
    app::{Check, TemplateSpec},
    faults::{Effect, broken, half, hit},
    ledger::{Denied, Pays},
    world::{Message, World},
};
use crate::domain::{
    Millis,
    consent::Ticket,
    push::{Item, Receipt},
    template::{FieldRules, Profile},
};
use axum::response::Response;
use std::{collections::BTreeMap, time::Duration};

/// A send as its platform's face has read it.
#[derive(Debug, Clone)]
pub(super) struct Sending {
    pub appid: String,
    pub openid: String,
    pub template: String,
    pub page: Option<String>,
    pub data: BTreeMap<String, String>,
    /// What pays for it, on a platform that has tickets.
    pub ticket: Option<Ticket>,
}

/// Why a send is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The account is restricted, with a code of the platform's.
    Account(i64),
    Quota,
    MinuteQuota,
    Openid,
    NoTemplate,
    Banned,
    Concurrency,
    Page,
    /// A field that is empty or breaks its type's rule.
    Field {
        key: String,
        empty: bool,
    },
    Words,
    /// There is no consent: none was given, it was used, or it was withdrawn.
    Consent(Denied),
    /// The ticket has ended, or is another user's.
    Ticket,
}

/// What became of a send: the number of its message.
pub(super) type Verdict = Result<u64, Cause>;

/// A send under way.
struct Call {
    sending: Sending,
    /// Whether no other message to the user was under way when it arrived.
    alone: bool,
    verdict: Option<Verdict>,
}

impl Sandbox {
    /// Works on a send, as the faults will have it. `read` reads it, or refuses it in the platform's words, which `refused` shows; `answer`
    /// says what became of it.
    pub(super) async fn work<R>(
        &self,
        read: impl FnOnce(&mut World, Millis) -> Result<Sending, R>,
        refused: impl FnOnce(&R) -> Response,
        answer: impl FnOnce(&mut World, &Sending, Verdict) -> Response,
    ) -> Response {
        let now = self.clock.now();
        let (effect, begun) = {
            let world = &mut *self.world();
            let effect = world.faults.clone().effect(&mut world.rng);
            // What takes effect at once is judged here, so that a user who hangs up at the right moment was served.
            let begun = read(world, now).map(|sending| world.begin(sending, effect, now));
            (effect, begun)
        };
        if let Some(delay) = effect.delay_ms() {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if let Effect::Early(kind) = effect {
            if let Ok(call) = &begun {
                self.world().leave(call);
            }
            return broken(kind);
        }
        let response = match begun {
            Ok(mut call) => {
                let world = &mut *self.world();
                let verdict = world.finish(&mut call, self.clock.now());
                answer(world, &call.sending, verdict)
            }
            Err(refusal) => refused(&refusal),
        };
        match effect {
            Effect::Late(kind) => broken(kind),
            Effect::Half => half(response).await,
            _ => response,
        }
    }
}

impl World {
    fn begin(&mut self, sending: Sending, effect: Effect, now: Millis) -> Call {
        let alone = self.in_flight.insert((sending.appid.clone(), sending.openid.clone()));
        let mut call = Call { sending, alone, verdict: None };
        if effect == Effect::Silent {
            // Accepted now, though the answer never comes: the caller's patience must not decide what happened.
            call.verdict = Some(self.judge(&call, now));
            self.leave(&call);
        }
        call
    }

    /// The user is free for another message.
    fn leave(&mut self, call: &Call) {
        if call.alone {
            self.in_flight.remove(&(call.sending.appid.clone(), call.sending.openid.clone()));
        }
    }

    /// The send is judged; an accepted one reaches its user.
    fn finish(&mut self, call: &mut Call, now: Millis) -> Verdict {
        if let Some(verdict) = call.verdict.take() {
            return verdict;
        }
        let verdict = self.judge(call, now);
        self.leave(call);
        verdict
    }

    fn judge(&mut self, call: &Call, now: Millis) -> Verdict {
        let order = self.apps.get(&call.sending.appid).expect("tokens belong to apps").order.clone();
        if let Some(cause) = order.into_iter().find_map(|check| self.refuses(check, call, now)) {
            return Err(cause);
        }
        for left in [&mut self.faults.quota_left, &mut self.faults.minute_left].into_iter().flatten() {
            *left -= 1;
        }
        let Sending { appid, openid, template, page, data, ticket } = call.sending.clone();
        // An order without the check of the consent lets everything through, and the ledger tells.
        self.grants.spend(&appid, &openid, &template, ticket.as_ref(), now);
        self.sent_to(&appid, &openid, now);
        self.counter += 1;
        let id = 3_248_682_510_344_192_000 + self.counter;
        let undelivered = hit(&mut self.rng, self.faults.undelivered_rate);
        let (failure, text) = if undelivered { (Some("-1".into()), "system error") } else { (None, "success") };
        // The push names the message even where the answer does not.
        let receipt =
            Receipt { template: template.clone(), message_id: Some(id.to_string()), failure, text: text.into() };
        self.tell(&appid, &openid, vec![Item::Receipt(receipt)], now);
        self.messages.push(Message { appid, openid, template, page, data, at: now });
        Ok(id)
    }

    fn refuses(&self, check: Check, call: &Call, now: Millis) -> Option<Cause> {
        let Sending { appid, openid, template: code, page, data, ticket } = &call.sending;
        let app = &self.apps[appid];
        let template = app.templates.iter().find(|t| t.id == *code);
        match check {
            Check::Account => self.faults.account_code.map(Cause::Account),
            Check::Quota => (self.faults.quota_left == Some(0)).then_some(Cause::Quota),
            Check::MinuteQuota => (self.faults.minute_left == Some(0)).then_some(Cause::MinuteQuota),
            Check::Openid => (openid.is_empty() || openid.len() > 128).then_some(Cause::Openid),
            Check::Template => match template {
                None => Some(Cause::NoTemplate),
                Some(template) => template.banned.then_some(Cause::Banned),
            },
            Check::Concurrency => {
                let busy = app.face().one_at_a_time && !call.alone;
                (busy || self.too_soon(appid, openid, now)).then_some(Cause::Concurrency)
            }
            Check::Page => {
                let path = page.as_ref().map(|page| page.split('?').next().unwrap_or_default().to_owned());
                let unknown = path.filter(|path| !app.pages.is_empty() && !app.pages.contains(path));
                unknown.map(|_| Cause::Page)
            }
            Check::Data => template.and_then(|template| wrong_field(template, data, &app.facts().fields)),
            Check::Words => {
                let forbidden = |value: &String| app.forbidden_words.iter().any(|word| value.contains(word));
                data.values().any(forbidden).then_some(Cause::Words)
            }
            Check::Consent => match ticket {
                None => self.grants.denies(appid, openid, code, now).map(Cause::Consent),
                Some(ticket) => match self.grants.pays(appid, openid, code, ticket, now) {
                    Pays::Yes => None,
                    Pays::No => Some(Cause::Consent(Denied::UsedUp)),
                    Pays::NotHere => Some(Cause::Ticket),
                },
            },
        }
    }
}

fn wrong_field(template: &TemplateSpec, data: &BTreeMap<String, String>, rules: &FieldRules) -> Option<Cause> {
    let rules = rules.with(template.characters);
    template.fields.keys().find_map(|key| {
        let value = data.get(key).map_or("", String::as_str);
        let empty = value.trim().is_empty();
        let choices = template.choices.get(key);
        let chosen = choices.is_none_or(|choices| choices.iter().any(|choice| choice == value));
        let wrong = empty || !chosen || (rules.check)(key, value, Profile::Platform).is_err();
        let wrong = wrong || rules.settled(value).is_err();
        wrong.then(|| Cause::Field { key: key.clone(), empty })
    })
}
