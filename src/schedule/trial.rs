//! One row's message, now, to the app's testers alone: a marketer sees it on a phone before anybody else does. It counts nowhere else.

use super::{
    compare::Failure,
    file::File,
    gather::Input,
    load::{For, Office, Progress},
    plan::Plan,
    problem::Problem,
};
use crate::{
    domain::{
        HOUR,
        reminder::{Claim, NewReminder, ReminderId},
        schedule::Planned,
        template::Kind,
    },
    store::Inserted,
    words::say,
};
use serde_json::{Value, json};
use std::{io, sync::Arc};

/// A row that can be tried.
pub struct Trial {
    /// What is said about the file.
    pub plan: Plan,
    chosen: Option<(File, Planned)>,
}

/// Whom a trial goes to.
#[derive(Debug, Default)]
pub struct Tried {
    row: Option<u32>,
    key: String,
    to: Vec<(String, ReminderId)>,
    without_consent: Vec<String>,
}

impl Tried {
    /// As it is answered.
    pub fn json(&self) -> Value {
        let to: Vec<Value> =
            self.to.iter().map(|(openid, id)| json!({ "openid": openid, "id": id.to_string() })).collect();
        json!({ "row": self.row, "key": self.key, "sent": to, "no_consent": self.without_consent })
    }
}

impl Office {
    /// Reads a file and finds the row of this key, or the first right one.
    ///
    /// # Errors
    /// When the store or the disk does not answer.
    pub async fn trial(&self, input: Arc<Input>, key: Option<&str>) -> Result<Trial, Failure> {
        let silent: Progress = Arc::new(|_, _| {});
        let (mut plan, gathered) = self.gather(input, self.clock.now(), For::Whole, &silent).await?;
        let Some(gathered) = gathered else { return Ok(Trial { plan, chosen: None }) };
        let (file, spooled, wanted) = (gathered.file, gathered.said.spooled, key.map(str::to_owned));
        let find = move || {
            let places: Vec<u32> = spooled.in_order().collect();
            for places in places.chunks(1_000) {
                let found = spooled
                    .read(places)?
                    .into_iter()
                    .find(|planned| wanted.as_ref().is_none_or(|key| *key == planned.key));
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok::<_, io::Error>(None)
        };
        let found = tokio::task::spawn_blocking(find).await.map_err(io::Error::other)??;
        let Some(planned) = found else {
            let detail = key.map_or_else(|| say!("no_row_to_try"), |_| say!("no_row_of_key"));
            plan.refuse(Problem::new("no_rows", detail));
            return Ok(Trial { plan, chosen: None });
        };
        Ok(Trial { plan, chosen: Some((file, planned)) })
    }

    /// Sends a trial to all testers of its app, or to one. Nothing, and a problem in its plan, if nobody is to get it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn send_trial(&self, trial: &mut Trial, to: Option<&str>, by: &str) -> Result<Option<Tried>, Failure> {
        let Some((file, planned)) = &trial.chosen else { return Ok(None) };
        let app = self.config.apps.iter().find(|app| app.name == file.app).expect("the file was checked");
        let testers: Vec<&String> =
            app.testers.iter().filter(|tester| to.is_none_or(|to| to == tester.as_str())).collect();
        if testers.is_empty() {
            let detail = match to {
                Some(_) => say!("not_a_tester_of", app = &app.name),
                None => say!("no_testers", app = &app.name),
            };
            trial.plan.refuse(Problem::new("not_a_tester", detail));
            return Ok(None);
        }
        let template = app.template(&file.template).expect("the file was checked");
        let now = self.clock.now();
        let new = |openid: &String| NewReminder {
            app: app.name.clone(),
            openid: openid.clone(),
            template: template.code.clone(),
            standing: template.kind == Kind::LongTerm,
            at: now,
            local_at: None,
            expires_at: now + HOUR,
            page: planned.page.clone(),
            data: planned.data.clone(),
            key: None,
            digest: String::new(),
            claim: Claim::Reserve,
            accepted: None,
            options: file.options.clone(),
            origin: None,
        };
        let inserted = self.store.insert(testers.iter().copied().map(new).collect()).await?;
        self.store.write_down_trial(&file.name, by, &trial.plan.digest).await?;
        let mut tried = Tried { row: planned.row, key: planned.key.clone(), ..Tried::default() };
        for (openid, inserted) in testers.into_iter().zip(inserted) {
            match inserted {
                Inserted::Created(id) => tried.to.push((openid.clone(), id)),
                _ => tried.without_consent.push(openid.clone()),
            }
        }
        Ok(Some(tried))
    }
}
