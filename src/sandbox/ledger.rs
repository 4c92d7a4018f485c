//! The platform's own account of what its users allow, by which messages are judged. It shares no code with tixing's own ledger.

use crate::domain::{
    Millis,
    consent::{Ticket, TicketKind},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The platform's own account of one user and template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Which mini-program.
    pub appid: String,
    /// Who.
    pub openid: String,
    /// The platform's template id.
    pub template: String,
    /// Sends that its accepts were worth so far; a standing one is worth one here.
    pub granted: i64,
    /// Messages accepted against them.
    pub used: i64,
    /// Whether the user has turned it off.
    pub refused: bool,
}

/// What one accept is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// Any number of sends.
    Standing,
    /// So many sends, until then or for ever.
    Sends { sends: i64, until: Option<Millis> },
}

/// Whether a ticket pays for a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pays {
    Yes,
    /// Nobody has brought it, it was used, or the user has turned the template off.
    No,
    /// It has ended, or belongs to another user or template.
    NotHere,
}

/// What a user has brought a ticket by.
#[derive(Debug)]
struct Brought {
    kind: String,
    openid: String,
    template: String,
    left: u32,
    until: Option<Millis>,
}

#[derive(Debug, Default)]
struct Grant {
    granted: i64,
    used: i64,
    /// The sends that are left of each accept, and when they end.
    usable: Vec<(i64, Option<Millis>)>,
    standing: bool,
    refused: bool,
}

impl Grant {
    /// Which accept pays for a message now: the one that ends first.
    fn pays(&self, now: Millis) -> Option<usize> {
        let good = |(left, until): &(i64, Option<Millis>)| *left > 0 && until.is_none_or(|until| now < until);
        let all = self.usable.iter().enumerate().filter(|(_, accept)| good(accept));
        all.min_by_key(|(_, (_, until))| until.unwrap_or(Millis::MAX)).map(|(i, _)| i)
    }
}

/// Why a user's message of a template is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// Nothing was ever accepted.
    Never,
    /// All that was accepted is used up, or has ended.
    UsedUp,
    /// The user has turned it, or everything, off.
    Off,
}

/// What all users allow.
#[derive(Debug, Default)]
pub(super) struct Grants {
    by_template: BTreeMap<(String, String, String), Grant>,
    /// Who has turned everything of an app off.
    off: HashSet<(String, String)>,
    /// By the mini-program and the ticket's id.
    tickets: HashMap<(String, String), Brought>,
}

impl Grants {
    /// The user answers the popup for one template.
    pub fn tap(&mut self, appid: &str, openid: &str, template: &str, accepted: Option<Worth>) {
        let grant = self.entry(appid, openid, template);
        match accepted {
            None => return,
            Some(Worth::Standing) => {
                grant.granted += 1;
                grant.standing = true;
            }
            Some(Worth::Sends { sends, until }) => {
                grant.granted += sends;
                grant.usable.push((sends, until));
            }
        }
        grant.refused = false;
    }

    /// The user brings a ticket. One that is known already adds nothing, whoever brings it again.
    pub fn bring(
        &mut self,
        appid: &str,
        openid: &str,
        template: &str,
        ticket: &Ticket,
        kind: &TicketKind,
        now: Millis,
    ) {
        let key = (appid.to_owned(), ticket.id.clone());
        if self.tickets.contains_key(&key) {
            return;
        }
        let until = kind.lives.map(|lives| now + lives);
        let brought = Brought {
            kind: ticket.kind.clone(),
            openid: openid.to_owned(),
            template: template.to_owned(),
            left: kind.sends,
            until,
        };
        self.tickets.insert(key, brought);
        let grant = self.entry(appid, openid, template);
        grant.granted += i64::from(kind.sends);
        grant.refused = false;
    }

    /// Whether a ticket pays for a message. On a platform whose sends do not say of which kind it is, that is empty.
    pub fn pays(&self, appid: &str, openid: &str, template: &str, ticket: &Ticket, now: Millis) -> Pays {
        let brought = self.tickets.get(&(appid.to_owned(), ticket.id.clone()));
        let of_kind = |brought: &&Brought| ticket.kind.is_empty() || ticket.kind == brought.kind;
        let Some(brought) = brought.filter(of_kind) else { return Pays::No };
        let theirs = brought.openid == openid && brought.template == template;
        if !theirs || brought.until.is_some_and(|until| until <= now) {
            return Pays::NotHere;
        }
        let grant = self.by_template.get(&(appid.to_owned(), openid.to_owned(), template.to_owned()));
        let off = grant.is_some_and(|grant| grant.refused) || self.off.contains(&(appid.to_owned(), openid.to_owned()));
        if brought.left == 0 || off { Pays::No } else { Pays::Yes }
    }

    /// The user turns a template, or everything, off or on in the settings. Grants from before count again afterwards if they `revive`.
    pub fn set_switch(&mut self, appid: &str, openid: &str, template: Option<&str>, on: bool, revive: bool) {
        let Some(template) = template else {
            let user = (appid.to_owned(), openid.to_owned());
            if on {
                self.off.remove(&user)
            } else {
                self.off.insert(user)
            };
            return;
        };
        let grant = self.entry(appid, openid, template);
        grant.refused = !on;
        if !on && !revive {
            grant.usable.clear();
            grant.standing = false;
            let theirs = |brought: &&mut Brought| brought.openid == openid && brought.template == template;
            let of_app = self.tickets.iter_mut().filter(|((of, _), _)| of == appid).map(|(_, brought)| brought);
            of_app.filter(theirs).for_each(|brought| brought.left = 0);
        }
    }

    /// Why a message cannot be sent, if it cannot.
    pub fn denies(&self, appid: &str, openid: &str, template: &str, now: Millis) -> Option<Denied> {
        if self.off.contains(&(appid.to_owned(), openid.to_owned())) {
            return Some(Denied::Off);
        }
        let key = (appid.to_owned(), openid.to_owned(), template.to_owned());
        let Some(grant) = self.by_template.get(&key) else { return Some(Denied::Never) };
        match grant {
            grant if grant.refused => Some(Denied::Off),
            grant if grant.standing || grant.pays(now).is_some() => None,
            grant if grant.granted > 0 => Some(Denied::UsedUp),
            _ => Some(Denied::Never),
        }
    }

    /// A message is accepted, allowed or not: the account tells.
    pub fn spend(&mut self, appid: &str, openid: &str, template: &str, ticket: Option<&Ticket>, now: Millis) {
        let brought = ticket.and_then(|ticket| self.tickets.get_mut(&(appid.to_owned(), ticket.id.clone())));
        if let Some(brought) = brought {
            brought.left = brought.left.saturating_sub(1);
        }
        let grant = self.entry(appid, openid, template);
        grant.used += 1;
        if !grant.standing
            && ticket.is_none()
            && let Some(i) = grant.pays(now)
        {
            grant.usable[i].0 -= 1;
        }
    }

    /// The account of every user and template.
    pub fn all(&self) -> Vec<Ledger> {
        let entry = |((appid, openid, template), grant): (&(String, String, String), &Grant)| Ledger {
            appid: appid.clone(),
            openid: openid.clone(),
            template: template.clone(),
            granted: grant.granted,
            used: grant.used,
            refused: grant.refused,
        };
        self.by_template.iter().map(entry).collect()
    }

    fn entry(&mut self, appid: &str, openid: &str, template: &str) -> &mut Grant {
        self.by_template.entry((appid.into(), openid.into(), template.into())).or_default()
    }
}
