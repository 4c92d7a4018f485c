//! The platform's own account of what its users allow, by which messages are judged. It shares no code with tixing's own ledger.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// The platform's own account of one user and template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Which mini-program.
    pub appid: String,
    /// Who.
    pub openid: String,
    /// The platform's template id.
    pub template: String,
    /// Accepts so far.
    pub granted: i64,
    /// Messages accepted against them.
    pub used: i64,
    /// Whether the user has turned it off.
    pub refused: bool,
}

#[derive(Debug, Default)]
struct Grant {
    granted: i64,
    used: i64,
    usable: i64,
    standing: bool,
    refused: bool,
}

/// What all users allow.
#[derive(Debug, Default)]
pub(super) struct Grants {
    by_template: BTreeMap<(String, String, String), Grant>,
    /// Who has turned everything of an app off.
    off: HashSet<(String, String)>,
}

impl Grants {
    /// The user answers the popup for one template.
    pub fn tap(&mut self, appid: &str, openid: &str, template: &str, accepted: bool, standing: bool) {
        let grant = self.entry(appid, openid, template);
        if accepted {
            grant.granted += 1;
            grant.usable += 1;
            grant.standing |= standing;
            grant.refused = false;
        }
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
            grant.usable = 0;
            grant.standing = false;
        }
    }

    /// Whether a message can be sent.
    pub fn allows(&self, appid: &str, openid: &str, template: &str) -> bool {
        let grant = self.by_template.get(&(appid.to_owned(), openid.to_owned(), template.to_owned()));
        let usable = grant.is_some_and(|g| !g.refused && (g.standing || g.usable > 0));
        usable && !self.off.contains(&(appid.to_owned(), openid.to_owned()))
    }

    /// A message is accepted, allowed or not: the account tells.
    pub fn spend(&mut self, appid: &str, openid: &str, template: &str) {
        let grant = self.entry(appid, openid, template);
        grant.used += 1;
        if !grant.standing {
            grant.usable -= 1;
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
