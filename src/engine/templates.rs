//! What a lane knows of its app's templates, and whether a message of one must wait for it.

use super::breaker::Breakers;
use crate::{
    config::App,
    domain::{
        MINUTE, Millis,
        reminder::ReminderId,
        settle::{SUSPENDED_AT_MOST, Settlement, template_suspended},
        template::{Listing, OnDoubt, Template, unconfigured},
    },
    store::port::Job,
    words::say,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// A configured template.
struct Configured {
    /// The platform's id.
    code: String,
    /// What its owner wants of a doubt.
    on_doubt: OnDoubt,
}

/// An app's templates.
pub struct Templates {
    app: Arc<App>,
    configured: HashMap<i64, Configured>,
    /// What the platform listed last.
    listing: Option<Arc<Listing>>,
    /// How many of the configured ones it does not have so.
    out_of_step: usize,
    pub breakers: Breakers,
}

impl Templates {
    /// A configured template's number in the store, by the platform's id.
    pub fn number(&self, code: &str) -> Option<i64> {
        self.configured.iter().find(|(_, known)| known.code == code).map(|(number, _)| *number)
    }

    /// Those that the app is configured with. `number` is a template's in the store.
    pub fn new(app: Arc<App>, number: impl Fn(&Template) -> Option<i64>) -> Self {
        let configured = |t: &Template| Some((number(t)?, Configured { code: t.code.clone(), on_doubt: t.on_doubt }));
        let configured = app.templates.iter().filter_map(configured).collect();
        Self { app, configured, listing: None, out_of_step: 0, breakers: Breakers::default() }
    }

    /// What the template's owner wants of a doubt.
    pub fn on_doubt(&self, template: i64) -> OnDoubt {
        self.configured.get(&template).map(|template| template.on_doubt).unwrap_or_default()
    }

    /// Whether a message that could go must wait for its template: the platform keeps refusing it, it is not configured any more, or the
    /// platform's list says that it would be refused.
    pub fn suspends(&mut self, job: &Job, active: &HashSet<ReminderId>, now: Millis) -> Option<Settlement> {
        if let Some(suspension) = self.breakers.suspends(job.template, job.due.id, active, now) {
            let why = say!("platform_keeps_refusing", code = suspension.code, why = suspension.why);
            return Some(template_suspended(&job.due, suspension.until, why));
        }
        let why = match self.configured.get(&job.template) {
            None => unconfigured(),
            Some(template) => self.listing.as_ref()?.refuses(&template.code, &job.body.data)?,
        };
        // Not at once after its instant, then ever more rarely.
        let until = now + (now - job.due.at).clamp(10 * MINUTE, SUSPENDED_AT_MOST);
        Some(template_suspended(&job.due, until, why))
    }

    /// Takes over what the platform lists, and tells of those that are newly out of step with it.
    pub fn learn(&mut self, listing: Arc<Listing>) {
        let before = self.listing.replace(Arc::clone(&listing));
        let app = &self.app.name;
        let mut out_of_step = 0;
        for template in &self.app.templates {
            let differences = listing.differences(template);
            if differences.is_empty() {
                let numbers = self.configured.iter().filter(|(_, known)| known.code == template.code);
                numbers.for_each(|(number, _)| self.breakers.listed(*number));
                continue;
            }
            out_of_step += 1;
            if before.as_ref().is_none_or(|before| before.differences(template) != differences) {
                let why: Vec<String> = differences.iter().map(ToString::to_string).collect();
                let (template, why) = (&template.code, why.join("; "));
                tracing::error!(
                    app,
                    template,
                    why,
                    "a template is out of step with the platform's; messages that it would refuse wait"
                );
            }
        }
        if self.out_of_step > 0 && out_of_step == 0 {
            tracing::info!(app, "all templates are in step with the platform's again");
        }
        self.out_of_step = out_of_step;
    }

    /// When the list was read that is known; never, if none is.
    pub fn read_at(&self) -> Option<Millis> {
        self.listing.as_ref().map(|listing| listing.read_at)
    }

    /// How many of the configured ones the platform does not have so, as far as is known.
    pub fn out_of_step(&self) -> usize {
        self.out_of_step
    }
}
